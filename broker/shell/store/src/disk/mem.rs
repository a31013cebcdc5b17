//! A disk in memory that can lose power, fail and lie, for tests and the simulator.
//!
//! Each file has a live image (what a reader sees) and a durable one (what a loss of power
//! leaves). Creations, removals and new names are durable only after `sync_dir`. It must never
//! use randomness but a seed it was given.

use super::{Disk, DiskFile};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a loss of power leaves of writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Nothing: exactly the synced image.
    Forget,
    /// All of it, as when only the process dies.
    Keep,
    /// Some writes and parts of writes, chosen by a seed: torn and reordered.
    Torn(u64),
}

/// How often the disk was used since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Writes to files, with new lengths.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Syncs of files and of the folder.
    pub syncs: u64,
}

/// The disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    live: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// Handles of an earlier one are dead.
    incarnation: u64,
    powered: bool,
    counts: DiskCounts,
    fail_write: Option<u64>,
    fail_sync: Option<u64>,
    power_off_at_sync: Option<u64>,
    capacity_bytes: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            inodes: BTreeMap::new(),
            next_inode: 0,
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            incarnation: 0,
            powered: true,
            counts: DiskCounts::default(),
            fail_write: None,
            fail_sync: None,
            power_off_at_sync: None,
            capacity_bytes: u64::MAX,
        }
    }
}

#[derive(Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
}

impl MemDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change below is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the power away and gives it back: every open handle is dead, and the files hold
    /// what `crash` says. Faults that were set are forgotten; counts go on.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.lock();
        state.incarnation += 1;
        state.powered = true;
        state.fail_write = None;
        state.fail_sync = None;
        state.power_off_at_sync = None;
        let mut random = match crash {
            Crash::Torn(seed) => Some(seed),
            Crash::Forget | Crash::Keep => None,
        };
        if crash == Crash::Keep {
            state.durable = state.live.clone();
        } else {
            state.live = state.durable.clone();
        }
        let named: Vec<u64> = state.live.values().copied().collect();
        state.inodes.retain(|id, _| named.contains(id));
        for inode in state.inodes.values_mut() {
            inode.settle(crash, random.as_mut());
        }
    }

    /// Makes the `k`-th write from now on fail (1 is the next), and it alone.
    pub fn fail_write(&self, k: u64) {
        let mut state = self.lock();
        state.fail_write = Some(state.counts.writes + k);
    }

    /// Makes the `k`-th sync from now on fail (1 is the next), and it alone; what it should
    /// have made durable is seen by readers and lost with the power.
    pub fn fail_sync(&self, k: u64) {
        let mut state = self.lock();
        state.fail_sync = Some(state.counts.syncs + k);
    }

    /// Cuts the power just before the `k`-th sync from now on takes effect (1 is the next):
    /// it and everything later fails until [`MemDisk::crash`].
    pub fn power_off_at_sync(&self, k: u64) {
        let mut state = self.lock();
        state.power_off_at_sync = Some(state.counts.syncs + k);
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn is_off(&self) -> bool {
        !self.lock().powered
    }

    /// Sets how many bytes all files together may have; more gives `StorageFull`.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity_bytes = bytes;
    }

    /// Turns one bit over, in what is read and in what survives.
    /// Answers whether the file has such a byte.
    pub fn flip_bit(&self, name: &str, byte: u64, bit: u8) -> bool {
        let mut state = self.lock();
        let Some(inode) = state.inode_of(name) else {
            return false;
        };
        let mut found = false;
        if let Ok(at) = usize::try_from(byte) {
            for image in [&mut inode.live, &mut inode.durable] {
                if let Some(byte) = image.get_mut(at) {
                    *byte ^= 1 << (bit & 7);
                    found = true;
                }
            }
        }
        found
    }

    /// Cuts a file short, in what is read and in what survives.
    pub fn truncate(&self, name: &str, len: usize) {
        if let Some(inode) = self.lock().inode_of(name) {
            inode.live.truncate(len);
            inode.durable.truncate(len);
        }
    }

    /// What a reader sees of a file.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.lock().inode_of(name).map(|inode| inode.live.clone())
    }

    /// Puts a file there, durably, as if it had always been.
    pub fn put(&self, name: &str, contents: &[u8]) {
        let mut state = self.lock();
        let id = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(
            id,
            Inode {
                live: contents.to_vec(),
                durable: contents.to_vec(),
                unsynced: Vec::new(),
            },
        );
        state.live.insert(name.to_owned(), id);
        state.durable.insert(name.to_owned(), id);
    }

    /// How often the disk was used.
    #[must_use]
    pub fn counts(&self) -> DiskCounts {
        self.lock().counts
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    fn handle(&self, inode: u64, incarnation: u64) -> Arc<dyn DiskFile> {
        Arc::new(MemFile {
            disk: self.clone(),
            inode,
            incarnation,
        })
    }
}

impl State {
    fn inode_of(&mut self, name: &str) -> Option<&mut Inode> {
        let id = *self.live.get(name)?;
        self.inodes.get_mut(&id)
    }

    fn used_bytes(&self) -> u64 {
        let live = self.live.values().filter_map(|id| self.inodes.get(id));
        live.map(|inode| inode.live.len() as u64).sum()
    }

    fn powered(&self) -> io::Result<()> {
        if self.powered {
            Ok(())
        } else {
            Err(io::Error::other("the power is off"))
        }
    }

    fn count_sync(&mut self) -> io::Result<()> {
        self.powered()?;
        self.counts.syncs += 1;
        if self.power_off_at_sync == Some(self.counts.syncs) {
            self.powered = false;
            return self.powered();
        }
        if self.fail_sync == Some(self.counts.syncs) {
            return Err(io::Error::other("the sync failed, as the test asked"));
        }
        Ok(())
    }

    fn count_write(&mut self, bytes: usize) -> io::Result<()> {
        self.powered()?;
        self.counts.writes += 1;
        self.counts.written_bytes += bytes as u64;
        if self.fail_write == Some(self.counts.writes) {
            return Err(io::Error::other("the write failed, as the test asked"));
        }
        Ok(())
    }

    fn room_for(&self, inode: u64, len: usize) -> io::Result<()> {
        let now = self.inodes.get(&inode).map_or(0, |inode| inode.live.len());
        let grown = len.saturating_sub(now) as u64;
        if grown > 0 && self.used_bytes().saturating_add(grown) > self.capacity_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Inode {
    fn settle(&mut self, crash: Crash, mut random: Option<&mut u64>) {
        for change in std::mem::take(&mut self.unsynced) {
            match (crash, &mut random) {
                (Crash::Keep, _) => change.apply(&mut self.durable),
                (Crash::Torn(_), Some(state)) => change.apply_torn(&mut self.durable, state),
                _ => {}
            }
        }
        self.live.clone_from(&self.durable);
    }
}

/// Bytes that a disk writes all or nothing.
const SECTOR_BYTES: usize = 512;

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => image.resize(*len, 0),
            Self::Write { offset, data } => {
                let end = offset + data.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(data);
            }
        }
    }

    /// A third survives, a third is lost, a third survives by halves of its sectors.
    fn apply_torn(&self, image: &mut Vec<u8>, random: &mut u64) {
        match (next_random(random) % 3, self) {
            (0, _) | (_, Self::SetLen(_)) => self.apply(image),
            (1, _) => {}
            (_, Self::Write { offset, data }) => {
                for (index, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                    if next_random(random) & 1 == 0 {
                        let part = Self::Write {
                            offset: offset + index * SECTOR_BYTES,
                            data: sector.to_vec(),
                        };
                        part.apply(image);
                    }
                }
            }
        }
    }
}

/// splitmix64: enough to choose what a crash keeps.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name}"))
}

impl Disk for MemDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        state.powered()?;
        if state.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(id, Inode::default());
        state.live.insert(name.to_owned(), id);
        let incarnation = state.incarnation;
        drop(state);
        Ok(self.handle(id, incarnation))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.lock();
        state.powered()?;
        let id = *state.live.get(name).ok_or_else(|| not_found(name))?;
        let incarnation = state.incarnation;
        drop(state);
        Ok(self.handle(id, incarnation))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.powered()?;
        Ok(state.live.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.powered()?;
        state.live.remove(name).ok_or_else(|| not_found(name))?;
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.powered()?;
        let id = state.live.remove(from).ok_or_else(|| not_found(from))?;
        state.live.insert(to.to_owned(), id);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.count_sync()?;
        state.durable = state.live.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.lock();
        state.powered()?;
        Ok(state.capacity_bytes.saturating_sub(state.used_bytes()))
    }
}

#[derive(Debug)]
struct MemFile {
    disk: MemDisk,
    inode: u64,
    incarnation: u64,
}

impl MemFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.incarnation != self.incarnation {
            return Err(io::Error::other("the file was open when the power went"));
        }
        state.powered()?;
        Ok(state)
    }

    fn change(&self, change: Change, len: usize, bytes: usize) -> io::Result<()> {
        let mut state = self.state()?;
        state.count_write(bytes)?;
        state.room_for(self.inode, len)?;
        let inode = state.inodes.entry(self.inode).or_default();
        change.apply(&mut inode.live);
        inode.unsynced.push(change);
        Ok(())
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl DiskFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.state()?;
        Ok(state
            .inodes
            .get(&self.inode)
            .map_or(0, |inode| inode.live.len() as u64))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state()?;
        let start = position(offset)?;
        let live = state.inodes.get(&self.inode).map(|inode| &inode.live);
        let bytes = live.and_then(|live| live.get(start..start.checked_add(out.len())?));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = position(offset)?;
        let now = position(self.len()?)?;
        let change = Change::Write {
            offset: start,
            data: data.to_vec(),
        };
        self.change(change, now.max(start + data.len()), data.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = position(len)?;
        self.change(Change::SetLen(len), len, 0)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let synced = state.count_sync();
        let powered = state.powered;
        if let Some(inode) = state.inodes.get_mut(&self.inode) {
            if synced.is_ok() {
                for change in std::mem::take(&mut inode.unsynced) {
                    change.apply(&mut inode.durable);
                }
            } else if powered {
                // As on Linux: the pages count as clean from now on, and no later sync
                // writes them.
                inode.unsynced.clear();
            }
        }
        synced
    }
}
