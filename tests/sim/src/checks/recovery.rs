//! I-SIM-14: what the log tells of itself is true, also after a crash.

use crate::{
    oracle::log::PartLog,
    violation::{Checked, Promise},
};
use bytes::Bytes;
use weir_types::{BatchHeader, Offset, StorePartition, TimestampMs, log::LogState};

/// What the log tells of itself is true, also after a crash.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-14",
    text: "epochs, sizes, timestamps and reads of a log are what was appended, after crashes too",
};

/// A partition that was never there is opened.
///
/// # Errors
/// Where it is not empty or its number was used before.
pub fn fresh(number: StorePartition, state: &LogState, used: bool) -> Checked {
    PROMISE.holds(!used, || format!("partition number {number} is used twice"))?;
    PROMISE.holds(*state == LogState::default(), || {
        format!("a new partition is not empty: {state:?}")
    })
}

/// Something failed on the disk.
///
/// # Errors
/// Where the disk was not made to fail.
pub fn failure_has_cause(faulty: bool, reason: &str) -> Checked {
    PROMISE.holds(faulty, || {
        format!("the log fails on a disk that does not: {reason}")
    })
}

/// Live bytes as the log counts them: a batch that the start cuts may count or not.
///
/// # Errors
/// Where they are not those of the batches.
pub fn size(part: &PartLog, told: u64) -> Checked {
    let sum = |live: &dyn Fn(&weir_types::BatchMeta) -> bool| -> u64 {
        let batches = part.batches.iter().map(|(meta, _)| meta);
        batches
            .filter(|meta| live(meta))
            .map(|meta| u64::from(meta.size_bytes))
            .sum()
    };
    let least = sum(&|meta| meta.base_offset >= part.start && meta.next_offset() <= part.flushed);
    let most = sum(&|meta| meta.last_offset >= part.start);
    PROMISE.holds(least <= told && told <= most, || {
        format!(
            "{:?} has {least} to {most} live bytes, told were {told}",
            part.key
        )
    })
}

/// The epochs that came back.
///
/// # Errors
/// Where one is not the epoch of the batches it covers.
pub fn epochs(part: &PartLog, state: &LogState) -> Checked {
    let ascending = state
        .epochs
        .windows(2)
        .all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1);
    PROMISE.holds(ascending, || {
        format!("epochs do not ascend: {:?}", state.epochs)
    })?;
    for (meta, _) in &part.batches {
        if meta.last_offset < state.start || meta.base_offset >= state.end {
            continue;
        }
        let covering = state
            .epochs
            .iter()
            .rev()
            .find(|(_, from)| *from <= meta.last_offset);
        PROMISE.holds(
            covering.map(|(epoch, _)| *epoch) == Some(meta.leader_epoch),
            || {
                format!(
                    "{:?}: the batch at {} has epoch {}, the log says {:?}",
                    part.key, meta.base_offset, meta.leader_epoch, state.epochs
                )
            },
        )?;
    }
    Ok(())
}

/// The largest timestamp that the log tells of what is flushed of it, from `start` to `end`.
///
/// # Errors
/// Where it is not that of a batch that can be read, or a larger one is there.
pub fn max_timestamp(
    part: &PartLog,
    (start, end): (Offset, Offset),
    told: Option<(TimestampMs, Offset)>,
) -> Checked {
    let kept = part.batches.iter().map(|(meta, _)| meta);
    let live = kept.filter(|meta| meta.last_offset < end && meta.last_offset >= start);
    let largest = live.clone().map(|meta| meta.max_timestamp).max();
    let right = match told {
        None => largest.is_none(),
        Some((time, offset)) => {
            let holds = |meta: &weir_types::BatchMeta| {
                meta.max_timestamp == time
                    && (meta.base_offset..=meta.last_offset).contains(&offset)
            };
            largest == Some(time) && offset >= start && live.clone().any(holds)
        }
    };
    PROMISE.holds(right, || {
        format!(
            "{:?}: the largest timestamp from {start} to {end} is {largest:?}, the log says {told:?}",
            part.key
        )
    })
}

/// A read from `from` to `below` answered with these batches.
///
/// # Errors
/// Where it left one out, gave too many bytes, or nothing though there is something.
pub fn read_complete(
    part: &PartLog,
    from: Offset,
    below: Offset,
    bytes_max: usize,
    batches: &[(BatchHeader, Bytes)],
) -> Checked {
    let expected = part.batches.iter().map(|(meta, _)| meta.base_offset);
    let from_batch = part
        .batches
        .partition_point(|(meta, _)| meta.last_offset < from);
    let expected = expected.skip(from_batch).take_while(|base| *base < below);
    let expected: Vec<Offset> = expected.take(batches.len().max(1)).collect();
    let found: Vec<Offset> = batches
        .iter()
        .map(|(header, _)| header.base_offset)
        .collect();
    let moved = from < part.start_max;
    PROMISE.holds(found == expected || (moved && found.is_empty()), || {
        format!(
            "{:?}: a read from {from} below {below} should give {expected:?} and gives {found:?}",
            part.key
        )
    })?;
    let bytes: usize = batches.iter().map(|(header, _)| header.size_bytes).sum();
    PROMISE.holds(bytes <= bytes_max || batches.len() == 1, || {
        format!("a read of at most {bytes_max} bytes gave {bytes}")
    })
}
