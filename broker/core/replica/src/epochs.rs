//! Where each leader epoch began in one partition's log (KIP-101), and what that says about where
//! an epoch ended.

use alloc::vec::Vec;
use weir_types::{LeaderEpoch, Offset};

/// Epochs and their first offsets, both ascending. An epoch in which nothing was appended is not
/// kept, except the current one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochHistory {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl EpochHistory {
    /// The history a log holds.
    #[must_use]
    pub fn new(entries: Vec<(LeaderEpoch, Offset)>) -> Self {
        let history = Self { entries };
        history.check();
        history
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    /// A leader of `epoch` begins at `start`, the log's end. Epochs that had no records go.
    pub fn begin(&mut self, epoch: LeaderEpoch, start: Offset) {
        if self.entries.last().is_some_and(|(last, _)| *last == epoch) {
            return;
        }
        self.entries
            .retain(|(other, at)| *other < epoch && *at < start);
        self.entries.push((epoch, start));
    }

    /// The log now starts at `start`: epochs that ended before it are forgotten.
    pub fn truncate_start(&mut self, start: Offset) {
        let first_kept = self
            .entries
            .iter()
            .rposition(|(_, at)| *at <= start)
            .unwrap_or(0);
        self.entries.drain(..first_kept);
        if let Some((_, at)) = self.entries.first_mut() {
            *at = (*at).max(start);
        }
    }

    /// The largest epoch that is not larger than `wanted`, and the offset behind its last record,
    /// in a log that ends at `log_end`. Nothing when `wanted` is newer than any epoch here.
    #[must_use]
    pub fn end_of(&self, wanted: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let (latest, _) = *self.entries.last()?;
        if wanted == latest {
            return Some((latest, log_end));
        }
        let place = self.entries.iter().position(|(epoch, _)| *epoch > wanted)?;
        let (_, end) = self.entries[place];
        let epoch = place
            .checked_sub(1)
            .map_or(wanted, |before| self.entries[before].0);
        Some((epoch, end))
    }

    /// Checks the invariants; panics with the invariant's number.
    pub fn check(&self) {
        for pair in self.entries.windows(2) {
            assert!(
                pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1,
                "I-REP-6: epochs and their starts ascend"
            );
        }
    }
}
