//! The simulated clocks: ticks that only go forward, a wall clock that may jump, and the list of
//! what is to happen when.

use std::{cmp::Reverse, collections::BinaryHeap};
use weir_types::{Now, Tick, TimestampMs};

/// What the wall clock shows at tick 0: some day in 2033, so that no real clock is mistaken for it.
const WALL_START_MS: i64 = 2_000_000_000_000;

/// Both clocks and the agenda.
#[derive(Debug)]
pub struct Clock<T> {
    tick: u64,
    wall_offset: i64,
    sequence: u64,
    agenda: BinaryHeap<Reverse<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    sequence: u64,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.tick, self.sequence) == (other.tick, other.sequence)
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.tick, self.sequence).cmp(&(other.tick, other.sequence))
    }
}

impl<T> Default for Clock<T> {
    fn default() -> Self {
        Self {
            tick: 0,
            wall_offset: WALL_START_MS,
            sequence: 0,
            agenda: BinaryHeap::new(),
        }
    }
}

impl<T> Clock<T> {
    /// Milliseconds since the run began.
    #[must_use]
    pub const fn tick(&self) -> u64 {
        self.tick
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let passed = i64::try_from(self.tick).unwrap_or(i64::MAX);
        Now {
            tick: Tick(self.tick),
            wall: TimestampMs(self.wall_offset + passed),
        }
    }

    /// Lets the wall clock jump.
    pub fn jump(&mut self, by_ms: i64) {
        self.wall_offset += by_ms;
    }

    /// Puts something on the agenda, `delay_ms` from now.
    pub fn after(&mut self, delay_ms: u64, what: T) {
        self.at(self.tick + delay_ms, what);
    }

    /// Puts something on the agenda, at that tick or now, whichever is later.
    pub fn at(&mut self, tick: u64, what: T) {
        self.sequence += 1;
        self.agenda.push(Reverse(Entry {
            tick: tick.max(self.tick),
            sequence: self.sequence,
            what,
        }));
    }

    /// Takes the next thing and goes to its time.
    pub fn advance(&mut self) -> Option<T> {
        let Reverse(entry) = self.agenda.pop()?;
        self.tick = entry.tick;
        Some(entry.what)
    }
}
