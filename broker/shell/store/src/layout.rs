//! How batches become values: a *blob* (the batches of one commit, or of one partition's piece
//! of history) is cut into values that fill redb's pages, and each value names itself so that it
//! can be salvaged from a damaged file (design rule 7).
//!
//! A blob is found again from its first key and its length alone. Nothing here does IO.

use crate::encode::{Reader, Writer, seal, unseal};
use crate::limits::{PAGE_BITS, VALUE_MARGIN_BYTES, VALUE_PAGE_BITS};
use weir_types::StorePartition;

/// First key of values; below lies the file's own header.
pub(crate) const FIRST_KEY: u64 = 1;
/// The file's header.
pub(crate) const HEADER_KEY: u64 = 0;
/// From here on lie the index blocks of a history file.
pub(crate) const BLOCK_KEYS: u64 = 1 << 60;
/// From here on lie a history file's directories or a lane file's per-partition index.
pub(crate) const INDEX_KEYS: u64 = 1 << 61;
/// The last value of a file that was finished.
pub(crate) const FOOTER_KEY: u64 = u64::MAX;

/// Bytes of a value in front of its piece of the blob: seal, commit, piece, partition.
pub(crate) const PIECE_HEAD_BYTES: usize = 24;

const PIECE_MAGIC: [u8; 4] = *b"WPIE";

/// Bytes of a blob that fit a run of `1 << bits` bytes of pages.
const fn capacity(bits: u32) -> usize {
    (1 << bits) - VALUE_MARGIN_BYTES - PIECE_HEAD_BYTES
}

/// Bytes of a blob in one full value.
pub(crate) const PIECE_BYTES_MAX: usize = capacity(VALUE_PAGE_BITS);

/// How many of the `left` last bytes of a blob the next value takes: a full one while there is
/// enough, then the largest run of pages that is filled, then the rest. What fills three
/// quarters of a run takes it whole: each value costs more than the room it would save.
pub(crate) fn next_piece(left: usize) -> usize {
    let mut bits = VALUE_PAGE_BITS;
    while bits > PAGE_BITS && capacity(bits) > left {
        bits -= 1;
    }
    let next = capacity(bits + 1);
    if bits < VALUE_PAGE_BITS && left > capacity(bits) && left >= next / 4 * 3 {
        return left;
    }
    left.min(capacity(bits))
}

/// Values a blob of `len` bytes takes.
#[cfg(test)]
pub(crate) fn piece_count(len: usize) -> u64 {
    let mut left = len;
    let mut count = 0;
    while left > 0 {
        left -= next_piece(left);
        count += 1;
    }
    count
}

/// The piece that holds byte `position` of a blob of `len` bytes: its number, where it starts,
/// and its length.
pub(crate) fn piece_at(len: usize, position: usize) -> (u64, usize, usize) {
    let full = (len / PIECE_BYTES_MAX).min(position / PIECE_BYTES_MAX);
    let mut start = full * PIECE_BYTES_MAX;
    let mut number = full as u64;
    loop {
        let piece = next_piece(len - start);
        if position < start + piece || piece == 0 {
            return (number, start, piece);
        }
        start += piece;
        number += 1;
    }
}

/// Where a batch, or several back to back, lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Key of the blob's first value.
    pub(crate) first_key: u64,
    /// Bytes of the whole blob.
    pub(crate) blob_len: u32,
    /// First byte in the blob.
    pub(crate) position: u32,
    /// How many bytes.
    pub(crate) len: u32,
}

/// What a value says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PieceName {
    /// The commit it belongs to; 0 in history.
    pub(crate) commit: u64,
    /// Its number in the blob.
    pub(crate) piece: u32,
    /// The partition whose batch it starts with or in.
    pub(crate) partition: StorePartition,
}

/// Makes `value`, whose data stands behind room for a name, name itself.
pub(crate) fn name_piece(value: &mut [u8], name: PieceName) {
    value[..4].copy_from_slice(&PIECE_MAGIC);
    value[8..16].copy_from_slice(&name.commit.to_le_bytes());
    value[16..20].copy_from_slice(&name.piece.to_le_bytes());
    value[20..24].copy_from_slice(&name.partition.0.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&PIECE_MAGIC), &value[8..]);
    value[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// The piece of the blob in a value, unchecked: batches carry their own CRC.
pub(crate) fn piece_data(value: &[u8]) -> Option<&[u8]> {
    (value.get(..4)? == PIECE_MAGIC).then_some(())?;
    value.get(PIECE_HEAD_BYTES..)
}

/// What a whole value says about itself, or nothing where it is damaged or no piece.
pub(crate) fn check_piece(value: &[u8]) -> Option<PieceName> {
    let payload = unseal(PIECE_MAGIC, value)?;
    let commit = payload.get(..8)?.try_into().ok()?;
    let piece = payload.get(8..12)?.try_into().ok()?;
    let partition = payload.get(12..16)?.try_into().ok()?;
    Some(PieceName {
        commit: u64::from_le_bytes(commit),
        piece: u32::from_le_bytes(piece),
        partition: StorePartition(u32::from_le_bytes(partition)),
    })
}

/// Takes a key and its value.
type Put<'a, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 'a;

/// Cuts a stream of bytes of known length into named values and hands each out.
pub(crate) struct Cutter<'a, E> {
    left: usize,
    target: usize,
    piece: u32,
    commit: u64,
    key: u64,
    partition: StorePartition,
    /// The value that is being filled; its name is written last.
    value: Vec<u8>,
    put: &'a mut Put<'a, E>,
}

impl<'a, E> Cutter<'a, E> {
    pub(crate) fn new(len: usize, commit: u64, first_key: u64, put: &'a mut Put<E>) -> Self {
        Self {
            left: len,
            target: next_piece(len),
            piece: 0,
            commit,
            key: first_key,
            partition: StorePartition(0),
            value: room_for(next_piece(len)),
            put,
        }
    }

    fn filled(&self) -> usize {
        self.value.len() - PIECE_HEAD_BYTES
    }

    /// Adds bytes that belong to `partition`.
    pub(crate) fn push(&mut self, partition: StorePartition, mut bytes: &[u8]) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.filled() == 0 {
                self.partition = partition;
            }
            let count = bytes.len().min(self.target - self.filled());
            let (now, later) = bytes.split_at(count);
            self.value.extend_from_slice(now);
            bytes = later;
            if self.filled() == self.target {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), E> {
        let name = PieceName {
            commit: self.commit,
            piece: self.piece,
            partition: self.partition,
        };
        name_piece(&mut self.value, name);
        (self.put)(self.key, &self.value)?;
        self.left -= self.filled();
        self.value.truncate(PIECE_HEAD_BYTES);
        self.target = next_piece(self.left);
        self.key += 1;
        self.piece += 1;
        Ok(())
    }

    /// The key behind the last value; every byte must have come.
    pub(crate) fn finish(self) -> u64 {
        assert!(self.left == 0, "a blob is as long as was said");
        self.key
    }
}

/// An empty value with room for its name and `data` bytes.
fn room_for(data: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(PIECE_HEAD_BYTES + data);
    value.resize(PIECE_HEAD_BYTES, 0);
    value
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// Batches in order of arrival.
    Lane,
    /// Batches sorted by partition and offset; never changed.
    History,
}

/// The first value of every file: which store and which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) store: u64,
    pub(crate) file: u32,
    pub(crate) role: FileRole,
}

const HEADER_MAGIC: [u8; 4] = *b"WHDR";

impl FileHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(&self.store.to_le_bytes());
        writer.u32(self.file);
        writer.u32(u32::from(self.role == FileRole::History));
        seal(HEADER_MAGIC, &writer.bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(unseal(HEADER_MAGIC, bytes)?);
        Some(Self {
            store: u64::from_le_bytes(reader.array()?),
            file: reader.u32()?,
            role: match reader.u32()? {
                0 => FileRole::Lane,
                1 => FileRole::History,
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_of_a_blob_is_found(len in 1usize..2_000_000, at in 0usize..2_000_000) {
            let at = at % len;
            let (number, start, piece) = piece_at(len, at);
            prop_assert!(start <= at && at < start + piece);
            prop_assert!(number < piece_count(len));
            let mut walked = 0;
            for _ in 0..number {
                walked += next_piece(len - walked);
            }
            prop_assert_eq!(walked, start);
        }

        #[test]
        fn cut_values_hold_the_blob(len in 1usize..700_000) {
            let blob: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut found = Vec::new();
            let mut keys = Vec::new();
            let mut put = |key: u64, value: &[u8]| {
                assert!(check_piece(value).is_some());
                assert!(value.len() <= crate::limits::VALUE_BYTES_MAX);
                keys.push(key);
                found.extend_from_slice(piece_data(value).unwrap());
                Ok::<(), ()>(())
            };
            let mut cutter = Cutter::new(len, 7, 5, &mut put);
            for chunk in blob.chunks(1000) {
                cutter.push(StorePartition(3), chunk).unwrap();
            }
            let next = cutter.finish();
            prop_assert_eq!(next, 5 + piece_count(len));
            prop_assert_eq!(found, blob);
        }
    }
}
