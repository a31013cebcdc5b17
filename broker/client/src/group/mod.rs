//! The group consumer: a member of a consumer group that reads its share of the partitions of some
//! topics, by KIP-848 or by the classic protocol.
//!
//! The program's task reads; a task of the member's own heartbeats and commits beside it. Partitions
//! change hands only inside a poll, so a record is never taken away while a program works on it.

mod assign;
mod builder;
mod classic;
mod desk;
mod driver;
mod holding;
mod listener;
mod member;
mod modern;
pub(crate) mod offsets;
#[cfg(test)]
mod tests;
mod work;

pub use builder::{ClassicAssignor, GroupConsumerBuilder, GroupProtocol};
pub(crate) use classic::read_assignment;
pub use listener::{FinalCommit, RebalanceListener};
pub(crate) use member::Identity;

use crate::{
    Consumer, ConsumerRecord, FetchedBatch, consumer::SeekTo, error::GroupError,
    limits::COMMITS_MAX, record::TopicPartition,
};
use desk::{Desk, Event, Order, Start};
use futures_core::Stream;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use weir_types::{LeaderEpoch, Offset};

/// An offset that a group keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOffset {
    /// The offset of the next record to be read: one behind the last that is done.
    pub offset: Offset,
    /// The leader epoch of the last record that is done, where known (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the program wants to be kept with it; the broker limits its bytes.
    pub metadata: String,
}

impl CommitOffset {
    /// With a text that is kept beside it.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }
}

impl From<Offset> for CommitOffset {
    fn from(offset: Offset) -> Self {
        Self {
            offset,
            ..Self::default()
        }
    }
}

/// Reads a share of topics as a member of a group; a [`Stream`] of records.
///
/// What a program has polled past counts as done: by automatic commits it is committed every 5 s,
/// before partitions are given up, and by [`close`](Self::close). A program that stops without
/// `close` reads again what was not committed: each record comes at least once.
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> Result<(), weir_client::GroupError> {
/// use weir_client::OffsetReset;
///
/// let mut orders = client
///     .group("billing")
///     .topics(["orders", "refunds"])
///     .offset_reset(OffsetReset::Earliest)
///     .build()?;
/// for _ in 0..10 {
///     let record = orders.next().await?;
///     println!("{} {}: {:?}", record.partition, record.offset, record.value);
/// }
/// orders.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// With commits by hand:
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> Result<(), weir_client::GroupError> {
/// use weir_client::{TopicPartition, group::CommitOffset};
///
/// let builder = client.group("billing").topics(["orders"]);
/// let mut orders = builder.manual_commit().build()?;
/// let record = orders.next().await?;
/// let next = CommitOffset::from(record.offset.next()).with_metadata("by node 7");
/// let partition = TopicPartition {
///     topic: record.topic,
///     partition: record.partition,
/// };
/// orders.commit_offsets([(partition, next)]).await?;
/// # Ok(())
/// # }
/// ```
pub struct GroupConsumer {
    consumer: Consumer,
    desk: Arc<Desk>,
    events: mpsc::Sender<Event>,
    listener: Box<dyn RebalanceListener>,
    is_auto: bool,
    commits: Arc<Semaphore>,
    warnings: VecDeque<GroupError>,
    failed: Option<GroupError>,
    is_failure_told: bool,
}

/// A commit under way; to be awaited for its outcome, or dropped: it goes on.
#[must_use = "the outcome of a commit is told by awaiting it"]
#[derive(Debug)]
pub struct Commit {
    answer: Result<oneshot::Receiver<Result<(), GroupError>>, Option<GroupError>>,
}

impl Future for Commit {
    type Output = Result<(), GroupError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.answer {
            Ok(answer) => Pin::new(answer)
                .poll(context)
                .map(|answer| answer.unwrap_or(Err(GroupError::Closed))),
            Err(error) => Poll::Ready(Err(error.take().unwrap_or(GroupError::Closed))),
        }
    }
}

impl std::fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupConsumer")
            .field("member_id", &self.member_id())
            .field("assignment", &self.assignment())
            .finish_non_exhaustive()
    }
}

impl GroupConsumer {
    fn new(
        consumer: Consumer,
        desk: Arc<Desk>,
        events: mpsc::Sender<Event>,
        listener: Box<dyn RebalanceListener>,
        is_auto: bool,
    ) -> Self {
        Self {
            consumer,
            desk,
            events,
            listener,
            is_auto,
            commits: Arc::new(Semaphore::new(COMMITS_MAX)),
            warnings: VecDeque::new(),
            failed: None,
            is_failure_told: false,
        }
    }

    /// The next record; waits for one. Polling again says that the records before are done.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`GroupError`]. After [`GroupError::Consume`] and [`GroupError::Commit`] the consumer can be
    /// used on; the others are told by every call from then on.
    pub async fn next(&mut self) -> Result<ConsumerRecord, GroupError> {
        std::future::poll_fn(|context| self.poll_with(context, Consumer::poll_record)).await
    }

    /// The next batch; waits for one. The fast way: its records are looked at where they lie.
    /// Polling again says that all of the batch is done.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn next_batch(&mut self) -> Result<FetchedBatch, GroupError> {
        std::future::poll_fn(|context| self.poll_with(context, Consumer::poll_batch)).await
    }

    fn poll_with<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: impl Fn(&mut Consumer, &mut Context<'_>) -> Poll<Result<T, crate::ConsumeError>>,
    ) -> Poll<Result<T, GroupError>> {
        loop {
            for order in self.desk.look() {
                self.obey(order);
            }
            if let Some(warning) = self.warnings.pop_front() {
                return Poll::Ready(Err(warning));
            }
            if let Some(error) = &self.failed {
                self.is_failure_told = true;
                return Poll::Ready(Err(error.clone()));
            }
            match poll(&mut self.consumer, context) {
                Poll::Ready(found) => return Poll::Ready(found.map_err(GroupError::Consume)),
                Poll::Pending if self.desk.wait(context.waker()) => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Snapshot => self.tell(Event::Positions(self.consumer.positions())),
            Order::Release {
                partitions,
                is_lost,
            } => self.release(&partitions, is_lost),
            Order::Take(starts) => self.take(starts),
            Order::Report => self.tell(Event::Polled),
            Order::Away(reason) => self.listener.coordinator_away(&reason),
            Order::Back(after) => self.listener.coordinator_back(after),
            Order::Dropped { partitions, reason } => {
                self.listener.offsets_dropped(&partitions, &reason);
            }
            Order::Warn(error) => self.warnings.push_back(error),
            Order::Fail(error) => self.failed = Some(error),
        }
    }

    fn release(&mut self, partitions: &BTreeSet<TopicPartition>, is_lost: bool) {
        let positions = self.consumer.positions();
        let had: BTreeSet<_> = self.assignment();
        let gone: BTreeSet<_> = had.intersection(partitions).cloned().collect();
        self.consumer.unassign(&gone);
        let mut commit = FinalCommit::default();
        if gone.is_empty() {
            // It was never taken in.
        } else if is_lost {
            self.listener.lost(&gone);
        } else {
            let positions = positions.into_iter();
            let last = positions.filter(|(partition, _)| gone.contains(partition));
            commit = self.revoke(&gone, last.collect());
        }
        self.tell(Event::Released { commit, is_lost });
    }

    /// Tells the listener; answers what it wants committed, and the positions that are committed
    /// without a word of it.
    fn revoke(
        &mut self,
        gone: &BTreeSet<TopicPartition>,
        positions: BTreeMap<TopicPartition, Offset>,
    ) -> FinalCommit {
        let mut commit = FinalCommit {
            positions,
            ..FinalCommit::default()
        };
        self.listener.revoked(gone, &mut commit);
        if !self.is_auto {
            commit.positions.clear();
        }
        commit
    }

    fn take(&mut self, starts: Vec<Start>) {
        let mut usable = Vec::new();
        let mut taken = BTreeSet::new();
        for start in starts {
            taken.insert(start.partition.clone());
            match start.offset {
                Ok(offset) => usable.push((start.partition, offset)),
                Err(error) => self.consumer.take_in_halted(&start.partition, error),
            }
        }
        self.consumer.take_in(&usable);
        if !taken.is_empty() {
            self.listener.assigned(&taken);
        }
        self.tell(Event::Taken);
    }

    fn tell(&self, event: Event) {
        // Whoever waits for an answer to what is not taken is told by its reply's end.
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!(%error, "the member's task takes no more");
        }
    }

    /// The partitions it reads now.
    #[must_use]
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.consumer.assignment().into_iter().collect()
    }

    /// Its id in the group; empty while it has none.
    #[must_use]
    pub fn member_id(&self) -> String {
        self.desk.identity().member_id.to_string()
    }

    /// Its epoch (consumer protocol) or the group's generation (classic protocol), while it is in.
    #[must_use]
    pub fn epoch(&self) -> Option<i32> {
        let epoch = self.desk.identity().epoch;
        (epoch >= 0).then_some(epoch)
    }

    /// The offset that is handed out next.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    /// Moves a partition that is assigned; the group's offset stays until the next commit.
    ///
    /// # Errors
    /// [`GroupError::Consume`] where it is not assigned or the place cannot be found.
    pub async fn seek(
        &mut self,
        partition: &TopicPartition,
        to: SeekTo,
    ) -> Result<Offset, GroupError> {
        Ok(self.consumer.seek(partition, to).await?)
    }

    /// Holds the records of partitions back. Polling has to go on, or they go to others.
    ///
    /// # Errors
    /// [`GroupError::Consume`] where one is not assigned.
    pub fn pause<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<(), GroupError> {
        Ok(self.consumer.pause(partitions)?)
    }

    /// Goes on with paused partitions.
    ///
    /// # Errors
    /// [`GroupError::Consume`] where one is not assigned.
    pub fn resume<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<(), GroupError> {
        Ok(self.consumer.resume(partitions)?)
    }

    /// Commits everything that was handed out, and waits for the answer (Kafka's `commitSync`).
    ///
    /// # Errors
    /// [`GroupError::Commit`] or [`GroupError::Request`]; others may own a partition by now.
    pub async fn commit(&mut self) -> Result<(), GroupError> {
        self.commit_async().await
    }

    /// Begins to commit everything that was handed out (Kafka's `commitAsync`). Commits are carried
    /// out in the order of these calls.
    pub fn commit_async(&mut self) -> Commit {
        let positions = self.consumer.positions().into_iter();
        let offsets = positions.map(|(p, offset)| (p, CommitOffset::from(offset)));
        self.commit_offsets(offsets)
    }

    /// Begins to commit these offsets, with their metadata; they need not be the positions.
    pub fn commit_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, CommitOffset)>,
    ) -> Commit {
        let failed = |error| Commit {
            answer: Err(Some(error)),
        };
        let Ok(permit) = Arc::clone(&self.commits).try_acquire_owned() else {
            return failed(GroupError::TooManyCommits { limit: COMMITS_MAX });
        };
        let offsets: BTreeMap<_, _> = offsets.into_iter().collect();
        if let Some((partition, offset)) = offsets.iter().find(|(_, o)| o.offset.0 < 0) {
            let reason = format!("{partition}: offset {} is negative", offset.offset);
            return failed(GroupError::Config { reason });
        }
        let (reply, answer) = oneshot::channel();
        self.tell(Event::Commit {
            offsets,
            reply,
            permit,
        });
        Commit { answer: Ok(answer) }
    }

    /// What the group keeps of partitions, asked for now; those without an offset are left out.
    ///
    /// # Errors
    /// [`GroupError::Commit`] with the coordinator's words, or [`GroupError::Request`].
    pub async fn committed(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, CommitOffset>, GroupError> {
        let (reply, answer) = oneshot::channel();
        let partitions = partitions.into_iter().collect();
        self.tell(Event::Committed { partitions, reply });
        answer.await.unwrap_or(Err(GroupError::Closed))
    }

    /// Ends it: the listener hears that everything is given up, what was handed out is committed
    /// (with automatic commits), and the member leaves; a static member is waited for (KIP-345).
    /// Within the client's operation timeout, and 5 s more for leaving.
    ///
    /// # Errors
    /// Why the last commit failed, or what the program was not told yet; the member has left
    /// nevertheless.
    pub async fn close(mut self) -> Result<(), GroupError> {
        for order in self.desk.look() {
            self.obey(order);
        }
        if let Some(error) = self.failed.take() {
            return if self.is_failure_told {
                Ok(())
            } else {
                Err(error)
            };
        }
        let all = self.assignment();
        let mut commit = FinalCommit::default();
        if !all.is_empty() {
            commit = self.revoke(&all, self.consumer.positions());
        }
        self.consumer.unassign(&all);
        let (reply, answer) = oneshot::channel();
        self.tell(Event::Close { commit, reply });
        let closed = answer.await.unwrap_or(Err(GroupError::Closed));
        for order in self.desk.look() {
            // There is nothing left to do others to.
            if matches!(order, Order::Warn(_) | Order::Dropped { .. }) {
                self.obey(order);
            }
        }
        closed.and_then(|()| self.warnings.pop_front().map_or(Ok(()), Err))
    }
}

impl Stream for GroupConsumer {
    type Item = Result<ConsumerRecord, GroupError>;

    /// Waits behind the last record; ends only behind an error for good.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_failure_told {
            return Poll::Ready(None);
        }
        self.poll_with(context, Consumer::poll_record).map(Some)
    }
}
