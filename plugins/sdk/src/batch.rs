//! A batch as rows: slices into its columns, nothing copied.

use crate::bindings::transform::weir::plugin::records as wit;
use crate::column;

/// The records of one batch of one partition.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) columns: wit::Batch,
}

impl Batch {
    /// A batch of these columns. They are trusted to be as long as one another, as the host
    /// makes them.
    #[must_use]
    pub const fn new(columns: wit::Batch) -> Self {
        Self { columns }
    }

    /// The topic the records are in, or go to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.columns.topic
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> u32 {
        self.columns.partition
    }

    /// How many records there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.columns.offsets.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.columns.offsets.is_empty()
    }

    /// The records, in order.
    #[must_use]
    pub const fn iter(&self) -> Rows<'_> {
        Rows {
            batch: self,
            index: 0,
        }
    }

    /// One record.
    #[must_use]
    pub const fn row(&self, index: usize) -> Option<Row<'_>> {
        if index < self.len() {
            Some(Row { batch: self, index })
        } else {
            None
        }
    }

    /// The columns themselves, for plugins that do better than by rows.
    #[must_use]
    pub const fn columns(&self) -> &wit::Batch {
        &self.columns
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Row<'a>;
    type IntoIter = Rows<'a>;

    fn into_iter(self) -> Rows<'a> {
        self.iter()
    }
}

/// The records of a batch, in order.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    batch: &'a Batch,
    index: usize,
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let row = self.batch.row(self.index)?;
        self.index += 1;
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.len() - self.index;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Rows<'_> {}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    batch: &'a Batch,
    index: usize,
}

impl<'a> Row<'a> {
    /// Its place in the batch, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index
    }

    /// Its offset; before the append, its place in the batch.
    #[must_use]
    pub fn offset(self) -> i64 {
        self.batch.columns.offsets[self.index]
    }

    /// Its timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp(self) -> i64 {
        self.batch.columns.timestamps[self.index]
    }

    /// Its key; nothing where it is null.
    #[must_use]
    pub fn key(self) -> Option<&'a [u8]> {
        column::get(&self.batch.columns.keys, self.index)
    }

    /// Its value; nothing where it is null.
    #[must_use]
    pub fn value(self) -> Option<&'a [u8]> {
        column::get(&self.batch.columns.values, self.index)
    }

    /// Its headers, in order, duplicates included.
    #[must_use]
    pub fn headers(self) -> impl ExactSizeIterator<Item = Header<'a>> + Clone {
        let headers = &self.batch.columns.headers;
        let (from, to) = range(&headers.ends, self.index);
        (from..to).map(|at| Header {
            name: column::get(&headers.names, at).unwrap_or_default(),
            value: column::get(&headers.values, at),
        })
    }

    /// The last header of that name, as Kafka's own clients choose among duplicates.
    #[must_use]
    pub fn header(self, name: &str) -> Option<Header<'a>> {
        self.headers()
            .filter(|header| header.name == name.as_bytes())
            .last()
    }
}

/// The headers of a row: from, and up to.
pub(crate) fn range(ends: &[u32], row: usize) -> (usize, usize) {
    let to = ends.get(row).map_or(0, |end| *end as usize);
    (column::start(ends, row).min(to), to)
}

/// A header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name; UTF-8 from every client known.
    pub name: &'a [u8],
    /// Its value; nothing where it is null.
    pub value: Option<&'a [u8]>,
}
