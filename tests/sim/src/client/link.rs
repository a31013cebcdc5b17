//! A client's end of its one connection: numbers its requests, notices when an answer is overdue
//! and comes back after a pause. It knows nothing of what the requests mean.

use super::{Act, Context, Input, Sent};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use weir_wire::{ApiKey, RequestBody, Text, encode_request};

/// A client gives a connection up when an answer is so late, in milliseconds.
const ANSWER_MS_MAX: u64 = 3_000;

/// The longest pause before a client connects again, in milliseconds.
const RECONNECT_MS_MAX: u64 = 100;

/// The state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down { again_at: u64 },
    Connecting,
    Up,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Link {
    state: State,
    client_id: Text,
    next_correlation: i32,
    /// What was sent and not answered: number and deadline.
    open: VecDeque<(i32, u64)>,
}

/// What a client should make of an input, beside what the link did with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing of note.
    None,
    /// The connection stands.
    Up,
    /// The connection is gone, and every answer with it.
    Down,
}

impl Link {
    /// A link that is down.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            state: State::Down { again_at: 0 },
            client_id: Text::from(name),
            next_correlation: 1,
            open: VecDeque::new(),
        }
    }

    /// Whether requests can be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// How many requests wait for an answer.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Takes note of an input, connects, and gives up on a connection that does not answer.
    pub fn input(&mut self, context: &mut Context<'_>, input: &Input) -> Change {
        let now = context.now.tick.0;
        match input {
            Input::Connected => {
                self.state = State::Up;
                Change::Up
            }
            Input::Disconnected => self.down(context),
            Input::Answer { correlation_id, .. } => {
                self.open.retain(|(open, _)| open != correlation_id);
                Change::None
            }
            Input::Wake => {
                if self
                    .open
                    .front()
                    .is_some_and(|(_, deadline)| *deadline <= now)
                {
                    context.acts.push(Act::Close);
                    return self.down(context);
                }
                if let State::Down { again_at } = self.state
                    && again_at <= now
                {
                    self.state = State::Connecting;
                    context.acts.push(Act::Connect);
                }
                Change::None
            }
        }
    }

    /// Gives the connection up.
    pub fn close(&mut self, context: &mut Context<'_>) {
        if self.is_up() {
            context.acts.push(Act::Close);
            self.down(context);
        }
    }

    fn down(&mut self, context: &mut Context<'_>) -> Change {
        let pause = context.random.between(1, RECONNECT_MS_MAX);
        self.state = State::Down {
            again_at: context.now.tick.0 + pause,
        };
        self.open.clear();
        Change::Down
    }

    /// Sends a request that waits `extra_ms` longer for its answer than others do; returns its
    /// number.
    pub fn send<B: RequestBody>(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        body: &B,
        answered: bool,
        extra_ms: u64,
    ) -> i32 {
        let correlation_id = self.next_correlation;
        self.next_correlation += 1;
        let segments = encode_request(correlation_id, Some(&self.client_id), version, body)
            .expect("a client makes only requests that its version carries");
        if answered {
            let deadline = context.now.tick.0 + ANSWER_MS_MAX + extra_ms;
            self.open.push_back((correlation_id, deadline));
        }
        context.acts.push(Act::Send(Sent {
            api: B::API,
            version,
            correlation_id,
            answered,
            frame: joined(&segments),
        }));
        correlation_id
    }
}

/// The newest or, at times, any version of an API from `least` on.
pub fn version(random: &mut crate::random::Random, api: ApiKey, least: i16) -> i16 {
    let supported = api.supported();
    let least = least.max(supported.min);
    if random.percent(40) {
        return supported.max;
    }
    let span = u64::try_from(supported.max - least).unwrap_or(0);
    least + i16::try_from(random.between(0, span)).unwrap_or(0)
}

/// A frame in one piece, without its size.
#[must_use]
pub fn joined(segments: &[Bytes]) -> Bytes {
    let mut whole = BytesMut::new();
    for segment in segments {
        whole.extend_from_slice(segment);
    }
    whole.freeze().split_off(4)
}
