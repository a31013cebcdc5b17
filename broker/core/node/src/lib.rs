//! One shard of a broker as a pure state machine: requests, timers, waiting replies.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod authorizer;
pub mod config;
pub mod event;
pub mod front;
mod gate;
pub mod groups;
pub mod jobs;
pub mod limits;
mod node;
mod patterns;
mod pieces;
pub mod request;
mod times;
pub mod validate;

pub use config::{Mutants, NodeConfig};
pub use event::{Effect, Event, Notice, ProposalId, RequestId, TransformId, TransformRefusal};
pub use node::{Node, Stats};
pub use request::{Answer, Ask, PartitionKey, shard_of};
pub use times::locate;
pub use weir_group::{GroupConfig, MigrationPolicy};
pub use weir_replica::Sequences;
