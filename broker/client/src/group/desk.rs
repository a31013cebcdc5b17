//! Where the member's task leaves orders for the reader, and the reader its answers.
//!
//! Looking whether there is an order costs one atomic read, since the reader does it for each
//! record. Nothing here waits.

use super::{CommitOffset, FinalCommit};
use crate::{
    consumer::SeekTo,
    error::{ConsumeError, GroupError},
    record::TopicPartition,
};
use futures_util::task::AtomicWaker;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use weir_types::{Offset, TopicId};

use super::member::Identity;

/// What the reader is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Tell where all partitions stand.
    Snapshot,
    /// Give partitions up.
    Release {
        partitions: BTreeSet<TopicPartition>,
        is_lost: bool,
    },
    /// Take partitions in.
    Take(Vec<Start>),
    /// Tell that it polls.
    Report,
    /// Tell the listener that the coordinator is away, for this reason.
    Away(String),
    /// Tell the listener that it is back, after so long.
    Back(Duration),
    /// Tell the listener of offsets that are not committed, for this reason.
    Dropped {
        partitions: BTreeSet<TopicPartition>,
        reason: String,
    },
    /// Tell the program of an error after which the member goes on.
    Warn(GroupError),
    /// Tell the program that it is over.
    Fail(GroupError),
}

/// Where a partition begins.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) partition: TopicPartition,
    /// Nothing: it waits for a seek, for this reason.
    pub(crate) offset: Result<Offset, ConsumeError>,
    /// Whether the group keeps that offset.
    pub(crate) is_kept: bool,
    /// The topic of that name in which the place was found; zero where it is not known.
    pub(crate) topic_id: TopicId,
}

/// What the reader did, or its program wants.
#[derive(Debug)]
pub(crate) enum Event {
    Positions(BTreeMap<TopicPartition, Offset>),
    /// It gave up what it was asked to. This is to be committed first, unless it was lost.
    Released {
        commit: FinalCommit,
        is_lost: bool,
    },
    Taken,
    Polled,
    Commit {
        offsets: BTreeMap<TopicPartition, CommitOffset>,
        reply: oneshot::Sender<Result<(), GroupError>>,
        permit: OwnedSemaphorePermit,
    },
    Committed {
        partitions: Vec<TopicPartition>,
        reply: oneshot::Sender<Result<BTreeMap<TopicPartition, CommitOffset>, GroupError>>,
    },
    Close {
        commit: FinalCommit,
        reply: oneshot::Sender<Result<(), GroupError>>,
    },
}

/// Shared by the reader and the member's task.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    has_orders: AtomicBool,
    orders: Mutex<VecDeque<Order>>,
    identity: Mutex<Identity>,
    waker: AtomicWaker,
    polls: AtomicU64,
}

impl Desk {
    /// Leaves an order and wakes the reader.
    pub(crate) fn order(&self, order: Order) {
        self.orders().push_back(order);
        self.has_orders.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// The orders, if there are any: the reader polls, and this counts it.
    pub(crate) fn look(&self) -> VecDeque<Order> {
        // Only the reader writes it.
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls.wrapping_add(1), Ordering::Relaxed);
        if !self.has_orders.load(Ordering::Acquire) {
            return VecDeque::new();
        }
        let mut orders = self.orders();
        self.has_orders.store(false, Ordering::Release);
        std::mem::take(&mut *orders)
    }

    /// The reader waits.
    pub(crate) fn wait(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        // An order may have come before the waker was there.
        !self.has_orders.load(Ordering::Acquire)
    }

    /// Makes a waiting reader poll, which shows that it is there.
    pub(crate) fn nudge(&self) {
        self.waker.wake();
    }

    /// How often the reader has polled.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    pub(crate) fn set_identity(&self, identity: Identity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn orders(&self) -> MutexGuard<'_, VecDeque<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reset policy as a place.
pub(crate) const fn reset_place(reset: crate::OffsetReset) -> Option<SeekTo> {
    match reset {
        crate::OffsetReset::Earliest => Some(SeekTo::Earliest),
        crate::OffsetReset::Latest => Some(SeekTo::Latest),
        crate::OffsetReset::Error => None,
    }
}
