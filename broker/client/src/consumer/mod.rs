//! The consumer: partitions by hand (no group), records ahead of the reader in bounded memory.
//!
//! A record is handed out once and in order, from the position on; see `buffer` for how.

mod batch;
mod buffer;
mod builder;
mod fetcher;
mod session;
#[cfg(test)]
mod tests;

pub use batch::FetchedBatch;
pub use builder::{ConsumerBuilder, OffsetReset};

use crate::{
    admin::{OffsetSpec, offsets::list_offsets},
    cluster::shared::TopicError,
    error::{AdminError, BrokerError, ConsumeError},
    record::{ConsumerRecord, TopicPartition},
};
use buffer::Next;
use fetcher::{Alive, Inner};
use futures_core::Stream;
use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use weir_codec::Decompressor;
use weir_types::{ErrorCode, Offset, PartitionIndex, TimestampMs};

/// Where a partition is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// This offset. Outside the log the reset policy decides.
    Offset(Offset),
    /// The first record there is.
    Earliest,
    /// The high watermark: what is written from now on.
    Latest,
    /// The first record of this time or later; the high watermark where none is.
    Timestamp(TimestampMs),
}

/// How many records are made at a time.
const RECORDS_AT_ONCE: usize = 256;

/// Reads records of assigned partitions; a [`Stream`] of records.
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> Result<(), weir_client::ConsumeError> {
/// use weir_client::SeekTo;
///
/// let mut consumer = client.consumer().build()?;
/// consumer.assign_topic("orders", SeekTo::Earliest).await?;
/// for _ in 0..10 {
///     let record = consumer.next().await?;
///     println!("{} {}: {:?}", record.partition, record.offset, record.value);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Consumer {
    inner: Arc<Inner>,
    decompressor: Decompressor,
    current: Option<Current>,
    made: VecDeque<ConsumerRecord>,
    /// What must be told once `made` is handed out.
    pending_error: Option<ConsumeError>,
    _alive: Alive,
}

/// The batch that [`Consumer::next`] is in.
struct Current {
    batch: FetchedBatch,
    generation: u64,
    at: usize,
    left: i32,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("assignment", &self.assignment())
            .finish_non_exhaustive()
    }
}

impl Consumer {
    fn new(inner: Arc<Inner>) -> Self {
        Self {
            _alive: Alive(Arc::clone(&inner)),
            inner,
            decompressor: Decompressor::new(),
            current: None,
            made: VecDeque::new(),
            pending_error: None,
        }
    }

    /// Begins a consumer of `client`.
    pub fn builder(client: &crate::Client) -> ConsumerBuilder {
        ConsumerBuilder::new(client)
    }

    /// Takes partitions in, each from a place of its own; those that were in already move there.
    ///
    /// # Errors
    /// [`ConsumeError`] where a partition does not exist or its place cannot be found; nothing is
    /// taken in then.
    pub async fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicPartition, SeekTo)> + Send,
    ) -> Result<(), ConsumeError> {
        let partitions: Vec<_> = partitions.into_iter().collect();
        for (partition, _) in &partitions {
            let count = self.partitions(&partition.topic).await?;
            if !usize::try_from(partition.partition.0).is_ok_and(|index| index < count) {
                return Err(ConsumeError::Partition {
                    partition: partition.clone(),
                    error: BrokerError {
                        code: ErrorCode::UnknownTopicOrPartition,
                        message: Some(format!("the topic has {count} partitions")),
                    },
                });
            }
        }
        for (partition, offset) in self.resolve(partitions).await? {
            self.move_to(&partition, offset);
        }
        self.inner.fetch_from_leaders();
        Ok(())
    }

    /// Takes in every partition that a topic has now.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub async fn assign_topic(&mut self, topic: &str, to: SeekTo) -> Result<(), ConsumeError> {
        let topic: Arc<str> = Arc::from(topic);
        let count = i32::try_from(self.partitions(&topic).await?).unwrap_or(i32::MAX);
        let all = (0..count).map(|index| TopicPartition {
            topic: Arc::clone(&topic),
            partition: PartitionIndex(index),
        });
        let all: Vec<_> = all.map(|partition| (partition, to)).collect();
        self.assign(all).await
    }

    /// Lets partitions go, with what was fetched of them.
    pub fn unassign<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        for partition in partitions {
            self.forget_fetched(partition);
            self.inner.state().buffer.remove(partition);
        }
        self.inner.ring_all();
    }

    /// The partitions that were taken in.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        let state = self.inner.state();
        state.buffer.iter().map(|(p, _)| p.clone()).collect()
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// [`ConsumeError`] where there is no such topic.
    pub async fn partitions(&self, topic: &Arc<str>) -> Result<usize, ConsumeError> {
        let shared = &self.inner.shared;
        match shared.topic(topic, shared.deadline()).await {
            Ok(metadata) => Ok(metadata.partitions.len()),
            Err(TopicError::Request(error)) => Err(error.into()),
            Err(TopicError::Broker(error)) => Err(ConsumeError::Topic {
                topic: Arc::clone(topic),
                error,
            }),
        }
    }

    /// Moves a partition; the offset found is the next one handed out, if it exists.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`], or what kept the place from being found.
    pub async fn seek(
        &mut self,
        partition: &TopicPartition,
        to: SeekTo,
    ) -> Result<Offset, ConsumeError> {
        if self.inner.state().buffer.get(partition).is_none() {
            return Err(not_assigned(partition));
        }
        let found = self.resolve(vec![(partition.clone(), to)]).await?;
        let Some(offset) = found.get(partition).copied() else {
            return Err(not_assigned(partition));
        };
        self.move_to(partition, offset);
        self.inner.fetch_from_leaders();
        Ok(offset)
    }

    /// Holds the records of partitions back; what was fetched stays.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn pause<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<(), ConsumeError> {
        self.set_paused(partitions, true)
    }

    /// Goes on with paused partitions.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn resume<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<(), ConsumeError> {
        self.set_paused(partitions, false)
    }

    fn set_paused<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        is_paused: bool,
    ) -> Result<(), ConsumeError> {
        for partition in partitions {
            self.put_back(partition);
            if !self.inner.state().buffer.set_paused(partition, is_paused) {
                return Err(not_assigned(partition));
            }
        }
        self.inner.ring_all();
        Ok(())
    }

    /// The offset that is handed out next; it also passes offsets that hold no record.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        let state = self.inner.state();
        state.buffer.get(partition).map(|part| part.position)
    }

    /// Where replicated records end, as the last answer said.
    #[must_use]
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.inner.state().buffer.get(partition)?.high_watermark
    }

    /// Where the log starts, as the last answer said.
    #[must_use]
    pub fn log_start(&self, partition: &TopicPartition) -> Option<Offset> {
        self.inner.state().buffer.get(partition)?.log_start
    }

    /// The high watermark of every assigned partition, asked for now.
    ///
    /// # Errors
    /// [`ConsumeError`] of the first partition that has none.
    pub async fn end_offsets(&self) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        let all = self.assignment().into_iter();
        self.resolve(all.map(|partition| (partition, SeekTo::Latest)).collect())
            .await
    }

    /// The next record; waits for one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ConsumeError`]; the consumer can be used on.
    pub async fn next(&mut self) -> Result<ConsumerRecord, ConsumeError> {
        std::future::poll_fn(|context| self.poll_record(context)).await
    }

    /// The next batch; waits for one. The fast way: its records are looked at where they lie. A
    /// batch may turn out to hold no record that counts; the position passes it all the same.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ConsumeError`]; the consumer can be used on.
    pub async fn next_batch(&mut self) -> Result<FetchedBatch, ConsumeError> {
        std::future::poll_fn(|context| self.poll_batch(context)).await
    }

    /// Takes partitions in at offsets that are known; their topics' metadata must be, too.
    pub(crate) fn take_in(&mut self, starts: &[(TopicPartition, Offset)]) {
        for (partition, offset) in starts {
            self.move_to(partition, *offset);
        }
        self.inner.fetch_from_leaders();
    }

    /// Takes a partition in that nobody knows a place for: it waits for a seek, and the reader is
    /// told why.
    pub(crate) fn take_in_halted(&mut self, partition: &TopicPartition, error: ConsumeError) {
        self.move_to(partition, Offset::ZERO);
        let mut state = self.inner.state();
        state.buffer.forget_place(partition);
        state.buffer.halt(partition, error);
    }

    /// The position of every partition that waits for no seek.
    pub(crate) fn positions(&self) -> BTreeMap<TopicPartition, Offset> {
        let state = self.inner.state();
        let usable = state.buffer.iter().filter(|(_, part)| !part.is_placeless());
        usable.map(|(p, part)| (p.clone(), part.position)).collect()
    }

    pub(crate) fn poll_batch(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<FetchedBatch, ConsumeError>> {
        // A batch that `next` has begun is given whole only from where it stands.
        if let Some(mut current) = self.current.take() {
            let (partition, generation) = (current.batch.partition().clone(), current.generation);
            let position = self.position(&partition).unwrap_or_default();
            self.made.clear();
            self.inner
                .advance(&partition, generation, current.batch.next_offset());
            current.batch.skip_to(position);
            return Poll::Ready(Ok(current.batch));
        }
        if let Some(error) = self.pending_error.take() {
            return Poll::Ready(Err(error));
        }
        match self.poll_fetched(context) {
            Poll::Ready(Ok((batch, generation))) => {
                self.inner
                    .advance(batch.partition(), generation, batch.next_offset());
                Poll::Ready(Ok(batch))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_fetched(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(FetchedBatch, u64), ConsumeError>> {
        let next = match self.inner.poll_next(context) {
            Poll::Ready(next) => next,
            Poll::Pending => return Poll::Pending,
        };
        let (partition, raw, position, generation) = match next {
            Next::Batch {
                partition,
                raw,
                position,
                generation,
            } => (partition, raw, position, generation),
            Next::Error(error) => return Poll::Ready(Err(error)),
        };
        let settings = &self.inner.settings;
        let opened = FetchedBatch::open(
            partition.clone(),
            &raw,
            position,
            settings.is_crc_checked,
            settings.decompressed_bytes_max,
            &mut self.decompressor,
        );
        if opened.is_err() {
            self.inner.state().buffer.stop(&partition, generation);
        }
        Poll::Ready(opened.map(|batch| (batch, generation)))
    }

    pub(crate) fn poll_record(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<ConsumerRecord, ConsumeError>> {
        loop {
            if let Some(record) = self.made.pop_front() {
                self.passed(&record);
                return Poll::Ready(Ok(record));
            }
            if let Some(error) = self.pending_error.take() {
                return Poll::Ready(Err(error));
            }
            if self.make_records() {
                continue;
            }
            match self.poll_fetched(context) {
                Poll::Ready(Ok((batch, generation))) => {
                    let left = if batch.is_control() {
                        0
                    } else {
                        batch.header().record_count
                    };
                    self.current = Some(Current {
                        batch,
                        generation,
                        at: 0,
                        left,
                    });
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Makes the next records of the current batch; false where there is no current batch.
    fn make_records(&mut self) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        if current.left > 0 {
            let taken =
                current
                    .batch
                    .take(current.at, current.left, RECORDS_AT_ONCE, &mut self.made);
            match taken {
                Ok((bytes, records)) if records > 0 => {
                    current.at += bytes;
                    current.left -= records;
                    return true;
                }
                Ok(_) => current.left = 0,
                Err(error) => {
                    let partition = current.batch.partition().clone();
                    let generation = current.generation;
                    self.current = None;
                    self.pending_error = Some(error);
                    self.inner.state().buffer.stop(&partition, generation);
                    return true;
                }
            }
        }
        // Behind the last record the position passes holes, too.
        let (partition, generation) = (current.batch.partition(), current.generation);
        self.inner
            .advance(partition, generation, current.batch.next_offset());
        self.current = None;
        true
    }

    fn passed(&mut self, record: &ConsumerRecord) {
        let Some(current) = &self.current else {
            return;
        };
        let next = record.offset.next();
        self.inner
            .advance(current.batch.partition(), current.generation, next);
    }

    /// Drops what was fetched and not handed out of a partition that moves.
    fn forget_fetched(&mut self, partition: &TopicPartition) {
        let is_current = |current: &Current| current.batch.partition() == partition;
        if self.current.as_ref().is_some_and(is_current) {
            self.current = None;
            self.made.clear();
        }
    }

    /// Gives the rest of a batch that is being read back, so that a pause takes effect at once.
    fn put_back(&mut self, partition: &TopicPartition) {
        let is_current = |current: &Current| current.batch.partition() == partition;
        if self.current.as_ref().is_some_and(is_current) {
            self.forget_fetched(partition);
            let mut state = self.inner.state();
            let position = state.buffer.get(partition).map(|part| part.position);
            if let Some(position) = position {
                state.buffer.seek(partition, position);
            }
        }
    }

    fn move_to(&mut self, partition: &TopicPartition, offset: Offset) {
        self.forget_fetched(partition);
        self.inner.state().buffer.seek(partition, offset);
    }

    /// Finds the offsets that places stand for.
    async fn resolve(
        &self,
        places: Vec<(TopicPartition, SeekTo)>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        let mut found = BTreeMap::new();
        let mut asked = Vec::new();
        for (partition, to) in places {
            match to {
                SeekTo::Offset(offset) if offset.0 < 0 => {
                    return Err(ConsumeError::Config {
                        reason: format!("{partition}: offset {offset} is negative"),
                    });
                }
                SeekTo::Offset(offset) => {
                    found.insert(partition, offset);
                }
                SeekTo::Earliest => asked.push((partition, OffsetSpec::Earliest)),
                SeekTo::Latest => asked.push((partition, OffsetSpec::Latest)),
                SeekTo::Timestamp(time) => asked.push((partition, OffsetSpec::Timestamp(time))),
            }
        }
        let mut late = Vec::new();
        for (partition, answer) in list_offsets(&self.inner.shared, asked).await {
            match answer.map_err(|error| refused(&partition, error))?.offset {
                Some(offset) => {
                    found.insert(partition, offset);
                }
                // No record is that late: what is written from now on is.
                None => late.push((partition, OffsetSpec::Latest)),
            }
        }
        for (partition, answer) in list_offsets(&self.inner.shared, late).await {
            let answer = answer.map_err(|error| refused(&partition, error))?;
            found.insert(partition, answer.offset.unwrap_or(Offset::ZERO));
        }
        Ok(found)
    }
}

impl Stream for Consumer {
    type Item = Result<ConsumerRecord, ConsumeError>;

    /// Never ends: behind the last record it waits for the next.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_record(context).map(Some)
    }
}

fn not_assigned(partition: &TopicPartition) -> ConsumeError {
    ConsumeError::NotAssigned {
        partition: partition.clone(),
    }
}

fn refused(partition: &TopicPartition, error: AdminError) -> ConsumeError {
    let error = match error {
        AdminError::Request(error) => return ConsumeError::Request(error),
        AdminError::Broker(error) => error,
        other => BrokerError {
            code: ErrorCode::UnknownServerError,
            message: Some(other.to_string()),
        },
    };
    ConsumeError::Partition {
        partition: partition.clone(),
        error,
    }
}
