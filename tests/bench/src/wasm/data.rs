//! The records that are measured: orders in JSON.

use weir_plugin::Columns;
use weir_types::{Offset, TimestampMs};

/// The time of the first record.
pub(crate) const TIME_MS: i64 = 1_700_000_000_000;

/// So many orders of about this many bytes each, with a key and no headers. Half of the ids are
/// below 500.
pub(crate) fn columns(rows: usize, size: usize) -> Columns {
    let mut columns = Columns::default();
    for (place, row) in (0..).zip(0..rows) {
        let id = (row * 7_919 + 500) % 1_000;
        let key = format!("customer-{row}");
        let mut value = format!(
            r#"{{"id":{id},"email":"a{row}@example.org","card":"4111111111111111","note":""#
        );
        while value.len() + 2 < size {
            value.push(char::from(
                b'a' + u8::try_from(value.len() % 26).unwrap_or(0),
            ));
        }
        value.push_str("\"}");
        columns.push(
            Offset(place),
            TimestampMs(TIME_MS + place),
            Some(key.as_bytes()),
            Some(value.as_bytes()),
            std::iter::empty(),
        );
    }
    columns.finish();
    columns
}
