//! Snapshots: everything is stated again between two marks, a few groups a step, so that the log
//! may forget what came before the first mark. What is written meanwhile stands between them too;
//! since each record is a fact that may be stated at any time, reading from the first mark on
//! gives the state at the end.

use super::Coordinator;
use crate::{
    GroupEffect, GroupRecord, Name, WriteId,
    limits::{
        SNAPSHOT_BYTES_MIN, SNAPSHOT_GROUPS_PER_STEP, SNAPSHOT_RECORDS_PER_STEP,
        SNAPSHOT_RECORDS_PER_WRITE,
    },
};
use alloc::vec::Vec;

/// A snapshot under way.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    id: u64,
    /// The write with its first mark; nothing: not yet written.
    begin: Option<WriteId>,
    /// The last group that was stated.
    after: Option<Name>,
}

impl Coordinator {
    pub(super) fn begin_snapshot(&mut self) {
        if self.snapshot.is_none() {
            self.snapshot = Some(Progress {
                id: self.groups.snapshot_id() + 1,
                begin: None,
                after: None,
            });
        }
    }

    /// Begins a snapshot when it is worth its while; looked at only now and then.
    pub(super) fn consider_snapshot(&mut self) {
        let (since, bytes) = (
            self.groups.records_since_snapshot(),
            self.groups.bytes_since_snapshot(),
        );
        let is_time = since >= self.snapshot_check || bytes >= self.snapshot_check_bytes;
        if self.snapshot.is_some() || !is_time {
            return;
        }
        let records_min = self.config.snapshot_records_min;
        if self.groups.wants_snapshot(records_min) {
            self.snapshot_check = records_min;
            self.snapshot_check_bytes = SNAPSHOT_BYTES_MIN;
            self.begin_snapshot();
        } else {
            self.snapshot_check = since + records_min;
            self.snapshot_check_bytes = bytes + SNAPSHOT_BYTES_MIN;
        }
    }

    /// States the next groups.
    pub(super) fn go_on_with_snapshot(&mut self, effects: &mut Vec<GroupEffect>) {
        let Some(mut progress) = self.snapshot.take() else {
            return;
        };
        let mut records = Vec::new();
        let begin = *progress.begin.get_or_insert_with(|| {
            records.push(GroupRecord::SnapshotBegin {
                id: progress.id,
                events: self.groups.last_event(),
            });
            self.next_write
        });
        if let [mark] = records.as_slice() {
            self.groups.apply(mark);
        }
        let ids = self
            .groups
            .ids_after(progress.after.as_ref(), SNAPSHOT_GROUPS_PER_STEP);
        let mut is_last = ids.len() < SNAPSHOT_GROUPS_PER_STEP;
        let mut stated = 0;
        for id in &ids {
            if stated >= SNAPSHOT_RECORDS_PER_STEP {
                is_last = false;
                break;
            }
            progress.after = Some(id.clone());
            let mut forget = self.config.mutants.forget_in_snapshots;
            for record in self.groups.snapshot_of(id) {
                if forget && matches!(record, GroupRecord::Offset { .. }) {
                    forget = false;
                    continue;
                }
                self.groups.apply(&record);
                records.push(record);
                stated += 1;
                if records.len() >= SNAPSHOT_RECORDS_PER_WRITE {
                    self.write(core::mem::take(&mut records), effects);
                }
            }
        }
        if is_last {
            let mark = GroupRecord::SnapshotEnd { id: progress.id };
            self.groups.apply(&mark);
            records.push(mark);
        } else {
            self.snapshot = Some(progress);
        }
        if !records.is_empty() {
            self.write(records, effects);
        }
        if self.snapshot.is_none() {
            effects.push(GroupEffect::SnapshotWritten {
                begin,
                end: WriteId(self.next_write.0 - 1),
            });
        }
    }
}
