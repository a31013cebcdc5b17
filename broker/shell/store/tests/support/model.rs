//! A model of what the store promises, and a workload that drives both and compares.
//!
//! The model keeps each partition's state after every command. After a loss of power the log must
//! be one of the states from the last answered command on: nothing answered is lost, nothing that
//! was not asked is there.

use super::{Driver, ROUTE, batch_of, bytes_of, topic};
use std::collections::{BTreeMap, VecDeque};
use weir_store::{Crash, MemDisk, Mutants, RewriteStep, StoreConfig};
use weir_types::{
    BatchMeta, LeaderEpoch, Offset, PartitionIndex, StorePartition, TimestampMs,
    log::{LogCommand, LogEvent, LogState},
    producer::ProducerTable,
};

/// splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A partition's log as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Log {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Every batch that was not truncated, those before the start too.
    pub(crate) batches: Vec<(BatchMeta, std::rc::Rc<Vec<u8>>)>,
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
}

impl Log {
    fn live(&self) -> impl Iterator<Item = &(BatchMeta, std::rc::Rc<Vec<u8>>)> {
        let start = self.start;
        self.batches
            .iter()
            .filter(move |(meta, _)| meta.last_offset.0 >= start)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.live().flat_map(|(_, bytes)| bytes.to_vec()).collect()
    }

    /// The largest timestamp of what can be read and the first batch that has it.
    fn max_timestamp(&self) -> Option<(TimestampMs, Offset)> {
        let live = self.live().map(|(meta, _)| meta);
        let first = live.reduce(|best, next| {
            if next.max_timestamp > best.max_timestamp {
                next
            } else {
                best
            }
        });
        first.map(|meta| (meta.max_timestamp, meta.base_offset.max(Offset(self.start))))
    }

    fn append(&mut self, meta: BatchMeta, bytes: Vec<u8>) {
        if self
            .epochs
            .last()
            .is_none_or(|(e, _)| *e < meta.leader_epoch)
        {
            self.epochs.retain(|(_, offset)| *offset < meta.base_offset);
            self.epochs.push((meta.leader_epoch, meta.base_offset));
        }
        self.end = meta.next_offset().0;
        self.batches.push((meta, std::rc::Rc::new(bytes)));
    }

    fn move_start(&mut self, to: i64) {
        if to <= self.start {
            return;
        }
        self.start = to;
        self.end = self.end.max(to);
        let keep = self.epochs.iter().filter(|(_, o)| o.0 <= to).count();
        self.epochs.drain(..keep.saturating_sub(1));
        if let Some(first) = self.epochs.first_mut() {
            first.1 = first.1.max(Offset(to));
        }
    }

    fn truncate(&mut self, to: i64) {
        let mut to = to.clamp(self.start, self.end);
        let holds = |m: &BatchMeta| m.base_offset.0 <= to && to <= m.last_offset.0;
        if let Some((meta, _)) = self.live().find(|(m, _)| holds(m)) {
            to = meta.base_offset.0.max(self.start);
        }
        let start = self.start;
        self.batches
            .retain(|(m, _)| m.last_offset.0 < to || m.last_offset.0 < start);
        self.end = to;
        self.epochs.retain(|(_, offset)| offset.0 < to);
    }

    fn retain(&mut self, older_than: Option<i64>, bytes_max: Option<u64>, below: i64) {
        let mut size = self.bytes().len() as u64;
        let mut to = self.start;
        for (meta, bytes) in self.live() {
            let left = size - bytes.len() as u64;
            // Records without timestamps are as old as their stay in the log.
            let time = match meta.max_timestamp.0 {
                -1 => meta.appended_at.0,
                time => time,
            };
            let old = older_than.is_some_and(|oldest| time < oldest);
            let many = bytes_max.is_some_and(|max| left >= max);
            if !(old || many) || meta.next_offset().0 > below {
                break;
            }
            size = left;
            to = meta.next_offset().0;
        }
        self.move_start(to);
    }

    fn producers(&self) -> ProducerTable {
        let mut table = ProducerTable::default();
        for (meta, _) in &self.batches {
            table.apply(meta);
        }
        table
    }

    /// Whether the store's state is this one.
    pub(crate) fn matches(&self, state: &LogState, bytes: &[u8]) -> Result<(), String> {
        let check = |what: &str, same: bool| {
            if same { Ok(()) } else { Err(what.to_owned()) }
        };
        check("start", state.start.0 == self.start)?;
        check("end", state.end.0 == self.end)?;
        check("bytes", bytes == self.bytes())?;
        check("size", state.size_bytes == bytes.len() as u64)?;
        check(
            &format!(
                "maximum {:?} not {:?}",
                state.max_timestamp,
                self.max_timestamp()
            ),
            state.max_timestamp == self.max_timestamp(),
        )?;
        check(
            &format!("epochs {:?} not {:?}", state.epochs, self.epochs),
            state.epochs == self.epochs,
        )?;
        let wanted = self.producers();
        for (id, entry) in state.producers.iter() {
            let Some(full) = wanted.get(id) else {
                return Err(format!("producer {id} is remembered and was truncated"));
            };
            // Fewer batches may be remembered after a truncation, never others.
            let skip = full.batches.len().saturating_sub(entry.batches.len());
            let suffix: VecDeque<_> = full.batches.iter().skip(skip).copied().collect();
            check(
                "producer",
                entry.epoch == full.epoch && entry.batches == suffix,
            )?;
        }
        for (id, full) in wanted.iter() {
            let gone = full.batches.iter().all(|b| b.last_offset.0 < self.start);
            check(
                "a producer is forgotten",
                gone || state.producers.get(id).is_some(),
            )?;
        }
        Ok(())
    }
}

/// Everything that was asked of one partition.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) index: i32,
    pub(crate) number: StorePartition,
    /// The state after each command, the first before any.
    pub(crate) states: Vec<Log>,
    /// Commands that were answered.
    pub(crate) acked: usize,
    /// For commands in order: the answer they wait for.
    waiting: VecDeque<(usize, Answer)>,
    sequence: i32,
    epoch: i32,
    time: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Flushed(i64),
    Start,
    Truncated,
    /// A retention that drops nothing has no answer.
    None,
}

impl History {
    fn last(&self) -> &Log {
        self.states.last().unwrap()
    }

    fn push(&mut self, log: Log, answer: Answer) {
        self.states.push(log);
        self.waiting.push_back((self.states.len() - 1, answer));
    }
}

/// A seeded workload over a few partitions.
pub(crate) struct World {
    pub(crate) disk: MemDisk,
    pub(crate) config: StoreConfig,
    pub(crate) driver: Driver,
    pub(crate) partitions: Vec<History>,
    pub(crate) random: Random,
    pub(crate) published: u64,
}

impl World {
    pub(crate) fn new(seed: u64, config: StoreConfig) -> Self {
        let disk = MemDisk::new();
        let driver = Driver::open(&disk, config.clone());
        Self {
            disk,
            config,
            driver,
            partitions: Vec::new(),
            random: Random(seed),
            published: 0,
        }
    }

    pub(crate) fn open_partitions(&mut self, count: i32) -> Result<(), String> {
        for index in 0..count {
            let (number, _) = self.driver.open_partition(1, index)?;
            self.partitions.push(History {
                index,
                number,
                states: vec![Log::default()],
                acked: 0,
                waiting: VecDeque::new(),
                sequence: 0,
                epoch: 0,
                time: 1000,
            });
        }
        Ok(())
    }

    /// One seeded command or step of the store; events are taken in.
    pub(crate) fn step(&mut self) {
        if self.partitions.is_empty() {
            return;
        }
        let which = self.random.below(self.partitions.len() as u64) as usize;
        match self.random.below(40) {
            0..=20 => self.append(which),
            21..=22 => self.move_start(which),
            23 => self.truncate(which),
            24..=25 => self.retain(which),
            26..=34 => self.commit(),
            35 => self.driver.store.roll(),
            _ => {
                if self.driver.store.step_rewrite() == RewriteStep::Published {
                    self.published += 1;
                }
            }
        }
    }

    fn append(&mut self, which: usize) {
        let random = &mut self.random;
        let part = &mut self.partitions[which];
        let mut log = part.last().clone();
        for _ in 0..=random.below(3) {
            let count = 1 + random.below(4) as i32;
            let len = if random.below(12) == 0 { 9000 } else { 200 };
            let payload = vec![random.next() as u8; 1 + random.below(len) as usize];
            let producer = match random.below(4) {
                0 => (-1, -1, -1),
                n => (n as i64, 0, part.sequence),
            };
            part.sequence += count;
            part.epoch += i32::from(random.below(8) == 0);
            part.time += random.below(30) as i64 - 3;
            let time = match random.below(12) {
                0 => -1,
                1 => part.time + 500,
                _ => part.time,
            };
            let (batch, mut meta) = batch_of(log.end, count, &payload, time, producer, part.epoch);
            meta.appended_at = TimestampMs(part.time);
            log.append(meta, bytes_of(&batch));
            let answer = Answer::Flushed(log.end);
            part.push(log.clone(), answer);
            let partition = part.number;
            self.driver.append(partition, (batch, meta));
        }
    }

    fn move_start(&mut self, which: usize) {
        let part = &mut self.partitions[which];
        let mut log = part.last().clone();
        let room = (log.end - log.start).max(0) as u64 + 1;
        let to = log.start + self.random.below(room) as i64 / 2;
        log.move_start(to);
        part.push(log, Answer::Start);
        let partition = part.number;
        self.driver.submit(LogCommand::MoveStart {
            partition,
            to: Offset(to),
        });
    }

    fn truncate(&mut self, which: usize) {
        let part = &mut self.partitions[which];
        let mut log = part.last().clone();
        let room = (log.end - log.start).max(0) as u64 + 1;
        let to = log.end - self.random.below(room) as i64 / 3;
        log.truncate(to);
        part.push(log, Answer::Truncated);
        let partition = part.number;
        self.driver.submit(LogCommand::Truncate {
            partition,
            to: Offset(to),
        });
    }

    /// Retention looks at what is flushed, so everything before it is flushed here.
    fn retain(&mut self, which: usize) {
        self.drain();
        let part = &mut self.partitions[which];
        let mut log = part.last().clone();
        let before = log.start;
        let older_than = (self.random.below(2) == 0).then_some(part.time - 60);
        let bytes_max = (self.random.below(2) == 0).then(|| self.random.below(20_000));
        let below = log.end;
        log.retain(older_than, bytes_max, below);
        let answer = if log.start > before {
            Answer::Start
        } else {
            Answer::None
        };
        part.push(log, answer);
        let partition = part.number;
        self.driver.submit(LogCommand::Retain {
            partition,
            older_than: older_than.map(TimestampMs),
            bytes_max,
            below: Offset(below),
        });
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while self.driver.store.has_work() && !self.disk.is_off() {
            self.commit();
        }
    }

    pub(crate) fn commit(&mut self) {
        for (route, event) in self.driver.store.step_commit() {
            assert_eq!(route, ROUTE);
            // What is told while the power goes is told to nobody.
            if !self.disk.is_off() || matches!(event, LogEvent::Flushed { .. }) {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: LogEvent) {
        let (partition, answer) = match &event {
            LogEvent::Flushed { partition, end } => (*partition, Answer::Flushed(end.0)),
            LogEvent::StartMoved { partition, .. } => (*partition, Answer::Start),
            LogEvent::Truncated { partition, .. } => (*partition, Answer::Truncated),
            other => panic!("{other:?}"),
        };
        let part = self
            .partitions
            .iter_mut()
            .find(|part| part.number == partition)
            .unwrap();
        loop {
            let (state, waited) = part
                .waiting
                .pop_front()
                .expect("an answer nobody waits for");
            part.acked = state;
            match (waited, answer) {
                (Answer::None, _) => {}
                (Answer::Flushed(a), Answer::Flushed(b)) if a < b => {}
                (a, b) => {
                    assert_eq!(a, b, "another answer");
                    break;
                }
            }
        }
        while let Some((state, Answer::None)) = part.waiting.front() {
            part.acked = *state;
            part.waiting.pop_front();
        }
        let log = &part.states[part.acked];
        match event {
            LogEvent::StartMoved {
                start,
                size_bytes,
                max_timestamp,
                ..
            } => {
                assert_eq!(max_timestamp, log.max_timestamp());
                assert_eq!(start.0, log.start);
                assert_eq!(size_bytes, log.bytes().len() as u64);
            }
            LogEvent::Truncated { state, .. } => {
                assert_eq!((state.start.0, state.end.0), (log.start, log.end));
                assert_eq!(state.max_timestamp, log.max_timestamp());
            }
            _ => {}
        }
    }

    /// Loses power, opens again, and compares every partition with its model.
    pub(crate) fn crash(&mut self, crash: Crash) -> Result<(), String> {
        self.disk.crash(crash);
        self.reopen()
    }

    pub(crate) fn reopen(&mut self) -> Result<(), String> {
        let config = StoreConfig {
            mutants: Mutants::default(),
            ..self.config.clone()
        };
        self.driver = Driver::try_open(&self.disk, config)?;
        for at in 0..self.partitions.len() {
            let index = self.partitions[at].index;
            let (number, state) = self.driver.open_partition(1, index)?;
            self.partitions[at].number = number;
            self.compare(at, &state)?;
        }
        Ok(())
    }

    /// Compares one partition with its model and takes over which state it is in.
    pub(crate) fn compare(&mut self, at: usize, state: &LogState) -> Result<(), String> {
        let part = &mut self.partitions[at];
        let end = state.end.0;
        let bytes = if state.start == state.end {
            Vec::new()
        } else {
            self.driver
                .read(part.number, state.start.0, end, usize::MAX)
                .map_err(|error| error.to_string())?
        };
        let mut why = Vec::new();
        for (nth, log) in part.states.iter().enumerate().skip(part.acked) {
            match log.matches(state, &bytes) {
                Ok(()) => {
                    let log = log.clone();
                    part.sequence += 1000;
                    part.states = vec![log];
                    part.acked = 0;
                    part.waiting.clear();
                    return Ok(());
                }
                Err(what) => why.push(format!("state {nth}: {what}")),
            }
        }
        Err(format!(
            "partition {} has {}..{} and is in none of its states: {why:?}",
            part.index, state.start, state.end
        ))
    }

    /// Everything that can be asked of the running store agrees with the model.
    pub(crate) fn check_reads(&mut self) {
        self.drain();
        for at in 0..self.partitions.len() {
            let part = self.partitions[at].clone();
            let log = part.last();
            let all = log.bytes();
            if log.start < log.end {
                let read = self
                    .driver
                    .read(part.number, log.start, log.end, usize::MAX);
                assert_eq!(read.unwrap(), all);
            }
            assert_eq!(
                self.driver.store.size_bytes(part.number),
                Some(all.len() as u64)
            );
            let live: Vec<_> = log.live().cloned().collect();
            for (nth, (meta, bytes)) in live.iter().enumerate().step_by(5) {
                let from = meta.last_offset.0.max(log.start);
                let read = self.driver.read(part.number, from, log.end, 1).unwrap();
                assert_eq!(&read, bytes.as_ref());
                let time = meta.max_timestamp.0;
                let first = live
                    .iter()
                    .find(|(m, _)| m.max_timestamp.0 >= time)
                    .unwrap();
                let found = self.driver.find_time(part.number, time, log.end);
                assert_eq!(found, Some(first.0.base_offset.0), "batch {nth}");
            }
        }
    }

    /// Sizes per partition as the model has them.
    pub(crate) fn sizes(&self) -> BTreeMap<(u8, i32), u64> {
        let sizes = self
            .partitions
            .iter()
            .map(|part| ((1, part.index), part.last().bytes().len() as u64));
        sizes.collect()
    }

    pub(crate) fn replicas(&self) -> Vec<(weir_types::TopicId, PartitionIndex)> {
        self.partitions
            .iter()
            .map(|part| (topic(1), PartitionIndex(part.index)))
            .collect()
    }
}
