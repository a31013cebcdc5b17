//! Pauses between attempts: they double, with some jitter so that many clients do not return as
//! one, up to a limit.

use crate::limits::{RETRY_BACKOFF_MAX_MS, RETRY_BACKOFF_MS};
use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Counts attempts and waits between them.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Waits for the next attempt.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    fn next(&mut self) -> Duration {
        let pause = RETRY_BACKOFF_MS
            .saturating_mul(1 << self.attempts.min(16))
            .min(RETRY_BACKOFF_MAX_MS);
        self.attempts += 1;
        // Up to a fifth more.
        let jitter = random() % (pause / 5 + 1);
        Duration::from_millis(pause + jitter)
    }
}

/// A number nobody needs to guess right: std seeds each hasher anew.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}
