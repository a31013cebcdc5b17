//! I-SIM-25: the history of a group is whole.

use crate::violation::{Checked, Promise};

/// What is told of one rebalance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its number.
    pub sequence: i64,
    /// The group's epoch behind it.
    pub epoch: i32,
    /// How many members there were before it.
    pub before: i32,
    /// How many there were behind it.
    pub after: i32,
    /// Everything else, in words.
    pub rest: String,
}

/// The history of a group is whole.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-25",
    text: "the history of a group has no gap, its epochs never go back, each rebalance begins with \
           the members the one before ended with, and what was told of one is told again",
};

/// One rebalance and the one before it are told.
///
/// # Errors
/// Where they do not fit together.
pub fn follows(before: &Told, next: &Told) -> Checked {
    PROMISE.holds(next.sequence == before.sequence + 1, || {
        format!("a gap between {before:?} and {next:?}")
    })?;
    PROMISE.holds(next.epoch >= before.epoch, || {
        format!("the epoch goes back from {before:?} to {next:?}")
    })?;
    PROMISE.holds(next.before == before.after, || {
        format!("members came or went between {before:?} and {next:?}")
    })
}

/// A rebalance is told that was told before.
///
/// # Errors
/// Where something else was told.
pub fn the_same(known: Option<&Told>, told: &Told) -> Checked {
    match known {
        Some(known) if known != told => {
            PROMISE.broken(format!("{known:?} was told, and now {told:?}"))
        }
        _ => Ok(()),
    }
}

/// The newest rebalance that is told; `known` was told before somebody asked.
///
/// # Errors
/// Where it is older.
pub fn newest(known: i64, newest: i64) -> Checked {
    PROMISE.holds(newest >= known, || {
        format!("the newest rebalance is {newest}, and {known} was told before")
    })
}
