//! Consumer groups: which there are, who is in them, and the offsets they keep.
//!
//! Each question about one group goes to its coordinator, and again while that moves.

use super::{Admin, check, missing};
use crate::{
    cluster::{broker::Purpose, coordinator::Coordinator},
    error::AdminError,
    group::{
        CommitOffset, Identity,
        offsets::{Ids, NAMED_VERSION, commit_request, committed, fetch_request, fetched},
        read_assignment,
    },
    record::TopicPartition,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_types::ErrorCode;
use weir_wire::{
    Text,
    messages::{
        ConsumerGroupDescribeAssignment, ConsumerGroupDescribeMember, ConsumerGroupDescribeRequest,
        ConsumerGroupDescribedGroup, DeleteGroupsRequest, DescribeGroupsRequest, DescribedGroup,
        DescribedGroupMember, LeaveGroupRequest, ListGroupsRequest, ListedGroup, MemberIdentity,
        OffsetCommitRequest, OffsetDeleteRequest, OffsetDeleteRequestPartition,
        OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetFetchRequest,
    },
};

/// One group of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// Its id.
    pub group: String,
    /// Its state, such as `Stable` or `Empty`; nothing where an old broker does not tell.
    pub state: Option<String>,
    /// `classic` or `consumer` (KIP-848); nothing where an old broker does not tell.
    pub group_type: Option<String>,
    /// What kind it is, such as `consumer`; empty where it only keeps offsets.
    pub protocol_type: String,
}

/// All about one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group: String,
    /// Its state, such as `Stable` or `Empty`.
    pub state: String,
    /// Whether it speaks the consumer protocol (KIP-848); otherwise the classic one.
    pub is_modern: bool,
    /// How partitions are shared out; empty while that is open.
    pub assignor: String,
    /// Its epoch (consumer protocol only).
    pub epoch: Option<i32>,
    /// The epoch for which partitions were shared out (consumer protocol only).
    pub assignment_epoch: Option<i32>,
    /// Its members, in order of their id.
    pub members: Vec<GroupMember>,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// Its name, if it is a static member (KIP-345).
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// Its rack, where told.
    pub rack: Option<String>,
    /// Its epoch (consumer protocol only).
    pub epoch: Option<i32>,
    /// The topics it subscribes to by name (consumer protocol only).
    pub topics: Vec<String>,
    /// The expression it subscribes to (consumer protocol only).
    pub pattern: Option<String>,
    /// What it owns.
    pub assignment: BTreeSet<TopicPartition>,
    /// What it is to own (consumer protocol only).
    pub target: Option<BTreeSet<TopicPartition>>,
}

/// How the reason for removing a member begins (KIP-800).
const REMOVED_BY_HAND: &str = "member was removed by an admin";

type EachGroup<T> = BTreeMap<String, Result<T, AdminError>>;
type EachPartition = BTreeMap<TopicPartition, Result<(), AdminError>>;

impl Admin {
    fn coordinator(&self, group: &str) -> Coordinator {
        Coordinator::new(Arc::clone(&self.shared), group)
    }

    /// Every group that the caller may describe, in order of its id (ListGroups of each broker).
    ///
    /// # Errors
    /// [`AdminError`] of the first broker that does not answer: half a list would mislead.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, AdminError> {
        self.shared.refresh(Some(Vec::new())).await?;
        let mut brokers: Vec<_> = self.shared.metadata().brokers.keys().copied().collect();
        brokers.sort_unstable();
        let mut groups = BTreeSet::new();
        for id in brokers {
            let broker = self.shared.broker(id)?;
            let request = ListGroupsRequest::default();
            let response = self.shared.ask(&broker, i16::MAX, &request).await?;
            check(response.error_code, None)?;
            groups.extend(response.groups.into_iter().map(listing));
        }
        Ok(groups.into_iter().collect())
    }

    /// All about some groups, of either protocol (ConsumerGroupDescribe, DescribeGroups).
    pub async fn describe_groups<S: AsRef<str>>(
        &self,
        groups: impl IntoIterator<Item = S>,
    ) -> EachGroup<GroupDescription> {
        let groups: Vec<_> = groups.into_iter().map(|g| g.as_ref().to_owned()).collect();
        let mut all = BTreeMap::new();
        for group in groups {
            let description = self.describe_group(&group).await;
            all.insert(group, description);
        }
        all
    }

    /// All about one group.
    ///
    /// # Errors
    /// [`AdminError`]; `GROUP_ID_NOT_FOUND` where there is none.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, AdminError> {
        let coordinator = self.coordinator(group);
        let build = |_| ConsumerGroupDescribeRequest {
            group_ids: vec![Text::from(group)],
            ..ConsumerGroupDescribeRequest::default()
        };
        let first = |groups: &[ConsumerGroupDescribedGroup]| {
            groups.first().map_or(ErrorCode::None, |g| g.error_code)
        };
        let deadline = self.shared.deadline();
        let modern = coordinator
            .ask(Purpose::Control, i16::MAX, deadline, build, |answer| {
                first(&answer.groups)
            })
            .await;
        match modern {
            Ok(answer) => {
                let found = answer.groups.into_iter().next();
                let found = found.ok_or_else(|| missing(group))?;
                if found.error_code != ErrorCode::GroupIdNotFound {
                    check(found.error_code, found.error_message.as_ref())?;
                    return Ok(modern_group(found));
                }
            }
            // A broker from before KIP-848 has classic groups only.
            Err(AdminError::Request(crate::RequestError::Unsupported { .. })) => {}
            Err(error) => return Err(error),
        }
        self.describe_classic(&coordinator, group).await
    }

    async fn describe_classic(
        &self,
        coordinator: &Coordinator,
        group: &str,
    ) -> Result<GroupDescription, AdminError> {
        let build = |_| DescribeGroupsRequest {
            groups: vec![Text::from(group)],
            ..DescribeGroupsRequest::default()
        };
        let deadline = self.shared.deadline();
        let answer = coordinator
            .ask(Purpose::Control, i16::MAX, deadline, build, |answer| {
                let first = answer.groups.first();
                first.map_or(ErrorCode::None, |group| group.error_code)
            })
            .await?;
        let found = answer.groups.into_iter().next();
        let found = found.ok_or_else(|| missing(group))?;
        check(found.error_code, found.error_message.as_ref())?;
        // How older brokers say that there is none (KIP-1043).
        if found.group_state == *"Dead" && found.members.is_empty() {
            return Err(AdminError::Broker(ErrorCode::GroupIdNotFound.into()));
        }
        Ok(classic_group(found))
    }

    /// Deletes groups without members, with their offsets (KIP-229).
    pub async fn delete_groups<S: AsRef<str>>(
        &self,
        groups: impl IntoIterator<Item = S>,
    ) -> EachGroup<()> {
        let groups: Vec<_> = groups.into_iter().map(|g| g.as_ref().to_owned()).collect();
        let mut all = BTreeMap::new();
        for group in groups {
            let deleted = self.delete_group(&group).await;
            all.insert(group, deleted);
        }
        all
    }

    async fn delete_group(&self, group: &str) -> Result<(), AdminError> {
        let build = |_| DeleteGroupsRequest {
            groups_names: vec![Text::from(group)],
        };
        let answer = self
            .coordinator(group)
            .ask(
                Purpose::Control,
                i16::MAX,
                self.shared.deadline(),
                build,
                |answer| {
                    let first = answer.results.first();
                    first.map_or(ErrorCode::None, |result| result.error_code)
                },
            )
            .await?;
        let result = answer.results.first().ok_or_else(|| missing(group))?;
        check(result.error_code, None)
    }

    /// Removes a member of a group (KIP-345); it joins again if it lives. By the classic protocol of
    /// every broker; members of the consumer protocol are taken out by those that offer it, as Weir
    /// does.
    ///
    /// # Errors
    /// [`AdminError`]; `UNKNOWN_MEMBER_ID` where there is no such member.
    pub async fn remove_group_member(
        &self,
        group: &str,
        member_id: &str,
        reason: &str,
    ) -> Result<(), AdminError> {
        // What Kafka's tools say, so that a coordinator can tell it from a member that leaves.
        let reason = match reason {
            "" => String::from(REMOVED_BY_HAND),
            reason => format!("{REMOVED_BY_HAND}: {reason}"),
        };
        let build = |version| {
            let mut request = LeaveGroupRequest {
                group_id: Text::from(group),
                ..LeaveGroupRequest::default()
            };
            if version < 3 {
                request.member_id = Text::from(member_id);
            } else {
                request.members = vec![MemberIdentity {
                    member_id: Text::from(member_id),
                    group_instance_id: None,
                    reason: Some(Text::from(reason.as_str())),
                }];
            }
            request
        };
        let coordinator = self.coordinator(group);
        let deadline = self.shared.deadline();
        let answer = coordinator
            .ask(Purpose::Control, i16::MAX, deadline, build, |answer| {
                answer.error_code
            })
            .await?;
        check(answer.error_code, None)?;
        match answer.members.first() {
            Some(member) => check(member.error_code, None),
            None => Ok(()),
        }
    }

    /// The offsets that a group keeps: of some partitions, or all. Partitions without one are left
    /// out.
    ///
    /// # Errors
    /// [`AdminError`] where the group, or one of the partitions, has no answer.
    pub async fn group_offsets(
        &self,
        group: &str,
        partitions: Option<&BTreeSet<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, CommitOffset>, AdminError> {
        let build = |version| fetch_request(version, group, None, partitions);
        let answer = self
            .coordinator(group)
            .ask::<OffsetFetchRequest>(
                Purpose::Control,
                NAMED_VERSION,
                self.shared.deadline(),
                build,
                |answer| {
                    let first = answer.groups.first();
                    first.map_or(answer.error_code, |group| group.error_code)
                },
            )
            .await?;
        let mut offsets = BTreeMap::new();
        for (partition, found) in fetched(answer)? {
            if let Some(offset) = found? {
                offsets.insert(partition, offset);
            }
        }
        Ok(offsets)
    }

    /// Sets offsets of a group without members (KIP-396). A live group refuses with
    /// `UNKNOWN_MEMBER_ID`: stop its members first.
    ///
    /// # Errors
    /// [`AdminError`] where there is no answer at all; else each partition has its own.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: BTreeMap<TopicPartition, CommitOffset>,
    ) -> Result<EachPartition, AdminError> {
        let nobody = Identity {
            epoch: -1,
            ..Identity::default()
        };
        let build = |_| commit_request(group, &nobody, &offsets, &Ids::new());
        let answer = self
            .coordinator(group)
            .ask::<OffsetCommitRequest>(
                Purpose::Control,
                NAMED_VERSION,
                self.shared.deadline(),
                build,
                |answer| {
                    let topics = answer.topics.iter();
                    let mut codes = topics.flat_map(|t| t.partitions.iter().map(|p| p.error_code));
                    codes.find(|code| code.is_err()).unwrap_or_default()
                },
            )
            .await?;
        let outcome = committed(&offsets, &Ids::new(), &answer).into_iter();
        Ok(outcome
            .map(|(partition, done)| (partition, done.map_err(AdminError::Broker)))
            .collect())
    }

    /// Forgets offsets of a group; topics that its members read are refused with
    /// `GROUP_SUBSCRIBED_TO_TOPIC` (KIP-496).
    ///
    /// # Errors
    /// [`AdminError`] where the group refuses as a whole; else each partition has its own.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<EachPartition, AdminError> {
        let build = |_| delete_request(group, partitions);
        let answer = self
            .coordinator(group)
            .ask::<OffsetDeleteRequest>(
                Purpose::Control,
                i16::MAX,
                self.shared.deadline(),
                build,
                |answer| answer.error_code,
            )
            .await?;
        check(answer.error_code, None)?;
        Ok(deleted(partitions, &answer))
    }
}

fn delete_request(group: &str, partitions: &BTreeSet<TopicPartition>) -> OffsetDeleteRequest {
    let mut topics: Vec<OffsetDeleteRequestTopic> = Vec::new();
    for partition in partitions {
        let row = OffsetDeleteRequestPartition {
            partition_index: partition.partition,
        };
        match topics.last_mut() {
            Some(topic) if topic.name == *partition.topic => topic.partitions.push(row),
            _ => topics.push(OffsetDeleteRequestTopic {
                name: Text::from(&*partition.topic),
                partitions: vec![row],
            }),
        }
    }
    OffsetDeleteRequest {
        group_id: Text::from(group),
        topics,
    }
}

fn deleted(asked: &BTreeSet<TopicPartition>, answer: &OffsetDeleteResponse) -> EachPartition {
    let outcome = |partition: &TopicPartition| {
        let mut topics = answer.topics.iter().filter(|t| t.name == *partition.topic);
        let row = topics.find_map(|topic| {
            let mut rows = topic.partitions.iter();
            rows.find(|row| row.partition_index == partition.partition)
        });
        let row = row.ok_or_else(|| missing(partition))?;
        check(row.error_code, None)
    };
    asked.iter().map(|p| (p.clone(), outcome(p))).collect()
}

fn told(text: &Text) -> Option<String> {
    (!text.is_empty()).then(|| text.to_string())
}

fn listing(group: ListedGroup) -> GroupListing {
    GroupListing {
        group: group.group_id.to_string(),
        state: told(&group.group_state),
        group_type: told(&group.group_type).map(|text| text.to_lowercase()),
        protocol_type: group.protocol_type.to_string(),
    }
}

fn modern_group(group: ConsumerGroupDescribedGroup) -> GroupDescription {
    let mut members: Vec<_> = group.members.into_iter().map(modern_member).collect();
    members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
    GroupDescription {
        group: group.group_id.to_string(),
        state: group.group_state.to_string(),
        is_modern: true,
        assignor: group.assignor_name.to_string(),
        epoch: Some(group.group_epoch),
        assignment_epoch: Some(group.assignment_epoch),
        members,
    }
}

fn modern_member(member: ConsumerGroupDescribeMember) -> GroupMember {
    let optional = |text: Option<Text>| text.filter(|t| !t.is_empty()).map(|t| t.to_string());
    GroupMember {
        member_id: member.member_id.to_string(),
        instance_id: optional(member.instance_id),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        rack: optional(member.rack_id),
        epoch: Some(member.member_epoch),
        topics: member
            .subscribed_topic_names
            .iter()
            .map(ToString::to_string)
            .collect(),
        pattern: optional(member.subscribed_topic_regex),
        assignment: share(&member.assignment),
        target: Some(share(&member.target_assignment)),
    }
}

fn share(assignment: &ConsumerGroupDescribeAssignment) -> BTreeSet<TopicPartition> {
    let mut all = BTreeSet::new();
    for row in &assignment.topic_partitions {
        let topic: Arc<str> = Arc::from(row.topic_name.as_str());
        all.extend(row.partitions.iter().map(|partition| TopicPartition {
            topic: Arc::clone(&topic),
            partition: *partition,
        }));
    }
    all
}

fn classic_group(group: DescribedGroup) -> GroupDescription {
    let mut members: Vec<_> = group.members.into_iter().map(classic_member).collect();
    members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
    GroupDescription {
        group: group.group_id.to_string(),
        state: group.group_state.to_string(),
        is_modern: false,
        assignor: group.protocol_data.to_string(),
        epoch: None,
        assignment_epoch: None,
        members,
    }
}

fn classic_member(member: DescribedGroupMember) -> GroupMember {
    GroupMember {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|text| text.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        rack: None,
        epoch: None,
        topics: Vec::new(),
        pattern: None,
        // A group that is none of consumers has shares of its own kind.
        assignment: read_assignment(member.member_assignment).unwrap_or_default(),
        target: None,
    }
}
