//! What the leader of a classic group does: share the partitions of topics out among members, by
//! `range` or by `cooperative-sticky` (KIP-429).
//!
//! Pure and the same for the same input. A sticky share never gives a partition away in the round
//! in which another member still owns it: that one gives it up first.

use crate::record::TopicPartition;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_types::PartitionIndex;

/// One member, as its subscription says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) instance_id: Option<String>,
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) owned: BTreeSet<TopicPartition>,
    /// In which it owned them.
    pub(crate) generation: i32,
}

pub(crate) type Shares = BTreeMap<String, BTreeSet<TopicPartition>>;

/// Cuts each topic into runs, one for each member that wants it; static members first, by name.
pub(crate) fn range(wishes: &BTreeMap<String, Wish>, counts: &BTreeMap<Arc<str>, i32>) -> Shares {
    let mut shares = empty(wishes);
    for (topic, count) in counts {
        let mut row: Vec<_> = wishes
            .iter()
            .filter(|(_, wish)| wish.topics.contains(topic))
            .collect();
        row.sort_by_key(|(id, wish)| (wish.instance_id.is_none(), wish.instance_id.clone(), *id));
        let members = i32::try_from(row.len()).unwrap_or(i32::MAX);
        if members == 0 {
            continue;
        }
        let (each, longer) = (count / members, count % members);
        let mut next = 0;
        for (place, (id, _)) in (0..members).zip(row) {
            let length = each + i32::from(place < longer);
            let run = (next..next + length).map(|index| TopicPartition {
                topic: Arc::clone(topic),
                partition: PartitionIndex(index),
            });
            if let Some(share) = shares.get_mut(id) {
                share.extend(run);
            }
            next += length;
        }
    }
    shares
}

/// Shares evenly, moves as little as it can, and leaves out what has to be given up first.
pub(crate) fn cooperative_sticky(
    wishes: &BTreeMap<String, Wish>,
    counts: &BTreeMap<Arc<str>, i32>,
) -> Shares {
    let owners = owners(wishes, counts);
    let mut shares = empty(wishes);
    let mut free = Vec::new();
    for (topic, count) in counts {
        for index in 0..*count {
            let partition = TopicPartition {
                topic: Arc::clone(topic),
                partition: PartitionIndex(index),
            };
            let keeps = owners.get(&partition).filter(|id| wants(wishes, id, topic));
            match keeps.and_then(|id| shares.get_mut(id)) {
                Some(share) => {
                    share.insert(partition);
                }
                None => free.push(partition),
            }
        }
    }
    for partition in free {
        let id = least(wishes, &shares, &partition.topic);
        if let Some(share) = id.and_then(|id| shares.get_mut(&id)) {
            share.insert(partition);
        }
    }
    balance(wishes, &mut shares);
    for (id, share) in &mut shares {
        // Also what two claim: both hear that they lose it before a third gets it.
        share.retain(|partition| {
            let mut claims = wishes.iter().filter(|(_, w)| w.owned.contains(partition));
            let is_mine = owners.get(partition) == Some(id);
            is_mine || claims.all(|(other, wish)| other == id || is_outdated(wishes, wish))
        });
    }
    shares
}

/// Whether a claim is from a generation that others have passed: what it names was given to them
/// long ago, and its owner was told so by being thrown out. Clients whose subscriptions are older
/// than KIP-792 name no generation; their claims always count.
fn is_outdated(wishes: &BTreeMap<String, Wish>, wish: &Wish) -> bool {
    wish.generation >= 0
        && wishes
            .values()
            .any(|other| other.generation > wish.generation && !other.owned.is_empty())
}

fn empty(wishes: &BTreeMap<String, Wish>) -> Shares {
    wishes
        .keys()
        .map(|id| (id.clone(), BTreeSet::new()))
        .collect()
}

fn wants(wishes: &BTreeMap<String, Wish>, id: &str, topic: &Arc<str>) -> bool {
    wishes
        .get(id)
        .is_some_and(|wish| wish.topics.contains(topic))
}

/// Who owns what: the claim of the latest generation counts, and of two equal ones none
/// (KIP-792).
fn owners(
    wishes: &BTreeMap<String, Wish>,
    counts: &BTreeMap<Arc<str>, i32>,
) -> BTreeMap<TopicPartition, String> {
    let mut claims: BTreeMap<TopicPartition, (i32, Option<&String>)> = BTreeMap::new();
    for (id, wish) in wishes {
        for partition in &wish.owned {
            let count = counts.get(&partition.topic).copied().unwrap_or(0);
            if !(0..count).contains(&partition.partition.0) {
                continue;
            }
            let claim = claims
                .entry(partition.clone())
                .or_insert((i32::MIN, Some(id)));
            if wish.generation > claim.0 {
                *claim = (wish.generation, Some(id));
            } else if wish.generation == claim.0 && claim.1 != Some(id) {
                claim.1 = None;
            }
        }
    }
    let owned = claims.into_iter();
    owned
        .filter_map(|(partition, (_, id))| Some((partition, id?.clone())))
        .collect()
}

/// The member with the fewest partitions of those that want a topic.
fn least(wishes: &BTreeMap<String, Wish>, shares: &Shares, topic: &Arc<str>) -> Option<String> {
    let wanting = shares.iter().filter(|(id, _)| wants(wishes, id, topic));
    wanting
        .min_by_key(|(id, share)| (share.len(), *id))
        .map(|(id, _)| id.clone())
}

/// Moves partitions from members with many to members with few. Each move makes the sum of the
/// squares of the shares smaller, so it ends.
fn balance(wishes: &BTreeMap<String, Wish>, shares: &mut Shares) {
    loop {
        let mut rows: Vec<_> = shares.iter().map(|(id, s)| (s.len(), id.clone())).collect();
        rows.sort_by(|a, b| b.cmp(a));
        let found = rows.iter().find_map(|(count, from)| {
            let mut seen = BTreeSet::new();
            shares.get(from)?.iter().rev().find_map(|partition| {
                if !seen.insert(Arc::clone(&partition.topic)) {
                    return None;
                }
                let to = least(wishes, shares, &partition.topic)?;
                let is_better = shares.get(&to)?.len() + 1 < *count;
                is_better.then(|| (from.clone(), partition.clone(), to))
            })
        });
        let Some((from, partition, to)) = found else {
            return;
        };
        if let Some(share) = shares.get_mut(&from) {
            share.remove(&partition);
        }
        if let Some(share) = shares.get_mut(&to) {
            share.insert(partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, index: i32) -> TopicPartition {
        TopicPartition::new(topic, index)
    }

    fn wish(topics: &[&str], owned: &[(&str, i32)], generation: i32) -> Wish {
        Wish {
            topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
            owned: owned.iter().map(|(t, i)| partition(t, *i)).collect(),
            generation,
            ..Wish::default()
        }
    }

    fn wishes(rows: &[(&str, Wish)]) -> BTreeMap<String, Wish> {
        let rows = rows.iter();
        rows.map(|(id, wish)| ((*id).to_owned(), wish.clone()))
            .collect()
    }

    fn counts(rows: &[(&str, i32)]) -> BTreeMap<Arc<str>, i32> {
        rows.iter().map(|(t, n)| (Arc::from(*t), *n)).collect()
    }

    fn sizes(shares: &Shares) -> Vec<usize> {
        shares.values().map(BTreeSet::len).collect()
    }

    #[test]
    fn range_gives_runs_and_the_first_the_longer_ones() {
        let all = wishes(&[("a", wish(&["t"], &[], -1)), ("b", wish(&["t"], &[], -1))]);
        let shares = range(&all, &counts(&[("t", 5)]));
        let first: Vec<_> = shares["a"].iter().map(|p| p.partition.0).collect();
        assert_eq!(first, [0, 1, 2]);
        assert_eq!(sizes(&shares), [3, 2]);
    }

    #[test]
    fn a_newcomer_gets_nothing_until_it_is_given_up_and_then_a_fair_share() {
        let owned = [("t", 0), ("t", 1), ("t", 2), ("t", 3)];
        let topics = counts(&[("t", 4)]);
        let first = wishes(&[("a", wish(&["t"], &owned, 1)), ("b", wish(&["t"], &[], -1))]);
        let shares = cooperative_sticky(&first, &topics);
        assert_eq!(sizes(&shares), [2, 0], "two are on their way");
        let kept: Vec<_> = shares["a"].iter().map(|p| ("t", p.partition.0)).collect();
        let second = wishes(&[("a", wish(&["t"], &kept, 2)), ("b", wish(&["t"], &[], 2))]);
        let after = cooperative_sticky(&second, &topics);
        assert_eq!(after["a"], shares["a"], "what is kept does not move");
        assert_eq!(sizes(&after), [2, 2]);
    }

    #[test]
    fn the_share_of_one_that_is_gone_goes_to_all_evenly() {
        let all = wishes(&[
            ("a", wish(&["t"], &[("t", 0), ("t", 1)], 3)),
            ("b", wish(&["t"], &[("t", 4), ("t", 5)], 3)),
        ]);
        let shares = cooperative_sticky(&all, &counts(&[("t", 6)]));
        assert_eq!(sizes(&shares), [3, 3]);
        assert!(shares["a"].contains(&partition("t", 0)));
        assert!(shares["b"].contains(&partition("t", 5)));
    }

    #[test]
    fn a_claim_of_an_older_generation_does_not_count() {
        let all = wishes(&[
            ("a", wish(&["t"], &[("t", 0)], 7)),
            ("z", wish(&["t"], &[("t", 0)], 4)),
        ]);
        let shares = cooperative_sticky(&all, &counts(&[("t", 2)]));
        assert_eq!(sizes(&shares), [1, 1]);
        assert!(shares["a"].contains(&partition("t", 0)));
    }

    #[test]
    fn who_names_no_generation_gives_up_before_another_gets() {
        let owned = [("t", 2), ("t", 3)];
        let all = wishes(&[
            ("a", wish(&["t"], &[("t", 0), ("t", 1)], 45)),
            ("old", wish(&["t"], &owned, -1)),
            ("new", wish(&["t"], &[], -1)),
        ]);
        let shares = cooperative_sticky(&all, &counts(&[("t", 4)]));
        assert!(shares["new"].is_empty(), "{shares:?}");
    }

    #[test]
    fn nobody_gets_what_it_does_not_want() {
        let all = wishes(&[
            ("a", wish(&["t", "u"], &[], -1)),
            ("b", wish(&["u"], &[], -1)),
        ]);
        let shares = cooperative_sticky(&all, &counts(&[("t", 1), ("u", 3), ("v", 9)]));
        assert_eq!(sizes(&shares), [2, 2]);
        assert!(shares["b"].iter().all(|p| &*p.topic == "u"));
    }
}
