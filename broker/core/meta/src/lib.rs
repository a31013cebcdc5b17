//! Cluster metadata by decide and apply: brokers, topics, partitions, configs, producer ids,
//! plugins, views and jobs.
//!
//! [`decide`] looks at an immutable [`Image`] and answers a [`Command`] with records and a
//! response; it changes nothing. Once the quorum has agreed on the records, [`Image::apply`]
//! applies them and cannot fail. The same records give the same image on every broker.
//!
//! Nothing here does IO, reads a clock or draws a random number: times and ids come in with the
//! command.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod codec;
pub mod command;
pub mod config;
mod decide;
pub mod image;
mod journal;
pub mod limits;
pub mod name;
pub mod plugins;
pub mod record;

pub use codec::{DecodeError, decode_all, encode_all};
pub use command::{Command, Reply};
pub use config::{StaticDefaults, TopicConfig};
pub use decide::{DecideError, Decision, decide};
pub use image::{Broker, Image, Listener, Partition, Topic};
pub use journal::{Journal, JournalError, JournalFailed};
pub use plugins::{Attachment, Job, Place, Plugin, PluginVersion, View};
pub use record::MetaRecord;
