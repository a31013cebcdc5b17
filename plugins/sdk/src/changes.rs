//! What a transform gives back, built row by row. Columns that nobody changes are never copied.

use crate::batch::{Batch, Row, range};
use crate::bindings::transform::weir::plugin::records as wit;
use crate::column;

/// What a transform gives back.
#[derive(Clone, Debug)]
pub struct Output {
    pub(crate) columns: wit::Output,
}

impl Output {
    /// An output of these columns, for plugins that build them by themselves.
    #[must_use]
    pub const fn new(columns: wit::Output) -> Self {
        Self { columns }
    }

    /// Everything stays as it is.
    #[must_use]
    pub const fn unchanged() -> Self {
        Self {
            columns: wit::Output {
                rows: None,
                timestamps: None,
                keys: None,
                values: None,
                headers: None,
                outputs: None,
                refusals: Vec::new(),
            },
        }
    }
}

/// The changes to a batch. Go through its rows in order and [`keep`](Self::keep) or
/// [`refuse`](Self::refuse) them; a row that is neither kept nor refused is dropped.
///
/// ```
/// # use weir_plugin_sdk::{Batch, Changes, Output};
/// # fn transform(batch: &Batch) -> Result<Output, String> {
/// let mut changes = Changes::of(batch);
/// for row in batch.iter() {
///     match row.value() {
///         None => changes.refuse(row, "there is no value"),
///         Some(value) if value.is_empty() => {} // dropped
///         Some(value) => {
///             let loud = value.to_ascii_uppercase();
///             changes.keep(row).value(Some(&loud)).add_header("loud", Some(b"yes"));
///         }
///     }
/// }
/// changes.finish()
/// # }
/// ```
#[derive(Debug)]
pub struct Changes<'a> {
    batch: &'a Batch,
    /// The first row that was not yet decided.
    next: usize,
    rows: Vec<u32>,
    refusals: Vec<wit::Refusal>,
    timestamps: Option<Vec<i64>>,
    keys: Option<wit::BytesColumn>,
    values: Option<wit::BytesColumn>,
    headers: Option<wit::HeadersColumn>,
    outputs: Option<Vec<u32>>,
    /// The first row that was decided twice or out of order.
    misplaced: Option<usize>,
}

impl<'a> Changes<'a> {
    /// No changes yet, and no row kept.
    #[must_use]
    pub fn of(batch: &'a Batch) -> Self {
        Self {
            batch,
            next: 0,
            rows: Vec::with_capacity(batch.len()),
            refusals: Vec::new(),
            timestamps: None,
            keys: None,
            values: None,
            headers: None,
            outputs: None,
            misplaced: None,
        }
    }

    fn decide(&mut self, row: Row<'_>) -> u32 {
        if row.index() < self.next {
            self.misplaced.get_or_insert(row.index());
        }
        self.next = row.index() + 1;
        u32::try_from(row.index()).expect("a batch has fewer than 2^32 records")
    }

    /// Keeps a row; what comes back can change it.
    pub fn keep(&mut self, row: Row<'_>) -> Kept<'_, 'a> {
        let index = self.decide(row);
        self.rows.push(index);
        Kept { changes: self }
    }

    /// Drops a row. The same as doing nothing with it, for code that wants to say so.
    pub fn drop(&mut self, row: Row<'_>) {
        self.decide(row);
    }

    /// Refuses a row: the attachment's policy says whether it is left out, goes to another topic
    /// or stops everything.
    pub fn refuse(&mut self, row: Row<'_>, reason: impl Into<String>) {
        let row = self.decide(row);
        self.refusals.push(wit::Refusal {
            row,
            reason: reason.into(),
        });
    }

    /// The output.
    ///
    /// # Errors
    /// If rows were decided twice or out of order: a mistake in the plugin.
    pub fn finish(mut self) -> Result<Output, String> {
        if let Some(row) = self.misplaced {
            return Err(format!(
                "the plugin decided about row {row} twice, or after a later one"
            ));
        }
        let kept = self.rows.len();
        if let Some(timestamps) = &mut self.timestamps {
            fill_list(timestamps, &self.rows, kept, |row| {
                self.batch.columns.timestamps[row]
            });
        }
        if let Some(keys) = &mut self.keys {
            fill(keys, &self.batch.columns.keys, &self.rows, kept);
        }
        if let Some(values) = &mut self.values {
            fill(values, &self.batch.columns.values, &self.rows, kept);
        }
        if let Some(headers) = &mut self.headers {
            fill_headers(headers, &self.batch.columns.headers, &self.rows, kept);
        }
        if let Some(outputs) = &mut self.outputs {
            outputs.resize(kept, 0);
        }
        let all = kept == self.batch.len();
        Ok(Output {
            columns: wit::Output {
                rows: (!all).then_some(self.rows),
                timestamps: self.timestamps,
                keys: self.keys,
                values: self.values,
                headers: self.headers,
                outputs: self.outputs,
                refusals: self.refusals,
            },
        })
    }
}

/// A row that stays, and may change. What is not called stays as it was.
#[derive(Debug)]
pub struct Kept<'c, 'a> {
    changes: &'c mut Changes<'a>,
}

impl Kept<'_, '_> {
    /// Another timestamp, in milliseconds since 1970.
    pub fn timestamp(&mut self, timestamp: i64) -> &mut Self {
        let Changes {
            batch,
            rows,
            timestamps,
            ..
        } = &mut *self.changes;
        let list = timestamps.get_or_insert_with(Vec::new);
        let last = rows.len() - 1;
        list.truncate(last);
        fill_list(list, rows, last, |row| batch.columns.timestamps[row]);
        list.push(timestamp);
        self
    }

    /// Another key.
    pub fn key(&mut self, key: Option<&[u8]>) -> &mut Self {
        let Changes {
            batch, rows, keys, ..
        } = &mut *self.changes;
        set(keys, &batch.columns.keys, rows, key);
        self
    }

    /// Another value.
    pub fn value(&mut self, value: Option<&[u8]>) -> &mut Self {
        let Changes {
            batch,
            rows,
            values,
            ..
        } = &mut *self.changes;
        set(values, &batch.columns.values, rows, value);
        self
    }

    /// One more header, after those that are there.
    pub fn add_header(&mut self, name: &str, value: Option<&[u8]>) -> &mut Self {
        let Changes {
            batch,
            rows,
            headers,
            ..
        } = &mut *self.changes;
        let headers = headers.get_or_insert_with(empty_headers);
        fill_headers(headers, &batch.columns.headers, rows, rows.len());
        column::push(&mut headers.names, Some(name.as_bytes()));
        column::push(&mut headers.values, value);
        close_row(headers);
        self
    }

    /// These headers, and no others.
    pub fn set_headers<'h>(
        &mut self,
        all: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> &mut Self {
        let Changes {
            batch,
            rows,
            headers,
            ..
        } = &mut *self.changes;
        let headers = headers.get_or_insert_with(empty_headers);
        fill_headers(headers, &batch.columns.headers, rows, rows.len());
        let last = rows.len() - 1;
        while headers.names.ends.len() > column::start(&headers.ends, last) {
            column::pop(&mut headers.names);
            column::pop(&mut headers.values);
        }
        for (name, value) in all {
            column::push(&mut headers.names, Some(name.as_bytes()));
            column::push(&mut headers.values, value);
        }
        close_row(headers);
        self
    }

    /// In a router job: the place, from 0, of the topic it goes to among the job's. Rows for
    /// which this is not called go to the first.
    pub fn output(&mut self, place: u32) -> &mut Self {
        let Changes { rows, outputs, .. } = &mut *self.changes;
        let list = outputs.get_or_insert_with(Vec::new);
        list.resize(rows.len() - 1, 0);
        list.push(place);
        self
    }
}

const fn empty_headers() -> wit::HeadersColumn {
    const NONE: wit::BytesColumn = wit::BytesColumn {
        ends: Vec::new(),
        data: Vec::new(),
        nulls: Vec::new(),
    };
    wit::HeadersColumn {
        ends: Vec::new(),
        names: NONE,
        values: NONE,
    }
}

/// Ends the last row of headers where the names end now.
fn close_row(headers: &mut wit::HeadersColumn) {
    if let Some(end) = headers.ends.last_mut() {
        *end = u32::try_from(headers.names.ends.len()).expect("fewer than 2^32 headers");
    }
}

fn set(
    column: &mut Option<wit::BytesColumn>,
    original: &wit::BytesColumn,
    rows: &[u32],
    bytes: Option<&[u8]>,
) {
    let column =
        column.get_or_insert_with(|| column::with_room(original.ends.len(), original.data.len()));
    let last = rows.len() - 1;
    if column.ends.len() > last {
        column::pop(column);
    }
    fill(column, original, rows, last);
    column::push(column, bytes);
}

fn fill_list(list: &mut Vec<i64>, rows: &[u32], to: usize, original: impl Fn(usize) -> i64) {
    let from = list.len();
    list.extend(rows[from..to].iter().map(|row| original(*row as usize)));
}

/// Adds what kept rows had, up to but without the `to`th; neighbours in one copy.
fn fill(column: &mut wit::BytesColumn, original: &wit::BytesColumn, rows: &[u32], to: usize) {
    for (first, end) in runs(&rows[..to], column.ends.len()) {
        column::extend(column, original, first, end);
    }
}

fn fill_headers(
    headers: &mut wit::HeadersColumn,
    original: &wit::HeadersColumn,
    rows: &[u32],
    to: usize,
) {
    for (first, end) in runs(&rows[..to], headers.ends.len()) {
        let from = column::start(&original.ends, first);
        let upto = range(&original.ends, end - 1).1;
        let base = headers.names.ends.len();
        column::extend(&mut headers.names, &original.names, from, upto);
        column::extend(&mut headers.values, &original.values, from, upto);
        for row in first..end {
            let count = base + range(&original.ends, row).1 - from;
            headers.ends.push(count as u32);
        }
    }
}

/// The kept rows from the `from`th on, as runs of neighbours.
fn runs(rows: &[u32], from: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let first = *rows.get(at)? as usize;
        let begin = at;
        while rows
            .get(at)
            .is_some_and(|row| *row as usize == first + (at - begin))
        {
            at += 1;
        }
        Some((first, first + (at - begin)))
    })
}
