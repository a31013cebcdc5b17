//! What a program may do when partitions, or the group's coordinator, come and go.
//!
//! Listeners run on the program's own task, inside a poll: between two records, never beside one.

use super::CommitOffset;
use crate::record::TopicPartition;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use weir_types::Offset;

/// Offsets that are committed before partitions are given up.
#[derive(Debug, Default)]
pub struct FinalCommit {
    pub(crate) offsets: BTreeMap<TopicPartition, CommitOffset>,
    pub(crate) positions: BTreeMap<TopicPartition, Offset>,
}

impl FinalCommit {
    /// Where a partition that is given up stands: the offset behind the last record handed out.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition).copied()
    }

    /// Commits this for a partition; it counts instead of an automatic commit of it.
    pub fn commit(&mut self, partition: TopicPartition, offset: impl Into<CommitOffset>) {
        self.offsets.insert(partition, offset.into());
    }

    /// Commits every partition that is given up where it stands.
    pub fn commit_positions(&mut self) {
        for (partition, offset) in &self.positions {
            let offset = CommitOffset::from(*offset);
            self.offsets.entry(partition.clone()).or_insert(offset);
        }
    }
}

/// Hears of partitions that come and go (Kafka's `ConsumerRebalanceListener`). Only what changes
/// is told: partitions that are kept are never stopped.
///
/// The calls come between two records, on the task that polls; they hold the member's answer to the
/// coordinator up, so they are to be quick.
pub trait RebalanceListener: Send {
    /// Partitions were taken in; their records follow.
    fn assigned(&mut self, partitions: &BTreeSet<TopicPartition>) {
        let _ = partitions;
    }

    /// Partitions are given up; no record of them follows. What is put into `commit` is tried to be
    /// committed before others get them: where that fails, they read again from the offset before.
    /// With automatic commits that happens by itself.
    fn revoked(&mut self, partitions: &BTreeSet<TopicPartition>, commit: &mut FinalCommit) {
        let _ = (partitions, commit);
    }

    /// Partitions are gone, perhaps to others already: nothing of them can be committed any more.
    fn lost(&mut self, partitions: &BTreeSet<TopicPartition>) {
        let _ = partitions;
    }

    /// What was to be committed of these partitions, by itself, when they were given up or at the
    /// end, is dropped, and the member goes on: the coordinator does not know their topics (any
    /// more), in these words.
    fn offsets_dropped(&mut self, partitions: &BTreeSet<TopicPartition>, reason: &str) {
        let _ = (partitions, reason);
    }

    /// The group's coordinator does not answer, or is none any more, for this reason. The member
    /// looks for it, again and again, and reads on meanwhile; what it commits waits.
    fn coordinator_away(&mut self, reason: &str) {
        let _ = reason;
    }

    /// A coordinator answers again, so long after that was told.
    fn coordinator_back(&mut self, after: Duration) {
        let _ = after;
    }
}

/// Does nothing.
pub(crate) struct Deaf;

impl RebalanceListener for Deaf {}
