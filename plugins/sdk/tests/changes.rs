//! Whatever is done with rows, the output says the same as doing it to records one by one.

use proptest::prelude::*;
use std::cell::RefCell;
use weir_plugin_sdk::testing::{Record, transform};
use weir_plugin_sdk::{Batch, Changes, Description, Output, Parameters, Plugin, Transform};

/// What is done with one row.
#[derive(Clone, Debug)]
enum Deed {
    Keep,
    Leave,
    Drop,
    Refuse,
    Change(Vec<Edit>),
}

#[derive(Clone, Debug)]
enum Edit {
    Key(Option<Vec<u8>>),
    Value(Option<Vec<u8>>),
    Time(i64),
    Add(String, Option<Vec<u8>>),
    Set(Vec<(String, Option<Vec<u8>>)>),
    Output(u32),
}

thread_local! {
    static DEEDS: RefCell<Vec<Deed>> = const { RefCell::new(Vec::new()) };
}

struct Scripted;

impl Plugin for Scripted {
    fn describe() -> Description {
        Description::new("scripted", "1.0.0", "Does what a test says.")
    }

    fn configure(_: &Parameters) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Transform for Scripted {
    fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
        let mut changes = Changes::of(batch);
        for (row, deed) in batch.iter().zip(DEEDS.take()) {
            match deed {
                Deed::Leave => {}
                Deed::Drop => changes.drop(row),
                Deed::Refuse => changes.refuse(row, "no"),
                Deed::Keep => drop(changes.keep(row)),
                Deed::Change(edits) => {
                    let mut kept = changes.keep(row);
                    for edit in edits {
                        match edit {
                            Edit::Key(key) => kept.key(key.as_deref()),
                            Edit::Value(value) => kept.value(value.as_deref()),
                            Edit::Time(time) => kept.timestamp(time),
                            Edit::Add(name, value) => kept.add_header(&name, value.as_deref()),
                            Edit::Set(all) => {
                                let all = all.iter();
                                kept.set_headers(all.map(|(n, v)| (n.as_str(), v.as_deref())))
                            }
                            Edit::Output(place) => kept.output(place),
                        };
                    }
                }
            }
        }
        changes.finish()
    }
}

/// The same on records.
fn model(records: &[Record], deeds: &[Deed]) -> (Vec<u32>, Vec<Record>, Vec<u32>, Vec<u32>) {
    let (mut rows, mut kept, mut outputs, mut refused) = (vec![], vec![], vec![], vec![]);
    for ((row, record), deed) in (0..).zip(records).zip(deeds) {
        let edits: &[Edit] = match deed {
            Deed::Leave | Deed::Drop => continue,
            Deed::Refuse => {
                refused.push(row);
                continue;
            }
            Deed::Keep => &[],
            Deed::Change(edits) => edits,
        };
        let mut record = record.clone();
        let mut output = 0;
        for edit in edits.iter().cloned() {
            match edit {
                Edit::Key(key) => record.key = key,
                Edit::Value(value) => record.value = value,
                Edit::Time(time) => record.timestamp = time,
                Edit::Add(name, value) => record.headers.push((name, value)),
                Edit::Set(all) => record.headers = all,
                Edit::Output(place) => output = place,
            }
        }
        rows.push(row);
        kept.push(record);
        outputs.push(output);
    }
    (rows, kept, outputs, refused)
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..4))
}

fn headers() -> impl Strategy<Value = Vec<(String, Option<Vec<u8>>)>> {
    proptest::collection::vec(("[a-c]{0,2}", bytes()), 0..3)
}

fn deed() -> impl Strategy<Value = Deed> {
    let edit = prop_oneof![
        bytes().prop_map(Edit::Key),
        bytes().prop_map(Edit::Value),
        any::<i64>().prop_map(Edit::Time),
        ("[a-c]{0,2}", bytes()).prop_map(|(name, value)| Edit::Add(name, value)),
        headers().prop_map(Edit::Set),
        (0..4_u32).prop_map(Edit::Output),
    ];
    prop_oneof![
        3 => Just(Deed::Keep),
        1 => Just(Deed::Leave),
        1 => Just(Deed::Drop),
        1 => Just(Deed::Refuse),
        2 => proptest::collection::vec(edit, 0..4).prop_map(Deed::Change),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    (bytes(), bytes(), headers(), any::<i64>()).prop_map(|(key, value, headers, timestamp)| {
        Record {
            key,
            value,
            headers,
            timestamp,
        }
    })
}

proptest! {
    #[test]
    fn changes_are_what_they_say(script in proptest::collection::vec((record(), deed()), 0..24)) {
        let (records, deeds): (Vec<Record>, Vec<Deed>) = script.into_iter().unzip();
        let (rows, kept, outputs, refused) = model(&records, &deeds);
        DEEDS.set(deeds);
        let done = transform::<Scripted>(&[], &records).unwrap();
        prop_assert_eq!(done.rows, rows);
        prop_assert_eq!(done.records, kept);
        prop_assert_eq!(done.outputs, outputs);
        let names: Vec<u32> = done.refusals.iter().map(|(row, _)| *row).collect();
        prop_assert_eq!(names, refused);
    }
}

struct Twice;

impl Plugin for Twice {
    fn describe() -> Description {
        Description::new("twice", "1.0.0", "Decides twice about a row.")
    }

    fn configure(_: &Parameters) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Transform for Twice {
    fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
        let mut changes = Changes::of(batch);
        for row in batch {
            changes.keep(row);
            changes.drop(row);
        }
        changes.finish()
    }
}

#[test]
fn a_row_is_decided_once() {
    let error = transform::<Twice>(&[], &[Record::value("a")]).unwrap_err();
    assert_eq!(
        error,
        "the plugin decided about row 0 twice, or after a later one"
    );
}
