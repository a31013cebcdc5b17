//! The metadata log's rules: what an entry and a snapshot are made of, how an image comes out of
//! them, and in which order a change is written and applied. Whoever keeps the log, a broker's
//! adapter or a simulated one, only carries bytes to a disk and back.
//!
//! It never applies what is not durable, and never goes on behind a write that failed: nobody
//! knows then what the disk holds, until it is read again (I-STO-6).

use crate::{
    codec::{DecodeError, decode_all, encode_all},
    image::Image,
    limits::ENTRIES_PER_SNAPSHOT,
    record::MetaRecord,
};
use alloc::vec::Vec;
use thiserror::Error;

/// Why a metadata log gives no image.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The snapshot is too short to be one.
    #[error("the metadata snapshot is cut short; restore the data folder from a backup")]
    Snapshot,
    /// A record cannot be read.
    #[error("metadata entry {index} cannot be read: {source}")]
    Record {
        /// Its index in the agreed log.
        index: u64,
        /// What is wrong.
        source: DecodeError,
    },
}

/// An earlier write failed, so that nobody knows what the disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the metadata log failed before; start the broker again")]
pub struct JournalFailed;

/// What has been agreed, and how to put down what comes next.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    image: Image,
    entries_since_snapshot: usize,
    failed: bool,
}

impl Journal {
    /// Rebuilds the image from the last snapshot, if there is one, and the entries behind it.
    ///
    /// # Errors
    /// [`JournalError`] names the first bytes that no build of Weir wrote, or a newer one.
    pub fn load<E: AsRef<[u8]>>(
        snapshot: Option<&[u8]>,
        entries: &[E],
    ) -> Result<Self, JournalError> {
        let mut image = match snapshot {
            None => Image::default(),
            Some(snapshot) => {
                let Some((applied, records)) = snapshot.split_first_chunk() else {
                    return Err(JournalError::Snapshot);
                };
                let index = u64::from_be_bytes(*applied);
                Image::from_records(index, &decode(index, records)?)
            }
        };
        for entry in entries {
            let index = image.applied() + 1;
            image.apply_entry(index, &decode(index, entry.as_ref())?);
        }
        Ok(Self {
            image,
            entries_since_snapshot: entries.len(),
            failed: false,
        })
    }

    /// What has been agreed so far.
    #[must_use]
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// The entry to append for these records. Once it is durable they are [`agreed`](Self::agreed).
    ///
    /// # Errors
    /// [`JournalFailed`] after a write that failed: the disk is left alone.
    pub fn entry(&self, records: &[MetaRecord]) -> Result<Vec<u8>, JournalFailed> {
        if self.failed {
            return Err(JournalFailed);
        }
        Ok(encode_all(records))
    }

    /// The records' entry is durable: they count from now on.
    pub fn agreed(&mut self, records: &[MetaRecord]) {
        assert!(!self.failed, "nothing is agreed behind a failed write");
        self.image.apply_entry(self.image.applied() + 1, records);
        self.entries_since_snapshot += 1;
    }

    /// A write of an entry or a snapshot failed: nothing more is agreed.
    pub const fn write_failed(&mut self) {
        self.failed = true;
    }

    /// Whether so many entries are there that a snapshot should take their place.
    #[must_use]
    pub const fn snapshot_due(&self) -> bool {
        !self.failed && self.entries_since_snapshot >= ENTRIES_PER_SNAPSHOT
    }

    /// The snapshot that may take the place of all entries: the number of the last one, then
    /// records that give the image.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut snapshot = self.image.applied().to_be_bytes().to_vec();
        snapshot.extend_from_slice(&encode_all(&self.image.to_records()));
        snapshot
    }

    /// The snapshot is durable and the entries are gone.
    pub const fn snapshot_written(&mut self) {
        self.entries_since_snapshot = 0;
    }
}

fn decode(index: u64, bytes: &[u8]) -> Result<Vec<MetaRecord>, JournalError> {
    decode_all(bytes).map_err(|source| JournalError::Record { index, source })
}
