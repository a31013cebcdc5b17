//! Simulated clients: they speak the real protocol in frames, keep to it as Kafka's own clients
//! do, and report everything they are told to the oracle. They never look into the broker.

pub mod admin;
pub mod consumer;
pub mod directory;
pub mod job;
pub mod link;
pub mod member;
pub mod producer;
pub mod records;
pub mod steward;

use crate::{
    oracle::{cluster::ClusterTruth, groups::GroupsTruth, log::LogModel, truth::Truth},
    params::Params,
    random::Random,
    violation::Checked,
};
use bytes::Bytes;
use std::fmt;
use weir_types::Now;
use weir_wire::{ApiKey, Response};

/// What happens to a client.
#[allow(
    clippy::large_enum_variant,
    reason = "it is looked at once, where it is made"
)]
#[derive(Debug)]
pub enum Input {
    /// Its time has come.
    Wake,
    /// Its connection stands.
    Connected,
    /// Its connection broke, or could not be made.
    Disconnected,
    /// The answer to its oldest unanswered request of that correlation id.
    Answer {
        /// Which.
        correlation_id: i32,
        /// What.
        response: Response,
    },
}

/// What a client wants done.
#[derive(Debug)]
pub enum Act {
    /// Make a connection.
    Connect,
    /// Give the connection up.
    Close,
    /// Send a request.
    Send(Sent),
    /// Wake it after so many milliseconds.
    WakeIn(u64),
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Which API, for reading the answer.
    pub api: ApiKey,
    /// In which version.
    pub version: i16,
    /// Returned in the answer.
    pub correlation_id: i32,
    /// Whether there will be an answer.
    pub answered: bool,
    /// The frame without its size.
    pub frame: Bytes,
}

/// What a client may use while it acts.
pub struct Context<'a> {
    /// The time.
    pub now: Now,
    /// Its own chance.
    pub random: &'a mut Random,
    /// What all clients know of records.
    pub truth: &'a mut Truth,
    /// What all clients know of topics.
    pub cluster: &'a mut ClusterTruth,
    /// What all members of groups know.
    pub groups: &'a mut GroupsTruth,
    /// The world.
    pub params: &'a Params,
    /// What the log must be.
    pub log: &'a LogModel,
    /// The faults are over: finish what was begun, begin nothing.
    pub healing: bool,
    /// What becomes of it, for the trace.
    pub notes: Vec<String>,
    /// What it wants done, in order.
    pub acts: Vec<Act>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// A client.
pub trait Client: fmt::Debug {
    /// Its name in traces.
    fn name(&self) -> &str;

    /// Something happens to it.
    ///
    /// # Errors
    /// Where what it is told breaks a promise.
    fn input(&mut self, context: &mut Context<'_>, input: Input) -> Checked;

    /// What it still waits for, once the faults are over; nothing: it is done.
    fn waiting_for(&self, cluster: &ClusterTruth) -> Option<String>;
}
