//! What clients were told: every record they know the place of, and the furthest starts and high
//! watermarks they heard. Whatever contradicts an earlier answer is a broken promise.

use crate::{
    checks::{duplicates, loss, offsets, order, producer_ids, starts, watermarks},
    violation::Checked,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};
use weir_node::request::PartitionKey;
use weir_types::ProducerId;

/// A producer's way into one partition; its records carry its number, and their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u32);

/// A record: the so-manieth of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// Whose.
    pub lane: LaneId,
    /// Its number, from 0.
    pub counter: u64,
}

/// What a producer may count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Every record once and in order.
    Once,
    /// In order; some may be repeated.
    InOrder,
    /// Acked ones are there.
    Kept,
    /// Nothing (acks=0).
    Nothing,
}

#[derive(Debug)]
struct Lane {
    key: PartitionKey,
    guarantee: Guarantee,
    /// The first place of each record that is known.
    places: BTreeMap<u64, i64>,
    acked: BTreeMap<u64, i64>,
}

/// What is known of one partition.
#[derive(Debug, Default)]
pub struct PartTruth {
    at: BTreeMap<i64, RecordKey>,
    /// The furthest start that was told.
    pub start: i64,
    /// The furthest high watermark that was told, or that an ack implies.
    pub watermark: i64,
}

/// A client's knowledge of a partition when it asks; the answer must not fall behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    /// The furthest start that was told to anybody.
    pub start: i64,
    /// The furthest high watermark that was told to anybody.
    pub watermark: i64,
}

/// Everything clients know.
#[derive(Debug, Default)]
pub struct Truth {
    parts: BTreeMap<PartitionKey, PartTruth>,
    lanes: BTreeMap<LaneId, Lane>,
    producer_ids: BTreeSet<ProducerId>,
    /// Producers may be forgotten within the run: duplicates and gaps of sequence are legal then.
    pub producers_expire: bool,
    /// Bytes of all batches that producers made.
    pub made_bytes: u64,
    /// How many records were acked.
    pub acked: u64,
    /// How many records were read by consumers.
    pub read: u64,
}

impl Truth {
    /// Nothing is known yet; `producers_expire` within the run, or they do not.
    #[must_use]
    pub fn new(producers_expire: bool) -> Self {
        Self {
            producers_expire,
            ..Self::default()
        }
    }

    /// A producer begins to write to a partition.
    pub fn lane(&mut self, key: PartitionKey, guarantee: Guarantee) -> LaneId {
        let id = LaneId(u32::try_from(self.lanes.len()).expect("lanes are few"));
        let lane = Lane {
            key,
            guarantee,
            places: BTreeMap::new(),
            acked: BTreeMap::new(),
        };
        self.lanes.insert(id, lane);
        id
    }

    /// What is known of a partition now.
    #[must_use]
    pub fn floor(&self, key: PartitionKey) -> Floor {
        self.parts.get(&key).map_or(Floor::default(), |part| Floor {
            start: part.start,
            watermark: part.watermark,
        })
    }

    /// What is known of a partition.
    #[must_use]
    pub fn part(&self, key: PartitionKey) -> Option<&PartTruth> {
        self.parts.get(&key)
    }

    /// A client is told where a partition starts and how far it is replicated (-1: not told).
    ///
    /// # Errors
    /// Where that is behind what was told before it asked.
    pub fn told(&mut self, key: PartitionKey, floor: Floor, start: i64, watermark: i64) -> Checked {
        starts::told(floor.start, start)?;
        watermarks::told(floor.watermark, watermark, || format!("{key:?}"))?;
        let part = self.parts.entry(key).or_default();
        part.start = part.start.max(start);
        part.watermark = part.watermark.max(watermark);
        Ok(())
    }

    /// A producer is told that its records `counters` lie from `base` on.
    ///
    /// # Errors
    /// Where that contradicts what is known.
    pub fn acked(&mut self, lane: LaneId, counters: Range<u64>, base: i64) -> Checked {
        let key = self.lanes[&lane].key;
        for (offset, counter) in (base..).zip(counters) {
            self.place(key, offset, RecordKey { lane, counter })?;
            let lane = self.lanes.get_mut(&lane).expect("the lane is known");
            lane.acked.insert(counter, offset);
            self.acked += 1;
            let part = self.parts.entry(key).or_default();
            part.watermark = part.watermark.max(offset + 1);
        }
        Ok(())
    }

    /// A consumer reads a record.
    ///
    /// # Errors
    /// Where it contradicts what is known.
    pub fn read(&mut self, key: PartitionKey, offset: i64, record: RecordKey) -> Checked {
        self.read += 1;
        let Some(lane) = self.lanes.get(&record.lane) else {
            return offsets::PROMISE.broken(format!("nobody sent {record:?}"));
        };
        if lane.key != key {
            return offsets::PROMISE.broken(format!(
                "{record:?} was sent to {:?} and lies in {key:?}",
                lane.key
            ));
        }
        self.place(key, offset, record)
    }

    fn place(&mut self, key: PartitionKey, offset: i64, record: RecordKey) -> Checked {
        let part = self.parts.entry(key).or_default();
        offsets::one_value(part.at.get(&offset).copied(), record, offset)?;
        part.at.insert(offset, record);
        let lane = self.lanes.get_mut(&record.lane).expect("the lane is known");
        let known = lane.places.get(&record.counter).copied();
        if lane.guarantee == Guarantee::Once && !self.producers_expire {
            duplicates::one_place(known, offset, || format!("{record:?}"))?;
            order::placed(&lane.places, record.counter, offset)?;
        }
        let first = known.map_or(offset, |known| known.min(offset));
        lane.places.insert(record.counter, first);
        Ok(())
    }

    /// A client receives a producer id.
    ///
    /// # Errors
    /// Where it was given away before.
    pub fn producer_id(&mut self, id: ProducerId) -> Checked {
        producer_ids::unique(self.producer_ids.insert(id), id)
    }

    /// In the end a partition holds `start` to `end`, all of which was read just now.
    ///
    /// # Errors
    /// Where a record is missing or out of order.
    pub fn finally(&self, key: PartitionKey, start: i64, end: i64) -> Checked {
        for (id, lane) in self.lanes.iter().filter(|(_, lane)| lane.key == key) {
            for (counter, offset) in &lane.acked {
                loss::still_there(*offset, start, end, || format!("{id:?} record {counter}"))?;
            }
            if lane.guarantee == Guarantee::InOrder {
                let mut before = BTreeMap::new();
                for (counter, offset) in &lane.places {
                    order::placed(&before, *counter, *offset)?;
                    before.clear();
                    before.insert(*counter, *offset);
                }
            }
        }
        Ok(())
    }
}
