//! The threaded store on a real folder: everything arrives, in order, and survives a close and a
//! sudden end.

mod support;

use std::{
    path::Path,
    sync::{Arc, mpsc},
};
use support::{ROUTE, batch, flat, topic};
use weir_store::{Disk, RealDisk, Store, StoreConfig};
use weir_types::{
    Offset, PartitionIndex, StorePartition,
    log::{LogCommand, LogEvent, Token},
};

fn open(folder: &Path) -> (Store, mpsc::Receiver<LogEvent>) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder).unwrap());
    let (sender, receiver) = mpsc::channel();
    let config = StoreConfig {
        lane_file_bytes: 300_000,
        ..support::small()
    };
    let (store, _) = Store::open(config, disk, move |route, events| {
        assert_eq!(route, ROUTE);
        for event in events {
            let _ = sender.send(event);
        }
    })
    .unwrap();
    (store, receiver)
}

fn partitions(store: &Store, events: &mpsc::Receiver<LogEvent>, count: i32) -> Vec<StorePartition> {
    let replicas = (0..count).map(|n| (topic(1), PartitionIndex(n))).collect();
    store.submit(ROUTE, LogCommand::Open { replicas });
    let mut found = Vec::new();
    while found.len() < count as usize {
        if let LogEvent::Opened { partition, .. } = events.recv().unwrap() {
            found.push(partition);
        }
    }
    found
}

#[test]
fn many_partitions_arrive_in_order_and_survive() {
    const EACH: i64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let (store, events) = open(folder.path());
    let numbers = partitions(&store, &events, 20);
    let mut wanted = vec![Vec::new(); numbers.len()];
    for n in 0..EACH {
        for (at, partition) in numbers.iter().enumerate() {
            let (batch, meta) = batch(n, 1, &[at as u8; 700], n);
            batch.write_to(&mut wanted[at]);
            store.submit(
                ROUTE,
                LogCommand::Append {
                    partition: *partition,
                    batch,
                    meta,
                },
            );
        }
    }
    let mut ends = vec![0; numbers.len()];
    while ends.iter().any(|end| *end < EACH) {
        match events.recv().unwrap() {
            LogEvent::Flushed { partition, end } => {
                let at = numbers.iter().position(|p| *p == partition).unwrap();
                assert!(end.0 > ends[at], "ends only grow");
                ends[at] = end.0;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(!store.is_full());
    let check = |store: &Store, events: &mpsc::Receiver<LogEvent>| {
        for (at, partition) in numbers.iter().enumerate() {
            store.submit(
                ROUTE,
                LogCommand::Read {
                    token: Token(at as u64),
                    partition: *partition,
                    from: Offset(0),
                    below: Offset(EACH),
                    bytes_max: usize::MAX,
                },
            );
        }
        for _ in 0..numbers.len() {
            match events.recv().unwrap() {
                LogEvent::ReadDone { token, batches } => {
                    assert_eq!(flat(&batches.unwrap()), wanted[token.0 as usize]);
                }
                other => panic!("{other:?}"),
            }
        }
    };
    check(&store, &events);
    // Another process, or a second store here, is refused.
    let error = RealDisk::open(folder.path()).unwrap_err().to_string();
    let pid = std::process::id();
    assert_eq!(error, format!("in use by process {pid}"));
    assert!(RealDisk::open_read_only(folder.path()).is_err());
    store.close().unwrap();

    let (store, events) = open(folder.path());
    assert_eq!(partitions(&store, &events, 20), numbers);
    check(&store, &events);
    assert_eq!(store.partition_sizes().len(), 20);
    assert_eq!(store.size_bytes(numbers[3]), Some(wanted[3].len() as u64));
    store.close().unwrap();

    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open_read_only(folder.path()).unwrap());
    let reader = weir_store::StoreReader::open(disk).unwrap();
    let report = reader.check();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.batches, 20 * EACH as u64);
}
