//! One shard of a broker as a pure state machine: requests, timers, waiting replies.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod event;
pub mod request;

pub use event::{Effect, Event, Notice, ProposalId, RequestId};
pub use request::{Answer, Ask};
