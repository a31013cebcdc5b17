//! One client's stream of requests: bytes to typed request, through the `Front` to the shards,
//! and the shards' answers back to bytes.
//!
//! A session calls the pure `Front` for every decision. It never waits inside `call`: what must
//! be in order (decoding, validating, handing to the shards) happens before the future is made.

use crate::clock::Clock;
use crate::followed::Followed;
use crate::inflate::Inflater;
use crate::jobs::{self, Boards};
use crate::limits::FETCHES_AT_ONCE;
use crate::metrics::{ApiMetrics, Metrics};
use crate::plugins::placing::Placing;
use crate::plugins::{self, Plugins};
use crate::room::{OnWay, Rooms, hold};
use crate::shard::{ShardSender, ToShard};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use weir_meta::Image;
use weir_net::{Answered, Close, Peer};
use weir_node::event::RequestId;
use weir_node::front::{self, Call, Context, Finish, Follow, Front, FrontConfig, Join, Plan};
use weir_node::request::Answer;
use weir_types::log::StoredBatch;
use weir_types::{ErrorCode, ShardId};
use weir_wire::{ApiKey, Request, RequestError, Response, Text, decode_request, encode_response};

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) image: Arc<ArcSwap<Image>>,
    pub(crate) shards: Vec<ShardSender>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) front: Arc<FrontConfig>,
    pub(crate) clock: Clock,
    pub(crate) next_request: AtomicU64,
    pub(crate) rooms: Rooms,
    /// Room for requests whose answers keep coming.
    pub(crate) followed: Arc<Semaphore>,
    /// How the routers of jobs fare.
    pub(crate) jobs: Boards,
    /// Plugins, and what runs them.
    pub(crate) plugins: Arc<Plugins>,
}

/// The name under which the cluster knows a listener, by its place in the configuration.
pub(crate) fn listener_name(index: usize) -> String {
    format!("listener-{index}")
}

/// The broker as its listeners see it.
#[derive(Clone, Debug)]
pub(crate) struct BrokerService(pub(crate) Arc<Shared>);

impl weir_net::Service for BrokerService {
    type Session = ClientSession;

    fn open(&self, peer: Peer) -> ClientSession {
        ClientSession {
            shared: Arc::clone(&self.0),
            front: Front::new(Arc::clone(&self.0.front)),
            context: Context {
                listener: listener_name(usize::from(peer.listener.0)).into(),
                host: format!("/{}", peer.remote.ip().to_canonical()).into(),
                principal: peer.principal,
            },
            inflater: Inflater::default(),
            fetches: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
            can_stream: !peer.transport.is_tcp(),
            admitted: None,
            placing: None,
        }
    }
}

/// One client's stream.
#[derive(Debug)]
pub(crate) struct ClientSession {
    shared: Arc<Shared>,
    front: Front,
    context: Context,
    inflater: Inflater,
    fetches: Arc<Semaphore>,
    /// Whether answers may keep coming: the stream is this session's own.
    can_stream: bool,
    /// The next request's way into the log, if it brings something.
    admitted: Option<OnWay>,
    /// The last Produce request that waits for a partitioner, or behind one that does.
    placing: Option<CancellationToken>,
}

/// What remains of a request when `call` returns.
enum Remaining {
    /// Nothing: the answer is there.
    Done(Result<weir_net::Answer, Close>),
    /// The shards' answers.
    Shards(Box<Waiting>),
    /// A fetch: its turn, then the shards' answers.
    Fetch(Box<Turn>),
    /// A partitioner's choice, then the shards' answers.
    Placing(Box<Placing>),
    /// What the server does itself.
    Own(Reply, BoxFuture<'static, Response>),
    /// The first of many answers.
    Follow(Box<(Followed, Asked)>),
}

/// What is still to be done for one response.
pub(crate) enum Asked {
    /// Nothing: it is there.
    Told(Reply, Response),
    /// The shards' answers.
    Waits(Waiting),
}

/// A fetch that is not yet with the shards.
struct Turn {
    shared: Arc<Shared>,
    fetches: Arc<Semaphore>,
    reply: Reply,
    parts: Vec<front::Part>,
    join: Join,
}

/// A request whose parts are with the shards.
pub(crate) struct Waiting {
    reply: Reply,
    join: Join,
    parts: FuturesUnordered<Part>,
    progress: Progress,
}

/// The parts that still wait. A session that goes away, or that has enough, hurries them.
struct Progress {
    shared: Arc<Shared>,
    asked: Vec<Option<(ShardId, RequestId)>>,
}

/// What it takes to turn a response into bytes.
pub(crate) struct Reply {
    metrics: Option<ApiMetrics>,
    received: Instant,
    correlation_id: i32,
    version: i16,
}

type Part = BoxFuture<'static, (usize, Answer)>;

impl weir_net::Session for ClientSession {
    async fn admit(&mut self, frame: &Bytes) {
        if brings_records(frame) {
            self.admitted = Some(self.shared.rooms.log.admit(frame.len()).await);
        }
    }

    fn call(
        &mut self,
        frame: Bytes,
    ) -> impl Future<Output = Result<Answered, Close>> + Send + 'static {
        let remaining = self.begin(frame);
        async move {
            let answer = match remaining {
                Remaining::Done(answer) => answer?,
                Remaining::Shards(waiting) => waiting.finish().await?.0,
                Remaining::Fetch(turn) => turn.finish().await?,
                Remaining::Placing(placing) => placing.finish().await?,
                Remaining::Own(reply, response) => reply.encode(&response.await)?,
                Remaining::Follow(both) => {
                    let (followed, asked) = *both;
                    return followed.answer(asked).await;
                }
            };
            Ok(Answered::once(answer))
        }
    }
}

impl ClientSession {
    /// Everything about a request that must happen in the order of arrival.
    fn begin(&mut self, frame: Bytes) -> Remaining {
        let received = Instant::now();
        let size = frame.len();
        let on_way = self.admitted.take().map(Arc::new);
        let (header, request) = match decode_request(frame) {
            Ok(decoded) => decoded,
            Err(error) => return Remaining::Done(refuse(&error)),
        };
        let metrics = self.shared.metrics.api(header.api_key).cloned();
        if let Some(metrics) = &metrics {
            metrics.received(size);
        }
        let reply = Reply {
            metrics,
            received,
            correlation_id: header.correlation_id,
            version: header.api_version,
        };
        let is_fetch = matches!(request, Request::Fetch(_));
        let client_id = header.client_id.unwrap_or_default();
        let request = match self.own(header.api_version, &client_id, request) {
            Ok(response) => return Remaining::Own(reply, response),
            Err(request) => *request,
        };
        let followed = match self.followed(&reply, &client_id, &request) {
            Ok(followed) => followed,
            Err(response) => return Remaining::Done(reply.encode(&response)),
        };
        let is_produce = matches!(request, Request::Produce(_));
        let plan = self.plan(header.api_version, &client_id, request);
        match plan {
            Ok(plan) if is_produce && self.goes_behind(&plan) => self.place(plan, reply, on_way),
            plan => self.carry_on(plan, reply, on_way, followed, is_fetch),
        }
    }

    /// What is to be done by a plan, at once.
    fn carry_on(
        &self,
        plan: Result<Plan, Close>,
        reply: Reply,
        on_way: Option<Arc<OnWay>>,
        followed: Option<Followed>,
        is_fetch: bool,
    ) -> Remaining {
        match plan {
            Ok(Plan::Answer(response)) => match followed {
                Some(followed) => {
                    Remaining::Follow(Box::new((followed, Asked::Told(reply, response))))
                }
                None => Remaining::Done(reply.encode(&response)),
            },
            Ok(Plan::Silent) => Remaining::Done(Ok(None)),
            // It was taken above.
            Ok(Plan::Place(_)) => Remaining::Done(Ok(None)),
            Ok(Plan::Close { reason }) => {
                reply.failed();
                Remaining::Done(Err(Close::new(reason)))
            }
            Ok(Plan::Parts { parts, join }) if is_fetch => Remaining::Fetch(Box::new(Turn {
                shared: Arc::clone(&self.shared),
                fetches: Arc::clone(&self.fetches),
                reply,
                parts,
                join,
            })),
            Ok(Plan::Parts { parts, join }) => {
                let waiting = ask(&self.shared, reply, parts, join, on_way);
                match followed {
                    Some(followed) => {
                        Remaining::Follow(Box::new((followed, Asked::Waits(waiting))))
                    }
                    None => Remaining::Shards(Box::new(waiting)),
                }
            }
            Err(close) => Remaining::Done(Err(close)),
        }
    }

    /// Whether a Produce request waits for a partitioner, or behind one that does.
    fn goes_behind(&self, plan: &Plan) -> bool {
        let before = self.placing.as_ref();
        matches!(plan, Plan::Place(_)) || before.is_some_and(|before| !before.is_cancelled())
    }

    /// Puts a Produce request behind those that wait for partitioners.
    fn place(&mut self, plan: Plan, reply: Reply, on_way: Option<Arc<OnWay>>) -> Remaining {
        let done = CancellationToken::new();
        let before = self.placing.replace(done.clone());
        Remaining::Placing(Box::new(Placing {
            shared: Arc::clone(&self.shared),
            reply,
            plan,
            on_way,
            before,
            done: done.drop_guard(),
        }))
    }

    /// What the server answers itself, if it is for the server.
    fn own(
        &self,
        version: i16,
        client_id: &Text,
        request: Request,
    ) -> Result<BoxFuture<'static, Response>, Box<Request>> {
        let (shared, who) = (Arc::clone(&self.shared), self.context.principal.clone());
        match request {
            Request::CreateJob(body) => Ok(jobs::create(shared, who, body).boxed()),
            Request::DescribeJobs(body) => Ok(jobs::describe(shared, who, body).boxed()),
            Request::AlterJob(body) => Ok(jobs::alter(shared, who, body).boxed()),
            other => plugins::api::own(&self.shared, &self.context, version, client_id, other),
        }
    }

    /// What is known of a request whose answers keep coming; nothing where one is wanted.
    #[allow(clippy::result_large_err, reason = "the error is the answer")]
    fn followed(
        &self,
        reply: &Reply,
        client_id: &Text,
        request: &Request,
    ) -> Result<Option<Followed>, Response> {
        let Some(follow) = Follow::of(request, self.can_stream)? else {
            return Ok(None);
        };
        let Ok(place) = Arc::clone(&self.shared.followed).try_acquire_owned() else {
            return Err(follow.no_room());
        };
        Ok(Some(Followed {
            shared: Arc::clone(&self.shared),
            context: self.context.clone(),
            client_id: client_id.clone(),
            metrics: reply.metrics.clone(),
            correlation_id: reply.correlation_id,
            version: reply.version,
            follow,
            _place: place,
        }))
    }

    fn plan(&mut self, version: i16, client_id: &str, request: Request) -> Result<Plan, Close> {
        let (front, inflater) = (&mut self.front, &mut self.inflater);
        plan(
            &self.shared,
            front,
            inflater,
            &self.context,
            version,
            client_id,
            request,
        )
    }
}

/// What the front wants done with a request.
pub(crate) fn plan(
    shared: &Shared,
    front: &mut Front,
    inflater: &mut Inflater,
    context: &Context,
    version: i16,
    client_id: &str,
    request: Request,
) -> Result<Plan, Close> {
    let mut no_random = None;
    let mut random = || {
        let mut bytes = [0; 16];
        no_random = getrandom::fill(&mut bytes).err().or(no_random);
        bytes
    };
    let mut call = Call {
        now: shared.clock.now(),
        image: &shared.image.load_full(),
        context,
        version,
        client_id,
        inflate: inflater,
        random: &mut random,
        volume: &mut || volume(&shared.front.log_dir),
    };
    let plan = front.accept(&mut call, request);
    match no_random {
        None => Ok(plan),
        Some(error) => Err(Close::new(format!(
            "the system gives no random numbers: {error}"
        ))),
    }
}

/// The disk on which the log lies.
fn volume(log_dir: &str) -> Option<front::Volume> {
    match weir_store::volume_bytes(Path::new(log_dir)) {
        Ok((total_bytes, usable_bytes)) => Some(front::Volume {
            total_bytes,
            usable_bytes,
        }),
        Err(error) => {
            tracing::debug!(log_dir, %error, "the system does not tell how large the disk is");
            None
        }
    }
}

/// Hands the parts of a request to the shards.
pub(crate) fn ask(
    shared: &Arc<Shared>,
    reply: Reply,
    asks: Vec<front::Part>,
    join: Join,
    on_way: Option<Arc<OnWay>>,
) -> Waiting {
    let parts = FuturesUnordered::new();
    let mut asked = Vec::with_capacity(asks.len());
    for (index, front::Part { shard, seen, ask }) in asks.into_iter().enumerate() {
        let id = RequestId(shared.next_request.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        let message = ToShard::Ask {
            id,
            seen,
            ask,
            reply: sender,
            on_way: on_way.clone(),
        };
        let offered = shared
            .shards
            .get(usize::from(shard.0))
            .is_some_and(|shard| shard.offer(message).is_ok());
        asked.push(offered.then_some((shard, id)));
        // A full queue, or a shard that leaves, drops the sender: the same refusal.
        let answer = async move {
            let refused = Answer::Refused(ErrorCode::BrokerNotAvailable);
            (index, receiver.await.unwrap_or(refused))
        };
        parts.push(answer.boxed());
    }
    let progress = Progress {
        shared: Arc::clone(shared),
        asked,
    };
    Waiting {
        reply,
        join,
        parts,
        progress,
    }
}

impl Turn {
    async fn finish(self: Box<Self>) -> Result<weir_net::Answer, Close> {
        let Self {
            shared,
            fetches,
            reply,
            parts,
            join,
        } = *self;
        // Nobody closes the semaphore.
        let turn = fetches.acquire_owned().await.ok();
        shared.rooms.answers.wait().await;
        let waiting = ask(&shared, reply, parts, join, None);
        let (answer, cached_bytes) = waiting.finish().await?;
        // The cache may let go of them before a slow client does.
        let charge = shared.rooms.answers.charge(cached_bytes);
        Ok(answer.map(|mut segments| {
            // The turn ends when the transport lets go of the answer's last bytes.
            if let Some(last) = segments.pop() {
                segments.push(hold(last, (turn, charge)));
            }
            segments
        }))
    }
}

impl Waiting {
    /// The answer, and how many bytes of its batches are also the tail cache's.
    pub(crate) async fn finish(self) -> Result<(weir_net::Answer, usize), Close> {
        let (reply, response, cached) = self.response().await?;
        let answer = match response {
            Some(response) => reply.encode(&response)?,
            None => None,
        };
        Ok((answer, cached))
    }

    /// The response, if the request wants one.
    async fn response(self) -> Result<(Reply, Option<Response>, usize), Close> {
        let Self {
            reply,
            mut join,
            mut parts,
            mut progress,
        } = self;
        let mut cached = 0;
        while let Some((index, answer)) = parts.next().await {
            progress.answered(index);
            cached += cached_bytes(&answer);
            if join.absorb(index, answer) {
                progress.hurry();
            }
        }
        let image = progress.shared.image.load_full();
        match join.finish(&image, &mut Inflater::default()) {
            Finish::Answer(response) => Ok((reply, Some(response), cached)),
            Finish::Views { response, views } => {
                let shown = progress.shared.plugins.show(response, views).await;
                Ok((reply, Some(shown.into()), cached))
            }
            Finish::Silent => Ok((reply, None, cached)),
            Finish::Close { reason } => {
                reply.failed();
                Err(Close::new(reason))
            }
        }
    }
}

impl Asked {
    /// The response, if there is one.
    pub(crate) async fn response(self) -> Result<(Reply, Option<Response>), Close> {
        match self {
            Self::Told(reply, response) => Ok((reply, Some(response))),
            Self::Waits(waiting) => {
                let (reply, response, _) = waiting.response().await?;
                Ok((reply, response))
            }
        }
    }
}

impl Progress {
    fn answered(&mut self, index: usize) {
        if let Some(asked) = self.asked.get_mut(index) {
            *asked = None;
        }
    }

    fn hurry(&self) {
        for (shard, id) in self.asked.iter().flatten() {
            if let Some(shard) = self.shared.shards.get(usize::from(shard.0)) {
                // A full queue: the poll ends by its own time.
                let _full = shard.offer(ToShard::Hurry(*id));
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.hurry();
    }
}

impl Reply {
    /// For an answer that is asked for now.
    pub(crate) fn now(metrics: Option<ApiMetrics>, correlation_id: i32, version: i16) -> Self {
        Self {
            metrics,
            received: Instant::now(),
            correlation_id,
            version,
        }
    }

    pub(crate) fn failed(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.failed();
        }
    }

    pub(crate) fn encode(&self, response: &Response) -> Result<weir_net::Answer, Close> {
        let encoded = encode_response(self.correlation_id, self.version, response);
        let segments = encoded.map_err(|error| {
            tracing::error!(%error, api = %response.api(), "an answer cannot be written");
            Close::new(format!("the answer cannot be written: {error}"))
        })?;
        if let Some(metrics) = &self.metrics {
            let bytes = segments.iter().map(Bytes::len).sum();
            metrics.answered(bytes, self.received.elapsed());
        }
        Ok(Some(segments))
    }
}

/// Whether a frame is a Produce request, by its first two bytes.
fn brings_records(frame: &[u8]) -> bool {
    let key = frame.first_chunk().map(|key| i16::from_be_bytes(*key));
    key == Some(ApiKey::Produce.key())
}

/// Bytes of an answer's batches that are also the tail cache's.
fn cached_bytes(answer: &Answer) -> usize {
    let Answer::Fetch(results) = answer else {
        return 0;
    };
    let batches = results.iter().flat_map(|result| &result.batches);
    let cached = batches.filter(|batch| matches!(batch, StoredBatch::Cached(_)));
    cached.map(StoredBatch::size_bytes).sum()
}

/// What a request that cannot be read is answered: as the protocol has it, or not at all.
fn refuse(error: &RequestError) -> Result<weir_net::Answer, Close> {
    match error.answer() {
        Some(segments) => Ok(Some(segments)),
        None => Err(Close::new(error.to_string())),
    }
}
