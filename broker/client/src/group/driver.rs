//! The member's task: it heartbeats, carries out what the state machine wants, and commits, however
//! slow the program reads.
//!
//! Commits go out one after the other, so that an older one never overtakes a newer one.

use super::{
    CommitOffset, FinalCommit, GroupProtocol,
    builder::Pattern,
    desk::{Desk, Event, Order, Start},
    member::{Answer, Ask, Input, Member, Output, is_away},
    offsets::Ids,
    work::{Counted, Desktop, Gone, Made, commit_error, is_gone, made},
};
use crate::{
    cluster::metadata::Metadata,
    error::{AdminError, GroupError, RequestError},
    limits::{
        FAREWELL_MS, MISSING_PAUSE_MAX_MS, MISSING_PAUSE_MS, PATTERN_PAUSE_MS, PATTERN_REFRESH_MS,
    },
    record::TopicPartition,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::Instant,
};
use weir_types::{Offset, Tick, TopicId};

type Offsets = BTreeMap<TopicPartition, CommitOffset>;
type Reply = oneshot::Sender<Result<(), GroupError>>;

/// Work that is done.
enum Done {
    Told(Result<Answer, RequestError>),
    /// Nothing: the member is not in the group any more.
    Placed(Option<Vec<Start>>),
    Names(BTreeMap<TopicId, Arc<str>>),
    Counts(Counted),
    Committed(Result<(), GroupError>, Gone),
    Learned,
    Nothing,
}

/// Why something is committed.
enum Cause {
    Time,
    /// The permit is given back with the answer.
    Asked(Reply, OwnedSemaphorePermit),
    Release,
    Close(Reply),
}

struct Job {
    offsets: Offsets,
    /// Read as this member of the group, and committed as no other: offsets that were read before
    /// everything was lost are older than those of the next owner.
    membership: u64,
    /// The topics that they were read from.
    ids: Ids,
    cause: Cause,
}

pub(crate) struct Driver {
    desktop: Arc<Desktop>,
    desk: Arc<Desk>,
    member: Member,
    start: Instant,
    tasks: FuturesUnordered<BoxFuture<'static, Done>>,
    queue: VecDeque<Job>,
    /// The job that is being carried out.
    current: Option<Job>,
    /// What the group keeps, as far as this member knows, or will not take.
    kept: BTreeMap<TopicPartition, Offset>,
    snapshot_at: Option<Instant>,
    is_snapshot_asked: bool,
    polls: u64,
    polled_at: Instant,
    look_at: Instant,
    is_stalled: bool,
    /// Since when the coordinator gives no answer that counts.
    away_since: Option<Instant>,
    /// When topics were asked for: all for an expression, or those that are missing.
    learned_at: Instant,
    is_learning: bool,
    /// Whether the member joins, and is to know all topics then.
    is_learning_asked: bool,
    /// How long the next question for named topics waits, while one of them is not there.
    missing_pause: Option<Duration>,
    /// When the last commit, or then leaving, is given up.
    over_at: Option<Instant>,
    is_leaving: bool,
    farewell: Option<(Reply, Result<(), GroupError>)>,
    is_over: bool,
    /// What the classic protocol's subscription was worked out from.
    seen: BTreeMap<Arc<str>, Made>,
    /// What the member shared out by when it last led a classic group, also of topics that only
    /// others want.
    shared_out: Counted,
    /// The topics that the partitions here are of.
    ids: Ids,
}

impl Driver {
    pub(crate) fn new(desktop: Arc<Desktop>, member: Member) -> Self {
        let now = Instant::now();
        let every = desktop.settings.auto_commit;
        Self {
            desk: Arc::clone(&desktop.desk),
            member,
            start: now,
            tasks: FuturesUnordered::new(),
            queue: VecDeque::new(),
            current: None,
            kept: BTreeMap::new(),
            snapshot_at: every.map(|every| now + every),
            is_snapshot_asked: false,
            polls: 0,
            polled_at: now,
            look_at: now,
            is_stalled: false,
            away_since: None,
            learned_at: now,
            is_learning: false,
            is_learning_asked: false,
            missing_pause: None,
            over_at: None,
            is_leaving: false,
            farewell: None,
            is_over: false,
            seen: BTreeMap::new(),
            shared_out: Counted::new(),
            ids: Ids::new(),
            desktop,
        }
    }

    /// Runs until the member has left.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let mut metadata = self.desktop.shared.watch_metadata();
        let desktop = Arc::clone(&self.desktop);
        for topic in &desktop.settings.topics {
            desktop.shared.want(topic);
        }
        if desktop.settings.protocol == GroupProtocol::Classic {
            // It has to say its topics itself.
            learn(&desktop).await;
        }
        self.follow(&metadata.borrow_and_update().clone());
        self.input(Input::Tick);
        let mut is_deserted = false;
        while !self.is_over {
            self.next_commit();
            let wake = self.wake();
            tokio::select! {
                event = events.recv(), if !is_deserted => match event {
                    Some(event) => self.event(event),
                    None => {
                        is_deserted = true;
                        self.leave(Duration::from_millis(FAREWELL_MS));
                    }
                },
                Some(done) = self.tasks.next(), if !self.tasks.is_empty() => self.done(done),
                () = tokio::time::sleep_until(wake) => self.time_passed(),
                changed = metadata.changed() => {
                    if changed.is_ok() {
                        let now = metadata.borrow_and_update().clone();
                        self.follow(&now);
                    } else {
                        self.is_over = true;
                    }
                }
            }
        }
        if let Some((reply, result)) = self.farewell.take() {
            // Whoever closed may have gone away.
            let _ = reply.send(result);
        }
        // Long work under way ends with the task.
        drop(self.tasks);
        self.desktop.hang_up().await;
    }

    fn now(&self) -> Tick {
        Tick(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn wake(&self) -> Instant {
        let due = self.member.due();
        let due = due.map(|tick| self.start + Duration::from_millis(tick.0));
        let snapshot = self.snapshot_at.filter(|_| !self.is_snapshot_asked);
        let all = [
            due,
            snapshot,
            self.learn_at(),
            self.over_at,
            Some(self.look_at),
        ];
        all.into_iter().flatten().min().unwrap_or(self.look_at)
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        if self.over_at.is_some_and(|at| now >= at) {
            self.give_up();
            return;
        }
        if self.snapshot_at.is_some_and(|at| now >= at) && !self.is_snapshot_asked {
            self.is_snapshot_asked = true;
            self.desk.order(Order::Snapshot);
        }
        if now >= self.look_at {
            self.look_whether_it_polls(now);
        }
        if self.learn_at().is_some_and(|at| now >= at) {
            self.learn_in_passing(now);
        }
        self.input(Input::Tick);
    }

    /// When topics are to be asked for, where the client itself has to know them: all of them for
    /// an expression, or the named ones while one is not there, since it may be made any time.
    fn learn_at(&self) -> Option<Instant> {
        let settings = &self.desktop.settings;
        if settings.protocol != GroupProtocol::Classic || self.is_learning {
            return None;
        }
        let max_age = self.desktop.shared.config.metadata_max_age;
        if settings.pattern.is_none() {
            return self.missing_pause.map(|pause| self.learned_at + pause);
        }
        let age = if self.is_learning_asked {
            max_age.min(Duration::from_millis(PATTERN_PAUSE_MS))
        } else if self.member.is_leader() {
            max_age.min(Duration::from_millis(PATTERN_REFRESH_MS))
        } else {
            max_age
        };
        Some(self.learned_at + age)
    }

    fn learn_in_passing(&mut self, now: Instant) {
        self.learned_at = now;
        self.is_learning = true;
        self.is_learning_asked = false;
        let desktop = Arc::clone(&self.desktop);
        self.tasks.push(Box::pin(async move {
            learn(&desktop).await;
            Done::Learned
        }));
    }

    fn look_whether_it_polls(&mut self, now: Instant) {
        let limit = self.desktop.settings.max_poll_interval;
        self.look_at = now + limit / 4;
        let polls = self.desk.polls();
        if polls != self.polls {
            self.polls = polls;
            self.polled_at = now;
        } else if now.duration_since(self.polled_at) >= limit
            && !self.is_stalled
            && self.over_at.is_none()
        {
            tracing::warn!(
                group = %self.desktop.settings.group,
                limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
                "the program did not poll within max_poll_interval: its partitions go to others"
            );
            self.is_stalled = true;
            self.desk.order(Order::Report);
            self.input(Input::Stalled);
        }
        // A reader that waits for records shows that it is there.
        self.desk.nudge();
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Positions(positions) => {
                self.is_snapshot_asked = false;
                let every = self.desktop.settings.auto_commit;
                self.snapshot_at = every.map(|every| Instant::now() + every);
                let offsets = self.changed(&positions);
                let is_under_way = |job: &Job| matches!(job.cause, Cause::Time);
                if !offsets.is_empty() && !self.queue.iter().any(is_under_way) {
                    self.enqueue(offsets, Cause::Time);
                }
            }
            Event::Released { is_lost: true, .. } => self.input(Input::Released),
            // Without an offset too: commits that wait may be for what is given up, and others
            // must not have it before.
            Event::Released { commit, .. } => {
                let offsets = self.last(commit);
                self.enqueue(offsets, Cause::Release);
            }
            Event::Taken => self.input(Input::Taken),
            Event::Polled => {
                self.is_stalled = false;
                self.polled_at = Instant::now();
                self.input(Input::Polled);
            }
            Event::Commit {
                offsets,
                reply,
                permit,
            } => self.enqueue(offsets, Cause::Asked(reply, permit)),
            Event::Committed { partitions, reply } => {
                let desktop = Arc::clone(&self.desktop);
                self.tasks.push(Box::pin(async move {
                    let wanted = partitions.into_iter().collect();
                    let answer = desktop.offsets(&wanted, desktop.shared.deadline()).await;
                    // Whoever asked may have gone away.
                    let _ = reply.send(answer);
                    Done::Nothing
                }));
            }
            Event::Close { commit, reply } => {
                let offsets = self.last(commit);
                self.over_at = Some(self.desktop.shared.deadline());
                self.enqueue(offsets, Cause::Close(reply));
            }
        }
    }

    /// Commits offsets that the reader told in its turn. While the reader does not know of a loss
    /// yet, the member is still the one that it read as.
    fn enqueue(&mut self, offsets: Offsets, cause: Cause) {
        let topics = offsets.keys().map(|partition| &partition.topic);
        let ids = topics.filter_map(|topic| self.ids.get_key_value(topic));
        self.queue.push_back(Job {
            membership: self.member.identity().membership,
            ids: ids.map(|(topic, id)| (Arc::clone(topic), *id)).collect(),
            offsets,
            cause,
        });
    }

    /// The positions that the group does not keep yet.
    fn changed(&self, positions: &BTreeMap<TopicPartition, Offset>) -> Offsets {
        let news = positions
            .iter()
            .filter(|(partition, offset)| self.kept.get(partition) != Some(offset));
        news.map(|(p, offset)| (p.clone(), CommitOffset::from(*offset)))
            .collect()
    }

    /// What is committed of partitions that go: what the listener wants, and where the rest has
    /// moved to. An offset that the group keeps is not told again: it would be news of old.
    fn last(&self, commit: FinalCommit) -> Offsets {
        let mut offsets = self.changed(&commit.positions);
        offsets.extend(commit.offsets);
        offsets
    }

    /// Begins the next commit, if none is under way.
    fn next_commit(&mut self) {
        if self.current.is_some() {
            return;
        }
        let Some(job) = self.queue.pop_front() else {
            return;
        };
        let (desktop, offsets) = (Arc::clone(&self.desktop), job.offsets.clone());
        let (ids, membership) = (job.ids.clone(), job.membership);
        let now = Instant::now();
        let limit = match job.cause {
            // Others wait for the partitions.
            Cause::Release => self.desktop.settings.max_poll_interval / 2,
            _ => self.desktop.shared.config.operation_timeout,
        };
        let until = now + limit.min(self.desktop.shared.config.operation_timeout);
        self.current = Some(job);
        self.tasks.push(Box::pin(async move {
            let mut gone = Gone::new();
            let result = desktop.commit(offsets, ids, membership, until, &mut gone);
            Done::Committed(result.await, gone)
        }));
    }

    fn committed(&mut self, mut result: Result<(), GroupError>, gone: Gone) {
        let Some(job) = self.current.take() else {
            return;
        };
        if let Cause::Asked(..) = job.cause {
            if let (Ok(()), Some((partition, error))) = (&result, gone.into_iter().next()) {
                result = Err(commit_error(partition, AdminError::Broker(error)));
            }
        } else {
            result = self.drop_gone(&job, result, gone);
        }
        match &result {
            // What another member has read since may have been committed, too.
            Ok(()) if job.membership != self.member.identity().membership => {}
            Ok(()) => {
                let kept = job.offsets.iter().map(|(p, o)| (p.clone(), o.offset));
                self.kept.extend(kept);
            }
            Err(error) => {
                tracing::warn!(group = %self.desktop.settings.group, %error, "offsets were not committed");
            }
        }
        match job.cause {
            Cause::Time => {}
            Cause::Asked(reply, permit) => {
                // Whoever asked may have gone away.
                let _ = reply.send(result);
                drop(permit);
            }
            Cause::Release => {
                // By itself it tries once; what the program wanted it hears of.
                if let Err(error) = result
                    && self.desktop.settings.auto_commit.is_none()
                {
                    self.desk.order(Order::Warn(error));
                }
                self.input(Input::Released);
            }
            Cause::Close(reply) => {
                self.farewell = Some((reply, result));
                self.leave(Duration::from_millis(FAREWELL_MS));
            }
        }
    }

    /// Nobody wants the offsets of topics that are gone: by itself the member does not try again,
    /// and no program ends over it.
    fn drop_gone(
        &mut self,
        job: &Job,
        mut result: Result<(), GroupError>,
        mut gone: Gone,
    ) -> Result<(), GroupError> {
        if let Err(GroupError::Commit { partition, error }) = &result
            && is_gone(error.code, true)
        {
            // There was no time for patience.
            gone.insert(partition.clone(), error.clone());
            result = Ok(());
        }
        let Some(error) = gone.values().next() else {
            return result;
        };
        let reason = error.to_string();
        let partitions: BTreeSet<_> = gone.into_keys().collect();
        tracing::warn!(
            group = %self.desktop.settings.group, ?partitions, reason,
            "offsets of topics that are gone were dropped"
        );
        if job.membership == self.member.identity().membership {
            let dropped = job.offsets.iter();
            let dropped = dropped.filter(|(partition, _)| partitions.contains(*partition));
            self.kept
                .extend(dropped.map(|(partition, at)| (partition.clone(), at.offset)));
        }
        self.desk.order(Order::Dropped { partitions, reason });
        result
    }

    /// The last commit has taken too long, and so nobody waits for one any more; or the farewell.
    fn give_up(&mut self) {
        if self.is_leaving {
            self.is_over = true;
            return;
        }
        let timeout = self.desktop.shared.config.operation_timeout;
        let late = || GroupError::CommitTimeout {
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let queue = std::mem::take(&mut self.queue);
        for job in self.current.take().into_iter().chain(queue) {
            match job.cause {
                Cause::Time | Cause::Release => {}
                Cause::Asked(reply, _) => {
                    // Whoever asked may have gone away.
                    let _ = reply.send(Err(late()));
                }
                Cause::Close(reply) => self.farewell = Some((reply, Err(late()))),
            }
        }
        self.leave(Duration::from_millis(FAREWELL_MS));
    }

    fn leave(&mut self, limit: Duration) {
        self.is_leaving = true;
        self.over_at = Some(Instant::now() + limit);
        self.input(Input::Leave);
        if self.member.is_over() {
            self.is_over = true;
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Told(Ok(answer)) => {
                let code = answer.code();
                if is_away(code) {
                    self.coordinator_is_away(code.text());
                } else {
                    self.coordinator_is_back();
                }
                self.input(Input::Told(answer));
            }
            Done::Told(Err(error)) => {
                tracing::debug!(group = %self.desktop.settings.group, %error, "no answer of the coordinator");
                self.coordinator_is_away(&error.to_string());
                self.input(Input::Failed(error));
            }
            Done::Placed(None) => self.input(Input::NotTaken),
            Done::Placed(Some(starts)) => {
                for start in &starts {
                    if start.topic_id != TopicId::ZERO {
                        let topic = Arc::clone(&start.partition.topic);
                        self.ids.insert(topic, start.topic_id);
                    }
                    match &start.offset {
                        Ok(offset) if start.is_kept => {
                            self.kept.insert(start.partition.clone(), *offset);
                        }
                        // It may have been here before.
                        _ => {
                            self.kept.remove(&start.partition);
                        }
                    }
                }
                self.desk.order(Order::Take(starts));
                let metadata = self.desktop.shared.metadata();
                self.forget_what_is_gone(&metadata);
            }
            Done::Names(names) => self.input(Input::Names(names)),
            Done::Counts(counted) => self.counted(counted),
            Done::Committed(result, gone) => self.committed(result, gone),
            Done::Learned => {
                self.is_learning = false;
                let longest = Duration::from_millis(MISSING_PAUSE_MAX_MS);
                self.missing_pause = self.missing_pause.map(|pause| longest.min(pause * 2));
            }
            Done::Nothing => {}
        }
    }

    /// Told once, however often it is asked in vain.
    fn coordinator_is_away(&mut self, reason: &str) {
        if self.away_since.is_none() && !self.is_leaving {
            self.away_since = Some(Instant::now());
            self.desk.order(Order::Away(reason.to_owned()));
        }
    }

    fn coordinator_is_back(&mut self) {
        if let Some(since) = self.away_since.take() {
            self.desk.order(Order::Back(since.elapsed()));
        }
    }

    fn input(&mut self, input: Input) {
        let outputs = self.member.step(self.now(), input);
        self.desk.set_identity(self.member.identity());
        for output in outputs {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        let desktop = Arc::clone(&self.desktop);
        match output {
            Output::Ask(ask) => {
                self.is_learning_asked |= matches!(ask, Ask::Join(_));
                self.tasks
                    .push(Box::pin(async move { Done::Told(desktop.send(ask).await) }));
            }
            Output::Moved => self.desktop.coordinator.forget(),
            Output::Release {
                partitions,
                is_lost,
            } => {
                self.desk.order(Order::Release {
                    partitions,
                    is_lost,
                });
            }
            Output::Take(partitions) => self.tasks.push(Box::pin(async move {
                Done::Placed(desktop.place(partitions).await)
            })),
            Output::Resolve(ids) => {
                self.tasks.push(Box::pin(
                    async move { Done::Names(desktop.names(ids).await) },
                ))
            }
            Output::Count(topics) => self.tasks.push(Box::pin(async move {
                Done::Counts(desktop.counts(topics).await)
            })),
            Output::Fail(error) => self.desk.order(Order::Fail(error)),
            Output::Left => self.is_over = true,
        }
    }

    /// The leader shares out by what it has just counted.
    fn counted(&mut self, counted: Counted) {
        for (topic, made) in &counted {
            if let (Some(seen), Some(made)) = (self.seen.get_mut(topic), made) {
                *seen = *made;
            }
        }
        let count = |(topic, made): (&Arc<str>, &Option<Made>)| {
            let count = i32::try_from((*made)?.1).ok()?;
            Some((Arc::clone(topic), count))
        };
        let counts = counted.iter().filter_map(count).collect();
        self.shared_out = counted;
        self.input(Input::Counts(counts));
        // There may be newer news already.
        let metadata = self.desktop.shared.metadata();
        self.follow(&metadata);
    }

    /// Tells the member of topics that are gone, and a classic one which there are, where that has
    /// changed.
    fn follow(&mut self, metadata: &Metadata) {
        self.forget_what_is_gone(metadata);
        let settings = &self.desktop.settings;
        if settings.protocol != GroupProtocol::Classic {
            return;
        }
        let is_missing = |topic| made(metadata, topic).is_none();
        if !settings.topics.iter().any(|topic| is_missing(topic)) {
            self.missing_pause = None;
        } else if self.missing_pause.is_none() {
            self.missing_pause = Some(Duration::from_millis(MISSING_PAUSE_MS));
            self.learned_at = Instant::now();
        }
        let topics = metadata.topics.iter().filter(|(name, topic)| {
            let is_named = settings.topics.contains(*name);
            let matches = |pattern: &Pattern| pattern.matches(name, topic);
            (is_named || settings.pattern.as_ref().is_some_and(matches)) && !topic.error.is_err()
        });
        let seen: BTreeMap<_, _> = topics
            .map(|(name, topic)| (Arc::clone(name), (topic.id, topic.partitions.len())))
            .collect();
        let is_other = |(name, then): (&Arc<str>, &Option<Made>)| made(metadata, name) != *then;
        let is_old = self.member.is_leader() && self.shared_out.iter().any(is_other);
        if seen == self.seen && !is_old {
            return;
        }
        let names: BTreeSet<_> = seen.keys().chain(&settings.topics).cloned().collect();
        self.seen = seen;
        self.input(Input::Topics(names));
    }

    /// A topic that was deleted and made again is another one: its partitions here are gone, and
    /// so is what was to be committed of them.
    fn forget_what_is_gone(&mut self, metadata: &Metadata) {
        let is_gone = |(topic, id): &(&Arc<str>, &TopicId)| {
            made(metadata, topic).is_some_and(|(now, _)| now != **id)
        };
        let gone = self.ids.iter().filter(is_gone);
        let gone: BTreeMap<_, _> = gone.map(|(topic, id)| (*id, Arc::clone(topic))).collect();
        if gone.is_empty() {
            return;
        }
        for topic in gone.values() {
            self.ids.remove(topic);
            self.kept.retain(|partition, _| partition.topic != *topic);
        }
        self.input(Input::Gone(gone));
    }
}

/// Asks for the topics that are named, or for all where there is an expression.
async fn learn(desktop: &Desktop) {
    let settings = &desktop.settings;
    let topics = match settings.pattern {
        Some(_) => None,
        None => Some(settings.topics.iter().cloned().collect()),
    };
    if let Err(error) = desktop.shared.refresh(topics).await {
        tracing::debug!(%error, "metadata could not be refreshed");
    }
}
