//! One lane's file: commits in order of arrival, each with its batches and its entry, and at the
//! end an index for each partition.
//!
//! A commit is one sync. After an error the file is never written again (design rule 6).

use crate::catalog::{SharedDisk, check_header, file_name};
use crate::entry::{CommitEntry, LaneFooter, PlacedRun, Run, decode_index, encode_index};
use crate::files::OpenFile;
use crate::kv::{Kv, KvError, View};
use crate::layout::{Cutter, FIRST_KEY, FOOTER_KEY, FileHeader, FileRole, HEADER_KEY, INDEX_KEYS};
use crate::limits::READ_CACHE_BYTES;
use crate::rows::{FileRow, SealedRow};
use std::{collections::BTreeMap, sync::Arc};
use weir_types::{Batch, StorePartition};

/// The file a lane writes now.
#[derive(Debug)]
pub(crate) struct LaneFile {
    pub(crate) id: u32,
    pub(crate) row: FileRow,
    pub(crate) file: Arc<OpenFile>,
    next_key: u64,
    last_entry: u64,
    /// Bytes of batches in it.
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
}

/// What one commit shall hold of one partition.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) partition: StorePartition,
    pub(crate) batches: Vec<Batch>,
    pub(crate) run: Run,
}

/// Where a commit's blob came to lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blob {
    pub(crate) first_key: u64,
    pub(crate) len: u32,
}

impl LaneFile {
    /// Makes an empty lane file and syncs it; it is no part of the log yet.
    pub(crate) fn create(
        disk: &SharedDisk,
        store: u64,
        id: u32,
        row: FileRow,
        cache_bytes: usize,
    ) -> Result<Self, KvError> {
        let file = disk.create(&file_name(id, &row))?;
        let kv = Kv::open(file, cache_bytes)?;
        let header = FileHeader {
            store,
            file: id,
            role: FileRole::Lane,
        };
        kv.write(|change| change.put(HEADER_KEY, &header.encode()))?;
        disk.sync_dir()?;
        Ok(Self {
            id,
            row,
            file: OpenFile::new(kv),
            next_key: FIRST_KEY,
            last_entry: 0,
            bytes: 0,
            batches: 0,
        })
    }

    /// Writes one commit and syncs (or, with `durable` false, pretends to: a seeded bug).
    pub(crate) fn commit(
        &mut self,
        commit: u64,
        witness: Vec<(u32, u64)>,
        parts: &[Part],
        durable: bool,
    ) -> Result<Blob, KvError> {
        let len: usize = parts
            .iter()
            .flat_map(|part| &part.batches)
            .map(Batch::size_bytes)
            .sum();
        let blob_len = u32::try_from(len).map_err(|_| KvError::damaged("a commit is too long"))?;
        let entry = CommitEntry {
            commit,
            previous: self.last_entry,
            first_key: self.next_key,
            blob_len,
            witness,
            runs: parts
                .iter()
                .map(|part| (part.partition, part.run.clone()))
                .collect(),
        };
        let first_key = self.next_key;
        let mut next = first_key;
        let work = |change: &mut crate::kv::Change<'_>| {
            let mut put = |key: u64, value: &[u8]| change.put(key, value);
            let mut cutter = Cutter::new(len, commit, first_key, &mut put);
            for part in parts {
                for batch in &part.batches {
                    cutter.push(part.partition, batch.head())?;
                    cutter.push(part.partition, batch.body())?;
                }
            }
            next = cutter.finish();
            change.put(next, &entry.encode())
        };
        if durable {
            self.file.kv.write(work)?;
        } else {
            self.file.kv.write_without_sync(work)?;
        }
        self.last_entry = next;
        self.next_key = next + 1;
        self.bytes += len as u64;
        self.batches += parts
            .iter()
            .map(|part| part.batches.len() as u64)
            .sum::<u64>();
        Ok(Blob {
            first_key,
            len: blob_len,
        })
    }
}

/// What a lane file holds, without its batches.
#[derive(Debug, Default)]
pub(crate) struct LaneContents {
    pub(crate) footer: LaneFooter,
    pub(crate) runs: BTreeMap<StorePartition, Vec<PlacedRun>>,
    /// For other files: the last commit that was known to be flushed there.
    pub(crate) witness: BTreeMap<u32, u64>,
}

impl LaneContents {
    fn add(&mut self, entry: CommitEntry) {
        for (file, commit) in &entry.witness {
            let known = self.witness.entry(*file).or_default();
            *known = (*known).max(*commit);
        }
        self.footer.first_commit = match self.footer.first_commit {
            0 => entry.commit,
            first => first.min(entry.commit),
        };
        self.footer.last_commit = self.footer.last_commit.max(entry.commit);
        for (partition, placed) in entry.placed() {
            self.footer.bytes += placed.run.bytes();
            self.footer.batches += placed.run.batches.len() as u64;
            self.runs.entry(partition).or_default().push(placed);
        }
        self.footer.partitions = self.runs.len() as u64;
    }

    /// Reads the entries of a file that has no index yet, from the last back; commits from
    /// `cut` on do not count.
    pub(crate) fn from_entries(kv: &Kv, cut: Option<u64>) -> Result<Self, KvError> {
        let entries = kv.read(|view| {
            let mut entries = Vec::new();
            let mut key = view.last_below(INDEX_KEYS)?.unwrap_or(HEADER_KEY);
            while key != HEADER_KEY {
                let entry = entry_at(view, key)?;
                let previous = entry.previous;
                if previous >= key {
                    return Err(KvError::damaged(format!("entry {key} points forward")));
                }
                if cut.is_none_or(|cut| entry.commit < cut) {
                    entries.push(entry);
                }
                key = previous;
            }
            Ok(entries)
        })?;
        let mut contents = Self::default();
        for entry in entries.into_iter().rev() {
            contents.add(entry);
        }
        Ok(contents)
    }

    /// Reads the index of a rolled file, or nothing where it has none.
    pub(crate) fn from_index(kv: &Kv) -> Result<Option<Self>, KvError> {
        kv.read(|view| {
            let footer = match view.get(FOOTER_KEY, LaneFooter::decode)? {
                None => return Ok(None),
                Some(None) => return Err(KvError::damaged("its footer is wrong")),
                Some(Some(footer)) => footer,
            };
            let mut runs = BTreeMap::new();
            view.each(INDEX_KEYS, Some(FOOTER_KEY), |key, value| {
                let number = u32::try_from(key & 0xffff_ffff).unwrap_or(0);
                let index = decode_index(value)
                    .ok_or_else(|| KvError::damaged(format!("index of partition {number}")))?;
                runs.insert(StorePartition(number), index);
                Ok(true)
            })?;
            Ok(Some(Self {
                footer,
                runs,
                witness: BTreeMap::new(),
            }))
        })
    }

    /// Writes the index of a file that gets no more commits.
    pub(crate) fn write_index(&self, kv: &Kv) -> Result<(), KvError> {
        kv.write(|change| {
            for (partition, runs) in &self.runs {
                let key = INDEX_KEYS | u64::from(partition.0);
                change.put(key, &encode_index(runs))?;
            }
            change.put(FOOTER_KEY, &self.footer.encode())
        })
    }

    /// What the catalog shall know of it.
    pub(crate) fn sealed(&self) -> SealedRow {
        SealedRow {
            last_commit: self.footer.last_commit,
            partitions: self.runs.keys().copied().collect(),
        }
    }

    /// Whether the file holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.footer.last_commit == 0
    }
}

fn entry_at(view: &View, key: u64) -> Result<CommitEntry, KvError> {
    view.need(key, CommitEntry::decode)?
        .ok_or_else(|| KvError::damaged(format!("the entry under key {key} is wrong")))
}

/// What opening a lane file after a stop found.
#[derive(Debug)]
pub(crate) struct OpenedLane {
    pub(crate) contents: LaneContents,
    /// It had not been closed, and was repaired.
    pub(crate) repaired: bool,
    /// The file, where [`OpenedLane::seal`] is still to make it whole.
    pub(crate) unsealed: Option<Kv>,
}

impl OpenedLane {
    /// Writes the index and closes the file. Its entries are not read any more after that, so
    /// that what they say of other files must have been compared before.
    pub(crate) fn seal(mut self) -> Result<Self, KvError> {
        if let Some(kv) = self.unsealed.take() {
            if !self.contents.is_empty() {
                self.contents.write_index(&kv)?;
            }
            kv.close()?;
        }
        Ok(self)
    }
}

/// Opens a lane file of the log after a stop: reads its index, or repairs it and reads its
/// entries, and leaves it open to be sealed.
pub(crate) fn open_rolled(
    disk: &SharedDisk,
    store: u64,
    id: u32,
    row: &FileRow,
    cache_bytes: usize,
) -> Result<OpenedLane, KvError> {
    let name = file_name(id, row);
    // Closed cleanly: read it as it is. Anything else is told apart below.
    if let Ok(kv) = Kv::open_read_only(disk.open(&name)?, READ_CACHE_BYTES) {
        check_header(&kv, store, id, FileRole::Lane)?;
        if let Some(contents) = LaneContents::from_index(&kv)? {
            return Ok(OpenedLane {
                contents,
                repaired: false,
                unsealed: None,
            });
        }
        kv.close()?;
    }
    let file = disk.open(&name)?;
    if file.is_empty()? {
        return Err(KvError::damaged("it is empty"));
    }
    let kv = Kv::open(file, cache_bytes)?;
    check_header(&kv, store, id, FileRole::Lane)?;
    let (contents, unsealed) = match LaneContents::from_index(&kv)? {
        Some(contents) => {
            kv.close()?;
            (contents, None)
        }
        None => (LaneContents::from_entries(&kv, row.cut)?, Some(kv)),
    };
    Ok(OpenedLane {
        contents,
        repaired: true,
        unsealed,
    })
}

/// Reads a lane file as it is, without changing it, for tools.
pub(crate) fn open_for_tools(
    disk: &SharedDisk,
    store: u64,
    id: u32,
    row: &FileRow,
) -> Result<(Kv, LaneContents), KvError> {
    let kv = Kv::open_overlaid(disk.open(&file_name(id, row))?, READ_CACHE_BYTES, None)?;
    check_header(&kv, store, id, FileRole::Lane)?;
    let contents = match LaneContents::from_index(&kv)? {
        Some(contents) => contents,
        None => LaneContents::from_entries(&kv, row.cut)?,
    };
    Ok((kv, contents))
}
