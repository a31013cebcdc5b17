//! Records as columns: what crosses into a plugin in one copy each, never a list of records.

use alloc::vec::Vec;

/// One byte string, or null, for each row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BytesColumn {
    /// Where each row's bytes end in `data`; ascending, one for each row.
    pub ends: Vec<u32>,
    /// The bytes of all rows, one after the other; null rows have none.
    pub data: Vec<u8>,
    /// Which rows are null: bit `row % 8` of byte `row / 8`. Empty: none is.
    pub nulls: Vec<u8>,
}

impl BytesColumn {
    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether a row is null.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls
            .get(row / 8)
            .is_some_and(|byte| byte & (1 << (row % 8)) != 0)
    }

    /// A row's bytes; nothing where it is null, or where there is no such row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        if self.is_null(row) {
            return None;
        }
        let end = usize::try_from(*self.ends.get(row)?).ok()?;
        let start = match row.checked_sub(1) {
            Some(before) => usize::try_from(*self.ends.get(before)?).ok()?,
            None => 0,
        };
        self.data.get(start..end)
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If the column would hold 4 GiB, far more than a batch can.
    pub fn push(&mut self, bytes: Option<&[u8]>) {
        let row = self.ends.len();
        match bytes {
            Some(bytes) => self.data.extend_from_slice(bytes),
            None => {
                self.nulls.resize(self.nulls.len().max(row / 8 + 1), 0);
                self.nulls[row / 8] |= 1 << (row % 8);
            }
        }
        let end = u32::try_from(self.data.len()).expect("a batch is smaller than 4 GiB");
        self.ends.push(end);
    }
}

/// The headers of each row, in order, duplicates kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadersColumn {
    /// Where each row's headers end in `names` and `values`; ascending, one for each row.
    pub ends: Vec<u32>,
    /// The names; none is null.
    pub names: BytesColumn,
    /// The values, as many as names.
    pub values: BytesColumn,
}

/// The records of one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Offsets; before the append, the places in the batch: 0, 1, ...
    pub offsets: Vec<i64>,
    /// Timestamps, in milliseconds since the epoch.
    pub timestamps: Vec<i64>,
    /// Keys.
    pub keys: BytesColumn,
    /// Values.
    pub values: BytesColumn,
    /// Headers.
    pub headers: HeadersColumn,
}

impl Columns {
    /// How many records there are.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.offsets.len()
    }
}
