//! I-SIM-15: a producer id is given away once.

use crate::violation::{Checked, Promise};
use weir_types::ProducerId;

/// A producer id is given away once.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-15",
    text: "a producer id is given away once, whatever crashes",
};

/// A client receives a producer id.
///
/// # Errors
/// Where another one has it.
pub fn unique(is_new: bool, id: ProducerId) -> Checked {
    PROMISE.holds(is_new && id.is_some(), || {
        format!("producer id {id} is given away twice")
    })
}
