//! A keeper, its log, and a world of groups that it hears of. Shared by the tests; no test itself.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{collections::BTreeMap, sync::Arc};
use weir_lag::{
    GroupMeta, GroupReport, Keeper, LagEffect, LagEvent, Ledger, PartitionReport, Report, Sender,
    Topics, Traffic, WriteId,
    view::{HistoryPage, HistoryQuery, LagPage, LagQuery},
};
use weir_types::{BrokerId, Now, Offset, PartitionIndex, ShardId, Tick, TimestampMs, TopicId};

pub(crate) const START: i64 = 1_700_000_000_000;

pub(crate) fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

pub(crate) fn topic_id(number: usize) -> TopicId {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    TopicId(id)
}

pub(crate) const fn sender(shard: u16) -> Sender {
    Sender {
        broker: BrokerId(1),
        shard: ShardId(shard),
    }
}

pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) keeper: Keeper,
    /// The log: records and how many bytes they take.
    pub(crate) log: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) log_bytes: usize,
    pub(crate) log_bytes_max: usize,
    next_write: u64,
    snapshot_at: usize,
    pub(crate) snapshots: usize,
    pub(crate) changes: usize,
    wake: Option<Tick>,
    pub(crate) topics: BTreeMap<Arc<str>, (TopicId, i32)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Now {
            tick: Tick(5_000),
            wall: TimestampMs(START),
        };
        Self {
            now,
            keeper: Keeper::start(Ledger::default(), WriteId(0), now),
            log: Vec::new(),
            log_bytes: 0,
            log_bytes_max: 0,
            next_write: 0,
            snapshot_at: 0,
            snapshots: 0,
            changes: 0,
            wake: None,
            topics: BTreeMap::new(),
        }
    }

    pub(crate) fn event(&mut self, event: LagEvent) {
        let mut effects = Vec::new();
        self.keeper.step(self.now, event, &mut effects);
        self.wake = None;
        for effect in effects {
            self.carry_out(effect);
        }
    }

    pub(crate) fn carry_out(&mut self, effect: LagEffect) {
        match effect {
            LagEffect::Write {
                write,
                records,
                begins_snapshot,
            } => {
                assert_eq!(write.0, self.next_write, "writes are numbered");
                self.next_write += 1;
                if begins_snapshot {
                    self.snapshot_at = self.log.len();
                }
                let bytes = records.iter().map(|(key, value)| key.len() + value.len());
                self.log_bytes += bytes.sum::<usize>();
                self.log.extend(records);
                self.log_bytes_max = self.log_bytes_max.max(self.log_bytes);
            }
            LagEffect::SnapshotWritten { end } => {
                assert_eq!(end.0 + 1, self.next_write, "the last write ends it");
                let gone = self.log.drain(..self.snapshot_at);
                self.log_bytes -= gone
                    .map(|(key, value)| key.len() + value.len())
                    .sum::<usize>();
                self.snapshots += 1;
            }
            LagEffect::Changed => self.changes += 1,
            LagEffect::WakeAt(tick) => self.wake = Some(tick),
        }
    }

    /// Lets time go by, with every tick that the keeper asked for.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now.tick.0 + ms;
        while let Some(wake) = self.wake.filter(|wake| wake.0 <= end) {
            let step = wake.0.saturating_sub(self.now.tick.0);
            self.forward(step);
            self.event(LagEvent::Tick);
        }
        self.forward(end - self.now.tick.0);
    }

    fn forward(&mut self, ms: u64) {
        self.now.tick.0 += ms;
        self.now.wall.0 += ms as i64;
    }

    pub(crate) fn make_topic(&mut self, topic: &str, partitions: i32) {
        let id = topic_id(self.topics.len() + 1);
        self.topics.insert(name(topic), (id, partitions));
        self.tell_topics();
    }

    pub(crate) fn delete_topic(&mut self, topic: &str) {
        self.topics.remove(topic);
        self.tell_topics();
    }

    pub(crate) fn tell_topics(&mut self) {
        let topics = self.topics.iter();
        let topics = topics.map(|(name, (id, count))| (name.clone(), *id, *count));
        self.event(LagEvent::Topics(Topics::new(topics)));
    }

    pub(crate) fn id(&self, topic: &str) -> TopicId {
        self.topics[topic].0
    }

    /// A partition as it is told.
    pub(crate) fn partition(
        &self,
        topic: &str,
        index: i32,
        high: i64,
        came: u64,
    ) -> PartitionReport {
        PartitionReport {
            topic: self.id(topic),
            index: PartitionIndex(index),
            high_watermark: Offset(high),
            log_start: Offset(0),
            empty_ms_ago: None,
            traffic: Traffic {
                records_in: came,
                bytes_in: came * 100,
                records_out: 0,
                bytes_out: 0,
            },
        }
    }

    /// The high watermark of a partition moved within the last second.
    pub(crate) fn high(&mut self, topic: &str, index: i32, high: i64, came: u64) {
        let partition = self.partition(topic, index, high, came);
        self.report(Report {
            within_ms: Some(1000),
            partitions: vec![partition],
            ..Report::new(sender(0))
        });
    }

    pub(crate) fn commit(&mut self, group: &str, topic: &str, index: i32, offset: i64) {
        let report = committed(group, &[(topic, index, offset)]);
        self.report(Report {
            within_ms: Some(1000),
            groups: vec![report],
            ..Report::new(sender(0))
        });
    }

    pub(crate) fn report(&mut self, report: Report) {
        self.event(LagEvent::Report(report));
    }

    pub(crate) fn lag(&self, query: &LagQuery) -> LagPage {
        self.keeper.lag(self.now, query)
    }

    pub(crate) fn all(&self) -> LagPage {
        self.lag(&everything())
    }

    pub(crate) fn history(&self, query: &HistoryQuery) -> HistoryPage {
        self.keeper.history(self.now, query)
    }

    /// A ledger of what the log tells.
    pub(crate) fn read(&self) -> Ledger {
        let mut ledger = Ledger::default();
        for (key, value) in &self.log {
            ledger.take(key, Some(value)).expect("it was written");
        }
        ledger
    }

    /// The process ends and another begins after a while.
    pub(crate) fn restart(&mut self, ms: i64) {
        let ledger = self.read();
        self.now.tick.0 = 77;
        self.now.wall.0 += ms;
        self.keeper = Keeper::start(ledger, WriteId(self.next_write), self.now);
        self.tell_topics();
    }
}

pub(crate) fn committed(group: &str, offsets: &[(&str, i32, i64)]) -> GroupReport {
    let offsets = offsets.iter();
    let offset = |(topic, index, offset): &(&str, i32, i64)| {
        (name(topic), PartitionIndex(*index), Some(Offset(*offset)))
    };
    GroupReport {
        group: name(group),
        meta: Some(GroupMeta {
            state: name("Empty"),
            kind: name("classic"),
            epoch: 3,
            members: Vec::new(),
        }),
        whole: false,
        offsets: offsets.map(offset).collect(),
    }
}

pub(crate) fn everything() -> LagQuery {
    LagQuery {
        partitions: true,
        rows_max: 5000,
        ..LagQuery::default()
    }
}

pub(crate) fn all_history() -> HistoryQuery {
    HistoryQuery {
        of_groups: true,
        of_group_topics: true,
        of_topics: true,
        points_max: 200_000,
        ..HistoryQuery::default()
    }
}
