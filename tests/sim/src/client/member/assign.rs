//! How a leader of the classic protocol shares out: whoever has a partition keeps it while its
//! share is fair; a cooperative leader gives away only what nobody has.

use std::collections::{BTreeMap, BTreeSet};
use weir_types::PartitionIndex;
use weir_wire::{
    Text,
    messages::{ConsumerProtocolAssignment, ConsumerProtocolTopicPartition},
};

type Partition = (String, PartitionIndex);

/// What a member wants and says that it has.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) member: String,
    pub(super) topics: BTreeSet<String>,
    pub(super) owned: BTreeSet<Partition>,
    /// In which generation it was given that.
    pub(super) generation: i32,
}

/// Shares out the partitions of topics with these counts.
pub(super) fn share_out(
    claims: &[Claim],
    counts: &BTreeMap<String, i32>,
    cooperative: bool,
) -> BTreeMap<String, ConsumerProtocolAssignment> {
    let wanted: BTreeSet<&String> = claims.iter().flat_map(|claim| &claim.topics).collect();
    let partitions = wanted.into_iter().flat_map(|topic| {
        let count = counts.get(topic).copied().unwrap_or(0);
        (0..count).map(move |index| (topic.clone(), PartitionIndex(index)))
    });
    let partitions: Vec<Partition> = partitions.collect();
    let fair = partitions.len().div_ceil(claims.len().max(1));
    let mut shares: Vec<BTreeSet<Partition>> = vec![BTreeSet::new(); claims.len()];
    let mut left = Vec::new();
    for partition in partitions {
        let owner = owner(claims, &partition);
        match owner.filter(|place| shares[*place].len() < fair) {
            Some(place) if claims[place].topics.contains(&partition.0) => {
                shares[place].insert(partition);
            }
            _ => left.push((owner, partition)),
        }
    }
    for (owner, partition) in left {
        let readers = claims.iter().enumerate();
        let readers = readers.filter(|(_, claim)| claim.topics.contains(&partition.0));
        let least = readers.min_by_key(|(place, _)| shares[*place].len());
        if let Some((place, _)) = least
            && (!cooperative || owner.is_none_or(|owner| owner == place))
        {
            shares[place].insert(partition);
        }
    }
    let named = claims.iter().zip(shares);
    named
        .map(|(claim, share)| (claim.member.clone(), written(share)))
        .collect()
}

/// Who has a partition: of those who say so, the one that was given it last.
fn owner(claims: &[Claim], partition: &Partition) -> Option<usize> {
    let claiming = claims.iter().enumerate();
    let claiming = claiming.filter(|(_, claim)| claim.owned.contains(partition));
    claiming
        .max_by_key(|(_, claim)| claim.generation)
        .map(|(place, _)| place)
}

fn written(share: BTreeSet<Partition>) -> ConsumerProtocolAssignment {
    let mut topics: BTreeMap<String, Vec<PartitionIndex>> = BTreeMap::new();
    for (topic, index) in share {
        topics.entry(topic).or_default().push(index);
    }
    let rows = topics
        .into_iter()
        .map(|(topic, partitions)| ConsumerProtocolTopicPartition {
            topic: Text::from(topic),
            partitions,
        });
    ConsumerProtocolAssignment {
        assigned_partitions: rows.collect(),
        user_data: None,
    }
}
