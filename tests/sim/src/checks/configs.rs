//! I-SIM-10: settings survive.

use crate::violation::{Checked, Promise};

/// A setting whose change was acked counts until it is changed again.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-10",
    text: "a setting whose change was acked counts until it is changed again",
};

/// A topic's own value of a setting against those it may have.
///
/// # Errors
/// Where it has another one.
pub fn holds(
    possible: &[Option<String>],
    found: Option<&String>,
    what: impl Fn() -> String,
) -> Checked {
    PROMISE.holds(possible.iter().any(|value| value.as_ref() == found), || {
        format!("{} is {found:?}, it may be {possible:?}", what())
    })
}
