//! A cluster in memory for tests: it speaks the real bytes of the protocol, keeps logs, checks
//! sequences as a broker does (KIP-98), and fails on command.
//!
//! It is an oracle of its own: nothing of the client's logic may be used here.

use crate::{
    Client, ClientConfig,
    cluster::transport::{Address, BoxFuture, Dial, FrameSink, FrameSource, Link, Pipe},
    error::RequestError,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use weir_types::{
    BatchHeader, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch,
    ProducerId, TimestampMs, TopicId,
    batch::{check_batch, check_records, patch_offset, payload, records},
};
use weir_wire::{
    ApiKey, Records, Request, Response, Text, decode_request, encode_response,
    messages::{
        ApiVersionsResponse, Coordinator, CreatableTopicResult, CreateTopicsRequest,
        CreateTopicsResponse, FetchRequest, FetchResponse, FetchableTopicResponse,
        FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdResponse,
        ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
        ListOffsetsTopicResponse, MetadataRequest, MetadataResponse, MetadataResponseBroker,
        MetadataResponsePartition, MetadataResponseTopic, PartitionData, PartitionProduceResponse,
        ProduceRequest, ProduceResponse, TopicProduceResponse,
    },
};

/// What goes wrong with the next produce request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Every partition answers so and appends nothing.
    Refuse(ErrorCode),
    /// Every partition appends and answers so.
    RefuseAfter(ErrorCode),
    /// The connection breaks before anything is appended.
    DropBefore,
    /// The connection breaks before the answer.
    DropAfter,
    /// There is no answer, ever.
    Hang,
    /// Nothing.
    None,
}

#[derive(Default)]
pub(crate) struct FakePartition {
    pub(crate) leader: i32,
    pub(crate) epoch: i32,
    pub(crate) start: i64,
    pub(crate) batches: Vec<Bytes>,
    producers: BTreeMap<i64, FakeProducer>,
}

#[derive(Clone, Default)]
struct FakeProducer {
    epoch: i16,
    /// First and last sequence, and offset, of the last five batches.
    batches: VecDeque<(i32, i32, i64)>,
}

#[derive(Default)]
pub(crate) struct FakeState {
    pub(crate) topics: BTreeMap<String, Vec<FakePartition>>,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) produce_requests: usize,
    pub(crate) fetch_requests: usize,
    pub(crate) is_down: bool,
    next_producer_id: i64,
    /// Versions above are refused.
    pub(crate) fetch_version_max: Option<i16>,
    /// Batches above are refused.
    pub(crate) batch_bytes_max: Option<usize>,
    pub(crate) produce_version_max: Option<i16>,
    /// Who answers for the coordinator of groups.
    coordinator: Option<mpsc::UnboundedSender<Asked>>,
}

/// A request to the coordinator, and where its answer goes.
pub(crate) type Asked = (Request, oneshot::Sender<Response>);

/// The cluster; brokers 1 and 2 listen at ports 9001 and 9002.
#[derive(Default)]
pub(crate) struct FakeCluster {
    state: Mutex<FakeState>,
}

impl FakeCluster {
    /// With one topic whose partitions are led by broker 1.
    pub(crate) fn with_topic(name: &str, partitions: usize) -> Arc<Self> {
        let cluster = Arc::new(Self::default());
        cluster.add_topic(name, partitions);
        cluster
    }

    pub(crate) fn add_topic(&self, name: &str, partitions: usize) {
        let topic = new_topic(partitions);
        self.state().topics.insert(name.to_owned(), topic);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn client(self: &Arc<Self>) -> Client {
        let config = ClientConfig::new(["fake:9001"]);
        let dial: Arc<dyn Dial> = Arc::new(FakeDial(Arc::clone(self)));
        Client::connect_by(config, dial).await.expect("connects")
    }

    /// From now on a test is the coordinator of all groups.
    pub(crate) fn coordinate(&self) -> mpsc::UnboundedReceiver<Asked> {
        let (asked, inbox) = mpsc::unbounded_channel();
        self.state().coordinator = Some(asked);
        inbox
    }

    /// Every value of a partition in order, with its offset.
    pub(crate) fn values(&self, topic: &str, partition: usize) -> Vec<(i64, String)> {
        let state = self.state();
        let log = &state.topics[topic][partition];
        let mut values = Vec::new();
        for batch in &log.batches {
            let header = check_batch(batch).expect("valid");
            assert_eq!(
                header.attributes & 7,
                0,
                "only plain batches can be looked into"
            );
            for record in records(payload(batch, &header), header.record_count) {
                let record = record.expect("valid");
                let text = String::from_utf8(record.value.unwrap_or_default().to_vec());
                let offset = header.base_offset.0 + i64::from(record.offset_delta);
                values.push((offset, text.expect("text")));
            }
        }
        values
    }
}

fn new_topic(partitions: usize) -> Vec<FakePartition> {
    let new = |_| FakePartition {
        leader: 1,
        ..FakePartition::default()
    };
    (0..partitions).map(new).collect()
}

pub(crate) fn topic_id(name: &str) -> TopicId {
    let mut id = [0xaa; 16];
    for (place, byte) in name.bytes().take(16).enumerate() {
        id[place] = byte;
    }
    TopicId(id)
}

impl FakePartition {
    pub(crate) fn end(&self) -> i64 {
        let last = self.batches.last();
        last.map_or(self.start, |batch| {
            BatchHeader::read(batch).expect("valid").next_offset().0
        })
    }

    /// Appends as a broker would.
    pub(crate) fn append(&mut self, bytes: &Bytes) -> (ErrorCode, i64) {
        let header = match check_batch(bytes) {
            Ok(header) => header,
            Err(_) => return (ErrorCode::CorruptMessage, -1),
        };
        if header.attributes & 7 == 0 && check_records(payload(bytes, &header), &header).is_err() {
            return (ErrorCode::InvalidRecord, -1);
        }
        let offset = self.end();
        if header.producer_id.is_some()
            && let Err(done) = self.check_sequence(&header, offset)
        {
            return done;
        }
        let mut owned = bytes.to_vec();
        patch_offset(&mut owned, Offset(offset), LeaderEpoch(self.epoch));
        self.batches.push(Bytes::from(owned));
        (ErrorCode::None, offset)
    }

    fn check_sequence(
        &mut self,
        header: &BatchHeader,
        offset: i64,
    ) -> Result<(), (ErrorCode, i64)> {
        let first = header.base_sequence.0;
        let last = header.base_sequence.plus(header.last_offset_delta).0;
        let known = self.producers.entry(header.producer_id.0).or_default();
        let epoch = header.producer_epoch.0;
        if epoch < known.epoch {
            return Err((ErrorCode::InvalidProducerEpoch, -1));
        }
        if epoch > known.epoch {
            *known = FakeProducer {
                epoch,
                ..FakeProducer::default()
            };
        }
        let same = known.batches.iter().find(|b| (b.0, b.1) == (first, last));
        if let Some((_, _, offset)) = same {
            return Err((ErrorCode::None, *offset));
        }
        let expected = known.batches.back().map_or(0, |b| b.1.wrapping_add(1));
        if first != expected {
            return Err((ErrorCode::OutOfOrderSequenceNumber, -1));
        }
        if known.batches.len() == 5 {
            known.batches.pop_front();
        }
        known.batches.push_back((first, last, offset));
        Ok(())
    }
}

struct FakeDial(Arc<FakeCluster>);

struct FakeLink {
    cluster: Arc<FakeCluster>,
    broker: i32,
}

struct FakeSink(mpsc::UnboundedSender<Bytes>);

struct FakeSource(mpsc::UnboundedReceiver<Bytes>);

impl Dial for FakeDial {
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Arc<dyn Link>, RequestError>> {
        Box::pin(async move {
            if self.0.state().is_down {
                return Err(down(address));
            }
            let link: Arc<dyn Link> = Arc::new(FakeLink {
                cluster: Arc::clone(&self.0),
                broker: i32::from(address.port) - 9000,
            });
            Ok(link)
        })
    }
}

fn down(address: &Address) -> RequestError {
    let address = weir_net::HostPort {
        host: address.host.to_string(),
        port: address.port,
    };
    RequestError::Connect(Arc::new(weir_net::ConnectError::NobodyListens { address }))
}

impl Link for FakeLink {
    fn open(&self) -> BoxFuture<'_, Result<Pipe, RequestError>> {
        Box::pin(async {
            let (requests, inbox) = mpsc::unbounded_channel();
            let (outbox, answers) = mpsc::unbounded_channel();
            tokio::spawn(serve(Arc::clone(&self.cluster), self.broker, inbox, outbox));
            Ok(Pipe {
                sink: Box::new(FakeSink(requests)),
                source: Box::new(FakeSource(answers)),
            })
        })
    }

    fn transport(&self) -> weir_net::Transport {
        weir_net::Transport::Plain
    }

    fn is_closed(&self) -> bool {
        self.cluster.state().is_down
    }
}

impl FrameSink for FakeSink {
    fn send(&mut self, segments: Vec<Bytes>) -> BoxFuture<'_, io::Result<()>> {
        let frame = segments.concat();
        let sent = self.0.send(Bytes::from(frame).slice(4..));
        Box::pin(async move { sent.map_err(|_| io::Error::other("the fake broker hung up")) })
    }
}

impl FrameSource for FakeSource {
    fn receive(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async { Ok(self.0.recv().await) })
    }
}

async fn serve(
    cluster: Arc<FakeCluster>,
    broker: i32,
    mut inbox: mpsc::UnboundedReceiver<Bytes>,
    outbox: mpsc::UnboundedSender<Bytes>,
) {
    while let Some(frame) = inbox.recv().await {
        let (header, request) = match decode_request(frame) {
            Ok(decoded) => decoded,
            Err(error) => match error.answer() {
                Some(segments) => {
                    let _ = outbox.send(Bytes::from(segments.concat()).slice(4..));
                    continue;
                }
                None => panic!("{error}"),
            },
        };
        if cluster.state().is_down {
            return;
        }
        let response: Response = match request {
            Request::Produce(request) => match produce(&cluster, broker, request).await {
                Some(response) => response.into(),
                None => return,
            },
            Request::Fetch(request) => fetch(&cluster, broker, &request).await.into(),
            request @ (Request::ConsumerGroupHeartbeat(_)
            | Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::Heartbeat(_)
            | Request::LeaveGroup(_)
            | Request::OffsetFetch(_)
            | Request::OffsetCommit(_)) => match coordinated(&cluster, request).await {
                Some(response) => response,
                None => return,
            },
            other => answer(&cluster, broker, other),
        };
        let segments = encode_response(header.correlation_id, header.api_version, &response);
        let segments = segments.expect("encodes");
        if outbox
            .send(Bytes::from(segments.concat()).slice(4..))
            .is_err()
        {
            return;
        }
    }
}

async fn coordinated(cluster: &FakeCluster, request: Request) -> Option<Response> {
    let coordinator = cluster.state().coordinator.clone()?;
    let (reply, answer) = oneshot::channel();
    coordinator.send((request, reply)).ok()?;
    answer.await.ok()
}

fn answer(cluster: &FakeCluster, broker: i32, request: Request) -> Response {
    let mut state = cluster.state();
    match request {
        Request::ApiVersions(_) => {
            let mut api_keys = ApiKey::advertised();
            let caps = [
                (ApiKey::Fetch, state.fetch_version_max),
                (ApiKey::Produce, state.produce_version_max),
            ];
            for (api, cap) in caps {
                for row in &mut api_keys {
                    if row.api_key == api.key() {
                        row.max_version = cap.unwrap_or(row.max_version);
                    }
                }
            }
            ApiVersionsResponse {
                api_keys,
                ..ApiVersionsResponse::default()
            }
            .into()
        }
        Request::Metadata(request) => metadata(&state, &request).into(),
        Request::InitProducerId(_) => {
            state.next_producer_id += 1;
            InitProducerIdResponse {
                producer_id: ProducerId(1000 + state.next_producer_id),
                producer_epoch: ProducerEpoch(0),
                ..InitProducerIdResponse::default()
            }
            .into()
        }
        Request::ListOffsets(request) => list_offsets(&state, broker, &request).into(),
        Request::FindCoordinator(request) => find_coordinator(&request).into(),
        Request::CreateTopics(request) => create_topics(&mut state, &request).into(),
        other => panic!("the fake broker does not know {other:?}"),
    }
}

fn metadata(state: &FakeState, request: &MetadataRequest) -> MetadataResponse {
    let names: Vec<String> = match &request.topics {
        None => state.topics.keys().cloned().collect(),
        Some(topics) => {
            let names = topics.iter().filter_map(|topic| topic.name.as_ref());
            names.map(ToString::to_string).collect()
        }
    };
    let row = |name: String| {
        let Some(partitions) = state.topics.get(&name) else {
            return MetadataResponseTopic {
                error_code: ErrorCode::UnknownTopicOrPartition,
                name: Some(Text::from(name)),
                ..MetadataResponseTopic::default()
            };
        };
        let partitions = partitions.iter().enumerate();
        MetadataResponseTopic {
            topic_id: topic_id(&name),
            name: Some(Text::from(name)),
            partitions: partitions
                .map(|(index, partition)| MetadataResponsePartition {
                    partition_index: PartitionIndex(i32::try_from(index).expect("small")),
                    leader_id: BrokerId(partition.leader),
                    leader_epoch: LeaderEpoch(partition.epoch),
                    ..MetadataResponsePartition::default()
                })
                .collect(),
            ..MetadataResponseTopic::default()
        }
    };
    MetadataResponse {
        brokers: [1, 2]
            .map(|id| MetadataResponseBroker {
                node_id: BrokerId(id),
                host: Text::from_static("fake"),
                port: 9000 + id,
                rack: None,
            })
            .into(),
        controller_id: BrokerId(1),
        topics: names.into_iter().map(row).collect(),
        ..MetadataResponse::default()
    }
}

fn find_coordinator(request: &FindCoordinatorRequest) -> FindCoordinatorResponse {
    let row = |key: &Text| Coordinator {
        key: key.clone(),
        node_id: BrokerId(1),
        host: Text::from_static("fake"),
        port: 9001,
        ..Coordinator::default()
    };
    FindCoordinatorResponse {
        coordinators: request.coordinator_keys.iter().map(row).collect(),
        ..FindCoordinatorResponse::default()
    }
}

fn create_topics(state: &mut FakeState, request: &CreateTopicsRequest) -> CreateTopicsResponse {
    let mut topics = Vec::new();
    for topic in &request.topics {
        let name = topic.name.to_string();
        let count = usize::try_from(topic.num_partitions).unwrap_or(1);
        let error_code = match state.topics.entry(name) {
            Entry::Occupied(_) => ErrorCode::TopicAlreadyExists,
            Entry::Vacant(place) => {
                place.insert(new_topic(count));
                ErrorCode::None
            }
        };
        topics.push(CreatableTopicResult {
            name: topic.name.clone(),
            error_code,
            num_partitions: topic.num_partitions,
            ..CreatableTopicResult::default()
        });
    }
    CreateTopicsResponse {
        topics,
        ..CreateTopicsResponse::default()
    }
}

fn list_offsets(
    state: &FakeState,
    broker: i32,
    request: &ListOffsetsRequest,
) -> ListOffsetsResponse {
    let mut topics = Vec::new();
    for topic in &request.topics {
        let mut partitions = Vec::new();
        for asked in &topic.partitions {
            let index = usize::try_from(asked.partition_index.0).expect("positive");
            let log = state.topics.get(&*topic.name).and_then(|t| t.get(index));
            let mut row = ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                ..ListOffsetsPartitionResponse::default()
            };
            match log {
                None => row.error_code = ErrorCode::UnknownTopicOrPartition,
                Some(log) if log.leader != broker => {
                    row.error_code = ErrorCode::NotLeaderOrFollower;
                }
                Some(log) => match asked.timestamp {
                    TimestampMs(-1) => row.offset = Offset(log.end()),
                    TimestampMs(-2) => row.offset = Offset(log.start),
                    TimestampMs(time) => {
                        let headers = log.batches.iter().map(|b| BatchHeader::read(b));
                        let mut found = headers.map(|h| h.expect("valid"));
                        if let Some(h) = found.find(|h| h.max_timestamp.0 >= time) {
                            row.offset = h.base_offset;
                            row.timestamp = h.max_timestamp;
                        }
                    }
                },
            }
            partitions.push(row);
        }
        topics.push(ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions,
        });
    }
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

/// A topic of a request, by name or by id.
fn find_topic(state: &FakeState, name: &Text, id: TopicId) -> Option<String> {
    let mut names = state.topics.keys();
    if name.is_empty() {
        names.find(|name| topic_id(name) == id).cloned()
    } else {
        names.find(|known| *name == ***known).cloned()
    }
}

async fn produce(
    cluster: &FakeCluster,
    broker: i32,
    request: ProduceRequest,
) -> Option<ProduceResponse> {
    let fault = {
        let mut state = cluster.state();
        state.produce_requests += 1;
        state.faults.pop_front().unwrap_or(Fault::None)
    };
    match fault {
        Fault::DropBefore => return None,
        Fault::Hang => std::future::pending().await,
        _ => {}
    }
    let mut responses = Vec::new();
    let mut state = cluster.state();
    let bytes_max = state.batch_bytes_max.unwrap_or(usize::MAX);
    for topic in request.topic_data {
        let known = find_topic(&state, &topic.name, topic.topic_id);
        let mut partition_responses = Vec::new();
        for data in topic.partition_data {
            let index = usize::try_from(data.index.0).expect("positive");
            let log = known
                .as_ref()
                .and_then(|name| state.topics.get_mut(name))
                .and_then(|topic| topic.get_mut(index));
            let batch = data.records.map(|records| records.to_bytes());
            let (error_code, offset) = match (log, batch, fault) {
                (_, _, Fault::Refuse(code)) => (code, -1),
                (None, _, _) => (ErrorCode::UnknownTopicOrPartition, -1),
                (Some(log), _, _) if log.leader != broker => (ErrorCode::NotLeaderOrFollower, -1),
                (Some(_), Some(batch), _) if batch.len() > bytes_max => {
                    (ErrorCode::MessageTooLarge, -1)
                }
                (Some(log), Some(batch), Fault::RefuseAfter(code)) => {
                    log.append(&batch);
                    (code, -1)
                }
                (Some(log), Some(batch), _) => log.append(&batch),
                (Some(_), None, _) => (ErrorCode::InvalidRecord, -1),
            };
            partition_responses.push(PartitionProduceResponse {
                index: data.index,
                error_code,
                base_offset: Offset(offset),
                ..PartitionProduceResponse::default()
            });
        }
        responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses,
        });
    }
    if matches!(fault, Fault::DropAfter) {
        return None;
    }
    Some(ProduceResponse {
        responses,
        ..ProduceResponse::default()
    })
}

async fn fetch(cluster: &FakeCluster, broker: i32, request: &FetchRequest) -> FetchResponse {
    cluster.state().fetch_requests += 1;
    let deadline = tokio::time::Instant::now()
        + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    loop {
        let (response, has_news) = fetch_now(&cluster.state(), broker, request);
        if has_news || tokio::time::Instant::now() >= deadline {
            return response;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn fetch_now(state: &FakeState, broker: i32, request: &FetchRequest) -> (FetchResponse, bool) {
    let (mut responses, mut has_news) = (Vec::new(), false);
    for topic in &request.topics {
        let known = find_topic(state, &topic.topic, topic.topic_id);
        let mut partitions = Vec::new();
        for asked in &topic.partitions {
            let index = usize::try_from(asked.partition.0).expect("positive");
            let log = known
                .as_ref()
                .and_then(|name| state.topics.get(name))
                .and_then(|topic| topic.get(index));
            let row = fetch_partition(log, broker, asked.fetch_offset.0);
            has_news |=
                row.error_code.is_err() || row.records.as_ref().is_some_and(|r| !r.is_empty());
            partitions.push(PartitionData {
                partition_index: asked.partition,
                preferred_read_replica: BrokerId(-1),
                ..row
            });
        }
        responses.push(FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions,
        });
    }
    let response = FetchResponse {
        responses,
        ..FetchResponse::default()
    };
    (response, has_news)
}

fn fetch_partition(log: Option<&FakePartition>, broker: i32, from: i64) -> PartitionData {
    let failed = |error_code| PartitionData {
        error_code,
        ..PartitionData::default()
    };
    let Some(log) = log else {
        return failed(ErrorCode::UnknownTopicOrPartition);
    };
    if log.leader != broker {
        return failed(ErrorCode::NotLeaderOrFollower);
    }
    if from < log.start || from > log.end() {
        return failed(ErrorCode::OffsetOutOfRange);
    }
    let wanted = |batch: &&Bytes| BatchHeader::read(batch).expect("valid").next_offset().0 > from;
    // Two batches at a time, so that an answer never holds everything.
    let batches: Vec<_> = log.batches.iter().filter(wanted).take(2).cloned().collect();
    PartitionData {
        high_watermark: Offset(log.end()),
        log_start_offset: Offset(log.start),
        records: Some(Records::Slice(Bytes::from(batches.concat()))),
        ..PartitionData::default()
    }
}
