//! The keeper of lag, where this shard leads the topic that it is kept in: read from the log in
//! bounded pieces, written as one batch each, its log cut by snapshots. A write that fails makes
//! it give up and read the log again.

use super::Node;
use crate::{
    event::{Effect, Notice, ShardMessage},
    limits::{GROUP_LOAD_READ_BYTES_MAX, GROUP_RETRY_MS, LAG_REPORT_MS},
    node::kept::{Writes, take_records},
    request::PartitionKey,
};
use alloc::{
    boxed::Box,
    collections::BTreeSet,
    string::{String, ToString},
    vec::Vec,
};
use weir_lag::{Keeper, LagEffect, LagEvent, Ledger, Topics, WriteId};
use weir_meta::{Image, name::LAG};
use weir_types::{
    Now, Offset, ShardId, Tick,
    log::{LogCommand, ReadError, StoredBatch, Token},
};

/// The keeper and its partition.
#[derive(Debug)]
pub(super) struct Room {
    key: PartitionKey,
    state: State,
    writes: Writes,
    /// Shards that have told everything.
    heard: BTreeSet<ShardId>,
    /// When the others are asked for it.
    ask_at: Option<Tick>,
    wake_at: Option<Tick>,
}

#[derive(Debug)]
enum State {
    /// Its log is being read.
    Loading {
        ledger: Box<Ledger>,
        next: Offset,
        end: Offset,
        /// The read that is waited for; nothing: it begins at its time.
        token: Option<Token>,
    },
    /// It works.
    Active(Box<Keeper>),
    /// Its log cannot be read.
    Damaged,
}

impl Room {
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        [self.ask_at, self.wake_at].into_iter().flatten().min()
    }
}

impl Node {
    /// The keeper, if it works here.
    pub(super) fn keeper(&self) -> Option<&Keeper> {
        match &self.lag.room.as_ref()?.state {
            State::Active(keeper) => Some(keeper),
            State::Loading { .. } | State::Damaged => None,
        }
    }

    /// Whether its log is being read.
    pub(super) fn keeper_loads(&self) -> bool {
        let room = self.lag.room.as_ref();
        room.is_some_and(|room| matches!(room.state, State::Loading { .. }))
    }

    pub(super) fn check_keeper(&self) {
        if let Some(keeper) = self.keeper() {
            keeper.check();
        }
    }

    /// This broker leads the partition from now on, or leads it anew.
    pub(in super::super) fn begin_keeping(
        &mut self,
        now: Now,
        key: PartitionKey,
        effects: &mut Vec<Effect>,
    ) {
        self.stop_keeping(key, effects);
        let led = self.open(key).ok().filter(|open| open.replica.leads());
        let lags = self.config.lag_topic.is_some() && key.index.0 == 0;
        let Some(open) = led.filter(|_| lags) else {
            return;
        };
        let state = State::Loading {
            ledger: Box::default(),
            next: open.replica.log_start(),
            end: open.replica.log_end(),
            token: None,
        };
        self.lag.room = Some(Room {
            key,
            state,
            writes: Writes::default(),
            heard: BTreeSet::new(),
            ask_at: None,
            wake_at: None,
        });
        self.read_lag(now, effects);
    }

    /// It leads it no more.
    pub(in super::super) fn stop_keeping(&mut self, key: PartitionKey, effects: &mut Vec<Effect>) {
        if self.lag.room.take_if(|room| room.key == key).is_some() {
            self.end_lag_polls(effects);
        }
    }

    /// Reads the next piece, or begins to work when there is none.
    fn read_lag(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let token = Token(self.next_token);
        let Some(room) = &mut self.lag.room else {
            return;
        };
        let State::Loading {
            ledger,
            next,
            end,
            token: waits,
        } = &mut room.state
        else {
            return;
        };
        if next >= end {
            let ledger = core::mem::take(&mut **ledger);
            let keeper = Keeper::start(ledger, WriteId(0), now);
            room.state = State::Active(Box::new(keeper));
            room.ask_at = Some(now.tick);
            let topics = self.lag_topics();
            self.lag_event(now, LagEvent::Topics(topics), effects);
            return;
        }
        let Some(super::super::Partition::Open(open)) = self.partitions.get(&room.key) else {
            return;
        };
        *waits = Some(token);
        self.next_token += 1;
        effects.push(Effect::Log(LogCommand::Read {
            token,
            partition: open.store,
            from: *next,
            below: *end,
            bytes_max: GROUP_LOAD_READ_BYTES_MAX,
        }));
    }

    /// Takes what a read for the keeper brought; gives back what is for somebody else.
    pub(in super::super) fn lag_read(
        &mut self,
        now: Now,
        token: Token,
        batches: Result<Vec<StoredBatch>, ReadError>,
        effects: &mut Vec<Effect>,
    ) -> Option<Result<Vec<StoredBatch>, ReadError>> {
        let Some(Room {
            state:
                State::Loading {
                    ledger,
                    next,
                    token: waits,
                    ..
                },
            key,
            ..
        }) = &mut self.lag.room
        else {
            return Some(batches);
        };
        if waits.take_if(|waits| *waits == token).is_none() {
            return Some(batches);
        }
        let taken = batches.map_err(|error| error.to_string()).and_then(|read| {
            take_records(&read, next, |key, value| {
                ledger.take(key, value).map_err(|error| error.to_string())
            })
        });
        let key = *key;
        match taken {
            Ok(()) => self.read_lag(now, effects),
            Err(reason) => self.lag_damaged(key, reason, effects),
        }
        None
    }

    fn lag_damaged(&mut self, partition: PartitionKey, reason: String, effects: &mut Vec<Effect>) {
        if let Some(room) = &mut self.lag.room {
            room.state = State::Damaged;
        }
        effects.push(Effect::Notice(Notice::LagDamaged { partition, reason }));
    }

    /// The topics that are told of: all but the one that this is kept in, whose writes would never
    /// let anything come to rest.
    fn lag_topics(&self) -> Topics {
        let topics = self.image.topics().filter(|topic| &*topic.name != LAG);
        Topics::new(topics.map(|topic| {
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            (topic.name.clone(), topic.id, count)
        }))
    }

    /// The image moved on.
    pub(super) fn keeper_image(&mut self, now: Now, old: &Image, effects: &mut Vec<Effect>) {
        if self.keeper().is_none() {
            return;
        }
        let image = &self.image;
        let differs = |topic: &alloc::sync::Arc<weir_meta::Topic>| {
            let before = old.topic(topic.id);
            before.is_none_or(|before| before.partitions.len() != topic.partitions.len())
        };
        let gone = old.topics().any(|topic| image.topic(topic.id).is_none());
        if gone || image.topics().any(differs) {
            let topics = self.lag_topics();
            self.lag_event(now, LagEvent::Topics(topics), effects);
        }
    }

    /// A message of another shard, or of this one.
    pub(in super::super) fn told(
        &mut self,
        now: Now,
        message: ShardMessage,
        effects: &mut Vec<Effect>,
    ) {
        match message {
            ShardMessage::TellAll { seen } => self.tell_all_soon(now, seen),
            ShardMessage::Report(report) => {
                // What comes while the log is being read is lost, and asked for again.
                let full = report.full && self.keeper().is_some();
                let shard = report.sender.shard;
                self.lag_event(now, LagEvent::Report(*report), effects);
                let shards = usize::from(self.config.shards);
                if let Some(room) = self.lag.room.as_mut().filter(|_| full) {
                    room.heard.insert(shard);
                    if room.heard.len() == shards {
                        room.ask_at = None;
                        self.lag_event(now, LagEvent::Complete(true), effects);
                    }
                }
            }
        }
    }

    /// Hands a message to a shard, which may be this one.
    pub(super) fn send(
        &mut self,
        now: Now,
        to: ShardId,
        message: ShardMessage,
        effects: &mut Vec<Effect>,
    ) {
        if to == self.config.shard {
            self.told(now, message, effects);
        } else {
            effects.push(Effect::Tell { to, message });
        }
    }

    pub(super) fn keeper_timers(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let due = |at: &mut Tick| *at <= now.tick;
        let Some(room) = &mut self.lag.room else {
            return;
        };
        if room.wake_at.take_if(due).is_some() {
            if matches!(room.state, State::Loading { token: None, .. }) {
                let key = room.key;
                self.begin_keeping(now, key, effects);
                return;
            }
            self.lag_event(now, LagEvent::Tick, effects);
        }
        self.ask_for_all(now, effects);
    }

    /// Asks the shards that have not told everything.
    fn ask_for_all(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Some(room) = &mut self.lag.room else {
            return;
        };
        if room.ask_at.is_none_or(|at| at > now.tick) {
            return;
        }
        room.ask_at = Some(now.tick + LAG_REPORT_MS);
        let seen = self.image.applied();
        let shards = (0..self.config.shards).map(ShardId);
        let silent: Vec<ShardId> = shards.filter(|id| !room.heard.contains(id)).collect();
        for shard in silent {
            self.send(now, shard, ShardMessage::TellAll { seen }, effects);
        }
    }

    fn lag_event(&mut self, now: Now, event: LagEvent, effects: &mut Vec<Effect>) {
        let Some(Room {
            state: State::Active(keeper),
            ..
        }) = &mut self.lag.room
        else {
            return;
        };
        let mut given = Vec::new();
        keeper.step(now, event, &mut given);
        let Some(key) = self.lag.room.as_ref().map(|room| room.key) else {
            return;
        };
        let mut changed = false;
        for effect in given {
            match effect {
                LagEffect::Write {
                    write,
                    records,
                    begins_snapshot,
                } => {
                    let records = records.into_iter().map(|(key, value)| (key, Some(value)));
                    let written = self.append_own(now, key, records, effects);
                    let (Some(written), Some(room)) = (written, &mut self.lag.room) else {
                        return self.keep_later(now, key, effects);
                    };
                    room.writes.written(write.0, written, begins_snapshot);
                }
                LagEffect::SnapshotWritten { end } => {
                    let replicated = self.open(key).map(|open| open.replica.high_watermark());
                    if let Some(room) = &mut self.lag.room {
                        room.writes.snapshot_written(end.0, replicated.ok());
                    }
                    self.lag_replicated(key, effects);
                }
                LagEffect::Changed => changed = true,
                LagEffect::WakeAt(tick) => {
                    if let Some(room) = &mut self.lag.room {
                        room.wake_at = Some(tick);
                    }
                }
            }
        }
        if changed {
            self.tell_lag_polls(now, effects);
        }
    }

    /// A write failed: the keeper is ahead of its log, which is read again after a while.
    fn keep_later(&mut self, now: Now, key: PartitionKey, effects: &mut Vec<Effect>) {
        self.stop_keeping(key, effects);
        self.lag.room = Some(Room {
            key,
            state: State::Loading {
                ledger: Box::default(),
                next: Offset::ZERO,
                end: Offset::ZERO,
                token: None,
            },
            writes: Writes::default(),
            heard: BTreeSet::new(),
            ask_at: None,
            wake_at: Some(now.tick + GROUP_RETRY_MS),
        });
    }

    /// More of a partition is replicated: the log of the keeper may be cut.
    pub(in super::super) fn lag_replicated(
        &mut self,
        key: PartitionKey,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(replicated) = self.open(key).map(|open| open.replica.high_watermark()) else {
            return;
        };
        let room = self.lag.room.as_mut().filter(|room| room.key == key);
        if let Some(to) = room.and_then(|room| room.writes.replicated(replicated)) {
            // It can fail only where the partition is no longer led, and then it need not move.
            let _start = self.delete_below(key, Some(to), effects);
        }
    }
}
