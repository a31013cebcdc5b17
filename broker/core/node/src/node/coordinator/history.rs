//! The history of groups as coordinators keep it, told on demand. An event is told once the write
//! that holds it is replicated.

use super::{super::Node, watch::groups_of};
use crate::{
    event::{Effect, RequestId},
    limits::{GROUP_WRITE_MS_MAX, HISTORY_EVENTS_MAX},
    request::{Answer, HistoryAsk, HistoryPart, HistoryPlace, HistoryTold, ToldEvent},
};
use alloc::{collections::BTreeSet, vec::Vec};
use weir_group::{Group, Groups, HistoryEvent, Kind, Name};
use weir_types::Now;

impl Node {
    pub(in super::super) fn history(
        &mut self,
        now: Now,
        id: RequestId,
        ask: &HistoryAsk,
        effects: &mut Vec<Effect>,
    ) {
        let mut results = Vec::with_capacity(ask.partitions.len());
        let mut conditions = Vec::new();
        for (index, part) in ask.partitions.iter().enumerate() {
            results.push(groups_of(self, part.key).map(|groups| HistoryTold {
                key: part.key,
                events: events(groups, part, ask),
                last: groups.last_event(),
            }));
            let written = self.all_written(part.key);
            conditions.extend(written.map(|when| (when, index)));
        }
        let deadline = Some(now.tick + GROUP_WRITE_MS_MAX);
        self.answer(id, Answer::History(results), conditions, deadline, effects);
    }
}

/// What is asked for of one coordinator, in the order asked for, and one more than wanted where
/// there is more.
fn events(groups: &Groups, part: &HistoryPart, ask: &HistoryAsk) -> Vec<ToldEvent> {
    let wanted = part.groups.as_deref();
    let within = |event: &HistoryEvent| {
        let is_known = part.until.is_none_or(|until| event.number <= until);
        let is_late = ask.from.0 < 0 || event.at >= ask.from;
        is_known && is_late && (ask.to.0 < 0 || event.at < ask.to)
    };
    let behind = |place: &HistoryPlace| match &ask.after {
        None => true,
        Some(after) if ask.newest_first => place < after,
        Some(after) => place > after,
    };
    let named = groups
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted.contains(name)));
    let mut places: Vec<(HistoryPlace, &Group)> = named
        .flat_map(|(name, group)| {
            let events = group.history.values().filter(|event| within(event));
            events.map(move |event| (place_of(name, event), group))
        })
        .filter(|(place, _)| behind(place))
        .collect();
    places.sort_by(|(one, _), (other, _)| one.cmp(other));
    if ask.newest_first {
        places.reverse();
    }
    let most = ask.events_max.min(HISTORY_EVENTS_MAX) + 1;
    let tell = |(place, group): (HistoryPlace, &Group)| {
        let event = group.history.get(&place.sequence)?;
        Some(told(&place.group, group, event))
    };
    places.into_iter().take(most).filter_map(tell).collect()
}

fn place_of(group: &Name, event: &HistoryEvent) -> HistoryPlace {
    HistoryPlace {
        at: event.at,
        group: group.clone(),
        sequence: event.sequence,
    }
}

/// An event with what the clients of its members call themselves, as far as they are there.
pub(super) fn told(name: &Name, group: &Group, event: &HistoryEvent) -> ToldEvent {
    let causes = event
        .causes
        .iter()
        .filter_map(|cause| cause.member.as_ref());
    let still = event.still_ms.iter().map(|(member, _)| member);
    let members: BTreeSet<&Name> = causes.chain(still).collect();
    let client = |member: &Name| match &group.kind {
        Kind::Simple => None,
        Kind::Classic(classic) => {
            let found = classic.members.iter().find(|m| m.id == *member);
            found.map(|member| member.client_id.clone())
        }
        Kind::Consumer(consumer) => {
            let found = consumer.members.get(member);
            found.map(|member| member.meta.client_id.clone())
        }
    };
    ToldEvent {
        group: name.clone(),
        event: event.clone(),
        missed: 0,
        clients: members
            .into_iter()
            .filter_map(|member| Some((member.clone(), client(member)?)))
            .collect(),
    }
}
