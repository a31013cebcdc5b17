//! I-SIM-11: what is served is what was appended, byte for byte.

use crate::{
    oracle::log::PartLog,
    violation::{Checked, Promise},
};
use bytes::Bytes;
use weir_types::{BatchHeader, batch};

/// What is served is what was appended, byte for byte.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-11",
    text: "what is served is what was appended, byte for byte",
};

/// The log answers a read with these batches.
///
/// # Errors
/// Where one was never appended, or differs from what was.
pub fn same_bytes(part: &PartLog, batches: &[(BatchHeader, Bytes)]) -> Checked {
    for (header, bytes) in batches {
        let known = part
            .batches
            .binary_search_by_key(&header.base_offset, |(meta, _)| meta.base_offset)
            .ok()
            .and_then(|index| part.batches.get(index));
        let Some((_, known)) = known else {
            return PROMISE.broken(format!(
                "{:?}: no batch was appended at {}",
                part.key, header.base_offset
            ));
        };
        let (head, body) = bytes.split_at(batch::HEADER_BYTES);
        PROMISE.holds(head == known.head() && body == &known.body()[..], || {
            format!(
                "{:?}: the batch at {} is {header:?}, it was {:?}",
                part.key,
                header.base_offset,
                known.header()
            )
        })?;
    }
    Ok(())
}

/// A client received a batch.
///
/// # Errors
/// Where its checksum or its records' framing is wrong.
pub fn whole(bytes: &[u8]) -> Checked<BatchHeader> {
    let checked = batch::check_batch(bytes).and_then(|header| {
        batch::check_records(batch::payload(bytes, &header), &header)?;
        Ok(header)
    });
    match checked {
        Ok(header) => Ok(header),
        Err(error) => PROMISE.broken(format!("a client received a bad batch: {error}")),
    }
}

/// A record's value against the one that was made for its number.
///
/// # Errors
/// Where they differ.
pub fn value(expected: &[u8], found: &[u8], what: impl Fn() -> String) -> Checked {
    PROMISE.holds(expected == found, || {
        format!("the value of {} is not the one that was sent", what())
    })
}
