//! What a router job must give: a function of every record, without a job around it.

use super::truth::RecordKey;
use crate::{
    checks::{corruption, routing},
    client::job::OUTPUT_PARTITIONS,
    violation::Checked,
};
use std::collections::{BTreeMap, BTreeSet};
use weir_types::{
    BatchHeader,
    batch::{payload, records},
};

/// A record of the output: which of the source it was made of, and by which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The source's partition.
    pub source: i32,
    /// Its offset there.
    pub offset: i64,
    /// The plugin's version.
    pub version: u8,
}

/// Where a record goes, in every version of the plugin; nothing: it is left out.
#[must_use]
pub fn native(record: RecordKey) -> Option<i32> {
    let number = record.counter.wrapping_mul(31) + u64::from(record.lane.0);
    let partitions = u64::from(OUTPUT_PARTITIONS.unsigned_abs());
    (!number.is_multiple_of(5)).then(|| i32::try_from(number / 2 % partitions).unwrap_or(0))
}

impl Row {
    /// The record's value.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.source.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.offset.to_be_bytes());
        bytes.push(self.version);
        bytes
    }

    /// The rows of a batch.
    ///
    /// # Errors
    /// Where one is nothing that a job wrote.
    pub fn of(batch: &[u8], header: &BatchHeader) -> Checked<Vec<Self>> {
        let mut rows = Vec::new();
        for record in records(payload(batch, header), header.record_count) {
            let value = record.ok().and_then(|record| record.value);
            let row = value.and_then(|value| {
                let (source, rest) = value.split_first_chunk()?;
                let (offset, rest) = rest.split_first_chunk()?;
                Some(Self {
                    source: i32::from_be_bytes(*source),
                    offset: i64::from_be_bytes(*offset),
                    version: *rest.first()?,
                })
            });
            match row {
                Some(row) => rows.push(row),
                None => return corruption::PROMISE.broken("a record that no job wrote"),
            }
        }
        Ok(rows)
    }
}

/// Holds what a job wrote against what the plugin makes of its source.
///
/// # Errors
/// Where something is missing, doubled, elsewhere or out of order.
pub fn finally(source: &[Vec<(i64, RecordKey)>], output: &[Vec<Row>]) -> Checked {
    let mut due: BTreeMap<(i32, i64), i32> = BTreeMap::new();
    for (partition, rows) in (0..).zip(source) {
        for (offset, record) in rows {
            if let Some(target) = native(*record) {
                due.insert((partition, *offset), target);
            }
        }
    }
    let mut seen = BTreeSet::new();
    let mut versions: BTreeMap<(i32, i64), u8> = BTreeMap::new();
    for (partition, rows) in (0..).zip(output) {
        let mut last: BTreeMap<i32, i64> = BTreeMap::new();
        for row in rows {
            let place = (row.source, row.offset);
            routing::once(seen.insert(place), due.get(&place).copied(), partition, row)?;
            routing::in_order(last.insert(row.source, row.offset), row)?;
            versions.insert(place, row.version);
        }
    }
    routing::all(due.keys().find(|place| !seen.contains(*place)))?;
    let mut newest: BTreeMap<i32, u8> = BTreeMap::new();
    for ((source, offset), version) in versions {
        routing::forward(newest.insert(source, version), version, source, offset)?;
    }
    Ok(())
}
