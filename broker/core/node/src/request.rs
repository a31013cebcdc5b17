//! What a connection asks of a shard and what the shard answers: typed, already split so that
//! every partition named lives on that shard.
//!
//! Only values, no wire formats: `front` makes questions out of requests and responses out of
//! answers. An answer lists its partitions in the order in which the question named them.

use alloc::{boxed::Box, collections::BTreeSet, sync::Arc, vec::Vec};
use weir_meta::{Command, DecideError, Reply};
use weir_replica::Sequences;
use weir_types::{
    Batch, BatchHeader, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Sequence, ShardId, TimestampMs, TopicId, log::StoredBatch,
};

/// A partition, by the identity that a deleted and remade topic does not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index.
    pub index: PartitionIndex,
}

/// The shard that decides metadata and hands out producer ids.
pub const META_SHARD: ShardId = ShardId(0);

/// The shard on which a partition lives: a hash that never changes, so that every part of a
/// broker agrees on it without asking. Nothing on disk depends on it.
#[must_use]
pub fn shard_of(key: PartitionKey, shards: u16) -> ShardId {
    assert!(shards > 0, "a broker has a shard");
    // FNV-1a with a final mix: topic ids are random, indexes run from 0.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let index = key.index.0.to_be_bytes();
    for byte in key.topic.0.iter().chain(&index) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    let shard = hash % u64::from(shards);
    ShardId(u16::try_from(shard).expect("a remainder of a u16 fits"))
}

/// A question to one shard.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Append batches.
    Produce(ProduceAsk),
    /// Read batches, waiting for new ones if need be.
    Fetch(FetchAsk),
    /// Offsets by position or time.
    Offsets(Vec<OffsetAsk>),
    /// Where leader epochs end (KIP-101).
    EpochEnds(Vec<EpochEndAsk>),
    /// Drop records below an offset.
    DeleteRecords {
        /// Where, and the first offset to keep; nothing: the high watermark.
        partitions: Vec<(PartitionKey, Option<Offset>)>,
        /// How long the answer may take, in milliseconds.
        timeout_ms: u64,
    },
    /// The idempotent producers of partitions.
    Producers(Vec<PartitionKey>),
    /// What concerns consumer groups.
    Groups(Vec<GroupAsk>),
    /// The rebalances of groups.
    History(Box<HistoryAsk>),
    /// Wait for a rebalance of a group.
    Watch(Box<WatchAsk>),
    /// Lag and traffic, perhaps once they changed.
    Lag(Box<LagAsk>),
    /// Lag and traffic over time.
    LagHistory(Box<weir_lag::view::HistoryQuery>),
    /// Live bytes of every partition on this shard that is named; nothing: of all.
    Sizes(Option<Vec<PartitionKey>>),
    /// Change the metadata; only to [`META_SHARD`].
    Meta {
        /// What.
        command: Command,
        /// How long the answer may take, in milliseconds.
        timeout_ms: u64,
    },
    /// A new producer id; only to [`META_SHARD`].
    ProducerId,
}

/// How many replicas must have flushed a batch before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// None: nothing is answered.
    None,
    /// The leader.
    Leader,
    /// All in-sync replicas.
    All,
}

impl Acks {
    /// The wire's number, if it is one of the three.
    #[must_use]
    pub const fn from_wire(acks: i16) -> Option<Self> {
        match acks {
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            -1 => Some(Self::All),
            _ => None,
        }
    }
}

/// Batches to append, each of which was validated.
#[derive(Clone, Debug)]
pub struct ProduceAsk {
    /// Who must have flushed them.
    pub acks: Acks,
    /// How long the answer may take, in milliseconds.
    pub timeout_ms: u64,
    /// The batches.
    pub partitions: Vec<ProducePart>,
}

/// A batch for one partition.
#[derive(Clone, Debug)]
pub struct ProducePart {
    /// Where.
    pub key: PartitionKey,
    /// The batch as it came.
    pub batch: Batch,
    /// Its header, as validation read it.
    pub header: BatchHeader,
    /// How its producer counts.
    pub sequences: Sequences,
}

/// A read of several partitions.
#[derive(Clone, Debug)]
pub struct FetchAsk {
    /// How long to wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: u64,
    /// Wait until there are this many bytes.
    pub min_bytes: usize,
    /// Stop before this many bytes, but give at least one batch.
    pub max_bytes: usize,
    /// Only records of finished transactions.
    pub read_committed: bool,
    /// Where, in order of preference.
    pub partitions: Vec<FetchPart>,
}

/// A read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchPart {
    /// Where.
    pub key: PartitionKey,
    /// From which offset.
    pub fetch_offset: Offset,
    /// The leader epoch the caller knows, if it does (KIP-320).
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record it has, if it says so (KIP-595).
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Stop before this many bytes of this partition.
    pub max_bytes: usize,
}

/// Which offset is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log start (-2).
    Earliest,
    /// The high watermark (-1).
    Latest,
    /// The record with the largest timestamp (-3, KIP-734).
    MaxTimestamp,
    /// The first record with this timestamp or a later one.
    Time(TimestampMs),
}

/// One offset that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct OffsetAsk {
    /// Where.
    pub key: PartitionKey,
    /// Which.
    pub spec: OffsetSpec,
    /// The leader epoch the caller knows, if it does.
    pub current_leader_epoch: Option<LeaderEpoch>,
}

/// One epoch whose end is wanted.
#[derive(Clone, Copy, Debug)]
pub struct EpochEndAsk {
    /// Where.
    pub key: PartitionKey,
    /// Which epoch.
    pub epoch: LeaderEpoch,
    /// The leader epoch the caller knows, if it does.
    pub current_leader_epoch: Option<LeaderEpoch>,
}

/// A request to the coordinator that one partition of `__consumer_offsets` has.
#[derive(Clone, Debug)]
pub struct GroupAsk {
    /// Which partition.
    pub key: PartitionKey,
    /// What.
    pub request: weir_group::Request,
}

/// Which rebalances are wanted, and of whom.
#[derive(Clone, Debug)]
pub struct HistoryAsk {
    /// The coordinators.
    pub partitions: Vec<HistoryPart>,
    /// From this time on; -1: the oldest.
    pub from: TimestampMs,
    /// Before this time; -1: the newest.
    pub to: TimestampMs,
    /// The newest first.
    pub newest_first: bool,
    /// Only what comes behind this one, in the order asked for.
    pub after: Option<HistoryPlace>,
    /// The most events.
    pub events_max: usize,
}

/// What is wanted of one coordinator.
#[derive(Clone, Debug)]
pub struct HistoryPart {
    /// Its partition.
    pub key: PartitionKey,
    /// The groups asked for; nothing: all of them.
    pub groups: Option<Vec<weir_group::Name>>,
    /// Only events with numbers up to this one; nothing: all of them.
    pub until: Option<u64>,
}

/// What one coordinator tells of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryTold {
    /// Its partition.
    pub key: PartitionKey,
    /// The events in the order asked for.
    pub events: Vec<ToldEvent>,
    /// The number of the last event that it knows of.
    pub last: u64,
}

/// Where an event stands among those of all groups: its time, its group, its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryPlace {
    /// When it began.
    pub at: TimestampMs,
    /// The group.
    pub group: weir_group::Name,
    /// Its number in the group.
    pub sequence: u64,
}

/// A wish to be told of the next rebalances.
#[derive(Clone, Debug)]
pub struct WatchAsk {
    /// The coordinators to look at; none: only to wait.
    pub places: Vec<WatchPlace>,
    /// The most events.
    pub events_max: usize,
    /// How long to wait, in milliseconds.
    pub wait_ms: u64,
}

/// A question about lag.
#[derive(Clone, Debug)]
pub struct LagAsk {
    /// What.
    pub query: weir_lag::view::LagQuery,
    /// How long to wait for a change, in milliseconds.
    pub wait_ms: u64,
}

/// Where one coordinator is watched.
#[derive(Clone, Debug)]
pub struct WatchPlace {
    /// Its partition.
    pub key: PartitionKey,
    /// The groups to look at; nothing: all of them.
    pub groups: Option<BTreeSet<weir_group::Name>>,
    /// The number of the last event that is known; nothing: tell what happens from now on.
    pub after: Option<u64>,
}

/// One rebalance, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldEvent {
    /// The group.
    pub group: weir_group::Name,
    /// What happened.
    pub event: weir_group::HistoryEvent,
    /// How many events before it a watch has missed.
    pub missed: u64,
}

/// What a watch is told of one coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its partition.
    pub key: PartitionKey,
    /// Where the watch was.
    pub after: u64,
    /// The events in order of their numbers; none when the time was up.
    pub events: Vec<ToldEvent>,
    /// How many events behind the last one told are gone.
    pub missed: u64,
    /// Where the watch is once all of this is told.
    pub reached: u64,
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To `Produce`.
    Produce(Vec<ProduceResult>),
    /// To `Fetch`.
    Fetch(Vec<FetchResult>),
    /// To `Offsets`.
    Offsets(Vec<OffsetResult>),
    /// To `EpochEnds`.
    EpochEnds(Vec<EpochEndResult>),
    /// To `DeleteRecords`: the new log start, or -1 with an error.
    DeleteRecords(Vec<(ErrorCode, Offset)>),
    /// To `Producers`.
    Producers(Vec<Result<Vec<ProducerInfo>, ErrorCode>>),
    /// To `Groups`.
    Groups(Vec<weir_group::Reply>),
    /// To `History`: what was asked for of each partition, in order.
    History(Vec<Result<HistoryTold, ErrorCode>>),
    /// To `Watch`: what is told of each place, in order.
    Watch(Vec<Result<Watched, ErrorCode>>),
    /// To `Lag`.
    Lag(Result<Box<weir_lag::view::LagPage>, ErrorCode>),
    /// To `LagHistory`.
    LagHistory(Result<Box<weir_lag::view::HistoryPage>, ErrorCode>),
    /// To `Sizes`; partitions that are not there are left out.
    Sizes(Vec<(PartitionKey, u64)>),
    /// To `Meta`.
    Meta(Result<Reply, MetaError>),
    /// To `ProducerId`.
    ProducerId(Result<ProducerId, ErrorCode>),
    /// The shard has too many questions waiting, or it shuts down; every part of the request
    /// gets this error.
    Refused(ErrorCode),
}

/// Why a metadata command came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// The command as a whole is wrong.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// The quorum did not agree; another attempt may succeed.
    #[error("the change was not agreed; try again")]
    NotAgreed,
    /// Too many commands wait.
    #[error("{waiting} changes are waiting already; try again")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// It took too long; it may still happen.
    #[error("the change was not agreed in time; it may still be")]
    TimedOut,
}

impl MetaError {
    /// The protocol's error for it.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Decide(error) => error.code(),
            Self::NotAgreed => ErrorCode::NotController,
            Self::Busy { .. } | Self::TimedOut => ErrorCode::RequestTimedOut,
        }
    }
}

/// What became of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceResult {
    /// `None` for success.
    pub error: ErrorCode,
    /// What was wrong, in one sentence.
    pub message: Option<Arc<str>>,
    /// Offset of the first record; -1 with an error.
    pub base_offset: Offset,
    /// The broker's timestamp, where it counts; else -1.
    pub log_append_time: TimestampMs,
    /// Where the partition starts; -1 where that is not known.
    pub log_start: Offset,
    /// The leader epoch this shard knows, for errors about leadership (KIP-951).
    pub leader_epoch: LeaderEpoch,
}

/// What was read of one partition.
#[derive(Clone, Debug)]
pub struct FetchResult {
    /// `None` for success.
    pub error: ErrorCode,
    /// Records below this are replicated; -1 where that is not known.
    pub high_watermark: Offset,
    /// Records below this are of finished transactions; -1 where that is not known.
    pub last_stable_offset: Offset,
    /// Where the partition starts; -1 where that is not known.
    pub log_start: Offset,
    /// The leader epoch this shard knows, for errors about leadership (KIP-951).
    pub leader_epoch: LeaderEpoch,
    /// Where the caller's history and the leader's part (KIP-595).
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// Whole batches in order of their offsets.
    pub batches: Vec<StoredBatch>,
}

impl FetchResult {
    /// Bytes of its batches.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.batches.iter().map(StoredBatch::size_bytes).sum()
    }
}

/// An offset that was asked for.
#[derive(Clone, Debug)]
pub struct OffsetResult {
    /// `None` for success.
    pub error: ErrorCode,
    /// The leader epoch of the record or of the leader; -1 where there is none.
    pub leader_epoch: LeaderEpoch,
    /// What was found.
    pub found: FoundOffset,
}

/// Where an offset was found.
#[derive(Clone, Debug)]
pub enum FoundOffset {
    /// No record fits.
    Nothing,
    /// This offset, and its record's timestamp (-1 where a position was asked for).
    At(Offset, TimestampMs),
    /// In this compressed batch: the caller must open it and take what `spec` says.
    Inside {
        /// The batch that holds the record.
        batch: StoredBatch,
        /// Which record of it.
        spec: OffsetSpec,
        /// Where the log starts; records of the batch below it are gone.
        start: Offset,
    },
}

/// Where an epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEndResult {
    /// `None` for success.
    pub error: ErrorCode,
    /// The largest epoch that is not larger than the one asked for; -1 where there is none.
    pub epoch: LeaderEpoch,
    /// The offset behind its last record; -1 where there is none.
    pub end: Offset,
}

/// One idempotent producer of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerInfo {
    /// Its id.
    pub id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// The last sequence it used; -1 where it used none.
    pub last_sequence: Sequence,
    /// When it appended last.
    pub last_append: TimestampMs,
}
