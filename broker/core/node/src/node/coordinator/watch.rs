//! Those who wait for rebalances: each watch looks at some groups, or all, of some coordinators,
//! from a place in the numbers of each coordinator's events. What it is told waits until it is
//! replicated; whoever comes back too late hears how much is gone.

use super::{super::Node, Room, State};
use crate::{
    event::{Effect, RequestId},
    gate::{Gate, When},
    limits::{
        GROUP_WRITE_MS_MAX, HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX, WATCH_WAIT_MS_MAX,
        WATCHED_GROUPS_MAX, WATCHES_MAX,
    },
    request::{Answer, PartitionKey, ToldEvent, WatchAsk, WatchPlace, Watched},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::iter::Peekable;
use weir_group::{Groups, HistoryEvent, Name};
use weir_types::{ErrorCode, Now, Tick, TimestampMs};

/// Those who wait.
#[derive(Debug, Default)]
pub(super) struct Watches {
    waiting: BTreeMap<RequestId, Watch>,
    /// Who looks at a group of a coordinator; nothing: at all of them.
    by_group: BTreeSet<(PartitionKey, Option<Name>, RequestId)>,
    deadlines: BTreeSet<(Tick, RequestId)>,
}

#[derive(Debug)]
struct Watch {
    places: Vec<WatchPlace>,
    events_max: usize,
    deadline: Tick,
}

impl Watch {
    /// Every group that it looks at.
    fn groups(&self) -> impl Iterator<Item = (PartitionKey, Option<Name>)> + '_ {
        self.places.iter().flat_map(|place| {
            let all = place.groups.is_none().then_some((place.key, None));
            let named = place.groups.iter().flatten();
            all.into_iter()
                .chain(named.map(|name| (place.key, Some(name.clone()))))
        })
    }
}

impl Watches {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Tick> {
        self.deadlines.first().map(|(tick, _)| *tick)
    }

    /// Whether one more may wait.
    fn has_room_for(&self, watch: &Watch) -> bool {
        let rows = self.by_group.len() + watch.groups().count();
        self.len() < WATCHES_MAX && rows <= WATCHED_GROUPS_MAX
    }

    fn insert(&mut self, id: RequestId, watch: Watch) {
        let rows = watch.groups().map(|(key, group)| (key, group, id));
        self.by_group.extend(rows);
        self.deadlines.insert((watch.deadline, id));
        self.waiting.insert(id, watch);
    }

    fn remove(&mut self, id: RequestId) -> Option<Watch> {
        let watch = self.waiting.remove(&id)?;
        for (key, group) in watch.groups() {
            self.by_group.remove(&(key, group, id));
        }
        self.deadlines.remove(&(watch.deadline, id));
        Some(watch)
    }

    /// Those of one group.
    fn of_group(&self, key: PartitionKey, group: &Name) -> Vec<RequestId> {
        let of = |group: Option<Name>| {
            let all = (key, group.clone(), RequestId(0))..=(key, group, RequestId(u64::MAX));
            self.by_group.range(all).map(|(_, _, id)| *id)
        };
        of(None).chain(of(Some(group.clone()))).collect()
    }

    /// Those of any group of a coordinator.
    fn of_coordinator(&self, key: PartitionKey) -> BTreeSet<RequestId> {
        let all = self.by_group.range((key, None, RequestId(0))..);
        all.take_while(|(of, _, _)| *of == key)
            .map(|(_, _, id)| *id)
            .collect()
    }
}

impl Node {
    pub(in super::super) fn watch(
        &mut self,
        now: Now,
        id: RequestId,
        ask: WatchAsk,
        effects: &mut Vec<Effect>,
    ) {
        let mut watch = Watch {
            places: ask.places,
            events_max: ask.events_max,
            deadline: now.tick + ask.wait_ms.min(WATCH_WAIT_MS_MAX),
        };
        for place in &mut watch.places {
            if let Ok(groups) = groups_of(self, place.key) {
                let last = groups.last_event();
                place.after = Some(match place.after {
                    None => last,
                    // These are numbers of another coordinator: nothing of this one is known.
                    Some(after) if after > last => 0,
                    Some(after) => after,
                });
            }
        }
        let told = self.watched(&watch);
        let is_news = told.iter().any(|told| {
            told.as_ref()
                .map_or(true, |told| told.missed > 0 || !told.events.is_empty())
        });
        if is_news || watch.deadline == now.tick {
            self.tell(now, id, told, effects);
        } else if self.coordinators.watches.has_room_for(&watch) {
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
        for id in self.coordinators.watches.of_group(key, group) {
            self.hurry_watch(now, id, effects);
        }
    }

    /// The coordinator is no more.
    pub(super) fn end_watches(&mut self, now: Now, key: PartitionKey, effects: &mut Vec<Effect>) {
        for id in self.coordinators.watches.of_coordinator(key) {
            self.hurry_watch(now, id, effects);
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

    /// A watch is answered with what there is; returns whether it was a watch.
    pub(in super::super) fn hurry_watch(
        &mut self,
        now: Now,
        id: RequestId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(watch) = self.coordinators.watches.remove(id) else {
            return false;
        };
        let told = self.watched(&watch);
        self.tell(now, id, told, effects);
        true
    }

    fn tell(
        &mut self,
        now: Now,
        id: RequestId,
        told: Vec<Result<Watched, ErrorCode>>,
        effects: &mut Vec<Effect>,
    ) {
        let known = told.iter().enumerate();
        let known = known.filter_map(|(part, told)| Some((part, told.as_ref().ok()?.key)));
        let conditions = known
            .filter_map(|(part, key)| Some((self.all_written(key)?, part)))
            .collect();
        let deadline = Some(now.tick + GROUP_WRITE_MS_MAX);
        self.answer(id, Answer::Watch(told), conditions, deadline, effects);
    }

    /// What a watch is told of each of its places, the oldest first.
    fn watched(&self, watch: &Watch) -> Vec<Result<Watched, ErrorCode>> {
        let most = watch.events_max.clamp(1, HISTORY_EVENTS_MAX);
        let mut looks = Vec::with_capacity(watch.places.len());
        for place in &watch.places {
            looks.push(groups_of(self, place.key).map(|groups| Look::at(groups, place, most)));
        }
        // Each place in its own order, so that what is left off comes next time.
        let mut order: Vec<(TimestampMs, usize, usize)> = Vec::new();
        for (index, look) in looks.iter().enumerate() {
            if let Ok(look) = look {
                order.extend(look.times().map(|(at, bytes)| (at, index, bytes)));
            }
        }
        order.sort_by_key(|(at, index, _)| (*at, *index));
        let mut counts = BTreeMap::<usize, usize>::new();
        let mut bytes_left = HISTORY_BYTES_MAX;
        for (_, index, bytes) in order.into_iter().take(most) {
            // One is told however large it is.
            if bytes > bytes_left && !counts.is_empty() {
                break;
            }
            bytes_left = bytes_left.saturating_sub(bytes);
            *counts.entry(index).or_default() += 1;
        }
        let count = |index| counts.get(&index).copied().unwrap_or(0);
        looks
            .into_iter()
            .enumerate()
            .map(|(index, look)| look.map(|look| look.tell(count(index))))
            .collect()
    }

    /// When everything that a coordinator knows is replicated; nothing if it is already.
    pub(super) fn all_written(&self, key: PartitionKey) -> Option<When> {
        let room = self.coordinators.rooms.get(&key)?;
        let end = room.writes.last_end()?;
        Some(When::Replicated(key, end))
    }
}

/// The groups of a coordinator that works.
pub(super) fn groups_of(node: &Node, key: PartitionKey) -> Result<&Groups, ErrorCode> {
    node.coordinators.ready(key)?;
    match node.coordinators.rooms.get(&key) {
        Some(Room {
            state: State::Active(coordinator),
            ..
        }) => Ok(coordinator.groups()),
        _ => Err(ErrorCode::NotCoordinator),
    }
}

/// What there is at one place of a watch.
struct Look<'a> {
    key: PartitionKey,
    groups: &'a Groups,
    /// Every group is looked at.
    all: bool,
    after: u64,
    /// With how large they are.
    events: Vec<(&'a Name, &'a HistoryEvent, usize)>,
    /// There may be more.
    cut: bool,
}

impl<'a> Look<'a> {
    fn at(groups: &'a Groups, place: &WatchPlace, most: usize) -> Self {
        let after = place.after.unwrap_or_else(|| groups.last_event());
        let wanted = |name: &Name| {
            let named = place.groups.as_ref();
            named.is_none_or(|named| named.contains(name))
        };
        let mut look = Self {
            key: place.key,
            groups,
            all: place.groups.is_none(),
            after,
            events: Vec::new(),
            cut: false,
        };
        let mut bytes_left = HISTORY_BYTES_MAX;
        let events = groups.events_between(after, u64::MAX);
        for (name, event) in events.filter(|(name, _)| wanted(name)) {
            if look.events.len() == most || bytes_left == 0 {
                look.cut = true;
                break;
            }
            let bytes = event.bytes();
            bytes_left = bytes_left.saturating_sub(bytes);
            look.events.push((name, event, bytes));
        }
        look
    }

    /// When the events began, made to ascend, and how much they hold.
    fn times(&self) -> impl Iterator<Item = (TimestampMs, usize)> + '_ {
        let events = self.events.iter();
        events.scan(TimestampMs(i64::MIN), |at, (_, event, bytes)| {
            *at = event.at.max(*at);
            Some((*at, *bytes))
        })
    }

    /// The first so many.
    fn tell(mut self, count: usize) -> Watched {
        self.cut |= count < self.events.len();
        self.events.truncate(count);
        let last = self
            .events
            .last()
            .map_or(self.after, |(_, event, _)| event.number);
        let reached = if self.cut {
            last
        } else {
            self.groups.last_event()
        };
        let mut told = Watched {
            key: self.key,
            after: self.after,
            events: Vec::with_capacity(count),
            missed: 0,
            reached,
        };
        let mut before = self.after;
        let mut counted = 0;
        let mut seen = BTreeSet::new();
        let kept = self.groups.events_between(self.after, u64::MAX);
        let mut gone = Gone {
            after: self.after,
            kept: kept.map(|(_, event)| event.number).peekable(),
            kept_count: 0,
        };
        for (name, event, _) in &self.events {
            let missed = if self.all {
                event.number - before - 1
            } else if seen.insert(*name) && event.previous > self.after {
                // Which of the numbers that are gone were this group's, nobody knows any more.
                let gone = gone.before(event.number).saturating_sub(counted);
                gone.min(event.sequence - 1).max(1)
            } else {
                0
            };
            before = event.number;
            counted += missed;
            told.events.push(ToldEvent {
                group: (*name).clone(),
                event: (*event).clone(),
                missed,
            });
        }
        if self.all {
            told.missed = reached - before;
        }
        told
    }
}

/// How many events behind a place are not kept, in one pass.
struct Gone<I: Iterator<Item = u64>> {
    after: u64,
    kept: Peekable<I>,
    kept_count: u64,
}

impl<I: Iterator<Item = u64>> Gone<I> {
    /// How many there are below a number, which must not descend from call to call.
    fn before(&mut self, number: u64) -> u64 {
        while self.kept.next_if(|kept| *kept < number).is_some() {
            self.kept_count += 1;
        }
        (number - 1 - self.after).saturating_sub(self.kept_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use weir_types::{PartitionIndex, TopicId};

    #[test]
    fn watches_of_many_groups_are_bounded_by_their_groups() {
        let key = PartitionKey {
            topic: TopicId([1; 16]),
            index: PartitionIndex(0),
        };
        let names: BTreeSet<Name> = (0..1000).map(|n| Name::from(format!("{n}"))).collect();
        let watch = |groups: Option<&BTreeSet<Name>>| Watch {
            places: Vec::from([WatchPlace {
                key,
                groups: groups.cloned(),
                after: None,
            }]),
            events_max: 1,
            deadline: Tick(1),
        };
        let mut watches = Watches::default();
        let most = u64::try_from(WATCHED_GROUPS_MAX / 1000).unwrap();
        for id in 0..most {
            assert!(watches.has_room_for(&watch(Some(&names))));
            watches.insert(RequestId(id), watch(Some(&names)));
        }
        assert!(!watches.has_room_for(&watch(None)));
        watches.remove(RequestId(0)).unwrap();
        assert!(watches.has_room_for(&watch(Some(&names))));
    }
}
