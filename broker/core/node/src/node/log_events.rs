//! What the log tells: openings, flushes, moved starts, failures, and answers to reads.

use super::{Node, Partition};
use crate::{
    event::{Effect, Notice},
    request::PartitionKey,
};
use alloc::{string::String, vec::Vec};
use weir_lag::Traffic;
use weir_types::{
    ErrorCode, Now, Offset, StorePartition, TimestampMs,
    log::{LogEvent, LogState},
};

impl Node {
    pub(super) fn log_event(&mut self, now: Now, event: LogEvent, effects: &mut Vec<Effect>) {
        match event {
            LogEvent::Opened {
                topic,
                index,
                partition,
                state,
            } => self.opened(
                now,
                PartitionKey { topic, index },
                partition,
                state,
                effects,
            ),
            LogEvent::OpenFailed {
                topic,
                index,
                reason,
            } => {
                let key = PartitionKey { topic, index };
                if !self.doomed.remove(&key) {
                    self.offline(now, key, reason, effects);
                }
            }
            LogEvent::Flushed { partition, end } => self.flushed(now, partition, end, effects),
            LogEvent::StartMoved {
                partition,
                start,
                size_bytes,
                max_timestamp,
            } => {
                let moved = (start, size_bytes, max_timestamp);
                self.start_moved(now, partition, moved, effects);
            }
            LogEvent::Truncated { partition, state } => {
                self.reset(now, partition, state, None, effects);
            }
            LogEvent::Failed {
                partition,
                state,
                reason,
            } => self.reset(now, partition, state, Some(reason), effects),
            LogEvent::Offline { partition, reason } => {
                if let Some(key) = self.by_store.get(&partition).copied() {
                    self.offline(now, key, reason, effects);
                }
            }
            LogEvent::ReadDone { token, batches } => {
                let Some(batches) = self.groups_read(now, token, batches, effects) else {
                    return;
                };
                let Some(batches) = self.lag_read(now, token, batches, effects) else {
                    return;
                };
                if let Some((id, part)) = self.tokens.remove(&token) {
                    if self.lookups.contains_key(&id) {
                        self.lookup_read(id, part, batches, effects);
                    } else {
                        self.fetch_read(now, id, part, batches, effects);
                    }
                }
            }
            LogEvent::TimeFound { token, batch } => {
                if let Some((id, part)) = self.tokens.remove(&token) {
                    self.time_found(id, part, batch, effects);
                }
            }
            // An event of a newer store that this node gives nothing for.
            _ => {}
        }
    }

    fn flushed(
        &mut self,
        now: Now,
        partition: StorePartition,
        end: Offset,
        effects: &mut Vec<Effect>,
    ) {
        let Some(key) = self.by_store.get(&partition).copied() else {
            return;
        };
        let Some(open) = self.open_mut(key) else {
            return;
        };
        let moved = open.replica.flushed(end);
        let replicated = open.replica.high_watermark();
        self.gate.flushed(key, end, effects);
        if moved {
            self.gate.replicated(key, replicated, effects);
            self.groups_replicated(key, effects);
            self.load_if_replicated(now, key, effects);
            self.lag_replicated(key, effects);
            self.note_partition(now, key, Traffic::default());
            self.wake_fetches(now, key, effects);
        }
    }

    fn start_moved(
        &mut self,
        now: Now,
        partition: StorePartition,
        (start, size_bytes, max_timestamp): (Offset, u64, Option<(TimestampMs, Offset)>),
        effects: &mut Vec<Effect>,
    ) {
        let Some(key) = self.by_store.get(&partition).copied() else {
            return;
        };
        let Some(open) = self.open_mut(key) else {
            return;
        };
        open.replica.start_moved(start, size_bytes, max_timestamp);
        let start = open.replica.log_start();
        // Told without having moved, a start may be asked for again.
        open.start_asked = start;
        self.gate.started(key, start, effects);
        self.note_partition(now, key, Traffic::default());
        self.wake_fetches(now, key, effects);
    }

    /// The log goes on from `state`, because the disk failed or the log was cut.
    fn reset(
        &mut self,
        now: Now,
        partition: StorePartition,
        state: LogState,
        failure: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(key) = self.by_store.get(&partition).copied() else {
            return;
        };
        let Some(open) = self.open_mut(key) else {
            return;
        };
        let damage = open.replica.reset(state);
        open.start_asked = open.replica.log_start();
        if open.replica.leads() {
            let (epoch, insync) = (open.replica.epoch(), open.replica.insync());
            open.replica.lead(epoch, insync);
        }
        let replica = &open.replica;
        let (start, flushed, replicated) = (
            replica.log_start(),
            replica.flushed_end(),
            replica.high_watermark(),
        );
        let error = ErrorCode::KafkaStorageError;
        self.gate.lost(key, Some(damage.from), error, effects);
        self.gate.flushed(key, flushed, effects);
        self.gate.replicated(key, replicated, effects);
        self.gate.started(key, start, effects);
        if let Some(reason) = failure {
            effects.push(Effect::Notice(Notice::DiskFailed {
                partition: key,
                from: damage.from,
                lost_acknowledged: damage.below_high_watermark,
                reason,
            }));
        }
        self.begin_coordinating(now, key, effects);
        self.note_partition(now, key, Traffic::default());
        self.wake_fetches(now, key, effects);
    }

    /// A partition cannot be used until the broker starts again.
    fn offline(&mut self, now: Now, key: PartitionKey, reason: String, effects: &mut Vec<Effect>) {
        if !self.partitions.contains_key(&key) {
            return;
        }
        self.partitions.insert(key, Partition::Offline);
        effects.push(Effect::Notice(Notice::Offline {
            partition: key,
            reason,
        }));
        self.gone(now, key, ErrorCode::KafkaStorageError, effects);
    }
}
