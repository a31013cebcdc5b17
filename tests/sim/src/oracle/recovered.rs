//! What a log may hold after a crash or a failed sync, against what it was told before.

use super::log::PartLog;
use crate::{
    checks::{durability, loss, producers, recovery, starts},
    violation::Checked,
};
use weir_types::{Offset, log::LogState};

/// Holds every promise about recovery against the state that came back.
///
/// # Errors
/// The first that is broken.
pub fn check(part: &PartLog, state: &LogState) -> Checked {
    loss::recovered(part, state.end)?;
    durability::nothing_invented(part, state.end)?;
    starts::recovered(part, state.start)?;
    producers::recovered(part, state)?;
    recovery::epochs(part, state)?;
    recovery::max_timestamp(part, (state.start, state.end), state.max_timestamp)?;
    let at = PartLog {
        start: state.start,
        end: state.end,
        batches: kept(part, state.end),
        ..part.clone()
    };
    recovery::size(&at, state.size_bytes)
}

fn kept(part: &PartLog, end: Offset) -> Vec<(weir_types::BatchMeta, weir_types::Batch)> {
    let kept = part
        .batches
        .iter()
        .filter(|(meta, _)| meta.last_offset < end);
    kept.cloned().collect()
}
