//! The records that stay after a plugin's call, seen through its output: nothing is copied.

use crate::{
    columns::{BytesColumn, Columns, HeadersColumn},
    outcome::Output,
};
use alloc::vec::Vec;
use weir_types::{batch::RecordHeader, varint::RecordParts};

/// Columns and what a plugin made of them. The output was checked.
#[derive(Clone, Copy, Debug)]
pub struct Staying<'a> {
    columns: &'a Columns,
    output: &'a Output,
}

impl<'a> Staying<'a> {
    /// What stays of `columns` after `output`.
    #[must_use]
    pub const fn new(columns: &'a Columns, output: &'a Output) -> Self {
        Self { columns, output }
    }

    /// How many records stay.
    #[must_use]
    pub fn len(&self) -> usize {
        self.output
            .rows
            .as_ref()
            .map_or(self.columns.rows(), Vec::len)
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row that the record at a place among those that stay had before.
    ///
    /// # Panics
    /// If fewer records stay.
    #[must_use]
    #[inline]
    pub fn row(&self, place: usize) -> usize {
        match &self.output.rows {
            Some(rows) => rows[place] as usize,
            None => place,
        }
    }

    /// A record's timestamp.
    ///
    /// # Panics
    /// If fewer records stay.
    #[must_use]
    #[inline]
    pub fn timestamp(&self, place: usize) -> i64 {
        match &self.output.timestamps {
            Some(timestamps) => timestamps[place],
            None => self.columns.timestamps[self.row(place)],
        }
    }

    /// A record's key.
    ///
    /// # Panics
    /// If fewer records stay.
    #[must_use]
    #[inline]
    pub fn key(&self, place: usize) -> Option<&'a [u8]> {
        match &self.output.keys {
            Some(keys) => keys.get(place),
            None => self.columns.keys.get(self.row(place)),
        }
    }

    /// A record's value.
    ///
    /// # Panics
    /// If fewer records stay.
    #[must_use]
    #[inline]
    pub fn value(&self, place: usize) -> Option<&'a [u8]> {
        match &self.output.values {
            Some(values) => values.get(place),
            None => self.columns.values.get(self.row(place)),
        }
    }

    /// A record's headers.
    ///
    /// # Panics
    /// If fewer records stay.
    #[inline]
    pub fn headers(
        &self,
        place: usize,
    ) -> impl ExactSizeIterator<Item = RecordHeader<'a>> + Clone + use<'a> {
        let (headers, row) = match &self.output.headers {
            Some(headers) => (headers, place),
            None => (&self.columns.headers, self.row(place)),
        };
        headers.row(row).map(|at| RecordHeader {
            key: headers.names.get(at).unwrap_or_default(),
            value: headers.values.get(at),
        })
    }

    #[inline]
    pub(crate) fn parts(
        &self,
        place: usize,
    ) -> RecordParts<'a, impl ExactSizeIterator<Item = RecordHeader<'a>> + Clone + use<'a>> {
        RecordParts {
            key: self.key(place),
            value: self.value(place),
            headers: self.headers(place),
        }
    }

    /// About how many bytes keys, values and headers have.
    pub(crate) fn data_bytes(&self) -> usize {
        let keys = self.output.keys.as_ref().unwrap_or(&self.columns.keys);
        let values = self.output.values.as_ref().unwrap_or(&self.columns.values);
        let headers = self
            .output
            .headers
            .as_ref()
            .unwrap_or(&self.columns.headers);
        keys.data.len() + values.data.len() + headers.names.data.len() + headers.values.data.len()
    }
}

impl Columns {
    /// What the next plugin of a chain is given after this one gave back `output`, which was
    /// checked. Offsets stay with their records.
    #[must_use]
    pub fn apply(self, output: Output) -> Self {
        let Some(rows) = output.rows else {
            return Self {
                offsets: self.offsets,
                timestamps: output.timestamps.unwrap_or(self.timestamps),
                keys: output.keys.unwrap_or(self.keys),
                values: output.values.unwrap_or(self.values),
                headers: output.headers.unwrap_or(self.headers),
            };
        };
        let pick = |column: &[i64]| rows.iter().map(|row| column[*row as usize]).collect();
        Self {
            offsets: pick(&self.offsets),
            timestamps: output.timestamps.unwrap_or_else(|| pick(&self.timestamps)),
            keys: output.keys.unwrap_or_else(|| self.keys.pick(&rows)),
            values: output.values.unwrap_or_else(|| self.values.pick(&rows)),
            headers: output.headers.unwrap_or_else(|| self.headers.pick(&rows)),
        }
    }

    /// Some of the rows, in the order given.
    #[must_use]
    pub fn pick(&self, rows: &[u32]) -> Self {
        let pick = |column: &[i64]| rows.iter().map(|row| column[*row as usize]).collect();
        Self {
            offsets: pick(&self.offsets),
            timestamps: pick(&self.timestamps),
            keys: self.keys.pick(rows),
            values: self.values.pick(rows),
            headers: self.headers.pick(rows),
        }
    }
}

impl BytesColumn {
    /// Some of the rows, in the order given.
    #[must_use]
    pub fn pick(&self, rows: &[u32]) -> Self {
        let mut picked = Self {
            ends: Vec::with_capacity(rows.len()),
            ..Self::default()
        };
        for row in rows {
            picked.push(self.get(*row as usize));
        }
        picked.finish();
        picked
    }
}

impl HeadersColumn {
    /// Some of the rows, in the order given.
    #[must_use]
    pub fn pick(&self, rows: &[u32]) -> Self {
        let mut picked = Self {
            ends: Vec::with_capacity(rows.len()),
            ..Self::default()
        };
        for row in rows {
            for at in self.row(*row as usize) {
                let name = self.names.get(at).unwrap_or_default();
                picked.push(name, self.values.get(at));
            }
            picked.end_row();
        }
        picked.names.finish();
        picked.values.finish();
        picked
    }
}
