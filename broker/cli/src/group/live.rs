//! A group as it is now: described, or refused because somebody reads in it or because there is no
//! such group.

use super::refusal;
use crate::failure::{Exit, Failure, Outcome};
use crate::human;
use std::collections::{BTreeMap, BTreeSet};
use weir_client::admin::{GroupDescription, GroupMember, OffsetSpec};
use weir_client::{Client, CommitOffset, ErrorCode, TopicPartition};

/// The most members that a refusal names.
const NAMED_MAX: usize = 3;

/// The group as it is; nothing where there is none.
pub(super) async fn find(client: &Client, group: &str) -> Outcome<Option<GroupDescription>> {
    match client.admin().describe_group(group).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(None),
        Err(error) => Err(refusal::admin(&error, group)),
    }
}

/// The group as it is.
pub(super) async fn described(client: &Client, group: &str) -> Outcome<GroupDescription> {
    match find(client, group).await? {
        Some(found) => Ok(found),
        None => Err(refusal::unknown(client, group).await),
    }
}

/// What the group keeps.
pub(super) async fn offsets(
    client: &Client,
    group: &str,
) -> Outcome<BTreeMap<TopicPartition, CommitOffset>> {
    let kept = client.admin().group_offsets(group, None).await;
    kept.map_err(|error| refusal::admin(&error, group))
}

/// Where partitions begin and end; those that are gone are left out.
pub(super) async fn log_ends(
    client: &Client,
    partitions: &BTreeSet<TopicPartition>,
) -> Outcome<BTreeMap<TopicPartition, (i64, i64)>> {
    let starts = found(client, partitions, OffsetSpec::Earliest).await?;
    let ends = found(client, partitions, OffsetSpec::Latest).await?;
    let both = starts.into_iter().filter_map(|(partition, start)| {
        let end = (*ends.get(&partition)?)?;
        Some((partition, (start.unwrap_or(end), end)))
    });
    Ok(both.collect())
}

/// The offset of a place in partitions; nothing where no record is that late. Partitions that are
/// gone are left out.
pub(super) async fn found(
    client: &Client,
    partitions: &BTreeSet<TopicPartition>,
    spec: OffsetSpec,
) -> Outcome<BTreeMap<TopicPartition, Option<i64>>> {
    // Leaders of what is gone would be looked for until time is up.
    let listed = client.admin().list_topics().await?;
    let counts: BTreeMap<_, _> = listed
        .iter()
        .map(|topic| (topic.name.as_str(), topic.partitions))
        .collect();
    let exists = |partition: &TopicPartition| {
        let count = counts.get(&*partition.topic).copied().unwrap_or(0);
        usize::try_from(partition.partition.0).is_ok_and(|index| index < count)
    };
    let wanted = partitions.iter().filter(|partition| exists(partition));
    let wanted: Vec<_> = wanted.map(|partition| (partition.clone(), spec)).collect();
    let mut offsets = BTreeMap::new();
    for (partition, answer) in client.admin().list_offsets(wanted).await {
        match answer {
            Ok(found) => {
                offsets.insert(partition, found.offset.map(|offset| offset.0));
            }
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {}
            Err(error) => return Err(crate::names::failure(&error, &partition.topic)),
        }
    }
    Ok(offsets)
}

/// Refuses a group that somebody reads in.
pub(super) fn refuse_live(group: &GroupDescription, deed: &str) -> Outcome {
    if group.members.is_empty() {
        return Ok(());
    }
    let name = human::name(&group.group);
    let named: Vec<String> = group.members.iter().take(NAMED_MAX).map(member).collect();
    let others = group.members.len().saturating_sub(NAMED_MAX);
    let others = match others {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    let text = format!(
        "group `{name}` is live ({}, {}): {}{others}; {deed} would be undone by their next commit",
        group.state,
        human::counted(group.members.len(), "member"),
        named.join(", "),
    );
    let quoted = human::shell_quoted(&group.group);
    Err(Failure::new(Exit::Refused, text).advise(format!(
        "stop them, or take out those that no longer run with `weir group remove-member {quoted}`"
    )))
}

/// `weir-cli at 127.0.0.1`.
pub(super) fn member(member: &GroupMember) -> String {
    let name = member.instance_id.as_ref().unwrap_or(&member.client_id);
    format!("{} at {}", human::name(name), host(member))
}

/// Where a member is, without the slash that Java's clients and brokers put before it.
pub(super) fn host(member: &GroupMember) -> String {
    human::name(member.client_host.trim_start_matches('/'))
}
