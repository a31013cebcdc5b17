//! Reading: find the batches by the book and the indexes, lease their file, copy them out and
//! check them (design rules 7, 8, 11).
//!
//! A read never waits for a lane or the rewriter. Bytes leave here only after their CRC-32C and
//! their offsets were compared with the index.

use crate::book::{Segment, Settled};
use crate::core::Core;
use crate::files::OpenFile;
use crate::history::read_block;
use crate::kv::{KvError, View};
use crate::layout::{Place, piece_at, piece_data};
use crate::limits::{FIND_BYTES, READ_TRIES};
use crate::rows::{Block, FileRow};
use crate::stats::Counters;
use bytes::Bytes;
use std::sync::Arc;
use weir_types::{
    BatchHeader, BatchMeta, Offset, StorePartition, TimestampMs, batch,
    log::{ReadError, StoredBatch},
    producer::ProducerTable,
};

/// Batches that follow one another in one file.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) lease: Arc<OpenFile>,
    pub(crate) batches: Vec<Located>,
}

impl Stretch {
    /// The same batches, each alone.
    pub(crate) fn one_by_one(&self) -> impl Iterator<Item = Self> + '_ {
        self.batches.iter().map(|located| Self {
            lease: Arc::clone(&self.lease),
            batches: vec![*located],
        })
    }
}

/// One batch and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) meta: BatchMeta,
    pub(crate) commit: u64,
    pub(crate) place: Place,
}

/// Where a stretch begins, found without IO.
enum Next {
    Slots(u32, FileRow, Vec<Located>),
    Segment(Segment, FileRow),
    Nothing,
}

fn disk_error(error: KvError, offset: Offset) -> ReadError {
    match error {
        KvError::Io { reason } => ReadError::Disk { reason },
        KvError::Damaged { reason } => ReadError::Damaged { offset, reason },
    }
}

impl Core {
    /// The stretch that begins with the batch that holds `from`, or the next that exists: up to
    /// `bytes_max` bytes and at least one batch. `None` at the end of the log.
    pub(crate) fn stretch(
        &self,
        partition: StorePartition,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Option<Stretch>, ReadError> {
        let mut tries = READ_TRIES;
        loop {
            let next = self.next(partition, from, bytes_max)?;
            let result = match next {
                Next::Nothing => return Ok(None),
                Next::Slots(file, row, batches) => self
                    .files
                    .lease(file, &row)
                    .map(|lease| Some(Stretch { lease, batches })),
                Next::Segment(segment, row) => self.in_segment(&segment, &row, from, bytes_max),
            };
            tries -= 1;
            match result {
                Ok(found) => return Ok(found),
                // The rewriter may have published and unlinked meanwhile: look again.
                Err(_) if tries > 0 => {}
                Err(error) => return Err(disk_error(error, from)),
            }
        }
    }

    fn next(
        &self,
        partition: StorePartition,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Next, ReadError> {
        let book = self.book();
        let part = book.parts.get(&partition).ok_or(ReadError::NotOpen)?;
        if part.offline.is_some() {
            return Err(ReadError::NotOpen);
        }
        let index = part
            .slots
            .partition_point(|slot| slot.meta.last_offset < from);
        let slot = part.slots.get(index);
        let at = part
            .segments
            .partition_point(|segment| segment.row.end <= from);
        let segment = part.segments.get(at);
        let segment_base = segment.map(|segment| segment.row.base);
        let row = |file: u32| {
            book.files
                .get(&file)
                .map(|info| info.row)
                .ok_or(ReadError::NotOpen)
        };
        match (slot, segment) {
            (None, None) => Ok(Next::Nothing),
            (Some(slot), base) if base.is_none_or(|s| slot.meta.base_offset < s.row.base) => {
                let file = slot.file;
                let mut batches: Vec<Located> = Vec::new();
                let mut bytes = 0;
                for slot in part.slots.range(index..) {
                    let size = slot.meta.size_bytes as usize;
                    let over = !batches.is_empty() && bytes + size > bytes_max;
                    let crosses = segment_base.is_some_and(|base| slot.meta.base_offset >= base);
                    if slot.file != file || over || crosses {
                        break;
                    }
                    bytes += size;
                    batches.push(Located {
                        meta: slot.meta,
                        commit: slot.commit,
                        place: slot.place(),
                    });
                }
                Ok(Next::Slots(file, row(file)?, batches))
            }
            (_, Some(segment)) => Ok(Next::Segment(*segment, row(segment.file)?)),
            (Some(_), None) => Ok(Next::Nothing),
        }
    }

    fn in_segment(
        &self,
        segment: &Segment,
        row: &FileRow,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Option<Stretch>, KvError> {
        let lease = self.files.lease(segment.file, row)?;
        let directory = lease.directory(segment.row.ordinal)?;
        let mut batches: Vec<Located> = Vec::new();
        let mut bytes = 0usize;
        let first = directory.partition_point(|block| block.end <= from);
        'blocks: for reference in directory.get(first..).unwrap_or_default() {
            let block = read_block(&lease.kv, reference.key)?;
            for located in located(&block) {
                if located.meta.last_offset < from {
                    continue;
                }
                let size = located.meta.size_bytes as usize;
                let over = !batches.is_empty() && bytes + size > bytes_max;
                if over || located.meta.next_offset() > segment.row.end {
                    break 'blocks;
                }
                bytes += size;
                batches.push(located);
            }
        }
        if batches.is_empty() {
            return Err(KvError::damaged(format!("its index lacks offset {from}")));
        }
        Ok(Some(Stretch { lease, batches }))
    }

    /// Reads whole batches, as [`weir_types::log::LogCommand::Read`] asks.
    pub(crate) fn read(
        &self,
        partition: StorePartition,
        from: Offset,
        below: Offset,
        bytes_max: usize,
        submitted_end: Option<Offset>,
    ) -> Result<Vec<StoredBatch>, ReadError> {
        self.check_range(partition, from, submitted_end)?;
        let mut found = Vec::new();
        let mut at = from;
        let mut left = bytes_max;
        let mut tries = READ_TRIES;
        while at < below && (left > 0 || found.is_empty()) {
            let Some(mut stretch) = self.stretch(partition, at, left)? else {
                break;
            };
            stretch
                .batches
                .retain(|located| located.meta.base_offset < below);
            let Some(last) = stretch.batches.last() else {
                break;
            };
            let skips = stretch
                .batches
                .first()
                .is_some_and(|l| l.meta.base_offset > at);
            if skips {
                // The start may have moved past what was to be read next: that is told, and
                // never skipped without a word.
                match self.check_range(partition, at, submitted_end) {
                    Err(_) if !found.is_empty() => break,
                    checked => checked?,
                }
            }
            let next = last.meta.next_offset();
            let bytes: usize = stretch
                .batches
                .iter()
                .map(|l| l.meta.size_bytes as usize)
                .sum();
            if bytes > left && !found.is_empty() {
                break;
            }
            match self.fetch(&stretch) {
                Ok(batches) => found.extend(batches),
                Err(_) if tries > 0 && self.is_elsewhere(partition, &stretch) => {
                    tries -= 1;
                    continue;
                }
                Err(error) => return Err(error),
            }
            left = left.saturating_sub(bytes);
            at = next;
        }
        Counters::add(&self.counters.reads, 1);
        let bytes: usize = found.iter().map(StoredBatch::size_bytes).sum();
        Counters::add(&self.counters.read_bytes, bytes as u64);
        Ok(found)
    }

    fn check_range(
        &self,
        partition: StorePartition,
        from: Offset,
        submitted_end: Option<Offset>,
    ) -> Result<(), ReadError> {
        let book = self.book();
        let part = book.parts.get(&partition).ok_or(ReadError::NotOpen)?;
        let end = submitted_end.map_or(part.end, |end| end.max(part.end));
        if from < part.start || from > end {
            return Err(ReadError::OutOfRange {
                start: part.start,
                end,
            });
        }
        Ok(())
    }

    /// Whether the batches of a stretch lie in another file by now, or its file was opened anew
    /// because its handle failed.
    pub(crate) fn is_elsewhere(&self, partition: StorePartition, stretch: &Stretch) -> bool {
        let first = stretch.batches.first();
        let again = first.map(|first| self.stretch(partition, first.meta.base_offset, 1));
        match again {
            Some(Ok(Some(again))) => !Arc::ptr_eq(&again.lease, &stretch.lease),
            _ => true,
        }
    }

    /// Copies the batches of a stretch out of its file and checks each.
    pub(crate) fn fetch(&self, stretch: &Stretch) -> Result<Vec<StoredBatch>, ReadError> {
        let mut pieces = Vec::new();
        let mut rest = stretch.batches.as_slice();
        while let Some(first) = rest.first() {
            let count = adjacent(rest);
            let (now, later) = rest.split_at(count);
            let len: usize = now.iter().map(|l| l.meta.size_bytes as usize).sum();
            let mut out = Vec::with_capacity(len);
            let place = Place {
                len: u32::try_from(len).unwrap_or(u32::MAX),
                ..first.place
            };
            stretch
                .lease
                .kv
                .read(|view| copy_place(view, place, &mut out))
                .map_err(|error| disk_error(error, first.meta.base_offset))?;
            check_batches(&out, now)?;
            pieces.push(StoredBatch::Read(Bytes::from(out)));
            rest = later;
        }
        Ok(pieces)
    }

    /// The first batch whose maximum timestamp reaches `timestamp`.
    pub(crate) fn find_time(
        &self,
        partition: StorePartition,
        timestamp: TimestampMs,
        below: Offset,
    ) -> Result<Option<StoredBatch>, ReadError> {
        let mut at = {
            let book = self.book();
            let part = book.parts.get(&partition).ok_or(ReadError::NotOpen)?;
            part.start
        };
        let mut tries = READ_TRIES;
        loop {
            at = self.skip_older(partition, at, timestamp)?;
            if at >= below {
                return Ok(None);
            }
            let Some(stretch) = self.stretch(partition, at, FIND_BYTES)? else {
                return Ok(None);
            };
            let Some(last) = stretch.batches.last() else {
                return Ok(None);
            };
            let next = last.meta.next_offset();
            let hit = stretch
                .batches
                .iter()
                .find(|l| l.meta.max_timestamp >= timestamp);
            if let Some(hit) = hit {
                if hit.meta.base_offset >= below {
                    return Ok(None);
                }
                let one = Stretch {
                    batches: vec![*hit],
                    ..stretch
                };
                match self.fetch(&one) {
                    Ok(batches) => return Ok(batches.into_iter().next()),
                    Err(_) if tries > 0 && self.is_elsewhere(partition, &one) => {
                        tries -= 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            at = next;
        }
    }

    /// Skips segments and slots at `at` that are too old as a whole, without IO.
    fn skip_older(
        &self,
        partition: StorePartition,
        mut at: Offset,
        timestamp: TimestampMs,
    ) -> Result<Offset, ReadError> {
        let book = self.book();
        let part = book.parts.get(&partition).ok_or(ReadError::NotOpen)?;
        loop {
            let index = part
                .slots
                .partition_point(|slot| slot.meta.last_offset < at);
            let slot = part.slots.get(index);
            let first = part
                .segments
                .partition_point(|segment| segment.row.end <= at);
            let segment = part.segments.get(first);
            let next = match (slot, segment) {
                (Some(slot), s) if s.is_none_or(|s| slot.meta.base_offset < s.row.base) => {
                    (slot.meta.max_timestamp < timestamp).then(|| slot.meta.next_offset())
                }
                (_, Some(segment)) => {
                    (segment.row.max_timestamp.0 < timestamp).then_some(segment.row.end)
                }
                _ => return Ok(part.end.max(at)),
            };
            match next {
                Some(next) => at = next,
                None => return Ok(at),
            }
        }
    }

    /// Reads the index of segments whose dead part is not known, and enters it.
    pub(crate) fn settle(&self, partition: StorePartition) {
        let (start, stale): (Offset, Vec<(Segment, FileRow)>) = {
            let book = self.book();
            let Some(part) = book.parts.get(&partition) else {
                return;
            };
            let stale = part.segments.iter().filter(|segment| segment.stale);
            let with_row =
                stale.filter_map(|segment| Some((*segment, book.files.get(&segment.file)?.row)));
            (part.start, with_row.collect())
        };
        for (segment, row) in stale {
            match self.settled(&segment, &row, start) {
                Ok(settled) => {
                    let ordinal = segment.row.ordinal;
                    self.book()
                        .settle(partition, segment.file, ordinal, settled);
                }
                // Sizes stay too large until the file can be read; reads will tell.
                Err(error) => {
                    tracing::warn!(file = segment.file, %error, "an index cannot be read");
                }
            }
        }
    }

    fn settled(&self, segment: &Segment, row: &FileRow, start: Offset) -> Result<Settled, KvError> {
        let end = segment.row.end;
        let mut settled = Settled {
            start,
            end,
            bytes: 0,
            dead_bytes: 0,
            max_timestamp: None,
        };
        let lease = self.files.lease(segment.file, row)?;
        for reference in lease.directory(segment.row.ordinal)?.iter() {
            if reference.end <= start && reference.end <= end {
                settled.bytes += reference.bytes;
                settled.dead_bytes += reference.bytes;
                continue;
            }
            let inside = reference.base >= start && reference.end <= end;
            if inside {
                settled.bytes += reference.bytes;
            }
            let known = settled
                .max_timestamp
                .is_some_and(|(t, _)| t >= reference.max_timestamp);
            if reference.base >= end || (inside && known) {
                continue;
            }
            let block = read_block(&lease.kv, reference.key)?;
            for located in located(&block) {
                let meta = &located.meta;
                if meta.next_offset() > end {
                    break;
                }
                if !inside {
                    settled.bytes += u64::from(meta.size_bytes);
                    if meta.last_offset < start {
                        settled.dead_bytes += u64::from(meta.size_bytes);
                        continue;
                    }
                }
                if settled
                    .max_timestamp
                    .is_none_or(|(time, _)| meta.max_timestamp > time)
                {
                    settled.max_timestamp = Some((meta.max_timestamp, meta.base_offset));
                }
            }
        }
        Ok(settled)
    }

    /// Finds what producers did before everything that was remembered of them was truncated:
    /// from the newest snapshot and the batches after it (design rule 5).
    pub(crate) fn find_lost_producers(&self, partition: StorePartition) {
        let (lost, mut table, mut at) = {
            let mut book = self.book();
            let Some(part) = book.parts.get_mut(&partition) else {
                return;
            };
            if part.lost_producers.is_empty() {
                return;
            }
            let lost = std::mem::take(&mut part.lost_producers);
            match part.snapshots.last() {
                // Between an older snapshot and the start something may be missing: then it is
                // better to know nothing of a producer than half.
                Some(snapshot) if snapshot.end >= part.start => {
                    (lost, snapshot.table.clone(), snapshot.end)
                }
                _ => (lost, ProducerTable::default(), part.start),
            }
        };
        loop {
            match self.stretch(partition, at, usize::MAX) {
                Ok(Some(stretch)) => {
                    for located in &stretch.batches {
                        table.apply(&located.meta);
                        at = located.meta.next_offset();
                    }
                }
                Ok(None) | Err(ReadError::NotOpen) => break,
                Err(error) => {
                    tracing::error!(partition = partition.0, %error, "producers are incomplete");
                    break;
                }
            }
        }
        if let Some(part) = self.book().parts.get_mut(&partition) {
            for id in lost {
                if let Some(entry) = table.get(id) {
                    part.producers.restore(id, entry.clone());
                }
            }
        }
    }
}

/// The batches of an index block with their places.
pub(crate) fn located(block: &Block) -> impl Iterator<Item = Located> {
    let mut position = block.position;
    block
        .metas
        .iter()
        .zip(&block.commits)
        .map(move |(meta, commit)| {
            let at = position;
            position = position.saturating_add(meta.size_bytes);
            Located {
                meta: *meta,
                commit: *commit,
                place: Place {
                    first_key: block.first_key,
                    blob_len: block.blob_len,
                    position: at,
                    len: meta.size_bytes,
                },
            }
        })
}

/// How many of these lie back to back in one blob.
fn adjacent(batches: &[Located]) -> usize {
    let mut count = 1;
    while let (Some(last), Some(next)) = (batches.get(count - 1), batches.get(count)) {
        let behind = last.place.position.checked_add(last.place.len);
        if next.place.first_key != last.place.first_key || Some(next.place.position) != behind {
            break;
        }
        count += 1;
    }
    count
}

/// Appends the bytes of a place to `out`.
pub(crate) fn copy_place(view: &View, place: Place, out: &mut Vec<u8>) -> Result<(), KvError> {
    let blob = place.blob_len as usize;
    let mut at = place.position as usize;
    let mut left = place.len as usize;
    if at.saturating_add(left) > blob {
        return Err(KvError::damaged("a batch lies outside of its blob"));
    }
    while left > 0 {
        let (number, start, piece) = piece_at(blob, at);
        let count = left.min(start + piece - at);
        let copied = view.need(place.first_key + number, |value| {
            let data = piece_data(value)?;
            out.extend_from_slice(data.get(at - start..at - start + count)?);
            Some(())
        })?;
        if copied.is_none() {
            let key = place.first_key + number;
            return Err(KvError::damaged(format!(
                "value {key:#x} is not what was written"
            )));
        }
        at += count;
        left -= count;
    }
    Ok(())
}

/// Compares bytes from a file with what the index says of them.
pub(crate) fn check_batches(mut bytes: &[u8], expected: &[Located]) -> Result<(), ReadError> {
    for located in expected {
        let offset = located.meta.base_offset;
        let damaged = |reason: String| ReadError::Damaged { offset, reason };
        let header = BatchHeader::read(bytes).map_err(|error| damaged(error.to_string()))?;
        if header.base_offset != offset
            || header.last_offset() != located.meta.last_offset
            || header.leader_epoch != located.meta.leader_epoch
            || header.size_bytes != located.meta.size_bytes as usize
        {
            return Err(damaged(format!(
                "the file has a batch at offset {} of {} bytes in its place",
                header.base_offset, header.size_bytes
            )));
        }
        batch::check_crc(bytes, &header).map_err(|error| damaged(error.to_string()))?;
        bytes = bytes.get(header.size_bytes..).unwrap_or_default();
    }
    Ok(())
}
