//! How members leave a consumer group: of their own will, by silence, or by hand.

use super::heartbeat::Refusal;
use super::{LEAVE, LEAVE_STATIC};
use crate::{
    Assignment, GroupRecord, Name,
    desk::Desk,
    record::{Current, MemberState},
    reply::HeartbeatReply,
    request::ConsumerHeartbeat,
};
use alloc::collections::BTreeSet;
use weir_types::{CauseKind, ErrorCode};

impl Desk<'_> {
    /// The heartbeat that says goodbye.
    pub(super) fn consumer_leave(
        &mut self,
        beat: &ConsumerHeartbeat,
    ) -> Result<HeartbeatReply, Refusal> {
        let unknown = (ErrorCode::UnknownMemberId, "the group has no such member");
        let group = self.consumer().ok_or(unknown)?;
        let id = beat.member_id.clone();
        if let Some(instance) = &beat.instance_id {
            let (found, _) = group.instance(instance).ok_or(unknown)?;
            if *found != id {
                let text = "another member took over this instance id";
                return Err((ErrorCode::FencedInstanceId, text));
            }
        }
        let member = group.members.get(&id).ok_or(unknown)?;
        let returns = beat.member_epoch == LEAVE_STATIC;
        if returns {
            // It keeps its share until its session ends; what it had to give up, it has.
            let value = Current {
                epoch: LEAVE_STATIC,
                previous_epoch: member.current.epoch,
                state: MemberState::Stable,
                assigned: member.current.assigned.clone(),
                revoking: Assignment::new(),
            };
            self.write_current(&id, value);
            self.keep_session(&id);
        } else {
            self.note(CauseKind::Left, Some(&id), None);
            self.remove_consumer(&id);
            self.members_left();
        }
        Ok(HeartbeatReply {
            member_id: id,
            member_epoch: if returns { LEAVE_STATIC } else { LEAVE },
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }

    /// Takes a member out, and no more.
    pub(crate) fn remove_consumer(&mut self, id: &Name) {
        self.write(GroupRecord::Member {
            group: self.id.clone(),
            member: id.clone(),
            value: None,
        });
        self.live.sessions.remove(id);
        if let Some(notebook) = &mut self.live.notebook {
            notebook.forget(id);
        }
    }

    /// What follows when members are gone: the others share what they had.
    pub(crate) fn members_left(&mut self) {
        // Who changes back to the classic protocol comes with the epoch it knows, which has to count
        // until it has joined again: otherwise it would lose what it has, uncommitted.
        if !self.downgrade_if_due() {
            self.bump_epoch();
            self.update_target();
        }
    }

    /// Deals with whoever of a consumer group has run out of time.
    pub(crate) fn expire_consumer(&mut self) {
        let tick = self.now.tick;
        let late = self.live.sessions.until(tick);
        // By name, so that what is written does not hang on who was heard of last.
        let late: BTreeSet<Name> = late.map(|(id, _)| id.clone()).collect();
        for id in &late {
            self.note(CauseKind::TimedOut, Some(id), None);
            self.remove_consumer(id);
        }
        if late.is_empty() {
            self.update_target();
        } else {
            self.members_left();
        }
    }
}
