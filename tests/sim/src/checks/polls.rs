//! I-SIM-13: a consumer gets every record once and in order.

use crate::violation::{Checked, Promise};

/// A consumer that reads on gets every record once and in order.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-13",
    text: "a consumer that reads on gets every record from its position on, once and in order",
};

/// The next batch of an answer holds `base` to `last`; the consumer wants `position`.
///
/// # Errors
/// Where records are skipped, or the batch holds nothing new.
pub fn follows(position: i64, base: i64, last: i64, what: impl Fn() -> String) -> Checked {
    PROMISE.holds(base <= position && position <= last, || {
        format!(
            "{}: position {position}, and a batch of {base} to {last} came",
            what()
        )
    })
}

/// A consumer was told that its position is out of range; the answer names the range.
///
/// # Errors
/// Where it is inside the range and no start was moved beyond it.
pub fn out_of_range(
    position: i64,
    start_max: i64,
    watermark_floor: i64,
    what: impl Fn() -> String,
) -> Checked {
    PROMISE.holds(position < start_max || position > watermark_floor, || {
        format!(
            "{}: position {position} is called out of range; nobody moved the start beyond \
             {start_max}, and the high watermark was {watermark_floor}",
            what()
        )
    })
}
