//! Lane files are used again: one that left the log keeps its place on the disk and becomes the
//! next lane file, because overwriting what was written before makes a sync cheap, while a file
//! that grows drags the file system's own records into each (design rule 9).
//!
//! Such a file begins with a frame that says how much of it counts. What lies beyond is left from
//! its life before and is never shown; what a new length takes in and nobody has written yet is
//! old too. That is safe under redb alone: it reaches every page from a root of this life, which
//! is written after the pages it leads to, and where it must not find an old root, in the first
//! bytes, the file is cleared. The frame has two slots, written in turn, so that a torn write
//! leaves the other.

use super::{Disk, DiskFile};
use crate::catalog::{SharedDisk, is_lane_name};
use crate::encode::{seal, unseal};
use crate::limits::POOL_FILES_MAX;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Names of files that wait to be used again begin so.
const POOL_PREFIX: &str = "pool-";

/// Bytes in front of a framed file's content: whole pages, so that its own stay aligned.
const FRAME_BYTES: u64 = 8192;

/// Distance of the two slots: no page and no sector of today's disks holds both.
const SLOT_BYTES: u64 = 4096;

/// Bytes of a sealed slot: seal, sequence, length.
const SLOT_LEN: usize = 24;

const SLOT_MAGIC: [u8; 4] = *b"WFRM";

/// The first bytes of the content, cleared when a file is used again, so that nobody takes the
/// head of its life before for its own.
const HEAD_BYTES: usize = 4096;

/// A disk whose lane files are framed and used again; every other file is as the disk beneath
/// has it.
#[derive(Debug)]
pub(crate) struct Recycler {
    disk: SharedDisk,
    pool: Mutex<Vec<Waiting>>,
}

/// A file that waits to be used again; as long as it does it keeps its length.
#[derive(Debug)]
struct Waiting {
    name: String,
    len: u64,
}

impl Recycler {
    /// Over `disk`, with what waits there already.
    pub(crate) fn over(disk: SharedDisk) -> io::Result<SharedDisk> {
        let mut pool = Vec::new();
        for name in disk.list()? {
            if !name.starts_with(POOL_PREFIX) {
                continue;
            }
            match len_of(&*disk, &name) {
                Ok(len) => pool.push(Waiting { name, len }),
                Err(error) => {
                    tracing::warn!(name, %error, "a file that waited to be used again is left alone");
                }
            }
        }
        Ok(Arc::new(Self {
            disk,
            pool: Mutex::new(pool),
        }))
    }

    fn use_again(&self, old: &str, name: &str) -> io::Result<Framed> {
        let framed = Framed::begin(self.disk.open(old)?)?;
        self.disk.rename(old, name)?;
        Ok(framed)
    }

    fn pool(&self) -> MutexGuard<'_, Vec<Waiting>> {
        // The list is whole at every moment.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Recycler {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        if !is_lane_name(name) {
            return self.disk.create(name);
        }
        let taken = self.pool().pop();
        let file = match taken {
            Some(Waiting { name: old, .. }) => {
                let again = self.use_again(&old, name);
                again.inspect_err(|_| {
                    // Nobody would find it any more before the next start.
                    if let Err(error) = self.disk.remove(&old) {
                        tracing::warn!(name = old, %error, "a file that waited cannot be used");
                    }
                })?
            }
            None => Framed::begin(self.disk.create(name)?)?,
        };
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(name)?;
        if !is_lane_name(name) {
            return Ok(file);
        }
        Ok(Arc::new(Framed::open(file)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list()?;
        names.retain(|name| !name.starts_with(POOL_PREFIX));
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if is_lane_name(name) {
            let mut pool = self.pool();
            // One that cannot even be opened is of no use to anybody.
            if pool.len() < POOL_FILES_MAX
                && let Ok(len) = len_of(&*self.disk, name)
            {
                let waiting = format!("{POOL_PREFIX}{name}");
                self.disk.rename(name, &waiting)?;
                pool.push(Waiting { name: waiting, len });
                return Ok(());
            }
        }
        self.disk.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn make_room(&self, needed: u64) -> io::Result<u64> {
        let mut pool = self.pool();
        loop {
            let free = self.disk.free_bytes()?;
            if free >= needed {
                return Ok(free);
            }
            let Some(waiting) = pool.pop() else {
                return Ok(free);
            };
            self.disk.remove(&waiting.name)?;
        }
    }

    fn pool_bytes(&self) -> u64 {
        self.pool().iter().map(|waiting| waiting.len).sum()
    }
}

fn len_of(disk: &dyn Disk, name: &str) -> io::Result<u64> {
    disk.open(name)?.len()
}

/// A file whose first two pages say how much of it counts.
#[derive(Debug)]
struct Framed {
    file: Arc<dyn DiskFile>,
    frame: Mutex<Frame>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Frame {
    sequence: u64,
    len: u64,
}

impl Frame {
    fn encode(self) -> Vec<u8> {
        let mut payload = self.sequence.to_le_bytes().to_vec();
        payload.extend_from_slice(&self.len.to_le_bytes());
        seal(SLOT_MAGIC, &payload)
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let payload = unseal(SLOT_MAGIC, slot)?;
        let sequence = payload.get(..8)?.try_into().ok()?;
        let len = payload.get(8..16)?.try_into().ok()?;
        Some(Self {
            sequence: u64::from_le_bytes(sequence),
            len: u64::from_le_bytes(len),
        })
    }

    /// The newer of the two slots, where one is whole.
    fn read(file: &dyn DiskFile) -> io::Result<Option<Self>> {
        let mut page = [0; FRAME_BYTES as usize];
        let count = page
            .len()
            .min(usize::try_from(file.len()?).unwrap_or(usize::MAX));
        file.read_at(0, &mut page[..count])?;
        let slots = [0, SLOT_BYTES as usize].map(|at| Self::decode(&page[at..at + SLOT_LEN]));
        Ok(slots
            .into_iter()
            .flatten()
            .max_by_key(|frame| frame.sequence))
    }

    /// Writes itself into the slot whose turn it is and syncs.
    fn write(self, file: &dyn DiskFile) -> io::Result<()> {
        file.write_at(self.sequence % 2 * SLOT_BYTES, &self.encode())?;
        file.sync()
    }
}

impl Framed {
    /// An empty file in the place of `file`, new or used before.
    fn begin(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let used = Frame::read(&*file)?;
        if file.len()? < FRAME_BYTES + HEAD_BYTES as u64 {
            file.set_len(FRAME_BYTES + HEAD_BYTES as u64)?;
        }
        file.write_at(FRAME_BYTES, &[0; HEAD_BYTES])?;
        let frame = Frame {
            sequence: used.map_or(0, |frame| frame.sequence + 1),
            len: 0,
        };
        frame.write(&*file)?;
        Ok(Self {
            file,
            frame: Mutex::new(frame),
        })
    }

    fn open(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let frame = Frame::read(&*file)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "its first page is damaged")
        })?;
        if file.len()? < FRAME_BYTES + frame.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self {
            file,
            frame: Mutex::new(frame),
        })
    }

    fn frame(&self) -> MutexGuard<'_, Frame> {
        // Both fields change in one assignment.
        self.frame.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for Framed {
    fn len(&self) -> io::Result<u64> {
        Ok(self.frame().len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.frame().len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_at(FRAME_BYTES + offset, out)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        if end > self.frame().len {
            self.set_len(end)?;
        }
        self.file.write_at(FRAME_BYTES + offset, data)
    }

    /// The new length is durable before anything is written that needs it.
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut frame = self.frame();
        if self.file.len()? < FRAME_BYTES + len {
            self.file.set_len(FRAME_BYTES + len)?;
            // A frame never says more than there is, whatever order the disk takes them in.
            self.file.sync()?;
        }
        let next = Frame {
            sequence: frame.sequence + 1,
            len,
        };
        next.write(&*self.file)?;
        *frame = next;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Crash, MemDisk};

    const OLD: &str = "lane-00000001-0.redb";
    const NEW: &str = "lane-00000002-0.redb";

    fn recycler(disk: &MemDisk) -> SharedDisk {
        Recycler::over(Arc::new(disk.clone())).unwrap()
    }

    fn write_and_sync(disk: &SharedDisk, name: &str, bytes: &[u8]) {
        let file = disk.create(name).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_at(0, bytes).unwrap();
        file.sync().unwrap();
        disk.sync_dir().unwrap();
    }

    #[test]
    fn a_file_used_again_shows_nothing_of_its_life_before() {
        let below = MemDisk::new();
        let disk = recycler(&below);
        write_and_sync(&disk, OLD, &[7; 100_000]);
        disk.remove(OLD).unwrap();
        assert!(disk.list().unwrap().is_empty());
        let file = disk.create(NEW).unwrap();
        assert_eq!(below.list().unwrap(), [NEW], "it was used again");
        assert_eq!(file.len().unwrap(), 0);
        let mut out = [1; 10];
        assert!(file.read_at(0, &mut out).is_err());
        file.write_at(0, &[3; 10]).unwrap();
        assert_eq!(file.len().unwrap(), 10);
        file.read_at(0, &mut out).unwrap();
        assert_eq!(out, [3; 10]);
        assert!(
            file.read_at(1, &mut out).is_err(),
            "the end is the new life's"
        );
    }

    #[test]
    fn lengths_outlive_a_loss_of_power_at_every_sync() {
        // I-STO-9: the length is durable before anything needs it.
        for sync in 1..12 {
            for seed in 0..20 {
                let below = MemDisk::new();
                let disk = recycler(&below);
                write_and_sync(&disk, OLD, &[7; 50_000]);
                disk.remove(OLD).unwrap();
                disk.sync_dir().unwrap();
                below.power_off_at_sync(sync);
                let mut acked = 0;
                let result = (|| {
                    let file = disk.create(NEW)?;
                    disk.sync_dir()?;
                    for step in 1..6u64 {
                        file.set_len(step * 8192)?;
                        file.write_at((step - 1) * 8192, &[step as u8; 8192])?;
                        file.sync()?;
                        acked = step;
                    }
                    Ok::<(), io::Error>(())
                })();
                below.crash(Crash::Torn(seed));
                let disk = recycler(&below);
                if !disk.list().unwrap().contains(&NEW.to_owned()) {
                    assert_eq!(acked, 0, "sync {sync} seed {seed}: {result:?}");
                    continue;
                }
                let file = disk.open(NEW).unwrap();
                assert!(file.len().unwrap() >= acked * 8192);
                for step in 1..=acked {
                    let mut out = [0; 8192];
                    file.read_at((step - 1) * 8192, &mut out).unwrap();
                    assert_eq!(out, [step as u8; 8192]);
                }
            }
        }
    }

    #[test]
    fn the_pool_is_bounded_and_goes_first() {
        // I-STO-10.
        let below = MemDisk::new();
        let disk = recycler(&below);
        for number in 0..6 {
            let name = format!("lane-{number:08}-0.redb");
            write_and_sync(&disk, &name, &[1; 10_000]);
        }
        for number in 0..6 {
            disk.remove(&format!("lane-{number:08}-0.redb")).unwrap();
        }
        assert_eq!(below.list().unwrap().len(), POOL_FILES_MAX);
        assert!(disk.pool_bytes() >= POOL_FILES_MAX as u64 * 10_000);
        below.set_capacity(disk.pool_bytes());
        let free = disk.make_room(20_000).unwrap();
        assert!(free >= 20_000);
        assert!(below.list().unwrap().len() < POOL_FILES_MAX);
    }

    #[test]
    fn a_damaged_frame_is_told() {
        let below = MemDisk::new();
        let disk = recycler(&below);
        write_and_sync(&disk, OLD, &[7; 5000]);
        let file = below.open(OLD).unwrap();
        // A sector that is lost as a whole leaves the other slot: here the newer one.
        file.write_at(0, &[9; 4096]).unwrap();
        assert_eq!(disk.open(OLD).unwrap().len().unwrap(), 5000);
        file.write_at(4096, &[9; 4096]).unwrap();
        let error = disk.open(OLD).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
