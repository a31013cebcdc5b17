//! A request whose answers keep coming, as a stream of them: over QUIC on a stream of its own, over
//! TCP by asking again after each answer; and asked anew, from where it was, when a connection or a
//! broker is lost.
//!
//! What the next request is, each kind of request says itself ([`Followed`]). Only as many answers
//! are taken in as somebody takes out, so a slow caller slows the broker down, which keeps nothing
//! for it.

use super::{
    backoff::Backoff,
    broker::Broker,
    shared::Shared,
    transport::{FrameSink, FrameSource, Pipe},
};
use crate::{
    error::{AdminError, BrokerError, RequestError},
    limits::FOLLOW_WAIT_MS,
};
use futures_core::Stream;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};
use weir_types::ErrorCode;
use weir_wire::{RequestBody, Text, decode_response, encode_request};

/// A kind of request that can be followed.
pub(crate) trait Followed: RequestBody + Clone + Send + Sync + 'static {
    /// Sets whether answers keep coming, and how long one may wait for something to tell.
    fn follow(&mut self, follow: bool, max_wait_ms: i32);

    /// What an answer says of its success.
    fn verdict(answer: &Self::Response) -> (ErrorCode, Option<&Text>);

    /// What comes after a good answer, here as on the broker.
    fn go_on(&mut self, answer: &Self::Response);
}

/// What comes of a request that is followed.
pub(crate) enum Told<R> {
    /// A good answer.
    Answer(R),
    /// No broker can be reached; it is tried again until one can. Told once.
    Away(AdminError),
    /// A broker has taken the request again.
    Back,
}

/// What comes of one request. An error ends it, but for those that another attempt can mend.
pub(crate) struct Answers<B: Followed> {
    answers: mpsc::Receiver<Result<Told<B::Response>, AdminError>>,
}

impl<B: Followed> Answers<B>
where
    B::Response: Send,
{
    /// Begins to ask.
    pub(crate) fn start(shared: Arc<Shared>, request: B) -> Self {
        let (sender, answers) = mpsc::channel(1);
        tokio::spawn(ask(shared, request, sender));
        Self { answers }
    }
}

impl<B: Followed> Stream for Answers<B> {
    type Item = Result<Told<B::Response>, AdminError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.answers.poll_recv(context)
    }
}

/// Where answers go.
type Sender<B> = mpsc::Sender<Result<Told<<B as RequestBody>::Response>, AdminError>>;

async fn ask<B: Followed>(shared: Arc<Shared>, mut request: B, sender: Sender<B>) {
    let mut backoff = Backoff::default();
    let mut is_away = false;
    loop {
        let mut has_answered = false;
        let ended = tokio::select! {
            ended = ask_one(&shared, &mut request, &sender, &mut has_answered, &mut is_away) => ended,
            // Nobody listens: what was opened closes when it is dropped.
            () = sender.closed() => return,
        };
        if has_answered {
            backoff = Backoff::default();
        }
        if !ended.can_retry() {
            // Whoever listened may have gone this moment.
            let _ = sender.send(Err(ended)).await;
            return;
        }
        tracing::debug!(api = B::API.name(), error = %ended, "asking anew");
        // What a broker answers shows that it is there.
        if matches!(ended, AdminError::Request(_)) && !is_away {
            is_away = true;
            if sender.send(Ok(Told::Away(ended))).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = backoff.wait() => {}
            () = sender.closed() => return,
        }
    }
}

/// Asks one broker until that fails; tells why.
async fn ask_one<B: Followed>(
    shared: &Arc<Shared>,
    request: &mut B,
    sender: &Sender<B>,
    has_answered: &mut bool,
    is_away: &mut bool,
) -> AdminError {
    let asked = async {
        let broker = shared.anybody().await?;
        Asking::open::<B>(&broker).await
    };
    let mut asking = match asked.await {
        Ok(asking) => asking,
        Err(error) => return error.into(),
    };
    let mut is_to_send = true;
    loop {
        if is_to_send {
            request.follow(asking.follows, FOLLOW_WAIT_MS);
            if let Err(error) = asking.send(shared, request).await {
                return error.into();
            }
        }
        if std::mem::take(is_away) && sender.send(Ok(Told::Back)).await.is_err() {
            return RequestError::Closed.into();
        }
        let answer = match asking.receive::<B>(shared).await {
            Ok(answer) => answer,
            Err(error) => return error.into(),
        };
        let (code, message) = B::verdict(&answer);
        if let Err(error) = BrokerError::check(code, message) {
            return AdminError::Broker(error);
        }
        *has_answered = true;
        request.go_on(&answer);
        is_to_send = !asking.follows;
        if sender.send(Ok(Told::Answer(answer))).await.is_err() {
            return RequestError::Closed.into();
        }
    }
}

/// A channel of its own to one broker.
struct Asking {
    sink: Box<dyn FrameSink>,
    source: Box<dyn FrameSource>,
    address: Arc<str>,
    version: i16,
    /// Answers keep coming.
    follows: bool,
}

/// The correlation id of every request here: there is one at a time.
const ID: i32 = 1;

impl Asking {
    async fn open<B: Followed>(broker: &Broker) -> Result<Self, RequestError> {
        let (Pipe { sink, source }, session, transport) = broker.pipe().await?;
        let version = session.version::<B>(i16::MAX)?;
        Ok(Self {
            sink,
            source,
            address: Arc::from(broker.address().to_string()),
            version,
            follows: !transport.is_tcp(),
        })
    }

    fn lost(&self, reason: impl ToString) -> RequestError {
        RequestError::Lost {
            address: Arc::clone(&self.address),
            reason: reason.to_string(),
        }
    }

    async fn send<B: Followed>(
        &mut self,
        shared: &Shared,
        request: &B,
    ) -> Result<(), RequestError> {
        let encoded = encode_request(ID, Some(&shared.client_id), self.version, request);
        let segments = encoded.map_err(|error| RequestError::Encode {
            api: B::API.name(),
            reason: error.to_string(),
        })?;
        let sent = self.sink.send(segments).await;
        sent.map_err(|error| self.lost(error))
    }

    async fn receive<B: Followed>(&mut self, shared: &Shared) -> Result<B::Response, RequestError> {
        let wait = u64::try_from(FOLLOW_WAIT_MS).unwrap_or(0);
        let time = shared.config.request_timeout + Duration::from_millis(wait);
        let Ok(received) = timeout(time, self.source.receive()).await else {
            return Err(RequestError::Timeout {
                address: Arc::clone(&self.address),
                api: B::API.name(),
                timeout_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            });
        };
        let frame = received
            .map_err(|error| self.lost(error))?
            .ok_or_else(|| self.lost("the broker closed the connection"))?;
        let decode = |reason: String| RequestError::Decode {
            address: Arc::clone(&self.address),
            api: B::API.name(),
            reason,
        };
        match decode_response::<B>(frame, self.version) {
            Ok((ID, response)) => Ok(response),
            Ok(_) => Err(decode("it answers something else".to_owned())),
            Err(error) => Err(decode(error.to_string())),
        }
    }
}
