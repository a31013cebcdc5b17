//! The project's chores in one place: `cargo xtask verify | fix | tidy | sim | e2e | bench | plugins`.
//!
//! `verify` never writes into the tree; `fix` is the one that does. Nothing here knows a rule of
//! the broker: it starts tools, reads files and says what it found.
#![forbid(unsafe_code)]

mod bench;
mod e2e;
mod plugins;
mod sim;
mod step;
mod suggest;
mod tidy;
mod tools;
mod verify;
mod workspace;

use anyhow::{Context, Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND [OPTIONS]

  verify [--skip-tests]       everything that must hold before a change lands; writes nothing
  fix                         format, apply clippy's mends, write broker/CONFIG.md again
  tidy                        the fast part of verify: layers, sizes, documents, banned words
  sim --seed N                replay one simulated run
      --seeds A..B            run the seeds A to B-1
      --mutants               check that each seeded bug is caught
      --determinism           run a seed twice and compare; --trace prints a run's events
  e2e [--only NAME]... [--full] [--list] [--keep] [--weir PATH]
                              real processes, real clients; --full for the sizes of a release,
                              --keep for the data and logs of what passed
      --against-kafka         the scenarios themselves, proved on Apache Kafka
  bench [--quick] [--only NAME]... [--json FILE]
                              the tables of throughput and latency, and the run against Kafka
  bench wasm [--quick]        what a transform costs a record natively and in Wasm, in turns
  plugins [--check] [--only NAME]... | --foreign
                              build the guests of plugins/examples into plugins/prebuilt;
                              --check only holds their behaviour against what is there,
                              --foreign builds those in C, Python and JavaScript

exit code: 0 all well, 1 something failed, 2 wrong usage";

const COMMANDS: [&str; 7] = ["verify", "fix", "tidy", "sim", "e2e", "bench", "plugins"];

/// Wrong usage, as told apart from a check that failed: it has an exit code of its own.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if error.is::<UsageError>() {
                eprintln!("\n{USAGE}");
                return ExitCode::from(2);
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let Some(command) = args.next() else {
        bail!(UsageError("no command given".into()));
    };
    let rest: Vec<String> = args.collect();
    if matches!(command.as_str(), "help" | "--help" | "-h") || rest.iter().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let workspace = workspace::Workspace::load().context("cannot read the workspace")?;
    match command.as_str() {
        "verify" => verify::verify(&workspace, &rest),
        "fix" => verify::fix(&workspace, &rest),
        "tidy" => tidy_command(&workspace, &rest),
        "sim" => sim::sim(&workspace, &rest),
        "e2e" => e2e::e2e(&workspace, &rest),
        "bench" => bench::bench(&workspace, &rest),
        "plugins" => plugins::plugins(&workspace, &rest),
        other => {
            let near = suggest::nearest(other, &COMMANDS);
            bail!(UsageError(format!("there is no command '{other}'{near}")))
        }
    }
}

fn tidy_command(workspace: &workspace::Workspace, args: &[String]) -> Result<()> {
    suggest::only_flags(args, &[])?;
    let findings = tidy::run(workspace)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} finding(s)", findings.len());
    }
    println!("tidy: nothing found");
    Ok(())
}
