//! Whether the broker can still do its work: a thread that panicked leaves requests that nobody
//! answers and records that nobody writes, so a broker that lost one must end, not go on.
//!
//! It watches and tells; ending the process is for whoever owns it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use weir_store::Store;

/// How the names of the threads begin without which a broker cannot work.
const VITAL: [&str; 3] = ["store-", "weir-shard-", "weir-quorum"];

/// Whether a broker cannot work without the thread of this name.
fn is_vital(thread: Option<&str>) -> bool {
    thread.is_some_and(|name| VITAL.iter().any(|vital| name.starts_with(vital)))
}

/// Ends the process when a thread panics without which a broker cannot work, after the panic was
/// told. The next start repairs what was open and takes less than a second; a broker that went
/// on would acknowledge nothing more and never say why. For programs that are a broker and
/// nothing else; others ask [`Broker::is_alive`](crate::Broker::is_alive).
pub fn abort_when_a_thread_is_lost() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        let thread = std::thread::current();
        if is_vital(thread.name()) {
            tracing::error!(
                thread = thread.name(), %panic,
                "the broker lost a thread and cannot go on; it ends, and the next start repairs its files"
            );
            std::process::abort();
        }
    }));
}

/// What the probes ask.
#[derive(Debug)]
pub(crate) struct Health {
    ready: AtomicBool,
    lost: AtomicBool,
    store: Weak<Store>,
}

/// A thread without which the broker cannot work holds one.
pub(crate) struct Vital(pub(crate) Arc<Health>);

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lost.store(true, Ordering::Release);
        }
    }
}

impl Health {
    pub(crate) fn new(store: &Arc<Store>) -> Arc<Self> {
        Arc::new(Self {
            ready: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            store: Arc::downgrade(store),
        })
    }

    /// It serves, or it no longer does.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether it serves.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && self.is_alive()
    }

    /// Whether no thread is lost.
    pub(crate) fn is_alive(&self) -> bool {
        let store_lost = self
            .store
            .upgrade()
            .is_some_and(|store| store.has_lost_a_thread());
        !self.lost.load(Ordering::Acquire) && !store_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_store::{MemDisk, StoreConfig};

    #[test]
    fn only_a_brokers_own_threads_are_vital() {
        for name in [
            "store-lane-0",
            "store-control",
            "weir-shard-3",
            "weir-quorum",
        ] {
            assert!(is_vital(Some(name)), "{name}");
        }
        for name in [None, Some("main"), Some("tokio-runtime-worker")] {
            assert!(!is_vital(name), "{name:?}");
        }
    }

    #[test]
    fn a_thread_that_panics_is_noticed() {
        let sink = |_, _| {};
        let config = StoreConfig::default();
        let (store, _) = Store::open(config, Arc::new(MemDisk::new()), sink).unwrap();
        let store = Arc::new(store);
        let health = Health::new(&store);
        health.set_ready(true);
        let vital = Vital(Arc::clone(&health));
        std::thread::spawn(move || drop(vital)).join().unwrap();
        assert!(health.is_ready(), "an end is no loss");
        let vital = Vital(Arc::clone(&health));
        let lost = std::thread::spawn(move || {
            let _vital = vital;
            std::panic::resume_unwind(Box::new("lost"));
        });
        assert!(lost.join().is_err());
        assert!(!health.is_alive() && !health.is_ready());
    }

    /// The store's threads do not end by themselves: one that ended panicked.
    #[test]
    fn a_store_that_loses_a_thread_is_noticed() {
        let (told, heard) = std::sync::mpsc::channel();
        let sink = move |_, _| {
            told.send(()).unwrap();
            std::panic::resume_unwind(Box::new("lost"));
        };
        let config = StoreConfig::default();
        let (store, _) = Store::open(config, Arc::new(MemDisk::new()), sink).unwrap();
        let store = Arc::new(store);
        let health = Health::new(&store);
        assert!(health.is_alive());
        let replicas = vec![(weir_types::TopicId([7; 16]), weir_types::PartitionIndex(0))];
        let open = weir_types::log::LogCommand::Open { replicas };
        store.submit(weir_types::ShardId(0), open);
        heard.recv().unwrap();
        while health.is_alive() {
            std::thread::yield_now();
        }
    }
}
