//! Lanes: a task for each channel to a broker, which takes what is ready, sends it and tells how
//! it ended; and the one lock that they share with `send`.
//!
//! Nothing slow happens under the lock: batches are compressed and written after they were taken
//! out, and deliveries are told after it was released.

use super::{
    Producer,
    accumulator::{Accumulator, Drained, LaneId, Settings},
    builder::Acks,
    exchange::{Exchange, Flight},
    partitioner::Partitioner,
    tell,
};
use crate::{
    cluster::{
        backoff::Backoff,
        broker::Purpose,
        metadata::{Metadata, TopicMetadata},
        shared::Shared,
    },
    error::ProduceError,
    limits::EXPIRY_CHECK_MS,
};
use futures_util::{StreamExt, stream::FuturesOrdered};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use weir_codec::Compression;
use weir_types::{Tick, TimestampMs};
use weir_wire::messages::InitProducerIdRequest;

pub(crate) struct Setup {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Settings,
    pub(crate) acks: Acks,
    pub(crate) compression: Compression,
    pub(crate) compression_level: Option<i32>,
    pub(crate) partitioner: Arc<dyn Partitioner>,
    #[cfg(feature = "plugins")]
    pub(crate) placing: Option<super::placing::Placing>,
}

/// What `send` and the lanes share.
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) partitioner: Arc<dyn Partitioner>,
    #[cfg(feature = "plugins")]
    pub(crate) placing: Option<super::placing::Placing>,
    pub(crate) clock: Clock,
    /// Told when memory was freed.
    pub(crate) room: Notify,
    pub(crate) buffer_bytes: usize,
    pub(crate) delivery_timeout_ms: u64,
    state: Mutex<State>,
    member: u64,
    acks: Acks,
    compression: Compression,
    compression_level: Option<i32>,
    in_flight_max: usize,
    pub(crate) runtime: tokio::runtime::Handle,
    /// Turns true when the producer ends.
    over: watch::Sender<bool>,
    /// Held while a producer id is asked for.
    asking_identity: tokio::sync::Mutex<()>,
}

pub(crate) struct State {
    pub(crate) accumulator: Accumulator,
    pub(crate) closed: bool,
    lanes: HashMap<LaneId, Arc<Notify>>,
}

/// Ends the tasks of a producer when its last clone is dropped.
pub(crate) struct Alive(Arc<Inner>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// Both clocks from one reading of the monotonic one, since `send` asks for every record.
pub(crate) struct Clock {
    start: Instant,
    /// Wall-clock milliseconds at `start`, corrected once in a while.
    wall_at_start: AtomicI64,
}

impl Clock {
    fn new() -> Self {
        let clock = Self {
            start: Instant::now(),
            wall_at_start: AtomicI64::new(0),
        };
        clock.correct();
        clock
    }

    pub(crate) fn read(&self) -> (Tick, TimestampMs) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wall = self.wall_at_start.load(Ordering::Relaxed);
        (Tick(ms), TimestampMs(wall.saturating_add_unsigned(ms)))
    }

    pub(crate) fn tick(&self) -> Tick {
        self.read().0
    }

    /// The moment a tick comes.
    fn instant(&self, tick: Tick) -> Instant {
        self.start + Duration::from_millis(tick.0)
    }

    /// Follows the wall clock where it was set.
    fn correct(&self) {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
        let elapsed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(0);
        self.wall_at_start.store(wall - elapsed, Ordering::Relaxed);
    }
}

/// Starts a producer.
pub(crate) fn start(setup: Setup) -> Producer {
    let metadata = setup.shared.watch_metadata();
    let inner = Arc::new(Inner {
        member: setup.shared.next_member(),
        shared: setup.shared,
        partitioner: setup.partitioner,
        #[cfg(feature = "plugins")]
        placing: setup.placing,
        clock: Clock::new(),
        room: Notify::new(),
        buffer_bytes: setup.settings.buffer_bytes,
        delivery_timeout_ms: setup.settings.delivery_timeout_ms,
        in_flight_max: setup.settings.in_flight_max,
        state: Mutex::new(State {
            accumulator: Accumulator::new(setup.settings),
            closed: false,
            lanes: HashMap::new(),
        }),
        acks: setup.acks,
        compression: setup.compression,
        compression_level: setup.compression_level,
        runtime: tokio::runtime::Handle::current(),
        over: watch::channel(false).0,
        asking_identity: tokio::sync::Mutex::new(()),
    });
    tokio::spawn(keep_house(Arc::clone(&inner), metadata));
    Producer {
        _alive: Arc::new(Alive(Arc::clone(&inner))),
        inner,
    }
}

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends everything; what is not done fails.
    pub(crate) fn shut(&self) {
        let mut told = Vec::new();
        let mut state = self.state();
        state.closed = true;
        state.accumulator.abandon(&ProduceError::Closed, &mut told);
        drop(state);
        tell(told);
        self.over.send_replace(true);
        self.room.notify_waiters();
    }

    /// Wakes lanes, starting those that are new.
    pub(crate) fn wake(
        self: &Arc<Self>,
        state: &mut State,
        lanes: impl IntoIterator<Item = LaneId>,
    ) {
        for lane in lanes {
            let bell = state.lanes.entry(lane).or_insert_with(|| {
                let bell = Arc::new(Notify::new());
                let task = run(Arc::clone(self), lane, Arc::clone(&bell));
                self.runtime.spawn(task);
                bell
            });
            bell.notify_one();
        }
    }

    pub(crate) fn wake_all(&self, state: &mut State) {
        state.lanes.values().for_each(|bell| bell.notify_one());
    }

    /// Takes over what metadata says of a topic.
    pub(crate) fn set_topic(self: &Arc<Self>, name: &Arc<str>, topic: &TopicMetadata) {
        let leaders: Vec<_> = topic.partitions.iter().map(|p| p.leader).collect();
        let mut state = self.state();
        let woken = state.accumulator.set_topic(name, topic.id, &leaders);
        self.wake(&mut state, woken);
    }

    fn take_over(self: &Arc<Self>, metadata: &Metadata) {
        let names: Vec<_> = self.state().accumulator.topic_names().cloned().collect();
        for name in names {
            if let Some(topic) = metadata.topics.get(&name)
                && !topic.partitions.is_empty()
            {
                self.set_topic(&name, topic);
            }
        }
    }

    /// Takes what a lane may send now.
    fn drain(self: &Arc<Self>, lane: LaneId) -> (Vec<Drained>, Option<Tick>) {
        let mut drained = Vec::new();
        let mut state = self.state();
        let now = self.clock.tick();
        let (again, moved) = state.accumulator.drain(lane, now, &mut drained);
        self.wake(&mut state, moved);
        (drained, again)
    }

    /// Gets a producer id if one is missing (KIP-98).
    async fn identify(&self) {
        let _one_at_a_time = self.asking_identity.lock().await;
        if !self.state().accumulator.wants_identity() {
            return;
        }
        let mut backoff = Backoff::default();
        loop {
            let request = InitProducerIdRequest {
                transaction_timeout_ms: i32::MAX,
                ..InitProducerIdRequest::default()
            };
            let answer = self.shared.ask_any(i16::MAX, &request).await;
            match answer {
                Ok(answer) if !answer.error_code.is_err() => {
                    let mut state = self.state();
                    state
                        .accumulator
                        .set_identity(answer.producer_id, answer.producer_epoch);
                    self.wake_all(&mut state);
                    return;
                }
                Ok(answer) => {
                    tracing::debug!(error = %answer.error_code, "no producer id was given");
                }
                Err(error) => tracing::debug!(%error, "no producer id could be asked for"),
            }
            // Batches meet their delivery timeout meanwhile.
            backoff.wait().await;
        }
    }

    fn exchange(&self) -> Exchange<'_> {
        Exchange {
            shared: &self.shared,
            acks: self.acks,
            compression: self.compression,
            compression_level: self.compression_level,
        }
    }

    /// Says how the batches of one request ended.
    fn land(self: &Arc<Self>, landed: super::exchange::Landed) {
        if landed.metadata_is_stale {
            self.shared.metadata_is_stale();
        }
        let mut told = Vec::new();
        let mut woken = Vec::new();
        let now = self.clock.tick();
        let mut state = self.state();
        for (slot, id, attempt) in landed.attempts {
            let accumulator = &mut state.accumulator;
            woken.extend(accumulator.attempted(slot, id, attempt, now, &mut told));
        }
        woken.dedup();
        self.wake(&mut state, woken);
        drop(state);
        self.room.notify_waiters();
        tell(told);
    }
}

/// Serves one lane until the producer ends.
async fn run(inner: Arc<Inner>, lane: LaneId, bell: Arc<Notify>) {
    let mut over = inner.over.subscribe();
    let purpose = Purpose::Produce {
        producer: inner.member,
        lane: lane.index,
    };
    tokio::select! {
        () = serve(&inner, lane, purpose, &bell) => {}
        // The sender lives in `inner`, so this only ends when it says so.
        _ = over.wait_for(|over| *over) => {}
    }
    if let Ok(broker) = inner.shared.broker(lane.broker) {
        broker.drop_channel(purpose);
    }
}

async fn serve(inner: &Arc<Inner>, lane: LaneId, purpose: Purpose, bell: &Notify) {
    let mut flying: FuturesOrdered<Flight> = FuturesOrdered::new();
    loop {
        if inner.state().accumulator.wants_identity() {
            inner.identify().await;
        }
        let mut again = None;
        while flying.len() < inner.in_flight_max {
            let (drained, wake) = inner.drain(lane);
            if drained.is_empty() {
                again = wake;
                break;
            }
            match inner.exchange().send(lane.broker, purpose, drained).await {
                Ok(flight) => flying.push_back(flight),
                Err(landed) => inner.land(landed),
            }
        }
        let alarm = async {
            match again {
                Some(tick) => tokio::time::sleep_until(inner.clock.instant(tick)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(landed) = flying.next() => inner.land(landed),
            () = bell.notified() => {}
            () = alarm => {}
        }
    }
}

/// Follows metadata and lets go of what is too old.
async fn keep_house(inner: Arc<Inner>, mut metadata: watch::Receiver<Arc<Metadata>>) {
    let mut over = inner.over.subscribe();
    let mut every = tokio::time::interval(Duration::from_millis(EXPIRY_CHECK_MS));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = over.wait_for(|over| *over) => return,
            changed = metadata.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = Arc::clone(&metadata.borrow_and_update());
                inner.take_over(&now);
            }
            _ = every.tick() => {
                inner.clock.correct();
                let mut told = Vec::new();
                let mut state = inner.state();
                state.accumulator.expire(inner.clock.tick(), &mut told);
                let is_leaderless = state.accumulator.is_waiting_for_leaders();
                drop(state);
                if !told.is_empty() {
                    inner.room.notify_waiters();
                }
                tell(told);
                if is_leaderless {
                    inner.shared.metadata_is_stale();
                }
            }
        }
    }
}
