//! The history of groups as coordinators keep it: told on demand, and to whoever waits for the
//! next rebalance of a group. An event is told once the write that holds it is replicated.

use super::{super::Node, Room, State};
use crate::{
    event::{Effect, RequestId},
    gate::{Gate, When},
    limits::{GROUP_WRITE_MS_MAX, HISTORY_EVENTS_MAX, WATCH_WAIT_MS_MAX, WATCHES_MAX},
    request::{Answer, HistoryAsk, HistoryPlace, PartitionKey, ToldEvent, WatchAsk, Watched},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_group::{Group, Groups, HistoryEvent, Kind, Name};
use weir_types::{ErrorCode, Now, Tick};

/// Those who wait for a rebalance.
#[derive(Debug, Default)]
pub(super) struct Watches {
    waiting: BTreeMap<RequestId, Watch>,
    by_group: BTreeSet<(PartitionKey, Name, RequestId)>,
    deadlines: BTreeSet<(Tick, RequestId)>,
}

#[derive(Debug)]
struct Watch {
    key: PartitionKey,
    group: Name,
    after: u64,
    deadline: Tick,
}

impl Watches {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Tick> {
        self.deadlines.first().map(|(tick, _)| *tick)
    }

    fn insert(&mut self, id: RequestId, watch: Watch) {
        self.by_group.insert((watch.key, watch.group.clone(), id));
        self.deadlines.insert((watch.deadline, id));
        self.waiting.insert(id, watch);
    }

    fn remove(&mut self, id: RequestId) -> Option<Watch> {
        let watch = self.waiting.remove(&id)?;
        self.by_group.remove(&(watch.key, watch.group.clone(), id));
        self.deadlines.remove(&(watch.deadline, id));
        Some(watch)
    }

    /// Those of one group, or of all groups of a partition.
    fn of(&self, key: PartitionKey, group: Option<&Name>) -> Vec<RequestId> {
        let first = (
            key,
            group.cloned().unwrap_or_else(|| Name::from("")),
            RequestId(0),
        );
        let all = self.by_group.range(first..);
        all.take_while(|(of, name, _)| *of == key && group.is_none_or(|group| group == name))
            .map(|(_, _, id)| *id)
            .collect()
    }
}

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
        for (part, (key, groups)) in ask.partitions.iter().enumerate() {
            results.push(match self.groups_of(*key) {
                Ok(known) => Ok(events(known, groups.as_deref(), ask)),
                Err(error) => Err(error),
            });
            conditions.extend(self.all_written(*key).map(|when| (when, part)));
        }
        let deadline = Some(now.tick + GROUP_WRITE_MS_MAX);
        self.answer(id, Answer::History(results), conditions, deadline, effects);
    }

    pub(in super::super) fn watch(
        &mut self,
        now: Now,
        id: RequestId,
        ask: WatchAsk,
        effects: &mut Vec<Effect>,
    ) {
        let groups = match self.groups_of(ask.key) {
            Ok(groups) => groups,
            Err(error) => return Gate::answer_now(id, Answer::Watch(Err(error)), effects),
        };
        let last = groups.get(&ask.group).map_or(0, last);
        let watch = Watch {
            key: ask.key,
            after: ask.after.unwrap_or(last),
            group: ask.group,
            deadline: now.tick + ask.wait_ms.min(WATCH_WAIT_MS_MAX),
        };
        if last > watch.after || watch.deadline == now.tick {
            self.tell_watch(now, id, &watch, effects);
        } else if self.coordinators.watches.len() < WATCHES_MAX {
            self.coordinators.watches.insert(id, watch);
        } else {
            let refused = Answer::Refused(ErrorCode::RequestTimedOut);
            Gate::answer_now(id, refused, effects);
        }
    }

    /// A group has a new event.
    pub(super) fn tell_watches(
        &mut self,
        now: Now,
        key: PartitionKey,
        group: &Name,
        effects: &mut Vec<Effect>,
    ) {
        for id in self.coordinators.watches.of(key, Some(group)) {
            if let Some(watch) = self.coordinators.watches.remove(id) {
                self.tell_watch(now, id, &watch, effects);
            }
        }
    }

    /// The coordinator is no more.
    pub(super) fn end_watches(
        &mut self,
        key: PartitionKey,
        error: ErrorCode,
        effects: &mut Vec<Effect>,
    ) {
        for id in self.coordinators.watches.of(key, None) {
            self.coordinators.watches.remove(id);
            Gate::answer_now(id, Answer::Watch(Err(error)), effects);
        }
    }

    /// Answers the watches whose time is up.
    pub(super) fn expire_watches(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some((deadline, id)) = self.coordinators.watches.deadlines.first().copied() {
            if deadline > now.tick {
                return;
            }
            self.hurry_watch(now, id, effects);
        }
    }

    /// Whoever watches does not want to wait any longer; returns whether it was a watch.
    pub(in super::super) fn hurry_watch(
        &mut self,
        now: Now,
        id: RequestId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(watch) = self.coordinators.watches.remove(id) else {
            return false;
        };
        self.tell_watch(now, id, &watch, effects);
        true
    }

    fn tell_watch(&mut self, now: Now, id: RequestId, watch: &Watch, effects: &mut Vec<Effect>) {
        let watched = self.groups_of(watch.key).map(|groups| {
            let Some(group) = groups.get(&watch.group) else {
                return Watched::default();
            };
            // Someone who knows more than there is knew another group of that name.
            let after = watch.after.min(last(group));
            let (missed, events) = group.events_after(after);
            let events = events.into_iter().take(HISTORY_EVENTS_MAX);
            Watched {
                missed,
                events: events.map(|e| told(&watch.group, group, e)).collect(),
                last: last(group),
            }
        });
        let when = self.all_written(watch.key);
        let conditions = when.into_iter().map(|when| (when, 0)).collect();
        let deadline = Some(now.tick + GROUP_WRITE_MS_MAX);
        self.answer(id, Answer::Watch(watched), conditions, deadline, effects);
    }

    fn groups_of(&self, key: PartitionKey) -> Result<&Groups, ErrorCode> {
        self.coordinators.ready(key)?;
        match self.coordinators.rooms.get(&key) {
            Some(Room {
                state: State::Active(coordinator),
                ..
            }) => Ok(coordinator.groups()),
            _ => Err(ErrorCode::NotCoordinator),
        }
    }

    /// When everything that a coordinator knows is replicated; nothing if it is already.
    fn all_written(&self, key: PartitionKey) -> Option<When> {
        let room = self.coordinators.rooms.get(&key)?;
        let (_, end) = room.writes.last_key_value()?;
        Some(When::Replicated(key, *end))
    }
}

/// The number of a group's last event; 0: it has had none.
fn last(group: &Group) -> u64 {
    group.next_sequence() - 1
}

/// What is asked for of one coordinator, in the order asked for, and one more than wanted where
/// there is more.
fn events(groups: &Groups, wanted: Option<&[Name]>, ask: &HistoryAsk) -> Vec<ToldEvent> {
    let within = |event: &HistoryEvent| {
        (ask.from.0 < 0 || event.at >= ask.from) && (ask.to.0 < 0 || event.at < ask.to)
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
fn told(name: &Name, group: &Group, event: &HistoryEvent) -> ToldEvent {
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
        clients: members
            .into_iter()
            .filter_map(|member| Some((member.clone(), client(member)?)))
            .collect(),
    }
}
