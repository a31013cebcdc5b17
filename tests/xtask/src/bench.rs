//! `bench`: prepares Apache Kafka's jars and both brokers and hands over to `tests/bench/run.py`,
//! which drives and measures; `bench wasm` builds `weir-wasm` and hands over to it. No measurement
//! happens here.

use crate::step::{Steps, sh};
use crate::suggest;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

const KNOWN: [&str; 5] = ["--quick", "--only", "--json", "--weir", "--list"];

/// Runs the tables that were asked for, or all.
pub(crate) fn bench(workspace: &Workspace, args: &[String]) -> Result<()> {
    if let Some((first, rest)) = args.split_first()
        && first == "wasm"
    {
        return wasm(workspace, rest);
    }
    let mut passed_on: Vec<String> = Vec::new();
    let mut weir: Option<PathBuf> = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" | "--list" => passed_on.push(arg.clone()),
            "--only" | "--json" => passed_on.extend([arg.clone(), suggest::value(arg, &mut args)?]),
            "--weir" => weir = Some(suggest::value(arg, &mut args)?.into()),
            other => bail!(suggest::unknown(other, &KNOWN)),
        }
    }
    let script = workspace.root.join("tests/bench/run.py");
    if passed_on.iter().any(|arg| arg == "--list") {
        return sh(Command::new("python3").arg(script).arg("--list"));
    }
    let mut kafka = String::new();
    let mut steps = Steps::default();
    steps.run("Apache Kafka's jars", || {
        kafka = tools::kafka(workspace)?;
        Ok(())
    });
    steps.run("weir, built for release", || {
        if weir.is_none() {
            weir = Some(tools::weir(workspace)?);
        }
        Ok(())
    });
    steps.summary("preparation")?;
    let Some(weir) = weir else {
        bail!("there is no weir binary")
    };
    let mut command = Command::new("python3");
    command
        .arg(script)
        .arg("--weir")
        .arg(weir)
        .args(["--kafka-class-path", &kafka]);
    sh(command
        .arg("--work")
        .arg(workspace.scratch("bench")?)
        .args(passed_on))
}

/// What a transform costs natively and in Wasm, with the components of `plugins/prebuilt`.
fn wasm(workspace: &Workspace, args: &[String]) -> Result<()> {
    suggest::only_flags(args, &["--quick"])?;
    let program = tools::release(workspace, "weir-bench", "weir-wasm")?;
    sh(Command::new(program)
        .arg("--prebuilt")
        .arg(workspace.root.join("plugins/prebuilt"))
        .args(args))
}
