//! `weir plugin test`: runs a component here, under a broker's budgets, on records of a file, on
//! pairs of what goes in and what should come out, or on the last records of a topic; and shows
//! before and after. It changes nothing anywhere.

mod expect;
mod run;
mod show;
mod topic;

pub(super) use run::{Fate, Ran, run_samples};
pub(super) use show::show;
pub(super) use topic::last;

use super::sample::{self, Sample};
use super::{local, words};
use crate::args::JsonArg;
use crate::connect::ConnectArgs;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use clap::Args;
use std::path::{Path, PathBuf};
use weir_plugin_host::{Component, Part};

/// `weir plugin test`.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    component: PathBuf,
    /// Run it on this file: each line is a value
    #[arg(long, value_name = "FILE", group = "input")]
    file: Option<PathBuf>,
    /// Run it on this file: each line is a record, as `weir consume --json` prints it
    #[arg(long, value_name = "FILE.jsonl", group = "input")]
    records: Option<PathBuf>,
    /// Run it on these pairs, one a line: {"in": RECORD, "out": RECORD or null}, or instead of
    /// "out" one of "refused": "text", "output": N, "partition": N, "json": VALUE, "error": "text"
    #[arg(long, value_name = "FILE.jsonl", group = "input")]
    expect: Option<PathBuf>,
    /// Run it on the last records of this topic
    #[arg(long, value_name = "TOPIC", group = "input")]
    topic: Option<String>,
    /// How many of each partition
    #[arg(long, value_name = "N", default_value_t = 10, requires = "topic")]
    last: u32,
    #[command(flatten)]
    how: How,
    /// Show only records of which it makes something else
    #[arg(long)]
    changed: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// What a plugin is told and given besides records.
#[derive(Args, Clone, Debug)]
pub(crate) struct How {
    /// A parameter; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) set: Vec<String>,
    /// Partitioners: how many partitions there are [default: the topic's, else 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) partitions: Option<u32>,
    /// Router jobs: how many topics it may choose among
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) outputs: Option<u32>,
    /// Decoders: which part of the records
    #[arg(long, value_name = "key|value", default_value = "value", value_parser = part)]
    pub(super) part: Part,
}

impl How {
    /// For a transform.
    pub(super) const fn transform(set: Vec<String>, outputs: Option<u32>) -> Self {
        Self {
            set,
            partitions: None,
            outputs,
            part: Part::Value,
        }
    }
}

fn part(text: &str) -> Result<Part, String> {
    match text {
        "key" => Ok(Part::Key),
        "value" => Ok(Part::Value),
        other => Err(format!("`{other}` is no part; there are key and value")),
    }
}

/// What a plugin is run on.
pub(super) struct Input {
    /// The topic's name that it is told.
    pub(super) topic: String,
    pub(super) samples: Vec<Sample>,
    /// How many partitions the topic has, if it is one.
    pub(super) partitions: Option<u32>,
}

/// Runs the command.
pub(super) async fn run(args: TestArgs, connect: &ConnectArgs, interrupt: &Interrupt) -> Outcome {
    let bytes = words::component(&args.component)?;
    let host = local::host()?;
    let component = local::compile(&host, &bytes)?;
    if let Some(file) = &args.expect {
        let pairs = expect::read(&read(file)?)?;
        return expect::run(&component, &pairs, &args.how, args.json);
    }
    let input = input(&args, connect, interrupt).await?;
    let ran = tokio::task::block_in_place(|| run_samples(&component, &input, &args.how))?;
    show(&ran, &input, args.changed, args.json)?;
    failed(&ran, &component)
}

async fn input(args: &TestArgs, connect: &ConnectArgs, interrupt: &Interrupt) -> Outcome<Input> {
    if let Some(name) = &args.topic {
        let client = connect.connect(interrupt).await?;
        return interrupt.or(last(&client, name, args.last)).await;
    }
    let samples = match (&args.file, &args.records) {
        (Some(file), _) => sample::of_lines(&read(file)?, false)?,
        (_, Some(file)) => sample::of_lines(&read(file)?, true)?,
        _ => {
            return Err(Failure::usage("there is nothing to run it on")
                .advise("give --file, --records, --expect or --topic"));
        }
    };
    Ok(Input {
        topic: "test".to_owned(),
        samples,
        partitions: None,
    })
}

fn read(file: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(file)
        .map_err(|error| Failure::io(format_args!("cannot read {}", file.display()), &error))
}

/// A plugin that fails, as opposed to one that refuses, is damage.
fn failed(ran: &Ran, component: &Component) -> Outcome {
    let failures = ran.failures();
    if failures == 0 {
        return Ok(());
    }
    Err(Failure::damaged(format!(
        "`{}` failed on {} of {} records",
        component.description().name,
        failures,
        ran.rows.len()
    )))
}
