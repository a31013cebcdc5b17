//! LeaveGroup, in a classic group and in a consumer group.

use crate::{
    Name, Reply, RequestId,
    desk::Desk,
    request::{LeaveGroup, LeavingMember},
};
use alloc::vec::Vec;
use weir_types::{CauseKind, ErrorCode};

use super::join::valid_id;

impl Desk<'_> {
    /// LeaveGroup, whatever the kind of the group: any number of members at once (KIP-345).
    pub(crate) fn leave(&mut self, request: RequestId, leave: LeaveGroup) {
        if !valid_id(&leave.group) {
            self.answer(request, Reply::error(ErrorCode::InvalidGroupId));
            return;
        }
        let kind = if leave.by_hand {
            CauseKind::ByHand
        } else {
            CauseKind::Left
        };
        let consumer = self.is_consumer();
        let mut told = Vec::new();
        let mut gone = Vec::new();
        for member in leave.members {
            let outcome = if consumer {
                self.leaving_consumer(&member)
            } else {
                self.leaving(&member)
            };
            let error = match outcome {
                Ok(Some(id)) => {
                    self.note(kind, Some(&id), member.reason.clone());
                    if consumer {
                        self.remove_consumer(&id);
                    } else {
                        self.drop_member(&id);
                    }
                    gone.push(id);
                    ErrorCode::None
                }
                Ok(None) => ErrorCode::None,
                Err(error) => error,
            };
            told.push((member.member_id, member.instance_id, error));
        }
        if consumer && !gone.is_empty() {
            self.members_left();
        } else if self.live.classic.is_some() {
            self.after_leave(!gone.is_empty());
        }
        self.answer(request, Reply::Left(told));
    }

    fn after_leave(&mut self, gone: bool) {
        use super::ClassicState::PreparingRebalance;
        if gone || self.classic().state == PreparingRebalance {
            self.after_removal();
        }
    }

    /// Which member that is; nothing: only its id was given away, and is taken back.
    fn leaving(&mut self, leaving: &LeavingMember) -> Result<Option<Name>, ErrorCode> {
        let Some(group) = &mut self.live.classic else {
            return Err(ErrorCode::UnknownMemberId);
        };
        if let Some(instance) = &leaving.instance_id {
            let id = group.members.instance(instance);
            let id = id.ok_or(ErrorCode::UnknownMemberId)?;
            if !leaving.member_id.is_empty() && *id != leaving.member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
            return Ok(Some(id.clone()));
        }
        if group.pending.contains(&leaving.member_id) {
            group.pending.put(&leaving.member_id, None);
            return Ok(None);
        }
        if group.members.contains(&leaving.member_id) {
            return Ok(Some(leaving.member_id.clone()));
        }
        Err(ErrorCode::UnknownMemberId)
    }

    fn leaving_consumer(&self, leaving: &LeavingMember) -> Result<Option<Name>, ErrorCode> {
        let group = self.the_consumer();
        if let Some(instance) = &leaving.instance_id {
            let (id, _) = group.instance(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if !leaving.member_id.is_empty() && *id != leaving.member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
            return Ok(Some(id.clone()));
        }
        if group.members.contains_key(&leaving.member_id) {
            return Ok(Some(leaving.member_id.clone()));
        }
        Err(ErrorCode::UnknownMemberId)
    }
}
