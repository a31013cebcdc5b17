//! Looking at groups and deleting them.

use super::Coordinator;
use crate::{
    GroupRecord, Kind, Name, Reply, Request, RequestId,
    classic::ClassicGroup,
    desk::{Desk, Out},
    embedded::CONSUMER,
    group::ConsumerGroup,
    reply::{
        ClassicDescription, ClassicMemberDescription, ConsumerDescription,
        ConsumerMemberDescription, ListedGroup,
    },
    request::ListGroups,
};
use alloc::vec::Vec;
use bytes::Bytes;
use weir_types::{ErrorCode, Now};

impl Coordinator {
    /// Requests that concern several groups; the answer waits for all that was written so far.
    pub(super) fn ask_many(
        &mut self,
        now: Now,
        id: RequestId,
        request: Request,
        out: &mut Out,
        unresolved: &mut Vec<Name>,
    ) {
        let reply = match request {
            Request::ListGroups(filter) => Reply::Groups(self.list(&filter)),
            Request::DescribeGroups(ids) => {
                let described = ids.into_iter().map(|id| self.describe_classic(id));
                Reply::Described(described.collect())
            }
            Request::ConsumerDescribe(ids) => {
                let described = ids.into_iter().map(|id| self.describe_consumer(id));
                Reply::ConsumersDescribed(described.collect())
            }
            Request::DeleteGroups(ids) => {
                let mut told = Vec::new();
                for id in ids {
                    let error = self.turn(now, &id, out, unresolved, |desk| desk.delete_group());
                    told.push((id, error));
                }
                Reply::Deleted(told)
            }
            _ => unreachable!("a request to one group goes to its desk"),
        };
        let last = if out.records.is_empty() {
            self.next_write.0.checked_sub(1).map(crate::WriteId)
        } else {
            Some(self.next_write)
        };
        out.sealed.push((id, last, reply));
    }

    fn list(&self, filter: &ListGroups) -> Vec<ListedGroup> {
        let allowed = |wanted: &[Name], is: &str| {
            wanted.is_empty() || wanted.iter().any(|name| name.eq_ignore_ascii_case(is))
        };
        self.ids()
            .filter_map(|id| self.listed(id))
            .filter(|listed| allowed(&filter.states, listed.state))
            .filter(|listed| allowed(&filter.types, listed.group_type))
            .collect()
    }

    /// Every group, also one whose first rebalance is not yet written.
    fn ids(&self) -> impl Iterator<Item = &Name> {
        let fresh = self.live.iter().filter(|(id, live)| {
            self.groups.get(id).is_none()
                && live.classic.as_ref().is_some_and(|group| !group.is_void())
        });
        let known = self.groups.iter().map(|(id, _)| id);
        known.chain(fresh.map(|(id, _)| id))
    }

    pub(super) fn classic_of(&self, id: &str) -> Option<&ClassicGroup> {
        self.live.get(id)?.classic.as_ref()
    }

    fn listed(&self, id: &Name) -> Option<ListedGroup> {
        let (protocol_type, state, group_type) = if let Some(classic) = self.classic_of(id) {
            let protocol_type = classic.protocol_type.clone();
            (protocol_type, classic.state.name(), "classic")
        } else {
            match &self.groups.get(id)?.kind {
                Kind::Consumer(group) => (Some(Name::from(CONSUMER)), group.state(), "consumer"),
                Kind::Simple | Kind::Classic(_) => (None, "Empty", "classic"),
            }
        };
        Some(ListedGroup {
            group: id.clone(),
            protocol_type: protocol_type.unwrap_or_else(|| Name::from("")),
            state,
            group_type,
        })
    }

    /// DescribeGroups tells nothing of consumer groups; a group that is not there is "Dead".
    fn describe_classic(&self, id: Name) -> ClassicDescription {
        let none = || Name::from("");
        let classic = self.classic_of(&id);
        let simple = self.groups.get(&id).map(|group| &group.kind) == Some(&Kind::Simple);
        let Some(classic) = classic else {
            return ClassicDescription {
                error: if simple {
                    ErrorCode::None
                } else {
                    ErrorCode::GroupIdNotFound
                },
                group: id,
                state: if simple { "Empty" } else { "Dead" },
                protocol_type: none(),
                protocol: none(),
                members: Vec::new(),
            };
        };
        use crate::classic::ClassicState::Stable;
        let stable = classic.state == Stable;
        let protocol = classic
            .protocol
            .clone()
            .filter(|_| stable)
            .unwrap_or_else(none);
        let members = classic
            .members
            .iter()
            .map(|(id, member)| ClassicMemberDescription {
                member_id: id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client.id.clone(),
                client_host: member.client.host.clone(),
                metadata: if stable {
                    member.subscription(&protocol)
                } else {
                    Bytes::new()
                },
                assignment: if stable {
                    member.assignment.clone()
                } else {
                    Bytes::new()
                },
            });
        ClassicDescription {
            error: ErrorCode::None,
            group: id,
            state: classic.state.name(),
            protocol_type: classic.protocol_type.clone().unwrap_or_else(none),
            members: members.collect(),
            protocol,
        }
    }

    fn describe_consumer(&self, id: Name) -> ConsumerDescription {
        let Some(group) = self.groups.get(&id).and_then(|group| group.consumer()) else {
            return ConsumerDescription {
                error: ErrorCode::GroupIdNotFound,
                group: id,
                state: "Dead",
                epoch: 0,
                assignment_epoch: 0,
                assignor: "",
                members: Vec::new(),
            };
        };
        ConsumerDescription {
            error: ErrorCode::None,
            group: id,
            state: group.state(),
            epoch: group.meta.epoch,
            assignment_epoch: group.target_epoch,
            assignor: group.assignor(),
            members: describe_members(group),
        }
    }
}

fn describe_members(group: &ConsumerGroup) -> Vec<ConsumerMemberDescription> {
    let members = group.members.iter();
    let described = members.map(|(id, member)| ConsumerMemberDescription {
        member_id: id.clone(),
        instance_id: member.meta.instance_id.clone(),
        rack: member.meta.rack.clone(),
        epoch: member.current.epoch,
        client_id: member.meta.client_id.clone(),
        client_host: member.meta.client_host.clone(),
        topics: member.meta.topics.clone(),
        pattern: member.meta.pattern.clone(),
        assigned: member.current.assigned.clone(),
        target: member.target.clone(),
        classic: member.is_classic(),
    });
    described.collect()
}

impl Desk<'_> {
    /// DeleteGroups, for one: only a group that nobody is in.
    fn delete_group(&mut self) -> ErrorCode {
        let members = match (&self.live.classic, self.consumer()) {
            (Some(classic), _) => classic.members.len() + classic.pending.len(),
            (None, Some(consumer)) => consumer.members.len(),
            (None, None) => 0,
        };
        if members > 0 {
            return ErrorCode::NonEmptyGroup;
        }
        if self.group().is_none() {
            return ErrorCode::GroupIdNotFound;
        }
        self.live.classic = None;
        self.live.notebook = None;
        self.write(GroupRecord::Deleted {
            group: self.id.clone(),
        });
        ErrorCode::None
    }

    /// The rebalances of the group after one that is known.
    pub(super) fn tell_history(&mut self, request: RequestId, after: u64) {
        let Some(group) = self.group() else {
            self.answer(request, Reply::error(ErrorCode::GroupIdNotFound));
            return;
        };
        let (missed, events) = group.events_after(after);
        let events = events.into_iter().cloned().collect();
        self.answer(request, Reply::History { missed, events });
    }
}
