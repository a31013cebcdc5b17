//! Whole batches in the pieces the log serves: where they end, and as many as fit.
//!
//! The bytes come from our own log with their checksums checked, but they are outside data all
//! the same: a header that makes no sense ends the piece.

use weir_types::{BatchHeader, Offset, log::StoredBatch};

/// The part of a piece that fits into `room` bytes, with the offset behind it and whether it is
/// the whole piece; at least one batch if `at_least_one`. Nothing if nothing fits.
pub(crate) fn cut(
    piece: StoredBatch,
    room: usize,
    at_least_one: bool,
) -> Option<(StoredBatch, Offset, bool)> {
    match piece {
        StoredBatch::Cached(batch) => {
            let fits = at_least_one || batch.size_bytes() <= room;
            let next = batch.header().next_offset();
            fits.then_some((StoredBatch::Cached(batch), next, true))
        }
        StoredBatch::Read(bytes) => {
            let mut taken = 0;
            let mut next = None;
            while let Ok(header) = BatchHeader::read(&bytes[taken..]) {
                let size = header.size_bytes;
                if taken + size > room && !(at_least_one && taken == 0) {
                    break;
                }
                taken += size;
                next = Some(header.next_offset());
            }
            let whole = taken == bytes.len();
            next.map(|next| (StoredBatch::Read(bytes.slice(..taken)), next, whole))
        }
    }
}

/// Whether any batch of a piece has a header that `wanted` says yes to.
pub(crate) fn any(piece: &StoredBatch, wanted: impl Fn(BatchHeader) -> bool) -> bool {
    match piece {
        StoredBatch::Cached(batch) => wanted(batch.header()),
        StoredBatch::Read(bytes) => {
            let mut rest = &bytes[..];
            while let Ok(header) = BatchHeader::read(rest) {
                if wanted(header) {
                    return true;
                }
                rest = &rest[header.size_bytes..];
            }
            false
        }
    }
}
