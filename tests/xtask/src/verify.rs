//! `verify`, the gate that never writes, and `fix`, the one that does.

use crate::sim;
use crate::step::{Steps, sh, stdout};
use crate::suggest;
use crate::tidy;
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// The page of settings that is made from the code.
const CONFIG_PAGE: &str = "broker/CONFIG.md";

/// Every check that a change must pass, each with its time; all run even when one fails.
pub(crate) fn verify(workspace: &Workspace, args: &[String]) -> Result<()> {
    suggest::only_flags(args, &["--skip-tests"])?;
    let skip_tests = args.iter().any(|arg| arg == "--skip-tests");
    let before = tree_state(workspace)?;
    let in_root = |args: &[&str]| {
        let mut command = cargo();
        command.current_dir(&workspace.root).args(args);
        command
    };
    let mut steps = Steps::default();
    steps.run("tidy", || tidy_step(workspace));
    steps.run("format", || sh(&mut in_root(&["fmt", "--all", "--check"])));
    steps.run("lints", || {
        let lints = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
        ];
        sh(in_root(&lints).args(["--", "-D", "warnings"]))
    });
    if !skip_tests {
        steps.run("tests", || {
            sh(&mut in_root(&["test", "--workspace", "--locked"]))
        });
    }
    steps.run("documents", || {
        let doc = ["doc", "--no-deps", "--workspace", "--locked", "--quiet"];
        sh(in_root(&doc).env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.run("broker/CONFIG.md is fresh", || {
        config_page_is_fresh(workspace)
    });
    steps.run("simulator: fixed seeds", || sim::fixed_seeds(workspace));
    steps.run("simulator: same seed, same run", || {
        sim::determinism(workspace)
    });
    steps.run("nothing was written", || {
        if tree_state(workspace)? != before {
            bail!("a step changed files of the tree: see `git status`");
        }
        Ok(())
    });
    steps.summary("verify")
}

/// Formats, lets clippy mend what it can, and writes the page of settings again.
pub(crate) fn fix(workspace: &Workspace, args: &[String]) -> Result<()> {
    suggest::only_flags(args, &[])?;
    let in_root = |args: &[&str]| {
        let mut command = cargo();
        command.current_dir(&workspace.root).args(args);
        command
    };
    let mut steps = Steps::default();
    steps.run("clippy's mends", || {
        let fix = ["clippy", "--fix", "--workspace", "--all-targets", "--quiet"];
        sh(in_root(&fix).args(["--allow-dirty", "--allow-staged"]))
    });
    steps.run("format", || sh(&mut in_root(&["fmt", "--all"])));
    steps.run("broker/CONFIG.md", || {
        let page = config_page(workspace)?;
        std::fs::write(workspace.root.join(CONFIG_PAGE), page).context(CONFIG_PAGE)
    });
    steps.run("tidy", || tidy_step(workspace));
    steps.summary("fix")
}

fn tidy_step(workspace: &Workspace) -> Result<()> {
    let findings = tidy::run(workspace)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} finding(s)", findings.len());
    }
    Ok(())
}

/// What the code says about its settings. The debug build is used: tests have built most of it.
fn config_page(workspace: &Workspace) -> Result<String> {
    let run = [
        "run",
        "--quiet",
        "--locked",
        "--package",
        "weir",
        "--",
        "docs",
        "config",
    ];
    stdout(cargo().current_dir(&workspace.root).args(run))
}

fn config_page_is_fresh(workspace: &Workspace) -> Result<()> {
    let page = config_page(workspace)?;
    let there = workspace.read(CONFIG_PAGE)?;
    for (index, (is, should)) in there.lines().zip(page.lines()).enumerate() {
        if is != should {
            bail!(
                "{CONFIG_PAGE}:{}: it says `{is}`, the code says `{should}` -> cargo xtask fix",
                index + 1
            );
        }
    }
    if there != page {
        bail!("{CONFIG_PAGE}: its end differs from what the code says -> cargo xtask fix");
    }
    Ok(())
}

/// What git sees of the tree, to prove that nothing was written. An unpacked archive has no git
/// and no such proof.
fn tree_state(workspace: &Workspace) -> Result<String> {
    if !workspace.in_git {
        return Ok(String::new());
    }
    let git = |args: &[&str]| stdout(Command::new("git").current_dir(&workspace.root).args(args));
    Ok(git(&["status", "--porcelain"])? + &git(&["diff", "HEAD"])?)
}
