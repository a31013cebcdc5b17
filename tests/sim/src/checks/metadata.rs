//! I-SIM-16: the metadata that was agreed is the metadata there is.

use crate::violation::{Checked, Promise};
use weir_meta::Image;

/// The metadata that was agreed is the metadata there is, after a crash too.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-16",
    text: "what was agreed about the cluster is there after a crash, and nothing else",
};

/// The image that came back against those it may be: with and without what was under way.
///
/// # Errors
/// Where it is neither.
pub fn recovered(possible: &[&Image], found: &Image) -> Checked {
    PROMISE.holds(possible.contains(&found), || {
        let applied: Vec<u64> = possible.iter().map(|image| image.applied()).collect();
        format!(
            "the metadata came back at entry {}, it may be at {applied:?}; or it differs",
            found.applied()
        )
    })
}
