//! I-SIM-24: once the faults end, groups settle.

use crate::violation::{Checked, Promise};

/// Groups settle.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-24",
    text: "once the faults end a group settles: every partition it reads has one owner, who reads \
           it to its end",
};

/// The time for settling is over, or the run is.
///
/// # Errors
/// Where a group has not settled.
pub fn settled(unsettled: &[String]) -> Checked {
    PROMISE.holds(unsettled.is_empty(), || unsettled.join("; "))
}
