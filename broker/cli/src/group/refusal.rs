//! What coordinators and members refuse, in words that say what to do. Only words; nothing is
//! asked of a broker but which groups there are.

use crate::failure::{Exit, Failure};
use crate::human;
use weir_client::{AdminError, BrokerError, Client, ConsumeError, ErrorCode, GroupError};
use weir_client::{RequestError, TopicPartition};
use weir_types::text::nearest;

/// An administrative error about this group.
pub(crate) fn admin(error: &AdminError, group: &str) -> Failure {
    match error {
        AdminError::Broker(error) => coordinator(error, group),
        AdminError::Request(error @ RequestError::Unsupported { .. }) => unsupported(error),
        other => Failure::from(other.clone()),
    }
}

/// What the coordinator of a group answered.
pub(crate) fn coordinator(error: &BrokerError, group: &str) -> Failure {
    let failure = match group {
        // Several were asked for, or all.
        "" => Failure::from(error.clone()),
        group => Failure::from(error.clone()).about(format_args!("group `{}`", human::name(group))),
    };
    match advice(error.code, group) {
        Some(advice) => failure.advise(advice),
        None => failure,
    }
}

/// That a broker does not speak an API.
pub(crate) fn unsupported(error: &RequestError) -> Failure {
    let failure = Failure::from(error.clone());
    let text = error.to_string();
    let weir_only = ["GroupHistory", "GroupWatch", "Lag", "LagHistory"];
    if weir_only
        .iter()
        .any(|api| text.contains(&format!(" of {api} ")))
    {
        failure.advise("it is Weir's own; Kafka's brokers do not have it")
    } else if text.contains("ConsumerGroup") {
        failure.advise("--group-protocol classic is what older brokers speak")
    } else {
        failure
    }
}

/// Why a member of this group cannot go on, or did not commit.
pub(crate) fn member(error: GroupError, group: &str) -> Failure {
    match error {
        GroupError::Refused { error, .. } if error.code == ErrorCode::UnsupportedVersion => {
            coordinator(&error, group).advise("try --group-protocol classic")
        }
        GroupError::Refused { error, .. } => coordinator(&error, group),
        GroupError::Commit { partition, error } => {
            let text = format!("the offset of {partition} was not committed: {error}");
            let failure = Failure::new(Exit::Refused, text);
            match advice(error.code, group) {
                Some(advice) => failure.advise(advice),
                None => failure,
            }
        }
        GroupError::Consume(error) => consuming(error, group),
        GroupError::Request(error @ RequestError::Unsupported { .. }) => unsupported(&error),
        GroupError::Request(error) => error.into(),
        GroupError::Config { reason } => Failure::usage(reason),
        other => Failure::failed(other.to_string()),
    }
}

fn consuming(error: ConsumeError, group: &str) -> Failure {
    let damaged = match &error {
        ConsumeError::Damaged { partition, .. } => Some(partition.clone()),
        _ => None,
    };
    let failure = Failure::from(error);
    match damaged {
        Some(TopicPartition { topic, partition }) => failure.advise(format!(
            "`weir group skip {} --topic {topic} --partition {partition}` passes it",
            human::shell_quoted(group)
        )),
        None => failure,
    }
}

/// What helps against a refusal.
fn advice(code: ErrorCode, group: &str) -> Option<String> {
    let quoted = human::shell_quoted(group);
    let text = match code {
        ErrorCode::InvalidGroupId => "a group's id has at least one letter and not too many".into(),
        ErrorCode::GroupIdNotFound => "`weir group list` shows those there are".into(),
        ErrorCode::NonEmptyGroup => {
            format!("stop its members; `weir group describe {quoted}` shows who they are and where")
        }
        ErrorCode::UnknownMemberId => format!(
            "`weir group describe {quoted}` shows its members; one that was silent for too long \
             is no longer among them"
        ),
        ErrorCode::FencedMemberEpoch
        | ErrorCode::StaleMemberEpoch
        | ErrorCode::IllegalGeneration => "others have its partitions by now and read again what \
             was not committed; more than `group.consumer.session.timeout.ms` without a sign of \
             life does that"
            .into(),
        ErrorCode::FencedInstanceId => {
            "another member goes by this name; give each its own --instance-id".into()
        }
        ErrorCode::UnreleasedInstanceId => format!(
            "give each member its own --instance-id; after a crash, wait for the session timeout \
             or take the old one out: `weir group remove-member {quoted} --instance-id NAME`"
        ),
        ErrorCode::OffsetMetadataTooLarge => {
            "shorten --commit-metadata; `offset.metadata.max.bytes` of the broker limits it".into()
        }
        ErrorCode::InvalidRegularExpression => {
            "patterns are RE2's (no look-around, no back-references) and must stay small: write \
             repetitions with smaller numbers, or name the topics"
                .into()
        }
        ErrorCode::GroupMaxSizeReached => {
            "stop another member first, or raise the broker's limit".into()
        }
        ErrorCode::UnsupportedAssignor => {
            "the broker has uniform and range; leave --assignor out to let it choose".into()
        }
        ErrorCode::InconsistentGroupProtocol => format!(
            "its other members share partitions out in another way: use their --group-protocol \
             and --assignor (`weir group describe {quoted}`)"
        ),
        ErrorCode::GroupSubscribedToTopic => "its members still read that topic".into(),
        ErrorCode::UnsupportedVersion => "its members speak another protocol".into(),
        _ => return None,
    };
    Some(text)
}

/// That there is no such group, with the one that was probably meant.
pub(crate) async fn unknown(client: &Client, group: &str) -> Failure {
    let text = format!("there is no group `{}`", human::name(group));
    let failure = Failure::new(Exit::Refused, text);
    // Only a hint: where the list cannot be had, the failure says enough without.
    let listed = client.admin().list_groups().await.unwrap_or_default();
    match nearest(group, listed.iter().map(|listed| listed.group.as_str())) {
        Some(near) => failure.advise(format!("did you mean `{}`?", human::name(near))),
        None => failure.advise("`weir group list` shows those there are"),
    }
}
