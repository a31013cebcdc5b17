//! A router job, for one partition that it reads: what is done next, so that every record of the
//! source reaches its topic exactly once and in order, whatever dies in between.
//!
//! [`Router::step`] takes an event and answers with at most one effect that is under way, so that
//! everything survives a kill between any two of them:
//!
//! - Progress is the committed offset of the job's group. Its metadata text pins ([`Pins`]) the
//!   producer whose sequences the outputs carry, and the recipe: which versions of plugins, how
//!   many partitions, which partitioner. The recipe changes between two rounds, by a commit, before
//!   it is used.
//! - A row's sequence in its output is its offset in the source, counted from the pinned base. After
//!   a restart the outputs' last sequences say what they have; that much is left out of the replay.
//!
//! Records themselves never come in here: rows are named by their places, and the driver keeps what
//! it read and transformed. Nothing here does IO or reads a clock. A driver may make a router anew
//! only once nothing that an earlier one asked to be produced is still on its way.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod event;
pub mod limits;
mod murmur;
mod pins;
mod round;
mod router;

pub use event::{
    Answer, Effect, Event, Fetched, Loaded, Order, Part, PartResult, Place, Policy, Refused, Row,
    Saved, Settings, Start, Target, Ticket, Transformed, Trouble,
};
pub use murmur::partition_of;
pub use pins::{Generation, Output, Pins, PinsError, Recipe};
pub use router::{Counts, Router, State};
