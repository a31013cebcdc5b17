//! The history of groups as coordinators keep it, told on demand. An event is told once the write
//! that holds it is replicated.

use super::{super::Node, watch::groups_of};
use crate::{
    event::{Effect, RequestId},
    limits::{GROUP_WRITE_MS_MAX, HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX},
    request::{Answer, HistoryAsk, HistoryPart, HistoryTold, ToldEvent},
};
use alloc::vec::Vec;
use core::{
    cmp::Ordering,
    ops::{Bound, RangeBounds},
};
use weir_group::{EventPlace, Groups, HistoryEvent, Name};
use weir_types::{Now, TimestampMs};

impl Node {
    pub(in super::super) fn history(
        &mut self,
        now: Now,
        id: RequestId,
        ask: &HistoryAsk,
        effects: &mut Vec<Effect>,
    ) {
        let most = ask.events_max.min(HISTORY_EVENTS_MAX) + 1;
        let mut results = Vec::with_capacity(ask.partitions.len());
        let mut conditions = Vec::new();
        let mut rows: Vec<(usize, Row<'_>)> = Vec::new();
        for (index, part) in ask.partitions.iter().enumerate() {
            let groups = groups_of(self, part.key);
            if let Ok(groups) = groups {
                let first = first(groups, part, ask, most);
                rows.extend(first.into_iter().map(|row| (index, row)));
            }
            results.push(groups.map(|groups| HistoryTold {
                key: part.key,
                events: Vec::new(),
                last: groups.last_event(),
            }));
            let written = self.all_written(part.key);
            conditions.extend(written.map(|when| (when, index)));
        }
        rows.sort_by(|(_, one), (_, other)| order(ask, one, other));
        let mut bytes = 0;
        for (index, row) in rows.into_iter().take(most) {
            // One more than fits is told, so that whoever joins the answers sees that there is
            // more.
            if bytes > HISTORY_BYTES_MAX {
                break;
            }
            bytes += row.event.bytes();
            if let Some(Ok(told)) = results.get_mut(index) {
                told.events.push(ToldEvent {
                    group: row.name.clone(),
                    event: row.event.clone(),
                    missed: 0,
                });
            }
        }
        let deadline = Some(now.tick + GROUP_WRITE_MS_MAX);
        self.answer(id, Answer::History(results), conditions, deadline, effects);
    }
}

/// An event and whose it is.
#[derive(Clone, Copy)]
struct Row<'a> {
    name: &'a Name,
    event: &'a HistoryEvent,
}

/// In the order asked for.
fn order(ask: &HistoryAsk, one: &Row<'_>, other: &Row<'_>) -> Ordering {
    let key = |row: &Row<'_>| (row.event.at, row.event.sequence);
    let ((at, sequence), (other_at, other_sequence)) = (key(one), key(other));
    let by_group = || one.name.cmp(other.name);
    let order = at.cmp(&other_at).then_with(by_group);
    let order = order.then(sequence.cmp(&other_sequence));
    if ask.newest_first {
        order.reverse()
    } else {
        order
    }
}

/// The first events that are asked for of one coordinator, at most so many: those of all groups
/// in order, those of groups that are named in any.
fn first<'a>(
    groups: &'a Groups,
    part: &'a HistoryPart,
    ask: &HistoryAsk,
    most: usize,
) -> Vec<Row<'a>> {
    let span = span(ask);
    let is_known = |event: &HistoryEvent| part.until.is_none_or(|until| event.number <= until);
    let Some(named) = &part.groups else {
        let row = |(name, event): (&'a Name, &'a HistoryEvent)| {
            is_known(event).then_some(Row { name, event })
        };
        let events = groups.events_by_time(span.0, span.1).filter_map(row);
        return if ask.newest_first {
            events.rev().take(most).collect()
        } else {
            events.take(most).collect()
        };
    };
    let within = |name: &Name, event: &HistoryEvent| {
        let place: EventPlace = (event.at, name.clone(), event.sequence);
        is_known(event) && span.contains(&place)
    };
    let mut rows = Vec::new();
    for name in named {
        let Some(group) = groups.get(name) else {
            continue;
        };
        let events = group.history.values();
        let events = events.filter(|event| within(name, event));
        rows.extend(events.map(|event| Row { name, event }));
    }
    if rows.len() > most {
        rows.select_nth_unstable_by(most - 1, |one, other| order(ask, one, other));
        rows.truncate(most);
    }
    rows
}

/// From where on and below which place events are asked for.
fn span(ask: &HistoryAsk) -> (Bound<EventPlace>, Bound<EventPlace>) {
    let first_at = |at: TimestampMs| (at.0 >= 0).then(|| (at, Name::from(""), 0));
    let mut from = first_at(ask.from).map_or(Bound::Unbounded, Bound::Included);
    let mut below = first_at(ask.to);
    if let Some(after) = &ask.after {
        let after: EventPlace = (after.at, after.group.clone(), after.sequence);
        if ask.newest_first {
            below = Some(below.map_or(after.clone(), |below| below.min(after)));
        } else if !matches!(&from, Bound::Included(from) if *from > after) {
            from = Bound::Excluded(after);
        }
    }
    (from, below.map_or(Bound::Unbounded, Bound::Excluded))
}
