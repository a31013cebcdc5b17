//! What members of consumer groups were told and what they did: who was given which partition in
//! which epoch, what was committed and acked, what was processed, and the history as it was told.

use super::{cluster::ClusterTruth, log::LogModel};
use crate::{
    checks::{
        commits,
        history::{self, Told},
        ownership, settling, skips, zombies,
    },
    violation::Checked,
};
use std::collections::{BTreeMap, BTreeSet};
use weir_node::request::PartitionKey;
use weir_types::PartitionIndex;

/// All groups.
#[derive(Debug, Default)]
pub struct GroupsTruth {
    groups: BTreeMap<String, GroupTruth>,
    /// Rebalances that were told, for figures.
    pub rebalances: u64,
    /// Commits that were acked, for figures.
    pub commits: u64,
    /// Commits that were refused, for figures.
    pub refused: u64,
}

/// One group.
#[derive(Debug, Default)]
pub struct GroupTruth {
    /// The topics it reads once the faults are over, by name.
    topics: BTreeSet<String>,
    owners: BTreeMap<(i32, PartitionKey), String>,
    /// The last epoch in which a member was given a partition, by the member's id.
    given: BTreeMap<String, BTreeMap<PartitionKey, i32>>,
    /// Up to which epoch a member's commits must be refused, by the member's id.
    fenced: BTreeMap<String, i32>,
    commits: BTreeMap<PartitionKey, Committed>,
    done: BTreeMap<PartitionKey, Done>,
    /// What living members read, by seat.
    holds: BTreeMap<String, BTreeMap<PartitionKey, bool>>,
    history: BTreeMap<i64, Told>,
}

#[derive(Debug)]
struct Committed {
    /// The last acked commit; -1: none.
    floor: i64,
    /// How often somebody asked to set it back.
    resets: u64,
    /// Where resets that were not answered would set it to.
    unclear: Vec<i64>,
}

impl Default for Committed {
    fn default() -> Self {
        Self {
            floor: -1,
            resets: 0,
            unclear: Vec::new(),
        }
    }
}

/// What was processed of a partition: ranges that neither touch nor overlap.
#[derive(Debug, Default)]
struct Done {
    ranges: BTreeMap<i64, i64>,
    /// Nothing below must be processed: the log was told to start here.
    excused: i64,
}

impl Done {
    fn add(&mut self, from: i64, to: i64) {
        let (mut from, mut to) = (from, to);
        let touching: Vec<(i64, i64)> = self
            .ranges
            .range(..=to)
            .filter(|(_, end)| **end >= from)
            .map(|(start, end)| (*start, *end))
            .collect();
        for (start, end) in touching {
            self.ranges.remove(&start);
            from = from.min(start);
            to = to.max(end);
        }
        self.ranges.insert(from, to);
    }

    /// The first offset from `from` up to `to` that was not processed.
    fn missing(&self, from: i64, to: i64) -> Option<i64> {
        let from = from.max(self.excused);
        if from >= to {
            return None;
        }
        let end = self.ranges.range(..=from).next_back();
        let end = end.map_or(from, |(_, end)| (*end).max(from));
        (end < to).then_some(end)
    }
}

/// What is known of a commit when it is sent.
#[derive(Clone, Debug)]
pub struct SentCommit {
    fenced: bool,
    offsets: BTreeMap<PartitionKey, (i64, u64)>,
}

impl SentCommit {
    /// What it commits.
    #[must_use]
    pub fn offset(&self, key: PartitionKey) -> Option<i64> {
        self.offsets.get(&key).map(|(offset, _)| *offset)
    }
}

/// What is known of a committed offset when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct OffsetFloor {
    floor: i64,
    resets: u64,
}

impl GroupsTruth {
    /// A group, known from now on.
    pub fn group(&mut self, group: &str) -> &mut GroupTruth {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), GroupTruth::default());
        }
        self.groups.get_mut(group).expect("it is there by now")
    }

    /// Groups that have not settled, in words.
    #[must_use]
    pub fn unsettled(&self, cluster: &ClusterTruth) -> Vec<String> {
        let groups = self.groups.iter();
        groups
            .filter_map(|(name, group)| Some(format!("{name}: {}", group.unsettled(cluster)?)))
            .collect()
    }

    /// The run is over: every group has settled and processed everything.
    ///
    /// # Errors
    /// Where one has not.
    pub fn finally(&self, cluster: &ClusterTruth, log: &LogModel) -> Checked {
        settling::settled(&self.unsettled(cluster))?;
        for (name, group) in &self.groups {
            for key in group.partitions(cluster) {
                let Some(part) = log.part(key) else { continue };
                let missing = group.missing(key, part.start.0, part.flushed.0);
                skips::nothing_skipped(missing, part.flushed.0, || format!("{name} {key:?}"))?;
            }
        }
        Ok(())
    }
}

impl GroupTruth {
    /// In the end it reads these topics.
    pub fn reads(&mut self, topics: &[String]) {
        self.topics = topics.iter().cloned().collect();
    }

    fn partitions(&self, cluster: &ClusterTruth) -> Vec<PartitionKey> {
        let read = cluster
            .living()
            .filter(|(_, topic)| self.topics.contains(&topic.name));
        read.flat_map(|(topic, truth)| {
            (0..truth.partitions.0).map(move |index| PartitionKey {
                topic,
                index: PartitionIndex(index),
            })
        })
        .collect()
    }

    fn unsettled(&self, cluster: &ClusterTruth) -> Option<String> {
        for key in self.partitions(cluster) {
            let owners: Vec<(&str, bool)> = self
                .holds
                .iter()
                .filter_map(|(seat, held)| Some((seat.as_str(), *held.get(&key)?)))
                .collect();
            match owners.as_slice() {
                [(_, true)] => {}
                [(owner, false)] => return Some(format!("{owner} is not done with {key:?}")),
                [] => return Some(format!("nobody reads {key:?}")),
                [..] => return Some(format!("several read {key:?}: {owners:?}")),
            }
        }
        None
    }

    /// What a member reads from now on, each partition with whether it is done with it.
    pub fn holds(&mut self, seat: &str, held: BTreeMap<PartitionKey, bool>) {
        if held.is_empty() {
            self.holds.remove(seat);
        } else {
            self.holds.insert(seat.to_owned(), held);
        }
    }

    /// A member, by id and by the name it keeps if it is static, is given partitions.
    ///
    /// # Errors
    /// Where one of them is another's in that epoch.
    pub fn given(
        &mut self,
        member: &str,
        name: &str,
        epoch: i32,
        keys: &BTreeSet<PartitionKey>,
    ) -> Checked {
        for key in keys {
            let known = self.owners.get(&(epoch, *key)).map(String::as_str);
            ownership::one_owner(known, name, || format!("{key:?} in epoch {epoch}"))?;
            self.owners.insert((epoch, *key), name.to_owned());
            for (other, given) in &self.given {
                if let Some(before) = given.get(key)
                    && other != member
                    && *before < epoch
                {
                    let fenced = self.fenced.entry(other.clone()).or_insert(i32::MIN);
                    *fenced = (*fenced).max(*before);
                }
            }
            let given = self.given.entry(member.to_owned()).or_default();
            let last = given.entry(*key).or_insert(epoch);
            *last = (*last).max(epoch);
        }
        Ok(())
    }

    /// A member was told that it has left.
    pub fn left(&mut self, member: &str) {
        self.fenced.insert(member.to_owned(), i32::MAX);
    }

    /// A member has processed the records `from` to `to`.
    pub fn processed(&mut self, key: PartitionKey, from: i64, to: i64) {
        self.done.entry(key).or_default().add(from, to);
    }

    /// A member was told that a partition begins here.
    pub fn begins(&mut self, key: PartitionKey, start: i64) {
        let done = self.done.entry(key).or_default();
        done.excused = done.excused.max(start);
    }

    fn missing(&self, key: PartitionKey, from: i64, to: i64) -> Option<i64> {
        match self.done.get(&key) {
            Some(done) => done.missing(from, to),
            None => (from < to).then_some(from),
        }
    }

    /// A member sends a commit.
    pub fn commits(
        &mut self,
        member: &str,
        epoch: i32,
        offsets: &BTreeMap<PartitionKey, i64>,
    ) -> SentCommit {
        let fenced = self.fenced.get(member).is_some_and(|upto| epoch <= *upto);
        let offsets = offsets.iter().map(|(key, offset)| {
            let resets = self.commits.entry(*key).or_default().resets;
            (*key, (*offset, resets))
        });
        SentCommit {
            fenced,
            offsets: offsets.collect(),
        }
    }

    /// A commit of a partition was acked.
    ///
    /// # Errors
    /// Where it had to be refused.
    pub fn committed(&mut self, sent: &SentCommit, key: PartitionKey) -> Checked {
        zombies::accepted(sent.fenced, || format!("{key:?} {sent:?}"))?;
        let known = self.commits.entry(key).or_default();
        if let Some((offset, resets)) = sent.offsets.get(&key)
            && known.resets == *resets
        {
            known.floor = known.floor.max(*offset);
        }
        Ok(())
    }

    /// Somebody asks for a committed offset.
    #[must_use]
    pub fn floor(&self, key: PartitionKey) -> OffsetFloor {
        let Some(known) = self.commits.get(&key) else {
            return OffsetFloor {
                floor: -1,
                resets: 0,
            };
        };
        let unclear = known.unclear.iter().copied().min();
        OffsetFloor {
            floor: known.floor.min(unclear.unwrap_or(i64::MAX)),
            resets: known.resets,
        }
    }

    /// A member is told a committed offset, or -1.
    ///
    /// # Errors
    /// Where it is older than what was acked, or something below it was not processed.
    pub fn told_offset(
        &mut self,
        key: PartitionKey,
        known: OffsetFloor,
        offset: i64,
        start: i64,
    ) -> Checked {
        let now = self.floor(key);
        if now.resets == known.resets {
            commits::told(known.floor, offset, || format!("{key:?}"))?;
        }
        let missing = self.missing(key, start, offset);
        skips::nothing_skipped(missing, offset, || format!("{key:?}"))
    }

    /// Somebody asks to set the committed offset back to `offset`, or to forget it (-1).
    pub fn resets(&mut self, key: PartitionKey, offset: i64) {
        let known = self.commits.entry(key).or_default();
        known.resets += 1;
        known.unclear.push(offset);
    }

    /// A reset was answered.
    pub fn reset_answered(&mut self, key: PartitionKey, offset: i64, done: bool) {
        let known = self.commits.entry(key).or_default();
        if let Some(place) = known.unclear.iter().position(|unclear| *unclear == offset) {
            known.unclear.remove(place);
        }
        known.resets += 1;
        if done {
            known.floor = known.floor.min(offset);
        }
    }

    /// The last acked commit of a partition, or -1.
    #[must_use]
    pub fn acked(&self, key: PartitionKey) -> i64 {
        self.commits.get(&key).map_or(-1, |known| known.floor)
    }

    /// The number of the newest rebalance that was told, or 0.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.history.last_key_value().map_or(0, |(last, _)| *last)
    }

    /// The history is told; `known` was its newest rebalance when somebody asked. How many are
    /// new.
    ///
    /// # Errors
    /// Where it is not whole.
    pub fn told_history(&mut self, known: i64, mut told: Vec<Told>) -> Checked<u64> {
        told.sort_by_key(|event| event.sequence);
        for pair in told.windows(2) {
            if let [before, next] = pair {
                history::follows(before, next)?;
            }
        }
        history::newest(known, told.last().map_or(0, |event| event.sequence))?;
        let mut new = 0;
        for event in told {
            history::the_same(self.history.get(&event.sequence), &event)?;
            new += u64::from(self.history.insert(event.sequence, event).is_none());
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::Done;

    #[test]
    fn ranges_grow_together_and_gaps_are_found() {
        let mut done = Done::default();
        assert_eq!(done.missing(0, 5), Some(0));
        done.add(0, 5);
        done.add(8, 10);
        assert_eq!(done.missing(0, 10), Some(5));
        assert_eq!(done.missing(8, 10), None);
        assert_eq!(done.missing(6, 10), Some(6));
        done.add(5, 8);
        assert_eq!(done.ranges.len(), 1);
        assert_eq!(done.missing(0, 10), None);
        assert_eq!(done.missing(0, 11), Some(10));
        done.excused = 11;
        assert_eq!(done.missing(0, 11), None);
    }
}
