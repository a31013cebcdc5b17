//! GroupHistory: the rebalances of groups, page by page; and an event in the wire's words.
//!
//! The pages tell what had happened when the first one was asked for: each cursor carries where
//! the coordinators were then, and a watch can go on from there.

use super::{
    maybe_text, text,
    watch::{Places, coordinated},
};
use crate::{
    authorizer::{Operation, Resource},
    front::{
        Call, Context, Front, Part, Plan,
        join::{Join, Kind, misfit},
    },
    limits::{HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX},
    request::{Answer, Ask, HistoryAsk, HistoryPart, HistoryPlace, ToldEvent, shard_of},
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
        GroupHistoryResponse,
    },
};

/// A page that is being put together.
#[derive(Debug)]
pub(in super::super) struct HistoryJoin {
    newest_first: bool,
    events_max: usize,
    /// Where the coordinators were when the first page was asked for.
    until: Option<Places>,
    /// Where they are now.
    places: Places,
    error: ErrorCode,
    events: Vec<ToldEvent>,
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
        let (until, after) = match request.cursor.as_deref().map(read_cursor) {
            None => (None, None),
            Some(Some((until, after))) => (Some(until), Some(after)),
            Some(None) => return refuse(ErrorCode::InvalidRequest, "this is no page's cursor"),
        };
        let keys = match coordinated(call, &request.groups) {
            Ok(keys) => keys,
            Err((error, text)) => return refuse(error, text),
        };
        let mut shards: BTreeMap<ShardId, Vec<HistoryPart>> = BTreeMap::new();
        for (key, groups) in keys {
            let shard = shard_of(key, self.config.shards);
            shards.entry(shard).or_default().push(HistoryPart {
                key,
                groups: groups.map(|groups| groups.into_iter().collect()),
                until: until.as_ref().map(|until| until.get(key)),
            });
        }
        let events_max = usize::try_from(request.max_events).unwrap_or(0);
        let join = HistoryJoin {
            newest_first: request.newest_first,
            events_max: events_max.clamp(1, HISTORY_EVENTS_MAX),
            until,
            places: Places::default(),
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
                Ok(told) => {
                    self.places.0.insert(told.key.index, told.last);
                    self.events.extend(told.events);
                }
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
        let mut bytes = 0;
        let fits = self.events.iter().take_while(|told| {
            bytes += told.event.bytes();
            bytes <= HISTORY_BYTES_MAX
        });
        let most = fits.count().max(1).min(self.events_max);
        let more = self.events.len() > most;
        self.events.truncate(most);
        let is_first = self.until.is_none();
        let until = self.until.unwrap_or(self.places);
        let last = self.events.last();
        let next_cursor = last.filter(|_| more);
        let next_cursor = next_cursor.map(|told| write_cursor(&until, &place(told)));
        GroupHistoryResponse {
            error_code: ErrorCode::None,
            error_message: None,
            next_cursor: next_cursor.map(Text::from),
            watch_cursor: is_first.then(|| Text::from(until.write())),
            events: self.events.into_iter().map(event).collect(),
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

/// A place as a page's cursor: where the coordinators were, and the last event told, of which the
/// group comes last, since it may hold anything.
fn write_cursor(until: &Places, place: &HistoryPlace) -> String {
    let HistoryPlace {
        at,
        group,
        sequence,
    } = place;
    format!("{}|{}:{sequence}:{group}", until.write(), at.0)
}

fn read_cursor(cursor: &str) -> Option<(Places, HistoryPlace)> {
    let (until, place) = cursor.split_once('|')?;
    let mut fields = place.splitn(3, ':');
    let place = HistoryPlace {
        at: TimestampMs(fields.next()?.parse().ok()?),
        sequence: fields.next()?.parse().ok()?,
        group: Name::from(fields.next()?),
    };
    Some((Places::read(until)?, place))
}

pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// An event in the wire's words.
pub(super) fn event(told: ToldEvent) -> GroupEvent {
    let event = &told.event;
    let client = |member: &Name| event.client(member).map(text);
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
    let client = |member: &Name| told.event.client(member).map(text);
    let ways = ways.into_iter();
    ways.map(|((topic, from, to), partitions)| GroupEventMove {
        topic: text(topic),
        partitions,
        from_member: maybe_text(from),
        to_member: maybe_text(to),
        from_client: from.and_then(client),
        to_client: to.and_then(client),
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
