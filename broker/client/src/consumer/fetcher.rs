//! Fetchers: a task for each leader of assigned partitions, which keeps one fetch of its session
//! under way while there is room, and the one lock they share with the reader.
//!
//! A fetcher never decompresses or looks at records; a slow reader stops it by the budget.

use super::{
    batch::split,
    buffer::{Buffer, Doing, Next},
    builder::{OffsetReset, Settings},
    session::{FetchSession, Saying, Wanted},
};
use crate::{
    admin::{OffsetSpec, offsets::list_offsets},
    cluster::{backoff::Backoff, broker::Purpose, metadata::Metadata, shared::Shared},
    error::{AdminError, BrokerError, ConsumeError, RequestError},
    limits::{FETCH_PATIENCE, RETRY_BACKOFF_MAX_MS, RETRY_BACKOFF_MS},
    record::TopicPartition,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use weir_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, Tick, TopicId};
use weir_wire::{
    Text,
    messages::{
        FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic, PartitionData,
    },
};

/// The first version that names topics by id (KIP-516).
const TOPIC_ID_VERSION: i16 = 13;

/// What the reader and the fetchers share.
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Settings,
    state: Mutex<State>,
    member: u64,
    start: Instant,
    runtime: tokio::runtime::Handle,
    over: watch::Sender<bool>,
}

pub(crate) struct State {
    pub(crate) buffer: Buffer,
    reader: Option<Waker>,
    fetchers: HashMap<BrokerId, Arc<Notify>>,
    /// A fetcher found no room.
    is_short: bool,
}

/// Ends the fetchers when the consumer is dropped.
pub(crate) struct Alive(pub(crate) Arc<Inner>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.over.send_replace(true);
    }
}

/// Makes what a consumer stands on.
pub(crate) fn start(shared: Arc<Shared>, settings: Settings) -> Arc<Inner> {
    let metadata = shared.watch_metadata();
    let inner = Arc::new(Inner {
        member: shared.next_member(),
        shared,
        state: Mutex::new(State {
            buffer: Buffer::new(settings.prefetch_bytes, settings.partition_bytes),
            reader: None,
            fetchers: HashMap::new(),
            is_short: false,
        }),
        settings,
        start: Instant::now(),
        runtime: tokio::runtime::Handle::current(),
        over: watch::channel(false).0,
    });
    tokio::spawn(follow_metadata(Arc::clone(&inner), metadata));
    inner
}

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next thing for the reader.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Next> {
        let mut state = self.state();
        let Some(next) = state.buffer.next() else {
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        if state.is_short {
            state.is_short = false;
            state.fetchers.values().for_each(|bell| bell.notify_one());
        }
        Poll::Ready(next)
    }

    pub(crate) fn advance(&self, partition: &TopicPartition, generation: u64, to: Offset) {
        self.state().buffer.advance(partition, generation, to);
    }

    /// Wakes every fetcher: assignment, positions or room have changed.
    pub(crate) fn ring_all(&self) {
        let state = self.state();
        state.fetchers.values().for_each(|bell| bell.notify_one());
    }

    /// Starts a fetcher for each leader that has none, and wakes the others.
    pub(crate) fn fetch_from_leaders(self: &Arc<Self>) {
        let metadata = self.shared.metadata();
        let mut state = self.state();
        let mut is_leaderless = false;
        let mut leaders = Vec::new();
        for (partition, _) in state.buffer.iter() {
            match metadata.leader(&partition.topic, partition.partition) {
                Some((leader, _)) if !leaders.contains(&leader) => leaders.push(leader),
                Some(_) => {}
                None => is_leaderless = true,
            }
        }
        for leader in leaders {
            state.fetchers.entry(leader).or_insert_with(|| {
                let bell = Arc::new(Notify::new());
                let task = run(Arc::clone(self), leader, Arc::clone(&bell));
                self.runtime.spawn(task);
                bell
            });
        }
        state.fetchers.values().for_each(|bell| bell.notify_one());
        drop(state);
        if is_leaderless {
            self.shared.metadata_is_stale();
        }
    }

    fn now(&self) -> Tick {
        Tick(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn instant(&self, tick: Tick) -> Instant {
        self.start + Duration::from_millis(tick.0)
    }

    fn wake_reader(state: &mut State) {
        if !state.buffer.is_empty()
            && let Some(reader) = state.reader.take()
        {
            reader.wake();
        }
    }

    /// What can be fetched from `broker` now, and room for it; else when to look again.
    fn plan(&self, broker: BrokerId) -> Result<Plan, Option<Tick>> {
        let metadata = self.shared.metadata();
        let now = self.now();
        let mut state = self.state();
        let mut wanted = BTreeMap::new();
        let mut generations = HashMap::new();
        let mut again: Option<Tick> = None;
        for (partition, part) in state.buffer.iter() {
            let Some((leader, leader_epoch)) =
                metadata.leader(&partition.topic, partition.partition)
            else {
                continue;
            };
            if leader != broker {
                continue;
            }
            match state.buffer.fetchable(partition, now) {
                Ok(offset) => {
                    generations.insert(partition.clone(), part.generation);
                    let bytes_max = self.settings.partition_bytes;
                    let topic = metadata.topics.get(&partition.topic);
                    let want = Wanted {
                        topic_id: topic.map_or(TopicId::ZERO, |topic| topic.id),
                        offset,
                        leader_epoch,
                        bytes_max,
                    };
                    wanted.insert(partition.clone(), want);
                }
                Err(Some(until)) => again = Some(again.map_or(until, |again| again.min(until))),
                Err(None) => {}
            }
        }
        if wanted.is_empty() {
            // Partitions that have enough ahead can be fetched again when some of it is read.
            state.is_short = true;
            return Err(again);
        }
        let Some(reserved_bytes) = state.buffer.reserve(self.settings.fetch_bytes) else {
            state.is_short = true;
            return Err(again);
        };
        Ok(Plan {
            wanted,
            generations,
            reserved_bytes,
        })
    }

    /// Takes an answer over.
    fn take(self: &Arc<Self>, plan: &Plan, response: &FetchResponse) {
        let wanted = plan.wanted.iter();
        let names: HashMap<TopicId, &Arc<str>> = wanted
            .map(|(partition, wanted)| (wanted.topic_id, &partition.topic))
            .collect();
        for topic in &response.responses {
            let by_name = plan.wanted.keys().find(|p| topic.topic == *p.topic);
            let name = match names.get(&topic.topic_id) {
                Some(name) if topic.topic_id != TopicId::ZERO => Arc::clone(name),
                _ => match by_name {
                    Some(partition) => Arc::clone(&partition.topic),
                    None => continue,
                },
            };
            for data in &topic.partitions {
                let partition = TopicPartition {
                    topic: Arc::clone(&name),
                    partition: data.partition_index,
                };
                let asked = plan.wanted.get(&partition);
                let generation = plan.generations.get(&partition);
                if let (Some(asked), Some(generation)) = (asked, generation) {
                    self.take_partition(&partition, *asked, *generation, data);
                }
            }
        }
    }

    fn take_partition(
        self: &Arc<Self>,
        partition: &TopicPartition,
        asked: Wanted,
        generation: u64,
        data: &PartitionData,
    ) {
        let mut state = self.state();
        let Some(part) = state.buffer.get_mut(partition) else {
            return;
        };
        if part.generation != generation || part.fetch_offset != asked.offset {
            return;
        }
        if data.error_code.is_err() {
            drop(state);
            self.take_error(partition, asked, generation, data.error_code);
            return;
        }
        part.high_watermark = Some(data.high_watermark);
        if data.log_start_offset.0 >= 0 {
            part.log_start = Some(data.log_start_offset);
        }
        let Some(records) = data.records.as_ref().map(weir_wire::Records::to_bytes) else {
            return;
        };
        match split(&records) {
            Ok(batches) => state
                .buffer
                .fill(partition, generation, asked.offset, batches),
            Err(error) => state.buffer.halt(
                partition,
                ConsumeError::Damaged {
                    partition: partition.clone(),
                    offset: asked.offset,
                    next_offset: asked.offset.next(),
                    reason: error.to_string(),
                },
            ),
        }
        Self::wake_reader(&mut state);
    }

    fn take_error(
        self: &Arc<Self>,
        partition: &TopicPartition,
        asked: Wanted,
        generation: u64,
        code: ErrorCode,
    ) {
        if code == ErrorCode::OffsetOutOfRange {
            self.reset(partition, asked.offset, generation);
            return;
        }
        let now = self.now();
        let mut state = self.state();
        let Some(part) = state.buffer.get_mut(partition) else {
            return;
        };
        part.failures += 1;
        let is_gone = matches!(
            code,
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId
        );
        if code.is_retriable() && !(is_gone && part.failures > FETCH_PATIENCE) {
            let pause = RETRY_BACKOFF_MS
                .saturating_mul(1 << part.failures.min(16))
                .min(RETRY_BACKOFF_MAX_MS);
            part.blocked_until = now + pause;
            drop(state);
            tracing::debug!(%partition, error = %code, "a fetch is tried again");
            self.shared.metadata_is_stale();
            return;
        }
        let error = ConsumeError::Partition {
            partition: partition.clone(),
            error: BrokerError::from(code),
        };
        state.buffer.halt(partition, error);
        Self::wake_reader(&mut state);
    }

    /// The position lies outside the log.
    fn reset(self: &Arc<Self>, partition: &TopicPartition, offset: Offset, generation: u64) {
        let spec = match self.settings.reset {
            OffsetReset::Earliest => OffsetSpec::Earliest,
            OffsetReset::Latest => OffsetSpec::Latest,
            OffsetReset::Error => {
                let mut state = self.state();
                let error = ConsumeError::OffsetOutOfRange {
                    partition: partition.clone(),
                    offset,
                };
                state.buffer.halt(partition, error);
                Self::wake_reader(&mut state);
                return;
            }
        };
        if let Some(part) = self.state().buffer.get_mut(partition) {
            part.doing = Doing::Resetting;
        }
        let (inner, partition) = (Arc::clone(self), partition.clone());
        self.runtime.spawn(async move {
            let mut over = inner.over.subscribe();
            let asking = list_offsets(&inner.shared, vec![(partition.clone(), spec)]);
            let answer = tokio::select! {
                mut answers = asking => answers.remove(&partition),
                _ = over.wait_for(|over| *over) => return,
            };
            inner.finish_reset(&partition, generation, answer);
        });
    }

    fn finish_reset(
        self: &Arc<Self>,
        partition: &TopicPartition,
        generation: u64,
        answer: Option<Result<crate::admin::FoundOffset, AdminError>>,
    ) {
        let mut state = self.state();
        match answer {
            Some(Ok(found)) => {
                let to = found.offset.unwrap_or(Offset::ZERO);
                tracing::debug!(%partition, offset = %to, "the position was reset");
                state.buffer.continue_at(partition, generation, to);
            }
            Some(Err(AdminError::Request(error))) => {
                state.buffer.halt(partition, ConsumeError::Request(error));
            }
            other => {
                let error = match other {
                    Some(Err(AdminError::Broker(error))) => error,
                    _ => BrokerError::from(ErrorCode::UnknownServerError),
                };
                let partition_error = ConsumeError::Partition {
                    partition: partition.clone(),
                    error,
                };
                state.buffer.halt(partition, partition_error);
            }
        }
        Self::wake_reader(&mut state);
        drop(state);
        self.ring_all();
    }

    /// Everything that is fetched from a broker fails for good.
    fn fail_for_good(&self, error: RequestError) {
        let mut state = self.state();
        state.buffer.fail(ConsumeError::Request(error));
        Self::wake_reader(&mut state);
    }
}

/// One fetch.
struct Plan {
    wanted: BTreeMap<TopicPartition, Wanted>,
    generations: HashMap<TopicPartition, u64>,
    reserved_bytes: usize,
}

/// Fetches from one broker until the consumer ends.
async fn run(inner: Arc<Inner>, broker: BrokerId, bell: Arc<Notify>) {
    let mut over = inner.over.subscribe();
    let purpose = Purpose::Fetch {
        consumer: inner.member,
    };
    tokio::select! {
        () = serve(&inner, broker, purpose, &bell) => {}
        _ = over.wait_for(|over| *over) => {}
    }
    if let Ok(broker) = inner.shared.broker(broker) {
        broker.drop_channel(purpose);
    }
}

async fn serve(inner: &Arc<Inner>, broker: BrokerId, purpose: Purpose, bell: &Notify) {
    let mut session = FetchSession::default();
    let mut backoff = Backoff::default();
    loop {
        let plan = match inner.plan(broker) {
            Ok(plan) => plan,
            Err(again) => {
                let alarm = async {
                    match again {
                        Some(tick) => tokio::time::sleep_until(inner.instant(tick)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = bell.notified() => {}
                    () = alarm => {}
                }
                continue;
            }
        };
        let answer = fetch(inner, broker, purpose, &mut session, &plan).await;
        inner.state().buffer.release(plan.reserved_bytes);
        match answer {
            Ok(response) => {
                backoff = Backoff::default();
                if session.answered(response.error_code, response.session_id) {
                    inner.take(&plan, &response);
                } else {
                    tracing::debug!(error = %response.error_code, "a fetch session begins anew");
                    if !is_about_sessions(response.error_code) {
                        inner.shared.metadata_is_stale();
                        backoff.wait().await;
                    }
                }
            }
            Err(error) => {
                session.broke();
                if error.can_retry() {
                    tracing::debug!(%error, "a fetch failed");
                } else {
                    inner.fail_for_good(error);
                }
                inner.shared.metadata_is_stale();
                backoff.wait().await;
            }
        }
    }
}

fn is_about_sessions(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch
    )
}

async fn fetch(
    inner: &Inner,
    broker: BrokerId,
    purpose: Purpose,
    session: &mut FetchSession,
    plan: &Plan,
) -> Result<FetchResponse, RequestError> {
    let channel = inner.shared.broker(broker)?.session(purpose).await?;
    let by_id = plan.wanted.values().all(|w| w.topic_id != TopicId::ZERO);
    let cap = if by_id {
        i16::MAX
    } else {
        TOPIC_ID_VERSION - 1
    };
    let version = channel.version::<FetchRequest>(cap)?;
    let saying = session.say(&plan.wanted);
    let mut request = request(saying);
    let millis = i32::try_from(inner.settings.max_wait.as_millis()).unwrap_or(i32::MAX);
    request.max_wait_ms = millis;
    request.min_bytes = inner.settings.min_bytes;
    request.max_bytes = i32::try_from(plan.reserved_bytes).unwrap_or(i32::MAX);
    if version < 7 {
        request.session_id = 0;
        request.session_epoch = -1;
    }
    let timeout = inner.settings.max_wait + inner.shared.config.request_timeout;
    let client_id = &inner.shared.client_id;
    channel.call(version, &request, client_id, timeout).await
}

fn request(saying: Saying) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (partition, wanted) in saying.changed {
        let row = FetchPartition {
            partition: partition.partition,
            current_leader_epoch: wanted.leader_epoch,
            fetch_offset: wanted.offset,
            last_fetched_epoch: LeaderEpoch::NONE,
            partition_max_bytes: i32::try_from(wanted.bytes_max).unwrap_or(i32::MAX),
            ..FetchPartition::default()
        };
        match topics.last_mut() {
            Some(last) if last.topic == *partition.topic => last.partitions.push(row),
            _ => topics.push(FetchTopic {
                topic: Text::from(&*partition.topic),
                topic_id: wanted.topic_id,
                partitions: vec![row],
            }),
        }
    }
    let mut forgotten: Vec<ForgottenTopic> = Vec::new();
    for (partition, topic_id) in saying.forgotten {
        match forgotten.last_mut() {
            Some(last) if last.topic == *partition.topic && last.topic_id == topic_id => {
                last.partitions.push(partition.partition);
            }
            _ => forgotten.push(ForgottenTopic {
                topic: Text::from(&*partition.topic),
                topic_id,
                partitions: vec![partition.partition],
            }),
        }
    }
    FetchRequest {
        session_id: saying.session_id,
        session_epoch: saying.session_epoch,
        topics,
        forgotten_topics_data: forgotten,
        ..FetchRequest::default()
    }
}

/// Starts fetchers where leaders move to.
async fn follow_metadata(inner: Arc<Inner>, mut metadata: watch::Receiver<Arc<Metadata>>) {
    let mut over = inner.over.subscribe();
    loop {
        tokio::select! {
            _ = over.wait_for(|over| *over) => return,
            changed = metadata.changed() => {
                if changed.is_err() {
                    return;
                }
                metadata.borrow_and_update();
                inner.fetch_from_leaders();
            }
        }
    }
}
