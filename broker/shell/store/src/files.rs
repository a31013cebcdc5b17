//! Open files of the log and the leases on them (design rule 8): a file is closed, unlinked or
//! used again only when nobody reads it.
//!
//! A lease is an `Arc`; the table holds one, every reader another. Lane files that are written
//! stay in the table; others are opened on demand and the longest unused go first. Its lock is
//! never held across IO.

use crate::catalog::{SharedDisk, check_header, file_name};
use crate::kv::{Kv, KvError};
use crate::limits::READ_CACHE_BYTES;
use crate::rows::{BlockRef, FileRow};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
};

/// A file that is open.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) kv: Kv,
    /// Directories of a history file that were read, by the segment's number.
    directories: Mutex<BTreeMap<u32, Arc<Vec<BlockRef>>>>,
}

impl OpenFile {
    pub(crate) fn new(kv: Kv) -> Arc<Self> {
        Arc::new(Self {
            kv,
            directories: Mutex::new(BTreeMap::new()),
        })
    }

    /// The directory of a segment, read once.
    pub(crate) fn directory(&self, ordinal: u32) -> Result<Arc<Vec<BlockRef>>, KvError> {
        let mut known = self
            .directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = known.get(&ordinal) {
            return Ok(Arc::clone(directory));
        }
        let directory = Arc::new(crate::history::read_directory(&self.kv, ordinal)?);
        known.insert(ordinal, Arc::clone(&directory));
        Ok(directory)
    }
}

#[derive(Debug)]
struct Entry {
    file: Arc<OpenFile>,
    pinned: bool,
    used: u64,
}

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<u32, Entry>,
    clock: u64,
    /// Files that are just being opened, closed or removed: whoever wants one waits.
    busy: BTreeSet<u32>,
    /// Handles that failed, as long as somebody still reads through them.
    abandoned: Vec<(u32, Weak<OpenFile>)>,
    /// Files that left the log: to be removed when their last lease ends, and never leased again.
    retired: BTreeMap<u32, String>,
}

impl Table {
    /// Whether somebody reads a file, through the handle of the table or through a failed one.
    fn is_read(&self, id: u32) -> bool {
        let open = self.open.get(&id);
        let leased = open.is_some_and(|entry| Arc::strong_count(&entry.file) > 1);
        let mut failed = self.abandoned.iter().filter(|(other, _)| *other == id);
        leased || failed.any(|(_, file)| file.strong_count() > 0)
    }
}

/// Keeps others from a file while it is opened, closed or removed.
struct Busy<'a> {
    files: &'a Files,
    id: u32,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.files.release(self.id);
    }
}

/// The table of open files.
#[derive(Debug)]
pub(crate) struct Files {
    disk: SharedDisk,
    store: u64,
    open_max: usize,
    table: Mutex<Table>,
    released: Condvar,
}

impl Files {
    pub(crate) fn new(disk: SharedDisk, store: u64, open_max: usize) -> Self {
        Self {
            disk,
            store,
            open_max,
            table: Mutex::new(Table::default()),
            released: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a file that is written into the table; it stays until it is unpinned.
    pub(crate) fn pin(&self, id: u32, file: Arc<OpenFile>) {
        let entry = Entry {
            file,
            pinned: true,
            used: 0,
        };
        self.lock().open.insert(id, entry);
        self.release(id);
    }

    /// Lets those go on who wait for a file.
    pub(crate) fn release(&self, id: u32) {
        self.lock().busy.remove(&id);
        self.released.notify_all();
    }

    /// A lease on a file, opening it if it is not open; other files can be leased meanwhile.
    pub(crate) fn lease(&self, id: u32, row: &FileRow) -> Result<Arc<OpenFile>, KvError> {
        let busy = {
            let mut table = self.lock();
            loop {
                if table.retired.contains_key(&id) {
                    return Err(KvError::Io {
                        reason: "the file left the log".to_owned(),
                    });
                }
                if !table.busy.contains(&id) {
                    break;
                }
                let waited = self.released.wait(table);
                table = waited.unwrap_or_else(PoisonError::into_inner);
            }
            table.clock += 1;
            let now = table.clock;
            if let Some(entry) = table.open.get_mut(&id) {
                entry.used = now;
                return Ok(Arc::clone(&entry.file));
            }
            table.busy.insert(id);
            Busy { files: self, id }
        };
        let file = self.disk.open(&file_name(id, row))?;
        let kv = Kv::open_read_only(file, READ_CACHE_BYTES)?;
        check_header(&kv, self.store, id, row.role)?;
        let file = OpenFile::new(kv);
        let mut table = self.lock();
        let entry = Entry {
            file: Arc::clone(&file),
            pinned: false,
            used: table.clock,
        };
        table.open.insert(id, entry);
        let idle = self.shrink(&mut table);
        drop(table);
        drop(busy);
        drop(idle);
        Ok(file)
    }

    /// Takes out files beyond the limit that nobody reads.
    fn shrink(&self, table: &mut Table) -> Vec<Arc<OpenFile>> {
        let mut gone = Vec::new();
        while table.open.values().filter(|entry| !entry.pinned).count() > self.open_max {
            let idle = table
                .open
                .iter()
                .filter(|(_, entry)| !entry.pinned && Arc::strong_count(&entry.file) == 1)
                .min_by_key(|(_, entry)| entry.used)
                .map(|(id, _)| *id);
            let Some(id) = idle else { break };
            gone.extend(table.open.remove(&id).map(|entry| entry.file));
        }
        gone
    }

    /// Takes a file out of the table, if nobody reads it right now: its handle, where it was
    /// open, and what keeps others from it.
    fn take(&self, id: u32) -> Option<(Option<OpenFile>, Busy<'_>)> {
        let mut table = self.lock();
        if table.busy.contains(&id) || table.is_read(id) {
            return None;
        }
        let file = match table.open.remove(&id) {
            None => None,
            Some(entry) => match Arc::try_unwrap(entry.file) {
                Ok(file) => Some(file),
                // Leases are given out under this lock alone, so none can have begun.
                Err(file) => {
                    table.open.insert(id, Entry { file, ..entry });
                    return None;
                }
            },
        };
        table.abandoned.retain(|(other, _)| *other != id);
        table.busy.insert(id);
        drop(table);
        Some((file, Busy { files: self, id }))
    }

    /// Closes a pinned file that will not be written any more, if nobody reads it right now.
    /// Answers whether it is closed. After an error nobody gets a lease on it before it is pinned
    /// again or released: the handle is gone and the file not whole.
    pub(crate) fn close(&self, id: u32) -> Result<bool, KvError> {
        let Some((file, busy)) = self.take(id) else {
            return Ok(false);
        };
        let Some(file) = file else { return Ok(true) };
        if let Err(error) = file.kv.close() {
            std::mem::forget(busy);
            return Err(error);
        }
        Ok(true)
    }

    /// Forgets an open file without closing it cleanly: it failed. Nobody gets a lease on it
    /// before it is pinned again or released.
    pub(crate) fn abandon(&self, id: u32) {
        let mut table = self.lock();
        table.busy.insert(id);
        if let Some(entry) = table.open.remove(&id) {
            table.abandoned.push((id, Arc::downgrade(&entry.file)));
            drop(table);
            drop(entry);
        }
    }

    /// Marks a file as no longer the log's.
    pub(crate) fn retire(&self, id: u32, name: String) {
        self.lock().retired.insert(id, name);
        self.released.notify_all();
    }

    /// Removes retired files that have no lease any more; answers how many. Each is kept from
    /// readers until it is gone, since it may at once become another file of the log.
    pub(crate) fn sweep(&self) -> Result<usize, KvError> {
        let retired = self.lock().retired.clone();
        let mut removed = 0;
        for (id, name) in retired {
            let Some((file, busy)) = self.take(id) else {
                continue;
            };
            // A file that is to go need not be closed in order: an error here changes nothing.
            if let Some(Err(error)) = file.map(|file| file.kv.close()) {
                tracing::warn!(file = name, %error, "closing a file that is to be removed");
            }
            match self.disk.remove(&name) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            self.lock().retired.remove(&id);
            drop(busy);
        }
        Ok(removed)
    }

    /// Whether files wait to be removed.
    pub(crate) fn has_retired(&self) -> bool {
        !self.lock().retired.is_empty()
    }

    /// How many files are open.
    pub(crate) fn open_count(&self) -> usize {
        self.lock().open.len()
    }

    /// Closes everything; files that are still read are let go of by their readers.
    pub(crate) fn close_all(&self) -> Result<(), KvError> {
        let ids: Vec<u32> = self.lock().open.keys().copied().collect();
        let mut result = Ok(());
        for id in ids {
            if let Err(error) = self.close(id) {
                self.release(id);
                result = Err(error);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests;
