//! The clock by which lag is measured: it starts where the wall clock is and then runs with the
//! ticks, so that a wall clock that jumps neither makes lag nor takes it away.

use crate::track::LagTime;
use weir_types::Now;

/// Tells the time of lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagClock {
    /// What to add to a tick.
    base: i64,
}

impl LagClock {
    /// A clock that starts now, and never before what an earlier one has told.
    #[must_use]
    pub fn start(now: Now, earlier: LagTime) -> Self {
        let start = now.wall.0.max(earlier.0);
        let tick = i64::try_from(now.tick.0).unwrap_or(i64::MAX);
        Self {
            base: start.saturating_sub(tick),
        }
    }

    /// The time at a tick.
    #[must_use]
    pub fn at(&self, now: Now) -> LagTime {
        let tick = i64::try_from(now.tick.0).unwrap_or(i64::MAX);
        LagTime(self.base.saturating_add(tick))
    }
}
