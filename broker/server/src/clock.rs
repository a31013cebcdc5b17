//! The broker's two clocks, read in one place and handed to the cores with each event.

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use weir_types::{Now, Tick, TimestampMs};

/// Reads the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose ticks count from now.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Both clocks.
    pub(crate) fn now(self) -> Now {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            tick: Tick(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)),
            wall: TimestampMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}
