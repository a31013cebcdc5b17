//! I-SIM-3: no duplicates with the idempotent producer.

use crate::violation::{Checked, Promise};

/// An idempotent producer's record is in the log once.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-3",
    text: "an idempotent producer's record is in its partition once, however often it was sent",
};

/// A record known at `known` is seen at `offset`.
///
/// # Errors
/// Where that is another place.
pub fn one_place(known: Option<i64>, offset: i64, what: impl Fn() -> String) -> Checked {
    match known {
        Some(known) if known != offset => {
            PROMISE.broken(format!("{} is at {known} and at {offset}", what()))
        }
        _ => Ok(()),
    }
}
