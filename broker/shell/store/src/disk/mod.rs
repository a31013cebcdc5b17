//! The seam under the store: a folder of named files that can be written, synced and lost.
//!
//! [`RealDisk`] is the operating system's; [`MemDisk`] keeps everything in memory and can crash,
//! fail and damage on demand, for tests and the simulator. Nothing here knows what the files
//! hold, and redb's own types never pass this seam.

#[cfg(target_os = "linux")]
mod direct;
mod mem;
mod real;
mod recycle;

pub use mem::{Crash, DiskCounts, MemDisk};
pub use real::{RealDisk, volume_bytes};
pub(crate) use recycle::Recycler;

use std::{fmt::Debug, io, sync::Arc};

/// A folder of named files.
pub trait Disk: Send + Sync + Debug {
    /// Makes an empty file that did not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, or the system's.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// `NotFound`, or the system's.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Names of all files, sorted.
    ///
    /// # Errors
    /// The system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Unlinks a file; durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`, or the system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, replacing what bore it; durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`, or the system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes creations, removals and new names durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self) -> io::Result<()>;

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// The system's.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Gives up what is kept only for speed until `needed` bytes can be written, as far as that
    /// goes; answers how many can.
    ///
    /// # Errors
    /// The system's.
    fn make_room(&self, needed: u64) -> io::Result<u64> {
        let _ = needed;
        self.free_bytes()
    }

    /// Bytes of files that are kept only to be used again.
    fn pool_bytes(&self) -> u64 {
        0
    }
}

/// One open file.
pub trait DiskFile: Send + Sync + Debug {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// Whether it holds nothing.
    ///
    /// # Errors
    /// The system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before, or the system's.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`, making the file longer if needed.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes the file so long. Nobody may rely on what new bytes hold: zero, or in a file that is
    /// used again what its life before left there.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes everything written durable. After an error nothing is known about it.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self) -> io::Result<()>;

    /// Called when nothing will be written through this handle any more, perhaps again: what was
    /// not synced may be dropped. Reads go on.
    ///
    /// # Errors
    /// The system's.
    fn close(&self) -> io::Result<()> {
        Ok(())
    }
}
