//! Taking a request apart by shard, and remembering where each piece belongs in the response.

use super::Part;
use crate::request::{Ask, PartitionKey, shard_of};
use alloc::{collections::BTreeMap, vec::Vec};
use weir_types::ShardId;

/// Where a piece belongs: the topic's place in the response, and the partition's place in it.
pub(super) type Place = (usize, usize);

/// The pieces of a request, by shard.
#[derive(Debug)]
pub(super) struct Split<T> {
    shards: u16,
    pieces: BTreeMap<ShardId, (Vec<Place>, Vec<T>)>,
}

impl<T> Split<T> {
    pub(super) const fn new(shards: u16) -> Self {
        Self {
            shards,
            pieces: BTreeMap::new(),
        }
    }

    pub(super) fn push(&mut self, key: PartitionKey, place: Place, item: T) {
        let shard = shard_of(key, self.shards);
        let (places, items) = self.pieces.entry(shard).or_default();
        places.push(place);
        items.push(item);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many shards are concerned.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The questions, and for each the places of its pieces.
    pub(super) fn into_parts(
        self,
        seen: u64,
        ask: impl Fn(Vec<T>) -> Ask,
    ) -> (Vec<Part>, Vec<Vec<Place>>) {
        let part = |(shard, (places, items)): (ShardId, (Vec<Place>, Vec<T>))| {
            let ask = ask(items);
            (Part { shard, seen, ask }, places)
        };
        self.pieces.into_iter().map(part).unzip()
    }
}
