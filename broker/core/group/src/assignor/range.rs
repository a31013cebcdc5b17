//! `range`: each topic is cut into runs, one for each member that wants it, the first runs one
//! longer where it does not come out even. Topics with as many partitions and the same members
//! are cut alike, so that partitions with the same number (co-partitioned data) meet in one
//! member. Who has a run keeps its place in the row.

use super::{Input, give};
use crate::{Assignment, Name};
use alloc::{collections::BTreeMap, vec::Vec};
use weir_types::{PartitionIndex, TopicId};

pub(super) fn assign(input: &Input, shares: &mut BTreeMap<Name, Assignment>) {
    let mut rows: BTreeMap<(i32, Vec<&Name>), Vec<TopicId>> = BTreeMap::new();
    for (topic, partitions) in &input.topics {
        let wanting: Vec<&Name> = input
            .members
            .iter()
            .filter(|(_, wish)| wish.topics.contains(topic))
            .map(|(name, _)| name)
            .collect();
        if !wanting.is_empty() {
            rows.entry((*partitions, wanting)).or_default().push(*topic);
        }
    }
    for ((partitions, mut row), topics) in rows {
        // The first topic decides for all of its kind.
        let first = |name: &&Name| first_of(input, name, topics[0]);
        row.sort_by_key(|name| (first(name), *name));
        for topic in topics {
            cut(topic, partitions, &row, shares);
        }
    }
}

/// The lowest partition that a member has; who has none comes last.
fn first_of(input: &Input, name: &Name, topic: TopicId) -> PartitionIndex {
    input.members[name]
        .has
        .get(&topic)
        .and_then(|partitions| partitions.first().copied())
        .unwrap_or(PartitionIndex(i32::MAX))
}

fn cut(topic: TopicId, partitions: i32, row: &[&Name], shares: &mut BTreeMap<Name, Assignment>) {
    let members = i32::try_from(row.len()).unwrap_or(i32::MAX);
    let (each, longer) = (partitions / members, partitions % members);
    let mut next = 0;
    for (place, name) in (0..members).zip(row) {
        let length = each + i32::from(place < longer);
        for index in next..next + length {
            give(shares, name, topic, PartitionIndex(index));
        }
        next += length;
    }
}
