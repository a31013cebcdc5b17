//! The arrows between crates and the owners of foreign libraries, held against the manifests
//! both ways: what is used must be allowed, and what is allowed must be used.

use super::Finding;
use super::config::{LAYERS, Layers, line_of};
use crate::workspace::{Dependency, Package, Workspace};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Checks every manifest against the layers, and the layers against the manifests.
pub(super) fn check(
    workspace: &Workspace,
    layers: &Layers,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let text = workspace.read(LAYERS)?;
    for package in &workspace.packages {
        let manifest = workspace.relative(&package.manifest_path);
        let manifest_text = workspace.read(&manifest)?;
        let at = |name: &str| line_of(&manifest_text, name);
        if !layers.arrows.contains_key(&package.name) {
            findings.push(Finding::new(
                LAYERS,
                1,
                format!("crate {} has no line in [arrows]", package.name),
                format!("add `{} = [..]` with the crates it may name", package.name),
            ));
        }
        for dependency in &package.dependencies {
            let found = match &dependency.path {
                Some(_) => arrow(layers, package, dependency),
                None => foreign(layers, package, dependency, &manifest),
            };
            if let Some((what, mend)) = found {
                findings.push(Finding::new(&manifest, at(&dependency.name), what, mend));
            }
        }
    }
    unused_arrows(workspace, &layers.arrows, false, &text, findings);
    unused_arrows(workspace, &layers.dev_arrows, true, &text, findings);
    lists(workspace, layers, &text, findings);
    Ok(())
}

type Found = Option<(String, String)>;

fn is_dev(dependency: &Dependency) -> bool {
    dependency.kind.as_deref() == Some("dev")
}

/// A dependency on a crate of ours must be an arrow; for tests, an arrow of either kind.
fn arrow(layers: &Layers, package: &Package, dependency: &Dependency) -> Found {
    let allows = |arrows: &BTreeMap<String, Vec<String>>| {
        arrows
            .get(&package.name)
            .is_some_and(|to| to.contains(&dependency.name))
    };
    let allowed = allows(&layers.arrows) || (is_dev(dependency) && allows(&layers.dev_arrows));
    let (from, to) = (&package.name, &dependency.name);
    (!allowed).then(|| {
        let table = if is_dev(dependency) {
            "dev_arrows"
        } else {
            "arrows"
        };
        let mend =
            format!("take the dependency out, or, if the design wants it, allow it in [{table}]");
        (format!("the arrow {from} -> {to} is not in {LAYERS}"), mend)
    })
}

/// A foreign library must belong to this crate, or to nobody.
fn foreign(layers: &Layers, package: &Package, dependency: &Dependency, manifest: &str) -> Found {
    let name = &dependency.name;
    if let Some(owner) = layers.owns.get(name)
        && *owner != package.name
    {
        let what = format!("{} names {name}, which only {owner} may name", package.name);
        return Some((
            what,
            format!("ask {owner} for what you need, in its own types"),
        ));
    }
    if is_dev(dependency) || manifest.starts_with("tests/") {
        return None;
    }
    if layers.tests_only.foreign.contains(name) {
        let what = format!("{} names {name} outside its tests", package.name);
        return Some((what, "move it to [dev-dependencies]".into()));
    }
    let is_core = layers.core.crates.contains(&package.name);
    if is_core && !layers.core.foreign.contains(name) {
        let what = format!("the pure crate {} names {name}", package.name);
        return Some((
            what,
            format!("a core may name only {}", layers.core.foreign.join(", ")),
        ));
    }
    None
}

fn unused_arrows(
    workspace: &Workspace,
    arrows: &BTreeMap<String, Vec<String>>,
    dev: bool,
    text: &str,
    findings: &mut Vec<Finding>,
) {
    for (from, allowed) in arrows {
        let line = text
            .lines()
            .position(|l| l.starts_with(&format!("{from} = [")))
            .unwrap_or(0)
            + 1;
        let Some(package) = workspace.package(from) else {
            let what = format!("there is no crate {from}");
            findings.push(Finding::new(LAYERS, line, what, "take the line out"));
            continue;
        };
        for to in allowed {
            let used = package
                .dependencies
                .iter()
                .any(|d| d.name == *to && is_dev(d) == dev);
            if !used {
                let what = format!("nobody uses the permission {from} -> {to}");
                findings.push(Finding::new(LAYERS, line, what, "take it out"));
            }
        }
    }
}

/// The lists of names must name what exists: owners use what they own, cores are crates, rooms
/// are not crates yet, and every workspace dependency has a user.
fn lists(workspace: &Workspace, layers: &Layers, text: &str, findings: &mut Vec<Finding>) {
    let at = |name: &str| line_of(text, name);
    for (library, owner) in &layers.owns {
        match workspace.package(owner) {
            Some(package) if !package.dependencies.iter().any(|d| d.name == *library) => {
                let what = format!("{owner} owns {library} but does not name it");
                findings.push(Finding::new(LAYERS, at(library), what, "take the line out"));
            }
            None if !layers.rooms.crates.contains(owner) => {
                let what = format!("{library} belongs to {owner}, which is no crate and no room");
                findings.push(Finding::new(
                    LAYERS,
                    at(library),
                    what,
                    "name the right owner",
                ));
            }
            _ => {}
        }
    }
    for name in &layers.core.crates {
        if workspace.package(name).is_none() {
            let what = format!("[core] names {name}, which is no crate");
            findings.push(Finding::new(LAYERS, at("[core]"), what, "take it out"));
        }
    }
    for name in &layers.rooms.crates {
        if workspace.package(name).is_some() {
            let what = format!("the room {name} is a crate now");
            findings.push(Finding::new(
                LAYERS,
                at("[rooms]"),
                what,
                "take it out of [rooms]",
            ));
        }
    }
    let used: BTreeSet<&str> = workspace
        .packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.as_str())
        .collect();
    for (name, line) in workspace_dependencies(workspace) {
        if !used.contains(name.as_str()) {
            let what = format!("no crate uses the workspace dependency {name}");
            findings.push(Finding::new("Cargo.toml", line, what, "take it out"));
        }
    }
}

/// The names in the root's `[workspace.dependencies]`, with their lines.
pub(super) fn workspace_dependencies(workspace: &Workspace) -> Vec<(String, usize)> {
    let Ok(text) = workspace.read("Cargo.toml") else {
        return Vec::new();
    };
    text.lines()
        .enumerate()
        .skip_while(|(_, line)| line.trim() != "[workspace.dependencies]")
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
        .filter_map(|(index, line)| {
            let name = line.split_once('=')?.0.trim();
            (!name.starts_with('#')).then(|| (name.to_owned(), index + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        toml::from_str(
            r#"
            [arrows]
            a = []
            b = ["a"]
            [dev_arrows]
            b = ["c"]
            [owns]
            redb = "store"
            [core]
            crates = ["a"]
            foreign = ["bytes"]
            [rooms]
            crates = []
            [tests_only]
            foreign = ["proptest"]
            "#,
        )
        .unwrap()
    }

    fn package(name: &str) -> Package {
        let (manifest_path, dependencies, targets) = Default::default();
        Package {
            name: name.into(),
            manifest_path,
            dependencies,
            targets,
        }
    }

    fn dependency(name: &str, kind: Option<&str>, ours: bool) -> Dependency {
        let path = ours.then(|| name.into());
        Dependency {
            name: name.into(),
            kind: kind.map(Into::into),
            path,
        }
    }

    #[test]
    fn an_arrow_that_is_not_allowed_is_found() {
        let (layers, b) = (layers(), package("b"));
        assert_eq!(arrow(&layers, &b, &dependency("a", None, true)), None);
        assert!(arrow(&layers, &b, &dependency("c", None, true)).is_some());
        assert_eq!(
            arrow(&layers, &b, &dependency("c", Some("dev"), true)),
            None
        );
        assert!(arrow(&layers, &package("a"), &dependency("b", Some("dev"), true)).is_some());
    }

    #[test]
    fn a_foreign_library_has_one_owner() {
        let layers = layers();
        let found = |who: &str, what: &str, kind: Option<&str>| {
            foreign(
                &layers,
                &package(who),
                &dependency(what, kind, false),
                "x/Cargo.toml",
            )
        };
        assert_eq!(found("store", "redb", None), None);
        assert!(found("b", "redb", None).is_some());
        assert!(found("b", "redb", Some("dev")).is_some());
        assert!(found("b", "proptest", None).is_some());
        assert_eq!(found("b", "proptest", Some("dev")), None);
        assert!(found("a", "serde", None).is_some());
        assert_eq!(found("a", "bytes", None), None);
    }
}
