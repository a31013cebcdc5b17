//! Lag of consumer groups and traffic of topics, now and over time.
//!
//! Shards tell what changed ([`Report`]); one [`Keeper`] puts it together, takes samples, and
//! writes down what it must know after a restart. [`Ledger`] is what is written down: it changes
//! by the records of its log alone. [`view`] answers questions.
//!
//! Nothing here does IO or reads a clock: times come in with the event.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod board;
pub mod clock;
pub mod codec;
mod column;
pub mod keeper;
pub mod ledger;
pub mod limits;
pub mod record;
pub mod report;
pub mod series;
pub mod track;
pub mod view;

pub use clock::LagClock;
pub use codec::{DecodeError, decode, encode};
pub use keeper::{Keeper, LagEffect, LagEvent, WriteId};
pub use ledger::Ledger;
pub use record::{Behind, LagRecord, Since, Subject, Traffic};
pub use report::{GroupMeta, GroupReport, MemberReport, PartitionReport, Report, Sender, Topics};

/// A group's id, a member's id, a topic's name: text that many places share.
pub type Name = alloc::sync::Arc<str>;
