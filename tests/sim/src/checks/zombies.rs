//! I-SIM-22: who was fenced commits nothing.

use crate::violation::{Checked, Promise};

/// A fenced member's commit is refused.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-22",
    text: "a commit is refused where its member has left or its partitions were given to others in \
           a later epoch",
};

/// A commit is accepted; `fenced` when it was sent.
///
/// # Errors
/// Where it was.
pub fn accepted(fenced: bool, what: impl Fn() -> String) -> Checked {
    PROMISE.holds(!fenced, || {
        format!("{}: accepted from a member that was fenced", what())
    })
}
