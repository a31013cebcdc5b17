//! I-SIM-12: once the faults end, everything is finished.

use crate::violation::{Checked, Promise};

/// Once the faults end, every producer is acked and every consumer reaches the end.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-12",
    text: "once the faults end, every producer is acked and every consumer reaches the end",
};

/// The time for finishing is over.
///
/// # Errors
/// Where somebody has not finished.
pub fn finished(waiting: &[String]) -> Checked {
    PROMISE.holds(waiting.is_empty(), || waiting.join("; "))
}
