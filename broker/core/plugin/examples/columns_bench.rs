//! What it costs to make columns of a batch and a batch of columns, in nanoseconds a record.

use std::time::Instant;
use weir_plugin::{Author, Columns, Output, Staying, compose, rebuild};
use weir_types::{BatchHeader, Offset, TimestampMs};

fn main() {
    for bytes in [100, 1000] {
        for rows in [1, 100, 1000] {
            measure(rows, bytes);
        }
    }
}

fn measure(rows: u32, bytes: usize) {
    let mut columns = Columns::default();
    let value = vec![b'v'; bytes];
    for row in 0..rows {
        let key = row.to_be_bytes();
        let none = core::iter::empty();
        columns.push(
            Offset(row.into()),
            TimestampMs(row.into()),
            Some(&key),
            Some(&value),
            none,
        );
    }
    columns.finish();
    let all: Vec<u32> = (0..rows).collect();
    let same = Output::default();
    let batch = compose(&Staying::new(&columns, &same), &all, Author::NOBODY);
    let (payload, header) = (batch.payload().to_vec(), batch.header);
    let rounds = 2_000_000 / rows;
    let mut there = Columns::default();
    let began = Instant::now();
    for _ in 0..rounds {
        if let Err(error) = there.fill(&payload, &header, Offset(0)) {
            println!("{error}");
        }
    }
    let read = began.elapsed();
    let began = Instant::now();
    let mut written = 0;
    for _ in 0..rounds {
        written += back(&header, &there, &same);
    }
    let write = began.elapsed();
    let each = |time: std::time::Duration| time.as_nanos() as f64 / f64::from(rounds * rows);
    println!(
        "{rows} records of {bytes} B: to columns {:.1} ns, back {:.1} ns a record ({written})",
        each(read),
        each(write)
    );
}

fn back(header: &BatchHeader, columns: &Columns, output: &Output) -> usize {
    rebuild(header, Offset(0), columns, output).payload().len()
}
