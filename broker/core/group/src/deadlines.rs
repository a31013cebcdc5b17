//! Times by name, and in their order: whose time is up first is known at once, however many wait.
//! Only the times; what is to happen then is the owner's.

use crate::Name;
use alloc::collections::{BTreeMap, BTreeSet};
use weir_types::Tick;

/// A time for each of some names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deadlines {
    times: BTreeMap<Name, Tick>,
    order: BTreeSet<(Tick, Name)>,
}

impl Deadlines {
    /// From now on that is the time of this name; nothing: it has none.
    pub(crate) fn put(&mut self, name: &Name, time: Option<Tick>) {
        let old = match time {
            Some(time) => self.times.insert(name.clone(), time),
            None => self.times.remove(name),
        };
        if old == time {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&(old, name.clone()));
        }
        if let Some(time) = time {
            self.order.insert((time, name.clone()));
        }
    }

    /// Whether a name has a time.
    pub(crate) fn contains(&self, name: &Name) -> bool {
        self.times.contains_key(name)
    }

    /// How many have one.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether none has.
    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The first of all.
    pub(crate) fn first(&self) -> Option<Tick> {
        self.order.first().map(|(time, _)| *time)
    }

    /// Whose time is that one or an earlier one, in order of their times.
    pub(crate) fn until(&self, time: Tick) -> impl Iterator<Item = &Name> {
        let due = self.order.iter().take_while(move |(at, _)| *at <= time);
        due.map(|(_, name)| name)
    }

    /// Asserts that the order is that of the times.
    pub(crate) fn check(&self) {
        let times = self.times.iter().map(|(name, at)| (*at, name.clone()));
        assert!(
            times.collect::<BTreeSet<_>>() == self.order,
            "I-GRP-21: what is counted beside the members follows from them"
        );
    }
}
