//! What the store's tests share: batches of known content and a driver over the inline store.
#![allow(dead_code)] // each test file uses its own part of this

pub(crate) mod model;

use bytes::Bytes;
use std::sync::Arc;
use weir_store::{Disk, InlineStore, MemDisk, OpenReport, StoreConfig};
use weir_types::{
    Batch, BatchHeader, BatchMeta, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Sequence, ShardId, StorePartition, TimestampMs, TopicId,
    batch::{self, HEADER_BYTES},
    log::{LogCommand, LogEvent, LogState, ReadError, StoredBatch, Token},
};

pub(crate) const ROUTE: ShardId = ShardId(3);

/// A batch of `count` records whose payload is `payload` (the store never looks into it).
pub(crate) fn batch(base: i64, count: i32, payload: &[u8], time: i64) -> (Batch, BatchMeta) {
    batch_of(base, count, payload, time, (-1, -1, -1), 0)
}

pub(crate) fn batch_of(
    base: i64,
    count: i32,
    payload: &[u8],
    time: i64,
    (producer, epoch, sequence): (i64, i16, i32),
    leader_epoch: i32,
) -> (Batch, BatchMeta) {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(payload);
    let header = BatchHeader {
        base_offset: Offset(base),
        size_bytes: bytes.len(),
        leader_epoch: LeaderEpoch(leader_epoch),
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: TimestampMs(time),
        max_timestamp: TimestampMs(time),
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
        record_count: count,
    };
    batch::write_header(&mut bytes, &header);
    let bytes = Bytes::from(bytes);
    let batch = Batch::parse(&bytes).unwrap();
    let meta = BatchMeta::of(&batch.header(), TimestampMs(time));
    (batch, meta)
}

pub(crate) fn topic(n: u8) -> TopicId {
    TopicId([n; 16])
}

/// Small files so that rolls and rewrites happen.
pub(crate) fn small() -> StoreConfig {
    StoreConfig {
        lane_file_bytes: 64 * 1024,
        lane_entries_max: 64,
        history_file_bytes: 128 * 1024,
        rewrite_memory_bytes: 32 * 1024,
        new_store_id: 7,
        ..StoreConfig::default()
    }
}

pub(crate) struct Driver {
    pub(crate) store: InlineStore,
    pub(crate) report: OpenReport,
    pub(crate) events: Vec<LogEvent>,
}

impl Driver {
    pub(crate) fn open(disk: &MemDisk, config: StoreConfig) -> Self {
        Self::try_open(disk, config).unwrap()
    }

    pub(crate) fn try_open(disk: &MemDisk, config: StoreConfig) -> Result<Self, String> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = InlineStore::open(config, disk);
        let (store, report) = opened.map_err(|error| error.to_string())?;
        Ok(Self {
            store,
            report,
            events: Vec::new(),
        })
    }

    pub(crate) fn submit(&mut self, command: LogCommand) {
        self.store.submit(ROUTE, command);
    }

    pub(crate) fn run(&mut self) -> Vec<LogEvent> {
        let events = self.store.step_all();
        events
            .into_iter()
            .map(|(route, event)| {
                assert_eq!(route, ROUTE);
                event
            })
            .collect()
    }

    pub(crate) fn open_partition(
        &mut self,
        t: u8,
        index: i32,
    ) -> Result<(StorePartition, LogState), String> {
        self.submit(LogCommand::Open {
            replicas: vec![(topic(t), PartitionIndex(index))],
        });
        match self.run().pop().unwrap() {
            LogEvent::Opened {
                partition, state, ..
            } => Ok((partition, state)),
            LogEvent::OpenFailed { reason, .. } => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn append(&mut self, partition: StorePartition, (batch, meta): (Batch, BatchMeta)) {
        self.submit(LogCommand::Append {
            partition,
            batch,
            meta,
        });
    }

    pub(crate) fn read(
        &mut self,
        partition: StorePartition,
        from: i64,
        below: i64,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ReadError> {
        self.submit(LogCommand::Read {
            token: Token(9),
            partition,
            from: Offset(from),
            below: Offset(below),
            bytes_max,
        });
        for event in self.run() {
            if let LogEvent::ReadDone { token, batches } = event {
                assert_eq!(token, Token(9));
                return batches.map(|batches| flat(&batches));
            }
        }
        panic!("no answer to a read");
    }

    pub(crate) fn find_time(
        &mut self,
        partition: StorePartition,
        time: i64,
        below: i64,
    ) -> Option<i64> {
        self.submit(LogCommand::FindTime {
            token: Token(4),
            partition,
            timestamp: TimestampMs(time),
            below: Offset(below),
        });
        for event in self.run() {
            if let LogEvent::TimeFound { batch, .. } = event {
                return batch
                    .unwrap()
                    .map(|stored| BatchHeader::read(&flat(&[stored])).unwrap().base_offset.0);
            }
        }
        panic!("no answer to a search");
    }
}

pub(crate) fn flat(batches: &[StoredBatch]) -> Vec<u8> {
    let mut out = Vec::new();
    for batch in batches {
        match batch {
            StoredBatch::Cached(batch) => batch.write_to(&mut out),
            StoredBatch::Read(bytes) => out.extend_from_slice(bytes),
        }
    }
    out
}

pub(crate) fn bytes_of(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::new();
    batch.write_to(&mut out);
    out
}

pub(crate) fn one_lane() -> StoreConfig {
    StoreConfig {
        lanes: 1,
        ..small()
    }
}

/// A store with that many batches in its first partition.
pub(crate) fn filled(
    disk: &MemDisk,
    config: StoreConfig,
    batches: i64,
) -> (Driver, StorePartition) {
    let mut driver = Driver::open(disk, config);
    let (a, _) = driver.open_partition(1, 0).unwrap();
    for n in 0..batches {
        driver.append(a, batch(n, 1, &[n as u8; 500], n));
        driver.run();
    }
    (driver, a)
}

/// The first lane file's name.
pub(crate) fn lane_file(disk: &MemDisk) -> String {
    let names = disk.list().unwrap();
    names
        .into_iter()
        .find(|name| name.starts_with("lane-"))
        .unwrap()
}
