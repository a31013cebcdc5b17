//! The numbers of the domain, each its own type so that none is passed where another is meant.
//!
//! Only values and their arithmetic; no rule of any protocol lives here.

use core::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// The place of a record in its partition; the first record of a partition has offset 0.
    /// Ends of ranges are exclusive.
    Offset(i64)
}
number! {
    /// How many leaders a partition has had; grows by one with each new leader (KIP-101).
    LeaderEpoch(i32)
}
number! {
    /// An idempotent producer, as handed out by InitProducerId (KIP-98); -1 where there is none.
    ProducerId(i64)
}
number! {
    /// The incarnation of a producer id; an older one is fenced.
    ProducerEpoch(i16)
}
number! {
    /// A producer's running number of a record in one partition; wraps from `i32::MAX` to 0.
    Sequence(i32)
}
number! {
    /// The index of a partition in its topic, from 0.
    PartitionIndex(i32)
}
number! {
    /// A broker of the cluster; never used twice.
    BrokerId(i32)
}
number! {
    /// The store's own number of a partition replica; given at its creation and never reused.
    StorePartition(u32)
}
number! {
    /// One of a broker's shards.
    ShardId(u16)
}

impl Offset {
    /// The offset of the first record of every partition.
    pub const ZERO: Self = Self(0);

    /// The offset `count` records further on.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }

    /// The next offset.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }
}

impl LeaderEpoch {
    /// "No epoch known", as the protocol writes it.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// "No producer id": the batch is not idempotent.
    pub const NONE: Self = Self(-1);

    /// Whether this names a producer.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 >= 0
    }
}

impl Sequence {
    /// The sequence `count` records further on, wrapping as KIP-98 says.
    #[must_use]
    pub const fn plus(self, count: i32) -> Self {
        if self.0 > i32::MAX - count {
            Self(count - (i32::MAX - self.0) - 1)
        } else {
            Self(self.0 + count)
        }
    }
}

/// A topic's identity (KIP-516): a topic that is deleted and made again has another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// "No topic id", as the protocol writes it.
    pub const ZERO: Self = Self([0; 16]);
}

impl fmt::Display for TopicId {
    /// Kafka's form: URL-safe base64 without padding, 22 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = u128::from_be_bytes(self.0);
        // 22 characters carry 132 bits: the 128 of the id and four zero bits behind them.
        for index in 0..22 {
            let shift = 122 - 6 * index;
            let six = if shift >= 0 {
                bits >> shift
            } else {
                bits << -shift
            };
            let letter = ALPHABET[usize::try_from(six & 63).unwrap_or(0)];
            fmt::Write::write_char(f, char::from(letter))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(5).plus(3), Sequence(8));
    }

    #[test]
    fn topic_ids_print_as_kafka_prints_them() {
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(TopicId([0xff; 16]).to_string(), "_____________________w");
    }
}
