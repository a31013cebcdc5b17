//! When records are due in an open loop: a fixed time each, whatever happened to those before. It
//! sleeps on a thread of its own, because a runtime's timers are a millisecond coarse.

use std::time::{Duration, Instant};

/// Shorter waits are not worth a sleep: whatever is due by then is sent together.
const NAP_MIN: Duration = Duration::from_micros(50);

/// Gives each record its time.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    began: Instant,
    interval: Option<Duration>,
    sent: u32,
    /// Whole rounds of `u32::MAX` intervals already passed.
    base: Duration,
}

impl Pace {
    /// `rate` records a second from now on; none means as fast as it goes.
    pub(super) fn new(began: Instant, rate: Option<f64>) -> Self {
        let interval = rate
            .filter(|rate| *rate > 0.0)
            .map(|rate| Duration::from_secs_f64(1.0 / rate));
        Self {
            began,
            interval,
            sent: 0,
            base: Duration::ZERO,
        }
    }

    /// Waits until the next record is due and tells when that was, which may lie in the past.
    pub(super) fn next(&mut self) -> Instant {
        let Some(interval) = self.interval else {
            return Instant::now();
        };
        let due = self.began + self.base + interval * self.sent;
        self.sent += 1;
        if self.sent == 1_000_000 {
            // Keeps the multiplication exact and within its range for ever.
            self.base += interval * self.sent;
            self.sent = 0;
        }
        let wait = due.saturating_duration_since(Instant::now());
        if wait > NAP_MIN {
            std::thread::sleep(wait);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_fixed_whatever_happens() {
        let began = Instant::now() - Duration::from_secs(3);
        let mut pace = Pace::new(began, Some(1_000_000.0));
        for record in 0..2_500_000_u32 {
            let due = pace.next();
            if record % 500_000 == 0 {
                assert_eq!(due - began, Duration::from_micros(record.into()));
            }
        }
    }
}
