//! The store's plain path: append, flush, read, find, mark, delete, expire, close, open again.

mod support;

use std::sync::Arc;
use support::{Driver, batch, batch_of, bytes_of, filled, one_lane, small};
use weir_store::{Crash, Disk, InlineStore, MemDisk, MetaLog, RewriteStep, StoreConfig};
use weir_types::{
    LeaderEpoch, Offset, ProducerId, TimestampMs,
    log::{LogCommand, LogEvent, ReadError},
};

#[test]
fn what_is_appended_is_flushed_and_read_back() {
    let disk = MemDisk::new();
    let mut driver = Driver::open(&disk, StoreConfig::default());
    let (a, state) = driver.open_partition(1, 0).unwrap();
    assert_eq!((state.start, state.end), (Offset(0), Offset(0)));
    let (b, _) = driver.open_partition(1, 1).unwrap();
    assert_ne!(a, b);
    let first = batch(0, 3, b"hello", 100);
    let second = batch(3, 1, &vec![7; 600_000], 200);
    let third = batch(4, 2, b"end", 150);
    for item in [&first, &second, &third] {
        driver.append(a, item.clone());
    }
    driver.append(b, batch(0, 1, b"other", 1));
    let events = driver.run();
    assert!(matches!(
        events.as_slice(),
        [
            LogEvent::Flushed { end: Offset(6), .. },
            LogEvent::Flushed { end: Offset(1), .. }
        ]
    ));
    let all = [bytes_of(&first.0), bytes_of(&second.0), bytes_of(&third.0)].concat();
    assert_eq!(driver.read(a, 0, 6, usize::MAX).unwrap(), all);
    assert_eq!(
        driver.read(a, 2, 3, usize::MAX).unwrap(),
        bytes_of(&first.0)
    );
    assert_eq!(driver.read(a, 3, 6, 1).unwrap(), bytes_of(&second.0));
    assert_eq!(driver.read(a, 6, 6, 1).unwrap(), Vec::<u8>::new());
    assert_eq!(
        driver.read(a, 7, 8, 1),
        Err(ReadError::OutOfRange {
            start: Offset(0),
            end: Offset(6)
        })
    );
    assert_eq!(driver.find_time(a, 150, 6), Some(3));
    assert_eq!(driver.find_time(a, 201, 6), None);
    driver.store.close().unwrap();

    let mut driver = Driver::open(&disk, StoreConfig::default());
    assert_eq!(driver.report.repaired, 0);
    let (a, state) = driver.open_partition(1, 0).unwrap();
    assert_eq!(state.end, Offset(6));
    assert_eq!(state.max_timestamp, Some((TimestampMs(200), Offset(3))));
    assert_eq!(state.size_bytes, all.len() as u64);
    assert_eq!(driver.read(a, 0, 6, usize::MAX).unwrap(), all);
}

#[test]
fn a_crash_keeps_what_was_flushed() {
    let disk = MemDisk::new();
    let mut driver = Driver::open(&disk, small());
    let (a, _) = driver.open_partition(1, 0).unwrap();
    for n in 0..10 {
        driver.append(
            a,
            batch_of(n, 1, &[n as u8; 100], n, (5, 0, n as i32), 1 + n as i32 / 4),
        );
        driver.run();
    }
    disk.crash(Crash::Forget);
    let mut driver = Driver::open(&disk, small());
    // The inline store alternates its two lanes.
    assert_eq!(driver.report.repaired, 2);
    let (a, state) = driver.open_partition(1, 0).unwrap();
    assert_eq!(state.end, Offset(10));
    assert_eq!(
        state.epochs,
        [
            (LeaderEpoch(1), Offset(0)),
            (LeaderEpoch(2), Offset(4)),
            (LeaderEpoch(3), Offset(8))
        ]
    );
    let producer = state.producers.get(ProducerId(5)).unwrap();
    assert_eq!(producer.batches.len(), 5);
    assert_eq!(producer.batches.back().unwrap().last_offset, Offset(9));
    assert_eq!(driver.read(a, 0, 10, usize::MAX).unwrap().len(), 10 * 161);
}

#[test]
fn marks_are_answered_and_survive() {
    let disk = MemDisk::new();
    let mut driver = Driver::open(&disk, small());
    let (a, _) = driver.open_partition(1, 0).unwrap();
    for n in 0..10 {
        driver.append(a, batch(2 * n, 2, &[n as u8; 100], n));
    }
    driver.run();
    driver.submit(LogCommand::MoveStart {
        partition: a,
        to: Offset(5),
    });
    driver.submit(LogCommand::Truncate {
        partition: a,
        to: Offset(17),
    });
    let events = driver.run();
    assert!(matches!(
        &events[..],
        [
            LogEvent::StartMoved { start: Offset(5), .. },
            LogEvent::Truncated { state, .. }
        ] if state.end == Offset(16) && state.size_bytes == 6 * 161
    ));
    driver.append(a, batch(16, 1, b"new", 50));
    driver.run();
    disk.crash(Crash::Forget);
    let mut driver = Driver::open(&disk, small());
    let (a, state) = driver.open_partition(1, 0).unwrap();
    assert_eq!((state.start, state.end), (Offset(5), Offset(17)));
    assert_eq!(state.max_timestamp, Some((TimestampMs(50), Offset(16))));
    assert!(matches!(
        driver.read(a, 4, 17, 1000),
        Err(ReadError::OutOfRange {
            start: Offset(5),
            ..
        })
    ));
    assert_eq!(
        driver.read(a, 5, 17, usize::MAX).unwrap().len(),
        6 * 161 + 64
    );
    driver.submit(LogCommand::Retain {
        partition: a,
        older_than: Some(TimestampMs(6)),
        bytes_max: None,
        below: Offset(17),
    });
    assert!(matches!(
        driver.run()[..],
        [LogEvent::StartMoved {
            start: Offset(12),
            ..
        }]
    ));
    driver.submit(LogCommand::Retain {
        partition: a,
        older_than: None,
        bytes_max: Some(100),
        below: Offset(14),
    });
    assert!(matches!(
        driver.run()[..],
        [LogEvent::StartMoved {
            start: Offset(14),
            ..
        }]
    ));
    // An appended batch that does not continue the log is no batch of it.
    driver.append(a, batch(30, 1, b"gap", 50));
    assert!(matches!(driver.run()[..], [LogEvent::Offline { .. }]));
}

/// I-STO-13: records without timestamps age from when they were appended.
#[test]
fn batches_without_timestamps_are_kept_as_long_as_others() {
    let disk = MemDisk::new();
    let mut driver = Driver::open(&disk, small());
    let (a, _) = driver.open_partition(1, 0).unwrap();
    for (base, appended_at) in [(0, 1000), (1, 2000), (2, 3000)] {
        let (batch, mut meta) = batch(base, 1, b"timeless", -1);
        meta.appended_at = TimestampMs(appended_at);
        driver.append(a, (batch, meta));
    }
    driver.run();
    let retain = |driver: &mut Driver, older_than| {
        driver.submit(LogCommand::Retain {
            partition: a,
            older_than: Some(TimestampMs(older_than)),
            bytes_max: None,
            below: Offset(3),
        });
        driver.run()
    };
    assert!(retain(&mut driver, 1000).is_empty());
    for crash in [false, true] {
        if crash {
            disk.crash(Crash::Forget);
            driver = Driver::open(&disk, small());
        }
        let (older_than, start) = if crash { (3000, 2) } else { (2000, 1) };
        let (_, before) = driver.open_partition(1, 0).unwrap();
        let events = retain(&mut driver, older_than);
        assert!(
            matches!(events[..], [LogEvent::StartMoved { start: s, .. }] if s == Offset(start)),
            "{before:?}: {events:?}"
        );
    }
}

/// I-STO-2: a deleted partition's number and offsets are never used again, and its bytes go.
#[test]
fn deleted_partitions_give_their_space_back() {
    let disk = MemDisk::new();
    let (mut driver, a) = filled(&disk, one_lane(), 20);
    driver.submit(LogCommand::Delete {
        partitions: vec![a],
    });
    let (b, state) = driver.open_partition(1, 0).unwrap();
    assert!(b > a);
    assert_eq!(state.end, Offset(0));
    assert_eq!(driver.read(a, 0, 1, 1), Err(ReadError::NotOpen));
    driver.append(a, batch(20, 1, b"late", 1));
    assert!(driver.run().is_empty());
    driver.store.roll();
    while driver.store.step_rewrite() != RewriteStep::Idle {}
    assert_eq!(driver.store.stats().lane.files, 0);
    assert_eq!(driver.store.stats().history.files, 0);
    disk.crash(Crash::Forget);
    let mut driver = Driver::open(&disk, one_lane());
    assert_eq!(driver.open_partition(1, 0).unwrap().0, b);
}

/// I-STO-2: when everything has expired, the end stays and no offset is used twice.
#[test]
fn an_expired_partition_keeps_its_end() {
    let disk = MemDisk::new();
    let (mut driver, a) = filled(&disk, one_lane(), 20);
    driver.submit(LogCommand::Retain {
        partition: a,
        older_than: Some(weir_types::TimestampMs(1000)),
        bytes_max: None,
        below: Offset(20),
    });
    assert!(matches!(
        driver.run()[..],
        [LogEvent::StartMoved {
            start: Offset(20),
            size_bytes: 0,
            ..
        }]
    ));
    driver.store.roll();
    while driver.store.step_rewrite() != RewriteStep::Idle {}
    assert_eq!(
        driver.store.stats().lane.files + driver.store.stats().history.files,
        0
    );
    disk.crash(Crash::Forget);
    let mut driver = Driver::open(&disk, one_lane());
    let (_, state) = driver.open_partition(1, 0).unwrap();
    assert_eq!((state.start, state.end), (Offset(20), Offset(20)));
    assert_eq!(state.max_timestamp, None);
}

/// The metadata log keeps records and snapshots through crashes.
#[test]
fn the_metadata_log_survives() {
    let disk = MemDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, (snapshot, records)) = MetaLog::open(&shared).unwrap();
    assert_eq!((snapshot, records.len()), (None, 0));
    log.append(&[b"a".to_vec(), b"b".to_vec()]).unwrap();
    log.append(&[b"c".to_vec()]).unwrap();
    disk.crash(Crash::Forget);
    let (mut log, (snapshot, records)) = MetaLog::open(&shared).unwrap();
    assert_eq!(snapshot, None);
    assert_eq!(records, [b"a", b"b", b"c"]);
    log.snapshot(b"abc").unwrap();
    log.append(&[b"d".to_vec()]).unwrap();
    log.close().unwrap();
    let (mut log, (snapshot, records)) = MetaLog::open(&shared).unwrap();
    assert_eq!(snapshot.as_deref(), Some(&b"abc"[..]));
    assert_eq!(records, [b"d"]);
    disk.fail_sync(1);
    assert!(log.append(&[b"e".to_vec()]).is_err());
    assert!(log.append(&[b"e".to_vec()]).is_err());
    drop(log);
    disk.crash(Crash::Forget);
    let (_, (_, records)) = MetaLog::open(&shared).unwrap();
    assert_eq!(records, [b"d"]);
    // It may lie in the same folder as the log.
    let (store, _) = InlineStore::open(one_lane(), shared).unwrap();
    store.close().unwrap();
}

/// Where a partition has long runs in one lane file, the rewriter takes that one alone: each of
/// its steps goes through all inputs.
#[test]
fn long_runs_are_sorted_file_by_file() {
    let disk = MemDisk::new();
    let config = StoreConfig {
        lane_file_bytes: 5 << 20,
        rewrite_memory_bytes: 2 << 20,
        ..StoreConfig::default()
    };
    let mut driver = Driver::open(&disk, config);
    let (a, _) = driver.open_partition(1, 0).unwrap();
    for base in 0..15 {
        driver.append(a, batch(base, 1, &[base as u8; 1 << 20], base));
        driver.run();
    }
    let mut published = Vec::new();
    loop {
        match driver.store.step_rewrite() {
            RewriteStep::Idle => break,
            RewriteStep::Worked => {}
            RewriteStep::Published => published.push(driver.store.stats().history.files),
        }
    }
    // Two files are full; the last is still written.
    assert_eq!(published, [1, 2]);
    let all = driver.read(a, 0, 15, usize::MAX).unwrap();
    let offsets: Vec<u8> = all.chunks(all.len() / 15).map(|b| b[100]).collect();
    assert_eq!(offsets, (0..15).collect::<Vec<u8>>());
}
