//! A store that is only looked at: for `weir store check` and `weir store dump`.
//!
//! Opens a folder without changing a byte of it, even after a crash: repairs happen in memory.

use crate::book::FileState;
use crate::catalog::{OpenError, SharedDisk, file_name, is_file_name};
use crate::config::StoreConfig;
use crate::core::Core;
use crate::disk::{Disk, Recycler};
use crate::layout::{FileRole, HEADER_KEY, INDEX_KEYS, check_piece};
use crate::limits::VISIT_BYTES_MAX;
use crate::recover;
use std::sync::Arc;
use weir_types::{
    BatchMeta, LeaderEpoch, Offset, PartitionIndex, StorePartition, TopicId,
    log::{ReadError, StoredBatch},
};

/// A store opened for reading only.
#[derive(Debug)]
pub struct StoreReader {
    core: Core,
    warnings: Vec<String>,
    unlisted: Vec<String>,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDetails {
    /// Its number.
    pub id: u32,
    /// Its name in the folder.
    pub name: String,
    /// What it is for.
    pub role: FileRole,
    /// Batches in it, dead ones too.
    pub batches: u64,
    /// Bytes of batches in it, dead ones too.
    pub bytes: u64,
    /// Bytes of batches that can be read.
    pub live_bytes: u64,
    /// First and last commit in it (lane files).
    pub commits: (u64, u64),
    /// A sync failed in it; what came after does not count.
    pub broken: bool,
}

/// A partition of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDetails {
    /// Its topic.
    pub topic: TopicId,
    /// Its index.
    pub index: PartitionIndex,
    /// The store's number of it.
    pub partition: StorePartition,
    /// Log start.
    pub start: Offset,
    /// Log end, exclusive.
    pub end: Offset,
    /// Live bytes.
    pub size_bytes: u64,
    /// Leader epochs with their first offsets.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// Producers that are remembered.
    pub producers: usize,
    /// Why it cannot be used, if so.
    pub offline: Option<String>,
}

/// One batch as it lies in a file.
#[derive(Clone, Debug)]
pub struct DumpedBatch {
    /// What the index says of it.
    pub meta: BatchMeta,
    /// The commit it was appended in.
    pub commit: u64,
    /// Its bytes, CRC checked.
    pub bytes: StoredBatch,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Files read.
    pub files: u64,
    /// Partitions walked.
    pub partitions: u64,
    /// Batches whose CRC-32C and place were checked.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Values whose own name and CRC were checked.
    pub values: u64,
    /// Everything that is wrong, one sentence each; empty: all is well.
    pub problems: Vec<String>,
}

impl StoreReader {
    /// Opens the store in `disk` without changing anything.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let disk: SharedDisk =
            Recycler::over(disk).map_err(|error| OpenError::io("the folder", &error))?;
        let (core, report) = recover::open_for_tools(&disk, StoreConfig::default())?;
        let known: Vec<String> = {
            let book = core.book();
            let files = book.files.iter();
            files.map(|(id, info)| file_name(*id, &info.row)).collect()
        };
        let names = disk
            .list()
            .map_err(|error| OpenError::io("the folder", &error))?;
        let unlisted = names
            .into_iter()
            .filter(|name| is_file_name(name) && !known.contains(name))
            .collect();
        Ok(Self {
            core,
            warnings: report.warnings,
            unlisted,
        })
    }

    /// What opening noticed, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Files in the folder that the catalog does not name; a broker unlinks them when it starts.
    #[must_use]
    pub fn unlisted(&self) -> &[String] {
        &self.unlisted
    }

    /// Every file of the log.
    #[must_use]
    pub fn files(&self) -> Vec<FileDetails> {
        let book = self.core.book();
        let files = book.files.iter().map(|(id, info)| FileDetails {
            id: *id,
            name: file_name(*id, &info.row),
            role: info.row.role,
            batches: info.batches,
            bytes: info.bytes,
            live_bytes: info.live_bytes,
            commits: (info.first_commit, info.last_commit),
            broken: info.row.cut.is_some() || info.state == FileState::Broken,
        });
        files.collect()
    }

    /// Every partition.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionDetails> {
        let book = self.core.book();
        let parts = book.parts.iter().map(|(number, part)| PartitionDetails {
            topic: part.topic,
            index: part.index,
            partition: *number,
            start: part.start,
            end: part.end,
            size_bytes: part.size_bytes(),
            epochs: part.epochs.clone(),
            producers: part.producers.len(),
            offline: part.offline.clone(),
        });
        parts.collect()
    }

    /// Hands the batches of a partition from the one that holds `from` to `visit`, in order,
    /// until it answers false.
    ///
    /// # Errors
    /// [`ReadError`] at the first batch that cannot be read.
    pub fn visit(
        &self,
        partition: StorePartition,
        from: Offset,
        mut visit: impl FnMut(DumpedBatch) -> bool,
    ) -> Result<(), ReadError> {
        let mut at = from;
        while let Some(stretch) = self.core.stretch(partition, at, VISIT_BYTES_MAX)? {
            for one in stretch.one_by_one() {
                let Some(located) = one.batches.first().copied() else {
                    continue;
                };
                let Some(bytes) = self.core.fetch(&one)?.into_iter().next() else {
                    continue;
                };
                at = located.meta.next_offset();
                let batch = DumpedBatch {
                    meta: located.meta,
                    commit: located.commit,
                    bytes,
                };
                if !visit(batch) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads everything: every value's own name and CRC, every batch's place and CRC-32C.
    #[must_use]
    pub fn check(&self) -> CheckReport {
        let mut report = CheckReport {
            problems: self.warnings.clone(),
            ..CheckReport::default()
        };
        for file in self.files() {
            report.files += 1;
            if let Err(problem) = self.check_values(&file, &mut report) {
                report.problems.push(format!("{}: {problem}", file.name));
            }
        }
        for part in self.partitions() {
            report.partitions += 1;
            if let Some(reason) = part.offline {
                let index = part.index;
                let topic = part.topic;
                let line = format!("partition {index} of topic {topic} is offline: {reason}");
                if !report.problems.contains(&line) {
                    report.problems.push(line);
                }
                continue;
            }
            let mut at = part.start;
            let walked = self.visit(part.partition, part.start, |batch| {
                report.batches += 1;
                report.bytes += u64::from(batch.meta.size_bytes);
                at = batch.meta.next_offset();
                true
            });
            if let Err(error) = walked {
                let (index, topic) = (part.index, part.topic);
                report
                    .problems
                    .push(format!("partition {index} of topic {topic}: {error}"));
            } else if at != part.end {
                let (index, topic, end) = (part.index, part.topic, part.end);
                report.problems.push(format!(
                    "partition {index} of topic {topic} ends at {at}, not at {end}"
                ));
            }
        }
        report
    }

    fn check_values(&self, file: &FileDetails, report: &mut CheckReport) -> Result<(), String> {
        let row = self.core.book().files.get(&file.id).map(|info| info.row);
        let row = row.ok_or("it left the log")?;
        let lease = self.core.files.lease(file.id, &row);
        let lease = lease.map_err(|error| error.to_string())?;
        let walked = lease.kv.read(|view| {
            view.each(HEADER_KEY + 1, Some(INDEX_KEYS), |key, value| {
                report.values += 1;
                let whole = check_piece(value).is_some() || crate::rows::is_block(value);
                let entry = || crate::entry::CommitEntry::decode(value).is_some();
                if !whole && !entry() {
                    report
                        .problems
                        .push(format!("{}: value {key:#x} is damaged", file.name));
                }
                Ok(true)
            })
        });
        walked.map_err(|error| error.to_string())
    }
}
