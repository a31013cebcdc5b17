//! Publishing what the rewriter wrote: the catalog commit that makes it the log, and the swap in
//! the book (design rules 1, 2, 4).
//!
//! It must never change the book before the catalog says so.

use crate::book::{Book, FileInfo, FileState, Segment};
use crate::catalog::{Edit, file_name};
use crate::core::Core;
use crate::kv::KvError;
use crate::limits::PRODUCER_SNAPSHOTS_KEPT;
use crate::rows::{FileRow, ProducerSnapshot, SegmentRow};
use crate::stats::Counters;
use std::collections::{BTreeMap, BTreeSet};
use weir_types::StorePartition;

/// A history file that is whole and synced.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) id: u32,
    pub(crate) row: FileRow,
    pub(crate) segments: Vec<SegmentRow>,
}

impl Core {
    /// One catalog commit: outputs become the log, inputs leave it, and everything they held of
    /// marks is in the partitions' rows (design rules 1, 2, 4).
    pub(crate) fn publish(
        &self,
        inputs: &BTreeMap<u32, FileRow>,
        outputs: Vec<Output>,
        seen: &BTreeMap<StorePartition, u64>,
    ) -> Result<(), KvError> {
        let mut catalog = self.catalog();
        let edit = {
            let mut book = self.book();
            self.edit_for(&mut book, inputs, &outputs)
        };
        if let Err(error) = catalog.commit(&edit) {
            self.die(&format!("the catalog cannot be written: {error}"));
            return Err(error);
        }
        let touched: Vec<StorePartition> = {
            let mut book = self.book();
            book.swap(inputs, outputs, seen)
        };
        drop(catalog);
        for partition in touched {
            self.settle(partition);
        }
        if !self.config.mutants.publish_twice {
            for (id, row) in inputs {
                self.files.retire(*id, file_name(*id, row));
            }
        }
        Counters::add(&self.counters.published, 1);
        Ok(())
    }

    fn edit_for(
        &self,
        book: &mut Book,
        inputs: &BTreeMap<u32, FileRow>,
        outputs: &[Output],
    ) -> Edit {
        let mut edit = Edit::default();
        if !self.config.mutants.publish_twice {
            edit.files.extend(inputs.keys().map(|id| (*id, None)));
        }
        for output in outputs {
            edit.files.insert(output.id, Some(output.row));
            edit.segments.insert(output.id, output.segments.clone());
        }
        book.forget_truncations(inputs);
        for partition in std::mem::take(&mut book.dirty) {
            let Some(part) = book.parts.get_mut(&partition) else {
                continue;
            };
            let snapshot = ProducerSnapshot {
                end: part.end,
                as_of: part.as_of,
                table: part.producers.clone(),
            };
            if part.snapshots.last() != Some(&snapshot) && !snapshot.table.is_empty() {
                part.snapshots.retain(|old| old.end != snapshot.end);
                part.snapshots.push(snapshot);
                let excess = part.snapshots.len().saturating_sub(PRODUCER_SNAPSHOTS_KEPT);
                part.snapshots.drain(..excess);
            }
            edit.partitions.insert(partition, Some(part.row()));
            edit.producers.insert(partition, part.snapshots.clone());
        }
        for file in std::mem::take(&mut book.dirty_files) {
            if !inputs.contains_key(&file) && book.files.contains_key(&file) {
                let rows = book.segments_of(file);
                edit.segments.insert(file, rows);
            }
        }
        edit
    }

    /// Unlinks what left the log and is not read any more.
    pub(crate) fn sweep(&self) -> Result<(), KvError> {
        let unlinked = self.files.sweep()?;
        Counters::add(&self.counters.unlinked, unlinked as u64);
        Ok(())
    }
}

impl Book {
    /// The segments of a history file as they count now.
    fn segments_of(&self, file: u32) -> Vec<SegmentRow> {
        let all = self.parts.values().flat_map(|part| &part.segments);
        let mut rows: Vec<SegmentRow> = all
            .filter(|segment| segment.file == file)
            .map(|segment| segment.row)
            .collect();
        rows.sort_by_key(|row| row.ordinal);
        rows
    }

    /// Puts the published segments in the place of what the inputs held. Truncations that were
    /// flushed since the batches were collected cut them again (design rule 4). Answers whose
    /// indexes are to be read.
    fn swap(
        &mut self,
        inputs: &BTreeMap<u32, FileRow>,
        outputs: Vec<Output>,
        seen: &BTreeMap<StorePartition, u64>,
    ) -> Vec<StorePartition> {
        for part in self.parts.values_mut() {
            part.slots.retain(|slot| !inputs.contains_key(&slot.file));
            part.segments
                .retain(|segment| !inputs.contains_key(&segment.file));
        }
        for id in inputs.keys() {
            self.files.remove(id);
            self.dirty_files.remove(id);
        }
        let mut touched = BTreeSet::new();
        for output in outputs {
            let mut info = FileInfo::new(output.row, FileState::Sealed);
            for row in output.segments {
                info.bytes += row.bytes;
                info.batches += row.batches;
                let Some(part) = self.parts.get_mut(&row.partition) else {
                    continue;
                };
                info.live_bytes += row.bytes;
                let place = part.segments.partition_point(|s| s.row.base < row.base);
                part.segments.insert(
                    place,
                    Segment {
                        file: output.id,
                        row,
                        dead_bytes: 0,
                        stale: false,
                    },
                );
                touched.insert(row.partition);
            }
            self.files.insert(output.id, info);
        }
        for partition in &touched {
            let Some(part) = self.parts.get_mut(partition) else {
                continue;
            };
            let collected = seen.get(partition).copied().unwrap_or(0);
            let newer = part
                .truncations
                .iter()
                .filter(|(commit, _)| *commit > collected);
            if let Some(to) = newer.map(|(_, to)| *to).min() {
                let outputs_cut = |segment: &Segment| segment.row.commit_max <= collected;
                Self::cut_segments(
                    &mut self.files,
                    &mut self.dirty_files,
                    part,
                    to,
                    outputs_cut,
                );
            }
            Self::drop_before_start(&mut self.files, part);
        }
        touched.into_iter().collect()
    }
}
