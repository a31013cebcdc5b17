//! `e2e`: prepares the foreign clients and hands over to `tests/e2e/run.py`, which starts real
//! processes. No scenario lives here.

use crate::step::{Steps, sh};
use crate::suggest;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

const KNOWN: [&str; 6] = [
    "--only",
    "--full",
    "--list",
    "--keep",
    "--weir",
    "--against-kafka",
];

/// Runs the scenarios that were asked for, or all.
pub(crate) fn e2e(workspace: &Workspace, args: &[String]) -> Result<()> {
    let mut passed_on: Vec<String> = Vec::new();
    let mut given_weir = None;
    let mut against_kafka = false;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--full" | "--list" | "--keep" => passed_on.push(arg.clone()),
            "--only" => passed_on.extend([arg.clone(), suggest::value(arg, &mut args)?]),
            "--against-kafka" => against_kafka = true,
            "--weir" => given_weir = Some(PathBuf::from(suggest::value(arg, &mut args)?)),
            other => bail!(suggest::unknown(other, &KNOWN)),
        }
    }
    let script = workspace.root.join("tests/e2e/run.py");
    if passed_on.iter().any(|arg| arg == "--list") {
        return sh(Command::new("python3").arg(script).arg("--list"));
    }
    let mut tools_found = Tools::default();
    let mut steps = Steps::default();
    steps.run("python clients", || {
        keep(&mut tools_found.python, tools::python(workspace))
    });
    steps.run("java client", || {
        keep(&mut tools_found.java, tools::java_client(workspace))
    });
    steps.run("kcat", || keep(&mut tools_found.kcat, tools::kcat()));
    if against_kafka {
        steps.run("Apache Kafka's jars", || {
            keep(&mut tools_found.kafka, tools::kafka(workspace))
        });
    }
    // Against Kafka it is needed too: our own client is one of the clients.
    steps.run("weir, built for release", || match given_weir {
        Some(path) => keep(&mut tools_found.weir, Ok(path)),
        None => keep(&mut tools_found.weir, tools::weir(workspace)),
    });
    steps.summary("preparation")?;
    let Tools {
        python: Some(python),
        java: Some(java),
        kcat: Some(kcat),
        weir: Some(weir),
        kafka,
    } = tools_found
    else {
        bail!("a tool is missing")
    };
    let mut command = Command::new(python);
    command
        .arg(script)
        .args(["--java-class-path", &java])
        .arg("--kcat")
        .arg(kcat);
    command
        .arg("--weir-load")
        .arg(tools::beside(&weir, "weir-load"));
    command.arg("--weir").arg(weir);
    if let Some(kafka) = kafka {
        command.arg("--against-kafka").arg(kafka);
    }
    sh(command
        .arg("--work")
        .arg(workspace.scratch("e2e")?)
        .args(passed_on))
}

#[derive(Default)]
struct Tools {
    python: Option<PathBuf>,
    java: Option<String>,
    kcat: Option<PathBuf>,
    kafka: Option<String>,
    weir: Option<PathBuf>,
}

fn keep<T>(place: &mut Option<T>, value: Result<T>) -> Result<()> {
    *place = Some(value?);
    Ok(())
}
