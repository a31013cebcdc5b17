//! What the catalog and history files keep, as bytes: rows of files, partitions, segments and
//! producers, index blocks and directories.
//!
//! Encodings only; nothing here decides.

use crate::encode::{Reader, Writer, seal, unseal};
use crate::entry::{decode_metas, encode_metas};
use crate::layout::FileRole;
use std::collections::{BTreeSet, VecDeque};
use weir_types::{
    BatchMeta, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    StorePartition, TimestampMs, TopicId,
    producer::{ProducedBatch, ProducerEntry, ProducerTable},
};

const STORE_MAGIC: [u8; 4] = *b"WEIR";
const FILE_MAGIC: [u8; 4] = *b"WFIL";
const PARTITION_MAGIC: [u8; 4] = *b"WPAR";
const PRODUCERS_MAGIC: [u8; 4] = *b"WPRO";
const SEGMENTS_MAGIC: [u8; 4] = *b"WSEG";
const SEALED_MAGIC: [u8; 4] = *b"WSLD";
const BLOCK_MAGIC: [u8; 4] = *b"WBLK";
const DIRECTORY_MAGIC: [u8; 4] = *b"WDIR";

/// The catalog's first row: the format, and the counters that never go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreRow {
    pub(crate) version: u32,
    pub(crate) store: u64,
    pub(crate) next_file: u32,
    pub(crate) next_partition: u32,
}

impl StoreRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        // The version comes first in every format, so that an older broker can name it.
        writer.u32(self.version);
        writer.raw(&self.store.to_le_bytes());
        writer.u32(self.next_file);
        writer.u32(self.next_partition);
        writer.sealed(STORE_MAGIC)
    }

    /// The version alone, for a row that may be of another format.
    pub(crate) fn version(bytes: &[u8]) -> Option<u32> {
        Reader::new(unseal(STORE_MAGIC, bytes)?).u32()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(unseal(STORE_MAGIC, bytes)?);
        Some(Self {
            version: reader.u32()?,
            store: u64::from_le_bytes(reader.array()?),
            next_file: reader.u32()?,
            next_partition: reader.u32()?,
        })
    }
}

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRow {
    pub(crate) role: FileRole,
    /// How often the file's bytes were used for another content; its name carries it too.
    pub(crate) generation: u32,
    /// Commits of this number and later in it do not count: a sync failed (design rule 6).
    pub(crate) cut: Option<u64>,
}

impl FileRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u32(u32::from(self.role == FileRole::History));
        writer.u32(self.generation);
        writer.u64(self.cut.map_or(0, |cut| cut.saturating_add(1)));
        writer.sealed(FILE_MAGIC)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(unseal(FILE_MAGIC, bytes)?);
        Some(Self {
            role: match reader.u32()? {
                0 => FileRole::Lane,
                1 => FileRole::History,
                _ => return None,
            },
            generation: reader.u32()?,
            cut: reader.u64()?.checked_sub(1),
        })
    }
}

/// What a sealed lane file holds, kept where damage of the file does not reach: it says who is
/// hurt when the file cannot be opened (design rule 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedRow {
    pub(crate) last_commit: u64,
    /// Every partition with a batch or a mark in it.
    pub(crate) partitions: BTreeSet<StorePartition>,
}

impl SealedRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.last_commit);
        writer.len(self.partitions.len());
        for partition in &self.partitions {
            writer.u32(partition.0);
        }
        writer.sealed(SEALED_MAGIC)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(unseal(SEALED_MAGIC, bytes)?);
        let last_commit = reader.u64()?;
        let mut partitions = BTreeSet::new();
        for _ in 0..reader.count()? {
            partitions.insert(StorePartition(reader.u32()?));
        }
        Some(Self {
            last_commit,
            partitions,
        })
    }
}

/// What outlives a partition's files (design rule 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRow {
    pub(crate) topic: TopicId,
    pub(crate) index: PartitionIndex,
    pub(crate) start: Offset,
    /// The end after commit `as_of`.
    pub(crate) end: Offset,
    /// End, epochs, maximum and producers hold everything up to this commit.
    pub(crate) as_of: u64,
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
    pub(crate) max_timestamp: Option<(TimestampMs, Offset)>,
    /// Truncations that lane files may still need: (commit, new end).
    pub(crate) truncations: Vec<(u64, Offset)>,
}

impl PartitionRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(&self.topic.0);
        writer.i32(self.index.0);
        writer.i64(self.start.0);
        writer.i64(self.end.0);
        writer.u64(self.as_of);
        writer.len(self.epochs.len());
        for (epoch, offset) in &self.epochs {
            writer.i32(epoch.0);
            writer.i64(offset.0);
        }
        encode_max(&mut writer, self.max_timestamp);
        writer.len(self.truncations.len());
        for (commit, end) in &self.truncations {
            writer.u64(*commit);
            writer.i64(end.0);
        }
        writer.sealed(PARTITION_MAGIC)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(unseal(PARTITION_MAGIC, bytes)?);
        let topic = TopicId(reader.array()?);
        let index = PartitionIndex(reader.i32()?);
        let start = Offset(reader.i64()?);
        let end = Offset(reader.i64()?);
        let as_of = reader.u64()?;
        let mut epochs = Vec::new();
        for _ in 0..reader.count()? {
            epochs.push((LeaderEpoch(reader.i32()?), Offset(reader.i64()?)));
        }
        let max_timestamp = decode_max(&mut reader)?;
        let mut truncations = Vec::new();
        for _ in 0..reader.count()? {
            truncations.push((reader.u64()?, Offset(reader.i64()?)));
        }
        Some(Self {
            topic,
            index,
            start,
            end,
            as_of,
            epochs,
            max_timestamp,
            truncations,
        })
    }
}

fn encode_max(writer: &mut Writer, max: Option<(TimestampMs, Offset)>) {
    writer.u32(u32::from(max.is_some()));
    if let Some((timestamp, offset)) = max {
        writer.i64(timestamp.0);
        writer.i64(offset.0);
    }
}

fn decode_max(reader: &mut Reader<'_>) -> Option<Option<(TimestampMs, Offset)>> {
    if reader.u32()? == 0 {
        return Some(None);
    }
    Some(Some((TimestampMs(reader.i64()?), Offset(reader.i64()?))))
}

/// The producers of a partition as they were at `end` (design rule 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerSnapshot {
    pub(crate) end: Offset,
    pub(crate) as_of: u64,
    pub(crate) table: ProducerTable,
}

pub(crate) fn encode_snapshots(snapshots: &[ProducerSnapshot]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.len(snapshots.len());
    for snapshot in snapshots {
        writer.i64(snapshot.end.0);
        writer.u64(snapshot.as_of);
        writer.len(snapshot.table.len());
        for (id, entry) in snapshot.table.iter() {
            writer.i64(id.0);
            writer.i32(i32::from(entry.epoch.0));
            writer.i64(entry.last_append.0);
            writer.len(entry.batches.len());
            for batch in &entry.batches {
                writer.i32(batch.first_sequence.0);
                writer.i32(batch.last_sequence.0);
                writer.i64(batch.base_offset.0);
                writer.i64(batch.last_offset.0);
                writer.i64(batch.timestamp.0);
            }
        }
    }
    writer.sealed(PRODUCERS_MAGIC)
}

pub(crate) fn decode_snapshots(bytes: &[u8]) -> Option<Vec<ProducerSnapshot>> {
    let mut reader = Reader::new(unseal(PRODUCERS_MAGIC, bytes)?);
    let mut snapshots = Vec::new();
    for _ in 0..reader.count()? {
        let end = Offset(reader.i64()?);
        let as_of = reader.u64()?;
        let mut table = ProducerTable::default();
        for _ in 0..reader.count()? {
            let id = ProducerId(reader.i64()?);
            let epoch = ProducerEpoch(reader.i16()?);
            let last_append = TimestampMs(reader.i64()?);
            let mut batches = VecDeque::new();
            for _ in 0..reader.count()? {
                batches.push_back(ProducedBatch {
                    first_sequence: Sequence(reader.i32()?),
                    last_sequence: Sequence(reader.i32()?),
                    base_offset: Offset(reader.i64()?),
                    last_offset: Offset(reader.i64()?),
                    timestamp: TimestampMs(reader.i64()?),
                });
            }
            let entry = ProducerEntry {
                epoch,
                batches,
                last_append,
            };
            table.restore(id, entry);
        }
        snapshots.push(ProducerSnapshot { end, as_of, table });
    }
    Some(snapshots)
}

/// A run of offsets without a hole, of one partition in one history file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    /// Its number in the file; names its directory there.
    pub(crate) ordinal: u32,
    pub(crate) partition: StorePartition,
    pub(crate) base: Offset,
    /// Exclusive; the end of a batch.
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    pub(crate) max_timestamp: (TimestampMs, Offset),
    pub(crate) commit_max: u64,
}

pub(crate) fn encode_segments(segments: &[SegmentRow]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.len(segments.len());
    for segment in segments {
        writer.u32(segment.ordinal);
        writer.u32(segment.partition.0);
        writer.i64(segment.base.0);
        writer.i64(segment.end.0);
        writer.u64(segment.bytes);
        writer.u64(segment.batches);
        writer.i64(segment.max_timestamp.0.0);
        writer.i64(segment.max_timestamp.1.0);
        writer.u64(segment.commit_max);
    }
    writer.sealed(SEGMENTS_MAGIC)
}

pub(crate) fn decode_segments(bytes: &[u8]) -> Option<Vec<SegmentRow>> {
    let mut reader = Reader::new(unseal(SEGMENTS_MAGIC, bytes)?);
    let mut segments = Vec::new();
    for _ in 0..reader.count()? {
        segments.push(SegmentRow {
            ordinal: reader.u32()?,
            partition: StorePartition(reader.u32()?),
            base: Offset(reader.i64()?),
            end: Offset(reader.i64()?),
            bytes: reader.u64()?,
            batches: reader.u64()?,
            max_timestamp: (TimestampMs(reader.i64()?), Offset(reader.i64()?)),
            commit_max: reader.u64()?,
        });
    }
    Some(segments)
}

/// A stretch of a segment's batches, all in one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first_key: u64,
    pub(crate) blob_len: u32,
    /// Of its first batch in the blob.
    pub(crate) position: u32,
    pub(crate) metas: Vec<BatchMeta>,
    /// The commit each batch was appended in; as many as metas.
    pub(crate) commits: Vec<u64>,
}

impl Block {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.first_key);
        writer.u32(self.blob_len);
        writer.u32(self.position);
        encode_metas(&mut writer, &self.metas);
        let mut last = 0;
        for commit in &self.commits {
            writer.i64(commit.wrapping_sub(last).cast_signed());
            last = *commit;
        }
        writer.sealed(BLOCK_MAGIC)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(unseal(BLOCK_MAGIC, bytes)?);
        let first_key = reader.u64()?;
        let blob_len = reader.u32()?;
        let position = reader.u32()?;
        let metas = decode_metas(&mut reader)?;
        let mut commits = Vec::with_capacity(metas.len());
        let mut last = 0u64;
        for _ in 0..metas.len() {
            last = last.wrapping_add(reader.i64()?.cast_unsigned());
            commits.push(last);
        }
        Some(Self {
            first_key,
            blob_len,
            position,
            metas,
            commits,
        })
    }
}

/// Whether a value is an index block that is whole.
pub(crate) fn is_block(bytes: &[u8]) -> bool {
    unseal(BLOCK_MAGIC, bytes).is_some()
}

/// One block in a segment's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRef {
    pub(crate) key: u64,
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
    pub(crate) max_timestamp: TimestampMs,
}

pub(crate) fn encode_directory(blocks: &[BlockRef]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.len(blocks.len());
    for block in blocks {
        writer.u64(block.key);
        writer.i64(block.base.0);
        writer.i64(block.end.0 - block.base.0);
        writer.u64(block.bytes);
        writer.i64(block.max_timestamp.0);
    }
    seal(DIRECTORY_MAGIC, &writer.bytes)
}

pub(crate) fn decode_directory(bytes: &[u8]) -> Option<Vec<BlockRef>> {
    let mut reader = Reader::new(unseal(DIRECTORY_MAGIC, bytes)?);
    let mut blocks = Vec::new();
    for _ in 0..reader.count()? {
        let key = reader.u64()?;
        let base = reader.i64()?;
        blocks.push(BlockRef {
            key,
            base: Offset(base),
            end: Offset(base.checked_add(reader.i64()?)?),
            bytes: reader.u64()?,
            max_timestamp: TimestampMs(reader.i64()?),
        });
    }
    Some(blocks)
}
