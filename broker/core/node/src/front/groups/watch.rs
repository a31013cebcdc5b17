//! GroupWatch: the rebalances of groups as they happen, over all coordinators that are asked for.
//!
//! A watch goes on where its cursor says: for each coordinator, the number of the last event that
//! was told. The numbers are kept with the groups, so a cursor outlives the broker.

use super::{
    admin::all_coordinators,
    history::{event, number},
    name,
};
use crate::{
    authorizer::{Operation, Resource},
    front::{
        Call, Context, Front, Part, Plan,
        join::{Join, Kind, misfit},
    },
    groups,
    limits::{HISTORY_EVENTS_MAX, HISTORY_GROUPS_MAX, WATCH_NOBODY_MS},
    request::{Answer, Ask, PartitionKey, ToldEvent, WatchAsk, WatchPlace, Watched, shard_of},
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};
use weir_group::Name;
use weir_types::{ErrorCode, PartitionIndex, ShardId, TimestampMs};
use weir_wire::{
    Response, Text,
    messages::{GroupWatchRequest, GroupWatchResponse},
};

/// The coordinators that are asked for, each with those of its groups that are named; nothing:
/// all of them.
pub(super) type Coordinated = BTreeMap<PartitionKey, Option<BTreeSet<Name>>>;

/// Where each coordinator is, or was: the number of its last event. Coordinators that are not
/// named had none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(pub(super) BTreeMap<PartitionIndex, u64>);

impl Places {
    /// As text: a mark of its form, and `partition=number` between commas.
    pub(super) fn write(&self) -> String {
        let mut text = String::from("w1:");
        for (place, (index, last)) in self.0.iter().filter(|(_, last)| **last > 0).enumerate() {
            let comma = if place == 0 { "" } else { "," };
            text.push_str(&format!("{comma}{}={last}", index.0));
        }
        text
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let rows = text.strip_prefix("w1:")?;
        let row = |row: &str| {
            let (index, last) = row.split_once('=')?;
            Some((PartitionIndex(index.parse().ok()?), last.parse().ok()?))
        };
        let rows = rows.split(',').filter(|row| !row.is_empty());
        rows.map(row).collect::<Option<_>>().map(Self)
    }

    pub(super) fn get(&self, key: PartitionKey) -> u64 {
        self.0.get(&key.index).copied().unwrap_or(0)
    }
}

/// Which coordinators keep the groups that are named, or all of them; none while there is no
/// coordinator yet.
pub(super) fn coordinated(
    call: &Call<'_>,
    groups: &[Text],
) -> Result<Coordinated, (ErrorCode, &'static str)> {
    if groups.len() > HISTORY_GROUPS_MAX {
        let text = "at most 1,000 groups may be named; name none for all of them";
        return Err((ErrorCode::InvalidRequest, text));
    }
    let mut all = Coordinated::new();
    if groups.is_empty() {
        all.extend(
            all_coordinators(call.image)
                .into_iter()
                .map(|key| (key, None)),
        );
        return Ok(all);
    }
    for group in groups {
        if !call
            .context
            .may(Operation::Describe, Resource::Group(group))
        {
            let error = ErrorCode::GroupAuthorizationFailed;
            return Err((error, error.text()));
        }
        if let Some(key) = groups::key_of(call.image, group) {
            let named = all.entry(key).or_default().get_or_insert_default();
            named.insert(name(group));
        }
    }
    Ok(all)
}

/// A watch that waits.
#[derive(Debug)]
pub(in super::super) struct WatchJoin {
    events_max: usize,
    error: ErrorCode,
    told: Vec<Watched>,
}

impl Front {
    pub(in super::super) fn group_watch(
        &self,
        call: &Call<'_>,
        request: &GroupWatchRequest,
    ) -> Plan {
        let refuse = |error_code, text: &str| {
            Plan::answer(GroupWatchResponse {
                error_code,
                error_message: Some(Text::from(text)),
                ..Default::default()
            })
        };
        let places = match request.cursor.as_deref().map(Places::read) {
            None => None,
            Some(Some(places)) => Some(places),
            Some(None) => return refuse(ErrorCode::InvalidRequest, "this is no watch's cursor"),
        };
        let keys = match coordinated(call, &request.groups) {
            Ok(keys) => keys,
            Err((error, text)) => return refuse(error, text),
        };
        let events_max = usize::try_from(request.max_events).unwrap_or(0);
        let events_max = events_max.clamp(1, HISTORY_EVENTS_MAX);
        let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
        let mut shards: BTreeMap<ShardId, Vec<WatchPlace>> = BTreeMap::new();
        for (key, groups) in keys {
            let shard = shard_of(key, self.config.shards);
            shards.entry(shard).or_default().push(WatchPlace {
                key,
                groups,
                after: places.as_ref().map(|places| places.get(key)),
            });
        }
        let is_nobody_there = shards.is_empty();
        if is_nobody_there {
            // Somebody has to wait, or who asks again at once would never rest.
            shards.insert(ShardId(0), Vec::new());
        }
        let part = |(shard, places)| Part {
            shard,
            seen: call.image.applied(),
            ask: Ask::Watch(Box::new(WatchAsk {
                places,
                events_max,
                wait_ms: if is_nobody_there {
                    wait_ms.min(WATCH_NOBODY_MS)
                } else {
                    wait_ms
                },
            })),
        };
        let join = WatchJoin {
            events_max,
            error: ErrorCode::None,
            told: Vec::new(),
        };
        Plan::Parts {
            parts: shards.into_iter().map(part).collect(),
            join: Join::new(Kind::Watch(join), Vec::new(), call),
        }
    }
}

impl WatchJoin {
    /// Returns whether the other shards need not wait any longer.
    pub(in super::super) fn absorb(&mut self, answer: Answer) -> bool {
        let results = match answer {
            Answer::Watch(results) => results,
            Answer::Refused(_) => Vec::from([Err(ErrorCode::CoordinatorNotAvailable)]),
            other => misfit(&other),
        };
        for result in results {
            match result {
                Ok(told) => self.told.push(told),
                Err(error) => self.error = error,
            }
        }
        let is_news = |told: &Watched| told.missed > 0 || !told.events.is_empty();
        self.error.is_err() || self.told.iter().any(is_news)
    }

    pub(in super::super) fn finish(self, context: &Context) -> Response {
        if self.error.is_err() {
            return GroupWatchResponse {
                error_code: self.error,
                error_message: Some(Text::from_static(self.error.text())),
                ..Default::default()
            }
            .into();
        }
        let (events, missed, places) = cut(self.told, self.events_max);
        let may = |told: &ToldEvent| {
            let group = Resource::Group(&told.group);
            context.may(Operation::Describe, group)
        };
        GroupWatchResponse {
            error_code: ErrorCode::None,
            error_message: None,
            events: events.into_iter().filter(may).map(event).collect(),
            missed: number(missed),
            next_cursor: Some(Text::from(places.write())),
        }
        .into()
    }
}

/// The oldest events of all coordinators, how many are missed before and between them, and where
/// the watch is then. Each coordinator's events stay in their order: what is left off comes next
/// time.
fn cut(told: Vec<Watched>, most: usize) -> (Vec<ToldEvent>, u64, Places) {
    let mut order: Vec<(TimestampMs, usize)> = Vec::new();
    for (index, told) in told.iter().enumerate() {
        let mut at = TimestampMs(i64::MIN);
        for event in &told.events {
            at = at.max(event.event.at);
            order.push((at, index));
        }
    }
    order.sort();
    order.truncate(most);
    let mut places = Places::default();
    let mut missed = 0;
    let mut queues = Vec::with_capacity(told.len());
    for (index, told) in told.into_iter().enumerate() {
        let count = order.iter().filter(|(_, of)| *of == index).count();
        let reached = if count == told.events.len() {
            missed += told.missed;
            told.reached
        } else {
            let last = told.events.iter().take(count).next_back();
            last.map_or(told.after, |last| last.event.number)
        };
        places.0.insert(told.key.index, reached);
        queues.push(told.events.into_iter());
    }
    let mut events = Vec::with_capacity(order.len());
    for (_, index) in order {
        events.extend(queues[index].next());
    }
    missed += events.iter().map(|told| told.missed).sum::<u64>();
    (events, missed, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(rows: &[(i32, u64)]) -> Places {
        let rows = rows
            .iter()
            .map(|(index, last)| (PartitionIndex(*index), *last));
        Places(rows.collect())
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for (rows, text) in [
            (&[][..], "w1:"),
            (&[(3, 17)], "w1:3=17"),
            (&[(0, 1), (49, u64::MAX)], "w1:0=1,49=18446744073709551615"),
        ] {
            assert_eq!(places(rows).write(), text);
            assert_eq!(Places::read(text), Some(places(rows)));
        }
        for text in ["", "w2:", "w1:3", "w1:a=1", "w1:1=-1", "7"] {
            assert_eq!(Places::read(text), None, "{text}");
        }
    }
}
