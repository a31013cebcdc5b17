//! Large writes around the page cache: the pages redb writes are collected in aligned blocks and
//! sorted; when the file is synced, neighbours go to the disk together, with O_DIRECT where
//! they make 32 KB or more. What was not synced when the file is closed is dropped.
//!
//! The page cache costs a copy, a page and write-back for each 4 KB, none of which a log needs
//! that is synced at once. What stands alone and is small (branches, headers) goes through the
//! page cache, so that one sync covers it without a wait for each. Reads go through the page cache always: Linux writes a range back before a
//! direct write to it and drops it from the cache after, which ext4, XFS and btrfs keep to. What
//! waits here is served from here. It must never hand a byte to the disk out of order with an
//! overlapping one: an overlap writes out first what waits.

use crate::limits::{ARENA_BLOCKS_MAX, WAITING_BYTES_MAX};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, IoSlice},
    ops::Bound,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

/// Neighbours of at least so many bytes together go around the page cache.
const DIRECT_BYTES_MIN: usize = 32 * 1024;

/// Bytes of a block of the arena.
const BLOCK_BYTES: usize = 32 * 1024;

/// What O_DIRECT asks of offsets and lengths, on every device of today.
const ALIGN_BYTES: usize = 4096;

/// Buffers one system call takes (IOV_MAX of Linux).
const SLICES_MAX: usize = 1024;

/// Aligned memory, a block at a time.
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// Blocks that are used again, shared by all files of a disk, and whether the file system takes
/// direct writes at all.
#[derive(Default)]
pub(super) struct Arena {
    blocks: Mutex<Vec<Box<Block>>>,
    refused: AtomicBool,
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena").finish_non_exhaustive()
    }
}

impl Arena {
    /// An arena whose files never write directly.
    pub(super) fn refusing() -> Self {
        Self {
            refused: AtomicBool::new(true),
            ..Self::default()
        }
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, Vec<Box<Block>>> {
        // A list of buffers is whole at every moment.
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, data: &[u8]) -> Vec<Box<Block>> {
        let mut free = self.blocks();
        let count = data.len().div_ceil(BLOCK_BYTES);
        let reused = free.len().saturating_sub(count);
        let mut blocks = free.split_off(reused);
        drop(free);
        blocks.resize_with(count, || Box::new(Block([0; BLOCK_BYTES])));
        for (block, bytes) in blocks.iter_mut().zip(data.chunks(BLOCK_BYTES)) {
            block.0[..bytes.len()].copy_from_slice(bytes);
        }
        blocks
    }

    fn give_back(&self, blocks: impl Iterator<Item = Box<Block>>) {
        let mut free = self.blocks();
        let room = ARENA_BLOCKS_MAX.saturating_sub(free.len());
        free.extend(blocks.take(room));
    }

    fn refuse(&self, error: &io::Error) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "the file system takes no direct writes; the log goes through the page cache"
            );
        }
    }
}

/// Bytes that wait to be written at one offset.
struct Piece {
    /// Counts the pieces of a file, so that one which came while others were written stays.
    number: u64,
    blocks: Vec<Box<Block>>,
    len: usize,
}

impl Piece {
    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let last = self.len - (self.blocks.len() - 1) * BLOCK_BYTES;
        let count = self.blocks.len();
        self.blocks.iter().enumerate().map(move |(number, block)| {
            let len = if number + 1 == count {
                last
            } else {
                BLOCK_BYTES
            };
            &block.0[..len]
        })
    }

    fn copy_to(&self, mut from: usize, out: &mut [u8]) {
        let mut rest = out;
        while !rest.is_empty() {
            let within = from % BLOCK_BYTES;
            let count = rest.len().min(BLOCK_BYTES - within);
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&self.blocks[from / BLOCK_BYTES].0[within..within + count]);
            from += count;
            rest = later;
        }
    }
}

#[derive(Default)]
struct Waiting {
    pieces: BTreeMap<u64, Piece>,
    bytes: usize,
    next_number: u64,
}

impl Waiting {
    /// The last piece that begins before `end` and what it overlaps of `offset..end`.
    fn overlapping(&self, offset: u64, end: u64) -> Option<(u64, &Piece)> {
        let before = (Bound::Unbounded, Bound::Excluded(end));
        let (start, piece) = self.pieces.range(before).next_back()?;
        (*start + piece.len as u64 > offset).then_some((*start, piece))
    }
}

/// The direct side of one open file.
pub(super) struct Direct {
    arena: Arc<Arena>,
    /// Opened at the first large write.
    file: Mutex<Option<Arc<File>>>,
    waiting: RwLock<Waiting>,
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}

impl Direct {
    pub(super) fn new(arena: Arc<Arena>) -> Self {
        Self {
            arena,
            file: Mutex::new(None),
            waiting: RwLock::new(Waiting::default()),
        }
    }

    fn waiting(&self) -> RwLockReadGuard<'_, Waiting> {
        self.waiting.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting_mut(&self) -> RwLockWriteGuard<'_, Waiting> {
        self.waiting.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a write, if it is one for this side; else the caller writes it through the page
    /// cache, and nothing that waits overlaps it any more.
    pub(super) fn take(&self, cached: &File, offset: u64, data: &[u8]) -> io::Result<bool> {
        let end = offset + data.len() as u64;
        let whole_pages = !data.is_empty()
            && data.len().is_multiple_of(ALIGN_BYTES)
            && offset.is_multiple_of(ALIGN_BYTES as u64)
            && !self.arena.refused.load(Ordering::Relaxed);
        let overlaps = self.waiting().overlapping(offset, end).is_some();
        if overlaps {
            self.write_out(cached)?;
        }
        if !whole_pages {
            return Ok(false);
        }
        let blocks = self.arena.take(data);
        let mut waiting = self.waiting_mut();
        let piece = Piece {
            number: waiting.next_number,
            blocks,
            len: data.len(),
        };
        waiting.next_number += 1;
        waiting.pieces.insert(offset, piece);
        waiting.bytes += data.len();
        let full = waiting.bytes >= WAITING_BYTES_MAX;
        drop(waiting);
        if full {
            self.write_out(cached)?;
        }
        Ok(true)
    }

    /// Serves a read from what waits; false where the file has it all.
    pub(super) fn read(&self, cached: &File, offset: u64, out: &mut [u8]) -> io::Result<bool> {
        let end = offset + out.len() as u64;
        {
            let waiting = self.waiting();
            let Some((start, piece)) = waiting.overlapping(offset, end) else {
                return Ok(false);
            };
            if start <= offset && start + piece.len as u64 >= end {
                piece.copy_to((offset - start) as usize, out);
                return Ok(true);
            }
        }
        self.write_out(cached)?;
        Ok(false)
    }

    /// Hands everything that waits to the disk, in order of offsets; not durable before a sync.
    pub(super) fn write_out(&self, cached: &File) -> io::Result<()> {
        let written_below = {
            let waiting = self.waiting();
            if waiting.pieces.is_empty() {
                return Ok(());
            }
            let direct = self.direct(cached);
            let mut run: Vec<&[u8]> = Vec::new();
            let (mut start, mut end) = (0, 0);
            for (offset, piece) in &waiting.pieces {
                let full = run.len() + piece.blocks.len() > SLICES_MAX;
                if *offset != end || full {
                    self.write_run(cached, direct.as_deref(), start, &run)?;
                    run.clear();
                    start = *offset;
                }
                run.extend(piece.slices());
                end = offset + piece.len as u64;
            }
            self.write_run(cached, direct.as_deref(), start, &run)?;
            waiting.next_number
        };
        let mut waiting = self.waiting_mut();
        let (written, later): (BTreeMap<u64, Piece>, BTreeMap<u64, Piece>) =
            std::mem::take(&mut waiting.pieces)
                .into_iter()
                .partition(|(_, piece)| piece.number < written_below);
        waiting.pieces = later;
        let pieces: Vec<Piece> = written.into_values().collect();
        waiting.bytes -= pieces.iter().map(|piece| piece.len).sum::<usize>();
        drop(waiting);
        let blocks = pieces.into_iter().flat_map(|piece| piece.blocks);
        self.arena.give_back(blocks);
        Ok(())
    }

    /// Forgets what waits.
    pub(super) fn discard(&self) {
        let mut waiting = self.waiting_mut();
        let pieces = std::mem::take(&mut waiting.pieces);
        waiting.bytes = 0;
        drop(waiting);
        let blocks = pieces.into_values().flat_map(|piece| piece.blocks);
        self.arena.give_back(blocks);
    }

    /// The file opened for direct writes, or nothing where that cannot be.
    fn direct(&self, cached: &File) -> Option<Arc<File>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() && !self.arena.refused.load(Ordering::Relaxed) {
            match open_direct(cached) {
                Ok(opened) => *file = Some(Arc::new(opened)),
                Err(error) => self.arena.refuse(&error),
            }
        }
        file.clone()
    }

    fn write_run(
        &self,
        cached: &File,
        direct: Option<&File>,
        offset: u64,
        run: &[&[u8]],
    ) -> io::Result<()> {
        if run.is_empty() {
            return Ok(());
        }
        let bytes: usize = run.iter().map(|slice| slice.len()).sum();
        if let Some(direct) = direct.filter(|_| bytes >= DIRECT_BYTES_MIN) {
            match write_slices(direct, offset, run) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.arena.refuse(&error);
                }
                result => return result,
            }
        }
        write_slices(cached, offset, run)
    }
}

/// Opens what `file` is once more, whatever it is called by now.
fn open_direct(file: &File) -> io::Result<File> {
    use std::os::{fd::AsRawFd, unix::fs::OpenOptionsExt};
    let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits())
        .map_err(|_| io::Error::from(io::ErrorKind::Unsupported))?;
    std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn write_slices(file: &File, mut offset: u64, run: &[&[u8]]) -> io::Result<()> {
    let mut owned: Vec<IoSlice<'_>> = run.iter().map(|slice| IoSlice::new(slice)).collect();
    let mut rest = owned.as_mut_slice();
    while !rest.is_empty() {
        match rustix::io::pwritev(file, rest, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Disk, RealDisk};
    use proptest::prelude::*;

    /// What is done to a file.
    #[derive(Clone, Debug)]
    enum Op {
        /// Pages from one on, filled with a byte.
        Pages(u8, u8, u8),
        /// A few bytes anywhere.
        Bytes(u32, u8),
        Read(u32, u32),
        Sync,
    }

    const FILE_BYTES: usize = 4 << 20;

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0u8..200, 1u8..64, any::<u8>()).prop_map(|(at, n, b)| Op::Pages(at, n, b)),
            1 => (0u32..FILE_BYTES as u32 - 400, any::<u8>()).prop_map(|(at, b)| Op::Bytes(at, b)),
            3 => (0u32..FILE_BYTES as u32, 1u32..300_000).prop_map(|(at, n)| Op::Read(at, n)),
            1 => Just(Op::Sync),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever waits, is written or was written: a reader sees the last write.
        #[test]
        fn reads_see_the_last_write(ops in proptest::collection::vec(op(), 1..60)) {
            let folder = tempfile::tempdir().unwrap();
            let disk = RealDisk::open(folder.path()).unwrap();
            let file = disk.create("file").unwrap();
            file.set_len(FILE_BYTES as u64).unwrap();
            let mut model = vec![0u8; FILE_BYTES];
            for op in ops {
                match op {
                    Op::Pages(at, count, byte) => {
                        let (at, len) = (usize::from(at) * 4096, usize::from(count) * 4096);
                        model[at..at + len].fill(byte);
                        file.write_at(at as u64, &vec![byte; len]).unwrap();
                    }
                    Op::Bytes(at, byte) => {
                        model[at as usize..at as usize + 320].fill(byte);
                        file.write_at(u64::from(at), &[byte; 320]).unwrap();
                    }
                    Op::Read(at, len) => {
                        let at = at as usize;
                        let len = (len as usize).min(FILE_BYTES - at);
                        let mut out = vec![1; len];
                        file.read_at(at as u64, &mut out).unwrap();
                        prop_assert!(out == model[at..at + len], "read of {} at {}", len, at);
                    }
                    Op::Sync => file.sync().unwrap(),
                }
            }
            file.sync().unwrap();
            let mut out = vec![1; FILE_BYTES];
            disk.open("file").unwrap().read_at(0, &mut out).unwrap();
            prop_assert!(out == model);
        }
    }
}
