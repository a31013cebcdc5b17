//! Bounds on bytes that no one session can bound: what is on its way into the log, and what answers
//! hold until a client has taken them.
//!
//! Whoever finds no room waits in one line, in order of arrival; nothing here wakes more than the
//! first of it.

use crate::limits::LOG_FULL_LOOK_MS;
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use weir_store::Store;
use weir_types::log::StoredBatch;

/// Both bounds, shared by all sessions and shards.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    pub(crate) log: Arc<LogRoom>,
    pub(crate) answers: Arc<AnswerRoom>,
}

/// Bytes of records that answers hold, from the read to the last byte written.
#[derive(Debug)]
pub(crate) struct AnswerRoom {
    bytes_max: usize,
    held: AtomicUsize,
    freed: Notify,
    line: Mutex<()>,
}

/// Bytes that count as held until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    room: Arc<AnswerRoom>,
    bytes: usize,
}

impl AnswerRoom {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            held: AtomicUsize::new(0),
            freed: Notify::new(),
            line: Mutex::new(()),
        })
    }

    /// Bytes held now.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Waits until less than the limit is held.
    pub(crate) async fn wait(&self) {
        if self.held_bytes() < self.bytes_max {
            return;
        }
        let _first = self.line.lock().await;
        while self.held_bytes() >= self.bytes_max {
            self.freed.notified().await;
        }
    }

    /// How many bytes a read may bring that wants so many. At the limit it brings the one batch
    /// that every read brings; at twice the limit, which only a crowd of fetches that were let in
    /// together reaches, nothing.
    pub(crate) fn grant(&self, wanted: usize) -> Option<usize> {
        let held = self.held_bytes();
        if held < self.bytes_max {
            Some(wanted)
        } else {
            (held < self.bytes_max.saturating_mul(2)).then_some(0)
        }
    }

    /// Counts bytes as held.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.held.fetch_add(bytes, Ordering::AcqRel);
        Charge {
            room: Arc::clone(self),
            bytes,
        }
    }

    /// Batches that were read from files count until nobody holds their bytes any more. Those of
    /// the tail cache are the cache's.
    pub(crate) fn charge_read(self: &Arc<Self>, batches: Vec<StoredBatch>) -> Vec<StoredBatch> {
        let charged = |batch| match batch {
            StoredBatch::Read(bytes) => {
                let charge = self.charge(bytes.len());
                StoredBatch::Read(hold(bytes, charge))
            }
            StoredBatch::Cached(batch) => StoredBatch::Cached(batch),
        };
        batches.into_iter().map(charged).collect()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let before = self.room.held.fetch_sub(self.bytes, Ordering::AcqRel);
        let max = self.room.bytes_max;
        if before >= max && before.saturating_sub(self.bytes) < max {
            self.room.freed.notify_one();
        }
    }
}

/// Bytes that keep something until the last slice of them is gone.
pub(crate) fn hold<T: Send + 'static>(bytes: Bytes, kept: T) -> Bytes {
    Bytes::from_owner(Holding { bytes, _kept: kept })
}

struct Holding<T> {
    bytes: Bytes,
    _kept: T,
}

impl<T> AsRef<[u8]> for Holding<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes of requests between their admission and the log's queue, together with what is in the
/// queue: below the log's own bound, whatever time-outs the requests have.
#[derive(Debug)]
pub(crate) struct LogRoom {
    bytes_max: usize,
    on_way: AtomicUsize,
    /// What the log's queue held when somebody last looked.
    queued: AtomicUsize,
    store: Weak<Store>,
    line: Mutex<()>,
}

/// A request on its way to the log's queue.
#[derive(Debug)]
pub(crate) struct OnWay {
    room: Arc<LogRoom>,
    bytes: usize,
}

impl LogRoom {
    pub(crate) fn new(bytes_max: usize, store: &Arc<Store>) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            on_way: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            store: Arc::downgrade(store),
            line: Mutex::new(()),
        })
    }

    /// Waits until the log takes more, and counts the bytes of a request as on their way.
    pub(crate) async fn admit(self: &Arc<Self>, bytes: usize) -> OnWay {
        if let Some(admitted) = self.try_admit(bytes) {
            return admitted;
        }
        let _first = self.line.lock().await;
        loop {
            self.look();
            if let Some(admitted) = self.try_admit(bytes) {
                return admitted;
            }
            tokio::time::sleep(Duration::from_millis(LOG_FULL_LOOK_MS)).await;
        }
    }

    /// Looks what the log's queue holds. Whoever hands requests to the log looks before it drops
    /// their [`OnWay`].
    pub(crate) fn look(&self) {
        let queued = self
            .store
            .upgrade()
            .map_or(0, |store| store.pending_bytes());
        self.queued.store(queued, Ordering::Release);
    }

    fn try_admit(self: &Arc<Self>, bytes: usize) -> Option<OnWay> {
        let before = self.on_way.fetch_add(bytes, Ordering::AcqRel);
        let on_way = OnWay {
            room: Arc::clone(self),
            bytes,
        };
        let all = before.saturating_add(self.queued.load(Ordering::Acquire));
        (all < self.bytes_max).then_some(on_way)
    }
}

impl Drop for OnWay {
    fn drop(&mut self) {
        self.room.on_way.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn answers_wait_in_line_until_bytes_are_written() {
        let room = AnswerRoom::new(100);
        let file = StoredBatch::Read(Bytes::from_static(&[7; 60]));
        let read = room.charge_read(vec![file.clone(), file]);
        assert_eq!(room.held_bytes(), 120);
        assert!(room.wait().now_or_never().is_none());
        assert_eq!(room.grant(50), Some(0), "one batch");
        let more = room.charge(80);
        assert_eq!(room.grant(50), None);
        drop(more);
        let mut first = Box::pin(room.wait());
        let mut second = Box::pin(room.wait());
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        // A slice keeps all that it is a part of.
        let Some(StoredBatch::Read(bytes)) = read.first() else {
            panic!("what was read stays what it is");
        };
        let slice = bytes.slice(..1);
        drop(read);
        assert_eq!(room.held_bytes(), 60);
        first.await;
        second.await;
        assert_eq!(room.grant(50), Some(50));
        drop(slice);
        assert_eq!(room.held_bytes(), 0);
    }
}
