//! Lag and traffic on this shard: what it tells of its partitions and groups (`telling`), the one
//! keeper of them all, where this shard leads the topic that it is kept in (`keeping`), and the
//! questions to it (`asking`).
//!
//! Nothing here runs with a batch but a few additions: a shard looks once a second at what changed.

mod asking;
mod keeping;
mod telling;

use super::Node;
use crate::{
    event::Effect,
    limits::{LAG_MAKE_MS, LAG_REPORT_MS},
    request::{META_SHARD, PartitionKey, shard_of},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::ToString,
    vec::Vec,
};
use weir_group::Name;
use weir_lag::Traffic;
use weir_meta::{
    Command, Image,
    command::{CreateTopics, NewTopic},
    name::{LAG, is_internal},
};
use weir_types::{Now, PartitionIndex, ShardId, Tick};

/// What a partition has had since it was told of last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) traffic: Traffic,
    /// It is among those to be told of.
    pub(super) marked: bool,
    /// When it was opened, if there was nothing in it.
    pub(super) empty_at: Option<Tick>,
}

/// What is to be told of a group.
#[derive(Clone, Debug)]
struct Note {
    /// The partition of its coordinator.
    key: PartitionKey,
    /// The offsets that changed.
    offsets: BTreeSet<(Name, PartitionIndex)>,
}

/// Lag as this shard has to do with it.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// The partition that everything is kept in, and the shard that leads it here.
    home: Option<(PartitionKey, ShardId)>,
    /// Partitions to be told of.
    partitions: Vec<PartitionKey>,
    /// Partitions that are led no more.
    partitions_gone: Vec<PartitionKey>,
    /// Groups to be told of.
    groups: BTreeMap<Name, Note>,
    /// When the first of these changed.
    first: Option<Tick>,
    /// When they are told.
    tell_at: Option<Tick>,
    /// The keeper wants everything, of an image that is at least as new.
    all_wanted: Option<u64>,
    room: Option<keeping::Room>,
    waiting: BTreeMap<crate::event::RequestId, asking::Waiting>,
    /// When the topic is to be made.
    make_at: Option<Tick>,
    /// It was there, or was asked for: nobody makes it again.
    made: bool,
}

impl Lag {
    /// Something changed that is to be told.
    fn note(&mut self, now: Now) {
        self.first.get_or_insert(now.tick);
        self.tell_at.get_or_insert(now.tick + LAG_REPORT_MS);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Tick> {
        let tell = self.tell_at.filter(|_| self.home.is_some());
        let room = self.room.as_ref().and_then(keeping::Room::next_deadline);
        let waiting = self.waiting.values().map(|waiting| waiting.deadline).min();
        [tell, room, waiting, self.make_at]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Node {
    /// Checks the keeper, where it is here.
    pub(super) fn check_lag(&self) {
        self.check_keeper();
    }

    /// Whether a partition is the one that lag is kept in.
    pub(super) fn keeps_lag(&self, key: PartitionKey) -> bool {
        let topic = self.image.topic(key.topic);
        topic.is_some_and(|topic| &*topic.name == LAG)
    }

    /// The image moved on.
    pub(super) fn lag_image(&mut self, now: Now, old: &Image, effects: &mut Vec<Effect>) {
        let led = self.image.topic_named(LAG).and_then(|topic| {
            let index = PartitionIndex(0);
            let leader = topic.partition(index)?.leader;
            let topic = topic.id;
            let key = PartitionKey { topic, index };
            (leader == Some(self.config.broker)).then(|| (key, shard_of(key, self.config.shards)))
        });
        self.lag.home = led;
        self.lag.made |= led.is_some();
        let mine = |id| {
            !self.keeps_lag(PartitionKey {
                topic: id,
                index: PartitionIndex(0),
            })
        };
        let user = self
            .image
            .topics()
            .any(|topic| !is_internal(&topic.name) && mine(topic.id));
        if self.config.lag_topic.is_some()
            && self.config.shard == META_SHARD
            && user
            && !self.lag.made
            && self.lag.make_at.is_none()
        {
            self.lag.make_at = Some(now.tick + LAG_MAKE_MS);
        }
        self.note_views(now, old);
        self.keeper_image(now, old, effects);
    }

    pub(super) fn lag_timers(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.lag.make_at.is_some_and(|at| at <= now.tick) {
            self.lag.make_at = None;
            self.make_lag(now, effects);
        }
        let due = self.lag.tell_at.filter(|_| self.lag.home.is_some());
        if due.is_some_and(|at| at <= now.tick) {
            self.tell_changes(now, effects);
        }
        self.keeper_timers(now, effects);
        self.expire_lag(now, effects);
    }

    /// Makes the topic that lag is kept in, once.
    fn make_lag(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Some(id) = self.config.lag_topic.filter(|_| !self.lag.made) else {
            return;
        };
        self.lag.made = true;
        let settings = [("retention.ms", "-1"), ("retention.bytes", "-1")];
        let topic = NewTopic {
            id,
            name: LAG.to_string(),
            num_partitions: 1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: settings
                .map(|(name, value)| (name.to_string(), Some(value.to_string())))
                .into(),
        };
        let command = Command::CreateInternalTopics(CreateTopics {
            topics: Vec::from([topic]),
            validate_only: false,
            num_partitions_default: 1,
            replication_factor_default: self.config.replication_factor,
        });
        self.own_command(now, command, effects);
    }
}
