//! I-SIM-17: a high watermark never goes back.

use crate::violation::{Checked, Promise};

/// A high watermark never goes back, after a crash neither.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-17",
    text: "a high watermark that a client was told never goes back",
};

/// A client is told a high watermark; an answer it had before it asked told `floor`.
///
/// # Errors
/// Where it went back.
pub fn told(floor: i64, watermark: i64, what: impl Fn() -> String) -> Checked {
    PROMISE.holds(watermark < 0 || watermark >= floor, || {
        format!("{}: told {watermark}, before that {floor}", what())
    })
}
