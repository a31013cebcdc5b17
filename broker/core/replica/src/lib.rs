//! One partition as a pure state machine: append, high watermark, producer state, epochs.
//!
//! A [`Replica`] knows what the log of one partition holds and decides what may be appended to
//! it, what may be read, and when a batch counts as replicated. It never touches bytes on disk
//! and never answers anyone: the node carries out what it decides.
//!
//! Today it leads a partition whose only in-sync replica is itself; followers join with the
//! cluster.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod append;
mod epochs;
mod replica;

pub use append::{AppendError, AppendRules, Appended, Outcome, Sequences};
pub use epochs::EpochHistory;
pub use replica::{Damage, EpochEnd, Replica};
