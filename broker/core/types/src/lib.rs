//! Plain values that every part of Weir shares: ids, offsets, ticks, limits, error codes and
//! the record-batch view.
//!
//! Nothing here does IO, reads a clock, locks or allocates by request. It must never name another
//! Weir crate: every arrow in the workspace may end here and none starts here.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod batch;
pub mod cause;
pub mod error_code;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod log;
pub mod producer;
pub mod text;
pub mod time;
pub mod varint;

pub use batch::{Batch, BatchHeader, BatchMeta};
pub use cause::CauseKind;
pub use error_code::ErrorCode;
pub use identity::{Principal, Role};
pub use ids::{
    BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, ShardId,
    StorePartition, TopicId,
};
pub use time::{Now, Tick, TimestampMs};
