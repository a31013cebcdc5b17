//! GroupHistory and GroupWatch: the rebalances of groups, page by page and as they happen.

use super::{admin::all_coordinators, coordinator_of, maybe_text, name, text};
use crate::{
    authorizer::{Operation, Resource},
    front::{
        Call, Context, Front, Part, Plan,
        join::{Join, Kind, misfit},
    },
    limits::HISTORY_EVENTS_MAX,
    request::{Answer, Ask, HistoryAsk, HistoryPlace, PartitionKey, ToldEvent, WatchAsk, shard_of},
};
use alloc::{
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use weir_group::{Cause, Name};
use weir_types::{ErrorCode, PartitionIndex, ShardId, TimestampMs};
use weir_wire::{
    Response, Text,
    messages::{
        GroupEvent, GroupEventCause, GroupEventMove, GroupEventStill, GroupHistoryRequest,
        GroupHistoryResponse, GroupWatchRequest, GroupWatchResponse,
    },
};

/// A coordinator and those of its groups that are named; nothing: all.
type Coordinated = (PartitionKey, Option<Vec<Name>>);

/// A page that is being put together.
#[derive(Debug)]
pub(in super::super) struct HistoryJoin {
    newest_first: bool,
    events_max: usize,
    /// Only one group is asked for: its numbers mean something.
    one_group: bool,
    error: ErrorCode,
    events: Vec<ToldEvent>,
}

/// A watch that waits.
#[derive(Debug)]
pub(in super::super) struct WatchJoin {
    after: i64,
    events_max: usize,
    answer: Option<Answer>,
}

impl Front {
    pub(in super::super) fn group_history(
        &self,
        call: &Call<'_>,
        request: &GroupHistoryRequest,
    ) -> Plan {
        let refuse = |error_code, text: &str| {
            Plan::answer(GroupHistoryResponse {
                error_code,
                error_message: Some(Text::from(text)),
                ..Default::default()
            })
        };
        let after = match request.cursor.as_deref().map(read_cursor) {
            None => None,
            Some(Some(place)) => Some(place),
            Some(None) => return refuse(ErrorCode::InvalidRequest, "this is no page's cursor"),
        };
        let partitions = match history_partitions(call, request) {
            Ok(partitions) => partitions,
            Err(error) => return refuse(error, error.text()),
        };
        let mut shards: BTreeMap<ShardId, Vec<Coordinated>> = BTreeMap::new();
        for (key, groups) in partitions {
            let shard = shard_of(key, self.config.shards);
            shards.entry(shard).or_default().push((key, groups));
        }
        let events_max = usize::try_from(request.max_events).unwrap_or(0);
        let join = HistoryJoin {
            newest_first: request.newest_first,
            events_max: events_max.clamp(1, HISTORY_EVENTS_MAX),
            one_group: request.groups.len() == 1,
            error: ErrorCode::None,
            events: Vec::new(),
        };
        if shards.is_empty() {
            return Plan::Answer(join.finish(call.context));
        }
        let part = |(shard, partitions)| Part {
            shard,
            seen: call.image.applied(),
            ask: Ask::History(Box::new(HistoryAsk {
                partitions,
                from: request.from_ms,
                to: request.to_ms,
                newest_first: request.newest_first,
                after: after.clone(),
                events_max: join.events_max,
            })),
        };
        let parts = shards.into_iter().map(part).collect();
        let join = Join::new(Kind::History(join), Vec::new(), call);
        Plan::Parts { parts, join }
    }

    pub(in super::super) fn group_watch(
        &self,
        call: &Call<'_>,
        request: &GroupWatchRequest,
    ) -> Plan {
        let refuse = |error_code, text: &str| {
            Plan::answer(GroupWatchResponse {
                error_code,
                error_message: Some(Text::from(text)),
                last_sequence: request.after_sequence,
                ..Default::default()
            })
        };
        let [group] = request.groups.as_slice() else {
            let text = "a watch names one group: the numbers of events are each group's own";
            return refuse(ErrorCode::InvalidRequest, text);
        };
        let key = match coordinator_of(call, Operation::Describe, group) {
            Ok(key) => key,
            Err(error) => return refuse(error, error.text()),
        };
        let part = Part {
            shard: shard_of(key, self.config.shards),
            seen: call.image.applied(),
            ask: Ask::Watch(Box::new(WatchAsk {
                key,
                group: name(group),
                after: u64::try_from(request.after_sequence).ok(),
                wait_ms: u64::try_from(request.max_wait_ms).unwrap_or(0),
            })),
        };
        let events_max = usize::try_from(request.max_events).unwrap_or(0);
        let join = WatchJoin {
            after: request.after_sequence,
            events_max: events_max.max(1),
            answer: None,
        };
        Plan::Parts {
            parts: Vec::from([part]),
            join: Join::new(Kind::Watch(join), Vec::new(), call),
        }
    }
}

/// The coordinators to ask, each with the groups that are named.
fn history_partitions(
    call: &Call<'_>,
    request: &GroupHistoryRequest,
) -> Result<Vec<Coordinated>, ErrorCode> {
    if request.groups.is_empty() {
        let all = all_coordinators(call.image).into_iter();
        return Ok(all.map(|key| (key, None)).collect());
    }
    let mut partitions: BTreeMap<PartitionKey, Vec<Name>> = BTreeMap::new();
    for group in &request.groups {
        let key = coordinator_of(call, Operation::Describe, group)?;
        partitions.entry(key).or_default().push(name(group));
    }
    let named = partitions.into_iter();
    Ok(named.map(|(key, groups)| (key, Some(groups))).collect())
}

impl HistoryJoin {
    pub(in super::super) fn absorb(&mut self, answer: Answer) {
        let results = match answer {
            Answer::History(results) => results,
            Answer::Refused(_) => Vec::from([Err(ErrorCode::CoordinatorNotAvailable)]),
            other => misfit(&other),
        };
        for result in results {
            match result {
                Ok(events) => self.events.extend(events),
                Err(error) => self.error = error,
            }
        }
    }

    pub(in super::super) fn finish(mut self, context: &Context) -> Response {
        if self.error.is_err() {
            return GroupHistoryResponse {
                error_code: self.error,
                error_message: Some(Text::from_static(self.error.text())),
                ..Default::default()
            }
            .into();
        }
        let may = |group: &str| context.may(Operation::Describe, Resource::Group(group));
        self.events.retain(|told| may(&told.group));
        self.events.sort_by_cached_key(place);
        if self.newest_first {
            self.events.reverse();
        }
        let more = self.events.len() > self.events_max;
        self.events.truncate(self.events_max);
        let last = self.events.last();
        let next_cursor = last.filter(|_| more).map(|told| write_cursor(&place(told)));
        let numbers = self.events.iter().map(|told| told.event.sequence);
        let newest = numbers.max().filter(|_| self.one_group);
        GroupHistoryResponse {
            error_code: ErrorCode::None,
            error_message: None,
            next_cursor: next_cursor.map(Text::from),
            last_sequence: newest.map_or(-1, number),
            events: self.events.into_iter().map(event).collect(),
        }
        .into()
    }
}

impl WatchJoin {
    pub(in super::super) fn absorb(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    pub(in super::super) fn finish(self) -> Response {
        let failed = |error_code: ErrorCode| GroupWatchResponse {
            error_code,
            error_message: Some(Text::from_static(error_code.text())),
            last_sequence: self.after,
            ..Default::default()
        };
        match self.answer {
            Some(Answer::Watch(Ok(mut watched))) => {
                watched.events.truncate(self.events_max);
                let last = watched.events.last().map(|told| told.event.sequence);
                GroupWatchResponse {
                    error_code: ErrorCode::None,
                    error_message: None,
                    missed: number(watched.missed),
                    last_sequence: number(last.unwrap_or(watched.last)),
                    events: watched.events.into_iter().map(event).collect(),
                }
            }
            Some(Answer::Watch(Err(error))) => failed(error),
            Some(Answer::Refused(_)) | None => failed(ErrorCode::CoordinatorNotAvailable),
            Some(other) => misfit(&other),
        }
        .into()
    }
}

fn place(told: &ToldEvent) -> HistoryPlace {
    HistoryPlace {
        at: told.event.at,
        group: told.group.clone(),
        sequence: told.event.sequence,
    }
}

/// A place as a page's cursor; the group comes last, since it may hold anything.
fn write_cursor(place: &HistoryPlace) -> String {
    format!("{}:{}:{}", place.at.0, place.sequence, place.group)
}

fn read_cursor(cursor: &str) -> Option<HistoryPlace> {
    let mut fields = cursor.splitn(3, ':');
    Some(HistoryPlace {
        at: TimestampMs(fields.next()?.parse().ok()?),
        sequence: fields.next()?.parse().ok()?,
        group: Name::from(fields.next()?),
    })
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// An event in the wire's words.
fn event(told: ToldEvent) -> GroupEvent {
    let client = |member: &Name| {
        let known = told.clients.iter().find(|(id, _)| id == member);
        known.map(|(_, client)| text(client))
    };
    let event = &told.event;
    let causes = u32::try_from(event.causes.len()).unwrap_or(u32::MAX);
    let mut still: Vec<GroupEventStill> = event
        .still_ms
        .iter()
        .map(|(member, ms)| GroupEventStill {
            member_id: text(member),
            client_id: client(member).unwrap_or_default(),
            still_ms: number(*ms),
        })
        .collect();
    still.sort_by_key(|row| core::cmp::Reverse(row.still_ms));
    GroupEvent {
        group_id: text(&told.group),
        sequence: number(event.sequence),
        time_ms: event.at,
        causes: event
            .causes
            .iter()
            .map(|cause| GroupEventCause {
                cause: cause.kind.code(),
                text: Text::from(words(cause)),
                member_id: maybe_text(cause.member.as_ref()),
                client_id: cause.member.as_ref().and_then(client),
            })
            .collect(),
        cause_count: count(causes.saturating_add(event.causes_left_off)),
        group_epoch: event.epoch,
        members_before: count(event.members_before_count),
        members_after: count(event.members_after_count),
        moves: moves(&told),
        partitions_moved: count(event.moved_count),
        duration_ms: number(event.duration_ms),
        still,
    }
}

/// Moved partitions, those of one topic that went the same way together.
fn moves(told: &ToldEvent) -> Vec<GroupEventMove> {
    type Way<'a> = (&'a Name, Option<&'a Name>, Option<&'a Name>);
    let mut ways: BTreeMap<Way<'_>, Vec<PartitionIndex>> = BTreeMap::new();
    for moved in &told.event.moved {
        let way = (&moved.topic, moved.from.as_ref(), moved.to.as_ref());
        ways.entry(way).or_default().push(moved.partition);
    }
    let ways = ways.into_iter();
    ways.map(|((topic, from, to), partitions)| GroupEventMove {
        topic: text(topic),
        partitions,
        from_member: maybe_text(from),
        to_member: maybe_text(to),
    })
    .collect()
}

fn words(cause: &Cause) -> String {
    let kind = cause.kind;
    match &cause.reason {
        Some(reason) => format!("{kind}: {reason}"),
        None => kind.to_string(),
    }
}
