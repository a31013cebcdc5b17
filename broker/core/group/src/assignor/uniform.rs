//! `uniform`: everybody gets as many partitions as the others, as far as its topics allow, and
//! keeps as many of its own as that leaves it. A greedy balance by loads: exact where all want
//! the same topics, near it where they do not.

use super::{Input, give};
use crate::{Assignment, Name, limits::BALANCE_PASSES_MAX};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_types::{PartitionIndex, TopicId};

pub(super) fn assign(input: &Input, shares: &mut BTreeMap<Name, Assignment>) {
    let mut balance = Balance::new(input);
    balance.keep(input);
    balance.fill();
    for _ in 0..BALANCE_PASSES_MAX {
        if !balance.level() {
            break;
        }
    }
    for place in &balance.places {
        if let Some(owner) = place.owner {
            give(shares, balance.names[owner], place.topic, place.partition);
        }
    }
}

/// A partition that somebody wants.
struct Place {
    topic: TopicId,
    partition: PartitionIndex,
    /// Whose wishes it meets: an index into the classes.
    class: usize,
    owner: Option<usize>,
}

/// The scales.
struct Balance<'a> {
    names: Vec<&'a Name>,
    /// How many partitions each member has.
    loads: Vec<usize>,
    /// The classes that a member is in.
    member_classes: Vec<Vec<usize>>,
    /// For each set of members that want the same topics: those members, the least loaded first.
    classes: Vec<BTreeSet<(usize, usize)>>,
    places: Vec<Place>,
}

impl<'a> Balance<'a> {
    fn new(input: &'a Input) -> Self {
        let names: Vec<&Name> = input.members.keys().collect();
        let mut known: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let mut places = Vec::new();
        for (topic, partitions) in &input.topics {
            let wanting: Vec<usize> = input
                .members
                .values()
                .enumerate()
                .filter(|(_, wish)| wish.topics.contains(topic))
                .map(|(index, _)| index)
                .collect();
            if wanting.is_empty() {
                continue;
            }
            let fresh = known.len();
            let class = *known.entry(wanting).or_insert(fresh);
            places.extend((0..*partitions).map(|index| Place {
                topic: *topic,
                partition: PartitionIndex(index),
                class,
                owner: None,
            }));
        }
        let mut classes = alloc::vec![BTreeSet::new(); known.len()];
        let mut member_classes = alloc::vec![Vec::new(); names.len()];
        for (members, class) in known {
            for member in members {
                classes[class].insert((0, member));
                member_classes[member].push(class);
            }
        }
        Self {
            loads: alloc::vec![0; names.len()],
            names,
            member_classes,
            classes,
            places,
        }
    }

    fn load(&mut self, member: usize, load: usize) {
        let old = core::mem::replace(&mut self.loads[member], load);
        for class in &self.member_classes[member] {
            self.classes[*class].remove(&(old, member));
            self.classes[*class].insert((load, member));
        }
    }

    /// Everybody keeps what it has and still wants.
    fn keep(&mut self, input: &Input) {
        let index: BTreeMap<(TopicId, PartitionIndex), usize> = input
            .members
            .values()
            .enumerate()
            .flat_map(|(member, wish)| {
                wish.has
                    .iter()
                    .filter(|(topic, _)| wish.topics.contains(topic))
                    .flat_map(move |(topic, partitions)| {
                        partitions
                            .iter()
                            .map(move |index| ((*topic, *index), member))
                    })
            })
            .collect();
        for at in 0..self.places.len() {
            let place = &self.places[at];
            if let Some(member) = index.get(&(place.topic, place.partition)) {
                self.places[at].owner = Some(*member);
                self.load(*member, self.loads[*member] + 1);
            }
        }
    }

    /// What nobody has goes to who has least.
    fn fill(&mut self) {
        for at in 0..self.places.len() {
            let place = &self.places[at];
            if place.owner.is_some() {
                continue;
            }
            let Some((load, member)) = self.classes[place.class].first().copied() else {
                continue;
            };
            self.places[at].owner = Some(member);
            self.load(member, load + 1);
        }
    }

    /// Moves partitions from who has more to who has at least two less; whether any moved.
    fn level(&mut self) -> bool {
        let mut moved = false;
        // From the last to the first, so that a member keeps the partitions with low numbers.
        for at in (0..self.places.len()).rev() {
            let place = &self.places[at];
            let Some(owner) = place.owner else { continue };
            let Some((load, member)) = self.classes[place.class].first().copied() else {
                continue;
            };
            if load + 1 < self.loads[owner] {
                self.places[at].owner = Some(member);
                self.load(owner, self.loads[owner] - 1);
                self.load(member, load + 1);
                moved = true;
            }
        }
        moved
    }
}
