//! The broker's store: threads over the functions of this crate, and nothing else.
//!
//! `submit` never waits for a disk. Events come through the callback, on the thread that made
//! them; each partition's in order.

use crate::catalog::{OpenError, SharedDisk};
use crate::config::StoreConfig;
use crate::core::{Core, Lane, lock};
use crate::disk::{Disk, Recycler};
use crate::inline::{Split, StoreCloseError, read_partition, split};
use crate::kv::KvError;
use crate::limits::{FLOOD_BYTES_PER_SECOND, LANE_START_BYTES, REWRITER_IDLE, REWRITER_YIELD_MAX};
use crate::queue::{Queue, bytes_of};
use crate::recover::{self, OneLane, OpenReport};
use crate::rewrite::{RewriteStep, Rewriter};
use crate::rows::FileRow;
use crate::stats::StoreStats;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use weir_types::{
    PartitionIndex, ShardId, StorePartition, TopicId,
    log::{LogCommand, LogEvent},
};

/// Where events go: the route of the command, and what happened, in order.
pub type EventSink = dyn Fn(ShardId, Vec<LogEvent>) + Send + Sync;

/// The store of a broker.
pub struct Store {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    lanes: Vec<JoinHandle<Lane>>,
}

struct Shared {
    core: Core,
    sink: Box<EventSink>,
    work: Mutex<Work>,
    lane_wake: Condvar,
    jobs: Mutex<Jobs>,
    control_wake: Condvar,
    read_wake: Condvar,
    rewriter: Mutex<RewriterState>,
    rewriter_wake: Condvar,
    closing: AtomicBool,
}

/// What the lanes share.
struct Work {
    queue: Queue,
    busy: Vec<bool>,
    closing: bool,
}

#[derive(Default)]
struct Jobs {
    control: VecDeque<(ShardId, LogCommand)>,
    reads: VecDeque<(ShardId, LogCommand)>,
    /// A lane will soon need a file.
    spare: bool,
    closing: bool,
}

struct RewriterState {
    held: bool,
    woken: bool,
    closing: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `disk`, or makes one, and starts its threads.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        config: StoreConfig,
        disk: Arc<dyn Disk>,
        sink: impl Fn(ShardId, Vec<LogEvent>) + Send + Sync + 'static,
    ) -> Result<(Self, OpenReport), OpenError> {
        let disk: SharedDisk =
            Recycler::over(disk).map_err(|error| OpenError::io("the folder", &error))?;
        let lanes = config.lanes.max(1);
        let readers = config.readers.max(1);
        let held = config.rewriter_held;
        let (core, report) = recover::open(&disk, config, &all_at_once)?;
        let shared = Arc::new(Shared {
            core,
            sink: Box::new(sink),
            work: Mutex::new(Work {
                queue: Queue::default(),
                busy: vec![false; lanes],
                closing: false,
            }),
            lane_wake: Condvar::new(),
            jobs: Mutex::new(Jobs::default()),
            control_wake: Condvar::new(),
            read_wake: Condvar::new(),
            rewriter: Mutex::new(RewriterState {
                held,
                woken: true,
                closing: false,
            }),
            rewriter_wake: Condvar::new(),
            closing: AtomicBool::new(false),
        });
        let mut store = Self {
            shared,
            threads: Vec::new(),
            lanes: Vec::new(),
        };
        store.start(lanes, readers)?;
        Ok((store, report))
    }

    fn start(&mut self, lanes: usize, readers: usize) -> Result<(), OpenError> {
        let fail = |error: std::io::Error| OpenError::io("a thread of the store", &error);
        for lane in 0..lanes {
            let shared = Arc::clone(&self.shared);
            let thread = thread(format!("store-lane-{lane}"), move || shared.run_lane(lane));
            self.lanes.push(thread.map_err(fail)?);
        }
        for reader in 0..readers {
            let shared = Arc::clone(&self.shared);
            let thread = thread(format!("store-read-{reader}"), move || shared.run_reader());
            self.threads.push(thread.map_err(fail)?);
        }
        let shared = Arc::clone(&self.shared);
        let control = thread("store-control".to_owned(), move || shared.run_control());
        self.threads.push(control.map_err(fail)?);
        let shared = Arc::clone(&self.shared);
        let rewriter = thread("store-rewrite".to_owned(), move || shared.run_rewriter());
        self.threads.push(rewriter.map_err(fail)?);
        Ok(())
    }

    /// Takes a command; its events will carry `route`. Never waits for a disk. The queue takes
    /// any amount: the caller holds back while [`Store::is_full`].
    pub fn submit(&self, route: ShardId, command: LogCommand) {
        self.submit_all(route, std::iter::once(command));
    }

    /// As [`Store::submit`], for several commands in order.
    pub fn submit_all(&self, route: ShardId, commands: impl IntoIterator<Item = LogCommand>) {
        let mut for_lanes = Vec::new();
        for command in commands {
            match split(command) {
                Split::Lane(partition, op) => for_lanes.push((partition, op)),
                Split::Control(command) => {
                    lock(&self.shared.jobs).control.push_back((route, command));
                    self.shared.control_wake.notify_one();
                }
                Split::Read(command) => {
                    lock(&self.shared.jobs).reads.push_back((route, command));
                    self.shared.read_wake.notify_one();
                }
            }
        }
        if !for_lanes.is_empty() {
            let mut work = lock(&self.shared.work);
            for (partition, op) in for_lanes {
                work.queue.push(partition, route, op);
            }
            self.shared.wake_lanes(&work);
        }
    }

    /// Bytes of commands that wait for a lane or are in one.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        lock(&self.shared.work).queue.pending_bytes()
    }

    /// Whether the caller shall hold back what it has not yet submitted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pending_bytes() >= self.shared.core.config.pending_bytes_max
    }

    /// Whether one of its threads has panicked, so that what it was to do is never done. While
    /// the store is open its threads do not end otherwise.
    #[must_use]
    pub fn has_lost_a_thread(&self) -> bool {
        self.lanes.iter().any(JoinHandle::is_finished)
            || self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Stops the rewriter after its current step, or lets it go on.
    pub fn hold_rewriter(&self, held: bool) {
        let mut rewriter = lock(&self.shared.rewriter);
        rewriter.held = held;
        rewriter.woken = true;
        self.shared.rewriter_wake.notify_one();
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let mut stats = self.shared.core.stats();
        stats.pending_bytes = self.pending_bytes() as u64;
        stats
    }

    /// Live bytes of every partition (DescribeLogDirs).
    #[must_use]
    pub fn partition_sizes(&self) -> Vec<(TopicId, PartitionIndex, StorePartition, u64)> {
        let book = self.shared.core.book();
        let parts = book.parts.iter();
        parts
            .map(|(number, part)| (part.topic, part.index, *number, part.size_bytes()))
            .collect()
    }

    /// Live bytes of one partition, or nothing where it does not exist.
    #[must_use]
    pub fn size_bytes(&self, partition: StorePartition) -> Option<u64> {
        let book = self.shared.core.book();
        book.parts
            .get(&partition)
            .map(crate::book::Part::size_bytes)
    }

    /// Flushes everything submitted, stops the threads and closes the files cleanly.
    ///
    /// # Errors
    /// The disk's words; whatever was flushed stays flushed, and the next opening repairs.
    pub fn close(mut self) -> Result<(), StoreCloseError> {
        let lanes = self.stop();
        let shared = Arc::clone(&self.shared);
        drop(self);
        match Arc::try_unwrap(shared) {
            Ok(shared) => Ok(shared.core.close(lanes)?),
            Err(_) => Err(StoreCloseError {
                reason: "a thread of the store did not end".to_owned(),
            }),
        }
    }

    /// Ends the threads; answers what the lanes had.
    fn stop(&mut self) -> Vec<Lane> {
        self.shared.closing.store(true, Ordering::Release);
        lock(&self.shared.work).closing = true;
        self.shared.lane_wake.notify_all();
        lock(&self.shared.jobs).closing = true;
        self.shared.control_wake.notify_all();
        self.shared.read_wake.notify_all();
        lock(&self.shared.rewriter).closing = true;
        self.shared.rewriter_wake.notify_all();
        let mut lanes = Vec::new();
        for lane in self.lanes.drain(..) {
            // A panic was reported when it happened; here and below.
            lanes.extend(lane.join());
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        lanes
    }
}

impl Drop for Store {
    /// Without [`Store::close`] the next opening repairs. Waits for the threads: none of them
    /// touches the disk when somebody else opens it.
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn thread<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name).spawn(work)
}

/// Opens lane files on as many threads as there are cores: each repair keeps one busy.
fn all_at_once(
    files: &[(u32, FileRow)],
    open: &(dyn Fn(u32, &FileRow) -> OneLane + Sync),
) -> Vec<OneLane> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = files.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .chunks(share)
            .map(|chunk| {
                let opened = move || -> Vec<OneLane> {
                    chunk.iter().map(|(id, row)| open(*id, row)).collect()
                };
                (chunk, scope.spawn(opened))
            })
            .collect();
        let mut all = Vec::new();
        for (chunk, thread) in threads {
            match thread.join() {
                Ok(opened) => all.extend(opened),
                Err(_) => all.extend(chunk.iter().map(|(id, _)| {
                    (
                        *id,
                        Err(KvError::damaged("opening it did not end in order")),
                    )
                })),
            }
        }
        all
    })
}

impl Shared {
    fn deliver(&self, events: Vec<(ShardId, LogEvent)>) {
        let mut rest = events.into_iter().peekable();
        let mut routes: Vec<(ShardId, Vec<LogEvent>)> = Vec::new();
        for (route, event) in rest.by_ref() {
            match routes.iter_mut().find(|(known, _)| *known == route) {
                Some((_, events)) => events.push(event),
                None => routes.push((route, vec![event])),
            }
        }
        for (route, events) in routes {
            (self.sink)(route, events);
        }
    }

    /// Wakes the lanes if one may start.
    fn wake_lanes(&self, work: &Work) {
        if (0..work.busy.len()).any(|lane| work.may_start(lane)) {
            self.lane_wake.notify_all();
        }
    }

    fn run_lane(&self, number: usize) -> Lane {
        let mut lane = Lane::default();
        loop {
            let taken = {
                let mut work = lock(&self.work);
                loop {
                    if work.may_start(number) {
                        break;
                    }
                    if work.closing && work.queue.is_idle() {
                        self.lane_wake.notify_all();
                        return lane;
                    }
                    work = self
                        .lane_wake
                        .wait(work)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                if let Some(busy) = work.busy.get_mut(number) {
                    *busy = true;
                }
                let taken = work.queue.take();
                self.wake_lanes(&work);
                taken
            };
            let back: Vec<(StorePartition, usize)> = taken
                .iter()
                .map(|taken| (taken.partition, bytes_of(&taken.ops)))
                .collect();
            let began = Instant::now();
            let events = self.core.commit(&mut lane, taken);
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.core.counters.commit_took(took);
            self.deliver(events);
            if self.core.wants_spare(&lane) {
                self.ask_for_spare();
            } else if !lane.has_file() {
                self.wake_rewriter();
            }
            // Only now may another lane take these partitions: their events are out in order.
            let mut work = lock(&self.work);
            for (partition, bytes) in back {
                work.queue.give_back(partition, bytes);
            }
            if let Some(busy) = work.busy.get_mut(number) {
                *busy = false;
            }
            // This lane looks for itself; but what it gave back may be another's to take: a
            // further lane starts only behind the ones before it.
            let others = (0..work.busy.len()).any(|lane| lane != number && work.may_start(lane));
            if others || work.closing {
                self.lane_wake.notify_all();
            }
        }
    }

    /// The control thread makes the spare file: the rewriter may be busy for long.
    fn ask_for_spare(&self) {
        let mut jobs = lock(&self.jobs);
        if !jobs.spare {
            jobs.spare = true;
            self.control_wake.notify_one();
        }
    }

    fn wake_rewriter(&self) {
        lock(&self.rewriter).woken = true;
        self.rewriter_wake.notify_one();
    }

    fn run_control(&self) {
        loop {
            let job = {
                let mut jobs = lock(&self.jobs);
                loop {
                    if let Some(job) = jobs.control.pop_front() {
                        break Some(job);
                    }
                    if jobs.closing {
                        return;
                    }
                    if std::mem::take(&mut jobs.spare) {
                        break None;
                    }
                    jobs = self
                        .control_wake
                        .wait(jobs)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            };
            let Some((route, command)) = job else {
                // A lane makes its own file where there is none, and tells of it if it cannot.
                if let Err(error) = self.core.make_spare() {
                    tracing::debug!(%error, "no lane file could be made ahead");
                }
                continue;
            };
            let events = self.core.control(route, command);
            self.deliver(events);
            self.wake_rewriter();
        }
    }

    fn run_reader(&self) {
        loop {
            let (route, command) = {
                let mut jobs = lock(&self.jobs);
                loop {
                    if let Some(job) = jobs.reads.pop_front() {
                        break job;
                    }
                    if jobs.closing {
                        return;
                    }
                    jobs = self
                        .read_wake
                        .wait(jobs)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            };
            let partition = read_partition(&command);
            let end = partition.and_then(|p| lock(&self.work).queue.submitted_end(p));
            let events = self.core.answer(route, command, end);
            self.deliver(events.into_iter().collect());
        }
    }

    fn run_rewriter(&self) {
        let mut rewriter = Rewriter::default();
        let mut ingest = Ingest::new(&self.core);
        while let Some(held) = self.wait_for_rewrite() {
            if !held {
                self.rewrite_until_idle(&mut rewriter, &mut ingest);
            } else if let Err(error) = self.core.seal_rolled() {
                // A rolled file is closed even then: after a kill it needs no repair.
                tracing::warn!(%error, "a rolled file cannot be sealed");
            }
        }
    }

    fn rewrite_until_idle(&self, rewriter: &mut Rewriter, ingest: &mut Ingest) {
        loop {
            let began = Instant::now();
            let commits = self.core.counters.commits.load(Ordering::Relaxed);
            let behind = self.core.rewriter_is_behind();
            let sorting = behind || !ingest.is_flood(&self.core);
            let pause = match rewriter.step(&self.core, sorting) {
                RewriteStep::Idle if sorting => return,
                RewriteStep::Idle => REWRITER_YIELD_MAX,
                _ if behind || self.core.counters.commits.load(Ordering::Relaxed) == commits => {
                    Duration::ZERO
                }
                _ => began.elapsed().min(REWRITER_YIELD_MAX),
            };
            if !self.step_aside(pause) {
                return;
            }
        }
    }

    /// Waits until there may be something to do and tells whether rewriting is held; nothing
    /// when the store closes.
    fn wait_for_rewrite(&self) -> Option<bool> {
        let mut state = lock(&self.rewriter);
        loop {
            if state.closing {
                return None;
            }
            if state.woken {
                state.woken = false;
                return Some(state.held);
            }
            let waited = self.rewriter_wake.wait_timeout(state, REWRITER_IDLE);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            // Starts move without waking anyone: look now and then for files that died.
            state.woken |= timeout.timed_out();
        }
    }

    /// Leaves the machine to ingest for so long. False when the rewriter shall stop.
    fn step_aside(&self, pause: Duration) -> bool {
        let state = lock(&self.rewriter);
        let stop = |state: &RewriterState| state.closing || state.held;
        let waited = self
            .rewriter_wake
            .wait_timeout_while(state, pause, |state| !stop(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !stop(&state)
    }
}

/// What comes in, as the rewriter sees it: it fills the valleys and leaves the peaks alone.
struct Ingest {
    looked: Instant,
    bytes: u64,
    flood: bool,
}

impl Ingest {
    fn new(core: &Core) -> Self {
        Self {
            looked: Instant::now(),
            bytes: core.counters.committed_bytes.load(Ordering::Relaxed),
            flood: false,
        }
    }

    /// Whether so much comes in that sorting would slow it down.
    fn is_flood(&mut self, core: &Core) -> bool {
        let passed = self.looked.elapsed();
        if passed >= REWRITER_YIELD_MAX {
            let bytes = core.counters.committed_bytes.load(Ordering::Relaxed);
            let rate = bytes.saturating_sub(self.bytes) as f64 / passed.as_secs_f64();
            self.flood = rate > FLOOD_BYTES_PER_SECOND as f64;
            self.looked = Instant::now();
            self.bytes = bytes;
        }
        self.flood
    }
}

impl Work {
    /// The first lane starts whenever something is ready; a further one only when the lanes
    /// before it are busy and enough is pending to be worth a second sync.
    fn may_start(&self, lane: usize) -> bool {
        let before = self.busy.get(..lane).unwrap_or_default();
        self.queue.has_ready()
            && self.busy.get(lane).is_some_and(|busy| !busy)
            && before.iter().all(|busy| *busy)
            && (lane == 0 || self.queue.ready_bytes() >= LANE_START_BYTES)
    }
}
