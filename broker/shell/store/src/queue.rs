//! Commands that wait for a lane, each partition's in order (design rule 3): a partition is in
//! one lane at a time, and everything of it that is taken together is flushed together.
//!
//! Plain state; who waits and who is woken is the facade's business.

use crate::limits::{
    COMMAND_BYTES, COMMIT_BATCHES_MAX, COMMIT_BYTES_FEW_MAX, COMMIT_BYTES_MAX,
    COMMIT_FEW_PARTITIONS,
};
use std::collections::{BTreeMap, VecDeque};
use weir_types::{Batch, BatchMeta, Offset, ShardId, StorePartition, TimestampMs};

/// Something to be done to one partition by a lane.
#[derive(Debug)]
pub(crate) enum Op {
    Append(Batch, BatchMeta),
    MoveStart(Offset),
    Truncate(Offset),
    Retain {
        older_than: Option<TimestampMs>,
        bytes_max: Option<u64>,
        below: Offset,
    },
    Expire(TimestampMs),
}

impl Op {
    fn bytes(&self) -> usize {
        match self {
            Self::Append(batch, _) => batch.size_bytes() + COMMAND_BYTES,
            _ => COMMAND_BYTES,
        }
    }
}

/// What a lane took of one partition.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) partition: StorePartition,
    pub(crate) route: ShardId,
    pub(crate) ops: Vec<Op>,
}

#[derive(Debug)]
struct Waiting {
    ops: VecDeque<Op>,
    route: ShardId,
    in_lane: bool,
    /// Bytes of `ops`.
    bytes: usize,
    /// Behind the last batch that was pushed.
    end: Option<Offset>,
}

/// The commands of all partitions.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    partitions: BTreeMap<StorePartition, Waiting>,
    /// Partitions that have commands and are in no lane, first come first.
    ready: VecDeque<StorePartition>,
    ready_bytes: usize,
    pending_bytes: usize,
}

impl Queue {
    /// Puts a command behind the partition's others.
    pub(crate) fn push(&mut self, partition: StorePartition, route: ShardId, op: Op) {
        let bytes = op.bytes();
        self.pending_bytes += bytes;
        let waiting = self.partitions.entry(partition).or_insert_with(|| Waiting {
            ops: VecDeque::new(),
            route,
            in_lane: false,
            bytes: 0,
            end: None,
        });
        waiting.route = route;
        if let Op::Append(_, meta) = &op {
            waiting.end = Some(meta.next_offset());
        }
        if !waiting.in_lane {
            self.ready_bytes += bytes;
            if waiting.ops.is_empty() {
                self.ready.push_back(partition);
            }
        }
        waiting.bytes += bytes;
        waiting.ops.push_back(op);
    }

    /// Bytes of everything that was pushed and not yet given back.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Bytes that no lane has taken and one could take now.
    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Behind the last batch that was pushed, while something of the partition waits.
    pub(crate) fn submitted_end(&self, partition: StorePartition) -> Option<Offset> {
        self.partitions.get(&partition)?.end
    }

    /// Whether a lane would find something.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether nothing waits and no lane has anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending_bytes == 0
    }

    /// Takes what one commit shall hold; the partitions are the lane's until
    /// [`Queue::give_back`].
    pub(crate) fn take(&mut self) -> Vec<Taken> {
        let bytes_max = if self.ready.len() <= COMMIT_FEW_PARTITIONS {
            COMMIT_BYTES_FEW_MAX
        } else {
            COMMIT_BYTES_MAX
        };
        let mut left = Left {
            bytes: bytes_max,
            batches: COMMIT_BATCHES_MAX,
        };
        let mut taken = Vec::new();
        while left.bytes > 0 && left.batches > 0 {
            let Some(partition) = self.ready.pop_front() else {
                break;
            };
            let Some(waiting) = self.partitions.get_mut(&partition) else {
                continue;
            };
            self.ready_bytes -= waiting.bytes;
            waiting.in_lane = true;
            let ops = left.take_from(&mut waiting.ops);
            waiting.bytes -= bytes_of(&ops);
            taken.push(Taken {
                partition,
                route: waiting.route,
                ops,
            });
        }
        taken.sort_by_key(|taken| taken.partition);
        taken
    }

    /// A lane is done with a partition, whose commands took `bytes`.
    pub(crate) fn give_back(&mut self, partition: StorePartition, bytes: usize) {
        self.pending_bytes -= bytes;
        let Some(waiting) = self.partitions.get_mut(&partition) else {
            return;
        };
        waiting.in_lane = false;
        if waiting.ops.is_empty() {
            self.partitions.remove(&partition);
        } else {
            self.ready_bytes += waiting.bytes;
            self.ready.push_back(partition);
        }
    }
}

/// Bytes that commands count for.
pub(crate) fn bytes_of(ops: &[Op]) -> usize {
    ops.iter().map(Op::bytes).sum()
}

struct Left {
    bytes: usize,
    batches: usize,
}

impl Left {
    /// At least one command; a truncation or a moved start ends the run, because what follows
    /// it must have a higher commit number.
    fn take_from(&mut self, ops: &mut VecDeque<Op>) -> Vec<Op> {
        let mut taken = Vec::new();
        while let Some(op) = ops.front() {
            let bytes = op.bytes();
            let full = bytes > self.bytes || self.batches == 0;
            if full && !taken.is_empty() {
                break;
            }
            let ends = matches!(op, Op::MoveStart(_) | Op::Truncate(_) | Op::Retain { .. });
            self.bytes = self.bytes.saturating_sub(bytes);
            self.batches = self.batches.saturating_sub(1);
            taken.extend(ops.pop_front());
            if ends {
                break;
            }
        }
        taken
    }
}
