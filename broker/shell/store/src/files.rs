//! Open files of the log and the leases on them (design rule 8): a file is closed or unlinked
//! only when nobody reads it.
//!
//! A lease is an `Arc`; the table holds one, every reader another. Lane files that are written
//! stay in the table; others are opened on demand and the longest unused go first.

use crate::catalog::{SharedDisk, check_header, file_name};
use crate::kv::{Kv, KvError};
use crate::limits::READ_CACHE_BYTES;
use crate::rows::{BlockRef, FileRow};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
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
    /// Files that are just being closed: whoever wants one waits until it is.
    closing: BTreeSet<u32>,
    /// Files that left the log: to be unlinked when their last lease ends.
    retired: Vec<(u32, String)>,
}

/// The table of open files.
#[derive(Debug)]
pub(crate) struct Files {
    disk: SharedDisk,
    store: u64,
    open_max: usize,
    table: Mutex<Table>,
    closed: Condvar,
}

impl Files {
    pub(crate) fn new(disk: SharedDisk, store: u64, open_max: usize) -> Self {
        Self {
            disk,
            store,
            open_max,
            table: Mutex::new(Table::default()),
            closed: Condvar::new(),
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
    }

    /// A lease on a file, opening it if it is not open.
    pub(crate) fn lease(&self, id: u32, row: &FileRow) -> Result<Arc<OpenFile>, KvError> {
        let mut table = self.lock();
        while table.closing.contains(&id) {
            let waited = self.closed.wait(table);
            table = waited.unwrap_or_else(PoisonError::into_inner);
        }
        table.clock += 1;
        let now = table.clock;
        if let Some(entry) = table.open.get_mut(&id) {
            entry.used = now;
            return Ok(Arc::clone(&entry.file));
        }
        let file = self.disk.open(&file_name(id, row))?;
        let kv = Kv::open_read_only(file, READ_CACHE_BYTES)?;
        check_header(&kv, self.store, id, row.role)?;
        let file = OpenFile::new(kv);
        let entry = Entry {
            file: Arc::clone(&file),
            pinned: false,
            used: now,
        };
        table.open.insert(id, entry);
        self.shrink(&mut table);
        Ok(file)
    }

    /// Lets go of files beyond the limit that nobody reads.
    fn shrink(&self, table: &mut Table) {
        while table.open.values().filter(|entry| !entry.pinned).count() > self.open_max {
            let idle = table
                .open
                .iter()
                .filter(|(_, entry)| !entry.pinned && Arc::strong_count(&entry.file) == 1)
                .min_by_key(|(_, entry)| entry.used)
                .map(|(id, _)| *id);
            let Some(id) = idle else { return };
            table.open.remove(&id);
        }
    }

    /// Closes a pinned file that will not be written any more, if nobody reads it right now.
    /// Answers whether it is closed.
    pub(crate) fn close(&self, id: u32) -> Result<bool, KvError> {
        let file = {
            let mut table = self.lock();
            let Some(entry) = table.open.remove(&id) else {
                return Ok(true);
            };
            match Arc::try_unwrap(entry.file) {
                Ok(file) => {
                    table.closing.insert(id);
                    file
                }
                Err(file) => {
                    let used = entry.used;
                    let pinned = entry.pinned;
                    table.open.insert(id, Entry { file, pinned, used });
                    return Ok(false);
                }
            }
        };
        let closed = file.kv.close();
        self.lock().closing.remove(&id);
        self.closed.notify_all();
        closed.map(|()| true)
    }

    /// Forgets an open file without closing it cleanly: it failed.
    pub(crate) fn abandon(&self, id: u32) {
        self.lock().open.remove(&id);
    }

    /// Marks a file as no longer the log's.
    pub(crate) fn retire(&self, id: u32, name: String) {
        self.lock().retired.push((id, name));
    }

    /// Unlinks retired files that have no lease any more; answers how many.
    pub(crate) fn sweep(&self) -> Result<usize, KvError> {
        let retired = std::mem::take(&mut self.lock().retired);
        let mut unlinked = 0;
        let mut waiting = Vec::new();
        let mut failed = None;
        for (id, name) in retired {
            // A file that is to go need not be closed in order: an error here changes nothing.
            let closed = match self.close(id) {
                Ok(closed) => closed,
                Err(error) => {
                    tracing::warn!(file = name, %error, "closing a file that is to be unlinked");
                    true
                }
            };
            if !closed || failed.is_some() {
                waiting.push((id, name));
                continue;
            }
            match self.disk.remove(&name) {
                Ok(()) => unlinked += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    failed = Some(error);
                    waiting.push((id, name));
                }
            }
        }
        self.lock().retired.extend(waiting);
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(unlinked),
        }
    }

    /// Whether files wait to be unlinked.
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
                result = Err(error);
            }
        }
        result
    }
}
