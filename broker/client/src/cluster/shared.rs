//! What all handles of one client share: the brokers it knows, metadata and the wish to have it
//! anew.
//!
//! Asking is done here; what an answer means for records is not.

use super::{
    backoff::Backoff,
    broker::{Broker, Purpose, Session},
    metadata::{Metadata, TopicMetadata},
    transport::{Address, Dial},
};
use crate::{
    config::ClientConfig,
    error::{BrokerError, RequestError},
    limits::{METADATA_PAUSE_MS, TOPIC_WAIT_MS},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use weir_net::Transport;
use weir_types::{BrokerId, ErrorCode};
use weir_wire::{
    RequestBody, Text,
    messages::{MetadataRequest, MetadataRequestTopic, MetadataResponse},
};

pub(crate) struct Shared {
    pub(crate) config: ClientConfig,
    pub(crate) client_id: Text,
    pub(crate) dial: Arc<dyn Dial>,
    seeds: Vec<Arc<Broker>>,
    brokers: Mutex<HashMap<BrokerId, Arc<Broker>>>,
    metadata: watch::Sender<Arc<Metadata>>,
    /// Topics that are kept up to date.
    wanted: Mutex<BTreeSet<Arc<str>>>,
    stale: Arc<Notify>,
    next_member: AtomicU64,
}

/// Why a topic's partitions are not to be had.
#[derive(Debug)]
pub(crate) enum TopicError {
    Request(RequestError),
    Broker(BrokerError),
}

impl From<RequestError> for TopicError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The refresher finds that nobody is left.
        self.stale.notify_one();
    }
}

impl Shared {
    pub(crate) fn new(config: ClientConfig, dial: Arc<dyn Dial>, seeds: Vec<Address>) -> Arc<Self> {
        Arc::new_cyclic(|weak: &Weak<Self>| {
            let seeds = seeds.into_iter();
            let seeds = seeds.map(|address| Arc::new(Broker::new(address, Weak::clone(weak))));
            Self {
                client_id: Text::from(config.client_id.as_str()),
                seeds: seeds.collect(),
                config,
                dial,
                brokers: Mutex::default(),
                metadata: watch::channel(Arc::default()).0,
                wanted: Mutex::default(),
                stale: Arc::default(),
                next_member: AtomicU64::new(1),
            }
        })
    }

    /// Connects to the first broker that can be reached and starts to keep metadata fresh.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), RequestError> {
        self.refresh(Some(Vec::new())).await?;
        tokio::spawn(keep_fresh(
            Arc::downgrade(self),
            Arc::clone(&self.stale),
            self.config.metadata_max_age,
        ));
        Ok(())
    }

    /// A number for a producer or consumer of this client.
    pub(crate) fn next_member(&self) -> u64 {
        self.next_member.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.metadata.borrow())
    }

    pub(crate) fn watch_metadata(&self) -> watch::Receiver<Arc<Metadata>> {
        self.metadata.subscribe()
    }

    /// Says that metadata does not fit any more; it is asked for soon.
    pub(crate) fn metadata_is_stale(&self) {
        self.stale.notify_one();
    }

    /// Keeps a topic's metadata up to date from now on.
    pub(crate) fn want(&self, topic: &Arc<str>) {
        self.wanted().insert(Arc::clone(topic));
    }

    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.config.operation_timeout
    }

    /// The broker of an id.
    pub(crate) fn broker(self: &Arc<Self>, id: BrokerId) -> Result<Arc<Broker>, RequestError> {
        let metadata = self.metadata();
        let Some(address) = metadata.brokers.get(&id) else {
            return Err(RequestError::UnknownBroker { id: id.0 });
        };
        let mut brokers = self.brokers();
        match brokers.get(&id) {
            Some(broker) if broker.address() == address => Ok(Arc::clone(broker)),
            _ => {
                let broker = Arc::new(Broker::new(address.clone(), Arc::downgrade(self)));
                brokers.insert(id, Arc::clone(&broker));
                Ok(broker)
            }
        }
    }

    /// Brokers to ask when any will do: connected ones first, then the others, then those of the
    /// configuration.
    fn candidates(self: &Arc<Self>) -> Vec<Arc<Broker>> {
        let mut ids: Vec<_> = self.metadata().brokers.keys().copied().collect();
        ids.sort_unstable();
        let mut all: Vec<_> = ids
            .into_iter()
            .filter_map(|id| self.broker(id).ok())
            .collect();
        all.extend(self.seeds.iter().cloned());
        // Stable: among equals the order stays.
        all.sort_by_key(|broker| !broker.is_connected());
        all
    }

    /// A broker that is connected, or can be.
    pub(crate) async fn anybody(self: &Arc<Self>) -> Result<Arc<Broker>, RequestError> {
        let mut first = None;
        for broker in self.candidates() {
            match broker.session(Purpose::Control).await {
                Ok(_) => return Ok(broker),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or(RequestError::Closed))
    }

    /// Asks one broker.
    pub(crate) async fn ask<B: RequestBody>(
        &self,
        broker: &Broker,
        cap: i16,
        body: &B,
    ) -> Result<B::Response, RequestError> {
        let session = broker.session(Purpose::Control).await?;
        self.ask_on(&session, cap, body).await
    }

    pub(crate) async fn ask_on<B: RequestBody>(
        &self,
        session: &Session,
        cap: i16,
        body: &B,
    ) -> Result<B::Response, RequestError> {
        let version = session.version::<B>(cap)?;
        let timeout = self.config.request_timeout;
        session.call(version, body, &self.client_id, timeout).await
    }

    /// Asks whichever broker answers.
    pub(crate) async fn ask_any<B: RequestBody>(
        self: &Arc<Self>,
        cap: i16,
        body: &B,
    ) -> Result<B::Response, RequestError> {
        let mut first = None;
        let mut tried = Vec::new();
        for broker in self.candidates() {
            if tried.contains(broker.address()) {
                continue;
            }
            tried.push(broker.address().clone());
            match self.ask(&broker, cap, body).await {
                Ok(response) => return Ok(response),
                Err(error @ (RequestError::Encode { .. } | RequestError::Closed)) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::debug!(broker = %broker.address(), %error, "a broker did not answer");
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or(RequestError::Closed))
    }

    /// Asks for some topics (nothing: all) and takes the answer over.
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        topics: Option<Vec<Arc<str>>>,
    ) -> Result<MetadataResponse, RequestError> {
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(named).collect()),
            allow_auto_topic_creation: self.config.allow_auto_create_topics,
            ..MetadataRequest::default()
        };
        let response = self.ask_any(i16::MAX, &request).await?;
        self.take_over(&response);
        Ok(response)
    }

    /// Merges a metadata answer.
    pub(crate) fn take_over(&self, response: &MetadataResponse) {
        self.metadata.send_modify(|metadata| {
            *metadata = Arc::new(metadata.merge(response));
        });
    }

    /// A topic's partitions, asked for until they are there, the broker says no for good, or the
    /// deadline passes. The topic is kept up to date from then on.
    pub(crate) async fn topic(
        self: &Arc<Self>,
        name: &Arc<str>,
        deadline: Instant,
    ) -> Result<TopicMetadata, TopicError> {
        let usable = |metadata: &Metadata| {
            let topic = metadata.topics.get(name)?;
            let good = !topic.error.is_err() && !topic.partitions.is_empty();
            good.then(|| topic.clone())
        };
        let mut attempts = Attempts::until(deadline);
        // A topic that was just made may not have reached the broker that is asked.
        let patience = Instant::now() + Duration::from_millis(TOPIC_WAIT_MS);
        loop {
            if let Some(topic) = usable(&self.metadata()) {
                self.want(name);
                return Ok(topic);
            }
            let error = match self.refresh(Some(vec![Arc::clone(name)])).await {
                Ok(_) => match self.metadata().topics.get(name) {
                    Some(topic) if !topic.error.is_err() && !topic.partitions.is_empty() => {
                        continue;
                    }
                    Some(topic) if topic.error.is_err() => TopicError::Broker(topic.error.into()),
                    _ => TopicError::Broker(ErrorCode::LeaderNotAvailable.into()),
                },
                Err(error) => TopicError::Request(error),
            };
            let can_retry = match &error {
                TopicError::Broker(BrokerError {
                    code: ErrorCode::UnknownTopicOrPartition,
                    ..
                }) => Instant::now() < patience,
                TopicError::Broker(error) => error.can_retry(),
                TopicError::Request(error) => error.can_retry(),
            };
            if !can_retry || !attempts.again().await {
                return Err(error);
            }
        }
    }

    /// What carries the connections that stand.
    pub(crate) fn transports(&self) -> BTreeSet<Transport> {
        let brokers: Vec<_> = self.brokers().values().cloned().collect();
        let all = brokers.iter().chain(&self.seeds);
        all.filter_map(|broker| broker.transport()).collect()
    }

    /// Ends every connection.
    pub(crate) fn close(&self) {
        self.brokers().values().for_each(|broker| broker.close());
        self.seeds.iter().for_each(|broker| broker.close());
    }

    fn brokers(&self) -> MutexGuard<'_, HashMap<BrokerId, Arc<Broker>>> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(topic: &Arc<str>) -> MetadataRequestTopic {
    MetadataRequestTopic {
        name: Some(Text::from(&**topic)),
        ..MetadataRequestTopic::default()
    }
}

/// Asks for metadata when somebody says that it is stale, and once in a while.
async fn keep_fresh(shared: Weak<Shared>, stale: Arc<Notify>, max_age: Duration) {
    let mut backoff = Backoff::default();
    loop {
        // Both a wish and its time having come lead to the same.
        let _ = tokio::time::timeout(max_age, stale.notified()).await;
        let Some(strong) = shared.upgrade() else {
            return;
        };
        let wanted: Vec<_> = strong.wanted().iter().cloned().collect();
        match strong.refresh(Some(wanted)).await {
            Ok(_) => {
                backoff = Backoff::default();
                drop(strong);
                tokio::time::sleep(Duration::from_millis(METADATA_PAUSE_MS)).await;
            }
            Err(error) => {
                tracing::debug!(%error, "metadata could not be refreshed");
                drop(strong);
                backoff.wait().await;
                stale.notify_one();
            }
        }
    }
}

/// Counts the attempts of one operation: pauses between them, and an end.
pub(crate) struct Attempts {
    backoff: Backoff,
    deadline: Instant,
}

impl Attempts {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            backoff: Backoff::default(),
            deadline,
        }
    }

    /// Waits for the next attempt; false where the time is up.
    pub(crate) async fn again(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        tokio::time::timeout_at(self.deadline, self.backoff.wait())
            .await
            .is_ok()
    }
}
