//! I-SIM-23: a group skips nothing.

use crate::violation::{Checked, Promise};

/// A group processes every record.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-23",
    text: "a group processes every record at least once; whoever takes a partition over begins at \
           or before what was processed",
};

/// Everything below `to` counts as processed; `missing` was not and could have been.
///
/// # Errors
/// Where something is missing.
pub fn nothing_skipped(missing: Option<i64>, to: i64, what: impl Fn() -> String) -> Checked {
    match missing {
        None => Ok(()),
        Some(missing) => PROMISE.broken(format!(
            "{}: offset {missing} was never processed, and the group goes on from {to}",
            what()
        )),
    }
}
