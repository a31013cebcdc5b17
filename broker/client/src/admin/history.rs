//! The history of groups: every rebalance with its causes, moves and stand-stills, page by page
//! (design decision D13; Weir's own API).
//!
//! Translation only; what a broker adds later is kept in words.

use super::{Admin, check};
use crate::{error::AdminError, record::TopicPartition};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use weir_types::{CauseKind as GroupCauseKind, TimestampMs};
use weir_wire::{
    Text,
    messages::{GroupEvent, GroupEventCause, GroupEventMove, GroupHistoryRequest},
};

/// Which part of the history is wanted; the default asks for all of it, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of which groups; none means all that the caller may describe.
    pub groups: Vec<String>,
    /// From this time on, in milliseconds since 1970.
    pub from: Option<TimestampMs>,
    /// Before this time.
    pub to: Option<TimestampMs>,
    /// Whether the newest come first.
    pub newest_first: bool,
    /// The most events of a page; the broker may tell fewer.
    pub max_events: Option<i32>,
    /// Where to go on: [`HistoryPage::next`] of the page before.
    pub cursor: Option<String>,
}

/// One page of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// In the order asked for.
    pub changes: Vec<GroupChange>,
    /// Where the next page begins; nothing behind the last.
    pub next: Option<String>,
    /// Where a watch goes on behind all these pages, without a gap and without telling anything
    /// again ([`WatchQuery::cursor`](super::WatchQuery::cursor)); only the first page knows.
    pub watch: Option<String>,
}

/// One change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupChange {
    /// The group.
    pub group: String,
    /// The event's number, which grows.
    pub sequence: i64,
    /// When it began.
    pub time: TimestampMs,
    /// What caused it, the trigger first; perhaps not all.
    pub causes: Vec<GroupCause>,
    /// How many causes there were.
    pub cause_count: i32,
    /// The epoch (consumer protocol) or generation (classic protocol) afterwards.
    pub epoch: i32,
    /// Members before.
    pub members_before: i32,
    /// Members afterwards.
    pub members_after: i32,
    /// Which partitions changed hands; perhaps not all.
    pub moves: Vec<GroupMove>,
    /// How many partitions changed hands.
    pub partitions_moved: i32,
    /// How long it took until every member had its share; nothing where the next change came
    /// first.
    pub duration: Option<Duration>,
    /// Members that stood still meanwhile, longest first; perhaps not all.
    pub still: Vec<GroupStill>,
}

/// One cause of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCause {
    /// What; nothing where this client does not know the kind, which the text tells all the same.
    pub kind: Option<GroupCauseKind>,
    /// In words, with the reason a member gave (KIP-800).
    pub text: String,
    /// The member it was about.
    pub member_id: Option<String>,
    /// What that member's client calls itself, also where it has left.
    pub client_id: Option<String>,
}

/// Partitions that went from one member to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMove {
    /// Which.
    pub partitions: BTreeSet<TopicPartition>,
    /// Who had them, if anybody.
    pub from: Option<String>,
    /// Who has them, if anybody.
    pub to: Option<String>,
    /// What the client of the former calls itself, as far as it is known.
    pub from_client: Option<String>,
    /// What the client of the latter calls itself, as far as it is known.
    pub to_client: Option<String>,
}

/// A member that had nothing to read for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStill {
    /// Its id.
    pub member_id: String,
    /// What its client calls itself.
    pub client_id: String,
    /// For how long.
    pub time: Duration,
}

impl Admin {
    /// One page of the history of groups (GroupHistory).
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn group_history(&self, query: &HistoryQuery) -> Result<HistoryPage, AdminError> {
        let defaults = GroupHistoryRequest::default();
        let request = GroupHistoryRequest {
            groups: query
                .groups
                .iter()
                .map(|g| Text::from(g.as_str()))
                .collect(),
            from_ms: query.from.unwrap_or(defaults.from_ms),
            to_ms: query.to.unwrap_or(defaults.to_ms),
            newest_first: query.newest_first,
            max_events: query.max_events.unwrap_or(defaults.max_events),
            cursor: query.cursor.as_deref().map(Text::from),
        };
        let answer = self.ask_any(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        Ok(HistoryPage {
            changes: answer.events.into_iter().map(change).collect(),
            next: answer.next_cursor.map(|cursor| cursor.to_string()),
            watch: answer.watch_cursor.map(|cursor| cursor.to_string()),
        })
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

pub(super) fn change(event: GroupEvent) -> GroupChange {
    let still = event.still.into_iter().map(|still| GroupStill {
        member_id: still.member_id.to_string(),
        client_id: still.client_id.to_string(),
        time: millis(still.still_ms),
    });
    GroupChange {
        group: event.group_id.to_string(),
        sequence: event.sequence,
        time: event.time_ms,
        causes: event.causes.into_iter().map(cause).collect(),
        cause_count: event.cause_count,
        epoch: event.group_epoch,
        members_before: event.members_before,
        members_after: event.members_after,
        moves: event.moves.into_iter().map(moved).collect(),
        partitions_moved: event.partitions_moved,
        duration: (event.duration_ms >= 0).then(|| millis(event.duration_ms)),
        still: still.collect(),
    }
}

fn cause(cause: GroupEventCause) -> GroupCause {
    GroupCause {
        kind: GroupCauseKind::from_code(cause.cause),
        text: cause.text.to_string(),
        member_id: cause.member_id.map(|text| text.to_string()),
        client_id: cause.client_id.map(|text| text.to_string()),
    }
}

fn moved(row: GroupEventMove) -> GroupMove {
    let topic: Arc<str> = Arc::from(row.topic.as_str());
    let partitions = row.partitions.into_iter().map(|partition| TopicPartition {
        topic: Arc::clone(&topic),
        partition,
    });
    GroupMove {
        partitions: partitions.collect(),
        from: row.from_member.map(|text| text.to_string()),
        to: row.to_member.map(|text| text.to_string()),
        from_client: row.from_client.map(|text| text.to_string()),
        to_client: row.to_client.map(|text| text.to_string()),
    }
}
