//! The coordinators of this shard: one [`weir_group::Coordinator`] for each partition of
//! `__consumer_offsets` that it leads. Here events are handed to them and their effects carried
//! out.
//!
//! What they write goes through the partition's replica, and no answer leaves before
//! the write that it names is replicated. A write that fails makes the coordinator give up and
//! read its groups from the log again. No rule of groups may live here.

mod calls;
mod history;
mod loading;
mod topics;
mod watch;

use super::{
    Node,
    kept::{KeyValue, Writes},
};
use crate::{
    event::{Effect, RequestId},
    gate::When,
    request::PartitionKey,
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use weir_group::{
    Coordinator, EncodeError, GroupEffect, GroupEvent, GroupRecord, Reply, TopicTable, WriteId,
    encode,
};
use weir_meta::{Image, name::CONSUMER_OFFSETS};
use weir_types::{ErrorCode, Now, Tick, log::Token};

/// The coordinators of a shard, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Coordinators {
    rooms: BTreeMap<PartitionKey, Room>,
    /// The topics of the image, as the coordinators know them.
    topics: Arc<TopicTable>,
    calls: BTreeMap<RequestId, calls::Call>,
    /// Which part of which call a coordinator was asked for.
    asked: BTreeMap<weir_group::RequestId, (RequestId, usize)>,
    next_ask: u64,
    /// When a coordinator wants to look at its timers.
    timers: BTreeSet<(Tick, PartitionKey)>,
    /// Whose groups a read is for.
    reads: BTreeMap<Token, PartitionKey>,
    watches: watch::Watches,
}

/// One coordinator and its partition.
#[derive(Debug)]
struct Room {
    state: State,
    /// The number of its next write, which never comes twice.
    next_write: WriteId,
    writes: Writes,
    wake_at: Option<Tick>,
    /// How often in a row its groups could not be read.
    failures: u32,
}

/// What a coordinator is doing.
#[derive(Debug)]
enum State {
    /// Its groups are being read.
    Loading(loading::Loading),
    /// It works.
    Active(Box<Coordinator>),
    /// Its groups could not be read; it tries again at its time.
    Damaged,
}

impl Room {
    /// The coordinator, if it works; else the error to answer.
    const fn ready(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Active(_) => Ok(()),
            State::Loading(_) => Err(ErrorCode::CoordinatorLoadInProgress),
            State::Damaged => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }
}

impl Coordinators {
    /// How many answers wait.
    pub(super) fn len(&self) -> usize {
        self.calls.len() + self.watches.len()
    }

    /// The earliest time at which a coordinator or a watch wants to be looked at.
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        let timer = self.timers.first().map(|(tick, _)| *tick);
        [timer, self.watches.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Checks that what waits and what is asked for agree.
    pub(super) fn check(&self, image: &Image) {
        let names = image.topics().map(|topic| &topic.name);
        assert!(
            self.topics.names().eq(names),
            "I-NODE-17: coordinators know the topics of the image"
        );
        for topic in image.topics() {
            let known = self.topics.by_id(topic.id).map(|info| info.partitions);
            let partitions = i32::try_from(topic.partitions.len()).ok();
            assert_eq!(known, partitions, "I-NODE-17: and their partitions");
        }
        for (id, part) in self.asked.values() {
            let call = self.calls.get(id);
            let call = call.expect("I-NODE-14: what is asked for belongs to a call");
            call.check(*part);
        }
        for (key, room) in &self.rooms {
            if let State::Active(coordinator) = &room.state {
                coordinator.check();
            }
            if let Some(tick) = room.wake_at {
                assert!(
                    self.timers.contains(&(tick, *key)),
                    "I-NODE-15: a coordinator is woken"
                );
            }
        }
    }

    fn ready(&self, key: PartitionKey) -> Result<(), ErrorCode> {
        let room = self.rooms.get(&key);
        room.map_or(Err(ErrorCode::NotCoordinator), Room::ready)
    }

    fn wake(&mut self, key: PartitionKey, at: Option<Tick>) {
        let Some(room) = self.rooms.get_mut(&key) else {
            return;
        };
        if let Some(before) = core::mem::replace(&mut room.wake_at, at) {
            self.timers.remove(&(before, key));
        }
        if let Some(at) = at {
            self.timers.insert((at, key));
        }
    }
}

impl Node {
    /// Whether a partition is one of `__consumer_offsets`.
    pub(super) fn keeps_groups(&self, key: PartitionKey) -> bool {
        let topic = self.image.topic(key.topic);
        topic.is_some_and(|topic| &*topic.name == CONSUMER_OFFSETS)
    }

    /// This broker leads a partition of `__consumer_offsets` from now on, or leads it anew.
    pub(super) fn begin_coordinating(
        &mut self,
        now: Now,
        key: PartitionKey,
        effects: &mut Vec<Effect>,
    ) {
        if self.keeps_lag(key) {
            return self.begin_keeping(now, key, effects);
        }
        if !self.keeps_groups(key) {
            return;
        }
        self.stop_coordinating(now, key, effects);
        if self.open(key).is_ok_and(|open| open.replica.leads()) {
            self.load_groups(now, key, effects);
        }
    }

    /// This broker coordinates the groups of a partition no more; whoever waits hears so.
    pub(super) fn stop_coordinating(
        &mut self,
        now: Now,
        key: PartitionKey,
        effects: &mut Vec<Effect>,
    ) {
        self.stop_keeping(key, effects);
        self.coordinators.wake(key, None);
        let Some(room) = self.coordinators.rooms.remove(&key) else {
            return;
        };
        if let State::Active(coordinator) = room.state {
            let mut given = Vec::new();
            coordinator.resign(&mut given);
            for effect in given {
                if let GroupEffect::Answer { request, reply, .. } = effect {
                    self.group_reply(now, request, reply, None, effects);
                }
            }
        }
        self.end_watches(now, key, effects);
    }

    /// Lets the coordinators whose time has come look at their timers.
    pub(super) fn wake_coordinators(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let due = self.coordinators.timers.iter();
        let due: Vec<PartitionKey> = due
            .take_while(|(tick, _)| *tick <= now.tick)
            .map(|(_, key)| *key)
            .collect();
        for key in due {
            self.coordinators.wake(key, None);
            self.group_event(now, key, GroupEvent::Tick, effects);
            self.load_if_due(now, key, effects);
        }
        self.expire_watches(now, effects);
    }

    /// Hands an event to a coordinator, if it works.
    fn group_event(
        &mut self,
        now: Now,
        key: PartitionKey,
        event: GroupEvent,
        effects: &mut Vec<Effect>,
    ) {
        let room = self.coordinators.rooms.get_mut(&key);
        if let Some(Room {
            state: State::Active(coordinator),
            ..
        }) = room
        {
            let mut given = Vec::new();
            coordinator.step(now, event, &mut given);
            self.carry_out_groups(now, key, given, effects);
        }
    }

    /// Carries out what a coordinator wants, in order.
    fn carry_out_groups(
        &mut self,
        now: Now,
        key: PartitionKey,
        given: Vec<GroupEffect>,
        effects: &mut Vec<Effect>,
    ) {
        let mut failed = false;
        let mut patterns = Vec::new();
        for effect in given {
            match effect {
                GroupEffect::Write { write, records } => {
                    failed |= !self.write_groups(now, key, write, &records, effects);
                }
                GroupEffect::Answer { request, reply, .. } if failed => {
                    // Only what was true before the failed write may be told; nobody knows which.
                    drop(reply);
                    let reply = Reply::error(ErrorCode::NotCoordinator);
                    self.group_reply(now, request, reply, None, effects);
                }
                GroupEffect::Answer {
                    request,
                    after,
                    reply,
                } => {
                    let early = self.config.mutants.ack_commits_early
                        && matches!(reply, Reply::Committed(_));
                    let when = self.when_written(key, after.filter(|_| !early));
                    self.group_reply(now, request, reply, when, effects);
                }
                GroupEffect::ResolvePattern { pattern } => patterns.push(pattern),
                GroupEffect::WakeAt(tick) => self.coordinators.wake(key, Some(tick)),
                GroupEffect::HistoryGrew { group, .. } if !failed => {
                    self.tell_watches(now, key, &group, effects);
                }
                GroupEffect::SnapshotWritten { end, .. } if !failed => {
                    self.snapshot_written(key, end, effects);
                }
                GroupEffect::HistoryGrew { .. } | GroupEffect::SnapshotWritten { .. } => {}
            }
        }
        if failed {
            // Not at once: what made the write fail would make the next one fail as well.
            self.stop_coordinating(now, key, effects);
            self.load_groups_later(now, key);
            return;
        }
        for pattern in patterns {
            self.resolve_pattern(now, key, pattern, effects);
        }
    }

    /// The coordinators, with their partitions, that work.
    pub(super) fn coordinating(&self) -> impl Iterator<Item = (PartitionKey, &Coordinator)> {
        let rooms = self.coordinators.rooms.iter();
        rooms.filter_map(|(key, room)| match &room.state {
            State::Active(coordinator) => Some((*key, &**coordinator)),
            State::Loading(_) | State::Damaged => None,
        })
    }

    /// The coordinator of a partition, if it works.
    pub(super) fn coordinator(&self, key: PartitionKey) -> Option<&Coordinator> {
        match &self.coordinators.rooms.get(&key)?.state {
            State::Active(coordinator) => Some(coordinator),
            State::Loading(_) | State::Damaged => None,
        }
    }

    /// Whether groups of this shard are still being read.
    pub(super) fn groups_loading(&self) -> bool {
        let rooms = self.coordinators.rooms.values();
        rooms
            .into_iter()
            .any(|room| matches!(room.state, State::Loading(_)))
    }

    /// When a write is replicated; nothing if it is already.
    fn when_written(&self, key: PartitionKey, write: Option<WriteId>) -> Option<When> {
        let room = self.coordinators.rooms.get(&key)?;
        let end = room.writes.end_of(write?.0)?;
        Some(When::Replicated(key, end))
    }

    /// Appends the records; returns whether that could be done.
    fn write_groups(
        &mut self,
        now: Now,
        key: PartitionKey,
        write: WriteId,
        records: &[GroupRecord],
        effects: &mut Vec<Effect>,
    ) -> bool {
        let encoded: Result<Vec<KeyValue>, EncodeError> = records.iter().map(encode).collect();
        let written = encoded
            .ok()
            .and_then(|encoded| self.append_own(now, key, encoded, effects));
        let Some(written) = written else {
            return false;
        };
        self.note_groups(now, key, records);
        if let Some(room) = self.coordinators.rooms.get_mut(&key) {
            room.next_write = WriteId(write.0 + 1);
            let begins = matches!(records.first(), Some(GroupRecord::SnapshotBegin { .. }));
            room.writes.written(write.0, written, begins);
        }
        true
    }

    /// A snapshot is written: the log may start with it as soon as its end is replicated.
    fn snapshot_written(&mut self, key: PartitionKey, end: WriteId, effects: &mut Vec<Effect>) {
        let replicated = self.open(key).map(|open| open.replica.high_watermark());
        if let Some(room) = self.coordinators.rooms.get_mut(&key) {
            room.writes.snapshot_written(end.0, replicated.ok());
        }
        self.groups_replicated(key, effects);
    }

    /// More of a partition is replicated: what was waited for there need not be kept.
    pub(super) fn groups_replicated(&mut self, key: PartitionKey, effects: &mut Vec<Effect>) {
        let Some(room) = self.coordinators.rooms.get_mut(&key) else {
            return;
        };
        let Some(super::Partition::Open(open)) = self.partitions.get(&key) else {
            return;
        };
        if let Some(to) = room.writes.replicated(open.replica.high_watermark()) {
            // It can fail only where the partition is no longer led, and then it need not move.
            let _start = self.delete_below(key, Some(to), effects);
        }
    }
}
