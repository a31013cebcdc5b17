//! Fetch: reads in waves until there are enough bytes, an error, or no time left; waits for new
//! records in between, found by partition.

use super::Node;
use crate::{
    event::{Effect, RequestId},
    gate::Gate,
    limits::{FETCH_BYTES_MAX, FETCH_WAIT_MS_MAX},
    pieces,
    request::{Answer, FetchAsk, FetchPart, FetchResult, PartitionKey},
};
use alloc::vec::Vec;
use weir_lag::Traffic;
use weir_replica::EpochEnd;
use weir_types::{
    ErrorCode, LeaderEpoch, Now, Offset, StorePartition, Tick,
    log::{LogCommand, ReadError, StoredBatch},
};

/// A fetch that reads or waits.
#[derive(Debug)]
pub(super) struct WaitingFetch {
    parts: Vec<Part>,
    min_bytes: usize,
    max_bytes: usize,
    deadline: Tick,
    /// Whoever asked no longer wants to wait.
    hurried: bool,
    /// Reads the log has not answered.
    reading: usize,
    /// Bytes that will be answered.
    bytes: usize,
    /// It is among `Node::parked` and has a deadline there.
    parked: bool,
}

/// One partition of a fetch.
#[derive(Debug)]
struct Part {
    ask: FetchPart,
    /// Where the next read begins.
    next: Offset,
    /// What was read and not yet looked at.
    arrived: Option<Result<Vec<StoredBatch>, ReadError>>,
    batches: Vec<StoredBatch>,
    bytes: usize,
    /// Nothing more is read of it in this answer.
    full: bool,
    error: ErrorCode,
    diverging: Option<EpochEnd>,
}

impl Part {
    const fn failed(&self) -> bool {
        self.error.is_err() || self.diverging.is_some()
    }
}

impl WaitingFetch {
    fn failed(&self) -> bool {
        self.parts.iter().any(Part::failed)
    }

    /// What is parked waits for records that are not there.
    pub(super) fn check_parked(&self, key: PartitionKey, node: &Node) {
        assert_eq!(self.reading, 0, "I-NODE-8: what reads is not parked");
        let parts = self.parts.iter().filter(|part| part.ask.key == key);
        for part in parts.filter(|part| !part.full) {
            let open = node
                .open(key)
                .expect("I-NODE-8: parked on an open partition");
            assert!(
                part.next >= open.replica.high_watermark(),
                "I-NODE-8: nobody waits for what is there"
            );
        }
    }
}

impl Node {
    pub(super) fn fetch(
        &mut self,
        now: Now,
        id: RequestId,
        ask: FetchAsk,
        effects: &mut Vec<Effect>,
    ) {
        let part = |ask: &FetchPart| Part {
            ask: *ask,
            next: ask.fetch_offset,
            arrived: None,
            batches: Vec::new(),
            bytes: 0,
            full: false,
            error: ErrorCode::None,
            diverging: None,
        };
        let fetch = WaitingFetch {
            parts: ask.partitions.iter().map(part).collect(),
            min_bytes: ask.min_bytes,
            max_bytes: ask.max_bytes.min(FETCH_BYTES_MAX),
            deadline: now.tick + ask.max_wait_ms.min(FETCH_WAIT_MS_MAX),
            hurried: false,
            reading: 0,
            bytes: 0,
            parked: false,
        };
        let before = self.fetches.insert(id, fetch);
        assert!(before.is_none(), "I-NODE-1: a request is asked once");
        self.drive(now, id, effects);
    }

    /// Whoever asked does not want to wait any longer.
    pub(super) fn hurry(&mut self, now: Now, id: RequestId, effects: &mut Vec<Effect>) {
        if let Some(fetch) = self.fetches.get_mut(&id) {
            fetch.hurried = true;
            self.drive(now, id, effects);
        } else if !self.hurry_watch(now, id, effects) && !self.hurry_lag(now, id, effects) {
            self.held.hurry(id);
        }
    }

    /// Something changed for the fetches that wait on a partition.
    pub(super) fn wake_fetches(&mut self, now: Now, key: PartitionKey, effects: &mut Vec<Effect>) {
        let range = (key, RequestId(0))..=(key, RequestId(u64::MAX));
        let waiting: Vec<RequestId> = self.parked.range(range).map(|(_, id)| *id).collect();
        for id in waiting {
            self.drive(now, id, effects);
        }
    }

    /// Answers the fetches whose time is up with what there is.
    pub(super) fn expire_fetches(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some((deadline, id)) = self.fetch_deadlines.first().copied() {
            if deadline > now.tick {
                return;
            }
            self.fetch_deadlines.pop_first();
            self.drive(now, id, effects);
        }
    }

    /// The log answered a read.
    pub(super) fn fetch_read(
        &mut self,
        now: Now,
        id: RequestId,
        part: usize,
        batches: Result<Vec<StoredBatch>, ReadError>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return;
        };
        fetch.parts[part].arrived = Some(batches);
        fetch.reading -= 1;
        if fetch.reading == 0 {
            self.drive(now, id, effects);
        }
    }

    /// Takes a fetch as far as it goes: reads, waits, or answers.
    fn drive(&mut self, now: Now, id: RequestId, effects: &mut Vec<Effect>) {
        let Some(mut fetch) = self.fetches.remove(&id) else {
            return;
        };
        if fetch.reading > 0 {
            self.fetches.insert(id, fetch);
            return;
        }
        self.unpark(id, &mut fetch);
        absorb(&mut fetch);
        if self.read_more(id, &mut fetch, effects) {
            self.fetches.insert(id, fetch);
            return;
        }
        let enough = fetch.bytes >= fetch.min_bytes || fetch.bytes >= fetch.max_bytes;
        if enough || fetch.failed() || fetch.hurried || now.tick >= fetch.deadline {
            self.count_fetched(now, &fetch);
            let answer = self.fetched(fetch);
            Gate::answer_now(id, answer, effects);
        } else {
            self.park(id, fetch);
        }
    }

    /// Looks at every partition and reads the next wave; returns whether there is anything to
    /// wait for. A fetch that meets an error reads nothing more.
    fn read_more(
        &mut self,
        id: RequestId,
        fetch: &mut WaitingFetch,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let mut room = fetch.max_bytes.saturating_sub(fetch.bytes);
        let mut failed = fetch.failed();
        let empty = fetch.bytes == 0;
        for (place, part) in fetch.parts.iter_mut().enumerate() {
            let Some((partition, below)) = self.look(part) else {
                failed |= part.failed();
                continue;
            };
            let first_batch = empty && fetch.reading == 0;
            let nothing = part.full || part.next >= below;
            if failed || nothing || (room == 0 && !first_batch) {
                continue;
            }
            let bytes_max = part.ask.max_bytes.saturating_sub(part.bytes).min(room);
            room -= bytes_max;
            let token = self.token(id, place);
            fetch.reading += 1;
            effects.push(Effect::Log(LogCommand::Read {
                token,
                partition,
                from: part.next,
                below,
                bytes_max,
            }));
        }
        fetch.reading > 0
    }

    /// Looks whether a partition can be read as asked; returns the log's name for it and where
    /// its replicated records end.
    fn look(&self, part: &mut Part) -> Option<(StorePartition, Offset)> {
        let looked = self.open(part.ask.key).and_then(|open| {
            let replica = &open.replica;
            replica.check_leader(part.ask.current_leader_epoch)?;
            if part.bytes == 0 {
                replica.check_fetch(part.next)?;
            }
            part.diverging = match part.ask.last_fetched_epoch {
                Some(last) => replica.diverges(last, part.ask.fetch_offset)?,
                None => None,
            };
            Ok((open.store, replica.high_watermark()))
        });
        match looked {
            Ok(readable) if part.diverging.is_none() => return Some(readable),
            Ok(_) => {}
            // What was read before stays good; the next fetch meets the error.
            Err(error) if part.bytes == 0 && !part.error.is_err() => part.error = error,
            Err(_) => part.full = true,
        }
        None
    }

    fn park(&mut self, id: RequestId, mut fetch: WaitingFetch) {
        for part in fetch.parts.iter().filter(|part| !part.full) {
            self.parked.insert((part.ask.key, id));
        }
        self.fetch_deadlines.insert((fetch.deadline, id));
        fetch.parked = true;
        self.fetches.insert(id, fetch);
    }

    fn unpark(&mut self, id: RequestId, fetch: &mut WaitingFetch) {
        if !core::mem::take(&mut fetch.parked) {
            return;
        }
        self.fetch_deadlines.remove(&(fetch.deadline, id));
        for part in &fetch.parts {
            self.parked.remove(&(part.ask.key, id));
        }
    }

    /// What goes out is counted by offsets and pieces, never by records.
    fn count_fetched(&mut self, now: Now, fetch: &WaitingFetch) {
        for part in fetch.parts.iter().filter(|part| part.bytes > 0) {
            let records = part.next.0 - part.ask.fetch_offset.0;
            let traffic = Traffic {
                records_out: u64::try_from(records).unwrap_or(0),
                bytes_out: part.bytes as u64,
                ..Traffic::default()
            };
            self.note_partition(now, part.ask.key, traffic);
        }
    }

    /// The answer to a fetch, with what it has.
    fn fetched(&self, fetch: WaitingFetch) -> Answer {
        let results = fetch.parts.into_iter().map(|mut part| {
            let open = self.open(part.ask.key);
            if let Err(error) = open {
                // It went while it was read: records without a high watermark would be no answer.
                part.batches.clear();
                if !part.error.is_err() {
                    part.error = error;
                }
            }
            let open = open.ok();
            let at = |get: fn(&weir_replica::Replica) -> Offset| {
                open.map_or(Offset(-1), |open| get(&open.replica))
            };
            FetchResult {
                error: part.error,
                high_watermark: at(weir_replica::Replica::high_watermark),
                // There are no transactions yet, so every replicated record is stable.
                last_stable_offset: at(weir_replica::Replica::high_watermark),
                log_start: at(weir_replica::Replica::log_start),
                leader_epoch: open.map_or(LeaderEpoch::NONE, |open| open.replica.epoch()),
                diverging: part.diverging.map(|end| (end.epoch, end.end)),
                batches: part.batches,
            }
        });
        Answer::Fetch(results.collect())
    }
}

/// Takes what the reads of a wave brought, in the order of the partitions: as much as the limits
/// allow, but one batch in any case if the answer would be empty.
fn absorb(fetch: &mut WaitingFetch) {
    let (mut total, max_bytes) = (fetch.bytes, fetch.max_bytes);
    for part in &mut fetch.parts {
        let Some(arrived) = part.arrived.take() else {
            continue;
        };
        let batches = match arrived {
            Ok(batches) => batches,
            Err(error) => {
                if part.bytes == 0 {
                    part.error = read_error(&error);
                }
                part.full = true;
                continue;
            }
        };
        // Nothing where something was to be: the records were dropped meanwhile.
        part.full |= batches.is_empty();
        for batch in batches {
            let room = max_bytes
                .saturating_sub(total)
                .min(part.ask.max_bytes.saturating_sub(part.bytes));
            let Some((kept, next, whole)) = pieces::cut(batch, room, total == 0) else {
                part.full = true;
                break;
            };
            part.next = next;
            part.bytes += kept.size_bytes();
            total += kept.size_bytes();
            part.batches.push(kept);
            if !whole {
                part.full = true;
                break;
            }
        }
        part.full |= part.bytes >= part.ask.max_bytes;
    }
    fetch.bytes = total;
}

/// The protocol's error for a read that failed.
pub(super) const fn read_error(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::NotOpen => ErrorCode::NotLeaderOrFollower,
        _ => ErrorCode::KafkaStorageError,
    }
}
