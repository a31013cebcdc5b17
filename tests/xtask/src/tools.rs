//! The foreign tools that end-to-end runs and benchmarks need: a Python environment with pinned
//! clients, jars from Maven, `kcat`. Everything lands below the target folder. What cannot be had
//! is named, together with the command that would bring it.

use crate::step::{sh, stdout};
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The release binary `weir`, built now together with the load generator of the e2e runs.
pub(crate) fn weir(workspace: &Workspace) -> Result<PathBuf> {
    let build = [
        "build",
        "--release",
        "--locked",
        "--package",
        "weir",
        "--package",
        "weir-bench",
    ];
    sh(cargo().current_dir(&workspace.root).args(build))?;
    Ok(beside(&workspace.target.join("release/x"), "weir"))
}

/// One binary of a package, built for release now.
pub(crate) fn release(workspace: &Workspace, package: &str, name: &str) -> Result<PathBuf> {
    let build = ["build", "--release", "--locked", "--package", package];
    let mut command = cargo();
    command.current_dir(&workspace.root).args(build);
    sh(command.args(["--bin", name]))?;
    Ok(beside(&workspace.target.join("release/x"), name))
}

/// The program of that name in the folder where `other` is.
pub(crate) fn beside(other: &Path, name: &str) -> PathBuf {
    other.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A Python with the pinned clients of `tests/e2e/requirements.txt`.
pub(crate) fn python(workspace: &Workspace) -> Result<PathBuf> {
    let system = find("python3").context(
        "python3 is missing: apt-get install python3 python3-venv (any Python from 3.11 on)",
    )?;
    let new_enough = "import sys; sys.exit(sys.version_info < (3, 11))";
    sh(Command::new(&system).args(["-c", new_enough]))
        .context("the pinned Python clients need Python 3.11 or later")?;
    let requirements = "tests/e2e/requirements.txt";
    let wanted = workspace.read(requirements)?;
    let folder = workspace.scratch("venv")?;
    let python = folder.join("bin/python");
    let mark = folder.join("installed.txt");
    if std::fs::read_to_string(&mark).is_ok_and(|is| is == wanted) && python.exists() {
        return Ok(python);
    }
    println!("    making a Python environment in {}", folder.display());
    sh(Command::new(&system)
        .args(["-m", "venv", "--clear"])
        .arg(&folder))
    .context("cannot make a Python environment (apt-get install python3-venv)")?;
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ];
    sh(Command::new(&python)
        .args(install)
        .arg(workspace.root.join(requirements)))?;
    std::fs::write(&mark, wanted)?;
    Ok(python)
}

/// The class path of our small Java client, built with Maven.
pub(crate) fn java_client(workspace: &Workspace) -> Result<String> {
    let folder = workspace.scratch("java")?;
    maven(workspace, "tests/e2e/java", &folder, &["package"])?;
    Ok(format!("{0}/weir-e2e.jar:{0}/lib/*", folder.display()))
}

/// The class path of Apache Kafka's broker and tools.
pub(crate) fn kafka(workspace: &Workspace) -> Result<String> {
    let folder = workspace.scratch("kafka")?;
    maven(workspace, "tests/bench/kafka", &folder, &["package"])?;
    Ok(format!("{}/lib/*", folder.display()))
}

/// Runs Maven unless its project has not changed since the last time.
fn maven(workspace: &Workspace, project: &str, folder: &Path, goals: &[&str]) -> Result<()> {
    let prefix = format!("{project}/");
    let mut inputs = String::new();
    for file in workspace
        .files
        .iter()
        .filter(|file| file.starts_with(&prefix))
    {
        inputs += &workspace.read(file)?;
    }
    let mark = folder.join("built.txt");
    if std::fs::read_to_string(&mark).is_ok_and(|is| is == inputs) {
        return Ok(());
    }
    for tool in ["java", "mvn"] {
        if find(tool).is_none() {
            bail!("{tool} is missing: apt-get install --no-install-recommends default-jdk maven");
        }
    }
    println!("    fetching and building {project} with Maven");
    let mut command = Command::new("mvn");
    command
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(workspace.root.join(project));
    sh(command
        .arg(format!("-Dweir.target={}", folder.display()))
        .args(goals))?;
    std::fs::write(&mark, inputs)?;
    Ok(())
}

/// `kcat`, installed by apt where we are root and it is missing.
pub(crate) fn kcat() -> Result<PathBuf> {
    if let Some(kcat) = find("kcat") {
        return Ok(kcat);
    }
    let is_root = stdout(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if is_root && find("apt-get").is_some() {
        let apt = |args: &[&str]| {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
            command.stdout(Stdio::null());
            sh(&mut command)
        };
        apt(&["-qq", "update"])?;
        apt(&["-qq", "install", "--yes", "--no-install-recommends", "kcat"])?;
    }
    find("kcat").context("kcat is missing: apt-get install kcat")
}

/// A program on the path.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
