//! Questions held back because a partition they name is still being opened, or because they were
//! split by an image this shard has not seen yet.
//!
//! Produce requests that name the same partition keep their order: one that could go on waits
//! behind an earlier one that cannot. Time sets an end to it. Every question knows the one thing it
//! waits for and how far it has looked, so that a partition that opens leads to those who wait for
//! it: never to a look at all questions, nor at all partitions of one.

use super::{Node, Partition};
use crate::{
    event::{Effect, RequestId},
    limits::{HELD_MS_MAX, REQUESTS_HELD_MAX},
    request::{Ask, PartitionKey},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_types::{Now, Tick};

#[cfg(test)]
mod tests;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Waits {
    /// An image with this index.
    Image(u64),
    /// This partition to be opened.
    Opening(PartitionKey),
    /// An earlier batch for this partition.
    Turn(PartitionKey),
}

/// The place of a question in the order of arrival.
type Number = u64;

#[derive(Debug)]
struct HeldAsk {
    id: RequestId,
    seen: u64,
    deadline: Tick,
    waits: Waits,
    /// How many of the partitions it names need no more waiting. What was opened or given up is
    /// never opened again under the same key, and no earlier question comes: none is looked at
    /// twice.
    passed: usize,
    ask: Ask,
}

/// The questions that are held back, in order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Held {
    asks: BTreeMap<Number, HeldAsk>,
    next: Number,
    /// Who waits for what.
    waiting: BTreeSet<(Waits, Number)>,
    /// The held Produce questions that name a partition.
    produces: BTreeSet<(PartitionKey, Number)>,
    /// Looks at a partition on behalf of a question.
    #[cfg(test)]
    looks: usize,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }

    /// Deadlines ascend with arrival, as every question waits equally long.
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        self.asks.values().next().map(|held| held.deadline)
    }

    /// Whoever asked does not want to wait: a fetch answers as soon as it can be looked at.
    pub(super) fn hurry(&mut self, id: RequestId) {
        for held in self.asks.values_mut().filter(|held| held.id == id) {
            match &mut held.ask {
                Ask::Fetch(fetch) => fetch.max_wait_ms = 0,
                Ask::Watch(watch) => watch.wait_ms = 0,
                _ => {}
            }
        }
    }

    pub(super) fn check(&self) {
        let mut waiting = BTreeSet::new();
        let mut produces = BTreeSet::new();
        for (number, held) in &self.asks {
            waiting.insert((held.waits, *number));
            produces.extend(produced(&held.ask).map(|key| (key, *number)));
        }
        assert_eq!(waiting, self.waiting, "I-NODE-9: who waits will be found");
        assert_eq!(produces, self.produces, "I-NODE-9: held batches are known");
    }

    fn push(&mut self, number: Number, held: HeldAsk) {
        self.waiting.insert((held.waits, number));
        self.produces
            .extend(produced(&held.ask).map(|key| (key, number)));
        self.asks.insert(number, held);
    }

    /// Takes out a question that goes on; whose turn it is then is added to `ready`.
    fn forget(&mut self, number: Number, held: &HeldAsk, ready: &mut BTreeSet<Number>) {
        self.waiting.remove(&(held.waits, number));
        for key in produced(&held.ask) {
            self.produces.remove(&(key, number));
        }
        for key in produced(&held.ask) {
            let mut queue = self.produces.range((key, 0)..=(key, Number::MAX));
            if let Some((_, next)) = queue.next()
                && self.waiting.contains(&(Waits::Turn(key), *next))
            {
                ready.insert(*next);
            }
        }
    }

    fn waiting_for(&self, what: Waits) -> BTreeSet<Number> {
        let all = (what, 0)..=(what, Number::MAX);
        self.waiting.range(all).map(|(_, number)| *number).collect()
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

/// The partition that a question names at this place.
fn named(ask: &Ask, at: usize) -> Option<PartitionKey> {
    match ask {
        Ask::Produce(ask) => ask.partitions.get(at).map(|part| part.key),
        Ask::Fetch(ask) => ask.partitions.get(at).map(|part| part.key),
        Ask::Offsets(parts) => parts.get(at).map(|part| part.key),
        Ask::EpochEnds(parts) => parts.get(at).map(|part| part.key),
        Ask::DeleteRecords { partitions, .. } => partitions.get(at).map(|(key, _)| *key),
        Ask::Producers(keys) | Ask::Sizes(Some(keys)) => keys.get(at).copied(),
        Ask::Groups(asks) => asks.get(at).map(|ask| ask.key),
        Ask::History(ask) => ask.partitions.get(at).map(|part| part.key),
        Ask::Watch(ask) => ask.places.get(at).map(|place| place.key),
        Ask::Sizes(None)
        | Ask::Meta { .. }
        | Ask::ProducerId
        | Ask::Lag(_)
        | Ask::LagHistory(_) => None,
    }
}

impl Node {
    /// Lets a question pass or holds it back.
    pub(super) fn hold(&mut self, now: Now, id: RequestId, seen: u64, ask: Ask) -> Admission {
        let number = self.held.next;
        let mut held = HeldAsk {
            id,
            seen,
            deadline: now.tick + HELD_MS_MAX,
            waits: Waits::Image(seen),
            passed: 0,
            ask,
        };
        let Some(waits) = self.waits(number, &mut held) else {
            return Admission::Go(held.ask);
        };
        if self.held.len() >= REQUESTS_HELD_MAX {
            return Admission::Full;
        }
        held.waits = waits;
        self.held.next += 1;
        self.held.push(number, held);
        Admission::Held
    }

    /// What the question must wait for, if anything; goes on where the last look ended.
    fn waits(&mut self, number: Number, held: &mut HeldAsk) -> Option<Waits> {
        if held.seen > self.image.applied() {
            return Some(Waits::Image(held.seen));
        }
        let ordered = matches!(held.ask, Ask::Produce(_));
        while let Some(key) = named(&held.ask, held.passed) {
            #[cfg(test)]
            {
                self.held.looks += 1;
            }
            let earlier = (key, 0)..(key, number);
            if ordered && self.held.produces.range(earlier).next().is_some() {
                return Some(Waits::Turn(key));
            }
            if matches!(self.partitions.get(&key), Some(Partition::Opening)) {
                return Some(Waits::Opening(key));
            }
            held.passed += 1;
        }
        None
    }

    /// A partition was opened or given up: whoever waited for it goes on.
    pub(super) fn release_opened(
        &mut self,
        now: Now,
        key: PartitionKey,
        effects: &mut Vec<Effect>,
    ) {
        let ready = self.held.waiting_for(Waits::Opening(key));
        self.release(now, ready, effects);
    }

    /// An image came: whoever waited for it goes on.
    pub(super) fn release_agreed(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let seen = (Waits::Image(0), 0)..=(Waits::Image(self.image.applied()), Number::MAX);
        let ready = self.held.waiting.range(seen).map(|(_, number)| *number);
        let ready = ready.collect();
        self.release(now, ready, effects);
    }

    /// Looks at questions again, in order, and at those whose turn comes by it.
    fn release(&mut self, now: Now, mut ready: BTreeSet<Number>, effects: &mut Vec<Effect>) {
        while let Some(number) = ready.pop_first() {
            let Some(mut held) = self.held.asks.remove(&number) else {
                continue;
            };
            if let Some(waits) = self.waits(number, &mut held) {
                self.held.waiting.remove(&(held.waits, number));
                self.held.waiting.insert((waits, number));
                held.waits = waits;
                self.held.asks.insert(number, held);
                continue;
            }
            self.held.forget(number, &held, &mut ready);
            self.carry_out(now, held.id, held.ask, effects);
        }
    }

    /// Carries out what has waited long enough; what is still not open answers with an error.
    pub(super) fn expire_held(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let mut ready = BTreeSet::new();
        while let Some(first) = self.held.asks.first_entry()
            && first.get().deadline <= now.tick
        {
            let (number, held) = first.remove_entry();
            self.held.forget(number, &held, &mut ready);
            self.carry_out(now, held.id, held.ask, effects);
        }
        self.release(now, ready, effects);
    }
}
