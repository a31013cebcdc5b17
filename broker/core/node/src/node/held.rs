//! Questions held back because a partition they name is still being opened, or because they were
//! split by an image this shard has not seen yet.
//!
//! Produce requests that name the same partition keep their order: one that could go on waits
//! behind an earlier one that cannot. Time sets an end to it.

use super::{Node, Partition};
use crate::{
    event::{Effect, RequestId},
    limits::{HELD_MS_MAX, REQUESTS_HELD_MAX},
    request::{Ask, PartitionKey},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use weir_types::{Now, Tick};

/// What becomes of a new question.
pub(super) enum Admission {
    /// It can be carried out now.
    Go(Ask),
    /// It waits.
    Held,
    /// Too many wait.
    Full,
}

/// What a question waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// An image with this index.
    Image(u64),
    /// This partition to be opened.
    Opening(PartitionKey),
    /// An earlier batch for this partition.
    Turn(PartitionKey),
}

#[derive(Debug)]
struct HeldAsk {
    id: RequestId,
    seen: u64,
    deadline: Tick,
    waits: Waits,
    ask: Ask,
}

/// The questions that are held back, in order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Held {
    asks: VecDeque<HeldAsk>,
    /// How many held Produce questions name a partition.
    produces: BTreeMap<PartitionKey, usize>,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }

    /// Deadlines ascend with arrival, as every question waits equally long.
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        self.asks.front().map(|held| held.deadline)
    }

    /// Whoever asked does not want to wait: a fetch answers as soon as it can be looked at.
    pub(super) fn hurry(&mut self, id: RequestId) {
        for held in self.asks.iter_mut().filter(|held| held.id == id) {
            if let Ask::Fetch(fetch) = &mut held.ask {
                fetch.max_wait_ms = 0;
            }
        }
    }

    pub(super) fn check(&self) {
        let named: usize = self
            .asks
            .iter()
            .map(|held| produced(&held.ask).count())
            .sum();
        assert_eq!(
            named,
            self.produces.values().sum::<usize>(),
            "I-NODE-9: held batches are counted"
        );
    }

    fn push(&mut self, held: HeldAsk) {
        for key in produced(&held.ask) {
            *self.produces.entry(key).or_default() += 1;
        }
        self.asks.push_back(held);
    }

    fn forget(&mut self, ask: &Ask) {
        for key in produced(ask) {
            if let Some(count) = self.produces.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.produces.remove(&key);
                }
            }
        }
    }
}

/// The partitions a Produce question names; of other questions none.
fn produced(ask: &Ask) -> impl Iterator<Item = PartitionKey> + '_ {
    let parts = match ask {
        Ask::Produce(ask) => ask.partitions.as_slice(),
        _ => &[],
    };
    parts.iter().map(|part| part.key)
}

impl Node {
    /// Lets a question pass or holds it back.
    pub(super) fn hold(&mut self, now: Now, id: RequestId, seen: u64, ask: Ask) -> Admission {
        let turn = produced(&ask).find(|key| self.held.produces.contains_key(key));
        let Some(waits) = turn.map(Waits::Turn).or_else(|| self.waits(seen, &ask)) else {
            return Admission::Go(ask);
        };
        if self.held.len() >= REQUESTS_HELD_MAX {
            return Admission::Full;
        }
        self.held.push(HeldAsk {
            id,
            seen,
            deadline: now.tick + HELD_MS_MAX,
            waits,
            ask,
        });
        Admission::Held
    }

    /// What the question must wait for, if anything.
    fn waits(&self, seen: u64, ask: &Ask) -> Option<Waits> {
        if seen > self.image.applied() {
            return Some(Waits::Image(seen));
        }
        let opening =
            |key: &PartitionKey| matches!(self.partitions.get(key), Some(Partition::Opening));
        let first = match ask {
            Ask::Produce(ask) => ask.partitions.iter().map(|p| p.key).find(opening),
            Ask::Fetch(ask) => ask.partitions.iter().map(|p| p.key).find(opening),
            Ask::Offsets(parts) => parts.iter().map(|p| p.key).find(opening),
            Ask::EpochEnds(parts) => parts.iter().map(|p| p.key).find(opening),
            Ask::DeleteRecords { partitions, .. } => {
                partitions.iter().map(|(key, _)| *key).find(opening)
            }
            Ask::Producers(keys) | Ask::Sizes(Some(keys)) => keys.iter().copied().find(opening),
            Ask::Sizes(None) | Ask::Meta { .. } | Ask::ProducerId => None,
        };
        first.map(Waits::Opening)
    }

    /// A partition was opened or given up: whoever waited for it goes on.
    pub(super) fn release_opened(
        &mut self,
        now: Now,
        key: PartitionKey,
        effects: &mut Vec<Effect>,
    ) {
        let concerned = |held: &HeldAsk| held.waits == Waits::Opening(key);
        if self.held.asks.iter().any(concerned) {
            self.release_held(now, effects);
        }
    }

    /// Lets everything pass that no longer has to wait, in order.
    pub(super) fn release_held(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let mut blocked: BTreeSet<PartitionKey> = BTreeSet::new();
        for mut held in core::mem::take(&mut self.held.asks) {
            let still = match held.waits {
                Waits::Image(index) => index > self.image.applied(),
                Waits::Opening(key) => {
                    matches!(self.partitions.get(&key), Some(Partition::Opening))
                }
                Waits::Turn(key) => blocked.contains(&key),
            };
            if !still {
                let turn = produced(&held.ask).find(|key| blocked.contains(key));
                let waits = turn.map(Waits::Turn);
                let Some(waits) = waits.or_else(|| self.waits(held.seen, &held.ask)) else {
                    self.held.forget(&held.ask);
                    self.carry_out(now, held.id, held.ask, effects);
                    continue;
                };
                held.waits = waits;
            }
            blocked.extend(produced(&held.ask));
            self.held.asks.push_back(held);
        }
    }

    /// Carries out what has waited long enough; what is still not open answers with an error.
    pub(super) fn expire_held(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let mut expired = false;
        let due = |held: &HeldAsk| held.deadline <= now.tick;
        while self.held.asks.front().is_some_and(due) {
            let Some(held) = self.held.asks.pop_front() else {
                break;
            };
            expired = true;
            self.held.forget(&held.ask);
            self.carry_out(now, held.id, held.ask, effects);
        }
        if expired {
            self.release_held(now, effects);
        }
    }
}
