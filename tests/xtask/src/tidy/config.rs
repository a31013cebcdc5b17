//! The two files that tidy is told by: `broker/layers.toml` and `tests/xtask/exceptions.toml`.
//! An unknown key in either is an error, so that a typo never switches a check off.

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(super) const LAYERS: &str = "broker/layers.toml";
pub(super) const EXCEPTIONS: &str = "tests/xtask/exceptions.toml";

/// Who may name whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layers {
    pub(super) arrows: BTreeMap<String, Vec<String>>,
    pub(super) dev_arrows: BTreeMap<String, Vec<String>>,
    pub(super) owns: BTreeMap<String, String>,
    pub(super) core: Core,
    pub(super) rooms: Rooms,
    pub(super) tests_only: Foreign,
}

/// The pure crates and the foreign libraries that they may name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Core {
    pub(super) crates: Vec<String>,
    pub(super) foreign: Vec<String>,
}

/// Crates that later work brings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rooms {
    pub(super) crates: Vec<String>,
}

/// A list of foreign libraries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Foreign {
    pub(super) foreign: Vec<String>,
}

/// What is larger than the house allows, by file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exceptions {
    pub(super) file_lines: BTreeMap<String, usize>,
    pub(super) long_functions: BTreeMap<String, usize>,
}

impl Layers {
    pub(super) fn load(workspace: &Workspace) -> Result<Self> {
        toml::from_str(&workspace.read(LAYERS)?).context(LAYERS)
    }
}

impl Exceptions {
    pub(super) fn load(workspace: &Workspace) -> Result<Self> {
        toml::from_str(&workspace.read(EXCEPTIONS)?).context(EXCEPTIONS)
    }
}

/// The first line of `text` that contains `word`, counted from 1; 1 where none does.
pub(super) fn line_of(text: &str, word: &str) -> usize {
    text.lines()
        .position(|line| line.contains(word))
        .map_or(1, |index| index + 1)
}
