//! Points in few bytes: each column of a block is told as differences, and a difference that comes
//! again and again only once. What stands still, or grows evenly, costs next to nothing.

use alloc::{boxed::Box, vec::Vec};

/// Appends a number in as few bytes as it takes.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A signed number as one that is small where it is near zero.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// And back.
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Numbers that are being packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Column {
    bytes: Vec<u8>,
    last: i64,
    delta: i64,
    run: u64,
}

impl Column {
    fn push(&mut self, value: i64) {
        let delta = value - self.last;
        self.last = value;
        if self.run > 0 && delta == self.delta {
            self.run += 1;
            return;
        }
        flush(&mut self.bytes, self.delta, self.run);
        self.delta = delta;
        self.run = 1;
    }

    /// All of it, as bytes.
    fn packed(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        flush(&mut bytes, self.delta, self.run);
        bytes
    }
}

fn flush(out: &mut Vec<u8>, delta: i64, run: u64) {
    match run {
        0 => {}
        1 => put(out, zigzag(delta) << 1),
        run => {
            put(out, zigzag(delta) << 1 | 1);
            put(out, run);
        }
    }
}

fn unpack(mut bytes: &[u8], points: usize) -> Option<Vec<i64>> {
    let mut values = Vec::new();
    let mut last = 0i64;
    while !bytes.is_empty() {
        let word = take(&mut bytes)?;
        let delta = unzigzag(word >> 1);
        let run = if word & 1 == 1 { take(&mut bytes)? } else { 1 };
        if run > (points - values.len()) as u64 {
            return None;
        }
        for _ in 0..run {
            last = last.checked_add(delta)?;
            values.push(last);
        }
    }
    (values.len() == points).then_some(values)
}

/// A block that points are still added to, all columns of which are of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open<const C: usize> {
    columns: [Column; C],
    points: usize,
}

impl<const C: usize> Default for Open<C> {
    fn default() -> Self {
        Self {
            columns: core::array::from_fn(|_| Column::default()),
            points: 0,
        }
    }
}

impl<const C: usize> Open<C> {
    pub(crate) const fn len(&self) -> usize {
        self.points
    }

    pub(crate) fn push(&mut self, point: [i64; C]) {
        for (column, value) in self.columns.iter_mut().zip(point) {
            column.push(value);
        }
        self.points += 1;
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let columns = self.columns.iter();
        size_of::<Self>() + columns.map(|column| column.bytes.capacity()).sum::<usize>()
    }

    pub(crate) fn pack(&self) -> Packed {
        let mut bytes = Vec::new();
        put(&mut bytes, self.points as u64);
        for column in &self.columns {
            let packed = column.packed();
            put(&mut bytes, packed.len() as u64);
            bytes.extend_from_slice(&packed);
        }
        Packed(bytes.into_boxed_slice())
    }
}

/// A block that is full, or that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed(pub(crate) Box<[u8]>);

impl Packed {
    pub(crate) fn len(&self) -> usize {
        let mut bytes = &self.0[..];
        take(&mut bytes)
            .and_then(|points| usize::try_from(points).ok())
            .unwrap_or(0)
    }

    /// Its points; nothing if it is damaged or has more than `points_max`.
    pub(crate) fn unpack<const C: usize>(&self, points_max: usize) -> Option<Vec<[i64; C]>> {
        let mut bytes = &self.0[..];
        let points = usize::try_from(take(&mut bytes)?).ok()?;
        if points > points_max {
            return None;
        }
        let mut rows = alloc::vec![[0; C]; points];
        for column in 0..C {
            let length = usize::try_from(take(&mut bytes)?).ok()?;
            let (packed, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            for (row, value) in rows.iter_mut().zip(unpack(packed, points)?) {
                row[column] = value;
            }
        }
        bytes.is_empty().then_some(rows)
    }
}
