//! Files that are damaged, missing or foreign: nothing wrong is served, and every refusal says what
//! is wrong and what to do.

mod support;

use std::sync::Arc;
use support::{Driver, batch, bytes_of, filled, lane_file, model::Random, one_lane, small};
use weir_store::{
    Crash, Disk, InlineStore, MemDisk, OpenError, RewriteStep, StoreConfig, StoreReader,
};
use weir_types::{
    Offset, StorePartition,
    log::{LogCommand, LogEvent, ReadError},
};

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
    let mut random = Random(11);
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
