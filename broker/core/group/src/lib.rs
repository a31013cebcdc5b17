//! Consumer groups by decide and apply: one [`Coordinator`] is the state of one partition of
//! `__consumer_offsets`, with every group whose id hashes to it.
//!
//! [`Coordinator::step`] takes an event (a request, new topics, a tick) and answers with effects:
//! records to write, and answers that each name the write they depend on. Durable state
//! ([`Groups`]) changes by [`Groups::apply`] alone, which cannot fail; the same records give the
//! same state and the same snapshot. Sessions, parked joins and timers are volatile and live
//! beside it.
//!
//! Nothing here does IO, reads a clock or draws a random number: times and new member ids come in
//! with the event. An answer must never be sent before the write that it names is replicated.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod assignor;
mod classic;
pub mod codec;
pub mod config;
mod consumer;
pub mod coordinator;
mod deadlines;
mod desk;
pub mod embedded;
pub mod event;
mod events;
pub mod group;
pub mod groups;
pub mod history;
pub mod limits;
mod live;
mod migrate;
mod patterns;
pub mod record;
pub mod reply;
pub mod request;
mod statement;
pub mod topics;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_types::{PartitionIndex, TopicId};

pub use codec::{DecodeError, EncodeError, decode, encode};
pub use config::{GroupConfig, MigrationPolicy, Mutants};
pub use coordinator::Coordinator;
pub use event::{GroupEffect, GroupEvent, RequestId, WriteId};
pub use events::EventPlace;
pub use group::{Group, Kind};
pub use groups::Groups;
pub use history::{Cause, HistoryEvent, Moved, OpenCause};
pub use record::GroupRecord;
pub use reply::Reply;
pub use request::Request;
pub use topics::{TopicInfo, TopicTable};

/// A group's id, a member's id, a topic's name: text that many places share.
pub type Name = Arc<str>;

/// Partitions by topic.
pub type Assignment = BTreeMap<TopicId, BTreeSet<PartitionIndex>>;
