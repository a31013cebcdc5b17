//! Columns hold what the records of a batch hold, both ways, and holes stay where records went.

mod common;

use common::{Row, batch, changed, columns, output, rows, rows_of, staying};
use proptest::prelude::*;
use weir_plugin::{
    Author, Columns, Failure, FailureKind, Output, Place, Staying, check, compose,
    place::{ascending_base, place, sequence_of},
    rebuild, stepping_stone,
};
use weir_types::{BatchHeader, Offset, Sequence, TimestampMs, batch::HEADER_BYTES};

proptest! {
    #[test]
    fn a_batch_that_nothing_changes_comes_back_byte_for_byte(rows in rows(40)) {
        let (bytes, header) = batch(&rows);
        let columns = Columns::read(&bytes[HEADER_BYTES..], &header, Offset(9)).expect("reads");
        prop_assert_eq!(columns.rows(), rows.len());
        let same = rebuild(&header, Offset(9), &columns, &Output::default());
        prop_assert_eq!(same.payload(), &bytes[HEADER_BYTES..]);
        prop_assert_eq!(same.finish(), bytes);
    }

    #[test]
    fn what_a_plugin_changes_is_written_and_holes_stay(rows in rows(40), salt in 0..4u8) {
        let (bytes, header) = batch(&rows);
        let columns = Columns::read(&bytes[HEADER_BYTES..], &header, Offset(0)).expect("reads");
        let output = output(&rows, salt);
        prop_assert_eq!(check(&output, &columns, Place::Batch), Ok(()));
        let wanted: Vec<Row> = rows.iter().filter_map(|row| changed(row, salt)).collect();
        prop_assert_eq!(staying(&columns, &output), wanted.clone());
        let (found, new) = rows_of(&rebuild(&header, Offset(0), &columns, &output).finish(), 0);
        let largest = wanted.iter().map(|row| row.timestamp).max();
        // A batch that came without records keeps what it says; one that loses them says none.
        let without = if rows.is_empty() { header.max_timestamp } else { TimestampMs::NONE };
        let unchanged = BatchHeader {
            size_bytes: new.size_bytes,
            crc: new.crc,
            record_count: i32::try_from(wanted.len()).expect("small"),
            max_timestamp: largest.map_or(without, TimestampMs),
            ..header
        };
        prop_assert_eq!(new, unchanged);
        prop_assert_eq!(found, wanted.clone());

        let next = columns.apply(output);
        prop_assert_eq!(staying(&next, &Output::default()), wanted);
    }

    #[test]
    fn a_chain_is_its_links_one_after_the_other(rows in rows(30), salts in any::<[u8; 2]>()) {
        let (_, header) = batch(&rows);
        let given = columns(&rows, 0);
        let first: Vec<Row> = rows.iter().filter_map(|row| changed(row, salts[0])).collect();
        let second: Vec<Row> = first.iter().filter_map(|row| changed(row, salts[1])).collect();
        let between = given.apply(output(&rows, salts[0]));
        let last = output(&first, salts[1]);
        let (found, _) = rows_of(&rebuild(&header, Offset(0), &between, &last).finish(), 0);
        prop_assert_eq!(found, second);
    }

    #[test]
    fn parts_of_a_placed_batch_hold_every_record_once_and_in_order(
        rows in rows(30),
        chosen in proptest::collection::vec(0..5u32, 30),
    ) {
        let rows: Vec<Row> = (0..).zip(rows).map(|(offset, row)| Row { offset, ..row }).collect();
        let (_, header) = batch(&rows);
        let columns = columns(&rows, 0);
        let parts = place(&header, &columns, &chosen[..rows.len()]);
        let mut seen = 0;
        for part in parts {
            let mine: Vec<&Row> =
                rows.iter().zip(&chosen).filter(|(_, to)| **to == part.partition).map(|(row, _)| row).collect();
            let (found, new) = rows_of(&part.batch.finish(), 0);
            seen += found.len();
            prop_assert_eq!(new.last_offset_delta + 1, new.record_count);
            prop_assert_eq!(found.len(), mine.len());
            for ((at, found), mine) in (0..).zip(&found).zip(&mine) {
                prop_assert_eq!(found, &Row { offset: at, ..(*mine).clone() });
            }
            let last = i32::try_from(mine.last().expect("not empty").offset).expect("small");
            let last = header.base_sequence.plus(last);
            prop_assert_eq!(new.base_sequence.plus(new.record_count - 1), last);
        }
        prop_assert_eq!(seen, rows.len());
    }

    #[test]
    fn bytes_that_are_no_records_are_refused_and_nothing_more(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        count in 1..2_000_000_000i32,
    ) {
        let (_, header) = batch(&[]);
        let header = BatchHeader { record_count: count, ..header };
        if let Ok(columns) = Columns::read(&bytes, &header, Offset(0)) {
            prop_assert_eq!(columns.rows(), usize::try_from(count).expect("positive"));
        }
    }
}

fn row(offset: i64, value: &str) -> Row {
    Row {
        offset,
        timestamp: 1000 + offset,
        key: None,
        value: Some(value.into()),
        headers: Vec::new(),
    }
}

#[test]
fn a_batch_that_is_emptied_stays_as_an_empty_one() {
    let (_, header) = batch(&[row(0, "a"), row(1, "b")]);
    let header = BatchHeader {
        attributes: 4,
        ..header
    };
    let columns = columns(&[row(0, "a"), row(1, "b")], 0);
    let nothing = Output {
        rows: Some(Vec::new()),
        ..Output::default()
    };
    let empty = rebuild(&header, Offset(0), &columns, &nothing).finish();
    let new = BatchHeader::read(&empty).expect("a header");
    assert_eq!((empty.len(), new.record_count), (HEADER_BYTES, 0));
    assert_eq!(new.last_offset_delta, header.last_offset_delta);
    assert_eq!(new.base_sequence, header.base_sequence);
    assert_eq!(new.max_timestamp, TimestampMs::NONE);
    assert_eq!(new.attributes, 0);
}

#[test]
fn a_stepping_stone_is_one_control_record_at_the_last_offset() {
    let (_, first) = batch(&[row(0, "a")]);
    let first = BatchHeader {
        base_offset: Offset(40),
        attributes: 4,
        record_count: 0,
        ..first
    };
    let last = BatchHeader {
        base_offset: Offset(100),
        last_offset_delta: 9,
        max_timestamp: TimestampMs(777),
        ..first
    };
    let (rows, stone) = rows_of(&stepping_stone(&first, &last), 40);
    assert_eq!(
        (stone.base_offset, stone.last_offset()),
        (Offset(40), Offset(109))
    );
    assert!(stone.is_control() && !stone.producer_id.is_some());
    let [row] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!((row.offset, row.timestamp), (109, 777));
    // Version 0, commit.
    assert_eq!(row.key.as_deref(), Some(&[0, 0, 0, 1][..]));
}

#[test]
fn log_append_time_counts_until_a_plugin_sets_timestamps() {
    let (_, header) = batch(&[row(0, "a")]);
    let header = BatchHeader {
        attributes: 8,
        max_timestamp: TimestampMs(77),
        ..header
    };
    let (bytes, _) = batch(&[row(0, "a")]);
    let columns = Columns::read(&bytes[HEADER_BYTES..], &header, Offset(0)).expect("reads");
    assert_eq!(columns.timestamps, [77]);
    let same = rebuild(&header, Offset(0), &columns, &Output::default());
    assert_eq!(
        (same.header.attributes, same.header.max_timestamp),
        (8, TimestampMs(77))
    );
    let set = Output {
        timestamps: Some(vec![99]),
        ..Output::default()
    };
    let set = rebuild(&header, Offset(0), &columns, &set);
    assert_eq!(
        (set.header.attributes, set.header.max_timestamp),
        (0, TimestampMs(99))
    );
}

#[test]
fn a_composed_batch_says_whose_it_is() {
    let columns = columns(&[row(0, "a"), row(1, "b"), row(2, "c")], 0);
    let output = Output::default();
    let staying = Staying::new(&columns, &output);
    let (found, header) = rows_of(&compose(&staying, &[0, 2], Author::NOBODY).finish(), 5);
    assert_eq!(
        found,
        [row(0, "a"), row(2, "c")].map(|row| Row {
            offset: 5 + row.offset / 2,
            ..row
        })
    );
    assert!(!header.producer_id.is_some());
    assert_eq!(header.base_sequence, Sequence(-1));
    assert_eq!(header.max_timestamp, TimestampMs(1002));
}

#[test]
fn sequences_wrap_below_two_to_the_31() {
    assert_eq!(ascending_base(Sequence(1), 4), Sequence(i32::MAX - 1));
    assert_eq!(ascending_base(Sequence(7), 1), Sequence(7));
    assert_eq!(sequence_of(Offset((1 << 31) + 5)), Sequence(5));
}

#[test]
fn dead_letters_say_what_was_wrong_and_where_they_come_from() {
    use weir_plugin::{Origin, Trouble, dead_letters};
    let columns = columns(&[row(0, "a"), row(3, "b")], 100);
    let trouble = Trouble {
        offset: Offset(103),
        plugin: "mask@1.0.0".into(),
        kind: FailureKind::Trapped,
        message: Failure::new(FailureKind::Trapped, &"é".repeat(1000)).message,
    };
    assert_eq!(trouble.message.len(), 1024);
    let origin = Origin {
        topic: "orders",
        partition: 2,
        appended: true,
    };
    let letters = dead_letters(&columns, &[trouble], origin);
    let [letter] = &staying(&letters, &Output::default())[..] else {
        panic!("one letter");
    };
    assert_eq!(letter.value, Some(b"b".to_vec()));
    assert_eq!(letter.timestamp, 1003);
    let names: Vec<&str> = letter
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "__weir.error",
            "__weir.error.kind",
            "__weir.plugin",
            "__weir.origin.topic",
            "__weir.origin.partition",
            "__weir.origin.offset",
        ]
    );
    let values: Vec<&[u8]> = letter.headers[1..]
        .iter()
        .filter_map(|(_, value)| value.as_deref())
        .collect();
    assert_eq!(
        values,
        [&b"trapped"[..], b"mask@1.0.0", b"orders", b"2", b"103"]
    );
}
