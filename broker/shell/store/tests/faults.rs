//! Disks that fail or are full: what was flushed is never lost without a word, and the log goes on.

mod support;

use support::{Driver, batch, bytes_of, filled, one_lane};
use weir_store::{Crash, Disk, MemDisk, RewriteStep};
use weir_types::{
    Offset, StorePartition,
    log::{LogCommand, LogEvent},
};

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
