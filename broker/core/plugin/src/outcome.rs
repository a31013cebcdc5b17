//! What comes of a call: a plugin's output, or how it failed.

use crate::columns::{BytesColumn, HeadersColumn};
use alloc::{string::String, vec::Vec};

/// What a transform gives back; what it leaves out is as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Which rows stay, strictly ascending; nothing: all. The columns have one entry for each.
    pub rows: Option<Vec<u32>>,
    /// New timestamps.
    pub timestamps: Option<Vec<i64>>,
    /// New keys.
    pub keys: Option<BytesColumn>,
    /// New values.
    pub values: Option<BytesColumn>,
    /// New headers.
    pub headers: Option<HeadersColumn>,
    /// For each row that stays, to which of a job's topics it goes.
    pub outputs: Option<Vec<u32>>,
    /// Rows the plugin refuses; none of them is in `rows`, which is then there.
    pub refusals: Vec<Refusal>,
}

/// A record that a plugin refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which row.
    pub row: u32,
    /// Why, in the plugin's words.
    pub reason: String,
}

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In which way.
    pub kind: FailureKind,
    /// What happened, in one sentence: the plugin's own words, a panic's message with the names
    /// of functions, or which budget was used up.
    pub message: String,
}

/// In which way a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The plugin returned an error.
    Refused,
    /// It trapped: a panic, a stack overflow, an access outside its memory.
    Trapped,
    /// It used up its fuel, memory or output, or the clock's backstop.
    OverBudget,
    /// What it gave back breaks a rule.
    Invalid,
}
