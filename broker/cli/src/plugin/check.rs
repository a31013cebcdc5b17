//! `weir plugin check`: what a component is, what it imports and takes, how large it is and what it
//! may use. It is compiled and asked what it is, and not attached anywhere.

use super::{local, words};
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::{human, output};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use weir_plugin_host::{Component, Standing};

/// `weir plugin check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Also have it take these parameters; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(super) fn run(args: &CheckArgs) -> Outcome {
    let bytes = words::component(&args.file)?;
    let host = local::host()?;
    let began = Instant::now();
    let component = local::compile(&host, &bytes)?;
    let took = began.elapsed();
    let parameters = words::parameters(&args.set)?;
    // Required parameters may be unknown to who only wants to look.
    if !parameters.is_empty() {
        local::configure(&component, &parameters)?;
    }
    if args.json.json {
        return output::json(&as_json(&component, took));
    }
    print(&component, took, &parameters)
}

fn print(component: &Component, took: Duration, given: &BTreeMap<String, String>) -> Outcome {
    let description = component.description();
    let budget = component.budget();
    output::line(format_args!(
        "plugin     {}@{}: {}",
        description.name,
        description.version,
        human::name(&description.summary)
    ))?;
    output::line(format_args!("world      {}", component.world().name()))?;
    output::line(format_args!(
        "size       {} bytes, compiled in {}",
        human::count(component.size_bytes() as i128),
        human::duration(took)
    ))?;
    output::line(format_args!(
        "sha-256    {}",
        words::hex(&component.digest())
    ))?;
    output::line("imports")?;
    for import in component.imports() {
        output::line(format_args!(
            "  {}: {}",
            import.name,
            standing(import.standing)
        ))?;
    }
    output::line("parameters")?;
    for parameter in &description.parameters {
        let told = words::described(parameter);
        let line = words::parameter_line(&told);
        output::line(format_args!("  {}", human::name(&line)))?;
    }
    if description.parameters.is_empty() {
        output::line("  none")?;
    }
    output::line("limits")?;
    output::line(format_args!(
        "  fuel       {} a batch and {} a record",
        human::count(i128::from(budget.fuel_per_batch)),
        human::count(i128::from(budget.fuel_per_record))
    ))?;
    output::line(format_args!(
        "  memory     {} bytes",
        human::count(budget.memory_bytes as i128)
    ))?;
    output::line(format_args!(
        "  output     {} times what it is given, and {} bytes",
        budget.output_factor,
        human::count(budget.output_spare_bytes as i128)
    ))?;
    output::line(format_args!(
        "  time       {} a call, where fuel does not end it before",
        human::duration(budget.call)
    ))?;
    if given.is_empty() {
        Ok(())
    } else {
        output::line("it takes these parameters")
    }
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Plugin => "what every plugin has",
        Standing::Fixed => "does the same everywhere",
        Standing::Traps => "is there, but ends the call where it is used",
    }
}

fn as_json(component: &Component, took: Duration) -> Value {
    let description = component.description();
    let budget = component.budget();
    let imports = component
        .imports()
        .iter()
        .map(|import| json!({ "name": import.name, "standing": standing(import.standing) }));
    let parameters = description.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "summary": parameter.summary,
            "required": parameter.required,
            "default": parameter.default,
        })
    });
    json!({
        "name": description.name,
        "version": description.version,
        "summary": description.summary,
        "world": component.world().name(),
        "bytes": component.size_bytes(),
        "sha256": words::hex(&component.digest()),
        "compileMs": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "imports": imports.collect::<Vec<_>>(),
        "parameters": parameters.collect::<Vec<_>>(),
        "limits": {
            "fuelPerBatch": budget.fuel_per_batch,
            "fuelPerRecord": budget.fuel_per_record,
            "memoryBytes": budget.memory_bytes,
            "outputFactor": budget.output_factor,
            "outputSpareBytes": budget.output_spare_bytes,
            "callMs": u64::try_from(budget.call.as_millis()).unwrap_or(u64::MAX),
        },
    })
}
