//! A running checksum over the records of a partition, in order: what was produced against what
//! came back. Made for speed and for honest mistakes, not against an attacker.

/// Count, bytes and a hash that depends on every byte, every boundary and the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// Records so far.
    pub(crate) records: u64,
    /// Bytes of their keys and values.
    pub(crate) bytes: u64,
    hash: u64,
}

impl Running {
    /// Takes in the next record.
    pub(crate) fn add(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.records += 1;
        for part in [key, value] {
            self.bytes += part.map_or(0, <[u8]>::len) as u64;
            self.mix(part.map_or(u64::MAX, |part| part.len() as u64));
            self.mix_bytes(part.unwrap_or_default());
        }
    }

    fn mix(&mut self, word: u64) {
        // Multiply and fold (Sebastiano Vigna's and Wang Yi's mixers work this way).
        let product =
            u128::from(self.hash ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd134_2543_de82_ef95_u128;
        self.hash = (product as u64) ^ ((product >> 64) as u64) ^ word.rotate_left(32);
    }

    fn mix_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.mix(u64::from_le_bytes(last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pair = (Option<&'static [u8]>, Option<&'static [u8]>);

    fn of(records: &[Pair]) -> Running {
        let mut running = Running::default();
        for (key, value) in records {
            running.add(*key, *value);
        }
        running
    }

    #[test]
    fn order_boundaries_nulls_and_every_byte_count() {
        let record = |key: &'static [u8], value: &'static [u8]| (Some(key), Some(value));
        let base = of(&[record(b"a", b"one"), record(b"b", b"two")]);
        let others = [
            of(&[record(b"b", b"two"), record(b"a", b"one")]),
            of(&[record(b"ao", b"ne"), record(b"b", b"two")]),
            of(&[record(b"a", b"onf"), record(b"b", b"two")]),
            of(&[record(b"a", b"one"), record(b"b", b"tw"), record(b"", b"o")]),
            of(&[(None, Some(b"aone")), record(b"b", b"two")]),
        ];
        for other in others {
            assert_ne!(base, other);
        }
        assert_ne!(of(&[(None, None)]), of(&[record(b"", b"")]));
        assert_eq!(base, of(&[record(b"a", b"one"), record(b"b", b"two")]));
        assert_eq!((base.records, base.bytes), (2, 8));
    }
}
