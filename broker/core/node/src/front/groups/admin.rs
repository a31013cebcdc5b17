//! ListGroups, DescribeGroups, ConsumerGroupDescribe and DeleteGroups: groups as people see them.
//! Translation only.

use super::{Asked, Shape, asked, maybe_text, name, refusal, text};
use crate::{
    authorizer::{Operation, Resource, authorized_operations},
    front::{Call, Context, Front, Plan},
    request::{GroupAsk, PartitionKey},
};
use alloc::{format, vec::Vec};
use weir_group::{
    Assignment, Reply, Request,
    reply::{ClassicDescription, ConsumerDescription, ConsumerMemberDescription},
    request::ListGroups,
};
use weir_meta::{Image, name::CONSUMER_OFFSETS};
use weir_types::{ErrorCode, PartitionIndex};
use weir_wire::{
    Response, Text,
    messages::{
        ConsumerGroupDescribeAssignment, ConsumerGroupDescribeMember, ConsumerGroupDescribeRequest,
        ConsumerGroupDescribeResponse, ConsumerGroupDescribeTopicPartitions,
        ConsumerGroupDescribedGroup, DeletableGroupResult, DeleteGroupsRequest,
        DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup,
        DescribedGroupMember, ListGroupsRequest, ListGroupsResponse, ListedGroup,
    },
};

/// Groups that are being described.
#[derive(Debug)]
pub(super) struct Described {
    groups: Vec<Text>,
    operations: bool,
}

/// Every partition of `__consumer_offsets`.
pub(super) fn all_coordinators(image: &Image) -> Vec<PartitionKey> {
    let Some(topic) = image.topic_named(CONSUMER_OFFSETS) else {
        return Vec::new();
    };
    let key = |index: usize| PartitionKey {
        topic: topic.id,
        index: PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX)),
    };
    (0..topic.partitions.len()).map(key).collect()
}

impl Front {
    pub(in super::super) fn list_groups(
        &self,
        call: &Call<'_>,
        request: &ListGroupsRequest,
    ) -> Plan {
        let filter = ListGroups {
            states: request.states_filter.iter().map(name).collect(),
            types: request.types_filter.iter().map(name).collect(),
        };
        let asks = all_coordinators(call.image).into_iter().map(|key| {
            let request = Request::ListGroups(filter.clone());
            Ok(GroupAsk { key, request })
        });
        self.ask_groups(call, asks.collect(), Shape::List)
    }

    pub(in super::super) fn describe_groups(
        &self,
        call: &Call<'_>,
        request: DescribeGroupsRequest,
    ) -> Plan {
        let ask = |id: &Text| {
            let request = Request::DescribeGroups(Vec::from([name(id)]));
            asked(call, Operation::Describe, id, request)
        };
        let asks = request.groups.iter().map(ask).collect();
        let shape = Shape::Describe(Described {
            groups: request.groups,
            operations: request.include_authorized_operations,
        });
        self.ask_groups(call, asks, shape)
    }

    pub(in super::super) fn describe_consumers(
        &self,
        call: &Call<'_>,
        request: ConsumerGroupDescribeRequest,
    ) -> Plan {
        let ask = |id: &Text| {
            let request = Request::ConsumerDescribe(Vec::from([name(id)]));
            asked(call, Operation::Describe, id, request)
        };
        let asks = request.group_ids.iter().map(ask).collect();
        let shape = Shape::DescribeConsumers(Described {
            groups: request.group_ids,
            operations: request.include_authorized_operations,
        });
        self.ask_groups(call, asks, shape)
    }

    pub(in super::super) fn delete_groups(
        &self,
        call: &Call<'_>,
        request: DeleteGroupsRequest,
    ) -> Plan {
        let ask = |id: &Text| -> Asked {
            let request = Request::DeleteGroups(Vec::from([name(id)]));
            asked(call, Operation::Delete, id, request)
        };
        let asks = request.groups_names.iter().map(ask).collect();
        self.ask_groups(call, asks, Shape::Delete(request.groups_names))
    }
}

pub(super) fn listed(replies: Vec<Reply>, context: &Context) -> Response {
    let mut response = ListGroupsResponse::default();
    for reply in replies {
        match reply {
            Reply::Groups(groups) => {
                let may = |group: &str| context.may(Operation::Describe, Resource::Group(group));
                let groups = groups.iter().filter(|listed| may(&listed.group));
                let row = groups.map(|listed| ListedGroup {
                    group_id: text(&listed.group),
                    protocol_type: text(&listed.protocol_type),
                    group_state: Text::from_static(listed.state),
                    group_type: Text::from_static(listed.group_type),
                });
                response.groups.extend(row);
            }
            // A list that leaves groups out would be read as their end.
            other => response.error_code = refusal(&other).0,
        }
    }
    if response.error_code.is_err() {
        response.groups.clear();
    }
    response
        .groups
        .sort_by(|one, other| one.group_id.cmp(&other.group_id));
    response.into()
}

fn operations(wanted: bool, context: &Context, group: &Text) -> i32 {
    if wanted {
        authorized_operations(&context.principal, Resource::Group(group))
    } else {
        i32::MIN
    }
}

pub(super) fn described(
    replies: Vec<Reply>,
    described: Described,
    context: &Context,
    version: i16,
) -> Response {
    let rows = described.groups.into_iter().zip(replies);
    let row = |(id, reply): (Text, Reply)| {
        let bits = operations(described.operations, context, &id);
        let found = match reply {
            Reply::Described(groups) => groups.into_iter().next(),
            other => {
                return DescribedGroup {
                    error_code: refusal(&other).0,
                    group_id: id,
                    authorized_operations: i32::MIN,
                    ..Default::default()
                };
            }
        };
        let mut group = found.map(describe_classic).unwrap_or_default();
        if group.error_code == ErrorCode::GroupIdNotFound {
            if version >= 6 {
                let text = format!("there is no group '{id}' of the classic protocol");
                group.error_message = Some(Text::from(text));
            } else {
                // KIP-1043: older clients take a group that is not there for a dead one.
                group.error_code = ErrorCode::None;
            }
        }
        group.group_id = id;
        group.authorized_operations = bits;
        group
    };
    DescribeGroupsResponse {
        throttle_time_ms: 0,
        groups: rows.map(row).collect(),
    }
    .into()
}

fn describe_classic(group: ClassicDescription) -> DescribedGroup {
    let members = group.members.into_iter();
    DescribedGroup {
        error_code: group.error,
        group_state: Text::from_static(group.state),
        protocol_type: text(&group.protocol_type),
        protocol_data: text(&group.protocol),
        members: members
            .map(|member| DescribedGroupMember {
                member_id: text(&member.member_id),
                group_instance_id: maybe_text(member.instance_id.as_ref()),
                client_id: text(&member.client_id),
                client_host: text(&member.client_host),
                member_metadata: member.metadata,
                member_assignment: member.assignment,
            })
            .collect(),
        ..Default::default()
    }
}

pub(super) fn consumers_described(
    replies: Vec<Reply>,
    described: Described,
    image: &Image,
    context: &Context,
) -> Response {
    let rows = described.groups.into_iter().zip(replies);
    let row = |(id, reply): (Text, Reply)| {
        let found = match reply {
            Reply::ConsumersDescribed(groups) => groups.into_iter().next(),
            other => {
                let (error_code, error_message) = refusal(&other);
                return ConsumerGroupDescribedGroup {
                    error_code,
                    error_message,
                    group_id: id,
                    ..Default::default()
                };
            }
        };
        let mut group = found.map_or_else(Default::default, |g| describe_consumer(g, image));
        if group.error_code == ErrorCode::GroupIdNotFound {
            let text = format!("there is no group '{id}' of the consumer protocol");
            group.error_message = Some(Text::from(text));
        }
        group.authorized_operations = operations(described.operations, context, &id);
        group.group_id = id;
        group
    };
    ConsumerGroupDescribeResponse {
        throttle_time_ms: 0,
        groups: rows.map(row).collect(),
    }
    .into()
}

fn describe_consumer(group: ConsumerDescription, image: &Image) -> ConsumerGroupDescribedGroup {
    let members = group.members.iter();
    ConsumerGroupDescribedGroup {
        error_code: group.error,
        group_state: Text::from_static(group.state),
        group_epoch: group.epoch,
        assignment_epoch: group.assignment_epoch,
        assignor_name: Text::from_static(group.assignor),
        members: members
            .map(|member| describe_member(member, image))
            .collect(),
        ..Default::default()
    }
}

fn describe_member(
    member: &ConsumerMemberDescription,
    image: &Image,
) -> ConsumerGroupDescribeMember {
    ConsumerGroupDescribeMember {
        member_id: text(&member.member_id),
        instance_id: maybe_text(member.instance_id.as_ref()),
        rack_id: maybe_text(member.rack.as_ref()),
        member_epoch: member.epoch,
        client_id: text(&member.client_id),
        client_host: text(&member.client_host),
        subscribed_topic_names: member.topics.iter().map(text).collect(),
        subscribed_topic_regex: maybe_text(member.pattern.as_ref()),
        assignment: describe_assignment(&member.assigned, image),
        target_assignment: describe_assignment(&member.target, image),
        member_type: i8::from(!member.classic),
    }
}

/// Topics that are gone have no name, and nobody reads them.
fn describe_assignment(assignment: &Assignment, image: &Image) -> ConsumerGroupDescribeAssignment {
    let topics = assignment.iter().filter_map(|(id, partitions)| {
        let topic = image.topic(*id)?;
        Some(ConsumerGroupDescribeTopicPartitions {
            topic_id: *id,
            topic_name: Text::from(&*topic.name),
            partitions: partitions.iter().copied().collect(),
        })
    });
    ConsumerGroupDescribeAssignment {
        topic_partitions: topics.collect(),
    }
}

pub(super) fn deleted(replies: Vec<Reply>, groups: Vec<Text>) -> Response {
    let rows = groups.into_iter().zip(replies);
    let row = |(group_id, reply)| DeletableGroupResult {
        group_id,
        error_code: match reply {
            Reply::Deleted(told) => told.first().map_or(ErrorCode::None, |(_, error)| *error),
            other => refusal(&other).0,
        },
    };
    DeleteGroupsResponse {
        throttle_time_ms: 0,
        results: rows.map(row).collect(),
    }
    .into()
}
