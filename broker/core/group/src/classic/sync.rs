//! SyncGroup and Heartbeat in a classic group.

use super::ClassicState;
use crate::{
    Name, Reply, RequestId,
    desk::Desk,
    limits::{ASSIGNMENTS_BYTES_MAX, MEMBER_BLOB_BYTES_MAX},
    request::{Heartbeat, SyncGroup},
};
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use weir_types::ErrorCode;

use super::join::valid_id;

impl Desk<'_> {
    /// SyncGroup, whatever the kind of the group. The answer may wait for the leader.
    pub(crate) fn sync(&mut self, request: RequestId, sync: SyncGroup) {
        let outcome = if !valid_id(&sync.group) {
            Err(ErrorCode::InvalidGroupId)
        } else if self.is_consumer() {
            self.sync_consumer_group(request, &sync)
        } else if self.live.classic.is_none() {
            Err(ErrorCode::UnknownMemberId)
        } else {
            self.try_sync(request, sync)
        };
        if let Err(error) = outcome {
            self.answer(request, Reply::error(error));
        }
    }

    fn try_sync(&mut self, request: RequestId, sync: SyncGroup) -> Result<(), ErrorCode> {
        let group = self.classic();
        group.validate(&sync.member_id, sync.instance_id.as_ref())?;
        if sync.generation != group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |said: &Option<Name>, known: &Option<Name>| said.is_some() && said != known;
        if differs(&sync.protocol_type, &group.protocol_type)
            || differs(&sync.protocol, &group.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match group.state {
            ClassicState::Empty => Err(ErrorCode::UnknownMemberId),
            ClassicState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            ClassicState::CompletingRebalance => {
                let leads = group.leader.as_ref() == Some(&sync.member_id);
                let sizes = || sync.assignments.iter().map(|(_, blob)| blob.len());
                if sizes().any(|size| size > MEMBER_BLOB_BYTES_MAX)
                    || sizes().sum::<usize>() > ASSIGNMENTS_BYTES_MAX
                {
                    return Err(ErrorCode::InvalidRequest);
                }
                self.park_sync(request, &sync.member_id);
                if leads {
                    self.assigned(sync.assignments);
                }
                Ok(())
            }
            ClassicState::Stable => {
                group.unsynced.remove(&sync.member_id);
                self.seen(&sync.member_id);
                self.tell_share(request, &sync.member_id);
                Ok(())
            }
        }
    }

    fn park_sync(&mut self, request: RequestId, id: &Name) {
        self.seen(id);
        let group = self.classic();
        group.unsynced.remove(id);
        let earlier = group
            .members
            .change(id, |member| member.syncing.replace(request))
            .flatten();
        if let Some(earlier) = earlier {
            self.answer(earlier, Reply::error(ErrorCode::RebalanceInProgress));
        }
    }

    /// The leader has assigned: the generation is written, and who waits is told its share.
    fn assigned(&mut self, assignments: Vec<(Name, Bytes)>) {
        let wall = self.now.wall;
        let mut given: BTreeMap<Name, Bytes> = assignments.into_iter().collect();
        let group = self.classic();
        let ids: Vec<Name> = group.members.ids().cloned().collect();
        for id in &ids {
            // The leader's frame may be large: keep the share, not the frame.
            let share = Bytes::copy_from_slice(&given.remove(id).unwrap_or_default());
            group.members.change(id, |member| member.assignment = share);
        }
        group.state = ClassicState::Stable;
        // Who has not asked yet is still waited for, and no longer than it was to be.
        if group.unsynced.is_empty() {
            group.sync_by = None;
        }
        let meta = group.meta(wall);
        self.write_classic(meta);
        for id in ids {
            let members = &mut self.classic().members;
            let waiting = members.change(&id, |member| member.syncing.take());
            if let Some(request) = waiting.flatten() {
                self.seen(&id);
                self.tell_share(request, &id);
            }
        }
    }

    fn tell_share(&mut self, request: RequestId, id: &Name) {
        let now = self.now;
        let group = self.classic();
        let assignment = group
            .members
            .get(id)
            .map(|member| member.assignment.clone())
            .unwrap_or_default();
        if group.unsynced.is_empty() {
            group.sync_by = None;
        }
        let reply = Reply::Synced {
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            assignment,
        };
        let classic = self.live.classic.as_ref();
        let idle = classic.is_none_or(|classic| classic.idles(id, self.topics));
        if let Some(notebook) = &mut self.live.notebook {
            if idle {
                notebook.forget(id);
            } else {
                notebook.moves(id, now);
            }
        }
        self.answer(request, reply);
    }

    /// Heartbeat of a classic member, whatever the kind of the group.
    pub(crate) fn heartbeat(&mut self, request: RequestId, beat: &Heartbeat) {
        let outcome = if !valid_id(&beat.group) {
            Err(ErrorCode::InvalidGroupId)
        } else if self.is_consumer() {
            self.heartbeat_in_consumer_group(beat)
        } else if self.live.classic.is_none() {
            Err(ErrorCode::UnknownMemberId)
        } else {
            self.try_heartbeat(beat)
        };
        let reply = match outcome {
            Ok(error) => Reply::Alive { error },
            Err(error) => Reply::error(error),
        };
        self.answer(request, reply);
    }

    fn try_heartbeat(&mut self, beat: &Heartbeat) -> Result<ErrorCode, ErrorCode> {
        let group = self.classic();
        group.validate(&beat.member_id, beat.instance_id.as_ref())?;
        if beat.generation != group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let state = group.state;
        self.seen(&beat.member_id);
        self.live.is_quiet = true;
        match state {
            ClassicState::Empty => Err(ErrorCode::UnknownMemberId),
            ClassicState::PreparingRebalance => Ok(ErrorCode::RebalanceInProgress),
            ClassicState::CompletingRebalance | ClassicState::Stable => Ok(ErrorCode::None),
        }
    }
}
