//! What the store knows of each partition without reading a file: its marks, the entries of
//! batches in files that are not yet rewritten, and its segments of history.
//!
//! Plain state behind one lock, never held across IO. Everything in it is flushed: a lane enters
//! a batch only after its sync.

use crate::entry::Run;
use crate::layout::Place;
use crate::rows::{FileRow, PartitionRow, ProducerSnapshot, SegmentRow};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use weir_types::{
    BatchMeta, LeaderEpoch, Offset, PartitionIndex, ProducerId, StorePartition, TimestampMs,
    TopicId, log::LogState, producer::ProducerTable,
};

/// One batch in a file that is not yet rewritten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) meta: BatchMeta,
    pub(crate) commit: u64,
    pub(crate) file: u32,
    pub(crate) first_key: u64,
    pub(crate) blob_len: u32,
    pub(crate) position: u32,
}

impl Slot {
    pub(crate) fn place(&self) -> Place {
        Place {
            first_key: self.first_key,
            blob_len: self.blob_len,
            position: self.position,
            len: self.meta.size_bytes,
        }
    }
}

/// One segment of history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) file: u32,
    pub(crate) row: SegmentRow,
    /// Bytes of its batches that lie wholly before the start.
    pub(crate) dead_bytes: u64,
    /// The start moved into it and `dead_bytes` is still to be read from its index.
    pub(crate) stale: bool,
}

impl Segment {
    pub(crate) fn live_bytes(&self) -> u64 {
        self.row.bytes.saturating_sub(self.dead_bytes)
    }
}

/// One partition.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) topic: TopicId,
    pub(crate) index: PartitionIndex,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
    pub(crate) max_timestamp: Option<(TimestampMs, Offset)>,
    pub(crate) producers: ProducerTable,
    /// The last commit that is in all of the above.
    pub(crate) as_of: u64,
    /// Ascending by offset, never overlapping `segments`.
    pub(crate) slots: VecDeque<Slot>,
    /// Ascending by offset.
    pub(crate) segments: Vec<Segment>,
    /// Truncations that lane files may still need, ascending by commit.
    pub(crate) truncations: Vec<(u64, Offset)>,
    pub(crate) snapshots: Vec<ProducerSnapshot>,
    /// Why it cannot be used.
    pub(crate) offline: Option<String>,
    /// Producers whose remembered batches were all truncated: what they did before is still to
    /// be read from snapshots and indexes (design rule 5).
    pub(crate) lost_producers: BTreeSet<ProducerId>,
    /// A sync failed: appends that do not start at the end belong to what is gone.
    pub(crate) skip_gap: bool,
}

/// One file of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileInfo {
    pub(crate) row: FileRow,
    pub(crate) state: FileState,
    /// Bytes of batches in it, dead ones too.
    pub(crate) bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) batches: u64,
    /// First and last commit (lane files).
    pub(crate) first_commit: u64,
    pub(crate) last_commit: u64,
}

impl FileInfo {
    pub(crate) fn new(row: FileRow, state: FileState) -> Self {
        Self {
            row,
            state,
            bytes: 0,
            live_bytes: 0,
            batches: 0,
            first_commit: 0,
            last_commit: 0,
        }
    }
}

/// Where a file is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileState {
    /// A lane writes it.
    Active,
    /// A lane is done with it; index and clean close are still to come.
    Rolled,
    /// Closed cleanly; the rewriter may take it.
    Sealed,
    /// A sync failed in it: read through a copy of its last good root, never written again.
    Broken,
    /// It cannot be opened, or a partition that such a file took offline needs it: it is left as
    /// it is until the store is opened again.
    Held,
}

/// All partitions and files.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) parts: BTreeMap<StorePartition, Part>,
    pub(crate) names: BTreeMap<(TopicId, PartitionIndex), StorePartition>,
    pub(crate) files: BTreeMap<u32, FileInfo>,
    /// Partitions whose catalog row is behind.
    pub(crate) dirty: BTreeSet<StorePartition>,
    /// History files whose rows of segments are behind.
    pub(crate) dirty_files: BTreeSet<u32>,
}

impl Part {
    pub(crate) fn new(topic: TopicId, index: PartitionIndex) -> Self {
        Self {
            topic,
            index,
            start: Offset::ZERO,
            end: Offset::ZERO,
            epochs: Vec::new(),
            max_timestamp: None,
            producers: ProducerTable::default(),
            as_of: 0,
            slots: VecDeque::new(),
            segments: Vec::new(),
            truncations: Vec::new(),
            snapshots: Vec::new(),
            offline: None,
            lost_producers: BTreeSet::new(),
            skip_gap: false,
        }
    }

    pub(crate) fn from_row(row: PartitionRow, snapshots: Vec<ProducerSnapshot>) -> Self {
        let producers = snapshots
            .iter()
            .find(|snapshot| snapshot.as_of == row.as_of)
            .map(|snapshot| snapshot.table.clone())
            .unwrap_or_default();
        Self {
            start: row.start,
            end: row.end,
            epochs: row.epochs,
            max_timestamp: row.max_timestamp,
            producers,
            as_of: row.as_of,
            truncations: row.truncations,
            snapshots,
            ..Self::new(row.topic, row.index)
        }
    }

    pub(crate) fn row(&self) -> PartitionRow {
        PartitionRow {
            topic: self.topic,
            index: self.index,
            start: self.start,
            end: self.end,
            as_of: self.as_of,
            epochs: self.epochs.clone(),
            max_timestamp: self.max_timestamp,
            truncations: self.truncations.clone(),
        }
    }

    /// Whether this is the partition of that topic and index.
    pub(crate) fn is(&self, topic: TopicId, index: PartitionIndex) -> bool {
        self.topic == topic && self.index == index
    }

    /// Live bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        let slots: u64 = self
            .slots
            .iter()
            .map(|s| u64::from(s.meta.size_bytes))
            .sum();
        let segments: u64 = self.segments.iter().map(Segment::live_bytes).sum();
        slots + segments
    }

    pub(crate) fn state(&self) -> LogState {
        LogState {
            start: self.start,
            end: self.end,
            epochs: self.epochs.clone(),
            producers: self.producers.clone(),
            max_timestamp: self.max_timestamp,
            size_bytes: self.size_bytes(),
        }
    }

    /// Epoch, maximum and producers after one more batch.
    pub(crate) fn note_batch(&mut self, meta: &BatchMeta) {
        if self
            .epochs
            .last()
            .is_none_or(|(epoch, _)| *epoch < meta.leader_epoch)
        {
            // An epoch in which nothing was left is no part of the lineage.
            self.epochs.retain(|(_, offset)| *offset < meta.base_offset);
            self.epochs.push((meta.leader_epoch, meta.base_offset));
        }
        if self
            .max_timestamp
            .is_none_or(|(time, _)| time < meta.max_timestamp)
        {
            self.max_timestamp = Some((meta.max_timestamp, meta.base_offset));
        }
        self.producers.apply(meta);
        self.end = meta.next_offset();
    }

    /// Epochs after the start moved: the one in force at the start begins there (KIP-101).
    pub(crate) fn trim_epochs_front(&mut self) {
        let start = self.start;
        let keep = self.epochs.partition_point(|(_, offset)| *offset <= start);
        if keep > 1 {
            self.epochs.drain(..keep - 1);
        }
        if let Some(first) = self.epochs.first_mut()
            && first.1 < start
        {
            first.1 = start;
        }
    }

    /// Producers without what they appended from `to` on.
    pub(crate) fn truncate_producers(&mut self, to: Offset) {
        self.snapshots.retain(|snapshot| snapshot.end <= to);
        let mut table = ProducerTable::default();
        for (id, entry) in self.producers.iter() {
            let mut entry = entry.clone();
            entry.batches.retain(|batch| batch.last_offset < to);
            if entry.batches.is_empty() {
                self.lost_producers.insert(id);
            } else {
                table.restore(id, entry);
            }
        }
        self.producers = table;
    }

    /// The largest timestamp of what is left, where the one that was known is gone; of a batch
    /// that begins before the start the start is told. Segments that are stale may hold a larger
    /// one than what is left of them: settling them corrects that.
    pub(crate) fn find_max_timestamp(&mut self) {
        let segments = self
            .segments
            .iter()
            .map(|segment| segment.row.max_timestamp);
        let slots = self
            .slots
            .iter()
            .map(|slot| (slot.meta.max_timestamp, slot.meta.base_offset));
        // The first of equal ones, as appending finds it.
        let largest = segments
            .chain(slots)
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        self.max_timestamp = largest.map(|(time, base)| (time, base.max(self.start)));
    }
}

impl Book {
    /// Takes bytes off a file's live ones.
    fn kill(files: &mut BTreeMap<u32, FileInfo>, file: u32, bytes: u64) {
        if let Some(info) = files.get_mut(&file) {
            info.live_bytes = info.live_bytes.saturating_sub(bytes);
        }
    }

    /// Enters what one flushed commit did to one partition. Answers whether a truncation or a
    /// moved start changed history in a way that needs its index ([`Segment::stale`]).
    pub(crate) fn enter(
        &mut self,
        partition: StorePartition,
        file: u32,
        commit: u64,
        blob: (u64, u32, u32),
        run: &Run,
    ) {
        let (first_key, blob_len, mut position) = blob;
        let Some(part) = self.parts.get_mut(&partition) else {
            return;
        };
        for meta in &run.batches {
            part.slots.push_back(Slot {
                meta: *meta,
                commit,
                file,
                first_key,
                blob_len,
                position,
            });
            position = position.saturating_add(meta.size_bytes);
            part.note_batch(meta);
        }
        part.as_of = commit;
        self.dirty.insert(partition);
        if let Some(start) = run.start {
            self.move_start(partition, start);
        }
        if let Some(to) = run.truncate {
            self.truncate(partition, commit, to);
        }
    }

    /// Drops what lies before `start`; a start beyond the end empties the log.
    pub(crate) fn move_start(&mut self, partition: StorePartition, start: Offset) {
        let Some(part) = self.parts.get_mut(&partition) else {
            return;
        };
        if start <= part.start {
            return;
        }
        part.start = start;
        part.end = part.end.max(start);
        self.dirty.insert(partition);
        Self::drop_before_start(&mut self.files, part);
        part.trim_epochs_front();
        if part.max_timestamp.is_some_and(|(_, offset)| offset < start) {
            part.find_max_timestamp();
        }
    }

    /// Drops slots and segments that lie wholly before the start.
    pub(crate) fn drop_before_start(files: &mut BTreeMap<u32, FileInfo>, part: &mut Part) {
        let start = part.start;
        while let Some(slot) = part.slots.front()
            && slot.meta.last_offset < start
        {
            Self::kill(files, slot.file, u64::from(slot.meta.size_bytes));
            part.slots.pop_front();
        }
        part.segments.retain_mut(|segment| {
            if segment.row.end <= start {
                Self::kill(files, segment.file, segment.live_bytes());
                return false;
            }
            segment.stale |= segment.row.base < start;
            true
        });
    }

    /// Drops everything from `to` on; `to` is the end of a batch. `commit` is the mark's.
    pub(crate) fn truncate(&mut self, partition: StorePartition, commit: u64, to: Offset) {
        let Some(part) = self.parts.get_mut(&partition) else {
            return;
        };
        part.truncations.push((commit, to));
        part.truncate_producers(to);
        self.dirty.insert(partition);
        while let Some(slot) = part.slots.back()
            && slot.meta.last_offset >= to
        {
            Self::kill(&mut self.files, slot.file, u64::from(slot.meta.size_bytes));
            part.slots.pop_back();
        }
        Self::cut_segments(&mut self.files, &mut self.dirty_files, part, to, |_| true);
        part.end = to;
        part.epochs.retain(|(_, offset)| *offset < to);
        if part.max_timestamp.is_some_and(|(_, offset)| offset >= to) {
            part.find_max_timestamp();
        }
    }

    /// Cuts those of a partition's segments that `cuts` names at `to`, the end of a batch.
    pub(crate) fn cut_segments(
        files: &mut BTreeMap<u32, FileInfo>,
        dirty_files: &mut BTreeSet<u32>,
        part: &mut Part,
        to: Offset,
        cuts: impl Fn(&Segment) -> bool,
    ) {
        part.segments.retain_mut(|segment| {
            if !cuts(segment) || segment.row.end <= to {
                return true;
            }
            dirty_files.insert(segment.file);
            if segment.row.base >= to {
                Self::kill(files, segment.file, segment.live_bytes());
                return false;
            }
            // Its bytes are counted anew when its index is read.
            segment.row.end = to;
            segment.stale = true;
            true
        });
    }

    /// Forgets truncations that no lane file but `leaving` ones needs: each begins after them.
    pub(crate) fn forget_truncations(&mut self, leaving: &BTreeMap<u32, FileRow>) {
        let oldest = self
            .files
            .iter()
            .filter(|(id, _)| !leaving.contains_key(id))
            .map(|(_, info)| info)
            .filter(|info| info.row.role == crate::layout::FileRole::Lane && info.first_commit > 0)
            .map(|info| info.first_commit)
            .min()
            .unwrap_or(u64::MAX);
        // The row of one that is offline stays as it is: a copy of a lost file may come back.
        let parts = self.parts.iter_mut();
        for (partition, part) in parts.filter(|(_, part)| part.offline.is_none()) {
            let before = part.truncations.len();
            part.truncations.retain(|(commit, _)| *commit >= oldest);
            if part.truncations.len() != before {
                self.dirty.insert(*partition);
            }
        }
    }

    /// Takes a partition out of the books.
    pub(crate) fn delete(&mut self, partition: StorePartition) -> bool {
        let Some(part) = self.parts.remove(&partition) else {
            return false;
        };
        self.names.remove(&(part.topic, part.index));
        self.dirty.remove(&partition);
        for slot in &part.slots {
            Self::kill(&mut self.files, slot.file, u64::from(slot.meta.size_bytes));
        }
        for segment in &part.segments {
            Self::kill(&mut self.files, segment.file, segment.live_bytes());
        }
        true
    }

    /// Corrects what is dead in a segment after its index was read.
    pub(crate) fn settle(
        &mut self,
        partition: StorePartition,
        file: u32,
        ordinal: u32,
        settled: Settled,
    ) {
        let Some(part) = self.parts.get_mut(&partition) else {
            return;
        };
        let start = part.start;
        let found = part
            .segments
            .iter_mut()
            .find(|segment| segment.file == file && segment.row.ordinal == ordinal);
        let Some(segment) = found else { return };
        if segment.row.end != settled.end || start != settled.start {
            return; // moved on meanwhile; still stale, and read again
        }
        let before = segment.live_bytes();
        segment.row.bytes = settled.bytes;
        segment.row.max_timestamp = settled.max_timestamp.unwrap_or(segment.row.max_timestamp);
        segment.dead_bytes = settled.dead_bytes;
        segment.stale = false;
        let after = segment.live_bytes();
        if let Some(info) = self.files.get_mut(&file) {
            info.live_bytes = (info.live_bytes + after).saturating_sub(before);
        }
        // Found while this segment was stale, it may have been of a batch that is gone.
        let doubtful = |offset| offset >= settled.end || offset <= start;
        if part
            .max_timestamp
            .is_none_or(|(_, offset)| doubtful(offset))
        {
            part.find_max_timestamp();
        }
    }
}

/// What a segment's index says about the part of it that counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    /// For which start and end this was computed.
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// Bytes of batches below the end.
    pub(crate) bytes: u64,
    /// Of them, bytes wholly before the start.
    pub(crate) dead_bytes: u64,
    pub(crate) max_timestamp: Option<(TimestampMs, Offset)>,
}
