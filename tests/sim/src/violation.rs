//! A broken promise: which one, and what was seen.

use std::fmt;

/// Something the broker promises, with the number by which documents cite it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Its number.
    pub id: &'static str,
    /// The promise in one sentence.
    pub text: &'static str,
}

impl Promise {
    /// The violation of this promise by what was seen.
    ///
    /// # Errors
    /// Always: it is made to be returned.
    pub fn broken<T>(&'static self, what: impl fmt::Display) -> Checked<T> {
        Err(Violation {
            promise: self,
            what: what.to_string(),
        })
    }

    /// Holds the promise against a condition.
    ///
    /// # Errors
    /// The violation, when the condition is false.
    pub fn holds(&'static self, condition: bool, what: impl FnOnce() -> String) -> Checked {
        if condition {
            Ok(())
        } else {
            self.broken(what())
        }
    }
}

/// What broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static Promise,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Promise { id, text } = self.promise;
        write!(f, "{id} is broken ({text}): {}", self.what)
    }
}

impl std::error::Error for Violation {}

/// The result of a check.
pub type Checked<T = ()> = Result<T, Violation>;
