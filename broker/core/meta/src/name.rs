//! Kafka's rules for topic names.

use alloc::{
    format,
    string::{String, ToString},
};
use weir_types::limits::TOPIC_NAME_BYTES_MAX;

/// The topic in which consumer groups are kept.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// The topic in which lag and traffic are kept.
pub const LAG: &str = "__weir_lag";

/// Topics that the broker itself makes and writes; clients may read but never make them.
pub const INTERNAL: &[&str] = &[
    CONSUMER_OFFSETS,
    "__transaction_state",
    "__share_group_state",
    "__cluster_metadata",
];

/// Whether a topic belongs to the broker: Kafka's internal topics, and every name that starts
/// with `__weir`.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name) || name.starts_with("__weir")
}

/// Checks a name by Kafka's rule: 1 to 249 of ASCII letters, digits, `.`, `_` and `-`, and
/// neither `.` nor `..`.
///
/// # Errors
/// One sentence that says what is wrong.
pub fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a topic name must not be empty".to_string());
    }
    if name == "." || name == ".." {
        return Err(format!("a topic cannot be named '{name}'"));
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        return Err(format!(
            "a topic name has at most {TOPIC_NAME_BYTES_MAX} characters, this one has {}",
            name.len()
        ));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name.chars().find(|c| !legal(*c)) {
        Some(c) => Err(format!(
            "topic name '{name}' holds {c:?}; only letters, digits, '.', '_' and '-' are allowed"
        )),
        None => Ok(()),
    }
}

/// The form in which two names that collide are equal: metric names cannot tell `.` from `_`, so
/// Kafka refuses a topic whose name differs from another's only there.
#[must_use]
pub fn collision_form(name: &str) -> String {
    name.replace('.', "_")
}
