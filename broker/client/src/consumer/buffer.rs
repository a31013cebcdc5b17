//! What a consumer knows of its partitions and has fetched ahead: positions, batches in order, one
//! budget of memory.
//!
//! Pure: no IO, clock or lock; time is handed in. An answer that does not fit the position any
//! more (after a seek, or from a former leader) is dropped, so no record is handed out twice or
//! skipped.

use super::batch::RawBatch;
use crate::{error::ConsumeError, record::TopicPartition};
use std::collections::{BTreeMap, VecDeque};
use weir_types::{Offset, Tick};

/// What a partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It is fetched.
    Fetching,
    /// Its next position is being asked for.
    Resetting,
    /// It waits for a seek after an error that does not go away by itself.
    Halted,
}

#[derive(Debug)]
pub(crate) struct Part {
    /// Changes with every seek.
    pub(crate) generation: u64,
    /// The offset to fetch next.
    pub(crate) fetch_offset: Offset,
    /// The offset to hand out next.
    pub(crate) position: Offset,
    pub(crate) doing: Doing,
    pub(crate) is_paused: bool,
    pub(crate) high_watermark: Option<Offset>,
    pub(crate) log_start: Option<Offset>,
    pub(crate) blocked_until: Tick,
    /// Failures in a row that go away by themselves.
    pub(crate) failures: u32,
    batches: VecDeque<RawBatch>,
    buffered_bytes: usize,
    is_ready: bool,
    is_placeless: bool,
}

impl Part {
    /// Whether it has never had a place to read from: nothing of it may be committed.
    pub(crate) const fn is_placeless(&self) -> bool {
        self.is_placeless
    }
}

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    parts: BTreeMap<TopicPartition, Part>,
    /// Partitions that have batches and are not paused, in turn.
    ready: VecDeque<TopicPartition>,
    errors: VecDeque<ConsumeError>,
    buffered_bytes: usize,
    /// Room that fetches under way may fill.
    reserved_bytes: usize,
    budget_bytes: usize,
    partition_bytes: usize,
    next_generation: u64,
}

/// What the reader gets next.
pub(crate) enum Next {
    Batch {
        partition: TopicPartition,
        raw: RawBatch,
        position: Offset,
        generation: u64,
    },
    Error(ConsumeError),
}

impl Buffer {
    pub(crate) fn new(budget_bytes: usize, partition_bytes: usize) -> Self {
        Self {
            budget_bytes,
            partition_bytes,
            ..Self::default()
        }
    }

    /// Takes a partition in, or moves one that is in, to `offset`. Returns its new generation.
    pub(crate) fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> u64 {
        self.next_generation += 1;
        let generation = self.next_generation;
        let part = self
            .parts
            .entry(partition.clone())
            .or_insert_with(|| new_part(offset));
        self.buffered_bytes -= part.buffered_bytes;
        part.batches.clear();
        part.buffered_bytes = 0;
        part.generation = generation;
        part.fetch_offset = offset;
        part.position = offset;
        part.doing = Doing::Fetching;
        part.is_placeless = false;
        part.blocked_until = Tick::default();
        part.failures = 0;
        generation
    }

    /// Lets a partition go; false where it was not there.
    pub(crate) fn remove(&mut self, partition: &TopicPartition) -> bool {
        let Some(part) = self.parts.remove(partition) else {
            return false;
        };
        self.buffered_bytes -= part.buffered_bytes;
        self.ready.retain(|ready| ready != partition);
        true
    }

    pub(crate) fn get(&self, partition: &TopicPartition) -> Option<&Part> {
        self.parts.get(partition)
    }

    pub(crate) fn get_mut(&mut self, partition: &TopicPartition) -> Option<&mut Part> {
        self.parts.get_mut(partition)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Part)> {
        self.parts.iter()
    }

    /// Holds a partition's records back, or goes on; false where it is not assigned.
    pub(crate) fn set_paused(&mut self, partition: &TopicPartition, is_paused: bool) -> bool {
        let Some(part) = self.parts.get_mut(partition) else {
            return false;
        };
        part.is_paused = is_paused;
        if is_paused && part.is_ready {
            part.is_ready = false;
            self.ready.retain(|ready| ready != partition);
        }
        self.list(partition);
        true
    }

    /// Whether a partition may be fetched now; else when to ask again, if time alone helps.
    pub(crate) fn fetchable(
        &self,
        partition: &TopicPartition,
        now: Tick,
    ) -> Result<Offset, Option<Tick>> {
        let Some(part) = self.parts.get(partition) else {
            return Err(None);
        };
        if part.is_paused || part.doing != Doing::Fetching {
            return Err(None);
        }
        // No partition fills the memory of all; each may have two answers waiting.
        let share = self.budget_bytes / self.parts.len().max(1);
        if part.buffered_bytes >= share.max(2 * self.partition_bytes) {
            return Err(None);
        }
        if part.blocked_until > now {
            return Err(Some(part.blocked_until));
        }
        Ok(part.fetch_offset)
    }

    /// Sets room aside for a fetch: up to `wanted` bytes; nothing while too little is free.
    pub(crate) fn reserve(&mut self, wanted: usize) -> Option<usize> {
        let used = self.buffered_bytes + self.reserved_bytes;
        let free = self.budget_bytes.saturating_sub(used);
        let least = wanted.min(self.partition_bytes).min(self.budget_bytes / 2);
        if free < least.max(1) {
            return None;
        }
        let taken = free.min(wanted);
        self.reserved_bytes += taken;
        Some(taken)
    }

    /// Gives back what [`Self::reserve`] took.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.reserved_bytes = self.reserved_bytes.saturating_sub(bytes);
    }

    /// Takes what was fetched from `offset`, unless the partition has moved since.
    pub(crate) fn fill(
        &mut self,
        partition: &TopicPartition,
        generation: u64,
        offset: Offset,
        batches: Vec<RawBatch>,
    ) {
        let Some(part) = self.parts.get_mut(partition) else {
            return;
        };
        if part.generation != generation || part.fetch_offset != offset {
            return;
        }
        part.failures = 0;
        for raw in batches {
            // A broker may answer from the start of the batch that holds the offset, or before.
            if raw.header.next_offset() <= part.fetch_offset {
                continue;
            }
            part.fetch_offset = raw.header.next_offset();
            part.buffered_bytes += raw.bytes.len();
            self.buffered_bytes += raw.bytes.len();
            part.batches.push_back(raw);
        }
        self.list(partition);
    }

    pub(crate) fn fail(&mut self, error: ConsumeError) {
        self.errors.push_back(error);
    }

    /// Stops a partition until it is moved; its error is told once what was fetched before has
    /// been handed out or at once, whichever the reader meets first.
    pub(crate) fn halt(&mut self, partition: &TopicPartition, error: ConsumeError) {
        if let Some(part) = self.parts.get_mut(partition) {
            part.doing = Doing::Halted;
        }
        self.fail(error);
    }

    /// Says that a partition has no place yet, until it is moved.
    pub(crate) fn forget_place(&mut self, partition: &TopicPartition) {
        if let Some(part) = self.parts.get_mut(partition) {
            part.is_placeless = true;
        }
    }

    /// Stops a partition whose batch turned out to be damaged, and drops what is behind it.
    pub(crate) fn stop(&mut self, partition: &TopicPartition, generation: u64) {
        let Some(position) = self
            .parts
            .get(partition)
            .filter(|part| part.generation == generation)
            .map(|part| part.position)
        else {
            return;
        };
        self.seek(partition, position);
        if let Some(part) = self.parts.get_mut(partition) {
            part.doing = Doing::Halted;
        }
    }

    /// Goes on at another offset after a reset; what was fetched before is still handed out.
    pub(crate) fn continue_at(&mut self, partition: &TopicPartition, generation: u64, to: Offset) {
        if let Some(part) = self.parts.get_mut(partition)
            && part.generation == generation
            && part.doing == Doing::Resetting
        {
            part.doing = Doing::Fetching;
            part.fetch_offset = to;
            if part.batches.is_empty() {
                part.position = to;
            }
        }
    }

    /// The next batch or error, if there is one. The position moves when the batch is done with.
    pub(crate) fn next(&mut self) -> Option<Next> {
        while let Some(partition) = self.ready.pop_front() {
            let Some(part) = self.parts.get_mut(&partition) else {
                continue;
            };
            part.is_ready = false;
            let Some(raw) = part.batches.pop_front() else {
                continue;
            };
            part.buffered_bytes -= raw.bytes.len();
            self.buffered_bytes -= raw.bytes.len();
            let (position, generation) = (part.position, part.generation);
            // Until the reader is through, the position is where the batch begins to count.
            self.list(&partition);
            return Some(Next::Batch {
                partition,
                position,
                raw,
                generation,
            });
        }
        self.errors.pop_front().map(Next::Error)
    }

    /// Moves the position of a partition that has not been moved otherwise meanwhile.
    pub(crate) fn advance(&mut self, partition: &TopicPartition, generation: u64, to: Offset) {
        if let Some(part) = self.parts.get_mut(partition)
            && part.generation == generation
        {
            part.position = part.position.max(to);
        }
    }

    /// Whether nothing waits for the reader.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.errors.is_empty()
    }

    fn list(&mut self, partition: &TopicPartition) {
        if let Some(part) = self.parts.get_mut(partition)
            && !part.is_ready
            && !part.is_paused
            && !part.batches.is_empty()
        {
            part.is_ready = true;
            self.ready.push_back(partition.clone());
        }
    }
}

fn new_part(offset: Offset) -> Part {
    Part {
        generation: 0,
        fetch_offset: offset,
        position: offset,
        doing: Doing::Fetching,
        is_paused: false,
        high_watermark: None,
        log_start: None,
        blocked_until: Tick::default(),
        failures: 0,
        batches: VecDeque::new(),
        buffered_bytes: 0,
        is_ready: false,
        is_placeless: false,
    }
}
