//! What the broker keeps in a topic of its own: how such a log is read, written, and
//! cut when a snapshot is replicated. Consumer groups and lag are kept this way; what their
//! records mean is not known here.

use super::Node;
use crate::{event::Effect, limits::OWN_BATCH_BYTES, request::PartitionKey};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use weir_replica::{AppendRules, Outcome, Sequences};
use weir_types::{
    Batch, BatchHeader, Now, Offset,
    batch::{Compression, payload, records},
    log::{LogCommand, StoredBatch},
};
use weir_wire::build::{BatchBuilder, Stamp};

/// A record's key and value.
pub(super) type KeyValue = (Vec<u8>, Option<Vec<u8>>);

/// The writes of one keeper that are not yet replicated, and its snapshot.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Where they end, by number.
    ends: BTreeMap<u64, Offset>,
    /// Where the snapshot that was begun last begins.
    snapshot_begins: Offset,
    /// Once everything below the first is replicated, the log may start at the second.
    start_moves: Option<(Offset, Offset)>,
}

/// Where a write lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) base: Offset,
    pub(super) end: Offset,
}

impl Writes {
    /// Where a write ends, unless it is replicated.
    pub(super) fn end_of(&self, write: u64) -> Option<Offset> {
        self.ends.get(&write).copied()
    }

    /// Where the last one ends, unless it is replicated.
    pub(super) fn last_end(&self) -> Option<Offset> {
        self.ends.last_key_value().map(|(_, end)| *end)
    }

    /// A write was appended.
    pub(super) fn written(&mut self, write: u64, at: Written, begins_snapshot: bool) {
        self.ends.insert(write, at.end);
        if begins_snapshot {
            self.snapshot_begins = at.base;
        }
    }

    /// A snapshot is complete with that write.
    pub(super) fn snapshot_written(&mut self, end: u64, replicated: Option<Offset>) {
        let end = self.end_of(end).or(replicated);
        let end = end.unwrap_or(self.snapshot_begins);
        self.start_moves = Some((end, self.snapshot_begins));
    }

    /// More is replicated; returns where the log may start now, if that moves.
    pub(super) fn replicated(&mut self, replicated: Offset) -> Option<Offset> {
        while let Some(first) = self.ends.first_entry()
            && *first.get() <= replicated
        {
            first.remove();
        }
        let due = self.start_moves.take_if(|(end, _)| *end <= replicated);
        due.map(|(_, to)| to)
    }
}

impl Node {
    /// Appends records, as one batch unless they are too large for one; nothing if that could not
    /// be done, and then a part of them may have been.
    pub(super) fn append_own(
        &mut self,
        now: Now,
        key: PartitionKey,
        records: impl IntoIterator<Item = KeyValue>,
        effects: &mut Vec<Effect>,
    ) -> Option<Written> {
        let mut builder = BatchBuilder::new(now.wall);
        let mut base = None;
        for (record_key, value) in records {
            let bytes = record_key.len() + value.as_ref().map_or(0, Vec::len);
            if !builder.is_empty() && builder.size_bytes() + bytes > OWN_BATCH_BYTES {
                let full = core::mem::replace(&mut builder, BatchBuilder::new(now.wall));
                let written = self.append_batch(now, key, full, effects)?;
                base.get_or_insert(written.base);
            }
            builder.push(now.wall, Some(&record_key), value.as_deref(), &[]);
        }
        let last = self.append_batch(now, key, builder, effects)?;
        let base = base.unwrap_or(last.base);
        Some(Written { base, ..last })
    }

    fn append_batch(
        &mut self,
        now: Now,
        key: PartitionKey,
        builder: BatchBuilder,
        effects: &mut Vec<Effect>,
    ) -> Option<Written> {
        let bytes = builder.finish(Stamp::default());
        let batch = Batch::parse(&bytes).expect("I-NODE-16: a batch of our own making is whole");
        let open = self.open_mut(key)?;
        let rules = AppendRules {
            log_append_time: false,
            min_insync_replicas: open.config.min_insync_replicas,
            sequences: Sequences::Contiguous,
            forget_sequences: false,
        };
        let header = batch.header();
        let appended = open.replica.append(now, batch, &header, &rules).ok()?;
        if let Outcome::New { batch, meta } = appended.outcome {
            effects.push(Effect::Log(LogCommand::Append {
                partition: open.store,
                batch,
                meta,
            }));
        }
        Some(Written {
            base: appended.base_offset,
            end: appended.end,
        })
    }
}

/// Hands the records of what was read to `apply`, from `next` on, and moves it behind them.
pub(super) fn take_records(
    pieces: &[StoredBatch],
    next: &mut Offset,
    mut apply: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), String>,
) -> Result<(), String> {
    let before = *next;
    for piece in pieces {
        match piece {
            StoredBatch::Cached(batch) => {
                take_batch(&batch.header(), batch.body(), next, &mut apply)?;
            }
            StoredBatch::Read(bytes) => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let header = BatchHeader::read(rest).map_err(|error| format!("{error}"))?;
                    take_batch(&header, payload(rest, &header), next, &mut apply)?;
                    rest = &rest[header.size_bytes..];
                }
            }
        }
    }
    if *next == before {
        return Err(format!("the log has nothing at offset {before}"));
    }
    Ok(())
}

fn take_batch(
    header: &BatchHeader,
    payload: &[u8],
    next: &mut Offset,
    apply: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), String>,
) -> Result<(), String> {
    let at = header.base_offset;
    if header.next_offset() <= *next {
        return Ok(());
    }
    if header.compression() != Some(Compression::None) {
        return Err(format!("the batch at offset {at} is compressed"));
    }
    for record in records(payload, header.record_count) {
        let record = record.map_err(|error| format!("the batch at offset {at}: {error}"))?;
        let key = record.key.unwrap_or_default();
        apply(key, record.value).map_err(|error| format!("the batch at offset {at}: {error}"))?;
    }
    *next = header.next_offset();
    Ok(())
}
