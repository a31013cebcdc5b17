//! Records that a chain could not deal with, and the dead letters that are made of them.
//!
//! The headers' names are told to users: `plugins/README.md` and this file are where they stand.

use crate::{
    bisect::Verdict,
    columns::Columns,
    limits::REASON_BYTES_MAX,
    outcome::{Failure, FailureKind},
};
use alloc::{format, string::String, vec::Vec};
use core::fmt;
use weir_types::{Offset, TimestampMs};

/// Header of a dead letter: what was wrong, in one sentence.
pub const ERROR: &str = "__weir.error";
/// Header of a dead letter: `refused`, `trapped`, `over-budget` or `invalid`.
pub const ERROR_KIND: &str = "__weir.error.kind";
/// Header of a dead letter: the plugin, as `NAME@VERSION`.
pub const PLUGIN: &str = "__weir.plugin";
/// Header of a dead letter: the topic that the record was written to or read from.
pub const ORIGIN_TOPIC: &str = "__weir.origin.topic";
/// Header of a dead letter: its partition, in decimal digits.
pub const ORIGIN_PARTITION: &str = "__weir.origin.partition";
/// Header of a dead letter: its offset, in decimal digits; not where the record was not appended.
pub const ORIGIN_OFFSET: &str = "__weir.origin.offset";
/// Header of a dead letter: its place in the batch that brought it, from 0; only where the record
/// was not appended, so that it has no offset.
pub const ORIGIN_PLACE: &str = "__weir.origin.place";

/// Header of a dead letter: the router job that wrote it; only of those.
pub const JOB: &str = "__weir.job";

/// A record that a plugin refused or failed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its offset, as the columns have it: before the append its place in the batch.
    pub offset: Offset,
    /// The plugin, as `NAME@VERSION`.
    pub plugin: String,
    /// In which way.
    pub kind: FailureKind,
    /// What was wrong.
    pub message: String,
}

/// Where records in trouble come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
    /// Whether they were appended, so that their offsets are offsets and not places in a batch.
    pub appended: bool,
}

impl Verdict {
    /// The records of `given` that the plugin refused or failed on, in order.
    #[must_use]
    pub fn troubles(&self, given: &Columns, plugin: &str) -> Vec<Trouble> {
        let trouble = |row: u32, kind: FailureKind, message: &str| {
            given.offsets.get(row as usize).map(|offset| Trouble {
                offset: Offset(*offset),
                plugin: plugin.into(),
                kind,
                message: shorten(message).into(),
            })
        };
        let refused = self
            .output
            .refusals
            .iter()
            .filter_map(|refusal| trouble(refusal.row, FailureKind::Refused, &refusal.reason));
        let failed = self.failures.iter().flat_map(|failed| {
            let Failure { kind, message } = &failed.failure;
            let rows = failed.rows.clone();
            rows.filter_map(|row| trouble(row, *kind, message))
        });
        let mut troubles: Vec<Trouble> = refused.chain(failed).collect();
        troubles.sort_by_key(|trouble| trouble.offset);
        troubles
    }
}

/// The records in trouble as dead letters: as they were before the chain, with headers that say
/// what was wrong and where they come from behind their own. Their offsets run from 0.
#[must_use]
pub fn dead_letters(columns: &Columns, troubles: &[Trouble], origin: Origin<'_>) -> Columns {
    let mut letters = Columns::default();
    let partition = format!("{}", origin.partition);
    for trouble in troubles {
        let Ok(row) = columns.offsets.binary_search(&trouble.offset.0) else {
            continue;
        };
        let offset = format!("{}", trouble.offset);
        let kind = format!("{}", trouble.kind);
        let place_name = if origin.appended {
            ORIGIN_OFFSET
        } else {
            ORIGIN_PLACE
        };
        let added = [
            (ERROR, trouble.message.as_str()),
            (ERROR_KIND, &kind),
            (PLUGIN, &trouble.plugin),
            (ORIGIN_TOPIC, origin.topic),
            (ORIGIN_PARTITION, &partition),
            (place_name, &offset),
        ];
        let own = columns.headers.row(row).map(|at| {
            let name = columns.headers.names.get(at).unwrap_or_default();
            (name, columns.headers.values.get(at))
        });
        let added = added
            .iter()
            .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        letters.push(
            Offset(letters.rows() as i64),
            TimestampMs(columns.timestamps[row]),
            columns.keys.get(row),
            columns.values.get(row),
            own.chain(added),
        );
    }
    letters.finish();
    letters
}

impl Failure {
    /// A failure whose message is no longer than it may be.
    #[must_use]
    pub fn new(kind: FailureKind, message: &str) -> Self {
        Self {
            kind,
            message: shorten(message).into(),
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Trapped => "trapped",
            Self::OverBudget => "over-budget",
            Self::Invalid => "invalid",
        })
    }
}

/// As much of a text as may be kept, cut between characters.
#[must_use]
pub fn shorten(text: &str) -> &str {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
