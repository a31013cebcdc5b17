//! Time as the cores see it: handed in with each event, never read from a clock.

use core::ops::Add;

/// Milliseconds of a clock that never goes back; its zero means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// Milliseconds since 1970 (UTC), as records carry them; -1 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimestampMs(pub i64);

impl TimestampMs {
    /// "No timestamp", as the protocol writes it.
    pub const NONE: Self = Self(-1);
}

/// Both clocks at the moment of an event: `tick` for waiting, `wall` for what people see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For time-outs and timers.
    pub tick: Tick,
    /// For log-append times and retention; may jump.
    pub wall: TimestampMs,
}

impl Add<u64> for Tick {
    type Output = Self;

    fn add(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}
