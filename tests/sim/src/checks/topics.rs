//! I-SIM-9: topics that were made are there, deleted ones stay deleted.

use crate::violation::{Checked, Promise};

/// Topics that were made are there, deleted ones stay deleted.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-9",
    text: "a topic whose making was acked is there; one whose deletion was acked never comes back",
};

/// What a client knows of a topic that a metadata answer does or does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its making was acked and nobody asked for its deletion.
    There,
    /// Its deletion was acked.
    Gone,
    /// Something about it was asked and not answered.
    Unclear,
}

/// A metadata answer to a question asked after `known` was.
///
/// # Errors
/// Where the answer contradicts it.
pub fn listed(known: Known, is_listed: bool, what: impl Fn() -> String) -> Checked {
    match (known, is_listed) {
        (Known::There, false) => PROMISE.broken(format!("{} is not there", what())),
        (Known::Gone, true) => PROMISE.broken(format!("{} was deleted and is back", what())),
        _ => Ok(()),
    }
}
