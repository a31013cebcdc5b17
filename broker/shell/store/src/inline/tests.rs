//! What only the inside of the store can be asked about: which file a read is served from when
//! another fails under it.

use super::*;
use crate::disk::MemDisk;
use bytes::Bytes;
use weir_types::{
    Batch, BatchHeader, BatchMeta, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Sequence, TimestampMs, TopicId,
    batch::{HEADER_BYTES, write_header},
};

const ROUTE: ShardId = ShardId(0);

fn append(store: &mut InlineStore, partition: StorePartition, base: i64) -> Vec<LogEvent> {
    let mut bytes = vec![base as u8; HEADER_BYTES + 500];
    let header = BatchHeader {
        base_offset: Offset(base),
        size_bytes: bytes.len(),
        leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: 0,
        last_offset_delta: 0,
        base_timestamp: TimestampMs(base),
        max_timestamp: TimestampMs(base),
        producer_id: ProducerId(-1),
        producer_epoch: ProducerEpoch(-1),
        base_sequence: Sequence(-1),
        record_count: 1,
    };
    write_header(&mut bytes, &header);
    let batch = Batch::parse(&Bytes::from(bytes)).unwrap();
    let meta = BatchMeta::of(&batch.header(), TimestampMs(base));
    store.submit(
        ROUTE,
        LogCommand::Append {
            partition,
            batch,
            meta,
        },
    );
    let events = store.step_all();
    events.into_iter().map(|(_, event)| event).collect()
}

fn opened(disk: &MemDisk) -> (InlineStore, StorePartition) {
    let config = StoreConfig {
        lanes: 1,
        lane_file_bytes: 1 << 16,
        ..StoreConfig::default()
    };
    let (mut store, _) = InlineStore::open(config, Arc::new(disk.clone())).unwrap();
    let replicas = vec![(TopicId([1; 16]), PartitionIndex(0))];
    store.submit(ROUTE, LogCommand::Open { replicas });
    match store.step_all().pop() {
        Some((_, LogEvent::Opened { partition, .. })) => (store, partition),
        other => panic!("{other:?}"),
    }
}

/// I-STO-8: a read whose file failed under it looks in the book again; one whose file is damaged
/// does not.
#[test]
fn a_read_looks_again_when_its_file_failed() {
    let disk = MemDisk::new();
    let (mut store, partition) = opened(&disk);
    append(&mut store, partition, 0);
    let stretch = store.core.stretch(partition, Offset(0), 1).unwrap();
    let stretch = stretch.unwrap();
    assert_eq!(store.core.fetch(&stretch).unwrap().len(), 1);
    assert!(!store.core.is_elsewhere(partition, &stretch));
    disk.fail_sync(1);
    let events = append(&mut store, partition, 1);
    assert!(matches!(events[..], [LogEvent::Failed { .. }]));
    assert!(store.core.is_elsewhere(partition, &stretch));
    let again = store.core.stretch(partition, Offset(0), 1).unwrap();
    assert_eq!(store.core.fetch(&again.unwrap()).unwrap().len(), 1);
}

/// I-STO-7: a file that cannot be sealed keeps no other from being entered as sealed.
#[test]
fn one_file_that_cannot_be_sealed_holds_up_no_other() {
    let disk = MemDisk::new();
    let (mut store, partition) = opened(&disk);
    let mut rolled = Vec::new();
    for base in 0..3 {
        append(&mut store, partition, base);
        store.roll();
        let book = store.core.book();
        let last = book.files.last_key_value();
        rolled.extend(last.map(|(id, info)| (*id, info.row)));
    }
    // The handle of the second is gone, and so is what it was opened on.
    let (second, row) = rolled[1];
    assert!(store.core.files.close(second).unwrap());
    let name = crate::catalog::file_name(second, &row);
    disk.put(&name, b"not what was there");
    assert!(store.core.seal_rolled().unwrap());
    let state = |id: u32| store.core.book().files.get(&id).map(|info| info.state);
    use crate::book::FileState::{Rolled, Sealed};
    assert_eq!(state(rolled[0].0), Some(Sealed));
    assert_eq!(state(second), Some(Rolled));
    assert_eq!(state(rolled[2].0), Some(Sealed));
    let catalog = store.core.catalog().sealed_files().unwrap();
    assert_eq!(catalog, [rolled[0].0, rolled[2].0]);
}

/// I-STO-12: entries of batches leave memory when their file is rewritten.
#[test]
fn memory_holds_entries_of_files_that_are_not_rewritten() {
    let disk = MemDisk::new();
    let (mut store, partition) = opened(&disk);
    for base in 0..300 {
        append(&mut store, partition, base);
    }
    let slots = |store: &InlineStore| {
        store
            .core
            .book()
            .parts
            .get(&partition)
            .map(|p| p.slots.len())
    };
    assert_eq!(slots(&store), Some(300));
    store.roll();
    while store.step_rewrite() != RewriteStep::Idle {}
    assert_eq!(slots(&store), Some(0));
    append(&mut store, partition, 300);
    assert_eq!(slots(&store), Some(1));
}
