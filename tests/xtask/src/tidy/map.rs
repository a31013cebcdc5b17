//! `broker/ARCHITECTURE.md` is a map, and a map that no machine reads drifts. So: every crate has
//! a section, every path and crate named in a document exists, every invariant is cited by a test
//! and every cited one is listed, every foreign library has its line.

use super::Finding;
use super::config::Layers;
use super::layers::workspace_dependencies;
use super::source::Source;
use crate::workspace::Workspace;
use anyhow::Result;
use std::collections::BTreeMap;

const MAP: &str = "broker/ARCHITECTURE.md";

/// Where the pure crates lie.
const CORES: &str = "broker/core/";

/// Checks the map and every other document of the tree.
pub(super) fn check(
    workspace: &Workspace,
    layers: &Layers,
    sources: &[Source],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    for file in workspace.files.iter().filter(|file| file.ends_with(".md")) {
        named_things(workspace, layers, file, &workspace.read(file)?, findings);
    }
    if !workspace.exists(MAP) {
        let mend = "write the map: entry points, a section per crate, invariants, assumptions";
        findings.push(Finding::new(MAP, 1, "there is no map", mend));
        return Ok(());
    }
    let text = workspace.read(MAP)?;
    sections(workspace, &text, findings);
    invariants(&text, sources, findings);
    dependency_table(workspace, &text, findings);
    Ok(())
}

fn sections(workspace: &Workspace, text: &str, findings: &mut Vec<Finding>) {
    let headings: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .flat_map(words)
        .collect();
    for package in &workspace.packages {
        if !headings.contains(&package.name.as_str()) {
            let what = format!("the crate {} has no section", package.name);
            let mend = "add a heading with its name: its role, what it must never know, invariants";
            findings.push(Finding::new(MAP, 1, what, mend));
        }
    }
}

/// The words of a line, where a word may hold dashes and underscores.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'))
        .filter(|w| !w.is_empty())
}

/// What stands between backticks must exist, if it looks like a path of ours or a crate of ours.
fn named_things(
    workspace: &Workspace,
    layers: &Layers,
    file: &str,
    text: &str,
    findings: &mut Vec<Finding>,
) {
    for (index, line) in text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let path = quoted.split([':', '#']).next().unwrap_or(quoted);
            if is_path(path) && !path_exists(workspace, file, path) {
                let what = format!("it names {path}, which does not exist");
                findings.push(Finding::new(file, index + 1, what, "name what is there"));
            }
            let is_crate = quoted.starts_with("weir-") && words(quoted).count() == 1;
            let known = workspace.package(quoted).is_some()
                || layers.rooms.crates.iter().any(|room| room == quoted);
            if is_crate && !known && !is_other_weir_name(quoted) {
                let what = format!("it names {quoted}, which is no crate");
                let mend = "name a crate that is there, or give it a room in broker/layers.toml";
                findings.push(Finding::new(file, index + 1, what, mend));
            }
        }
    }
}

/// Names that begin like our crates and are something else: the data folder.
fn is_other_weir_name(name: &str) -> bool {
    name == "weir-data"
}

fn is_path(text: &str) -> bool {
    let ends = [".rs", ".md", ".toml", ".py", ".java", ".sh"];
    let plain = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    let tops = ["broker/", "tests/", "gui/", "plugins/", "wit/", ".ci/"];
    text.chars().all(plain)
        && text.contains('/')
        && (ends.iter().any(|end| text.ends_with(end))
            || tops.iter().any(|top| text.starts_with(top)))
}

/// A path may be given from the root, from `broker/`, from the document's own folder, or from
/// the source folder of a crate.
fn path_exists(workspace: &Workspace, document: &str, path: &str) -> bool {
    let path = path.trim_start_matches("./");
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let inner = format!("/{path}");
    workspace.exists(path)
        || workspace.exists(&format!("broker/{path}"))
        || workspace.exists(&format!("{folder}/{path}"))
        || (path.ends_with(".rs") && workspace.files.iter().any(|file| file.ends_with(&inner)))
}

/// Where each id of an invariant (`I-` LETTERS `-` NUMBER) stands in a text.
fn ids(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in words(line) {
            let mut parts = word.split('-');
            let is_id = parts.next() == Some("I")
                && parts
                    .next()
                    .is_some_and(|p| p.len() >= 2 && p.chars().all(|c| c.is_ascii_uppercase()))
                && parts
                    .next()
                    .is_some_and(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit()))
                && parts.next().is_none();
            if is_id {
                found.push((word.to_owned(), index + 1));
            }
        }
    }
    found
}

/// Whether a line is the message of an assertion about that invariant. A core's assertions stay on:
/// every test and every simulated run goes through them.
fn is_assertion(line: &str, id: &str) -> bool {
    !line.trim_start().starts_with("//") && line.contains(&format!("\"{id}"))
}

fn invariants(map: &str, sources: &[Source], findings: &mut Vec<Finding>) {
    let listed: BTreeMap<String, usize> = ids(map).into_iter().rev().collect();
    let mut tested: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources
        .iter()
        .filter(|source| !source.file.starts_with("tests/xtask/"))
    {
        let is_check = source.file.starts_with("tests/")
            || source.is_test_file()
            || source.code.contains("#[test]")
            || source.code.contains("#[tokio::test");
        for (id, line) in ids(&source.text) {
            if !listed.contains_key(&id) {
                let what = format!("it cites {id}, which {MAP} does not list");
                findings.push(Finding::new(
                    &source.file,
                    line,
                    what,
                    "list it there, or mend it",
                ));
            }
            let asserted = source.file.starts_with(CORES)
                && source
                    .text
                    .lines()
                    .nth(line - 1)
                    .is_some_and(|text| is_assertion(text, &id));
            if is_check || asserted {
                *tested.entry(id).or_default() += 1;
            }
        }
    }
    for (id, line) in &listed {
        if !tested.contains_key(id) {
            let what = format!("no test, no check of the simulator, no assertion cites {id}");
            findings.push(Finding::new(
                MAP,
                *line,
                what,
                "name it in the test that proves it",
            ));
        }
    }
}

/// The table of foreign libraries: the rows under a heading that says "dependencies".
fn dependency_table(workspace: &Workspace, text: &str, findings: &mut Vec<Finding>) {
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('#') {
            inside = line.to_lowercase().contains("dependenc");
        } else if inside && line.starts_with("| `") {
            let cell = line
                .trim_start_matches("| ")
                .split('|')
                .next()
                .unwrap_or("");
            for name in cell.split('`').skip(1).step_by(2) {
                rows.insert(name, index + 1);
            }
        }
    }
    let wanted: Vec<(String, usize)> = workspace_dependencies(workspace)
        .into_iter()
        .filter(|(name, _)| workspace.package(name).is_none())
        .collect();
    for (name, line) in &wanted {
        if !rows.contains_key(name.as_str()) {
            let what = format!("{name} has no row in the dependency table of {MAP}");
            let mend = format!("add `| \\`{name}\\` | why it is here |` there");
            findings.push(Finding::new(
                "Cargo.toml",
                *line,
                what,
                mend.replace("\\`", "`"),
            ));
        }
    }
    for (name, line) in rows {
        if !wanted.iter().any(|(wanted, _)| wanted == name) {
            let what = format!("the dependency table names {name}, which nobody depends on");
            findings.push(Finding::new(MAP, line, what, "take the row out"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_words() {
        let found =
            ids("- I-STO-12: starts outlive. See `I-REP-1`, not I-am-1 or HI-REP-2.\nI-X-1");
        let found: Vec<(&str, usize)> = found.iter().map(|(id, n)| (id.as_str(), *n)).collect();
        assert_eq!(found, [("I-STO-12", 1), ("I-REP-1", 1)]);
    }

    #[test]
    fn an_invariant_is_cited_by_a_test_and_a_cited_one_is_listed() {
        let mention = |n: u8| format!("//! I-{}-{n}\n#[test]\nfn f() {{}}\n", "REP");
        let sources = [
            Source::new("a/src/x.rs", mention(1)),
            Source::new("a/src/y.rs", format!("//! I-{}-2\n", "REP")),
            Source::new("a/src/z.rs", mention(9)),
            Source::new(
                "broker/core/a/src/x.rs",
                format!("assert!(x, \"I-{}-3: y\");\n", "REP"),
            ),
        ];
        let mut findings = Vec::new();
        invariants(
            &format!("I-{0}-1\nI-{0}-2\nI-{0}-3\n", "REP"),
            &sources,
            &mut findings,
        );
        let found: Vec<(&str, usize)> =
            findings.iter().map(|f| (f.file.as_str(), f.line)).collect();
        assert_eq!(found, [("a/src/z.rs", 1), (MAP, 2)]);
    }

    #[test]
    fn paths_are_told_from_other_code() {
        assert!(is_path("broker/core/types/src/batch.rs"));
        assert!(is_path("src/lib.rs"));
        assert!(is_path("broker/core"));
        assert!(!is_path("text/plain"));
        assert!(!is_path("lib.rs"));
        assert!(!is_path("cargo run -p x/y.rs"));
    }
}
