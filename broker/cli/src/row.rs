//! A consumed record as the printers see it: borrowed from its batch, with its place spelt out.
//! Only a view; nothing is copied.

use weir_client::{FetchedBatch, RecordHeader};
use weir_types::batch::Record;

/// One record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// Whether that is the broker's time and not the producer's.
    pub(crate) is_log_append_time: bool,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [RecordHeader<'a>],
}

impl<'a> Row<'a> {
    /// The view of a record of this batch.
    pub(crate) fn new(
        batch: &'a FetchedBatch,
        (offset, timestamp, record): (i64, i64, &Record<'a>),
        headers: &'a [RecordHeader<'a>],
    ) -> Self {
        Self {
            topic: &batch.partition().topic,
            partition: batch.partition().partition.0,
            offset,
            timestamp,
            is_log_append_time: batch.header().is_log_append_time(),
            key: record.key,
            value: record.value,
            headers,
        }
    }
}
