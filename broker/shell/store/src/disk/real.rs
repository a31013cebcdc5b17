//! The operating system's files in one folder, locked against a second process.
//!
//! Reads and small writes go through the page cache, large writes around it where the system can
//! (see `direct.rs`). It must never give out a file by a path that leaves the folder.

#[cfg(target_os = "linux")]
use super::direct::{Arena, Direct};
use super::{Disk, DiskFile};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Name of the file whose lock says that a process uses the folder.
const LOCK_FILE: &str = "store.lock";

/// A folder of the file system.
#[derive(Debug)]
pub struct RealDisk {
    folder: PathBuf,
    read_only: bool,
    #[cfg(target_os = "linux")]
    arena: Arc<Arena>,
    /// Held as long as the disk is used.
    _lock: Option<File>,
}

impl RealDisk {
    /// Uses `folder`, making it if needed, and locks it.
    ///
    /// # Errors
    /// `ResourceBusy` when another process has it open, or the system's.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(LOCK_FILE))?;
        lock.try_lock().map_err(|error| busy(folder, error))?;
        // For whoever comes second and is refused; nothing depends on it.
        lock.set_len(0)?;
        write!(lock, "{}", std::process::id())?;
        Ok(Self {
            folder: folder.to_path_buf(),
            read_only: false,
            #[cfg(target_os = "linux")]
            arena: Arc::default(),
            _lock: Some(lock),
        })
    }

    /// Uses `folder` without ever changing it, for tools.
    ///
    /// # Errors
    /// `ResourceBusy` when a broker has it open, or the system's.
    pub fn open_read_only(folder: &Path) -> io::Result<Self> {
        std::fs::metadata(folder)?;
        let lock = match File::open(folder.join(LOCK_FILE)) {
            Ok(lock) => {
                lock.try_lock_shared()
                    .map_err(|error| busy(folder, error))?;
                Some(lock)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            folder: folder.to_path_buf(),
            read_only: true,
            #[cfg(target_os = "linux")]
            arena: Arc::default(),
            _lock: lock,
        })
    }

    /// The same disk with every write through the page cache: for measurements, and for file
    /// systems whose direct writes cannot be trusted.
    #[must_use]
    pub fn buffered(mut self) -> Self {
        #[cfg(target_os = "linux")]
        {
            self.arena = Arc::new(Arena::refusing());
        }
        self
    }

    fn file(&self, file: File) -> Arc<dyn DiskFile> {
        Arc::new(RealFile {
            file,
            #[cfg(target_os = "linux")]
            direct: Direct::new(Arc::clone(&self.arena)),
            #[cfg(target_os = "linux")]
            ahead: ReadAhead::default(),
        })
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = !name.is_empty() && !name.contains(['/', '\\']) && name != "..";
        if plain {
            Ok(self.folder.join(name))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name:?} is not a plain file name"),
            ))
        }
    }

    fn writable(&self) -> io::Result<()> {
        if self.read_only {
            return Err(io::Error::new(
                io::ErrorKind::ReadOnlyFilesystem,
                "the folder was opened only for reading",
            ));
        }
        Ok(())
    }
}

/// Names the process that has the folder, if it is one that writes: readers leave no number.
fn busy_text(folder: &Path) -> String {
    let path = folder.join(LOCK_FILE);
    let is_read = File::open(&path).is_ok_and(|lock| lock.try_lock_shared().is_ok());
    let owner = std::fs::read_to_string(&path).unwrap_or_default();
    match owner.trim().parse::<u32>() {
        Ok(id) if !is_read => format!("in use by process {id}"),
        _ => "in use by another process".to_owned(),
    }
}

fn busy(folder: &Path, error: TryLockError) -> io::Error {
    match error {
        TryLockError::WouldBlock => io::Error::new(io::ErrorKind::ResourceBusy, busy_text(folder)),
        TryLockError::Error(error) => error,
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.writable()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path(name)?)?;
        Ok(self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(!self.read_only)
            .open(self.path(name)?)?;
        Ok(self.file(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            match entry.file_name().into_string() {
                Ok(name) if name != LOCK_FILE && entry.file_type()?.is_file() => names.push(name),
                _ => {}
            }
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        std::fs::remove_file(self.path(name)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        std::fs::rename(self.path(from)?, self.path(to)?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        match volume_bytes(&self.folder) {
            Ok((_, usable)) => Ok(usable),
            // Without a portable way to ask, the disk's own refusal is the limit.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(u64::MAX),
            Err(error) => Err(error),
        }
    }
}

/// The bytes of the volume on which a folder lies: all of them, and those that can still be written.
///
/// # Errors
/// The system's; [`io::ErrorKind::Unsupported`] where there is no way to ask.
#[cfg(unix)]
pub fn volume_bytes(folder: &Path) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok((bytes(stat.f_blocks), bytes(stat.f_bavail)))
}

/// The bytes of the volume on which a folder lies, which cannot be asked here.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
#[cfg(not(unix))]
pub fn volume_bytes(_folder: &Path) -> io::Result<(u64, u64)> {
    Err(io::ErrorKind::Unsupported.into())
}

#[derive(Debug)]
struct RealFile {
    file: File,
    #[cfg(target_os = "linux")]
    direct: Direct,
    #[cfg(target_os = "linux")]
    ahead: ReadAhead,
}

/// Notices who reads a file from front to back and asks the system for what comes next: its own
/// read-ahead ends after half a value of the log.
#[cfg(target_os = "linux")]
#[derive(Debug, Default)]
struct ReadAhead {
    /// Where the last large read ended.
    read_end: AtomicU64,
    /// What was asked for ends here.
    asked_end: AtomicU64,
}

#[cfg(target_os = "linux")]
impl ReadAhead {
    /// Small pages may lie between two values; a gap beyond this is a jump.
    const GAP_BYTES: u64 = 64 * 1024;
    /// Reads below this are branches of a tree.
    const READ_BYTES_MIN: usize = 32 * 1024;
    /// How much is asked for at a time.
    const BYTES: u64 = 2 * 1024 * 1024;

    /// Two readers at once may hide each other's order: that costs speed and nothing else.
    fn note(&self, file: &File, offset: u64, len: usize) {
        if len < Self::READ_BYTES_MIN {
            return;
        }
        let end = offset + len as u64;
        let before = self.read_end.swap(end, Ordering::Relaxed);
        if before == 0 || offset < before || offset - before > Self::GAP_BYTES {
            self.asked_end.store(0, Ordering::Relaxed);
            return;
        }
        let asked = self.asked_end.load(Ordering::Relaxed).max(end);
        if asked - end >= Self::BYTES / 2 {
            return;
        }
        self.asked_end.store(asked + Self::BYTES, Ordering::Relaxed);
        let more = std::num::NonZeroU64::new(Self::BYTES);
        // Advice only: a system that takes none reads as it would have.
        let _ = rustix::fs::fadvise(file, asked, more, rustix::fs::Advice::WillNeed);
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if self.direct.read(&self.file, offset, out)? {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        self.ahead.note(&self.file, offset, out.len());
        std::os::unix::fs::FileExt::read_exact_at(&self.file, out, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if self.direct.take(&self.file, offset, data)? {
            return Ok(());
        }
        std::os::unix::fs::FileExt::write_all_at(&self.file, data, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            let n = std::os::windows::fs::FileExt::seek_read(&self.file, out, offset)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            offset += n as u64;
            out = &mut out[n..];
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let n = std::os::windows::fs::FileExt::seek_write(&self.file, data, offset)?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += n as u64;
            data = &data[n..];
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        self.direct.write_out(&self.file)?;
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        self.direct.write_out(&self.file)?;
        self.file.sync_data()
    }

    /// What was not synced is dropped: the file may be another one's by now.
    #[cfg(target_os = "linux")]
    fn close(&self) -> io::Result<()> {
        self.direct.discard();
        Ok(())
    }
}
