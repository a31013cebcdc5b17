//! Where groups live: which partition of `__consumer_offsets` keeps a group, as Kafka has it, so
//! that every tool that works it out for itself is right.

use crate::request::PartitionKey;
use weir_meta::{Image, name::CONSUMER_OFFSETS};
use weir_types::PartitionIndex;

/// The partition of `__consumer_offsets` that keeps the group, where there are `partitions`:
/// Java's hash of the id, its sign taken off.
#[must_use]
pub fn partition_of(group: &str, partitions: usize) -> PartitionIndex {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    let count = i32::try_from(partitions).unwrap_or(i32::MAX).max(1);
    // Java has no absolute value of the smallest number; Kafka takes 0.
    PartitionIndex(hash.checked_abs().unwrap_or(0) % count)
}

/// The same partition by its identity; nothing while the topic is not there.
#[must_use]
pub fn key_of(image: &Image, group: &str) -> Option<PartitionKey> {
    let topic = image.topic_named(CONSUMER_OFFSETS)?;
    Some(PartitionKey {
        topic: topic.id,
        index: partition_of(group, topic.partitions.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_lie_where_kafka_puts_them() {
        // "foo".hashCode() is 101574; "polygenelubricants".hashCode() is the smallest number.
        assert_eq!(partition_of("foo", 50), PartitionIndex(24));
        assert_eq!(partition_of("polygenelubricants", 50), PartitionIndex(0));
        assert_eq!(partition_of("", 50), PartitionIndex(0));
    }
}
