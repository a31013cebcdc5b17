//! The keeper of lag: takes reports, takes samples when their time has come, writes down what
//! changed, and states everything again now and then so that the log can forget its beginning.
//!
//! It never answers a question by itself: see [`view`](crate::view).

use crate::{
    Name,
    board::{Board, Total},
    clock::LagClock,
    codec::encode,
    ledger::{Ledger, Samples},
    limits::{
        MARK_MS, RESOLUTIONS_MS, SAMPLED_PER_STEP, SERIES_MAX, SNAPSHOT_BYTES_PER_WRITE,
        SNAPSHOT_PAUSE_MS, STEPS_FILLED_MAX,
    },
    record::{Behind, LagRecord, SeriesTold, Subject, Traffic},
    report::{Report, Topics},
    series::Series,
    track::LagTime,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_types::{Now, PartitionIndex, Tick, TopicId};

/// The running number of a write; writes are to be appended in this order, each as one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// Something the keeper has to react to.
#[derive(Clone, Debug)]
pub enum LagEvent {
    /// A shard tells what changed.
    Report(Report),
    /// The metadata image moved on.
    Topics(Topics),
    /// Whether everybody who has something to tell has told everything once.
    Complete(bool),
    /// The time that [`LagEffect::WakeAt`] asked for has come. Early or spare ones do no harm.
    Tick,
}

/// What the keeper wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LagEffect {
    /// Append these records, each a key and a value, as one batch. If that fails, the keeper must
    /// be given up and restored from the log: its state is ahead of it.
    Write {
        /// Its number.
        write: WriteId,
        /// What to append.
        records: Vec<(Vec<u8>, Vec<u8>)>,
        /// Whether a snapshot begins with it.
        begins_snapshot: bool,
    },
    /// A snapshot is complete: once `end` is replicated, the log may start at the batch with which
    /// it began.
    SnapshotWritten {
        /// The write that holds its end.
        end: WriteId,
    },
    /// There is something new to tell.
    Changed,
    /// Send [`LagEvent::Tick`] at this time; the last such effect counts.
    WakeAt(Tick),
}

/// A sample that is being taken, some groups a step.
#[derive(Clone, Debug)]
struct Sweep {
    step: i64,
    at: LagTime,
    /// Where the board stood when it began.
    generation: u64,
    after: Option<Name>,
    behind: BTreeMap<Subject, Behind>,
    traffic: BTreeMap<Subject, Traffic>,
}

/// Where a snapshot has come to.
#[derive(Clone, Copy, Debug)]
enum Stating {
    Series(Option<u32>),
    Tracks(Option<(TopicId, PartitionIndex)>),
}

#[derive(Clone, Copy, Debug)]
struct Snapshot {
    at: Stating,
    next: Tick,
}

/// Lag and traffic of everything, now and over time.
#[derive(Clone, Debug)]
pub struct Keeper {
    pub(crate) clock: LagClock,
    pub(crate) board: Board,
    pub(crate) ledger: Ledger,
    next_write: WriteId,
    /// The step that is running.
    step: i64,
    sweep: Option<Sweep>,
    /// Groups that changed since this generation are sampled anew.
    sampled: u64,
    snapshot: Option<Snapshot>,
    marked_at: LagTime,
    /// When watermarks are marked again; with the first sample for the first time.
    mark_at: LagTime,
    /// The second in which the windows were looked at last.
    second: i64,
    complete: bool,
}

impl Keeper {
    /// Starts from what the log tells (see [`Ledger::take`]). `next_write` must be higher than any
    /// number that the driver still knows.
    #[must_use]
    pub fn start(ledger: Ledger, next_write: WriteId, now: Now) -> Self {
        let clock = LagClock::start(now, ledger.last_time());
        // Later than whatever an earlier keeper told: none has a change for each microsecond.
        let first = u64::try_from(clock.at(now).0.max(0)).unwrap_or(0);
        Self {
            clock,
            board: Board::new(first.saturating_mul(1000)),
            ledger,
            next_write,
            step: step_of(now),
            sweep: None,
            sampled: 0,
            snapshot: None,
            marked_at: clock.at(now),
            mark_at: clock.at(now),
            second: clock.at(now).0.div_euclid(1000),
            complete: false,
        }
    }

    /// What is written down.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Deals with one event.
    pub fn step(&mut self, now: Now, event: LagEvent, effects: &mut Vec<LagEffect>) {
        let time = self.clock.at(now);
        let before = self.board.generation();
        match event {
            LagEvent::Report(report) => self.board.take_report(time, &report),
            LagEvent::Topics(topics) => self.board.take_topics(&topics),
            LagEvent::Complete(complete) => self.complete = complete,
            LagEvent::Tick => {}
        }
        let second = time.0.div_euclid(1000);
        if second != self.second {
            self.second = second;
            self.board.pass(time);
        }
        if self.board.generation() != before {
            effects.push(LagEffect::Changed);
        }
        self.sample(now, time, effects);
        self.state_on(now, effects);
        if let Some(tick) = self.next_wake(now, time) {
            effects.push(LagEffect::WakeAt(tick));
        }
    }

    fn next_wake(&self, now: Now, time: LagTime) -> Option<Tick> {
        if self.sweep.is_some() {
            return Some(now.tick);
        }
        let snapshot = self.snapshot.map(|snapshot| snapshot.next);
        let flowing = self.board.is_flowing();
        let second = flowing.then(|| after(now, 1000 - time.0.rem_euclid(1000)));
        let idle = self.ledger.is_empty() && self.board.groups().is_empty() && !flowing;
        let step = RESOLUTIONS_MS[0] - now.wall.0.rem_euclid(RESOLUTIONS_MS[0]);
        let sample = (!idle).then(|| after(now, step));
        [snapshot, second, sample].into_iter().flatten().min()
    }

    /// Begins a sample when a step is over, and goes on with it.
    fn sample(&mut self, now: Now, time: LagTime, effects: &mut Vec<LagEffect>) {
        let running = step_of(now);
        if running != self.step && self.sweep.is_none() {
            self.step = running;
            let traffic = self.board.take_traffic().into_iter();
            self.sweep = Some(Sweep {
                step: running - 1,
                at: time,
                generation: self.board.generation(),
                after: None,
                behind: BTreeMap::new(),
                traffic: traffic
                    .map(|(topic, traffic)| (Subject::Topic(topic), traffic))
                    .collect(),
            });
        }
        let Some(mut sweep) = self.sweep.take() else {
            return;
        };
        if self.sweep_on(&mut sweep) {
            self.sweep = Some(sweep);
            return;
        }
        self.sampled = sweep.generation;
        self.write_sample(sweep, effects);
        if self.snapshot.is_none() && self.ledger.wants_snapshot() {
            self.begin_snapshot(now, effects);
        }
    }

    /// Looks at some more groups; returns whether there are others.
    fn sweep_on(&self, sweep: &mut Sweep) -> bool {
        use core::ops::Bound::{Excluded, Unbounded};
        let from = sweep.after.as_ref().map_or(Unbounded, Excluded);
        let mut looked = 0;
        for (name, group) in self.board.groups().range::<Name, _>((from, Unbounded)) {
            sweep.after = Some(name.clone());
            if group.changed <= self.sampled {
                continue;
            }
            let mut total = Total::default();
            for (topic, partitions) in &group.topics {
                let mut sum = Total::default();
                for (index, place) in partitions {
                    sum.add(self.board.behind(&self.ledger, topic, *index, *place));
                }
                total.add(sum.sum());
                let subject = Subject::GroupTopic(name.clone(), topic.clone());
                sweep.behind.insert(subject, sum.sum());
            }
            sweep
                .behind
                .insert(Subject::Group(name.clone()), total.sum());
            looked += 1;
            if looked == SAMPLED_PER_STEP {
                return true;
            }
        }
        false
    }

    fn write_sample(&mut self, sweep: Sweep, effects: &mut Vec<LagEffect>) {
        let mut records = self.ended();
        let mut taken = BTreeSet::new();
        let mut behind = Vec::new();
        for (subject, now) in sweep.behind {
            match self.ledger.get(&subject) {
                Some((_, entry)) if entry.behind == now => {}
                Some((number, _)) => behind.push((number, now)),
                // Nothing committed, nothing to draw.
                None if now.records.is_none() => {}
                None => {
                    if let Some(number) = self.begin(subject, &mut taken, &mut records) {
                        behind.push((number, now));
                    }
                }
            }
        }
        let mut traffic = Vec::new();
        for (subject, flowed) in sweep.traffic {
            let number = match self.ledger.get(&subject) {
                Some((number, _)) => Some(number),
                None => self.begin(subject, &mut taken, &mut records),
            };
            traffic.extend(number.map(|number| (number, flowed)));
        }
        behind.sort_by_key(|(number, _)| *number);
        traffic.sort_by_key(|(number, _)| *number);
        self.mark(sweep.at, &mut records);
        let nothing = records.is_empty() && behind.is_empty() && traffic.is_empty();
        let recent = |last: i64| last < sweep.step && sweep.step - last <= STEPS_FILLED_MAX;
        let rest = nothing && self.ledger.last_step().is_none_or(recent);
        if rest || (self.ledger.is_empty() && taken.is_empty() && records.is_empty()) {
            // Whoever reads this later takes it that all was as before.
            return;
        }
        records.push(LagRecord::Step {
            step: sweep.step,
            at: sweep.at,
            behind,
            traffic,
        });
        self.write(&records, effects);
    }

    /// A new series, if there may be one.
    fn begin(
        &self,
        subject: Subject,
        taken: &mut BTreeSet<u32>,
        records: &mut Vec<LagRecord>,
    ) -> Option<u32> {
        let begun = self.ledger.len() + taken.len();
        let many = matches!(subject, Subject::GroupTopic(..)) && begun >= SERIES_MAX / 3 * 2;
        if many || begun >= SERIES_MAX {
            return None;
        }
        let number = self.ledger.free_number(taken);
        taken.insert(number);
        let (rings, growing) = Series::<2>::default().told();
        records.push(LagRecord::Series {
            number,
            series: SeriesTold {
                subject,
                behind: Behind::default(),
                rings,
                growing,
            },
        });
        Some(number)
    }

    /// The series of what is no more; only once everybody has told everything, since until then
    /// what is not on the board may still be there.
    fn ended(&self) -> Vec<LagRecord> {
        if !self.complete {
            return Vec::new();
        }
        let gone = |subject: &Subject| match subject {
            Subject::Group(group) => !self.board.groups().contains_key(group),
            Subject::GroupTopic(group, topic) => {
                let group = self.board.groups().get(group);
                group.is_none_or(|group| !group.topics.contains_key(topic))
            }
            Subject::Topic(topic) => !self.board.topics().contains_key(topic),
        };
        let ended = self.ledger.iter().filter(|(_, entry)| gone(&entry.subject));
        ended
            .map(|(number, _)| LagRecord::Ended { number })
            .collect()
    }

    /// Writes down where the watermarks are that moved, once a minute.
    fn mark(&mut self, at: LagTime, records: &mut Vec<LagRecord>) {
        if at < self.mark_at {
            return;
        }
        self.mark_at = LagTime(at.0 + MARK_MS);
        let since = core::mem::replace(&mut self.marked_at, at);
        if self.complete {
            let known = self.board.topics().values();
            let known: BTreeSet<TopicId> = known.map(|topic| topic.id).collect();
            let gone = self.ledger.marked_topics();
            let gone = gone.difference(&known);
            records.extend(gone.map(|topic| LagRecord::TopicGone { topic: *topic }));
        }
        let mut topics = self.board.take_marks();
        for (topic, marks) in &mut topics {
            marks.retain(|(index, _)| {
                // The first time all that is known is written down, not only where it is now.
                let first = self.ledger.marks(*topic, *index).is_none();
                let points = self.board.recent(*topic, *index).filter(|_| first);
                let track = points.map(|points| LagRecord::Track {
                    topic: *topic,
                    index: *index,
                    points: points.to_vec(),
                });
                let told = track.is_some();
                records.extend(track);
                !told
            });
        }
        topics.retain(|(_, marks)| !marks.is_empty());
        if !topics.is_empty() {
            records.push(LagRecord::Marks { since, at, topics });
        }
    }

    fn write(&mut self, records: &[LagRecord], effects: &mut Vec<LagEffect>) {
        let encoded = records.iter().map(|record| {
            let (key, value) = encode(record);
            self.ledger.apply(record, key.len() + value.len());
            (key, value)
        });
        let records_encoded = encoded.collect();
        let write = self.next_write;
        self.next_write.0 += 1;
        effects.push(LagEffect::Write {
            write,
            records: records_encoded,
            begins_snapshot: matches!(records.first(), Some(LagRecord::SnapshotBegin { .. })),
        });
    }

    /// Begins to state everything again.
    pub fn begin_snapshot(&mut self, now: Now, effects: &mut Vec<LagEffect>) {
        let begin = self.ledger.snapshot_begin();
        self.write(&[begin], effects);
        self.snapshot = Some(Snapshot {
            at: Stating::Series(None),
            next: now.tick,
        });
    }

    /// States some more.
    fn state_on(&mut self, now: Now, effects: &mut Vec<LagEffect>) {
        let Some(mut snapshot) = self.snapshot.filter(|snapshot| snapshot.next <= now.tick) else {
            return;
        };
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut done = false;
        while bytes < SNAPSHOT_BYTES_PER_WRITE && !done {
            match snapshot.at {
                Stating::Series(after) => match self.ledger.series_after(after) {
                    Some((number, record)) => {
                        bytes += encode(&record).1.len();
                        records.push(record);
                        snapshot.at = Stating::Series(Some(number));
                    }
                    None => snapshot.at = Stating::Tracks(None),
                },
                Stating::Tracks(after) => match self.ledger.track_after(after) {
                    Some((key, record)) => {
                        bytes += encode(&record).1.len();
                        records.push(record);
                        snapshot.at = Stating::Tracks(Some(key));
                    }
                    None => done = true,
                },
            }
        }
        if done {
            let id = self.ledger.snapshot_id();
            records.push(LagRecord::SnapshotEnd { id });
        }
        self.write(&records, effects);
        snapshot.next = now.tick + SNAPSHOT_PAUSE_MS;
        self.snapshot = (!done).then_some(snapshot);
        if done {
            let end = WriteId(self.next_write.0 - 1);
            effects.push(LagEffect::SnapshotWritten { end });
        }
    }

    /// Asserts what must always hold.
    pub fn check(&self) {
        self.ledger.check();
        assert!(
            self.ledger.len() <= SERIES_MAX,
            "I-LAG-5: there are not too many series"
        );
        for (number, entry) in self.ledger.iter() {
            let traffic = matches!(entry.subject, Subject::Topic(_));
            assert_eq!(
                traffic,
                matches!(entry.samples, Samples::Traffic(_)),
                "I-LAG-6: series {number} holds what its subject says"
            );
        }
    }
}

/// The step that is running, by the wall clock.
const fn step_of(now: Now) -> i64 {
    now.wall.0.div_euclid(RESOLUTIONS_MS[0])
}

/// So many milliseconds later.
fn after(now: Now, ms: i64) -> Tick {
    now.tick + u64::try_from(ms).unwrap_or(0).max(1)
}
