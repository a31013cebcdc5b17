//! The fast checks: what no compiler sees and no person should have to. `cargo test` runs them
//! too. Each finding says where, what, and the mend; nothing here ever writes.

mod config;
mod layers;
mod map;
mod rust;
mod sizes;
mod source;
mod text;

use crate::workspace::Workspace;
use anyhow::Result;
use config::{Exceptions, Layers};
use source::Source;

/// One thing that is not as the house wants it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    what: String,
    mend: String,
}

impl Finding {
    pub(crate) fn new(
        file: &str,
        line: usize,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line,
            what: what.into(),
            mend: mend.into(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}: {} -> {}",
            self.file, self.line, self.what, self.mend
        )
    }
}

/// Everything that was found, sorted by place.
pub(crate) fn run(workspace: &Workspace) -> Result<Vec<Finding>> {
    let layers = Layers::load(workspace)?;
    let exceptions = Exceptions::load(workspace)?;
    let sources = Source::load_all(workspace)?;
    let mut findings = Vec::new();
    layers::check(workspace, &layers, &mut findings)?;
    sizes::check(&sources, &exceptions, &mut findings);
    rust::check(workspace, &layers, &sources, &mut findings);
    text::check(workspace, &mut findings)?;
    map::check(workspace, &layers, &sources, &mut findings)?;
    findings.sort();
    findings.dedup();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever runs only `cargo test` learns of a broken map too. It asks cargo without the
    /// network and reads files.
    #[test]
    fn the_tree_is_tidy() {
        let workspace = Workspace::load().unwrap();
        let findings = run(&workspace).unwrap();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
