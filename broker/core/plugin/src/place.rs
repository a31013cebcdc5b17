//! Placing: the records of a batch, and a partition for each, become a batch for each partition.
//!
//! Sequences tell the log which records of a producer it has: each part ends at the sequence of its
//! last record and begins as many before it as it has records, so that the parts of a batch that is
//! sent again are known as duplicates, each in its own partition.

use crate::{
    batch::{Author, Rebuilt, compose},
    columns::Columns,
    outcome::Output,
    staying::Staying,
};
use alloc::{collections::BTreeMap, vec::Vec};
use weir_types::{BatchHeader, Offset, Sequence};

/// What of a batch goes to one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The partition.
    pub partition: u32,
    /// Its records, in the order they had; their sequences ascend without being contiguous.
    pub batch: Rebuilt,
}

/// Which places go to which target, each in order.
#[must_use]
pub fn scatter<T: Ord>(targets: impl IntoIterator<Item = T>) -> BTreeMap<T, Vec<u32>> {
    let mut places: BTreeMap<T, Vec<u32>> = BTreeMap::new();
    for (place, target) in (0..).zip(targets) {
        places.entry(target).or_default().push(place);
    }
    places
}

/// The parts of a client's batch, by ascending partition. `columns` were read from a batch with
/// this header, and `chosen` has a partition for each record (see
/// [`crate::check::check_partitions`]).
#[must_use]
pub fn place(header: &BatchHeader, columns: &Columns, chosen: &[u32]) -> Vec<Part> {
    let unchanged = Output::default();
    let staying = Staying::new(columns, &unchanged);
    let parts = scatter(chosen.iter().copied());
    let part = |(partition, places): (u32, Vec<u32>)| {
        let last = places.last().map_or(0, |place| *place as i32);
        let base_sequence = if header.producer_id.is_some() {
            ascending_base(header.base_sequence.plus(last), places.len())
        } else {
            Sequence(-1)
        };
        let author = Author {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence,
            attributes: header.attributes,
        };
        Part {
            partition,
            batch: compose(&staying, &places, author),
        }
    };
    parts.into_iter().map(part).collect()
}

/// The base sequence of a batch of `count` records whose last one has the sequence `last`.
#[must_use]
pub fn ascending_base(last: Sequence, count: usize) -> Sequence {
    let back = count.saturating_sub(1) as i64;
    wrapped(i64::from(last.0) - back)
}

/// The sequence of a record that a router job read at `offset`.
#[must_use]
pub fn sequence_of(offset: Offset) -> Sequence {
    wrapped(offset.0)
}

/// Sequences are numbers below 2^31 that begin again at 0 (KIP-98).
fn wrapped(number: i64) -> Sequence {
    Sequence(i32::try_from(number.rem_euclid(1 << 31)).unwrap_or(0))
}
