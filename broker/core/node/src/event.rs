//! What comes into a shard and what goes out: the only two types its driver knows.
//!
//! A driver (the shard loop of `weir-server`, or the simulator) hands events to `Node::step` in
//! any order that keeps each partition's log events in order, and carries the effects out in the
//! order in which they were given.

use crate::request::{Answer, Ask, PartitionKey};
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use weir_meta::{Image, MetaRecord};
use weir_types::{
    Batch, BatchHeader, ErrorCode, ShardId,
    log::{LogCommand, LogEvent},
};

/// Names one question of one connection to one shard; the driver chooses it and never reuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a proposal of metadata records by this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// Names a batch that goes through a topic's `weir.ingest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransformId(pub u64);

/// Why a batch did not get through its topic's `weir.ingest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformRefusal {
    /// The error to answer.
    pub error: ErrorCode,
    /// What was wrong, in one sentence.
    pub message: String,
}

/// What shards of a broker say to one another.
#[derive(Clone, Debug)]
pub enum ShardMessage {
    /// What changed, for the keeper of lag.
    Report(Box<weir_lag::Report>),
    /// The keeper of lag wants to hear everything.
    TellAll {
        /// `Image::applied` of its image: whoever has an older one waits for it.
        seen: u64,
    },
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A connection asks something of this shard.
    Ask {
        /// For the answer.
        id: RequestId,
        /// `Image::applied` of the image by which the question was split. A shard that has not
        /// seen that image yet holds the question back until it has.
        seen: u64,
        /// What.
        ask: Ask,
    },
    /// The connection no longer waits (it broke, or another shard had enough): a long poll is
    /// answered at once with what there is; anything else goes on.
    Hurry {
        /// Which.
        id: RequestId,
    },
    /// The log answers.
    Log(LogEvent),
    /// Records were agreed and applied. Every shard of every broker sees images in order; it
    /// may miss one, if a later one follows and `proposal` is not this node's.
    Agreed {
        /// The image after the records.
        image: Arc<Image>,
        /// The proposal, if it was this node's.
        proposal: Option<ProposalId>,
    },
    /// This node's proposal will not be agreed.
    Refused {
        /// Which.
        proposal: ProposalId,
    },
    /// Another shard of this broker says something.
    Told {
        /// What.
        message: ShardMessage,
    },
    /// What was said to another shard did not get there: its queue is full.
    Untold {
        /// What.
        message: ShardMessage,
    },
    /// A batch went through its topic's `weir.ingest`, or did not.
    Transformed {
        /// Which.
        ticket: TransformId,
        /// What became of it: the producer, its sequences and the last offset delta are as they
        /// were, so that what was left out is a hole; a batch of which nothing is left is an
        /// empty one.
        result: Result<(Batch, BatchHeader), TransformRefusal>,
    },
    /// The time that `Node::next_wake` named has come.
    Wake,
}

/// Something to be done.
#[derive(Debug)]
pub enum Effect {
    /// Send an answer; every condition it waited for holds.
    Answer {
        /// Whose.
        id: RequestId,
        /// What.
        answer: Answer,
    },
    /// Hand a command to the log.
    Log(LogCommand),
    /// Have records agreed; answered by `Agreed` or `Refused`.
    Propose {
        /// Which.
        proposal: ProposalId,
        /// What; never empty.
        records: Vec<MetaRecord>,
    },
    /// Hand something to another shard of this broker, as `Event::Told`; what does not fit into
    /// its queue comes back as `Event::Untold`.
    Tell {
        /// Which.
        to: ShardId,
        /// What.
        message: ShardMessage,
    },
    /// Take a batch through its topic's `weir.ingest`; answered by `Event::Transformed`, always and
    /// once. Of a partition there is one at a time.
    Transform {
        /// For the answer.
        ticket: TransformId,
        /// Where it goes.
        key: PartitionKey,
        /// The batch as it came.
        batch: Batch,
        /// Its header, as validation read it.
        header: BatchHeader,
    },
    /// Tell people: nothing depends on it.
    Notice(Notice),
}

/// Something people should read in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A partition could not be opened, or went offline; it answers with errors from now on.
    Offline {
        /// Which.
        partition: PartitionKey,
        /// Why, in one sentence.
        reason: String,
    },
    /// The groups of a partition cannot be loaded; it answers with errors and tries again, ever
    /// more seldom, without a further word until that succeeds.
    GroupsDamaged {
        /// Which.
        partition: PartitionKey,
        /// Why, in one sentence.
        reason: String,
    },
    /// The groups of a partition are loaded after all.
    GroupsLoaded {
        /// Which.
        partition: PartitionKey,
        /// How many attempts had failed.
        failures: u32,
    },
    /// What is kept of lag cannot be read; nothing is told of lag until the broker starts again.
    LagDamaged {
        /// Where.
        partition: PartitionKey,
        /// Why, in one sentence.
        reason: String,
    },
    /// The disk failed under a partition. What was not flushed is gone and was answered with an
    /// error.
    DiskFailed {
        /// Which.
        partition: PartitionKey,
        /// The log goes on from here.
        from: weir_types::Offset,
        /// Records that had been acknowledged are gone too.
        lost_acknowledged: bool,
        /// Why, in one sentence.
        reason: String,
    },
}
