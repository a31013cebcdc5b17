//! I-SIM-1: order.

use crate::violation::{Checked, Promise};
use std::collections::BTreeMap;

/// One producer's records in one partition keep their order.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-1",
    text: "one producer's records in one partition keep their order",
};

/// A producer's record number `counter` is at `offset`; `known` are its other records by number.
///
/// # Errors
/// Where a record sent before it lies behind it, or one sent after it before it.
pub fn placed(known: &BTreeMap<u64, i64>, counter: u64, offset: i64) -> Checked {
    let before = known.range(..counter).next_back();
    let after = known.range(counter + 1..).next();
    if let Some((other, place)) = before.filter(|(_, place)| **place >= offset) {
        return PROMISE.broken(format!(
            "record {counter} is at {offset}, but record {other} of the producer at {place}"
        ));
    }
    if let Some((other, place)) = after.filter(|(_, place)| **place <= offset) {
        return PROMISE.broken(format!(
            "record {counter} is at {offset}, but record {other} of the producer at {place}"
        ));
    }
    Ok(())
}
