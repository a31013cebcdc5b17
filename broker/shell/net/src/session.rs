//! Runs one session: reads frames, calls the service, writes its answers in order.
//!
//! Reading stops while too many requests are under way or the broker holds too many bytes, so that
//! the transport slows the sender down; nothing here may queue without a limit.

use crate::{
    counters::{Counters, Gauge, Rejected, TransportCounters, add},
    frame::{FrameError, Frames},
    io::Outbound,
    limits::{ANSWER_BYTES_GATHERED, Limits},
    quic::{CODE_MISUSE, CODE_SHUTDOWN},
    service::{Answer, Answered, Close, NextAnswer, Peer, Session},
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::FuturesOrdered};
use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{Receiver, Sender, channel},
    },
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// What all sessions of a server share.
pub(crate) struct Core {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    /// Bytes of request frames that may still be taken in.
    pub(crate) budget: Arc<Semaphore>,
    /// Cancelled when no further request is to be accepted.
    pub(crate) stop: CancellationToken,
}

/// How reading ended.
enum Ended {
    /// The peer has finished, was idle, or is gone.
    Quietly,
    /// The server goes down.
    Stopped,
    /// The peer sent what it must not.
    Badly(FrameError),
}

/// Serves until either side ends it. What was accepted is answered before it returns, unless the
/// connection breaks.
pub(crate) async fn run<S: Session>(
    core: &Core,
    peer: &Peer,
    session: S,
    mut frames: Frames,
    mut outbound: Outbound,
) {
    let counts = core.counters.transport(peer.transport);
    let _open = Gauge::up(&counts.sessions_open);
    // With none nothing would ever be read. Whatever is queued holds a place, so the queue never
    // fills.
    let places_max = core.limits.requests_in_flight_max.max(1);
    let places = Arc::new(Semaphore::new(places_max));
    let (sender, receiver) = channel(places_max);
    let idle = peer.transport.is_tcp().then_some(core.limits.tcp_idle);
    let both = {
        let reading = read(core, counts, session, &mut frames, &places, idle, sender);
        let writing = write(counts, &mut outbound, receiver);
        tokio::pin!(reading, writing);
        let mut ended = None;
        loop {
            tokio::select! {
                how = &mut reading, if ended.is_none() => match how {
                    // Nobody is left to answer; a long poll need not wait for nothing.
                    Ended::Badly(FrameError::Broken(error)) => {
                        break (None, Err(Stopped::Broken(error)));
                    }
                    how => ended = Some(how),
                },
                written = &mut writing => break (ended, written),
            }
        }
    };
    match both {
        (ended, Ok(())) => {
            let code = match &ended {
                Some(Ended::Stopped) => CODE_SHUTDOWN,
                _ => CODE_MISUSE,
            };
            if let Some(Ended::Badly(error)) = &ended {
                complain(core, peer, error);
            }
            outbound.finish().await;
            frames.inbound().stop(code);
            frames.inbound().drain().await;
        }
        (_, Err(Stopped::Closed(close))) => {
            let reason = Rejected::Session;
            core.counters
                .reject(reason, peer.transport, peer.remote, &close.reason);
            outbound.reset(CODE_MISUSE);
            frames.inbound().stop(CODE_MISUSE);
        }
        (_, Err(Stopped::Broken(error))) => {
            tracing::debug!(remote = %peer.remote, %error, "a peer left before its answers");
        }
    }
}

/// Why writing ended before all was answered.
enum Stopped {
    /// The session wants it.
    Closed(Close),
    /// The peer is gone.
    Broken(io::Error),
}

/// An admitted request: its answer to come and its place among those in flight. The bytes of its
/// frame are given back as soon as the answer is there.
type Admitted = Pin<Box<dyn Future<Output = Told> + Send>>;

/// The answer of a request and its place.
type Told = (Result<Answered, Close>, OwnedSemaphorePermit);

/// The next answer of a request whose answers keep coming, and the request's place.
type Following = Option<(NextAnswer, OwnedSemaphorePermit)>;

async fn read<S: Session>(
    core: &Core,
    counts: &TransportCounters,
    mut session: S,
    frames: &mut Frames,
    places: &Arc<Semaphore>,
    idle: Option<Duration>,
    sender: Sender<Admitted>,
) -> Ended {
    loop {
        let accepting = accept(core, frames, places, idle);
        let accepted = tokio::select! {
            biased;
            () = core.stop.cancelled() => return Ended::Stopped,
            accepted = accepting => accepted,
        };
        let (frame, place, bytes) = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return Ended::Quietly,
            Err(error) => return Ended::Badly(error),
        };
        add(&counts.requests, 1);
        add(&counts.request_bytes, frame.len() + 4);
        tokio::select! {
            biased;
            () = session.admit(&frame) => {}
            () = core.stop.cancelled() => return Ended::Stopped,
        }
        let answer = session.call(frame);
        let admitted = Box::pin(async move {
            let answer = answer.await;
            drop(bytes);
            (answer, place)
        });
        if sender.send(admitted).await.is_err() {
            return Ended::Quietly;
        }
    }
}

/// Waits for a frame, for its place among those in flight and for room for its bytes. `None`: the
/// peer has finished or was idle for too long.
async fn accept(
    core: &Core,
    frames: &mut Frames,
    places: &Arc<Semaphore>,
    idle: Option<Duration>,
) -> Result<Option<(Bytes, OwnedSemaphorePermit, OwnedSemaphorePermit)>, FrameError> {
    let Some(size) = next_size(core, frames, places, idle).await? else {
        return Ok(None);
    };
    // Nobody closes these semaphores.
    let Ok(place) = places.clone().acquire_owned().await else {
        return Ok(None);
    };
    // All of a frame's bytes at once: frames that each held a part and waited for the rest could
    // wait for one another for ever. One that stalls is cut off.
    let permits = u32::try_from(size).unwrap_or(u32::MAX);
    let Ok(bytes) = core.budget.clone().acquire_many_owned(permits).await else {
        return Ok(None);
    };
    let frame = frames.body(size).await?;
    Ok(Some((frame, place, bytes)))
}

async fn next_size(
    core: &Core,
    frames: &mut Frames,
    places: &Semaphore,
    idle: Option<Duration>,
) -> Result<Option<usize>, FrameError> {
    let Some(idle) = idle else {
        return frames.size().await;
    };
    loop {
        if let Ok(size) = timeout(idle, frames.size()).await {
            return size;
        }
        // A peer that waits for an answer is not idle.
        if places.available_permits() >= core.limits.requests_in_flight_max {
            return Ok(None);
        }
    }
}

async fn write(
    counts: &TransportCounters,
    outbound: &mut Outbound,
    mut receiver: Receiver<Admitted>,
) -> Result<(), Stopped> {
    let mut pending: FuturesOrdered<Admitted> = FuturesOrdered::new();
    let mut following: Following = None;
    let mut more = true;
    let mut gathered = Gathered::default();
    loop {
        let told = tokio::select! {
            biased;
            next = receiver.recv(), if more => {
                // What comes behind a request must not wait for ever for it to end.
                following = None;
                match next {
                    Some(admitted) => pending.push_back(admitted),
                    None => more = false,
                }
                continue;
            }
            Some(told) = pending.next(), if !pending.is_empty() => told,
            Some(told) = next_of(&mut following), if following.is_some() => told,
            else => return Ok(()),
        };
        let mut next = Some(told);
        let mut last = None;
        while let Some((answered, place)) = next {
            let Answered {
                answer,
                next: goes_on,
            } = answered.map_err(Stopped::Closed)?;
            gathered.add(counts, answer);
            let enough = goes_on.is_some() || gathered.bytes >= ANSWER_BYTES_GATHERED;
            match goes_on {
                Some(goes_on) => last = Some((goes_on, place)),
                None => gathered.places.push(place),
            }
            next = if enough {
                None
            } else {
                pending.next().now_or_never().flatten()
            };
        }
        gathered.write(counts, outbound).await?;
        following = last.filter(|_| more && pending.is_empty());
    }
}

/// Answers that leave with one write, and their requests' places.
#[derive(Default)]
struct Gathered {
    segments: Vec<Bytes>,
    bytes: usize,
    places: Vec<OwnedSemaphorePermit>,
}

impl Gathered {
    fn add(&mut self, counts: &TransportCounters, answer: Answer) {
        if let Some(answer) = answer {
            add(&counts.answers, 1);
            self.bytes += answer.iter().map(Bytes::len).sum::<usize>();
            self.segments.extend(answer);
        }
    }

    async fn write(
        &mut self,
        counts: &TransportCounters,
        outbound: &mut Outbound,
    ) -> Result<(), Stopped> {
        add(&counts.answer_bytes, self.bytes);
        if self.bytes > 0 {
            let written = outbound.write(&mut self.segments).await;
            written.map_err(Stopped::Broken)?;
        }
        self.bytes = 0;
        self.places.clear();
        Ok(())
    }
}

/// The next answer of what is followed; dropped half-way, nothing is lost.
async fn next_of(following: &mut Following) -> Option<Told> {
    let (next, _) = following.as_mut()?;
    let answered = next.await;
    let (_, place) = following.take()?;
    Some((answered, place))
}

fn complain(core: &Core, peer: &Peer, error: &FrameError) {
    let reason = match error {
        FrameError::TooLarge { .. } | FrameError::Negative { .. } => Rejected::FrameTooLarge,
        FrameError::Foreign { .. } => Rejected::Foreign,
        FrameError::Cut { .. } => Rejected::FrameCut,
        FrameError::Stalled { .. } => Rejected::FrameStalled,
        FrameError::Probe => {
            tracing::debug!(remote = %peer.remote, transport = %peer.transport, "{error}");
            return;
        }
        // A connection that breaks is no misdeed.
        FrameError::Broken(_) => return,
    };
    core.counters
        .reject(reason, peer.transport, peer.remote, error);
}
