//! The one place that names redb: an ordered map from numbers to bytes in one file, over the
//! [`crate::disk`] seam, with redb's errors and panics turned into values.
//!
//! Nothing above this file sees a type of redb. It must never retry a write: after an error a
//! handle only fails.

use crate::disk::DiskFile;
use redb::{
    Builder, Database, Durability, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase,
    StorageBackend, Table, TableDefinition,
};
use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const TABLE: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("weir");

/// Why a file did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum KvError {
    /// The system refused, or a handle that failed before was used again.
    #[error("{reason}")]
    Io {
        /// The system's words.
        reason: String,
    },
    /// The bytes are not what was written.
    #[error("{reason}")]
    Damaged {
        /// What was seen.
        reason: String,
    },
}

impl KvError {
    pub(crate) fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged {
            reason: reason.into(),
        }
    }
}

impl From<io::Error> for KvError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::damaged("the file ends too early"),
            io::ErrorKind::InvalidData => Self::damaged(error.to_string()),
            _ => Self::Io {
                reason: error.to_string(),
            },
        }
    }
}

fn translate(error: redb::Error) -> KvError {
    match error {
        redb::Error::Io(error) => error.into(),
        redb::Error::PreviousIo => KvError::Io {
            reason: "the file failed before".to_owned(),
        },
        redb::Error::RepairAborted => {
            KvError::damaged("the file was not closed and may only be read")
        }
        other => KvError::damaged(other.to_string()),
    }
}

/// redb checks less than it trusts: what it asserts about a damaged file becomes an error here.
fn guarded<T>(work: impl FnOnce() -> Result<T, KvError>) -> Result<T, KvError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(panic) => {
            let words = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no words");
            Err(KvError::damaged(format!(
                "its structure contradicts itself ({words})"
            )))
        }
    }
}

enum Handle {
    Write(Database),
    Read(ReadOnlyDatabase),
}

/// One open file.
pub(crate) struct Kv {
    /// Nothing only while it is closed.
    handle: Option<Handle>,
    backend: Arc<Shared>,
}

impl Drop for Kv {
    /// redb closes a file that is dropped, and gives up where that contradicts what it reads.
    fn drop(&mut self) {
        let handle = self.handle.take();
        let dropped = guarded(move || {
            drop(handle);
            Ok(())
        });
        if let Err(error) = dropped {
            tracing::warn!(%error, "a file was let go of without being closed");
        }
    }
}

impl fmt::Debug for Kv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kv").finish_non_exhaustive()
    }
}

impl Kv {
    /// Makes the map in an empty file, or opens one for writing (repairing it if it was not
    /// closed).
    pub(crate) fn open(file: Arc<dyn DiskFile>, cache_bytes: usize) -> Result<Self, KvError> {
        Self::open_with(Shared::new(file, None)?, cache_bytes)
    }

    /// Opens a file as it is on disk without ever writing to it, even if it was not closed:
    /// the repair happens in memory. `head` replaces its first bytes where it is given.
    pub(crate) fn open_overlaid(
        file: Arc<dyn DiskFile>,
        cache_bytes: usize,
        head: Option<Vec<u8>>,
    ) -> Result<Self, KvError> {
        let mut overlay = Overlay::new(file.len()?);
        if let Some(head) = head {
            overlay.write(0, &head);
        }
        Self::open_with(Shared::new(file, Some(overlay))?, cache_bytes)
    }

    fn open_with(backend: Arc<Shared>, cache_bytes: usize) -> Result<Self, KvError> {
        let mine = Backend(Arc::clone(&backend));
        let database = guarded(move || {
            Builder::new()
                .set_cache_size(cache_bytes)
                .create_with_backend(mine)
                .map_err(|error| translate(error.into()))
        })?;
        Ok(Self {
            handle: Some(Handle::Write(database)),
            backend,
        })
    }

    /// Opens a file that was closed cleanly, only for reading.
    pub(crate) fn open_read_only(
        file: Arc<dyn DiskFile>,
        cache_bytes: usize,
    ) -> Result<Self, KvError> {
        let backend = Shared::new(file, None)?;
        let mine = Backend(Arc::clone(&backend));
        let database = guarded(move || {
            Builder::new()
                .set_cache_size(cache_bytes)
                .open_read_only_with_backend(mine)
                .map_err(|error| translate(error.into()))
        })?;
        Ok(Self {
            handle: Some(Handle::Read(database)),
            backend,
        })
    }

    /// Runs `work` on what is committed now.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&View) -> Result<T, KvError>,
    ) -> Result<T, KvError> {
        guarded(|| {
            let transaction = match &self.handle {
                Some(Handle::Write(database)) => database.begin_read(),
                Some(Handle::Read(database)) => database.begin_read(),
                None => return Err(KvError::damaged("the file is closed")),
            }
            .map_err(|error| translate(error.into()))?;
            let table = match transaction.open_table(TABLE) {
                Ok(table) => Some(table),
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(translate(error.into())),
            };
            work(&View { table })
        })
    }

    /// Runs `work` and commits durably: one sync. After an error the handle is useless.
    pub(crate) fn write(
        &self,
        work: impl FnOnce(&mut Change<'_>) -> Result<(), KvError>,
    ) -> Result<(), KvError> {
        self.write_with(Durability::Immediate, work)
    }

    /// As [`Kv::write`], but not durable before a later `write`.
    pub(crate) fn write_without_sync(
        &self,
        work: impl FnOnce(&mut Change<'_>) -> Result<(), KvError>,
    ) -> Result<(), KvError> {
        self.write_with(Durability::None, work)
    }

    fn write_with(
        &self,
        durability: Durability,
        work: impl FnOnce(&mut Change<'_>) -> Result<(), KvError>,
    ) -> Result<(), KvError> {
        let Some(Handle::Write(database)) = &self.handle else {
            return Err(KvError::damaged("a read-only file cannot be written"));
        };
        guarded(|| {
            let mut transaction = database
                .begin_write()
                .map_err(|error| translate(error.into()))?;
            transaction
                .set_durability(durability)
                .map_err(|error| translate(error.into()))?;
            let table = transaction
                .open_table(TABLE)
                .map_err(|error| translate(error.into()))?;
            let mut change = Change { table };
            work(&mut change)?;
            drop(change);
            transaction
                .commit()
                .map_err(|error| translate(error.into()))
        })
    }

    /// Closes the file; one that was written is marked as whole.
    pub(crate) fn close(mut self) -> Result<(), KvError> {
        let handle = self.handle.take();
        guarded(move || {
            match handle {
                Some(Handle::Write(database)) => database.close(),
                Some(Handle::Read(database)) => database.close(),
                None => Ok(()),
            }
            .map_err(|error| translate(error.into()))
        })
    }

    /// What knows the file's last good root, even after [`Kv::close`] took the handle and failed.
    pub(crate) fn front(&self) -> Front {
        Front(Arc::clone(&self.backend))
    }
}

/// The front of a file, which outlives its handle.
#[derive(Debug)]
pub(crate) struct Front(Arc<Shared>);

impl Front {
    /// Refuses every later write, sync and new length of the handle, its close included, and
    /// answers the first bytes of the file as the last sync that worked left them: a view through
    /// them needs the rest to stay as it is. A write that is on its way is waited for.
    pub(crate) fn freeze(&self) -> Vec<u8> {
        let mut heads = self.0.heads();
        heads.frozen = true;
        if let Err(error) = self.0.file.close() {
            tracing::warn!(%error, "closing a file that failed");
        }
        heads.durable.clone()
    }
}

/// What is committed at one moment.
pub(crate) struct View {
    table: Option<ReadOnlyTable<u64, &'static [u8]>>,
}

impl View {
    /// Hands the value of `key` to `work`.
    pub(crate) fn get<T>(
        &self,
        key: u64,
        work: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, KvError> {
        let Some(table) = &self.table else {
            return Ok(None);
        };
        let found = table.get(key).map_err(|error| translate(error.into()))?;
        Ok(found.map(|guard| work(guard.value())))
    }

    /// The value of a key that must be there.
    pub(crate) fn need<T>(&self, key: u64, work: impl FnOnce(&[u8]) -> T) -> Result<T, KvError> {
        self.get(key, work)?
            .ok_or_else(|| KvError::damaged(format!("value {key:#x} is missing")))
    }

    /// Hands every pair from `from` (inclusive) to `below` (exclusive) to `work`, in order,
    /// until it says false.
    pub(crate) fn each(
        &self,
        from: u64,
        below: Option<u64>,
        mut work: impl FnMut(u64, &[u8]) -> Result<bool, KvError>,
    ) -> Result<(), KvError> {
        let Some(table) = &self.table else {
            return Ok(());
        };
        let range = match below {
            Some(below) => table.range(from..below),
            None => table.range(from..),
        };
        for pair in range.map_err(|error| translate(error.into()))? {
            let (key, value) = pair.map_err(|error| translate(error.into()))?;
            if !work(key.value(), value.value())? {
                break;
            }
        }
        Ok(())
    }

    /// The largest key below `below`.
    pub(crate) fn last_below(&self, below: u64) -> Result<Option<u64>, KvError> {
        let Some(table) = &self.table else {
            return Ok(None);
        };
        let mut range = table
            .range(..below)
            .map_err(|error| translate(error.into()))?;
        match range.next_back() {
            None => Ok(None),
            Some(pair) => {
                let (key, _) = pair.map_err(|error| translate(error.into()))?;
                Ok(Some(key.value()))
            }
        }
    }
}

/// A change that is being made.
pub(crate) struct Change<'a> {
    table: Table<'a, u64, &'static [u8]>,
}

impl Change<'_> {
    /// Sets the value of `key`.
    pub(crate) fn put(&mut self, key: u64, value: &[u8]) -> Result<(), KvError> {
        self.table
            .insert(key, value)
            .map(drop)
            .map_err(|error| translate(error.into()))
    }

    /// Forgets `key`.
    pub(crate) fn remove(&mut self, key: u64) -> Result<(), KvError> {
        self.table
            .remove(key)
            .map(drop)
            .map_err(|error| translate(error.into()))
    }

    /// Forgets every key from `from` (inclusive) to `below` (exclusive).
    pub(crate) fn remove_range(&mut self, from: u64, below: u64) -> Result<(), KvError> {
        self.table
            .retain_in(from..below, |_, _| false)
            .map_err(|error| translate(error.into()))
    }
}

/// Bytes at the front of a file that say which root of redb's tree counts.
const HEAD_BYTES: usize = 512;

/// What the file's backend shares with the handle.
#[derive(Debug)]
struct Shared {
    file: Arc<dyn DiskFile>,
    overlay: Option<Mutex<Overlay>>,
    heads: Mutex<Heads>,
}

/// The front of the file: as written, and as the last sync left it.
#[derive(Debug)]
struct Heads {
    written: Vec<u8>,
    durable: Vec<u8>,
    /// Nothing is written any more.
    frozen: bool,
}

impl Shared {
    fn new(file: Arc<dyn DiskFile>, overlay: Option<Overlay>) -> Result<Arc<Self>, KvError> {
        let mut head = vec![0; HEAD_BYTES];
        if file.len()? >= HEAD_BYTES as u64 {
            file.read_at(0, &mut head)?;
        }
        Ok(Arc::new(Self {
            file,
            overlay: overlay.map(Mutex::new),
            heads: Mutex::new(Heads {
                written: head.clone(),
                durable: head,
                frozen: false,
            }),
        }))
    }

    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held through a change of the file, so that none is on its way when it is frozen;
    /// refused for a file that is only read now.
    fn change(&self) -> io::Result<MutexGuard<'_, Heads>> {
        let heads = self.heads();
        if heads.frozen {
            return Err(io::Error::other("the file is not written any more"));
        }
        Ok(heads)
    }
}

impl Heads {
    fn note(&mut self, offset: u64, data: &[u8]) {
        let Ok(offset) = usize::try_from(offset) else {
            return;
        };
        if offset < HEAD_BYTES {
            let count = data.len().min(HEAD_BYTES - offset);
            self.written[offset..offset + count].copy_from_slice(&data[..count]);
        }
    }
}

/// What redb holds of the file.
#[derive(Debug)]
struct Backend(Arc<Shared>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        match &self.0.overlay {
            Some(overlay) => Ok(lock(overlay).len),
            None => self.0.file.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &self.0.overlay {
            Some(overlay) => lock(overlay).read(&*self.0.file, offset, out),
            None => self.0.file.read_at(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.0.overlay {
            Some(overlay) => {
                lock(overlay).set_len(len);
                Ok(())
            }
            None => {
                let _heads = self.0.change()?;
                self.0.file.set_len(len)
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.0.overlay.is_some() {
            return Ok(());
        }
        let mut heads = self.0.change()?;
        self.0.file.sync()?;
        heads.durable = heads.written.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Some(overlay) = &self.0.overlay {
            lock(overlay).write(offset, data);
            return Ok(());
        }
        let mut heads = self.0.change()?;
        heads.note(offset, data);
        self.0.file.write_at(offset, data)
    }

    /// Never writes: redb has synced before it closes, or could not.
    fn close(&self) -> io::Result<()> {
        self.0.file.close()
    }
}

fn lock(overlay: &Mutex<Overlay>) -> MutexGuard<'_, Overlay> {
    overlay.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes that are kept in memory and shown over a file that is not changed.
#[derive(Debug)]
struct Overlay {
    len: u64,
    /// Where the file's own bytes end, for this view.
    file_len: u64,
    pages: std::collections::BTreeMap<u64, Box<[u8]>>,
}

/// Granularity of the overlay, in bytes.
const OVERLAY_PAGE_BYTES: u64 = 4096;

impl Overlay {
    fn new(len: u64) -> Self {
        Self {
            len,
            file_len: len,
            pages: std::collections::BTreeMap::new(),
        }
    }

    fn set_len(&mut self, len: u64) {
        self.file_len = self.file_len.min(len);
        self.len = len;
        self.pages.split_off(&len.div_ceil(OVERLAY_PAGE_BYTES));
    }

    /// Each page keeps beside its bytes which of them were written; the rest is the file's.
    fn write(&mut self, offset: u64, data: &[u8]) {
        self.len = self.len.max(offset + data.len() as u64);
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let page = at / OVERLAY_PAGE_BYTES;
            let within = (at % OVERLAY_PAGE_BYTES) as usize;
            let count = rest.len().min(OVERLAY_PAGE_BYTES as usize - within);
            let (now, later) = rest.split_at(count);
            let slot = self
                .pages
                .entry(page)
                .or_insert_with(|| vec![0; 2 * OVERLAY_PAGE_BYTES as usize].into_boxed_slice());
            let (bytes, written) = slot.split_at_mut(OVERLAY_PAGE_BYTES as usize);
            bytes[within..within + count].copy_from_slice(now);
            written[within..within + count].fill(1);
            at += count as u64;
            rest = later;
        }
    }

    fn read(&self, file: &dyn DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset + out.len() as u64;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.fill(0);
        let from_file = self.file_len.min(end).saturating_sub(offset) as usize;
        file.read_at(offset, &mut out[..from_file])?;
        let first = offset / OVERLAY_PAGE_BYTES;
        let last = end.div_ceil(OVERLAY_PAGE_BYTES);
        for (page, slot) in self.pages.range(first..last) {
            let (bytes, written) = slot.split_at(OVERLAY_PAGE_BYTES as usize);
            let base = page * OVERLAY_PAGE_BYTES;
            let from = base.max(offset);
            let to = (base + OVERLAY_PAGE_BYTES).min(end);
            for at in from..to {
                let within = (at - base) as usize;
                if written[within] == 1 {
                    out[(at - offset) as usize] = bytes[within];
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, MemDisk, RealDisk};

    /// A handle that failed writes nothing any more, neither when it is dropped nor when it is
    /// closed.
    #[test]
    fn a_frozen_handle_never_writes() {
        let disk = MemDisk::new();
        let kv = Kv::open(disk.create("file").unwrap(), 1 << 20).unwrap();
        kv.write(|change| change.put(1, &[1; 5000])).unwrap();
        kv.write_without_sync(|change| change.put(2, &[2; 5000]))
            .unwrap();
        let before = disk.contents("file");
        let head = kv.front().freeze();
        assert!(kv.write(|change| change.put(3, &[3; 5000])).is_err());
        drop(kv);
        assert_eq!(disk.contents("file"), before);
        let file = disk.open("file").unwrap();
        let kv = Kv::open_overlaid(file, 1 << 20, Some(head)).unwrap();
        let found = kv.read(|view| Ok((view.get(1, |v| v.len())?, view.get(2, |v| v.len())?)));
        assert_eq!(found.unwrap(), (Some(5000), None));
    }

    /// What waits for a sync that never came does not reach a file that may be another's by then.
    #[test]
    fn what_was_not_synced_is_dropped_when_a_file_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path()).unwrap();
        let file = disk.create("file").unwrap();
        file.write_at(0, &[1; 65536]).unwrap();
        file.sync().unwrap();
        let other = disk.open("file").unwrap();
        let backend = Backend(Shared::new(other, None).unwrap());
        backend.write(0, &[2; 65536]).unwrap();
        let front = Front(Arc::clone(&backend.0));
        front.freeze();
        assert!(backend.write(0, &[3; 65536]).is_err());
        assert!(backend.sync_data().is_err());
        file.write_at(0, &[4; 65536]).unwrap();
        file.sync().unwrap();
        let mut out = [0; 10];
        backend.read(30_000, &mut out).unwrap();
        backend.close().unwrap();
        drop(backend);
        assert_eq!(
            std::fs::read(folder.path().join("file")).unwrap(),
            [4; 65536]
        );
    }
}
