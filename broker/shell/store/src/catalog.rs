//! The catalog: the one authority on which files are the log (design rule 1), and the keeper of
//! what outlives a file (rule 2). One small redb file, changed by whole commits.
//!
//! It must never be written but through [`Catalog::commit`], and a change that failed leaves it
//! useless until the store is opened again.

use crate::disk::Disk;
use crate::kv::{Change, Kv, KvError, View};
use crate::layout::FileRole;
use crate::limits::SMALL_CACHE_BYTES;
use crate::rows::{
    FileRow, PartitionRow, ProducerSnapshot, SealedRow, SegmentRow, StoreRow, decode_segments,
    decode_snapshots, encode_segments, encode_snapshots,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_types::StorePartition;

/// Version of everything the store writes.
pub const FORMAT_VERSION: u32 = 3;

/// The catalog's name in the folder.
pub(crate) const CATALOG_FILE: &str = "catalog.redb";
/// A catalog that is being made.
pub(crate) const CATALOG_NEW: &str = "catalog.new";

const STORE_KEY: u64 = 0;
const FILES: u64 = 1 << 56;
const PARTITIONS: u64 = 2 << 56;
const PRODUCERS: u64 = 3 << 56;
const SEGMENTS: u64 = 4 << 56;
const SEALED: u64 = 5 << 56;
const PREFIX_KEYS: u64 = 1 << 56;

/// Why a folder could not be opened as a store.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder holds files of something else.
    #[error(
        "the folder is not a store: it holds {found:?} but no catalog; \
         use an empty folder, or the folder the broker used before"
    )]
    Foreign {
        /// A file that was found.
        found: String,
    },
    /// The folder was written by another version.
    #[error(
        "the store has format {found}, this broker reads format {supported}; \
         use the broker version that wrote it, or start with an empty folder and mirror the topics"
    )]
    Version {
        /// The folder's.
        found: u32,
        /// This broker's.
        supported: u32,
    },
    /// A file that everything hangs on is damaged.
    #[error(
        "{file} is damaged: {reason}; put the folder back from a copy, or move it away and let \
         the broker begin with an empty one"
    )]
    Damaged {
        /// Its name.
        file: String,
        /// What was seen.
        reason: String,
    },
    /// The system refused.
    #[error("{file} cannot be opened: {reason}")]
    Io {
        /// Its name, or the folder's.
        file: String,
        /// The system's words.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn io(file: &str, error: &std::io::Error) -> Self {
        Self::Io {
            file: file.to_owned(),
            reason: error.to_string(),
        }
    }

    pub(crate) fn kv(file: &str, error: KvError) -> Self {
        let file = file.to_owned();
        match error {
            KvError::Io { reason } => Self::Io { file, reason },
            KvError::Damaged { reason } => Self::Damaged { file, reason },
        }
    }
}

/// Everything the catalog says.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) files: BTreeMap<u32, FileRow>,
    pub(crate) partitions: BTreeMap<StorePartition, PartitionRow>,
    pub(crate) producers: BTreeMap<StorePartition, Vec<ProducerSnapshot>>,
    pub(crate) segments: BTreeMap<u32, Vec<SegmentRow>>,
    pub(crate) sealed: BTreeMap<u32, SealedRow>,
}

/// The open catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    kv: Kv,
    row: StoreRow,
    /// Why it can no longer be changed.
    failed: Option<KvError>,
}

impl Catalog {
    /// Opens the folder's catalog, or makes one in an empty folder.
    pub(crate) fn open(disk: &dyn Disk, new_store: u64) -> Result<(Self, Contents), OpenError> {
        let names = disk
            .list()
            .map_err(|error| OpenError::io("the folder", &error))?;
        if !names.iter().any(|name| name == CATALOG_FILE) {
            Self::refuse_foreign(&names)?;
            Self::make(disk, new_store, &names)?;
        }
        let file = disk
            .open(CATALOG_FILE)
            .map_err(|error| OpenError::io(CATALOG_FILE, &error))?;
        if file
            .len()
            .map_err(|error| OpenError::io(CATALOG_FILE, &error))?
            == 0
        {
            // redb would make a new map of an empty file, and the log would be forgotten.
            return Err(damaged("the file is empty"));
        }
        let kv = Kv::open(file, SMALL_CACHE_BYTES)
            .map_err(|error| OpenError::kv(CATALOG_FILE, error))?;
        Self::load(kv)
    }

    /// Opens the catalog without ever changing it, for tools.
    pub(crate) fn open_overlaid(disk: &dyn Disk) -> Result<(Self, Contents), OpenError> {
        let names = disk
            .list()
            .map_err(|error| OpenError::io("the folder", &error))?;
        if !names.iter().any(|name| name == CATALOG_FILE) {
            return Err(OpenError::Foreign {
                found: names.first().cloned().unwrap_or_default(),
            });
        }
        let kv = disk
            .open(CATALOG_FILE)
            .map_err(KvError::from)
            .and_then(|file| Kv::open_overlaid(file, SMALL_CACHE_BYTES, None))
            .map_err(|error| OpenError::kv(CATALOG_FILE, error))?;
        Self::load(kv)
    }

    fn refuse_foreign(names: &[String]) -> Result<(), OpenError> {
        let foreign = |name: &&String| *name != CATALOG_NEW && *name != crate::metalog::META_FILE;
        match names.iter().find(foreign) {
            Some(found) => Err(OpenError::Foreign {
                found: found.clone(),
            }),
            None => Ok(()),
        }
    }

    /// A new catalog gets its name only when it is whole and on the disk.
    fn make(disk: &dyn Disk, new_store: u64, names: &[String]) -> Result<(), OpenError> {
        let fail = |error: std::io::Error| OpenError::io(CATALOG_NEW, &error);
        if names.iter().any(|name| name == CATALOG_NEW) {
            disk.remove(CATALOG_NEW).map_err(fail)?;
        }
        let file = disk.create(CATALOG_NEW).map_err(fail)?;
        let row = StoreRow {
            version: FORMAT_VERSION,
            store: new_store,
            next_file: 1,
            next_partition: 1,
        };
        let made = Kv::open(file, SMALL_CACHE_BYTES).and_then(|kv| {
            kv.write(|change| change.put(STORE_KEY, &row.encode()))?;
            kv.close()
        });
        made.map_err(|error| OpenError::kv(CATALOG_NEW, error))?;
        disk.rename(CATALOG_NEW, CATALOG_FILE).map_err(fail)?;
        disk.sync_dir().map_err(fail)
    }

    fn load(kv: Kv) -> Result<(Self, Contents), OpenError> {
        let row = kv
            .read(|view| view.get(STORE_KEY, <[u8]>::to_vec))
            .map_err(|error| OpenError::kv(CATALOG_FILE, error))?
            .ok_or_else(|| damaged("it has no first row"))?;
        let version = StoreRow::version(&row).ok_or_else(|| damaged("its first row is wrong"))?;
        if version != FORMAT_VERSION {
            return Err(OpenError::Version {
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        let row = StoreRow::decode(&row).ok_or_else(|| damaged("its first row is wrong"))?;
        let contents = kv
            .read(Contents::read)
            .map_err(|error| OpenError::kv(CATALOG_FILE, error))?;
        let catalog = Self {
            kv,
            row,
            failed: None,
        };
        Ok((catalog, contents))
    }

    /// The number every file of this store carries.
    pub(crate) fn store(&self) -> u64 {
        self.row.store
    }

    /// Hands out a file number; durable with the next commit. A file that bears it before is
    /// nobody's: after a crash it is removed, and the number may be handed out again.
    pub(crate) fn take_file(&mut self) -> u32 {
        let id = self.row.next_file;
        self.row.next_file += 1;
        id
    }

    /// Hands out a partition number, never given before.
    pub(crate) fn take_partition(&mut self) -> StorePartition {
        let id = self.row.next_partition;
        self.row.next_partition += 1;
        StorePartition(id)
    }

    /// Makes all changes of `edit` durable together, or none.
    pub(crate) fn commit(&mut self, edit: &Edit) -> Result<(), KvError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let row = self.row;
        let done = self.kv.write(|change| {
            change.put(STORE_KEY, &row.encode())?;
            edit.write(change)
        });
        if let Err(error) = &done {
            self.failed = Some(error.clone());
        }
        done
    }

    /// Which files it has as sealed.
    #[cfg(test)]
    pub(crate) fn sealed_files(&self) -> Result<Vec<u32>, KvError> {
        let contents = self.kv.read(Contents::read)?;
        Ok(contents.sealed.into_keys().collect())
    }

    /// Closes it cleanly.
    pub(crate) fn close(self) -> Result<(), KvError> {
        self.kv.close()
    }
}

fn damaged(reason: &str) -> OpenError {
    OpenError::Damaged {
        file: CATALOG_FILE.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Changes to the catalog that become durable together.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    /// New or changed files, and files to forget.
    pub(crate) files: BTreeMap<u32, Option<FileRow>>,
    pub(crate) partitions: BTreeMap<StorePartition, Option<PartitionRow>>,
    pub(crate) producers: BTreeMap<StorePartition, Vec<ProducerSnapshot>>,
    pub(crate) segments: BTreeMap<u32, Vec<SegmentRow>>,
    pub(crate) sealed: BTreeMap<u32, SealedRow>,
}

impl Edit {
    fn write(&self, change: &mut Change<'_>) -> Result<(), KvError> {
        for (id, row) in &self.files {
            match row {
                Some(row) => change.put(FILES | u64::from(*id), &row.encode())?,
                None => {
                    change.remove(FILES | u64::from(*id))?;
                    change.remove(SEGMENTS | u64::from(*id))?;
                    change.remove(SEALED | u64::from(*id))?;
                }
            }
        }
        for (id, segments) in &self.segments {
            change.put(SEGMENTS | u64::from(*id), &encode_segments(segments))?;
        }
        for (id, row) in &self.sealed {
            change.put(SEALED | u64::from(*id), &row.encode())?;
        }
        for (partition, row) in &self.partitions {
            let number = u64::from(partition.0);
            match row {
                Some(row) => change.put(PARTITIONS | number, &row.encode())?,
                None => {
                    change.remove(PARTITIONS | number)?;
                    change.remove(PRODUCERS | number)?;
                }
            }
        }
        for (partition, snapshots) in &self.producers {
            let key = PRODUCERS | u64::from(partition.0);
            change.put(key, &encode_snapshots(snapshots))?;
        }
        Ok(())
    }
}

impl Contents {
    fn read(view: &View) -> Result<Self, KvError> {
        let mut contents = Self::default();
        view.each(FILES, None, |key, value| {
            let number = u32::try_from(key & 0xffff_ffff).unwrap_or(0);
            let known = match key & !(PREFIX_KEYS - 1) {
                FILES => FileRow::decode(value).map(|row| {
                    contents.files.insert(number, row);
                }),
                PARTITIONS => PartitionRow::decode(value).map(|row| {
                    contents.partitions.insert(StorePartition(number), row);
                }),
                PRODUCERS => decode_snapshots(value).map(|rows| {
                    contents.producers.insert(StorePartition(number), rows);
                }),
                SEGMENTS => decode_segments(value).map(|rows| {
                    contents.segments.insert(number, rows);
                }),
                SEALED => SealedRow::decode(value).map(|row| {
                    contents.sealed.insert(number, row);
                }),
                _ => None,
            };
            known.ok_or_else(|| KvError::damaged(format!("row {key:#x} is wrong")))?;
            Ok(true)
        })?;
        Ok(contents)
    }
}

/// The name of a file of the log.
pub(crate) fn file_name(id: u32, row: &FileRow) -> String {
    let role = match row.role {
        FileRole::Lane => "lane",
        FileRole::History => "history",
    };
    format!("{role}-{id:08}-{}.redb", row.generation)
}

/// Whether a name is that of a lane file.
pub(crate) fn is_lane_name(name: &str) -> bool {
    name.starts_with("lane-")
}

/// Whether a name could be one of [`file_name`]'s.
pub(crate) fn is_file_name(name: &str) -> bool {
    (name.starts_with("lane-") || name.starts_with("history-")) && name.ends_with(".redb")
}

/// Opens a file of the log for what it is, or says how it is foreign.
pub(crate) fn check_header(kv: &Kv, store: u64, id: u32, role: FileRole) -> Result<(), KvError> {
    use crate::layout::{FileHeader, HEADER_KEY};
    let header = kv.read(|view| view.get(HEADER_KEY, FileHeader::decode))?;
    match header.flatten() {
        Some(header)
            if header
                == (FileHeader {
                    store,
                    file: id,
                    role,
                }) =>
        {
            Ok(())
        }
        Some(header) => Err(KvError::damaged(format!(
            "it says it is {:?} file {} of store {:016x}",
            header.role, header.file, header.store
        ))),
        None => Err(KvError::damaged("it has no header")),
    }
}

/// The disk shared by every part of the store.
pub(crate) type SharedDisk = Arc<dyn Disk>;
