//! What a lane file says about its batches: one entry for each commit, and at the roll one index
//! for each partition, so that opening never reads a batch (design rules 3 to 5).
//!
//! Encodings only; nothing here decides.

use crate::encode::{Reader, Writer, unseal};
use weir_types::{
    BatchMeta, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, StorePartition,
    TimestampMs,
};

const ENTRY_MAGIC: [u8; 4] = *b"WENT";
const INDEX_MAGIC: [u8; 4] = *b"WIDX";
const FOOTER_MAGIC: [u8; 4] = *b"WFOO";

/// What one commit did to one partition, in this order: batches, start, truncation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) batches: Vec<BatchMeta>,
    /// The log starts here from now on.
    pub(crate) start: Option<Offset>,
    /// The log ends here from now on; always the end of a batch or the start.
    pub(crate) truncate: Option<Offset>,
}

/// The entry of one commit; the batches lie back to back in its blob, in the entry's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitEntry {
    /// Global number, growing; numbers may be missing.
    pub(crate) commit: u64,
    /// Key of the entry before in this file, or 0.
    pub(crate) previous: u64,
    pub(crate) first_key: u64,
    pub(crate) blob_len: u32,
    /// For other files that are written at this time: the last commit that was flushed there.
    /// A file that comes back without it has lost something (design rule 7).
    pub(crate) witness: Vec<(u32, u64)>,
    /// Ascending by partition.
    pub(crate) runs: Vec<(StorePartition, Run)>,
}

/// One commit's run of one partition with its place, as a rolled file's index keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlacedRun {
    pub(crate) commit: u64,
    pub(crate) first_key: u64,
    pub(crate) blob_len: u32,
    pub(crate) position: u32,
    pub(crate) run: Run,
}

/// The last value of a rolled lane file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneFooter {
    pub(crate) first_commit: u64,
    pub(crate) last_commit: u64,
    pub(crate) partitions: u64,
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
}

impl Run {
    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.start.is_none() && self.truncate.is_none()
    }

    /// Bytes of its batches.
    pub(crate) fn bytes(&self) -> u64 {
        self.batches.iter().map(|b| u64::from(b.size_bytes)).sum()
    }

    fn encode(&self, writer: &mut Writer) {
        let flags = u32::from(self.start.is_some()) | u32::from(self.truncate.is_some()) << 1;
        writer.u32(flags);
        for mark in [self.start, self.truncate].into_iter().flatten() {
            writer.i64(mark.0);
        }
        encode_metas(writer, &self.batches);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let flags = reader.u32()?;
        let mut mark = |bit: u32| -> Option<Option<Offset>> {
            if flags & bit == 0 {
                return Some(None);
            }
            Some(Some(Offset(reader.i64()?)))
        };
        let start = mark(1)?;
        let truncate = mark(2)?;
        Some(Self {
            batches: decode_metas(reader)?,
            start,
            truncate,
        })
    }
}

/// Metas of batches that mostly follow one another.
pub(crate) fn encode_metas(writer: &mut Writer, metas: &[BatchMeta]) {
    writer.len(metas.len());
    let mut expected = 0;
    let mut appended_at = 0;
    for meta in metas {
        writer.i64(meta.base_offset.0 - expected);
        writer.i64(meta.last_offset.0 - meta.base_offset.0);
        writer.i32(meta.leader_epoch.0);
        writer.u32(meta.size_bytes);
        writer.i64(meta.appended_at.0.wrapping_sub(appended_at));
        writer.i64(meta.max_timestamp.0.wrapping_sub(meta.appended_at.0));
        writer.i32(i32::from(meta.attributes));
        writer.i64(meta.producer_id.0);
        if meta.producer_id.is_some() {
            writer.i32(i32::from(meta.producer_epoch.0));
            writer.i32(meta.base_sequence.0);
        }
        expected = meta.last_offset.0 + 1;
        appended_at = meta.appended_at.0;
    }
}

/// The reverse of [`encode_metas`].
pub(crate) fn decode_metas(reader: &mut Reader<'_>) -> Option<Vec<BatchMeta>> {
    let count = reader.count()?;
    let mut metas = Vec::with_capacity(count);
    let mut expected = 0i64;
    let mut appended_at = 0i64;
    for _ in 0..count {
        let base_offset = expected.checked_add(reader.i64()?)?;
        let last_offset = base_offset.checked_add(reader.i64()?)?;
        let leader_epoch = LeaderEpoch(reader.i32()?);
        let size_bytes = reader.u32()?;
        appended_at = appended_at.wrapping_add(reader.i64()?);
        let max_timestamp = TimestampMs(appended_at.wrapping_add(reader.i64()?));
        let attributes = reader.i16()?;
        let producer_id = ProducerId(reader.i64()?);
        let (producer_epoch, base_sequence) = if producer_id.is_some() {
            (ProducerEpoch(reader.i16()?), Sequence(reader.i32()?))
        } else {
            (ProducerEpoch(-1), Sequence(-1))
        };
        metas.push(BatchMeta {
            base_offset: Offset(base_offset),
            last_offset: Offset(last_offset),
            leader_epoch,
            size_bytes,
            max_timestamp,
            appended_at: TimestampMs(appended_at),
            producer_id,
            producer_epoch,
            base_sequence,
            attributes,
        });
        expected = last_offset.checked_add(1)?;
    }
    Some(metas)
}

impl CommitEntry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.commit);
        writer.u64(self.previous);
        writer.u64(self.first_key);
        writer.u32(self.blob_len);
        writer.len(self.witness.len());
        for (file, commit) in &self.witness {
            writer.u32(*file);
            writer.u64(*commit);
        }
        writer.len(self.runs.len());
        for (partition, run) in &self.runs {
            writer.u32(partition.0);
            run.encode(&mut writer);
        }
        writer.sealed(ENTRY_MAGIC)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(unseal(ENTRY_MAGIC, bytes)?);
        let commit = reader.u64()?;
        let previous = reader.u64()?;
        let first_key = reader.u64()?;
        let blob_len = reader.u32()?;
        let mut witness = Vec::new();
        for _ in 0..reader.count()? {
            witness.push((reader.u32()?, reader.u64()?));
        }
        let mut runs = Vec::new();
        for _ in 0..reader.count()? {
            let partition = StorePartition(reader.u32()?);
            runs.push((partition, Run::decode(&mut reader)?));
        }
        reader.is_empty().then_some(Self {
            commit,
            previous,
            first_key,
            blob_len,
            witness,
            runs,
        })
    }

    /// The runs with their places.
    pub(crate) fn placed(self) -> impl Iterator<Item = (StorePartition, PlacedRun)> {
        let mut position = 0u32;
        self.runs.into_iter().map(move |(partition, run)| {
            let at = position;
            // A blob's length fits 32 bits, so its positions do.
            position = position.saturating_add(u32::try_from(run.bytes()).unwrap_or(u32::MAX));
            let placed = PlacedRun {
                commit: self.commit,
                first_key: self.first_key,
                blob_len: self.blob_len,
                position: at,
                run,
            };
            (partition, placed)
        })
    }
}

/// The index of one partition in a rolled lane file.
pub(crate) fn encode_index(runs: &[PlacedRun]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.len(runs.len());
    for placed in runs {
        writer.u64(placed.commit);
        writer.u64(placed.first_key);
        writer.u32(placed.blob_len);
        writer.u32(placed.position);
        placed.run.encode(&mut writer);
    }
    writer.sealed(INDEX_MAGIC)
}

/// The reverse of [`encode_index`].
pub(crate) fn decode_index(bytes: &[u8]) -> Option<Vec<PlacedRun>> {
    let mut reader = Reader::new(unseal(INDEX_MAGIC, bytes)?);
    let mut runs = Vec::new();
    for _ in 0..reader.count()? {
        runs.push(PlacedRun {
            commit: reader.u64()?,
            first_key: reader.u64()?,
            blob_len: reader.u32()?,
            position: reader.u32()?,
            run: Run::decode(&mut reader)?,
        });
    }
    reader.is_empty().then_some(runs)
}

impl LaneFooter {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let fields = [
            self.first_commit,
            self.last_commit,
            self.partitions,
            self.batches,
            self.bytes,
        ];
        for field in fields {
            writer.u64(field);
        }
        writer.sealed(FOOTER_MAGIC)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(unseal(FOOTER_MAGIC, bytes)?);
        Some(Self {
            first_commit: reader.u64()?,
            last_commit: reader.u64()?,
            partitions: reader.u64()?,
            batches: reader.u64()?,
            bytes: reader.u64()?,
        })
    }
}
