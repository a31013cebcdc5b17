//! A member of a group as a state machine: answers, time and what the reader did go in; requests,
//! partitions to give up and partitions to take in come out.
//!
//! Pure: no IO, clock, lock or randomness. At most one request is under way, and the reader is
//! asked for one thing at a time, so that what it owns is always known.

use super::{classic::ClassicMember, modern::ModernMember};
use crate::{
    error::{BrokerError, GroupError, RequestError},
    limits::{RETRY_BACKOFF_MAX_MS, RETRY_BACKOFF_MS},
    record::TopicPartition,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_types::{ErrorCode, Tick, TopicId};
use weir_wire::{
    Text,
    messages::{
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest,
        HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
        SyncGroupRequest, SyncGroupResponse,
    },
};

/// What a member is and wants.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) group: Arc<str>,
    pub(crate) member_id: Text,
    pub(crate) instance_id: Option<Text>,
    pub(crate) rack: Option<Text>,
    /// By name; with an expression, what it matches as far as the client knows.
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// The expression that the coordinator is told (consumer protocol only).
    pub(crate) regex: Option<Text>,
    pub(crate) server_assignor: Option<Text>,
    pub(crate) classic_assignor: super::ClassicAssignor,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) heartbeat_ms: u64,
}

/// A request for the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Modern(ConsumerGroupHeartbeatRequest),
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveGroupRequest),
}

/// Its answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Modern(ConsumerGroupHeartbeatResponse),
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Leave,
}

impl Answer {
    /// What is wrong.
    pub(crate) const fn code(&self) -> ErrorCode {
        match self {
            Self::Modern(answer) => answer.error_code,
            Self::Join(answer) => answer.error_code,
            Self::Sync(answer) => answer.error_code,
            Self::Heartbeat(answer) => answer.error_code,
            Self::Leave => ErrorCode::None,
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Time passed.
    Tick,
    /// The request under way was answered.
    Told(Answer),
    /// The request under way failed.
    Failed(RequestError),
    /// The reader gave up what it was asked to give up, and what it had read is committed.
    Released,
    /// The reader took in what it was asked to take in.
    Taken,
    /// The reader was not asked to take anything in, since the member was found to be out of the
    /// group; it will hear of that itself.
    NotTaken,
    /// What topics are called; those that are not known are left out.
    Names(BTreeMap<TopicId, Arc<str>>),
    /// How many partitions topics have; those that are not known are left out.
    Counts(BTreeMap<Arc<str>, i32>),
    /// The topics that are wanted are others now, or have more partitions.
    Topics(BTreeSet<Arc<str>>),
    /// Topics do not exist any more, whatever bears their names now.
    Gone(BTreeMap<TopicId, Arc<str>>),
    /// The program does not poll.
    Stalled,
    /// It polls again.
    Polled,
    /// The member is to leave; the reader has given everything up.
    Leave,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Send this to the coordinator.
    Ask(Ask),
    /// The coordinator is another one now.
    Moved,
    /// Give partitions up: with a commit of what was read, unless they are lost already.
    Release {
        partitions: BTreeSet<TopicPartition>,
        is_lost: bool,
    },
    /// Take partitions in where the group stands.
    Take(BTreeSet<TopicPartition>),
    /// Find out what topics are called.
    Resolve(BTreeSet<TopicId>),
    /// Find out how many partitions topics have.
    Count(BTreeSet<Arc<str>>),
    /// It is over: tell the program.
    Fail(GroupError),
    /// The member has left.
    Left,
}

/// Who commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) member_id: Text,
    pub(crate) instance_id: Option<Text>,
    /// The member's epoch or the generation; -1 outside a group.
    pub(crate) epoch: i32,
    /// Which membership it is: another one after everything was lost.
    pub(crate) membership: u64,
}

/// A member by either protocol.
#[derive(Debug)]
pub(crate) enum Member {
    Modern(ModernMember),
    Classic(ClassicMember),
}

impl Member {
    /// Carries one step out.
    pub(crate) fn step(&mut self, now: Tick, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        match self {
            Self::Modern(member) => member.step(now, input, &mut outputs),
            Self::Classic(member) => member.step(now, input, &mut outputs),
        }
        outputs
    }

    /// When time alone has a consequence.
    pub(crate) const fn due(&self) -> Option<Tick> {
        match self {
            Self::Modern(member) => member.due(),
            Self::Classic(member) => member.due(),
        }
    }

    /// Whether it will never do anything again.
    pub(crate) const fn is_over(&self) -> bool {
        match self {
            Self::Modern(member) => member.is_over(),
            Self::Classic(member) => member.is_over(),
        }
    }

    /// Whether it shares partitions out to the others.
    pub(crate) const fn is_leader(&self) -> bool {
        match self {
            Self::Modern(_) => false,
            Self::Classic(member) => member.is_leader(),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Modern(member) => member.identity(),
            Self::Classic(member) => member.identity(),
        }
    }
}

/// What the member is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Stay,
    /// Out until the program polls.
    StepOut,
    /// Out for good.
    Leave,
}

/// Pauses between attempts that failed in a row; without jitter, which the driver adds.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    failures: u32,
}

impl Pauses {
    pub(crate) const fn new() -> Self {
        Self { failures: 0 }
    }

    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn next_ms(&mut self) -> u64 {
        let pause = RETRY_BACKOFF_MS
            .saturating_mul(1 << self.failures.min(16))
            .min(RETRY_BACKOFF_MAX_MS);
        self.failures += 1;
        pause
    }
}

/// Whether this is the answer of a broker that coordinates nothing for now.
pub(crate) const fn is_away(code: ErrorCode) -> bool {
    is_moved(code) || matches!(code, ErrorCode::CoordinatorLoadInProgress)
}

/// Whether another broker may be the coordinator now.
pub(crate) const fn is_moved(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable
    )
}

pub(crate) fn refused(profile: &Profile, code: ErrorCode, message: Option<&Text>) -> GroupError {
    let message = message.map(|text| text.as_str().to_owned());
    GroupError::Refused {
        group: Arc::clone(&profile.group),
        error: BrokerError {
            code,
            message: message.filter(|text| !text.is_empty()),
        },
    }
}

/// It is over: what is still owned is lost.
pub(super) fn end(error: GroupError, owned: BTreeSet<TopicPartition>, outputs: &mut Vec<Output>) {
    outputs.push(Output::Fail(error));
    if !owned.is_empty() {
        outputs.push(Output::Release {
            partitions: owned,
            is_lost: true,
        });
    }
}
