//! The threaded store under everything at once: appends, reads, retention, moved starts,
//! truncations and the rewriter, on tiny files, checked as it runs and after a loss of power.

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
};
use support::{ROUTE, batch, bytes_of, flat, model::Random, topic};
use weir_store::{Crash, Disk, MemDisk, Store, StoreConfig};
use weir_types::{
    Offset, PartitionIndex, StorePartition,
    log::{LogCommand, LogEvent, ReadError, Token},
};

const PARTITIONS: usize = 12;

/// One partition as its owner sees it.
#[derive(Default)]
struct Owner {
    start: i64,
    flushed: i64,
    end: i64,
    /// Every batch by its offset.
    batches: BTreeMap<i64, Vec<u8>>,
    reading: Option<i64>,
    checked: u64,
}

struct Stress {
    store: Store,
    events: mpsc::Receiver<Vec<LogEvent>>,
    numbers: Vec<StorePartition>,
    owners: Vec<Owner>,
    random: Random,
}

fn config() -> StoreConfig {
    StoreConfig {
        lanes: 3,
        lane_file_bytes: 40_000,
        open_files_max: 2,
        ..support::small()
    }
}

fn open(disk: &MemDisk) -> (Store, mpsc::Receiver<Vec<LogEvent>>) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (sender, events) = mpsc::channel();
    let (store, _) = Store::open(config(), disk, move |_, events| {
        let _ = sender.send(events);
    })
    .unwrap();
    (store, events)
}

impl Stress {
    fn new(disk: &MemDisk, seed: u64) -> Self {
        let (store, events) = open(disk);
        let replicas = (0..PARTITIONS as i32).map(|n| (topic(1), PartitionIndex(n)));
        store.submit(
            ROUTE,
            LogCommand::Open {
                replicas: replicas.collect(),
            },
        );
        let mut numbers = Vec::new();
        while numbers.len() < PARTITIONS {
            for event in events.recv().unwrap() {
                if let LogEvent::Opened { partition, .. } = event {
                    numbers.push(partition);
                }
            }
        }
        Self {
            store,
            events,
            numbers,
            owners: (0..PARTITIONS).map(|_| Owner::default()).collect(),
            random: Random(seed),
        }
    }

    fn act(&mut self) {
        let at = self.random.below(PARTITIONS as u64) as usize;
        let partition = self.numbers[at];
        let owner = &mut self.owners[at];
        match self.random.below(20) {
            0..=13 => {
                let len = 1 + self.random.below(3000) as usize;
                let made = batch(owner.end, 2, &vec![at as u8; len], owner.end);
                owner.batches.insert(owner.end, bytes_of(&made.0));
                owner.end += 2;
                self.store.submit(
                    ROUTE,
                    LogCommand::Append {
                        partition,
                        batch: made.0,
                        meta: made.1,
                    },
                );
            }
            14..=17 if owner.reading.is_none() && owner.flushed > owner.start => {
                let room = (owner.flushed - owner.start) as u64;
                let from = owner.start + self.random.below(room) as i64;
                owner.reading = Some(from);
                self.store.submit(
                    ROUTE,
                    LogCommand::Read {
                        token: Token(at as u64),
                        partition,
                        from: Offset(from),
                        below: Offset(owner.flushed),
                        bytes_max: 1 + self.random.below(40_000) as usize,
                    },
                );
            }
            18 => self.store.submit(
                ROUTE,
                LogCommand::Retain {
                    partition,
                    older_than: None,
                    bytes_max: Some(30_000),
                    below: Offset(owner.flushed),
                },
            ),
            19 => self.store.submit(
                ROUTE,
                LogCommand::MoveStart {
                    partition,
                    to: Offset(owner.start + 3.min(owner.flushed - owner.start)),
                },
            ),
            _ => {}
        }
    }

    fn take(&mut self, event: LogEvent) {
        let position = |partition| self.numbers.iter().position(|p| *p == partition).unwrap();
        match event {
            LogEvent::Flushed { partition, end } => {
                let owner = &mut self.owners[position(partition)];
                assert!(end.0 > owner.flushed && end.0 <= owner.end);
                owner.flushed = end.0;
            }
            LogEvent::StartMoved {
                partition, start, ..
            } => {
                let owner = &mut self.owners[position(partition)];
                assert!(start.0 >= owner.start && start.0 <= owner.flushed);
                owner.start = start.0;
            }
            LogEvent::ReadDone { token, batches } => {
                let owner = &mut self.owners[token.0 as usize];
                let from = owner.reading.take().unwrap();
                match batches {
                    Ok(batches) => owner.check(from, &flat(&batches)),
                    // Retention may have passed by meanwhile; its event came before or comes.
                    Err(ReadError::OutOfRange { start, .. }) => assert!(start.0 > from),
                    Err(error) => panic!("partition {}: {error}", token.0),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn take_all(&mut self) {
        while let Ok(events) = self.events.try_recv() {
            for event in events {
                self.take(event);
            }
        }
    }

    fn finish(&mut self) {
        let busy = |o: &Owner| o.flushed < o.end || o.reading.is_some();
        while self.owners.iter().any(busy) {
            for event in self.events.recv().unwrap() {
                self.take(event);
            }
        }
    }
}

impl Owner {
    fn check(&mut self, from: i64, bytes: &[u8]) {
        let first = from - from % 2;
        let mut wanted = Vec::new();
        for batch in self.batches.range(first..).map(|(_, bytes)| bytes) {
            if wanted.len() >= bytes.len() {
                break;
            }
            wanted.extend_from_slice(batch);
        }
        assert!(!bytes.is_empty());
        assert!(bytes == wanted, "other bytes from offset {from}");
        self.checked += 1;
    }
}

/// I-STO-3 I-STO-8: whatever runs at the same time, a read gives the bytes that were appended,
/// and no file goes away under it.
#[test]
fn everything_at_once() {
    for seed in 0..3 {
        let disk = MemDisk::new();
        let mut stress = Stress::new(&disk, seed);
        for _ in 0..4000 {
            stress.act();
            stress.take_all();
            if stress.store.pending_bytes() > 200_000 {
                let events = stress.events.recv().unwrap();
                for event in events {
                    stress.take(event);
                }
            }
        }
        stress.finish();
        let checked: u64 = stress.owners.iter().map(|owner| owner.checked).sum();
        assert!(checked > 100, "{checked}");
        let Stress {
            store,
            events,
            owners,
            ..
        } = stress;
        if seed == 0 {
            store.close().unwrap();
        } else {
            // The power goes; what was told stays.
            disk.crash(Crash::Forget);
            drop(store);
        }
        drop(events);
        let mut driver = support::Driver::open(&disk, config());
        assert_eq!(driver.report.warnings, Vec::<String>::new());
        for (at, owner) in owners.iter().enumerate() {
            let (partition, state) = driver.open_partition(1, at as i32).unwrap();
            assert_eq!(state.end.0, owner.flushed);
            assert!(state.start.0 >= owner.start);
            if state.start < state.end {
                let first = state.start.0 - state.start.0 % 2;
                let wanted: Vec<u8> = owner
                    .batches
                    .range(first..)
                    .flat_map(|(_, bytes)| bytes.clone())
                    .collect();
                let read = driver.read(partition, state.start.0, state.end.0, usize::MAX);
                assert!(read.unwrap() == wanted);
            }
        }
    }
}
