//! Where a mark falls: the start that retention finds (design rule 13) and the end of a batch
//! that a truncation means.
//!
//! Reads indexes, never batches; changes nothing.

use crate::core::Core;
use crate::limits::RETAIN_STEP_BYTES;
use weir_types::{BatchMeta, Offset, StorePartition, TimestampMs, log::ReadError};

impl Core {
    /// The start after dropping the oldest whole batches that are too old or too many, stopping
    /// at the first that is young enough and never passing `below`.
    pub(crate) fn retained_start(
        &self,
        partition: StorePartition,
        older_than: Option<TimestampMs>,
        bytes_max: Option<u64>,
        below: Offset,
    ) -> Result<Option<Offset>, ReadError> {
        let (start, mut size) = {
            let book = self.book();
            let part = book.parts.get(&partition).ok_or(ReadError::NotOpen)?;
            (part.start, part.size_bytes())
        };
        let mut at = start;
        'steps: while let Some(stretch) = self.stretch(partition, at, RETAIN_STEP_BYTES)? {
            for located in &stretch.batches {
                let meta = &located.meta;
                let bytes = u64::from(meta.size_bytes);
                let too_old = older_than.is_some_and(|time| age_from(meta) < time);
                let left = size.saturating_sub(bytes);
                let too_many = bytes_max.is_some_and(|max| left >= max);
                if !(too_old || too_many) || meta.next_offset() > below {
                    break 'steps;
                }
                size = left;
                at = meta.next_offset();
            }
        }
        Ok((at > start).then_some(at))
    }

    /// The end that dropping everything from `to` on leaves: a batch that holds `to` goes as a
    /// whole. `appended` are batches of the same commit, which lie between the flushed end and
    /// `end`.
    pub(crate) fn truncation_end(
        &self,
        partition: StorePartition,
        to: Offset,
        end: Offset,
        appended: &[BatchMeta],
    ) -> Result<Offset, ReadError> {
        let (start, flushed) = {
            let book = self.book();
            let part = book.parts.get(&partition).ok_or(ReadError::NotOpen)?;
            (part.start, part.end)
        };
        let to = to.max(start).min(end);
        let base = if to >= flushed {
            let holds = |meta: &&BatchMeta| meta.base_offset <= to && to <= meta.last_offset;
            appended.iter().find(holds).map(|meta| meta.base_offset)
        } else {
            let stretch = self.stretch(partition, to, 1)?;
            stretch.and_then(|s| s.batches.first().map(|located| located.meta.base_offset))
        };
        Ok(base.map_or(to, |base| base.min(to).max(start)))
    }
}

/// The time that says how old a batch is: its largest timestamp, or where its records have none
/// the time it was appended at, as Kafka falls back to when a segment was last written.
fn age_from(meta: &BatchMeta) -> TimestampMs {
    if meta.max_timestamp < TimestampMs(0) {
        meta.appended_at
    } else {
        meta.max_timestamp
    }
}
