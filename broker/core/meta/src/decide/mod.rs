//! What a command would do to an image: records and a response, or why not. Changes nothing.

mod brokers;
mod configs;
mod delete;
mod partitions;
mod plugins;
mod streams;
mod topics;

use crate::{
    command::{Command, Reply},
    image::Image,
    limits::PRODUCER_ID_BLOCK,
    record::MetaRecord,
};
use alloc::{string::String, vec, vec::Vec};
use thiserror::Error;
use weir_types::{BrokerId, ErrorCode, Now, ProducerId};

/// What a command leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// To be agreed; where there are none, the answer can be given at once.
    pub records: Vec<MetaRecord>,
    /// To be answered once the records are applied.
    pub reply: Reply,
}

/// Why a whole command is refused. What is wrong with a part of it stands in the reply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecideError {
    /// Too much at once.
    #[error("the request names {count} {what}; at most {limit} are allowed at once")]
    TooMany {
        /// How many there are.
        count: usize,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A broker without an id, or with a listener twice.
    #[error("broker {id} cannot register: {what}")]
    Registration {
        /// The broker.
        id: BrokerId,
        /// What is wrong.
        what: &'static str,
    },
    /// All producer ids are given away.
    #[error("there are no producer ids left")]
    ProducerIdsUsedUp,
    /// What the command concerns does not allow it.
    #[error("{text}")]
    Refused {
        /// The protocol's error for it.
        code: ErrorCode,
        /// Why, in one sentence.
        text: String,
    },
}

impl DecideError {
    /// The protocol's error for it.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::TooMany { .. } => ErrorCode::InvalidRequest,
            Self::Registration { .. } => ErrorCode::InvalidRegistration,
            Self::ProducerIdsUsedUp => ErrorCode::UnknownServerError,
            Self::Refused { code, .. } => *code,
        }
    }
}

/// Decides a command on `image`, at the time `now`.
///
/// # Errors
/// [`DecideError`], when the command as a whole cannot be carried out.
pub fn decide(image: &Image, now: Now, command: &Command) -> Result<Decision, DecideError> {
    match command {
        Command::RegisterBroker(broker) => brokers::register(image, now, broker),
        Command::CreateTopics(create) => topics::create(image, now, create, false),
        Command::CreateInternalTopics(create) => topics::create(image, now, create, true),
        Command::DeleteTopics(topics) => delete::delete(image, topics),
        Command::CreatePartitions(create) => partitions::create(image, create),
        Command::AlterConfigs(alter) => configs::alter(image, alter),
        Command::AllocateProducerIds => allocate_producer_ids(image),
        Command::DeployPlugin(deploy) => plugins::deploy(image, now, deploy),
        Command::ActivatePlugin {
            name,
            version,
            validate_only,
        } => plugins::activate(image, name, version.as_deref(), *validate_only),
        Command::RemovePlugin {
            name,
            version,
            validate_only,
        } => plugins::remove(image, name, version.as_deref(), *validate_only),
        Command::CreateView(create) => streams::create_view(image, now, create),
        Command::CreateJob(create) => streams::create_job(image, now, create),
        Command::AlterJob { name, action } => streams::alter_job(image, name, *action),
    }
}

fn allocate_producer_ids(image: &Image) -> Result<Decision, DecideError> {
    let first = image.next_producer_id();
    let next = first
        .checked_add(PRODUCER_ID_BLOCK)
        .ok_or(DecideError::ProducerIdsUsedUp)?;
    Ok(Decision {
        records: vec![MetaRecord::ProducerIds { next }],
        reply: Reply::ProducerIds {
            first: ProducerId(first),
            count: PRODUCER_ID_BLOCK,
        },
    })
}

/// Refuses a command that names too many things.
const fn at_most(count: usize, limit: usize, what: &'static str) -> Result<(), DecideError> {
    if count > limit {
        return Err(DecideError::TooMany { count, what, limit });
    }
    Ok(())
}
