//! Rules of every text file: no path of somebody's machine, a lock file under version control,
//! and a README whose list of examples is the list of examples.

use super::Finding;
use crate::workspace::Workspace;
use anyhow::Result;

/// Beginnings of paths that exist on one machine only; in halves, not to find themselves.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

const README: &str = "README.md";

/// Checks all text files of the tree.
pub(super) fn check(workspace: &Workspace, findings: &mut Vec<Finding>) -> Result<()> {
    for file in &workspace.files {
        // Files that are not UTF-8 are not text.
        if let Ok(text) = std::fs::read_to_string(workspace.root.join(file)) {
            machine_paths(file, &text, findings);
        }
    }
    if !workspace.exists("Cargo.lock") {
        let mend = "commit it: builds of a binary must be repeatable";
        findings.push(Finding::new(
            "Cargo.lock",
            1,
            "it is not under version control",
            mend,
        ));
    }
    examples(workspace, findings)
}

fn machine_paths(file: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        for path in MACHINE_PATHS {
            let is_start = |at: usize| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || "_-./}".contains(c))
            };
            if line.match_indices(path).any(|(at, _)| is_start(at)) {
                let mend = "use a relative path, or one that the caller gives";
                let what = format!("a path of one machine ({path})");
                findings.push(Finding::new(file, index + 1, what, mend));
            }
        }
    }
}

/// Every runnable example is named in the README, and every one named there exists.
fn examples(workspace: &Workspace, findings: &mut Vec<Finding>) -> Result<()> {
    if !workspace.exists(README) {
        let mend = "write what it is, the two commands, the tour, and what works today";
        findings.push(Finding::new(README, 1, "there is no README", mend));
        return Ok(());
    }
    let text = workspace.read(README)?;
    // A measurement of one crate's insides is not for those who read the README.
    let shown = |target: &&crate::workspace::Target| !target.name.ends_with("_bench");
    let names = |target: &crate::workspace::Target| target.kind.iter().any(|k| k == "example");
    for package in &workspace.packages {
        for target in package.targets.iter().filter(|t| names(t)).filter(shown) {
            let wanted = format!("--example {}", target.name);
            let file = workspace.relative(&target.src_path);
            if !text.contains(&wanted) && !text.contains(&file) {
                let what = format!("the example {} is not in the README", target.name);
                let mend = format!("add a line with `cargo run -p {} {wanted}`", package.name);
                findings.push(Finding::new(README, 1, what, mend));
            }
        }
    }
    for (index, line) in text.lines().enumerate() {
        for (at, flag) in line.match_indices("--example ") {
            let name = line[at + flag.len()..]
                .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
                .next()
                .unwrap_or("");
            let mut targets = workspace
                .packages
                .iter()
                .flat_map(|package| &package.targets);
            if !targets.any(|target| names(target) && target.name == name) {
                let what = format!("there is no example {name}");
                findings.push(Finding::new(
                    README,
                    index + 1,
                    what,
                    "name one that exists",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_found() {
        let found = |text: &str| {
            let mut findings = Vec::new();
            machine_paths("a", text, &mut findings);
            findings.len()
        };
        assert_eq!(found(concat!("cd /wo", "rk/x")), 1);
        assert_eq!(found(concat!("a/wo", "rk/x and ./ro", "ot/y")), 0);
        assert_eq!(found(concat!("\"/ro", "ot/y\"")), 1);
    }
}
