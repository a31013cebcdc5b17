//! I-SIM-20: one owner in an epoch.

use crate::violation::{Checked, Promise};

/// In one epoch or generation no partition has two owners.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-20",
    text: "in one epoch or generation of a group no partition is given to two members",
};

/// A member is given a partition that `known` was given in the same epoch.
///
/// # Errors
/// Where that is somebody else.
pub fn one_owner(known: Option<&str>, owner: &str, what: impl Fn() -> String) -> Checked {
    match known {
        Some(known) if known != owner => {
            PROMISE.broken(format!("{} is given to {known} and to {owner}", what()))
        }
        _ => Ok(()),
    }
}
