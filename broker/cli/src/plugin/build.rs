//! `weir plugin build`: has the language's own tools build a plugin and makes a component of it. A
//! tool that is missing is named, with what installs it; nothing is installed here.

mod native;
mod scripts;

use super::project::{Lang, Project};
use super::{local, words};
use crate::args::JsonArg;
use crate::failure::{Failure, Outcome};
use crate::{human, output};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `weir plugin build`.
#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    /// The plugin's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Where to write the component [default: FOLDER/NAME.wasm]
    #[arg(long, short, value_name = "FILE.wasm")]
    out: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(super) fn run(args: &BuildArgs) -> Outcome {
    let project = Project::open(&args.folder)?;
    let file = args.out.clone().unwrap_or_else(|| project.component());
    let component = build(&project, None)?;
    std::fs::write(&file, &component)
        .map_err(|error| Failure::io(format_args!("cannot write {}", file.display()), &error))?;
    let host = local::host()?;
    let compiled = local::compile(&host, &component)?;
    let description = compiled.description();
    let name = format!("{}@{}", description.name, description.version);
    if args.json.json {
        return output::json(&json!({
            "name": description.name,
            "version": description.version,
            "world": compiled.world().name(),
            "bytes": component.len(),
            "sha256": words::hex(&compiled.digest()),
            "file": file,
        }));
    }
    output::line(format_args!(
        "built {name} ({}, {}): {}",
        compiled.world().name(),
        human::bytes(component.len() as u64),
        file.display()
    ))
}

/// Builds a component. `version` replaces the one that the source says, in languages that can.
pub(super) fn build(project: &Project, version: Option<&str>) -> Outcome<Vec<u8>> {
    match project.lang {
        Lang::Rust => native::rust(project, version),
        Lang::C => native::c(project, version),
        Lang::Python => scripts::python(project),
        Lang::Js => scripts::js(project),
    }
}

/// A component of a core module that says in a section of its own which world it is for.
fn componentize(module: &Path) -> Outcome<Vec<u8>> {
    let bytes = read(module)?;
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| {
        let text = error
            .chain()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ");
        Failure::failed(format!("{} makes no component: {text}", module.display()))
    })
}

fn read(file: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(file)
        .map_err(|error| Failure::io(format_args!("cannot read {}", file.display()), &error))
}

/// Runs a tool, whose words go to standard error; `missing` is told where there is none.
fn tool(command: &mut Command, missing: &str) -> Outcome {
    let name = command.get_program().to_string_lossy().into_owned();
    // Standard output belongs to this command's own result.
    command.stdout(std::io::stderr());
    let status = command
        .status()
        .map_err(|error| Failure::io(format_args!("cannot run {name}"), &error).advise(missing))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::failed(format!("{name} says what is wrong above")))
}

/// What a tool prints; nothing where it is not there or fails.
fn printed(command: &mut Command) -> Option<String> {
    let output = command.stderr(std::process::Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The first of these programs that is on the path.
fn on_path<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.into_iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    })
}
