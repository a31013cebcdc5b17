//! Every rule for what a plugin gives back, each with its own text; and the search for culprits.

mod common;

use common::{Row, changed, columns, output, rows, staying};
use proptest::prelude::*;
use weir_plugin::{
    Bisection, BytesColumn, Columns, Failure, FailureKind, HeadersColumn, Output, Place, Refusal,
    check, check_partitions, limits::BISECTION_RUNS_MAX,
};

fn three() -> Columns {
    let row = |offset: i64| Row {
        offset,
        timestamp: 1000,
        key: None,
        value: Some(vec![b'v'; 10]),
        headers: Vec::new(),
    };
    columns(&[row(0), row(1), row(2)], 0)
}

fn bytes(ends: &[u32], data: &[u8], nulls: &[u8]) -> BytesColumn {
    BytesColumn {
        ends: ends.into(),
        data: data.into(),
        nulls: nulls.into(),
    }
}

fn headers(names: BytesColumn) -> HeadersColumn {
    let count = u32::try_from(names.len()).expect("few");
    HeadersColumn {
        ends: vec![0, 0, count],
        values: bytes(&vec![0; names.len()], b"", b""),
        names,
    }
}

fn told(output: &Output, place: Place) -> String {
    check(output, &three(), place).map_or_else(|error| error.to_string(), |()| "passes".into())
}

fn refusal(row: u32) -> Refusal {
    Refusal {
        row,
        reason: "no".into(),
    }
}

fn rows_only(rows: &[u32]) -> Output {
    Output {
        rows: Some(rows.into()),
        ..Output::default()
    }
}

fn values(values: BytesColumn) -> Output {
    Output {
        values: Some(values),
        ..Output::default()
    }
}

fn named(names: BytesColumn) -> Output {
    Output {
        headers: Some(headers(names)),
        ..Output::default()
    }
}

fn outputs(outputs: &[u32]) -> Output {
    Output {
        outputs: Some(outputs.into()),
        ..Output::default()
    }
}

fn refused(rows: &[u32], refusals: &[u32]) -> Output {
    Output {
        refusals: refusals.iter().copied().map(refusal).collect(),
        ..rows_only(rows)
    }
}

fn tell(cases: &[(Output, &str)], place: Place) {
    for (output, wanted) in cases {
        let told = told(output, place);
        assert!(told.contains(wanted), "'{told}' should say '{wanted}'");
    }
}

#[test]
fn rows_and_refusals_that_break_a_rule_are_told_which() {
    let cases = [
        (Output::default(), "passes"),
        (rows_only(&[0, 2]), "passes"),
        (rows_only(&[]), "passes"),
        (rows_only(&[1, 1]), "row 1 follows row 1"),
        (rows_only(&[2, 0]), "row 0 follows row 2"),
        (rows_only(&[0, 3]), "rows names row 3, but the batch has 3"),
        (refused(&[0, 1], &[2]), "passes"),
        (refused(&[0, 1], &[3]), "refusals names row 3"),
        (refused(&[0, 1], &[1]), "row 1 is refused and stays"),
        (refused(&[0], &[1, 1]), "row 1 is refused twice"),
        (
            Output {
                refusals: vec![refusal(0)],
                ..Output::default()
            },
            "rows must say which rows stay",
        ),
        (outputs(&[0, 0, 0]), "outputs are for router jobs"),
    ];
    tell(&cases, Place::Batch);
    let cases = [
        (outputs(&[0, 1, 0]), "passes"),
        (
            outputs(&[0, 2, 0]),
            "outputs names topic 2, but the job writes to 2",
        ),
        (outputs(&[0]), "outputs has 1 entries"),
    ];
    tell(&cases, Place::Router { outputs: 2 });
}

#[test]
fn columns_that_break_a_rule_are_told_which() {
    let cases = [
        (
            values(bytes(&[1], b"x", b"")),
            "values has 1 entries, but 3 rows stay",
        ),
        (values(bytes(&[1, 0, 1], b"x", b"")), "entry 1 does"),
        (
            values(bytes(&[1, 1, 2], b"x", b"")),
            "last end of values is 2, but it has 1",
        ),
        (
            values(bytes(&[0, 0, 0], b"", &[7, 0])),
            "has 2 bytes, but 1 are enough",
        ),
        (values(bytes(&[0, 0, 0], b"", &[7])), "passes"),
        (
            values(bytes(&[0, 1, 1], b"x", &[2])),
            "entry 1 of values is null and has bytes",
        ),
        (
            values(bytes(&[0, 0, 2 << 20], &vec![b'x'; 2 << 20], b"")),
            "four times the input and 1 MiB",
        ),
        (
            Output {
                timestamps: Some(vec![0, -1, -2]),
                ..Output::default()
            },
            "timestamp -2 of entry 2",
        ),
        (named(bytes(&[1, 2], b"ab", b"")), "passes"),
        (named(bytes(&[0], b"", &[1])), "name of header 0 is null"),
        (
            named(bytes(&[1, 2], "é".as_bytes(), b"")),
            "name of header 0 is not UTF-8",
        ),
        (
            named(bytes(&[1, 2], b"a\xff", b"")),
            "name of header 1 is not UTF-8",
        ),
    ];
    tell(&cases, Place::Batch);
}

#[test]
fn partitions_are_as_many_as_keys_and_in_range() {
    assert_eq!(check_partitions(&[0, 1], 2, 2), Ok(()));
    let few = check_partitions(&[0], 2, 2).expect_err("too few");
    assert!(few.to_string().contains("1 partitions for 2 keys"));
    let far = check_partitions(&[0, 2], 2, 2).expect_err("out of range");
    assert!(far.to_string().contains("partition 2 for row 1"));
}

/// Runs the search with a plugin that fails on rows of which `bad` is true.
fn search(rows: &[Row], salt: u8, bad: impl Fn(&Row) -> bool) -> (weir_plugin::Verdict, u32) {
    let columns = columns(rows, 0);
    let failure = || Failure::new(FailureKind::Trapped, "it trapped");
    let mut search = Bisection::after(u32::try_from(rows.len()).expect("few"), failure());
    let mut runs = 0;
    while let Some(range) = search.rows() {
        runs += 1;
        let part = &rows[range.start as usize..range.end as usize];
        if part.iter().any(&bad) {
            search.failed(failure());
        } else {
            search.done(output(part, salt));
        }
    }
    (search.finish(&columns), runs)
}

proptest! {
    #[test]
    fn only_culprits_fail_and_the_others_are_as_without_them(
        rows in rows(60).prop_filter("a search begins with more than one", |rows| rows.len() > 1),
        salt in 0..4u8,
        bad in 1..20usize,
    ) {
        let columns = columns(&rows, 0);
        let is_bad = |row: &Row| row.offset % 20 == i64::try_from(bad).expect("small");
        let (verdict, runs) = search(&rows, salt, is_bad);
        prop_assert!(runs <= BISECTION_RUNS_MAX);
        prop_assert_eq!(check(&verdict.output, &columns, Place::Batch), Ok(()));
        let wanted: Vec<Row> =
            rows.iter().filter(|row| !is_bad(row)).filter_map(|row| changed(row, salt)).collect();
        prop_assert_eq!(staying(&columns, &verdict.output), wanted);
        let troubles = verdict.troubles(&columns, "p@1.0.0");
        let culprits: Vec<i64> = troubles.iter().map(|trouble| trouble.offset.0).collect();
        let wanted: Vec<i64> =
            rows.iter().filter(|row| is_bad(row)).map(|row| row.offset).collect();
        prop_assert_eq!(culprits, wanted);
    }
}

#[test]
fn one_culprit_of_a_thousand_takes_no_more_than_twenty_runs() {
    let rows: Vec<Row> = (0..1000)
        .map(|offset| Row {
            offset,
            timestamp: 0,
            key: None,
            value: Some(vec![1]),
            headers: Vec::new(),
        })
        .collect();
    let (verdict, runs) = search(&rows, 0, |row| row.offset == 500);
    assert!(runs <= 20, "{runs}");
    assert_eq!(verdict.failures.len(), 1);
    assert_eq!(verdict.failures[0].rows, 500..501);
    assert_eq!(verdict.output.rows.map(|rows| rows.len()), Some(999));
}

#[test]
fn a_search_among_too_many_culprits_ends() {
    let rows: Vec<Row> = (0..4000)
        .map(|offset| Row {
            offset,
            timestamp: 0,
            key: None,
            value: Some(vec![1]),
            headers: Vec::new(),
        })
        .collect();
    let (verdict, runs) = search(&rows, 0, |_| true);
    assert_eq!(runs, BISECTION_RUNS_MAX);
    let failed: u32 = verdict
        .failures
        .iter()
        .map(|failed| failed.rows.end - failed.rows.start)
        .sum();
    assert_eq!(failed, 4000);
}
