//! The log as it must be: stands between node and store, sees every command and every event, and
//! knows what each answer may say. It never looks into the store itself.

use crate::{
    checks::{corruption, durability, offsets, recovery, retention, starts},
    violation::Checked,
};
use std::collections::{BTreeMap, BTreeSet};
use weir_node::request::PartitionKey;
use weir_types::{
    Batch, BatchHeader, BatchMeta, Offset, ShardId, StorePartition, TimestampMs,
    log::{LogCommand, LogEvent, LogState, ReadError, StoredBatch, Token},
};

/// One partition's log.
#[derive(Clone, Debug)]
pub struct PartLog {
    /// Which.
    pub key: PartitionKey,
    /// Every batch that was appended and not lost, also those below the start.
    pub batches: Vec<(BatchMeta, Batch)>,
    /// The log durably starts here.
    pub start: Offset,
    /// It may start here, once what was asked is done.
    pub start_max: Offset,
    /// The store said that everything below is on the disk.
    pub flushed: Offset,
    /// The next offset.
    pub end: Offset,
    /// Producers that last appended before may be forgotten.
    pub producers_oldest: TimestampMs,
    /// It was given up.
    pub deleted: bool,
    /// Failures that the node has not heard of: what it appends until then is thrown away.
    pub unheard: u32,
}

/// A question to the log that is not answered yet.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Read {
        partition: StorePartition,
        from: Offset,
        below: Offset,
        bytes_max: usize,
        start: Offset,
    },
    Time {
        partition: StorePartition,
        timestamp: TimestampMs,
        below: Offset,
    },
}

/// All logs of the broker.
#[derive(Debug, Default)]
pub struct LogModel {
    parts: BTreeMap<StorePartition, PartLog>,
    by_key: BTreeMap<PartitionKey, StorePartition>,
    numbers: BTreeSet<StorePartition>,
    asked: BTreeMap<(ShardId, Token), Asked>,
    /// The disk was made to fail: errors of it are to be expected.
    pub disk_faulty: bool,
    /// Bits on the disk were turned over: damage is to be expected.
    pub disk_damaged: bool,
}

impl LogModel {
    /// The log of a partition, if it was ever opened.
    #[must_use]
    pub fn part(&self, key: PartitionKey) -> Option<&PartLog> {
        self.by_key
            .get(&key)
            .and_then(|number| self.parts.get(number))
    }

    /// The partition behind a number.
    #[must_use]
    pub fn key(&self, number: StorePartition) -> Option<PartitionKey> {
        self.parts.get(&number).map(|part| part.key)
    }

    /// All logs that were not given up.
    pub fn parts(&self) -> impl Iterator<Item = &PartLog> {
        self.parts.values().filter(|part| !part.deleted)
    }

    /// The broker is gone: nothing that was asked will be answered.
    pub fn crashed(&mut self) {
        self.asked.clear();
        for part in self.parts.values_mut() {
            part.unheard = 0;
        }
    }

    /// The node hears what the log told it.
    pub fn heard(&mut self, event: &LogEvent) {
        if let LogEvent::Failed { partition, .. } = event
            && let Some(part) = self.parts.get_mut(partition)
        {
            part.unheard = part.unheard.saturating_sub(1);
        }
    }

    /// The node gives the log a command.
    ///
    /// # Errors
    /// Where it must not.
    pub fn command(&mut self, shard: ShardId, command: &LogCommand) -> Checked {
        match command {
            LogCommand::Delete { partitions } => {
                for number in partitions {
                    if let Some(part) = self.parts.get_mut(number) {
                        part.deleted = true;
                    }
                }
            }
            LogCommand::Append {
                partition,
                batch,
                meta,
            } => self.append(*partition, batch, meta)?,
            LogCommand::MoveStart { partition, to } => {
                if let Some(part) = self.parts.get_mut(partition) {
                    starts::asked(part, *to)?;
                    part.start_max = part.start_max.max(*to);
                }
            }
            LogCommand::Retain {
                partition,
                older_than,
                bytes_max,
                below,
            } => {
                if let Some(part) = self.parts.get_mut(partition) {
                    durability::retained_below(part, *below)?;
                    let bound = retention::bound(part, *older_than, *bytes_max, *below);
                    part.start_max = part.start_max.max(bound);
                }
            }
            LogCommand::ExpireProducers { partition, oldest } => {
                if let Some(part) = self.parts.get_mut(partition) {
                    part.producers_oldest = part.producers_oldest.max(*oldest);
                }
            }
            LogCommand::Read {
                token,
                partition,
                from,
                below,
                bytes_max,
            } => {
                let start = self.parts.get(partition).map_or(Offset::ZERO, |p| p.start);
                let asked = Asked::Read {
                    partition: *partition,
                    from: *from,
                    below: *below,
                    bytes_max: *bytes_max,
                    start,
                };
                self.asked.insert((shard, *token), asked);
            }
            LogCommand::FindTime {
                token,
                partition,
                timestamp,
                below,
            } => {
                let asked = Asked::Time {
                    partition: *partition,
                    timestamp: *timestamp,
                    below: *below,
                };
                self.asked.insert((shard, *token), asked);
            }
            _ => {}
        }
        Ok(())
    }

    fn append(&mut self, number: StorePartition, batch: &Batch, meta: &BatchMeta) -> Checked {
        let Some(part) = self.parts.get_mut(&number) else {
            return offsets::PROMISE.broken(format!("append to partition {number}, never opened"));
        };
        if part.unheard > 0 && meta.base_offset != part.end {
            return Ok(());
        }
        offsets::appended(part, batch, meta)?;
        part.end = meta.next_offset();
        part.batches.push((*meta, batch.clone()));
        Ok(())
    }

    /// The log tells the node something.
    ///
    /// # Errors
    /// Where it is not true.
    pub fn event(&mut self, shard: ShardId, event: &LogEvent) -> Checked {
        match event {
            LogEvent::Opened {
                topic,
                index,
                partition,
                state,
            } => {
                let key = PartitionKey {
                    topic: *topic,
                    index: *index,
                };
                self.opened(key, *partition, state)
            }
            LogEvent::Flushed { partition, end } => {
                let Some(part) = self.parts.get_mut(partition) else {
                    return recovery::PROMISE.broken(format!("{partition} was never opened"));
                };
                durability::flushed(part, *end)?;
                part.flushed = part.flushed.max(*end);
                Ok(())
            }
            LogEvent::StartMoved {
                partition,
                start,
                size_bytes,
                max_timestamp,
            } => {
                let Some(part) = self.parts.get_mut(partition) else {
                    return recovery::PROMISE.broken(format!("{partition} was never opened"));
                };
                starts::moved(part, *start)?;
                part.start = *start;
                recovery::max_timestamp(part, (*start, part.flushed), *max_timestamp)?;
                recovery::size(part, *size_bytes)
            }
            LogEvent::Failed {
                partition,
                state,
                reason,
            } => {
                recovery::failure_has_cause(self.disk_faulty, reason)?;
                if let Some(part) = self.parts.get_mut(partition) {
                    part.unheard += 1;
                }
                self.resumed(*partition, state)
            }
            LogEvent::Truncated { partition, .. } => {
                recovery::PROMISE.broken(format!("{partition} was cut, which nobody asked for"))
            }
            LogEvent::OpenFailed { reason, .. } | LogEvent::Offline { reason, .. } => {
                recovery::failure_has_cause(self.disk_faulty || self.disk_damaged, reason)
            }
            LogEvent::ReadDone { token, batches } => self.read_done((shard, *token), batches),
            LogEvent::TimeFound { token, batch } => self.time_found((shard, *token), batch),
            _ => Ok(()),
        }
    }

    fn opened(&mut self, key: PartitionKey, number: StorePartition, state: &LogState) -> Checked {
        if self.by_key.get(&key) == Some(&number) {
            return self.resumed(number, state);
        }
        if let Some(known) = self.part(key)
            && !known.deleted
        {
            return recovery::PROMISE.broken(format!(
                "{key:?} was opened as partition {number} and had another number before"
            ));
        }
        recovery::fresh(number, state, !self.numbers.insert(number))?;
        self.by_key.insert(key, number);
        let part = PartLog {
            key,
            batches: Vec::new(),
            start: Offset::ZERO,
            start_max: Offset::ZERO,
            flushed: Offset::ZERO,
            end: Offset::ZERO,
            producers_oldest: TimestampMs(i64::MIN),
            deleted: false,
            unheard: 0,
        };
        self.parts.insert(number, part);
        Ok(())
    }

    /// The log of a partition goes on from what the disk holds.
    fn resumed(&mut self, number: StorePartition, state: &LogState) -> Checked {
        let Some(part) = self.parts.get_mut(&number) else {
            return recovery::PROMISE.broken(format!("partition {number} was never opened"));
        };
        super::recovered::check(part, state)?;
        part.batches
            .retain(|(meta, _)| meta.last_offset < state.end);
        part.end = state.end;
        part.flushed = state.end;
        part.start = state.start;
        part.start_max = state.start;
        Ok(())
    }

    fn read_done(
        &mut self,
        token: (ShardId, Token),
        result: &Result<Vec<StoredBatch>, ReadError>,
    ) -> Checked {
        let Some(Asked::Read {
            partition,
            from,
            below,
            bytes_max,
            start,
        }) = self.asked.remove(&token)
        else {
            return corruption::PROMISE.broken(format!("{token:?} asked for no read"));
        };
        let Some(part) = self.parts.get(&partition) else {
            return Ok(());
        };
        match result {
            Ok(batches) => {
                let batches = split(batches)?;
                corruption::same_bytes(part, &batches)?;
                starts::read_not_below(start, &batches)?;
                recovery::read_complete(part, from, below, bytes_max, &batches)
            }
            Err(ReadError::OutOfRange { .. }) => starts::out_of_range(part, from),
            Err(ReadError::NotOpen) => Ok(()),
            Err(ReadError::Damaged { reason, .. }) => {
                recovery::failure_has_cause(self.disk_damaged, reason)
            }
            Err(error) => recovery::failure_has_cause(self.disk_faulty, &error.to_string()),
        }
    }

    fn time_found(
        &mut self,
        token: (ShardId, Token),
        result: &Result<Option<StoredBatch>, ReadError>,
    ) -> Checked {
        let Some(Asked::Time {
            partition,
            timestamp,
            below,
        }) = self.asked.remove(&token)
        else {
            return corruption::PROMISE.broken(format!("{token:?} asked for no time"));
        };
        let Some(part) = self.parts.get(&partition) else {
            return Ok(());
        };
        match result {
            Ok(found) => {
                let found = match found {
                    Some(stored) => split(std::slice::from_ref(stored))?,
                    None => Vec::new(),
                };
                corruption::same_bytes(part, &found)?;
                offsets::first_at_time(part, timestamp, below, found.first().map(|(h, _)| h))
            }
            Err(ReadError::NotOpen | ReadError::OutOfRange { .. }) => Ok(()),
            Err(error) => recovery::failure_has_cause(
                self.disk_faulty || self.disk_damaged,
                &error.to_string(),
            ),
        }
    }
}

/// Takes what was read apart into batches.
///
/// # Errors
/// Where the bytes are no whole batches.
pub fn split(stored: &[StoredBatch]) -> Checked<Vec<(BatchHeader, bytes::Bytes)>> {
    let mut found = Vec::new();
    for piece in stored {
        let mut bytes = match piece {
            StoredBatch::Cached(batch) => {
                let mut whole = Vec::with_capacity(batch.size_bytes());
                batch.write_to(&mut whole);
                whole.into()
            }
            StoredBatch::Read(bytes) => bytes.clone(),
        };
        while !bytes.is_empty() {
            match BatchHeader::read(&bytes) {
                Ok(header) => found.push((header, bytes.split_to(header.size_bytes))),
                Err(error) => return corruption::PROMISE.broken(error),
            }
        }
    }
    Ok(found)
}
