//! I-SIM-18: a client that keeps to the protocol is not refused.

use crate::violation::{Checked, Promise};
use std::fmt::Display;

/// A client that keeps to the protocol is not refused.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-18",
    text: "a client that keeps to the protocol gets answers that fit its questions, and no errors \
           that nothing explains",
};

/// An answer that no cause explains.
///
/// # Errors
/// Always.
pub fn unexpected<T>(what: impl Display) -> Checked<T> {
    PROMISE.broken(what)
}
