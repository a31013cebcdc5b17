//! The events that are kept of all groups of a coordinator, by number and by time, so that whoever
//! asks for some of them need not look at all. The events themselves lie with their groups.

use crate::{HistoryEvent, Name};
use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Bound;
use weir_types::TimestampMs;

/// Where an event stands among those of all groups: its time, its group, its number there.
pub type EventPlace = (TimestampMs, Name, u64);

/// The events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    by_number: BTreeMap<u64, (Name, u64)>,
    by_time: BTreeSet<EventPlace>,
}

impl Events {
    pub(crate) fn insert(&mut self, group: &Name, event: &HistoryEvent) {
        let place = (group.clone(), event.sequence);
        self.by_number.insert(event.number, place);
        self.by_time.insert(place_of(group, event));
    }

    pub(crate) fn remove(&mut self, group: &Name, event: &HistoryEvent) {
        self.by_number.remove(&event.number);
        self.by_time.remove(&place_of(group, event));
    }

    /// The largest number.
    pub(crate) fn last(&self) -> Option<u64> {
        self.by_number.last_key_value().map(|(last, _)| *last)
    }

    /// Those with numbers behind `after` and up to `until`, in their order: group, number there.
    pub(crate) fn between(&self, after: u64, until: u64) -> impl Iterator<Item = &(Name, u64)> {
        use Bound::{Excluded, Included};
        // A range that ends before it begins is none.
        let end = until.max(after.saturating_add(1));
        let range = self.by_number.range((Excluded(after), Included(end)));
        range
            .take_while(move |(number, _)| **number <= until)
            .map(|(_, place)| place)
    }

    /// Those from a place on and below another, in their order.
    pub(crate) fn by_time(
        &self,
        from: Bound<EventPlace>,
        below: Bound<EventPlace>,
    ) -> impl DoubleEndedIterator<Item = &EventPlace> {
        use Bound::{Excluded, Included};
        let is_some = match (&from, &below) {
            (Included(from) | Excluded(from), Included(below) | Excluded(below)) => from < below,
            _ => true,
        };
        let range = is_some.then(|| self.by_time.range((from, below)));
        range.into_iter().flatten()
    }
}

pub(crate) fn place_of(group: &Name, event: &HistoryEvent) -> EventPlace {
    (event.at, group.clone(), event.sequence)
}
