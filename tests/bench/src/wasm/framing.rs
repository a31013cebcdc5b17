//! What stands around every transform, whatever runs it: records to columns, the rules for what
//! comes back, and columns to records.

use crate::{
    data,
    native::Native,
    turns::{measure, quantile},
};
use anyhow::Result;
use mask_fields::MaskFields;
use std::hint::black_box;
use weir_plugin::{Author, Columns, Output, Place, Staying, check, compose, rebuild};
use weir_types::Offset;

/// Prints the table.
pub(crate) fn print(rounds: usize) -> Result<()> {
    println!("\nrecords to columns and back, one field masked: ns a record (median)");
    println!("  record B  batch  to columns  rules  rebuilt with CRC");
    for size in crate::SIZES {
        for rows in crate::BATCHES {
            let [read, rules, rebuilt] = line(rows, size, rounds)?;
            println!("  {size:>8}  {rows:>5}  {read:>10.0}  {rules:>5.1}  {rebuilt:>16.0}");
        }
    }
    Ok(())
}

fn line(rows: usize, size: usize, rounds: usize) -> Result<[f64; 3]> {
    let columns = data::columns(rows, size);
    let unchanged = Output::default();
    let places: Vec<u32> = (0..).take(rows).collect();
    let batch = compose(&Staying::new(&columns, &unchanged), &places, Author::NOBODY);
    let masked = Native::<MaskFields>::new(&[("fields", "card")])?.with_copies(&columns)?;
    // As in the broker: memory of the batch before is used again.
    let mut reused = Columns::default();
    let samples = measure(
        rows,
        rounds,
        [
            &mut || Ok(reused.fill(batch.payload(), &batch.header, Offset::ZERO)?),
            &mut || Ok(check(black_box(&masked), &columns, Place::Batch)?),
            &mut || {
                let rebuilt = rebuild(&batch.header, Offset::ZERO, &columns, &masked);
                black_box(rebuilt.finish());
                Ok(())
            },
        ],
    )?;
    Ok(samples.map(|sample| quantile(&sample, 0.5)))
}
