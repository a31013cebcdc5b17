//! Columns of byte strings: reading one row, reading all, and building one row after the other.
//! A null row and an empty one are never taken for each other.

use crate::bindings::transform::weir::plugin::records::BytesColumn;

/// The keys that a partitioner is given.
pub type Keys<'a> = ColumnIter<'a>;

/// The byte strings of a column, in order.
#[derive(Clone, Debug)]
pub struct ColumnIter<'a> {
    column: &'a BytesColumn,
    row: usize,
}

impl<'a> ColumnIter<'a> {
    pub(crate) const fn new(column: &'a BytesColumn) -> Self {
        Self { column, row: 0 }
    }
}

impl<'a> Iterator for ColumnIter<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.row >= self.column.ends.len() {
            return None;
        }
        let bytes = get(self.column, self.row);
        self.row += 1;
        Some(bytes)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.column.ends.len() - self.row;
        (left, Some(left))
    }
}

impl ExactSizeIterator for ColumnIter<'_> {}

/// A column without rows, with room for so many rows and bytes.
pub(crate) fn with_room(rows: usize, bytes: usize) -> BytesColumn {
    BytesColumn {
        ends: Vec::with_capacity(rows),
        data: Vec::with_capacity(bytes),
        nulls: Vec::new(),
    }
}

pub(crate) fn is_null(column: &BytesColumn, row: usize) -> bool {
    column
        .nulls
        .get(row / 8)
        .is_some_and(|byte| byte & (1 << (row % 8)) != 0)
}

pub(crate) fn start(ends: &[u32], row: usize) -> usize {
    match row {
        0 => 0,
        row => ends[row - 1] as usize,
    }
}

/// A row's bytes; nothing where it is null.
pub(crate) fn get(column: &BytesColumn, row: usize) -> Option<&[u8]> {
    if !column.nulls.is_empty() && is_null(column, row) {
        return None;
    }
    Some(&column.data[start(&column.ends, row)..column.ends[row] as usize])
}

fn end_of(data: &[u8]) -> u32 {
    u32::try_from(data.len()).expect("a batch is smaller than 4 GiB")
}

/// Adds a row.
pub(crate) fn push(column: &mut BytesColumn, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => column.data.extend_from_slice(bytes),
        None => mark_null(column, column.ends.len()),
    }
    column.ends.push(end_of(&column.data));
}

/// Takes the last row away.
pub(crate) fn pop(column: &mut BytesColumn) {
    if column.ends.pop().is_some() {
        let row = column.ends.len();
        column.data.truncate(start(&column.ends, row));
        if let Some(byte) = column.nulls.get_mut(row / 8) {
            *byte &= !(1 << (row % 8));
        }
    }
}

/// Adds the rows `from..to` of another column: their bytes in one copy.
pub(crate) fn extend(column: &mut BytesColumn, other: &BytesColumn, from: usize, to: usize) {
    if from >= to {
        return;
    }
    let first = start(&other.ends, from);
    let base = column.data.len();
    column
        .data
        .extend_from_slice(&other.data[first..other.ends[to - 1] as usize]);
    // Bounds the sums below: none is above the end of the data.
    let _ = end_of(&column.data);
    for row in from..to {
        if !other.nulls.is_empty() && is_null(other, row) {
            mark_null(column, column.ends.len());
        }
        let end = base + (other.ends[row] as usize - first);
        column.ends.push(end as u32);
    }
}

fn mark_null(column: &mut BytesColumn, row: usize) {
    let bytes = column.nulls.len().max(row / 8 + 1);
    column.nulls.resize(bytes, 0);
    column.nulls[row / 8] |= 1 << (row % 8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(column: &BytesColumn) -> Vec<Option<&[u8]>> {
        ColumnIter::new(column).collect()
    }

    #[test]
    fn null_and_empty_stay_apart() {
        let mut column = with_room(3, 3);
        push(&mut column, Some(b"a"));
        push(&mut column, None);
        push(&mut column, Some(b""));
        assert_eq!(rows(&column), [Some(&b"a"[..]), None, Some(&b""[..])]);
    }

    #[test]
    fn what_was_popped_leaves_no_null_behind() {
        let mut column = with_room(0, 0);
        push(&mut column, Some(b"a"));
        push(&mut column, None);
        pop(&mut column);
        push(&mut column, Some(b"b"));
        assert_eq!(rows(&column), [Some(&b"a"[..]), Some(&b"b"[..])]);
    }

    #[test]
    fn a_range_is_copied_with_its_nulls() {
        let mut from = with_room(0, 0);
        for row in 0..20_u8 {
            let bytes = [row; 3];
            push(&mut from, (row % 3 != 0).then_some(&bytes[..]));
        }
        let mut to = with_room(0, 0);
        push(&mut to, Some(b"first"));
        extend(&mut to, &from, 5, 14);
        extend(&mut to, &from, 14, 14);
        assert_eq!(to.ends.len(), 10);
        assert_eq!(rows(&to)[1..], rows(&from)[5..14]);
    }
}
