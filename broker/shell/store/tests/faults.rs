//! Disks that fail and files that are damaged: what was flushed is never lost without a word,
//! and every refusal says what is wrong.

mod support;

use std::sync::Arc;
use support::{Driver, batch, bytes_of, model::World, small};
use weir_store::{
    Crash, Disk, InlineStore, MemDisk, MetaLog, Mutants, OpenError, RewriteStep, StoreConfig,
    StoreReader,
};
use weir_types::{
    Offset, StorePartition,
    log::{LogCommand, LogEvent, ReadError},
};

fn one_lane() -> StoreConfig {
    StoreConfig {
        lanes: 1,
        ..small()
    }
}

fn filled(disk: &MemDisk, config: StoreConfig, batches: i64) -> (Driver, StorePartition) {
    let mut driver = Driver::open(disk, config);
    let (a, _) = driver.open_partition(1, 0).unwrap();
    for n in 0..batches {
        driver.append(a, batch(n, 1, &[n as u8; 500], n));
        driver.run();
    }
    (driver, a)
}

/// I-STO-6: a failed sync loses exactly what was not answered; the partition goes on in a new
/// file from what the disk holds, and a restart agrees.
#[test]
fn a_failed_sync_is_told_and_survived() {
    for fail in [MemDisk::fail_sync, MemDisk::fail_write] {
        for crash in [Crash::Forget, Crash::Keep, Crash::Torn(5)] {
            let disk = MemDisk::new();
            let (mut driver, a) = filled(&disk, one_lane(), 5);
            fail(&disk, 1);
            driver.append(a, batch(5, 1, b"lost", 9));
            let events = driver.run();
            assert!(
                matches!(&events[..], [LogEvent::Failed { state, .. }] if state.end == Offset(5)),
                "{events:?}"
            );
            // What was in flight behind it is dropped without a word; then the log goes on.
            driver.append(a, batch(6, 1, b"in flight", 9));
            assert!(driver.run().is_empty());
            assert_eq!(driver.read(a, 0, 5, usize::MAX).unwrap().len(), 5 * 561);
            let again = batch(5, 2, b"again", 10);
            driver.append(a, again.clone());
            let events = driver.run();
            assert!(matches!(
                events[..],
                [LogEvent::Flushed { end: Offset(7), .. }]
            ));
            assert_eq!(driver.read(a, 5, 7, 1).unwrap(), bytes_of(&again.0));
            disk.crash(crash);
            let mut driver = Driver::open(&disk, one_lane());
            let (a, state) = driver.open_partition(1, 0).unwrap();
            assert_eq!(state.end, Offset(7), "{crash:?}");
            assert_eq!(driver.read(a, 5, 7, 1).unwrap(), bytes_of(&again.0));
            assert_eq!(driver.read(a, 0, 5, usize::MAX).unwrap().len(), 5 * 561);
        }
    }
}

/// I-STO-6 I-STO-4: a broken file is rewritten like any other.
#[test]
fn a_broken_file_is_rewritten() {
    let disk = MemDisk::new();
    let (mut driver, a) = filled(&disk, one_lane(), 5);
    disk.fail_sync(1);
    driver.append(a, batch(5, 1, b"lost", 9));
    driver.run();
    while driver.store.step_rewrite() != RewriteStep::Idle {}
    assert_eq!(driver.store.stats().history.files, 1);
    assert_eq!(driver.store.stats().lane.files, 0);
    assert_eq!(driver.read(a, 0, 5, usize::MAX).unwrap().len(), 5 * 561);
    driver.append(a, batch(5, 1, b"new", 9));
    driver.run();
    disk.crash(Crash::Forget);
    let mut driver = Driver::open(&disk, one_lane());
    assert_eq!(driver.open_partition(1, 0).unwrap().1.end, Offset(6));
}

/// I-STO-10: a full disk fails appends, takes nothing that was flushed, and the log goes on when
/// room comes back.
#[test]
fn a_full_disk_is_survived() {
    let disk = MemDisk::new();
    let (mut driver, a) = filled(&disk, one_lane(), 3);
    let mut end = 3;
    disk.set_capacity(disk.used_bytes() + 20_000);
    let mut failed = 0;
    for _ in 0..60 {
        driver.append(a, batch(end, 1, &[3; 3000], 1));
        match &driver.run()[..] {
            [LogEvent::Flushed { end: flushed, .. }] => end = flushed.0,
            [LogEvent::Failed { state, .. }] => {
                assert_eq!(state.end, Offset(end));
                failed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(failed > 0);
    disk.set_capacity(u64::MAX);
    driver.append(a, batch(end, 1, &[3; 3000], 1));
    assert!(matches!(driver.run()[..], [LogEvent::Flushed { .. }]));
    let read = driver.read(a, 0, end + 1, usize::MAX).unwrap();
    assert_eq!(read.len() as i64, 3 * 561 + (end + 1 - 3) * 3061);
    disk.crash(Crash::Forget);
    let mut driver = Driver::open(&disk, one_lane());
    assert_eq!(driver.open_partition(1, 0).unwrap().1.end, Offset(end + 1));
}

/// Appends batches of `bytes` each until `files` lane files are done with; answers the end.
fn fill_files(driver: &mut Driver, a: StorePartition, mut end: i64, files: u64) -> i64 {
    let done = driver.store.stats().rolls + files;
    while driver.store.stats().rolls < done {
        driver.append(a, batch(end, 1, &[end as u8; 6000], end));
        assert!(matches!(driver.run()[..], [LogEvent::Flushed { .. }]));
        end += 1;
    }
    end
}

/// I-STO-10: the rewriter takes no more than there is room for, and what waits to be used again
/// goes first.
#[test]
fn the_rewriter_works_on_a_nearly_full_disk() {
    for (files, published, room) in [(8, 1, 10_000), (4, 0, 1_500_000), (8, 0, 1_200_000)] {
        let disk = MemDisk::new();
        let (mut driver, a) = filled(&disk, one_lane(), 1);
        let end = fill_files(&mut driver, a, 1, files);
        while driver.store.stats().published < published {
            driver.store.step_rewrite();
        }
        let pool = driver.store.stats().pool_bytes;
        assert_eq!(pool > 0, published > 0);
        disk.set_capacity(disk.used_bytes() + room);
        let want = driver.read(a, 0, end, usize::MAX).unwrap();
        // A job that does not fit after all ends a round; the next takes less.
        for _ in 0..12 {
            while driver.store.step_rewrite() != RewriteStep::Idle {}
        }
        let stats = driver.store.stats();
        assert_eq!(
            stats.lane.files, 0,
            "{files} files, {pool} in the pool: {stats:?}"
        );
        assert_eq!(driver.read(a, 0, end, usize::MAX), Ok(want));
    }
}

/// Files of the log in the folder, and how many the log has.
fn files_of(disk: &MemDisk, driver: &Driver) -> (usize, usize) {
    let names = disk.list().unwrap();
    let there = names
        .iter()
        .filter(|n| n.starts_with("lane-") || n.starts_with("history-"));
    let stats = driver.store.stats();
    let known = stats.lane.files + stats.history.files;
    (there.count(), known as usize)
}

/// I-STO-10: whatever fails while a file is made or written, the file does not stay behind.
#[test]
fn files_that_were_given_up_are_removed() {
    for fail in [MemDisk::fail_sync, MemDisk::fail_write] {
        for k in 1..40 {
            let disk = MemDisk::new();
            let (mut driver, a) = filled(&disk, one_lane(), 40);
            driver.store.roll();
            fail(&disk, k);
            // Also where the failed step was the last one.
            for _ in 0..12 {
                driver.store.step_rewrite();
            }
            let (there, known) = files_of(&disk, &driver);
            assert_eq!(driver.read(a, 0, 40, usize::MAX).unwrap().len(), 40 * 561);
            driver.append(a, batch(40, 1, b"more", 40));
            if matches!(driver.run()[..], [LogEvent::Offline { .. }]) {
                // The catalog may or may not name what was to be published.
                assert!(there <= known + 1, "failure {k}: {:?}", disk.list());
            } else {
                assert_eq!(there, known, "failure {k}: {:?}", disk.list());
            }
        }
        for k in 1..12 {
            let disk = MemDisk::new();
            let (mut driver, a) = filled(&disk, one_lane(), 5);
            driver.store.roll();
            while driver.store.step_rewrite() != RewriteStep::Idle {}
            fail(&disk, k);
            driver.append(a, batch(5, 1, b"new", 5));
            let events = driver.run();
            let (there, known) = files_of(&disk, &driver);
            if matches!(events[..], [LogEvent::Offline { .. }]) {
                assert!(there <= known + 1, "failure {k}: {:?}", disk.list());
            } else {
                assert_eq!(there, known, "failure {k} of a new lane file");
            }
            disk.crash(Crash::Forget);
            assert!(Driver::open(&disk, one_lane()).report.warnings.is_empty());
        }
    }
}

/// I-STO-6: a truncation that fails is told, and the log is as it was.
#[test]
fn a_failed_truncation_is_told() {
    let disk = MemDisk::new();
    let (mut driver, a) = filled(&disk, one_lane(), 5);
    disk.fail_sync(1);
    driver.submit(LogCommand::Truncate {
        partition: a,
        to: Offset(3),
    });
    let events = driver.run();
    assert!(
        matches!(&events[..], [LogEvent::Failed { state, .. }] if state.end == Offset(5)),
        "{events:?}"
    );
    assert_eq!(driver.read(a, 0, 5, usize::MAX).unwrap().len(), 5 * 561);
    driver.submit(LogCommand::Truncate {
        partition: a,
        to: Offset(3),
    });
    assert!(matches!(driver.run()[..], [LogEvent::Truncated { .. }]));
}

fn lane_file(disk: &MemDisk) -> String {
    let names = disk.list().unwrap();
    names
        .into_iter()
        .find(|name| name.starts_with("lane-"))
        .unwrap()
}

/// I-STO-7: a flipped bit in a batch is never served; the rest is.
#[test]
fn a_flipped_bit_in_a_batch_is_found() {
    let disk = MemDisk::new();
    let (driver, _) = filled(&disk, one_lane(), 5);
    driver.store.close().unwrap();
    let name = lane_file(&disk);
    let contents = disk.contents(&name).unwrap();
    let at = contents.windows(400).position(|w| w == [3; 400]).unwrap();
    assert!(disk.flip_bit(&name, at as u64 + 7, 2));
    let reader = StoreReader::open(Arc::new(disk.clone())).unwrap();
    let report = reader.check();
    assert_eq!(report.problems.len(), 2, "{report:?}");
    assert!(report.problems[1].contains("CRC"), "{report:?}");
    let mut driver = Driver::open(&disk, one_lane());
    let (a, _) = driver.open_partition(1, 0).unwrap();
    let error = driver.read(a, 3, 5, 1).unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Damaged {
                offset: Offset(3),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(driver.read(a, 0, 3, usize::MAX).unwrap().len(), 3 * 561);
    assert_eq!(driver.read(a, 4, 5, 1).unwrap().len(), 561);
    // The rewriter leaves a damaged file alone.
    while driver.store.step_rewrite() != RewriteStep::Idle {}
    assert_eq!(driver.store.stats().history.files, 0);
    assert_eq!(driver.read(a, 4, 5, 1).unwrap().len(), 561);
}

/// I-STO-7: whatever bits are turned over in a file, opening and reading give an answer: the
/// right bytes, or an error that names the file or the offset.
#[test]
fn any_flipped_bit_gives_an_answer() {
    for sealed in [false, true] {
        let refused = flip_bits(sealed);
        assert!(refused > 20, "only {refused} rounds were refused");
    }
}

/// Answers how many rounds were refused.
fn flip_bits(sealed: bool) -> usize {
    let disk = MemDisk::new();
    let (driver, _) = filled(&disk, one_lane(), 12);
    let good: Vec<u8> = (0..12)
        .flat_map(|n| bytes_of(&batch(n, 1, &[n as u8; 500], n).0))
        .collect();
    if sealed {
        driver.store.close().unwrap();
    } else {
        drop(driver);
        disk.crash(Crash::Forget);
    }
    let names = ["catalog.redb".to_owned(), lane_file(&disk)];
    let images: Vec<Vec<u8>> = names.iter().map(|n| disk.contents(n).unwrap()).collect();
    let mut random = support::model::Random(11);
    let mut refused = 0;
    for round in 0..160 {
        let which = round % 2;
        for (name, image) in names.iter().zip(&images) {
            disk.put(name, image);
        }
        let used = images[which].iter().rposition(|b| *b != 0).unwrap() as u64;
        // A lane file's first two pages are its frame; redb's own head follows.
        let head = [0, 8192][which];
        let (from, range) = if round % 4 < 2 {
            (head, 400)
        } else {
            (0, used)
        };
        let byte = from + random.below(range);
        disk.flip_bit(&names[which], byte, random.below(8) as u8);
        let store: Arc<dyn Disk> = Arc::new(disk.clone());
        match InlineStore::open(one_lane(), store) {
            Err(OpenError::Damaged { .. } | OpenError::Version { .. }) => {
                assert!(
                    !sealed || which == 0,
                    "round {round}: a lane file is not the store"
                );
                refused += 1;
            }
            Err(error) => panic!("round {round}: {error}"),
            Ok((store, report)) => {
                let mut driver = Driver {
                    store,
                    report,
                    events: Vec::new(),
                };
                let Ok((a, state)) = driver.open_partition(1, 0) else {
                    refused += 1;
                    continue;
                };
                if state.end < Offset(12) {
                    assert!(!sealed, "round {round}: {state:?}");
                    // redb fell back to an older root: the end is lower and nothing is wrong.
                    assert!(state.end >= Offset(11), "round {round}: {state:?}");
                    continue;
                }
                match driver.read(a, 0, 12, usize::MAX) {
                    Ok(bytes) => assert_eq!(bytes, good, "round {round}"),
                    Err(ReadError::Damaged { .. } | ReadError::Disk { .. }) => refused += 1,
                    Err(error) => panic!("round {round}: {error}"),
                }
            }
        }
    }
    refused
}

/// I-STO-7: a lane file that fell back to an older root lacks commits that were answered. It is
/// refused by name, at every opening, as long as another file knows of them.
#[test]
fn a_lane_file_that_lost_flushed_commits_is_refused() {
    let disk = MemDisk::new();
    let config = StoreConfig {
        lanes: 2,
        ..small()
    };
    let mut driver = Driver::open(&disk, config.clone());
    let (a, _) = driver.open_partition(1, 0).unwrap();
    for n in 0..6 {
        // The lanes take turns, so that each sees what the other flushed.
        driver.append(a, batch(n, 1, &[n as u8; 500], n));
        driver.run();
    }
    disk.crash(Crash::Forget);
    drop(driver);
    let name = lane_file(&disk);
    let image = disk.contents(&name).unwrap();
    let names = disk.list().unwrap();
    let all: Vec<_> = names.iter().map(|n| disk.contents(n).unwrap()).collect();
    let mut refused = 0;
    // The roots stand in the first bytes of redb's own head, behind the frame.
    let head = image.windows(4).position(|w| w == b"redb").unwrap();
    for byte in head..head + 320 {
        for (name, image) in names.iter().zip(&all) {
            disk.put(name, image);
        }
        disk.flip_bit(&name, byte as u64, 1);
        for round in 0..2 {
            match Driver::try_open(&disk, config.clone()) {
                Ok(mut driver) => {
                    let Ok((_, state)) = driver.open_partition(1, 0) else {
                        break;
                    };
                    assert_eq!(state.end, Offset(6), "byte {byte}, round {round}");
                }
                Err(error) if error.contains("lost flushed commits") => {
                    assert!(
                        error.contains(&name) && error.contains("from a copy"),
                        "{error}"
                    );
                    let reader = StoreReader::open(Arc::new(disk.clone())).unwrap();
                    let problems = reader.check().problems;
                    assert!(problems.iter().any(|p| p.contains("lost flushed")));
                    refused += 1;
                }
                Err(error) => assert!(error.contains(&name), "{error}"),
            }
        }
    }
    assert!(refused >= 2, "no byte makes it fall back");
    for (name, image) in names.iter().zip(&all) {
        disk.put(name, image);
    }
    let mut driver = Driver::open(&disk, config);
    assert_eq!(driver.open_partition(1, 0).unwrap().1.end, Offset(6));
}

/// D15: folders that are no store, of another version, cut short or of another store are refused
/// with what to do.
#[test]
fn foreign_and_damaged_folders_are_refused() {
    let open = |disk: &MemDisk| {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        InlineStore::open(one_lane(), disk).map(drop)
    };
    let foreign = MemDisk::new();
    foreign.put("holiday.jpg", b"sunset");
    let error = open(&foreign).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }));
    assert!(error.to_string().contains("use an empty folder"));
    assert_eq!(foreign.list().unwrap(), ["holiday.jpg"]);

    let garbage = MemDisk::new();
    garbage.put("catalog.redb", &[7; 10_000]);
    assert!(matches!(open(&garbage), Err(OpenError::Damaged { .. })));
    let empty = MemDisk::new();
    empty.put("catalog.redb", &[]);
    assert!(matches!(open(&empty), Err(OpenError::Damaged { .. })));

    // What a file holds that was not sealed nobody knows: nothing can be served without it.
    let disk = MemDisk::new();
    let (driver, _) = filled(&disk, one_lane(), 3);
    drop(driver);
    let name = lane_file(&disk);
    let whole = disk.contents(&name).unwrap();
    // What lies behind the length that its frame names may be missing.
    for len in [0, 100, 4096, 20_000] {
        disk.put(&name, &whole[..len]);
        let error = open(&disk).unwrap_err();
        assert!(
            matches!(&error, OpenError::Damaged { file, .. } if *file == name),
            "{len}: {error}"
        );
    }
    disk.remove(&name).unwrap();
    let error = open(&disk).unwrap_err().to_string();
    assert!(
        error.contains(&name) && error.contains("not there"),
        "{error}"
    );

    // The same file number of another store is not this store's file.
    let other = MemDisk::new();
    let config = StoreConfig {
        new_store_id: 8,
        ..one_lane()
    };
    let (driver, _) = filled(&other, config, 3);
    driver.store.close().unwrap();
    disk.put(&name, &other.contents(&name).unwrap());
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("of store 0000000000000008"), "{error}");
}

/// The seeded bugs are real bugs: the comparison with the model finds each.
#[test]
fn seeded_bugs_are_found() {
    let mutants = [
        Mutants {
            skip_flush_every: Some(3),
            ..Mutants::default()
        },
        Mutants {
            forget_start: true,
            ..Mutants::default()
        },
        Mutants {
            publish_twice: true,
            ..Mutants::default()
        },
    ];
    for mutants in mutants {
        let found = (0..20).any(|seed| {
            let mut world = World::new(seed, StoreConfig { mutants, ..small() });
            world.open_partitions(3).unwrap();
            for _ in 0..300 {
                world.step();
            }
            world.crash(Crash::Forget).is_err()
        });
        assert!(found, "{mutants:?}");
    }
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

/// I-STO-6: whichever write or sync of a seal fails, the file is read through what the disk held
/// then: closing commits and shortens the file before its last sync.
#[test]
fn a_file_whose_seal_fails_anywhere_is_read() {
    for fail in [MemDisk::fail_sync, MemDisk::fail_write] {
        for batches in [3, 60] {
            for k in 1..20 {
                let disk = MemDisk::new();
                let (mut driver, a) = filled(&disk, one_lane(), batches);
                let want = driver.read(a, 0, batches, usize::MAX).unwrap();
                assert_eq!(want.len() as i64, batches * 561);
                driver.store.roll();
                fail(&disk, k);
                driver.store.step_rewrite();
                let read = driver.read(a, 0, batches, usize::MAX);
                assert_eq!(read.as_ref(), Ok(&want), "{batches} batches, failure {k}");
                while driver.store.step_rewrite() != RewriteStep::Idle {}
                assert_eq!(driver.read(a, 0, batches, usize::MAX), Ok(want));
            }
        }
    }
}

/// Three sealed files: one with `a`, one with `a` and `b`, one with `b`; their names and what `a`
/// holds.
fn three_files(disk: &MemDisk) -> (Vec<String>, Vec<u8>) {
    let (mut driver, a) = filled(disk, one_lane(), 5);
    let (b, _) = driver.open_partition(2, 0).unwrap();
    driver.store.roll();
    driver.append(a, batch(5, 1, b"five", 5));
    driver.append(b, batch(0, 2, b"zero", 5));
    driver.submit(LogCommand::MoveStart {
        partition: a,
        to: Offset(2),
    });
    driver.run();
    driver.store.roll();
    driver.append(b, batch(2, 1, b"two", 5));
    driver.run();
    let want = driver.read(a, 2, 6, usize::MAX).unwrap();
    driver.store.close().unwrap();
    let names = disk.list().unwrap();
    let lanes: Vec<String> = names
        .into_iter()
        .filter(|n| n.starts_with("lane"))
        .collect();
    assert_eq!(lanes.len(), 3);
    (lanes, want)
}

/// I-STO-7 I-STO-2: a sealed file that cannot be opened takes its partitions offline and no
/// other; what is left of them is kept, so that a copy of the file makes them whole.
#[test]
fn a_damaged_sealed_file_hurts_only_its_partitions() {
    for len in [0, 100, 4096, 9000] {
        let disk = MemDisk::new();
        let (names, want) = three_files(&disk);
        let whole = disk.contents(&names[0]).unwrap();
        disk.truncate(&names[0], len);
        for round in 0..2 {
            let mut driver = Driver::open(&disk, one_lane());
            let warnings = &driver.report.warnings;
            assert!(warnings[0].contains(&names[0]), "{len}: {warnings:?}");
            assert!(warnings[1].contains("partition 0 of topic"), "{warnings:?}");
            assert_eq!(warnings.len(), 2);
            let error = driver.open_partition(1, 0).unwrap_err();
            assert!(error.contains(&names[0]), "{error}");
            let (b, state) = driver.open_partition(2, 0).unwrap();
            assert_eq!(state.end, Offset(3 + round));
            assert!(driver.read(b, 0, 3, usize::MAX).is_ok());
            driver.append(b, batch(3 + round, 1, b"more", 6));
            assert!(matches!(driver.run()[..], [LogEvent::Flushed { .. }]));
            let (c, _) = driver.open_partition(3, 0).unwrap();
            driver.append(c, batch(round, 1, b"new", 6));
            assert!(matches!(driver.run()[..], [LogEvent::Flushed { .. }]));
            driver.store.roll();
            while driver.store.step_rewrite() != RewriteStep::Idle {}
            assert_eq!(driver.store.stats().lane.files, 2);
            assert_eq!(driver.store.stats().partitions_offline, 1);
            driver.store.close().unwrap();
            let reader = StoreReader::open(Arc::new(disk.clone())).unwrap();
            assert!(
                reader
                    .check()
                    .problems
                    .iter()
                    .any(|p| p.contains(&names[0]))
            );
        }
        disk.put(&names[0], &whole);
        let mut driver = Driver::open(&disk, one_lane());
        assert_eq!(driver.report.warnings, Vec::<String>::new());
        let (a, state) = driver.open_partition(1, 0).unwrap();
        assert_eq!((state.start, state.end), (Offset(2), Offset(6)));
        assert_eq!(driver.read(a, 2, 6, usize::MAX), Ok(want));
        assert_eq!(driver.open_partition(2, 0).unwrap().1.end, Offset(5));
        assert_eq!(driver.open_partition(3, 0).unwrap().1.end, Offset(2));
    }
}

/// I-STO-7: a damaged file leaves the log when the last of its partitions is deleted.
#[test]
fn a_damaged_file_goes_with_its_partitions() {
    let disk = MemDisk::new();
    let (names, _) = three_files(&disk);
    disk.truncate(&names[0], 4096);
    let mut driver = Driver::open(&disk, one_lane());
    driver.submit(LogCommand::Delete {
        partitions: vec![StorePartition(1)],
    });
    driver.run();
    driver.store.close().unwrap();
    let mut driver = Driver::open(&disk, one_lane());
    while driver.store.step_rewrite() != RewriteStep::Idle {}
    assert_eq!(driver.store.stats().lane.files, 0);
    assert!(!disk.list().unwrap().contains(&names[0]));
    let (a, state) = driver.open_partition(1, 0).unwrap();
    assert!(a > StorePartition(2));
    assert_eq!(state.end, Offset(0));
    driver.store.close().unwrap();
    let driver = Driver::open(&disk, one_lane());
    assert_eq!(driver.report.warnings, Vec::<String>::new());
}
