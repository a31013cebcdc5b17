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
    service::{Answer, Close, Peer, Session},
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
type Admitted = Pin<Box<dyn Future<Output = (Result<Answer, Close>, OwnedSemaphorePermit)> + Send>>;

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
    let mut more = true;
    let mut segments: Vec<Bytes> = Vec::new();
    let mut held = Vec::new();
    loop {
        tokio::select! {
            biased;
            next = receiver.recv(), if more => match next {
                Some(admitted) => pending.push_back(admitted),
                None => more = false,
            },
            Some(first) = pending.next(), if !pending.is_empty() => {
                let mut next = Some(first);
                let mut bytes = 0;
                while let Some((answer, place)) = next {
                    held.push(place);
                    if let Some(answer) = answer.map_err(Stopped::Closed)? {
                        add(&counts.answers, 1);
                        bytes += answer.iter().map(Bytes::len).sum::<usize>();
                        segments.extend(answer);
                    }
                    next = if bytes < ANSWER_BYTES_GATHERED {
                        pending.next().now_or_never().flatten()
                    } else {
                        None
                    };
                }
                add(&counts.answer_bytes, bytes);
                if bytes > 0 {
                    outbound.write(&mut segments).await.map_err(Stopped::Broken)?;
                }
                held.clear();
            },
            else => return Ok(()),
        }
    }
}

fn complain(core: &Core, peer: &Peer, error: &FrameError) {
    let reason = match error {
        FrameError::TooLarge { .. } | FrameError::Negative { .. } => Rejected::FrameTooLarge,
        FrameError::Foreign { .. } => Rejected::Foreign,
        FrameError::Cut { .. } => Rejected::FrameCut,
        FrameError::Stalled { .. } => Rejected::FrameStalled,
        // A connection that breaks is no misdeed.
        FrameError::Broken(_) => return,
    };
    core.counters
        .reject(reason, peer.transport, peer.remote, error);
}
