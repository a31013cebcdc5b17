//! Kafka's default partitioner for records with keys, by which a job places a row whose topic has
//! no partitioner of its own: the same partition as every client chooses.

use weir_types::PartitionIndex;

const SEED: u32 = 0x9747_b28c;
const MIX: u32 = 0x5bd1_e995;

/// The partition of a key among `partitions`, of which there is one at least.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> PartitionIndex {
    assert!(partitions > 0, "a topic has a partition");
    let index = (murmur2(key) & 0x7fff_ffff) % partitions;
    PartitionIndex(i32::try_from(index).expect("less than 2^31"))
}

fn murmur2(key: &[u8]) -> u32 {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that Apache Kafka's own tests name.
    #[test]
    fn hashes_are_kafkas() {
        for (key, hash) in [
            (&b"21"[..], -973_932_308_i32),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            (b"abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
        }
        assert_eq!(partition_of(b"abc", 10), PartitionIndex(479_470_107 % 10));
    }
}
