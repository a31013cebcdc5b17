//! What goes into a coordinator and what comes out. Plain values; no rule lives here.

use crate::{GroupRecord, Name, Reply, Request, TopicTable};
use alloc::{sync::Arc, vec::Vec};
use weir_types::{Tick, TopicId};

/// The driver's own name of a request that waits for its answer; never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The running number of a write; writes are to be appended in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// Something a coordinator has to react to.
#[derive(Clone, Debug)]
pub enum GroupEvent {
    /// A request came.
    Request {
        /// To be named in its answer.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// The topics changed: new ones, more partitions, deleted ones.
    Topics(Arc<TopicTable>),
    /// Topics were deleted: what was committed for them goes. To be followed by `Topics`.
    TopicsDeleted(Vec<(Name, TopicId)>),
    /// A pattern was matched against the current topics; the answer to
    /// [`GroupEffect::ResolvePattern`]. A pattern that is no valid expression must be refused
    /// with INVALID_REGULAR_EXPRESSION before its heartbeat comes here.
    PatternResolved {
        /// The pattern.
        pattern: Name,
        /// The names that match, in any order.
        topics: Vec<Name>,
    },
    /// The time that [`GroupEffect::WakeAt`] asked for has come. Early or spare ones do no harm.
    Tick,
    /// Take a snapshot now, whatever the policy says.
    TakeSnapshot,
}

/// What a coordinator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEffect {
    /// Append these records, in this order and as one batch, or as several where they are too many
    /// for one. If that fails, the coordinator must be resigned and restored from the log: its state
    /// is ahead of it. The write is replicated once its last batch is; a group of which only a part
    /// of a write was kept is one that can be restored. The internal topic's `max.message.bytes`
    /// must leave room for one record of [`RECORD_BYTES_MAX`](crate::limits::RECORD_BYTES_MAX).
    Write {
        /// The number that answers refer to.
        write: WriteId,
        /// What to append.
        records: Vec<GroupRecord>,
    },
    /// Answer a request.
    Answer {
        /// Which.
        request: RequestId,
        /// Send it once this write is replicated; nothing, or a number below the first that this
        /// coordinator was given: at once.
        after: Option<WriteId>,
        /// With what.
        reply: Reply,
    },
    /// Match a pattern against the topics, then send [`GroupEvent::PatternResolved`].
    ResolvePattern {
        /// The pattern, as the member wrote it (RE2's syntax, KIP-848).
        pattern: Name,
    },
    /// Send [`GroupEvent::Tick`] at this time; the last such effect counts.
    WakeAt(Tick),
    /// A rebalance was written down; watchers of the group may be told once `after` is replicated.
    HistoryGrew {
        /// The group.
        group: Name,
        /// The sequence of the new event.
        sequence: u64,
        /// The write that holds it.
        after: WriteId,
    },
    /// A snapshot is complete: once `end` is replicated, the log may start at the batch of
    /// `begin`.
    SnapshotWritten {
        /// The write that holds its beginning.
        begin: WriteId,
        /// The write that holds its end.
        end: WriteId,
    },
}
