//! `sim`: runs the simulator, built in release, and proves that a seed is a run. It knows of the
//! simulator only its arguments and that every run prints `trace HASH`.

use crate::step::{sh, stdout};
use crate::suggest;
use crate::workspace::{Workspace, cargo};
use anyhow::{Result, bail};
use std::process::Command;

/// The seeds that every verify runs: the same ones, so that two people see the same.
const FIXED_SEEDS: &str = "0..50";

/// The seed that is run twice.
const TWICE: &str = "7";

/// Passes the arguments on to the simulator.
pub(crate) fn sim(workspace: &Workspace, args: &[String]) -> Result<()> {
    let known = [
        "--seed",
        "--seeds",
        "--mutants",
        "--determinism",
        "--trace",
        "--verbose",
    ];
    for arg in args.iter().filter(|arg| arg.starts_with("--")) {
        if !known.contains(&arg.as_str()) {
            bail!(suggest::unknown(arg, &known));
        }
    }
    if args.is_empty() {
        bail!(crate::UsageError(
            "sim needs --seed N, --seeds A..B, --mutants or --determinism".into()
        ));
    }
    sh(simulator(workspace).args(args))
}

/// Runs the fixed seeds.
pub(crate) fn fixed_seeds(workspace: &Workspace) -> Result<()> {
    sh(simulator(workspace).args(["--seeds", FIXED_SEEDS]))
}

/// Runs one seed twice in two processes; the hashes of the two traces must be one.
pub(crate) fn determinism(workspace: &Workspace) -> Result<()> {
    let hash = || -> Result<String> {
        let printed = stdout(simulator(workspace).args(["--seed", TWICE]))?;
        let words: Vec<&str> = printed.split_whitespace().collect();
        match words
            .windows(2)
            .rfind(|pair| pair[0].trim_end_matches([':', '=']) == "trace")
        {
            Some(pair) => Ok(pair[1].to_owned()),
            None => bail!("the simulator printed no `trace HASH`, but: {printed}"),
        }
    };
    let (first, second) = (hash()?, hash()?);
    if first != second {
        bail!("seed {TWICE} gave two runs: trace {first}, then {second}");
    }
    println!("    seed {TWICE} twice: trace {first}");
    Ok(())
}

fn simulator(workspace: &Workspace) -> Command {
    let mut command = cargo();
    command.current_dir(&workspace.root);
    command.args([
        "run",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "weir-sim",
        "--",
    ]);
    command
}
