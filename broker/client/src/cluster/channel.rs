//! Pipelined requests on one channel: frames go out in the order of the calls, answers come back
//! in the same order and are matched by it.
//!
//! A task of its own owns both directions, so that a caller that goes away never leaves half a
//! frame behind. A channel that failed once is closed for good; whoever needs another opens it.

use super::transport::{FrameSink, FrameSource, Pipe};
use crate::limits::CHANNEL_QUEUE_MAX;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot};

/// Why a channel ended, in words.
pub(crate) type Lost = Arc<str>;

/// The sending half of a channel; its task ends when the last handle is gone and every answer is
/// in.
#[derive(Debug)]
pub(crate) struct Channel {
    calls: mpsc::Sender<Call>,
    state: Arc<State>,
    next_id: AtomicI32,
}

#[derive(Debug)]
struct Call {
    id: i32,
    segments: Vec<Bytes>,
    reply: Option<Reply>,
}

type Reply = oneshot::Sender<Result<Bytes, Lost>>;

#[derive(Debug, Default)]
struct State {
    waiting: Mutex<VecDeque<(i32, Reply)>>,
    closed: AtomicBool,
}

impl State {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<(i32, Reply)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    /// Starts the task that serves `pipe`.
    pub(crate) fn start(pipe: Pipe) -> Self {
        let (calls, queue) = mpsc::channel(CHANNEL_QUEUE_MAX);
        let state = Arc::new(State::default());
        tokio::spawn(serve(pipe, queue, Arc::clone(&state)));
        Self {
            calls,
            state,
            next_id: AtomicI32::new(1),
        }
    }

    /// The correlation id of the next request.
    pub(crate) fn next_id(&self) -> i32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether it failed or was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Acquire)
    }

    /// Ends it: an answer is overdue, and with it all behind it.
    pub(crate) fn close(&self) {
        self.state.closed.store(true, Ordering::Release);
        self.state.waiting().clear();
    }

    /// Hands a request over; the future it gives is ready with the answer's frame. Requests go out
    /// in the order in which these calls return.
    pub(crate) async fn call(
        &self,
        id: i32,
        segments: Vec<Bytes>,
    ) -> Result<impl Future<Output = Result<Bytes, Lost>> + Send + use<>, Lost> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(id, segments, Some(reply)).await?;
        Ok(async move { answer.await.unwrap_or_else(|_| Err(closed())) })
    }

    /// Hands a request over that is not answered (Produce with `acks=0`).
    pub(crate) async fn tell(&self, segments: Vec<Bytes>) -> Result<(), Lost> {
        self.hand_over(0, segments, None).await
    }

    async fn hand_over(
        &self,
        id: i32,
        segments: Vec<Bytes>,
        reply: Option<Reply>,
    ) -> Result<(), Lost> {
        if self.is_closed() {
            return Err(closed());
        }
        let call = Call {
            id,
            segments,
            reply,
        };
        self.calls.send(call).await.map_err(|_| closed())
    }
}

fn closed() -> Lost {
    Arc::from("the connection was closed")
}

async fn serve(pipe: Pipe, mut queue: mpsc::Receiver<Call>, state: Arc<State>) {
    let reason = tokio::select! {
        reason = write(pipe.sink, &mut queue, &state) => reason,
        reason = read(pipe.source, &state) => reason,
    };
    state.closed.store(true, Ordering::Release);
    queue.close();
    let waiting = std::mem::take(&mut *state.waiting());
    for (_, reply) in waiting {
        // A caller that went away needs no answer.
        let _ = reply.send(Err(Arc::clone(&reason)));
    }
    while let Some(call) = queue.recv().await {
        if let Some(reply) = call.reply {
            let _ = reply.send(Err(Arc::clone(&reason)));
        }
    }
}

async fn write(
    mut sink: Box<dyn FrameSink>,
    queue: &mut mpsc::Receiver<Call>,
    state: &State,
) -> Lost {
    while let Some(call) = queue.recv().await {
        if state.closed.load(Ordering::Acquire) {
            return closed();
        }
        if let Some(reply) = call.reply {
            state.waiting().push_back((call.id, reply));
        }
        if let Err(error) = sink.send(call.segments).await {
            return Arc::from(error.to_string());
        }
    }
    // Nobody will call again; the reader ends with the last answer.
    if state.waiting().is_empty() {
        return closed();
    }
    std::future::pending().await
}

async fn read(mut source: Box<dyn FrameSource>, state: &State) -> Lost {
    loop {
        let frame = match source.receive().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Arc::from("the broker closed the connection"),
            Err(error) => return Arc::from(error.to_string()),
        };
        let Some(id) = frame.first_chunk::<4>() else {
            return Arc::from("the broker sent a frame without a header");
        };
        let id = i32::from_be_bytes(*id);
        let next = state.waiting().pop_front();
        match next {
            Some((expected, reply)) if expected == id => {
                // A caller that went away needs no answer.
                let _ = reply.send(Ok(frame));
            }
            _ => return Arc::from("the broker answered out of order"),
        }
    }
}
