//! Groups are read from the log, from its start to its end, a bounded piece at a time; until then
//! every question hears that they are being loaded.

use super::{
    super::{
        Node,
        kept::{Writes, take_records},
    },
    Room, State,
};
use crate::{
    event::{Effect, Notice},
    limits::{GROUP_LOAD_READ_BYTES_MAX, GROUP_RETRY_MS, GROUP_RETRY_MS_MAX},
    request::PartitionKey,
};
use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use weir_group::{Coordinator, Groups, WriteId, decode};
use weir_types::{
    Now, Offset,
    log::{LogCommand, ReadError, StoredBatch, Token},
};

/// What has been read so far.
#[derive(Debug)]
pub(super) struct Loading {
    groups: Groups,
    next: Offset,
    end: Offset,
    wait: Wait,
}

/// What a coordinator waits for before it reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Its time.
    Time,
    /// This read.
    Read(Token),
    /// What the log holds is replicated: before that it may be lost, and nobody may be told of it.
    Replication,
}

impl Node {
    /// Begins to read the groups of a partition that this broker leads.
    pub(super) fn load_groups(&mut self, now: Now, key: PartitionKey, effects: &mut Vec<Effect>) {
        if self.prepare_to_load(key) {
            self.load_on(now, key, effects);
        }
    }

    /// The same after a while.
    pub(super) fn load_groups_later(&mut self, now: Now, key: PartitionKey) {
        let leads = self.open(key).is_ok_and(|open| open.replica.leads());
        if leads && self.prepare_to_load(key) {
            let at = now.tick + GROUP_RETRY_MS;
            self.coordinators.wake(key, Some(at));
        }
    }

    /// Begins to read where that was put off.
    pub(super) fn load_if_due(&mut self, now: Now, key: PartitionKey, effects: &mut Vec<Effect>) {
        let room = self.coordinators.rooms.get(&key);
        let is_due = match room.map(|room| &room.state) {
            Some(State::Loading(loading)) => loading.wait == Wait::Time,
            Some(State::Damaged) => self.prepare_to_load(key),
            Some(State::Active(_)) | None => false,
        };
        if is_due {
            self.load_on(now, key, effects);
        }
    }

    /// Goes on where that waited for more to be replicated.
    pub(in super::super) fn load_if_replicated(
        &mut self,
        now: Now,
        key: PartitionKey,
        effects: &mut Vec<Effect>,
    ) {
        let loading = self.loading(key);
        if loading.is_some_and(|loading| loading.wait == Wait::Replication) {
            self.load_on(now, key, effects);
        }
    }

    fn prepare_to_load(&mut self, key: PartitionKey) -> bool {
        let Ok(open) = self.open(key) else {
            return false;
        };
        let loading = Loading {
            groups: Groups::default(),
            next: open.replica.log_start(),
            end: open.replica.log_end(),
            wait: Wait::Time,
        };
        let failures = self.coordinators.rooms.get(&key);
        let failures = failures.map_or(0, |room| room.failures);
        let room = Room {
            failures,
            state: State::Loading(loading),
            // Every question of an earlier time was answered, so numbers may begin anew.
            next_write: WriteId(0),
            writes: Writes::default(),
            wake_at: None,
        };
        self.coordinators.rooms.insert(key, room);
        true
    }

    /// Reads the next piece, or begins to work when there is none.
    fn load_on(&mut self, now: Now, key: PartitionKey, effects: &mut Vec<Effect>) {
        let token = Token(self.next_token);
        let Ok(open) = self.open(key) else {
            return;
        };
        let (partition, replicated) = (open.store, open.replica.high_watermark());
        let Some(loading) = self.loading(key) else {
            return;
        };
        if loading.next >= loading.end && replicated >= loading.end {
            let groups = core::mem::take(&mut loading.groups);
            self.groups_loaded(now, key, groups, effects);
            return;
        }
        let below = loading.end.min(replicated);
        if loading.next >= below {
            loading.wait = Wait::Replication;
            return;
        }
        loading.wait = Wait::Read(token);
        let read = LogCommand::Read {
            token,
            partition,
            from: loading.next,
            below,
            bytes_max: GROUP_LOAD_READ_BYTES_MAX,
        };
        self.next_token += 1;
        self.coordinators.reads.insert(token, key);
        effects.push(Effect::Log(read));
    }

    /// Whether a read was for a coordinator; takes what it brought.
    pub(in super::super) fn groups_read(
        &mut self,
        now: Now,
        token: Token,
        batches: Result<Vec<StoredBatch>, ReadError>,
        effects: &mut Vec<Effect>,
    ) -> Option<Result<Vec<StoredBatch>, ReadError>> {
        let Some(key) = self.coordinators.reads.remove(&token) else {
            return Some(batches);
        };
        let loading = self
            .loading(key)
            .filter(|loading| loading.wait == Wait::Read(token));
        if let Some(loading) = loading {
            let taken = batches
                .map_err(|error| error.to_string())
                .and_then(|batches| loading.take(&batches));
            match taken {
                Ok(()) => self.load_on(now, key, effects),
                Err(reason) => self.groups_damaged(now, key, reason, effects),
            }
        }
        None
    }

    fn loading(&mut self, key: PartitionKey) -> Option<&mut Loading> {
        match self.coordinators.rooms.get_mut(&key) {
            Some(Room {
                state: State::Loading(loading),
                ..
            }) => Some(loading),
            _ => None,
        }
    }

    fn groups_loaded(
        &mut self,
        now: Now,
        key: PartitionKey,
        groups: Groups,
        effects: &mut Vec<Effect>,
    ) {
        let topics = self.group_topics();
        let config = self.config.groups.clone();
        let Some(room) = self.coordinators.rooms.get_mut(&key) else {
            return;
        };
        let mut given = Vec::new();
        let coordinator =
            Coordinator::start(config, groups, topics, room.next_write, now, &mut given);
        room.state = State::Active(Box::new(coordinator));
        let failures = core::mem::take(&mut room.failures);
        if failures > 0 {
            effects.push(Effect::Notice(Notice::GroupsLoaded {
                partition: key,
                failures,
            }));
        }
        self.tell_all_soon(now, 0);
        self.carry_out_groups(now, key, given, effects);
    }

    /// What could not be read may be readable later: a disk recovers, a file is put back.
    fn groups_damaged(
        &mut self,
        now: Now,
        key: PartitionKey,
        reason: String,
        effects: &mut Vec<Effect>,
    ) {
        let Some(room) = self.coordinators.rooms.get_mut(&key) else {
            return;
        };
        room.state = State::Damaged;
        room.failures = room.failures.saturating_add(1);
        let doubled = GROUP_RETRY_MS << (room.failures - 1).min(16);
        let is_first = room.failures == 1;
        let at = now.tick + doubled.min(GROUP_RETRY_MS_MAX);
        self.coordinators.wake(key, Some(at));
        if is_first {
            effects.push(Effect::Notice(Notice::GroupsDamaged {
                partition: key,
                reason,
            }));
        }
    }
}

impl Loading {
    /// Applies the records of what was read.
    fn take(&mut self, pieces: &[StoredBatch]) -> Result<(), String> {
        let groups = &mut self.groups;
        take_records(pieces, &mut self.next, |key, value| {
            let record = decode(key, value).map_err(|error| error.to_string())?;
            groups.apply(&record);
            Ok(())
        })
    }
}
