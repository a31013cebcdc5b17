//! I-SIM-6: producer state after a crash is what the log implies.

use crate::{
    oracle::log::PartLog,
    violation::{Checked, Promise},
};
use weir_types::{
    log::LogState,
    producer::{ProducerEntry, ProducerTable},
};

/// What is remembered of idempotent producers after a crash is what their batches in the log say.
pub const PROMISE: Promise = Promise {
    id: "I-SIM-6",
    text: "after a crash the broker remembers of each producer what the log says it must",
};

/// Compares what came back with what the batches before the end say.
///
/// # Errors
/// Where a producer is forgotten, invented or remembered wrongly.
pub fn recovered(part: &PartLog, state: &LogState) -> Checked {
    let mut expected = ProducerTable::default();
    for (meta, _) in &part.batches {
        if meta.last_offset < state.end {
            expected.apply(meta);
        }
    }
    for (id, entry) in expected.iter() {
        match state.producers.get(id) {
            None => PROMISE.holds(entry.last_append < part.producers_oldest, || {
                format!("{:?}: producer {id} is forgotten", part.key)
            })?,
            Some(found) => PROMISE.holds(same(entry, found, part), || {
                format!(
                    "{:?}: producer {id} should be {entry:?} and is {found:?}",
                    part.key
                )
            })?,
        }
    }
    for (id, entry) in state.producers.iter() {
        PROMISE.holds(expected.get(id).is_some(), || {
            format!("{:?}: producer {id} is invented: {entry:?}", part.key)
        })?;
    }
    Ok(())
}

/// A producer that was forgotten and came back has a shorter memory.
fn same(expected: &ProducerEntry, found: &ProducerEntry, part: &PartLog) -> bool {
    let may_be_shorter = part
        .batches
        .iter()
        .any(|(meta, _)| meta.producer_id.is_some() && meta.appended_at < part.producers_oldest);
    let newest = |entry: &ProducerEntry, count: usize| {
        let skip = entry.batches.len().saturating_sub(count);
        entry.batches.iter().skip(skip).copied().collect::<Vec<_>>()
    };
    let compared = found.batches.len();
    expected.epoch == found.epoch
        && expected.last_append == found.last_append
        && compared > 0
        && newest(expected, compared) == newest(found, compared)
        && (compared == expected.batches.len() || may_be_shorter)
}
