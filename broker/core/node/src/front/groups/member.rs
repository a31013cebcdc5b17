//! What members send: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and the heartbeat of the
//! consumer protocol. Translation only.

use super::{Shape, asked, maybe_name, maybe_text, name, refusal, text};
use crate::{
    authorizer::{Operation, Resource},
    front::{Call, Front, Plan},
    patterns,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};
use bytes::Bytes;
use core::fmt::Write;
use weir_group::{
    Assignment, Name, Reply, Request,
    reply::{HeartbeatReply, Joined},
    request::{
        Client, ConsumerHeartbeat, Heartbeat, JoinGroup, LeaveGroup, LeavingMember, SyncGroup,
    },
};
use weir_types::{ErrorCode, PartitionIndex, TopicId};
use weir_wire::{
    Response, Text,
    messages::{
        ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse, ConsumerGroupHeartbeatTopicPartitions, HeartbeatRequest,
        HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
        LeaveGroupRequest, LeaveGroupResponse, MemberResponse, SyncGroupRequest, SyncGroupResponse,
    },
};

/// How the reason begins that Kafka's tools give for a member they remove (KIP-800).
const REMOVED_BY_HAND: &str = "member was removed by an admin";

impl Front {
    pub(in super::super) fn join_group(
        &self,
        call: &mut Call<'_>,
        request: &JoinGroupRequest,
    ) -> Plan {
        let instance_id = maybe_name(request.group_instance_id.as_ref());
        let prefix = instance_id.as_deref().unwrap_or(call.client_id);
        let new_member_id = Name::from(format!("{prefix}-{}", uuid((call.random)())));
        let protocols = request.protocols.iter();
        let join = JoinGroup {
            group: name(&request.group_id),
            member_id: name(&request.member_id),
            new_member_id,
            client: client(call),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: if call.version == 0 {
                request.session_timeout_ms
            } else {
                request.rebalance_timeout_ms
            },
            protocol_type: name(&request.protocol_type),
            protocols: protocols
                .map(|protocol| (name(&protocol.name), own(&protocol.metadata)))
                .collect(),
            require_known_member_id: call.version >= 4 && instance_id.is_none(),
            supports_skipping_assignment: call.version >= 9,
            reason: maybe_name(request.reason.as_ref()),
            instance_id,
        };
        let group = &request.group_id;
        let ask = asked(call, Operation::Read, group, Request::JoinGroup(join));
        let member_id = request.member_id.clone();
        self.ask_groups(call, Vec::from([ask]), Shape::Join { member_id })
    }

    pub(in super::super) fn sync_group(&self, call: &Call<'_>, request: &SyncGroupRequest) -> Plan {
        let assignments = request.assignments.iter();
        let sync = SyncGroup {
            group: name(&request.group_id),
            member_id: name(&request.member_id),
            instance_id: maybe_name(request.group_instance_id.as_ref()),
            generation: request.generation_id,
            protocol_type: maybe_name(request.protocol_type.as_ref()),
            protocol: maybe_name(request.protocol_name.as_ref()),
            assignments: assignments
                .map(|given| (name(&given.member_id), own(&given.assignment)))
                .collect(),
        };
        let group = &request.group_id;
        let ask = asked(call, Operation::Read, group, Request::SyncGroup(sync));
        self.ask_groups(call, Vec::from([ask]), Shape::Sync)
    }

    pub(in super::super) fn heartbeat(&self, call: &Call<'_>, request: &HeartbeatRequest) -> Plan {
        let beat = Heartbeat {
            group: name(&request.group_id),
            member_id: name(&request.member_id),
            instance_id: maybe_name(request.group_instance_id.as_ref()),
            generation: request.generation_id,
        };
        let group = &request.group_id;
        let ask = asked(call, Operation::Read, group, Request::Heartbeat(beat));
        self.ask_groups(call, Vec::from([ask]), Shape::Heartbeat)
    }

    pub(in super::super) fn leave_group(
        &self,
        call: &Call<'_>,
        request: &LeaveGroupRequest,
    ) -> Plan {
        let members: Vec<LeavingMember> = if call.version < 3 {
            Vec::from([LeavingMember {
                member_id: name(&request.member_id),
                instance_id: None,
                reason: None,
            }])
        } else {
            let members = request.members.iter();
            let leaving = members.map(|member| LeavingMember {
                member_id: name(&member.member_id),
                instance_id: maybe_name(member.group_instance_id.as_ref()),
                reason: maybe_name(member.reason.as_ref()),
            });
            leaving.collect()
        };
        let is_tool = |member: &LeavingMember| {
            let reason = member.reason.as_deref().unwrap_or_default();
            member.member_id.is_empty() || reason.starts_with(REMOVED_BY_HAND)
        };
        // A member leaves alone and by its id; who names several, or one by its instance, or gives
        // the reason that Kafka's and our own tools give (KIP-800), is a person's tool.
        let alone = members.len() == 1 && !members.iter().any(is_tool);
        let leave = LeaveGroup {
            group: name(&request.group_id),
            members,
            by_hand: !alone,
        };
        let group = &request.group_id;
        let ask = asked(call, Operation::Read, group, Request::LeaveGroup(leave));
        self.ask_groups(call, Vec::from([ask]), Shape::Leave)
    }

    pub(in super::super) fn consumer_heartbeat(
        &self,
        call: &mut Call<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Plan {
        if let Err((error_code, message)) = check_heartbeat(call, request) {
            return Plan::answer(ConsumerGroupHeartbeatResponse {
                error_code,
                error_message: Some(Text::from(message)),
                ..Default::default()
            });
        }
        // Kafka's form of a random id, which clients make for themselves from version 1 on.
        let new_member_id = Name::from(format!("{}", TopicId((call.random)())));
        let topics = request.subscribed_topic_names.as_ref();
        let beat = ConsumerHeartbeat {
            group: name(&request.group_id),
            member_id: name(&request.member_id),
            new_member_id,
            member_epoch: request.member_epoch,
            instance_id: maybe_name(request.instance_id.as_ref()),
            rack: maybe_name(request.rack_id.as_ref()),
            client: client(call),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            topics: topics.map(|topics| topics.iter().map(name).collect::<BTreeSet<Name>>()),
            pattern: maybe_name(request.subscribed_topic_regex.as_ref()),
            assignor: maybe_name(request.server_assignor.as_ref()),
            owned: request.topic_partitions.as_deref().map(assignment),
        };
        let group = &request.group_id;
        let ask = asked(
            call,
            Operation::Read,
            group,
            Request::ConsumerHeartbeat(beat),
        );
        let member_id = request.member_id.clone();
        let shape = Shape::ConsumerHeartbeat { member_id };
        self.ask_groups(call, Vec::from([ask]), shape)
    }
}

/// What is wrong with a heartbeat that no coordinator needs to see.
fn check_heartbeat(
    call: &Call<'_>,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<(), (ErrorCode, String)> {
    if call.version >= 1 && request.member_id.is_empty() {
        let text = String::from("a member chooses its own id from version 1 on");
        return Err((ErrorCode::InvalidRequest, text));
    }
    let named = request.subscribed_topic_names.iter().flatten();
    let may = |topic: &&Text| {
        call.context
            .may(Operation::Describe, Resource::Topic(topic))
    };
    if let Some(topic) = named.into_iter().find(|topic| !may(topic)) {
        let text = format!("not allowed to look at topic '{topic}'");
        return Err((ErrorCode::TopicAuthorizationFailed, text));
    }
    match &request.subscribed_topic_regex {
        Some(pattern) if !pattern.is_empty() => {
            patterns::check(pattern).map_err(|text| (ErrorCode::InvalidRegularExpression, text))
        }
        _ => Ok(()),
    }
}

fn client(call: &Call<'_>) -> Client {
    Client {
        id: Name::from(call.client_id),
        host: call.context.host.clone(),
    }
}

/// Bytes that do not keep the frame alive in which they came.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Sixteen random bytes in the usual form of a random UUID (RFC 9562, version 4).
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

fn assignment(topics: &[ConsumerGroupHeartbeatTopicPartitions]) -> Assignment {
    let mut assignment: BTreeMap<TopicId, BTreeSet<PartitionIndex>> = BTreeMap::new();
    for topic in topics {
        let partitions = assignment.entry(topic.topic_id).or_default();
        partitions.extend(topic.partitions.iter().copied());
    }
    assignment
}

pub(super) fn joined(reply: Reply, member_id: Text, version: i16) -> Response {
    let joined = match reply {
        Reply::Joined(joined) => joined,
        other => Joined::failed(refusal(&other).0, name(&member_id)),
    };
    let members = joined.members.iter();
    let protocol_name = maybe_text(joined.protocol.as_ref());
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: joined.error,
        generation_id: joined.generation,
        protocol_type: maybe_text(joined.protocol_type.as_ref()),
        protocol_name: if version < 7 {
            Some(protocol_name.unwrap_or_default())
        } else {
            protocol_name
        },
        leader: text(&joined.leader),
        skip_assignment: joined.skip_assignment,
        member_id: text(&joined.member_id),
        members: members
            .map(|(id, instance, metadata)| JoinGroupResponseMember {
                member_id: text(id),
                group_instance_id: maybe_text(instance.as_ref()),
                metadata: metadata.clone(),
            })
            .collect(),
    }
    .into()
}

pub(super) fn synced(reply: Reply) -> Response {
    match reply {
        Reply::Synced {
            protocol_type,
            protocol,
            assignment,
        } => SyncGroupResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::None,
            protocol_type: maybe_text(protocol_type.as_ref()),
            protocol_name: maybe_text(protocol.as_ref()),
            assignment,
        },
        other => SyncGroupResponse {
            error_code: refusal(&other).0,
            ..Default::default()
        },
    }
    .into()
}

pub(super) fn alive(reply: &Reply) -> Response {
    HeartbeatResponse {
        throttle_time_ms: 0,
        error_code: match reply {
            Reply::Alive { error } => *error,
            other => refusal(other).0,
        },
    }
    .into()
}

pub(super) fn left(reply: Reply, version: i16) -> Response {
    let mut response = LeaveGroupResponse::default();
    match reply {
        // Before version 3 one member leaves, and its error is the request's.
        Reply::Left(members) if version < 3 => {
            response.error_code = members
                .first()
                .map_or(ErrorCode::None, |(.., error)| *error);
        }
        Reply::Left(members) => {
            let members = members.iter();
            let row = members.map(|(id, instance, error)| MemberResponse {
                member_id: text(id),
                group_instance_id: maybe_text(instance.as_ref()),
                error_code: *error,
            });
            response.members = row.collect();
        }
        other => response.error_code = refusal(&other).0,
    }
    response.into()
}

pub(super) fn consumer_alive(reply: Reply, member_id: Text) -> Response {
    match reply {
        Reply::Heartbeat(beat) => heartbeat_response(&beat),
        other => {
            let (error_code, error_message) = refusal(&other);
            ConsumerGroupHeartbeatResponse {
                error_code,
                error_message,
                member_id: Some(member_id),
                ..Default::default()
            }
        }
    }
    .into()
}

fn heartbeat_response(beat: &HeartbeatReply) -> ConsumerGroupHeartbeatResponse {
    let topics = |assignment: &Assignment| {
        let topics = assignment.iter();
        let row = topics.map(
            |(topic, partitions)| ConsumerGroupHeartbeatTopicPartitions {
                topic_id: *topic,
                partitions: partitions.iter().copied().collect(),
            },
        );
        ConsumerGroupHeartbeatAssignment {
            topic_partitions: row.collect(),
        }
    };
    ConsumerGroupHeartbeatResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None,
        error_message: None,
        member_id: Some(text(&beat.member_id)),
        member_epoch: beat.member_epoch,
        heartbeat_interval_ms: i32::try_from(beat.heartbeat_interval_ms).unwrap_or(i32::MAX),
        assignment: beat.assignment.as_ref().map(topics),
    }
}
