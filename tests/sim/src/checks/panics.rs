//! I-SIM-19: the broker does not panic.

use crate::violation::{Promise, Violation};
use std::any::Any;

/// The broker does not panic: every assertion of its cores holds.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-19",
    text: "no assertion of the cores fails",
};

/// The violation that a caught panic is.
#[must_use]
pub fn caught(panic: &(dyn Any + Send)) -> Violation {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    Violation {
        promise: &PROMISE,
        what: words.to_owned(),
    }
}
