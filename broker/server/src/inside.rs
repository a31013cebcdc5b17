//! Requests of the broker to itself: jobs and plugins read, write and commit the way clients do,
//! through the same `Front` and the same shards, but without bytes, sockets and certificates.
//!
//! It holds no rule. Whoever asks has the role of a broker.

use crate::inflate::Inflater;
use crate::room::OnWay;
use crate::session::{Asked, Reply, Shared, ask, listener_name, plan};
use crate::shard::ToShard;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use thiserror::Error;
use tokio::sync::oneshot;
use weir_meta::{Command, Reply as Agreed};
use weir_net::Close;
use weir_node::Sequences;
use weir_node::event::RequestId;
use weir_node::front::{Context, Front, Part, Plan};
use weir_node::request::{Answer, Ask, META_SHARD, MetaError};
use weir_types::{Principal, Role};
use weir_wire::{ApiKey, Request, RequestBody, Response};

/// A request of the broker to itself came to nothing.
#[derive(Debug, Error)]
#[error("{api} of the broker to itself came to nothing: {reason}")]
pub(crate) struct InsideError {
    /// What was asked.
    pub(crate) api: ApiKey,
    /// Why.
    pub(crate) reason: String,
}

/// One part of the broker that asks the others, a request after the other.
pub(crate) struct Inside {
    shared: Arc<Shared>,
    front: Front,
    inflater: Inflater,
    context: Context,
    name: Arc<str>,
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Inside {
    /// The part of that name, as its producer's and members' descriptions show it.
    pub(crate) fn new(shared: &Arc<Shared>, name: &str) -> Self {
        let name: Arc<str> = name.into();
        Self {
            shared: Arc::clone(shared),
            front: Front::new(Arc::clone(&shared.front)),
            inflater: Inflater::default(),
            context: Context {
                principal: Principal {
                    name: Arc::clone(&name),
                    role: Role::Broker,
                },
                listener: listener_name(0).into(),
                host: "/127.0.0.1".into(),
            },
            name,
        }
    }

    /// Asks, in the newest version.
    ///
    /// # Errors
    /// When there is no answer; an answer may tell of errors itself.
    pub(crate) async fn ask<B>(&mut self, body: B) -> Result<Response, InsideError>
    where
        B: RequestBody + Into<Request>,
    {
        self.ask_in(B::API.supported().max, body.into()).await
    }

    /// Asks, in this version. Batches of a Produce request must follow each other's sequences.
    ///
    /// # Errors
    /// When there is no answer; an answer may tell of errors itself.
    pub(crate) async fn ask_in(
        &mut self,
        version: i16,
        request: Request,
    ) -> Result<Response, InsideError> {
        self.ask_as(version, request, Sequences::Contiguous).await
    }

    /// Asks, in this version; `sequences` says how batches of a Produce request are counted.
    ///
    /// # Errors
    /// When there is no answer; an answer may tell of errors itself.
    pub(crate) async fn ask_as(
        &mut self,
        version: i16,
        request: Request,
        sequences: Sequences,
    ) -> Result<Response, InsideError> {
        let api = request.api();
        let failed = |close: Close| InsideError {
            api,
            reason: close.reason.into_owned(),
        };
        let on_way = self.admit(&request).await;
        let reply = Reply::now(None, 0, version);
        let (front, inflater) = (&mut self.front, &mut self.inflater);
        let (context, name) = (&self.context, &self.name);
        let planned = plan(
            &self.shared,
            front,
            inflater,
            context,
            version,
            name,
            request,
        );
        let planned = match planned.map_err(failed)? {
            Plan::Place(placement) => self
                .shared
                .plugins
                .placed(placement)
                .await
                .map_err(failed)?,
            planned => planned,
        };
        let asked = match planned {
            Plan::Answer(response) => Asked::Told(reply, response),
            Plan::Parts { mut parts, join } => {
                count_as(&mut parts, sequences);
                Asked::Waits(ask(&self.shared, reply, parts, join, on_way.map(Arc::new)))
            }
            Plan::Silent => return Err(failed(Close::new("it wants no answer"))),
            Plan::Close { reason } => return Err(failed(Close::new(reason))),
            Plan::Place(_) => return Err(failed(Close::new("a partitioner was not asked"))),
        };
        let (_, response) = asked.response().await.map_err(failed)?;
        response.ok_or_else(|| failed(Close::new("it wants no answer")))
    }

    /// Waits for room: in the log for what is brought, in the answers for what is read.
    async fn admit(&self, request: &Request) -> Option<OnWay> {
        match request {
            Request::Produce(body) => {
                let parts = body
                    .topic_data
                    .iter()
                    .flat_map(|topic| &topic.partition_data);
                let records = parts.filter_map(|part| part.records.as_ref());
                let bytes = records.map(weir_wire::Records::size_bytes).sum();
                Some(self.shared.rooms.log.admit(bytes).await)
            }
            Request::Fetch(_) => {
                self.shared.rooms.answers.wait().await;
                None
            }
            _ => None,
        }
    }
}

/// Says how the producers of batches count.
fn count_as(parts: &mut [Part], sequences: Sequences) {
    for part in parts {
        if let Ask::Produce(ask) = &mut part.ask {
            for part in &mut ask.partitions {
                part.sequences = sequences;
            }
        }
    }
}

/// Has the metadata changed.
///
/// # Errors
/// Why it was not.
pub(crate) async fn command(
    shared: &Arc<Shared>,
    command: Command,
    timeout_ms: u64,
) -> Result<Agreed, MetaError> {
    let (reply, answer) = oneshot::channel();
    let message = ToShard::Ask {
        id: RequestId(shared.next_request.fetch_add(1, Ordering::Relaxed)),
        seen: shared.image.load().applied(),
        ask: Ask::Meta {
            command,
            timeout_ms,
        },
        reply,
        on_way: None,
    };
    let shard = shared.shards.get(usize::from(META_SHARD.0));
    if shard.is_none_or(|shard| shard.offer(message).is_err()) {
        return Err(MetaError::Busy { waiting: 0 });
    }
    match answer.await {
        Ok(Answer::Meta(result)) => result,
        _ => Err(MetaError::NotAgreed),
    }
}
