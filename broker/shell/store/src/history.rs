//! History files: batches sorted by (partition, offset), written once by the rewriter and then
//! only read.
//!
//! Each group of one partition's batches is a blob; index blocks say where each batch lies, and
//! a directory for each segment says where its blocks are. A file counts only when the catalog
//! says so; until then it may be lost or left behind at any moment.

use crate::kv::{Change, Kv, KvError};
use crate::layout::{
    BLOCK_KEYS, Cutter, FIRST_KEY, FOOTER_KEY, FileHeader, HEADER_KEY, INDEX_KEYS,
};
use crate::limits::INDEX_BLOCK_BATCHES_MAX;
use crate::rows::{
    Block, BlockRef, SegmentRow, decode_directory, encode_directory, encode_segments,
};
use weir_types::{BatchMeta, StorePartition, TimestampMs};

/// Reads the directory of a segment.
pub(crate) fn read_directory(kv: &Kv, ordinal: u32) -> Result<Vec<BlockRef>, KvError> {
    kv.read(|view| view.need(INDEX_KEYS | u64::from(ordinal), decode_directory))?
        .ok_or_else(|| KvError::damaged(format!("the directory of segment {ordinal} is wrong")))
}

/// Reads an index block.
pub(crate) fn read_block(kv: &Kv, key: u64) -> Result<Block, KvError> {
    kv.read(|view| view.need(key, Block::decode))?
        .ok_or_else(|| KvError::damaged(format!("index block {key:#x} is wrong")))
}

/// A batch on its way into history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HistoryBatch {
    pub(crate) meta: BatchMeta,
    pub(crate) commit: u64,
}

/// Batches of one partition, ascending by offset, with their bytes back to back.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) partition: StorePartition,
    pub(crate) batches: Vec<HistoryBatch>,
    pub(crate) bytes: &'a [u8],
}

/// A history file that is being written.
#[derive(Debug)]
pub(crate) struct HistoryWriter {
    kv: Kv,
    state: WriterState,
}

#[derive(Debug)]
struct WriterState {
    next_key: u64,
    next_block: u64,
    segments: Vec<SegmentRow>,
    /// Directory of the last segment, which may still grow.
    open_directory: Vec<BlockRef>,
    bytes: u64,
}

impl HistoryWriter {
    pub(crate) fn new(kv: Kv, header: FileHeader) -> Result<Self, KvError> {
        kv.write_without_sync(|change| change.put(HEADER_KEY, &header.encode()))?;
        Ok(Self {
            kv,
            state: WriterState {
                next_key: FIRST_KEY,
                next_block: BLOCK_KEYS,
                segments: Vec::new(),
                open_directory: Vec::new(),
                bytes: 0,
            },
        })
    }

    /// Bytes of batches written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.bytes
    }

    /// Adds groups in ascending order of (partition, offset). One commit, not durable before
    /// [`HistoryWriter::finish`].
    pub(crate) fn add(&mut self, groups: &[Group<'_>]) -> Result<(), KvError> {
        let state = &mut self.state;
        self.kv.write_without_sync(|change| {
            for group in groups {
                state.add_group(change, group)?;
            }
            Ok(())
        })
    }

    /// Writes directories and footer, syncs and closes; answers the segments for the catalog.
    pub(crate) fn finish(mut self) -> Result<Vec<SegmentRow>, KvError> {
        let state = &mut self.state;
        self.kv.write(|change| {
            state.close_segment(change)?;
            change.put(FOOTER_KEY, &encode_segments(&state.segments))
        })?;
        self.kv.close()?;
        Ok(self.state.segments)
    }
}

impl WriterState {
    fn add_group(&mut self, change: &mut Change<'_>, group: &Group<'_>) -> Result<(), KvError> {
        let first_key = self.next_key;
        let mut put = |key: u64, value: &[u8]| change.put(key, value);
        let mut cutter = Cutter::new(group.bytes.len(), 0, first_key, &mut put);
        cutter.push(group.partition, group.bytes)?;
        self.next_key = cutter.finish();
        self.bytes += group.bytes.len() as u64;
        let blob_len = u32::try_from(group.bytes.len())
            .map_err(|_| KvError::damaged("a group of history is too long"))?;
        let mut position = 0u32;
        let mut rest = group.batches.as_slice();
        while !rest.is_empty() {
            let count = stretch(rest);
            let (now, later) = rest.split_at(count);
            let bytes: u64 = now.iter().map(|b| u64::from(b.meta.size_bytes)).sum();
            self.add_block(
                change,
                group.partition,
                now,
                (first_key, blob_len, position),
            )?;
            position = position.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
            rest = later;
        }
        Ok(())
    }

    fn add_block(
        &mut self,
        change: &mut Change<'_>,
        partition: StorePartition,
        batches: &[HistoryBatch],
        (first_key, blob_len, position): (u64, u32, u32),
    ) -> Result<(), KvError> {
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Ok(());
        };
        let grows = self.segments.last().is_some_and(|segment| {
            segment.partition == partition && segment.end == first.meta.base_offset
        });
        if !grows {
            self.close_segment(change)?;
            self.segments.push(SegmentRow {
                ordinal: u32::try_from(self.segments.len()).unwrap_or(u32::MAX),
                partition,
                base: first.meta.base_offset,
                end: first.meta.base_offset,
                bytes: 0,
                batches: 0,
                max_timestamp: (TimestampMs(i64::MIN), first.meta.base_offset),
                commit_max: 0,
            });
        }
        let key = self.next_block;
        self.next_block += 1;
        let block = Block {
            first_key,
            blob_len,
            position,
            metas: batches.iter().map(|batch| batch.meta).collect(),
            commits: batches.iter().map(|batch| batch.commit).collect(),
        };
        change.put(key, &block.encode())?;
        let bytes = batches.iter().map(|b| u64::from(b.meta.size_bytes)).sum();
        let mut largest = (TimestampMs(i64::MIN), first.meta.base_offset);
        for batch in batches {
            if batch.meta.max_timestamp > largest.0 {
                largest = (batch.meta.max_timestamp, batch.meta.base_offset);
            }
        }
        self.open_directory.push(BlockRef {
            key,
            base: first.meta.base_offset,
            end: last.meta.next_offset(),
            bytes,
            max_timestamp: largest.0,
        });
        if let Some(segment) = self.segments.last_mut() {
            segment.end = last.meta.next_offset();
            segment.bytes += bytes;
            segment.batches += batches.len() as u64;
            if largest.0 > segment.max_timestamp.0 {
                segment.max_timestamp = largest;
            }
            let commit = batches.iter().map(|batch| batch.commit).max();
            segment.commit_max = segment.commit_max.max(commit.unwrap_or(0));
        }
        Ok(())
    }

    fn close_segment(&mut self, change: &mut Change<'_>) -> Result<(), KvError> {
        if let Some(segment) = self.segments.last() {
            let directory = encode_directory(&self.open_directory);
            change.put(INDEX_KEYS | u64::from(segment.ordinal), &directory)?;
        }
        self.open_directory.clear();
        Ok(())
    }
}

/// How many of these batches go into the next block: a block has no hole in its offsets.
fn stretch(batches: &[HistoryBatch]) -> usize {
    let mut count = 1;
    while count < batches.len().min(INDEX_BLOCK_BATCHES_MAX)
        && batches[count].meta.base_offset == batches[count - 1].meta.next_offset()
    {
        count += 1;
    }
    count
}
