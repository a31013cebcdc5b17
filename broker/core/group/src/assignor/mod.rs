//! The assignors that run in the coordinator (KIP-848). Each is a function of members, topics and
//! what the members have; the same input gives the same output, and who can keep something keeps
//! it. They know nothing of epochs.

mod range;
mod uniform;

use crate::{Assignment, Name};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_types::{PartitionIndex, TopicId};

/// The name of the assignor that spreads all partitions evenly.
pub const UNIFORM: &str = "uniform";
/// The name of the assignor that gives each member a run of each topic.
pub const RANGE: &str = "range";
/// All of them; the first is the default.
pub const ASSIGNORS: [&str; 2] = [UNIFORM, RANGE];

/// The assignor of that name, as this crate writes it.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    ASSIGNORS.into_iter().find(|known| *known == name)
}

/// What an assignor sees.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Who wants which topics, and has what.
    pub members: BTreeMap<Name, Wish>,
    /// How many partitions each topic has, in order of the topics' names.
    pub topics: Vec<(TopicId, i32)>,
}

/// What a member wants.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The topics.
    pub topics: BTreeSet<TopicId>,
    /// What it has so far.
    pub has: Assignment,
}

/// What each member shall have; every partition that somebody wants is given to one of them.
#[must_use]
pub fn assign(assignor: &str, input: &Input) -> BTreeMap<Name, Assignment> {
    let mut shares: BTreeMap<Name, Assignment> = input
        .members
        .keys()
        .map(|name| (name.clone(), Assignment::new()))
        .collect();
    if assignor == RANGE {
        range::assign(input, &mut shares);
    } else {
        uniform::assign(input, &mut shares);
    }
    shares
}

fn give(
    shares: &mut BTreeMap<Name, Assignment>,
    name: &Name,
    topic: TopicId,
    partition: PartitionIndex,
) {
    if let Some(share) = shares.get_mut(name) {
        share.entry(topic).or_default().insert(partition);
    }
}

#[cfg(test)]
mod tests;
