//! The metadata log: records in order, each durable before it counts, and a snapshot that stands
//! for all that precede it. One small redb file of its own.
//!
//! It knows nothing of what the records mean, and after a failed write it only fails.

use crate::catalog::{FORMAT_VERSION, OpenError};
use crate::disk::Disk;
use crate::encode::{Reader, Writer, unseal};
use crate::kv::{Kv, KvError};
use crate::limits::SMALL_CACHE_BYTES;
use std::sync::Arc;

/// The log's name in the folder.
pub(crate) const META_FILE: &str = "meta.redb";
const META_NEW: &str = "meta.new";
const MAGIC: [u8; 4] = *b"WMET";

const VERSION_KEY: u64 = 0;
const SNAPSHOT_KEY: u64 = 1;
const FIRST_RECORD_KEY: u64 = 16;

/// Why the metadata log did not take a record.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the metadata log cannot be written: {reason}; start the broker again")]
pub struct MetaLogError {
    /// The system's words.
    pub reason: String,
}

impl From<KvError> for MetaLogError {
    fn from(error: KvError) -> Self {
        Self {
            reason: error.to_string(),
        }
    }
}

/// What was in a metadata log when it was opened: the last snapshot, and the records after it.
pub type MetaLogContents = (Option<Vec<u8>>, Vec<Vec<u8>>);

/// The open log.
#[derive(Debug)]
pub struct MetaLog {
    kv: Kv,
    next: u64,
}

impl MetaLog {
    /// Opens the log of this folder, or makes one.
    ///
    /// # Errors
    /// [`OpenError`]: another version, damage, or the system's refusal.
    pub fn open(disk: &Arc<dyn Disk>) -> Result<(Self, MetaLogContents), OpenError> {
        let names = disk
            .list()
            .map_err(|error| OpenError::io("the folder", &error))?;
        if !names.iter().any(|name| name == META_FILE) {
            Self::make(&**disk, &names)?;
        }
        let file = disk
            .open(META_FILE)
            .map_err(|error| OpenError::io(META_FILE, &error))?;
        let kv =
            Kv::open(file, SMALL_CACHE_BYTES).map_err(|error| OpenError::kv(META_FILE, error))?;
        Self::load(kv)
    }

    fn make(disk: &dyn Disk, names: &[String]) -> Result<(), OpenError> {
        let fail = |error: std::io::Error| OpenError::io(META_NEW, &error);
        if names.iter().any(|name| name == META_NEW) {
            disk.remove(META_NEW).map_err(fail)?;
        }
        let file = disk.create(META_NEW).map_err(fail)?;
        let mut version = Writer::new();
        version.u32(FORMAT_VERSION);
        let version = version.sealed(MAGIC);
        Kv::open(file, SMALL_CACHE_BYTES)
            .and_then(|kv| {
                kv.write(|change| change.put(VERSION_KEY, &version))?;
                kv.close()
            })
            .map_err(|error| OpenError::kv(META_NEW, error))?;
        disk.rename(META_NEW, META_FILE).map_err(fail)?;
        disk.sync_dir().map_err(fail)
    }

    fn load(kv: Kv) -> Result<(Self, MetaLogContents), OpenError> {
        let damaged = |reason: &str| OpenError::Damaged {
            file: META_FILE.to_owned(),
            reason: reason.to_owned(),
        };
        let version = kv
            .read(|view| {
                view.get(VERSION_KEY, |value| {
                    unseal(MAGIC, value).and_then(|payload| Reader::new(payload).u32())
                })
            })
            .map_err(|error| OpenError::kv(META_FILE, error))?
            .flatten()
            .ok_or_else(|| damaged("it has no first row"))?;
        if version != FORMAT_VERSION {
            return Err(OpenError::Version {
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        let mut snapshot = None;
        let mut records = Vec::new();
        let mut next = FIRST_RECORD_KEY;
        kv.read(|view| {
            view.each(SNAPSHOT_KEY, None, |key, value| {
                let payload = unseal(MAGIC, value)
                    .ok_or_else(|| KvError::damaged(format!("record {key} fails its CRC")))?;
                if key == SNAPSHOT_KEY {
                    snapshot = Some(payload.to_vec());
                } else {
                    records.push(payload.to_vec());
                    next = key + 1;
                }
                Ok(true)
            })
        })
        .map_err(|error| OpenError::kv(META_FILE, error))?;
        Ok((Self { kv, next }, (snapshot, records)))
    }

    /// Appends records, in order; they are durable when this returns.
    ///
    /// # Errors
    /// [`MetaLogError`]: none of them counts, and the log is useless until it is opened again.
    pub fn append(&mut self, records: &[Vec<u8>]) -> Result<(), MetaLogError> {
        let first = self.next;
        self.kv.write(|change| {
            for (key, record) in (first..).zip(records) {
                change.put(key, &crate::encode::seal(MAGIC, record))?;
            }
            Ok(())
        })?;
        self.next += records.len() as u64;
        Ok(())
    }

    /// Replaces everything so far by `snapshot`, durably.
    ///
    /// # Errors
    /// [`MetaLogError`]: the records still count, and the log is useless until it is opened again.
    pub fn snapshot(&mut self, snapshot: &[u8]) -> Result<(), MetaLogError> {
        let next = self.next;
        self.kv.write(|change| {
            change.remove_range(FIRST_RECORD_KEY, next)?;
            change.put(SNAPSHOT_KEY, &crate::encode::seal(MAGIC, snapshot))
        })?;
        Ok(())
    }

    /// Closes the log cleanly.
    ///
    /// # Errors
    /// [`MetaLogError`]; everything appended is durable all the same.
    pub fn close(self) -> Result<(), MetaLogError> {
        Ok(self.kv.close()?)
    }
}
