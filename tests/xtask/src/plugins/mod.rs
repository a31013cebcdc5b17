//! `cargo xtask plugins`: builds the guests under `plugins/examples` and makes components of
//! them. Without `--check` the small ones become `plugins/prebuilt`; with it they only have to
//! behave as those do. `--foreign` builds the guests in other languages. It never guesses a toolchain: what is missing is named.

mod foreign;
mod toolchain;

use crate::step::{Steps, sh};
use crate::suggest;
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, bail};
use std::path::Path;
use toolchain::Toolchain;

const EXAMPLES: &str = "plugins/examples";
const PREBUILT: &str = "plugins/prebuilt";
const FLAGS: [&str; 3] = ["--check", "--foreign", "--only"];

/// What is asked for.
#[derive(Debug, Default)]
struct Wanted {
    check: bool,
    foreign: bool,
    only: Vec<String>,
}

impl Wanted {
    fn parse(args: &[String]) -> Result<Self> {
        let mut wanted = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--check" => wanted.check = true,
                "--foreign" => wanted.foreign = true,
                "--only" => wanted.only.push(suggest::value(arg, &mut args)?),
                other => bail!(suggest::unknown(other, &FLAGS)),
            }
        }
        Ok(wanted)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// Runs the command.
pub(crate) fn plugins(workspace: &Workspace, args: &[String]) -> Result<()> {
    let wanted = Wanted::parse(args)?;
    let mut steps = Steps::default();
    let built = workspace.scratch("components")?;
    if wanted.foreign {
        steps.run("guest in C", || foreign::c(workspace, &built));
        steps.run("guest in Python", || foreign::python(workspace, &built));
        steps.run("guest in JavaScript", || {
            foreign::javascript(workspace, &built)
        });
        steps.run("within their budgets", || {
            behaviour(workspace, &built, "guests_in_other_languages")
        });
        return steps.summary("plugins");
    }
    let names = rust_guests(workspace, &wanted)?;
    steps.run("guests in Rust", || rust(workspace, &names, &built));
    if wanted.check {
        steps.run("the same behaviour", || {
            behaviour(workspace, &built, "what_was_built")
        });
        steps.run("new projects", || new_projects(workspace));
    } else {
        steps.run("prebuilt", || publish(workspace, &names, &built));
    }
    steps.summary("plugins")
}

/// The crates under `plugins/examples`.
fn rust_guests(workspace: &Workspace, wanted: &Wanted) -> Result<Vec<String>> {
    let is_guest = |manifest: &Path| workspace.relative(manifest).starts_with(EXAMPLES);
    let all = workspace.packages.iter();
    let names: Vec<String> = all
        .filter(|package| is_guest(&package.manifest_path) && wanted.wants(&package.name))
        .map(|package| package.name.clone())
        .collect();
    if names.is_empty() {
        bail!("there is no such guest under {EXAMPLES}");
    }
    Ok(names)
}

/// Builds the guests and writes their components into `built`.
fn rust(workspace: &Workspace, names: &[String], built: &Path) -> Result<()> {
    // What an earlier run left must not be taken for this one's.
    for name in names {
        let file = built.join(format!("{name}.wasm"));
        if file.exists() {
            std::fs::remove_file(&file)?;
        }
    }
    let toolchain = Toolchain::find()?;
    println!("    with {toolchain}");
    let target = workspace.scratch("guests")?;
    let mut command = toolchain.cargo();
    command
        .current_dir(&workspace.root)
        .args(["build", "--locked", "--profile", "plugin", "--target"])
        .args([toolchain::TARGET, "--target-dir"])
        .arg(&target);
    for name in names {
        command.args(["--package", name]);
    }
    sh(&mut command)?;
    let modules = target.join(toolchain::TARGET).join("plugin");
    for name in names {
        let module = modules.join(format!("{}.wasm", name.replace('-', "_")));
        let component = component(&module)?;
        std::fs::write(built.join(format!("{name}.wasm")), component)?;
    }
    Ok(())
}

/// A component of a core module that says in its own sections which world it is for.
fn component(module: &Path) -> Result<Vec<u8>> {
    let bytes =
        std::fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode());
    encoded.with_context(|| format!("{} makes no component", module.display()))
}

fn publish(workspace: &Workspace, names: &[String], built: &Path) -> Result<()> {
    let prebuilt = workspace.root.join(PREBUILT);
    std::fs::create_dir_all(&prebuilt)?;
    for name in names {
        let file = format!("{name}.wasm");
        let bytes = std::fs::copy(built.join(&file), prebuilt.join(&file))?;
        println!("    {PREBUILT}/{file}: {bytes} bytes");
    }
    Ok(())
}

/// Builds what `weir plugin new` writes, where it takes too long for `cargo test`.
fn new_projects(workspace: &Workspace) -> Result<()> {
    sh(cargo()
        .current_dir(&workspace.root)
        .env("WEIR_PLUGINS_NEW", "1")
        .args(["test", "--package", "weir", "--test", "plugins"])
        .args(["--", "--nocapture", "a_new_project"]))
}

/// Runs what was built on the broker's own host, the Rust guests beside those that are kept: a
/// test of the host, which is told where the new ones are. It prints what guests in other
/// languages cost.
fn behaviour(workspace: &Workspace, built: &Path, test: &str) -> Result<()> {
    sh(cargo()
        .current_dir(&workspace.root)
        .env("WEIR_PLUGINS_BUILT", built)
        .args([
            "test",
            "--package",
            "weir-plugin-host",
            "--test",
            "prebuilt",
        ])
        .args(["--", "--nocapture", test]))
}
