//! Kafka's 32-bit MurmurHash2, seed 0x9747b28c: what the Java client hashes keys with, so that a
//! key lands in the same partition whoever produces it.
//!
//! It must never change: a changed hash would tear every keyed topic apart.

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;
const R: u32 = 24;

/// The hash of `key`, as `org.apache.kafka.common.utils.Utils.murmur2` gives it.
#[must_use]
pub fn murmur2(key: &[u8]) -> i32 {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let mut words = key.chunks_exact(4);
    for word in words.by_ref() {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash.cast_signed()
}

/// The partition that Kafka's clients choose for `key` among `partitions`; 0 where there is none.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: u32) -> i32 {
    let positive = murmur2(key).cast_unsigned() & 0x7fff_ffff;
    let partition = positive.checked_rem(partitions).unwrap_or(0);
    i32::try_from(partition).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafka() {
        // The cases of Kafka's own UtilsTest.
        for (key, hash) in [
            (&b"21"[..], -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            (b"abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key), hash, "{key:?}");
        }
    }

    #[test]
    fn keys_go_where_kafka_python_puts_them() {
        // Key in hexadecimal, its partition among 12, its partition among 7 (kafka-python 3.0).
        let rows: &[(&str, i32, i32)] = &[
            ("", 9, 2),
            ("82", 8, 6),
            ("b70e", 9, 0),
            ("ee7f1a", 7, 0),
            ("5039bef0", 9, 3),
            ("7ec2347f06", 0, 1),
            ("6ed08f5dc75124", 5, 5),
            ("47e3404300026b6e", 7, 5),
            ("545594a065685d64c4980bb8d4", 3, 4),
            (
                "544a8721a99a01ad219eb59cf6a15ef6f15a1d830bb7ce09d6bbc004e7175c",
                10,
                5,
            ),
            (
                "643c7decb0b580ec37bc9712dd2e6aaeb94bae8d2f9fa29c5a284c9ef7521829cf1079b080e9d74a1c10fcab6a4243d33656debe4c1ed79648e856e8f9a2f58c",
                7,
                4,
            ),
        ];
        for (hex, of_12, of_7) in rows {
            let key: Vec<u8> = (0..hex.len() / 2)
                .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
                .collect();
            assert_eq!(partition_for_key(&key, 12), *of_12, "{hex}");
            assert_eq!(partition_for_key(&key, 7), *of_7, "{hex}");
        }
        assert_eq!(partition_for_key(b"no partitions", 0), 0);
    }
}
