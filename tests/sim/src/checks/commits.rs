//! I-SIM-21: committed offsets stay.

use crate::violation::{Checked, Promise};

/// An acked commit is not lost.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-21",
    text: "an acked commit is not lost, and committed offsets go back only where somebody sets them \
           back",
};

/// A member asks for a committed offset after a commit of `floor` was acked (-1: none was).
///
/// # Errors
/// Where it is told an older one.
pub fn told(floor: i64, offset: i64, what: impl Fn() -> String) -> Checked {
    PROMISE.holds(offset >= floor, || {
        format!(
            "{}: {offset} is told, a commit of {floor} was acked",
            what()
        )
    })
}
