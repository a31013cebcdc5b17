//! I-SIM-26 and I-SIM-27: router jobs.

use crate::{
    oracle::jobs::Row,
    violation::{Checked, Promise},
};

/// A job writes each record once.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-26",
    text: "a job's outputs hold what its plugin makes of every record of the source, each once and \
           where it belongs",
};

/// A job keeps the order.
pub const ORDER: Promise = Promise {
    id: "I-SIM-27",
    text: "a job keeps the order of each partition that it reads, and goes from one version of its \
           plugin to the next and never back",
};

/// A row is there, for the first time, where the plugin sends it.
///
/// # Errors
/// Where it is not.
pub fn once(first: bool, due: Option<i32>, partition: i32, row: &Row) -> Checked {
    PROMISE.holds(first, || format!("{row:?} is there twice"))?;
    PROMISE.holds(due == Some(partition), || {
        format!("{row:?} is in partition {partition}, and belongs to {due:?}")
    })
}

/// A row comes behind the one before it.
///
/// # Errors
/// Where it does not.
pub fn in_order(before: Option<i64>, row: &Row) -> Checked {
    ORDER.holds(before.is_none_or(|before| before < row.offset), || {
        format!("{row:?} comes behind offset {before:?}")
    })
}

/// Nothing is missing.
///
/// # Errors
/// Where something is.
pub fn all(missing: Option<&(i32, i64)>) -> Checked {
    PROMISE.holds(missing.is_none(), || {
        format!("the record of partition and offset {missing:?} is missing")
    })
}

/// A version follows the one before.
///
/// # Errors
/// Where it does not.
pub fn forward(before: Option<u8>, version: u8, source: i32, offset: i64) -> Checked {
    ORDER.holds(before.is_none_or(|before| before <= version), || {
        format!("partition {source} offset {offset}: version {version} comes behind {before:?}")
    })
}
