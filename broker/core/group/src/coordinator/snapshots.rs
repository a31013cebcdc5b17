//! Snapshots: everything is stated again between two marks, a few groups or a part of one a step, so
//! that the log may forget what came before the first mark. What is written meanwhile stands between
//! them too; since each record is a fact that may be stated at any time, reading from the first mark
//! on gives the state at the end.

use super::Coordinator;
use crate::{
    GroupEffect, GroupRecord, Name, WriteId,
    limits::{
        SNAPSHOT_BYTES_MIN, SNAPSHOT_BYTES_PER_STEP, SNAPSHOT_GROUPS_PER_STEP,
        SNAPSHOT_RECORDS_PER_STEP, SNAPSHOT_RECORDS_PER_WRITE,
    },
    statement::Place,
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
    /// The group that is stated in part, and how far.
    inside: Option<(Name, Place)>,
}

impl Coordinator {
    pub(super) fn begin_snapshot(&mut self) {
        if self.snapshot.is_none() {
            self.snapshot = Some(Progress {
                id: self.groups.snapshot_id() + 1,
                begin: None,
                after: None,
                inside: None,
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
        let is_last = self.state_groups(&mut progress, &mut records, effects);
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

    /// States groups, or parts of one, until it is enough for a step; whether all are stated.
    fn state_groups(
        &mut self,
        progress: &mut Progress,
        records: &mut Vec<GroupRecord>,
        effects: &mut Vec<GroupEffect>,
    ) -> bool {
        let (mut stated, mut bytes) = (0, 0);
        for _ in 0..SNAPSHOT_GROUPS_PER_STEP {
            if stated >= SNAPSHOT_RECORDS_PER_STEP || bytes >= SNAPSHOT_BYTES_PER_STEP {
                return false;
            }
            let (id, from) = match progress.inside.take() {
                Some(inside) => inside,
                None => match self.groups.id_after(progress.after.as_ref()) {
                    Some(id) => (id.clone(), Place::Start),
                    None => return true,
                },
            };
            let most = SNAPSHOT_RECORDS_PER_STEP - stated;
            let piece = self.groups.piece_of(&id, &from, most);
            let mut forget = self.config.mutants.forget_in_snapshots && from == Place::Start;
            for record in piece.records {
                if forget && matches!(record, GroupRecord::Offset { .. }) {
                    forget = false;
                    continue;
                }
                self.groups.apply(&record);
                stated += 1;
                bytes += record.bytes();
                records.push(record);
                if records.len() >= SNAPSHOT_RECORDS_PER_WRITE {
                    self.write(core::mem::take(records), effects);
                }
            }
            match piece.rest {
                Some(place) => progress.inside = Some((id, place)),
                None => progress.after = Some(id),
            }
        }
        false
    }
}
