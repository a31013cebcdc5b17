//! `weir plugin replay`: what plugins failed on, and the same batch run again here, in the version
//! that failed or in a new one. It changes nothing on the broker.

use super::sample;
use super::test::{How, Input, run_samples, show};
use super::{local, refusal, words};
use crate::args::JsonArg;
use crate::failure::{Failure, Outcome};
use crate::table::Table;
use crate::{human, output};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use weir_client::Client;
use weir_client::admin::{PluginFailure, failure_kind_name};

/// The most failures that are listed.
const LISTED_MAX: i32 = 100;

/// `weir plugin replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// List what these plugins failed on [default: all]
    #[arg(value_name = "NAME", conflicts_with = "id")]
    plugins: Vec<String>,
    /// Run the batch of this failure again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    id: Option<i64>,
    /// With this component instead of the version that failed
    #[arg(long, value_name = "FILE.wasm", requires = "id")]
    with: Option<PathBuf>,
    /// With these parameters instead of those it had; may be given several times
    #[arg(long, value_name = "NAME=VALUE", requires = "id")]
    set: Vec<String>,
    /// Router jobs: how many topics it may choose among
    #[arg(long, value_name = "N", requires = "id")]
    outputs: Option<u32>,
    /// Show only records of which it makes something else
    #[arg(long, requires = "id")]
    changed: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: ReplayArgs) -> Outcome {
    let Some(id) = args.id else {
        return list(client, &args).await;
    };
    let failure = client.admin().plugin_failure(id).await;
    let failure = failure.map_err(|error| refusal::admin(&error))?;
    let link = words::chain(&failure.link)?.links.pop();
    let mut set = args.set.clone();
    if set.is_empty() {
        let given = link.iter().flat_map(|link| &link.parameters);
        set.extend(given.map(|(name, value)| format!("{name}={value}")));
    }
    let bytes = match &args.with {
        Some(file) => words::component(file)?,
        None => component(client, &failure).await?,
    };
    let columns = failure
        .columns()
        .map_err(|error| Failure::failed(error.to_string()))?;
    let input = Input {
        topic: failure.topic.clone(),
        samples: sample::samples(&columns, failure.partition.0),
        partitions: None,
    };
    let how = How::transform(set, args.outputs);
    let ran = tokio::task::block_in_place(|| {
        let host = local::host()?;
        let component = local::compile(&host, &bytes)?;
        run_samples(&component, &input, &how)
    })?;
    if !args.json.json {
        output::line(told(&failure))?;
    }
    show(&ran, &input, args.changed, args.json)?;
    match ran.failures() {
        0 => Ok(()),
        count => Err(Failure::damaged(format!(
            "it still fails, on {}",
            human::records(i128::try_from(count).unwrap_or(i128::MAX))
        ))),
    }
}

async fn component(client: &Client, failure: &PluginFailure) -> Outcome<Vec<u8>> {
    let (name, version) = (failure.plugin.as_str(), failure.version.as_str());
    let got = client.admin().get_plugin(name, Some(version), None).await;
    let got = match got {
        Ok(got) => got,
        Err(error) => return Err(refusal::plugin(client, name, &error).await),
    };
    let bytes = got.component.map(|bytes| bytes.to_vec());
    bytes.ok_or_else(|| Failure::failed("the broker did not send the component"))
}

async fn list(client: &Client, args: &ReplayArgs) -> Outcome {
    let mut names = Vec::new();
    for plugin in &args.plugins {
        names.push(words::plugin(plugin)?.name);
    }
    let failures = client.admin().plugin_failures(&names, LISTED_MAX).await;
    let failures = failures.map_err(|error| refusal::admin(&error))?;
    if args.json.json {
        return output::json(&failures.iter().map(as_json).collect::<Vec<_>>());
    }
    if failures.is_empty() {
        eprintln!("weir: no failure is kept");
        return Ok(());
    }
    let mut table = Table::new(&["ID", "TIME", "PLUGIN", "PLACE", "RECORD", "KIND", "MESSAGE"]);
    for failure in &failures {
        table.row([
            failure.id.to_string(),
            human::time(failure.time.0),
            format!("{}@{}", failure.plugin, failure.version),
            failure.place.to_string(),
            record(failure),
            failure_kind_name(failure.kind).to_owned(),
            human::name(failure.message.lines().next().unwrap_or_default()),
        ]);
    }
    output::table(&table)
}

/// Which record it was.
fn record(failure: &PluginFailure) -> String {
    let place = format!("{}/{}", failure.topic, failure.partition);
    match (failure.base_offset, failure.row) {
        (Some(base), Some(row)) => format!("{place}:{}", base.0 + i64::from(row)),
        (None, Some(row)) => format!("{place} #{row} of {}", failure.records),
        (_, None) => format!("{place}, all {}", failure.records),
    }
}

fn told(failure: &PluginFailure) -> String {
    format!(
        "{}@{} failed at {} on {}: {}: {}",
        failure.plugin,
        failure.version,
        human::time(failure.time.0),
        record(failure),
        failure_kind_name(failure.kind),
        human::name(&failure.message)
    )
}

fn as_json(failure: &PluginFailure) -> Value {
    json!({
        "id": failure.id,
        "time": failure.time.0,
        "plugin": failure.plugin,
        "version": failure.version,
        "link": failure.link,
        "place": words::place_json(&failure.place),
        "topic": failure.topic,
        "partition": failure.partition.0,
        "baseOffset": failure.base_offset.map(|offset| offset.0),
        "records": failure.records,
        "row": failure.row,
        "kind": failure_kind_name(failure.kind),
        "message": failure.message,
    })
}
