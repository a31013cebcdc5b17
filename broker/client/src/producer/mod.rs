//! The producer: records in, batches out, each with a future that tells what became of it.
//!
//! Order within a partition is what it must never lose: see `accumulator`.

mod accumulator;
mod batch;
mod builder;
mod delivery;
mod exchange;
mod lane;
mod murmur;
mod partitioner;
#[cfg(feature = "plugins")]
mod placing;
#[cfg(test)]
mod tests;

pub use builder::{Acks, ProducerBuilder};
pub use delivery::{Delivery, RecordMetadata};
pub use murmur::{murmur2, partition_for_key};
pub use partitioner::{
    DefaultPartitioner, PartitionChoice, PartitionRequest, Partitioner, RoundRobinPartitioner,
    StickyPartitioner,
};

use crate::{
    cluster::shared::{Shared, TopicError},
    error::ProduceError,
    record::Record,
};
use accumulator::{AppendError, Told};
use batch::Body;
use delivery::BatchOutcome;
use lane::Inner;
use std::{sync::Arc, time::Duration};
use weir_types::{PartitionIndex, TimestampMs};

/// Sends records; clones share one memory and one set of connections.
///
/// A producer is idempotent unless told otherwise: however often a batch has to be sent again, its
/// records are in the log once and in order.
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> Result<(), weir_client::ProduceError> {
/// use weir_client::{Compression, Record};
///
/// let producer = client.producer().compression(Compression::Zstd).build()?;
/// for order in 0..1000 {
///     let value = format!("order {order}");
///     let record = Record::new("orders", value.as_bytes()).with_key(b"customer-7");
///     // Dropping the delivery is fine: `flush` tells of every failure.
///     producer.send(record).await?;
/// }
/// producer.flush().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
    /// Ends the tasks when the last clone is gone.
    _alive: Arc<lane::Alive>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("settings", self.inner.state().accumulator.settings())
            .finish_non_exhaustive()
    }
}

/// What keeps a record from being taken at once.
enum Obstacle {
    Topic(Arc<str>),
    Room,
}

impl Producer {
    /// Begins a producer of `client`.
    pub fn builder(client: &crate::Client) -> ProducerBuilder {
        ProducerBuilder::new(client)
    }

    /// Takes a record into its batch and returns; the delivery tells when it has arrived. Waits
    /// only while the topic is not known yet or the producer's memory is full.
    ///
    /// # Errors
    /// [`ProduceError`] where the record cannot be taken: it is too large, the topic or the
    /// partition does not exist, or there was no room within the delivery timeout.
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery, ProduceError> {
        match self.take(&record)? {
            Ok(delivery) => Ok(delivery),
            Err(obstacle) => self.send_slowly(&record, obstacle).await,
        }
    }

    /// As [`Self::send`], but never waits.
    ///
    /// # Errors
    /// [`ProduceError::BufferFull`] and [`ProduceError::TopicNotReady`] where `send` would wait.
    pub fn try_send(&self, record: Record<'_>) -> Result<Delivery, ProduceError> {
        match self.take(&record)? {
            Ok(delivery) => Ok(delivery),
            Err(Obstacle::Topic(topic)) => Err(ProduceError::TopicNotReady { topic }),
            Err(Obstacle::Room) => Err(ProduceError::BufferFull {
                buffer_bytes: self.inner.buffer_bytes,
            }),
        }
    }

    /// How many partitions a topic has, asked for if that is not known yet.
    ///
    /// # Errors
    /// [`ProduceError::Topic`] or [`ProduceError::Request`].
    pub async fn partitions(&self, topic: &str) -> Result<usize, ProduceError> {
        let known = self.inner.state().accumulator.partitions_of(topic);
        if let Some(count) = known {
            return Ok(count);
        }
        self.learn(&Arc::from(topic)).await?;
        let known = self.inner.state().accumulator.partitions_of(topic);
        Ok(known.unwrap_or(0))
    }

    /// Sends everything that lingers and waits until all that was handed in before is done.
    ///
    /// # Errors
    /// The first failure of any record since the last `flush`, whether or not its delivery was
    /// looked at.
    pub async fn flush(&self) -> Result<(), ProduceError> {
        let mut pending = {
            let mut state = self.inner.state();
            let (pending, woken) = state.accumulator.seal_all();
            self.inner.wake(&mut state, woken);
            pending
        };
        while let Some(batch) = pending.pop() {
            let mut slot = None;
            let parts = std::future::poll_fn(|context| {
                batch.poll(context, &mut slot).map(|outcome| match outcome {
                    BatchOutcome::Split { parts, .. } => Some(parts.clone()),
                    _ => None,
                })
            });
            pending.extend(parts.await.into_iter().flatten());
        }
        match self.inner.state().accumulator.take_unreported() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Flushes, then ends the producer; later sends fail.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn close(&self) -> Result<(), ProduceError> {
        let flushed = self.flush().await;
        self.inner.shut();
        flushed
    }

    /// Bytes of records that are not done.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.inner.state().accumulator.used_bytes()
    }

    /// The way every record goes: one lock, one copy into its batch.
    fn take(&self, record: &Record<'_>) -> Result<Result<Delivery, Obstacle>, ProduceError> {
        let (tick, wall) = self.inner.clock.read();
        let timestamp = record.timestamp.unwrap_or(wall);
        if timestamp.0 < -1 || timestamp == TimestampMs::NONE {
            return Err(ProduceError::Config {
                reason: format!("{} is no timestamp", timestamp.0),
            });
        }
        let body = Body {
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let mut state = self.inner.state();
        if state.closed {
            return Err(ProduceError::Closed);
        }
        let Some(partitions) = state.accumulator.partitions_of(record.topic) else {
            return Ok(Err(Obstacle::Topic(Arc::from(record.topic))));
        };
        let choice = match record.partition {
            Some(PartitionIndex(index)) => PartitionChoice::Partition(index),
            None => self.choose(record, u32::try_from(partitions).unwrap_or(u32::MAX))?,
        };
        let (index, sticky) = match choice {
            PartitionChoice::Partition(index) => (index, false),
            PartitionChoice::Sticky => (state.accumulator.stick(record.topic).unwrap_or(0), true),
        };
        let taken = state
            .accumulator
            .append(record.topic, index, timestamp, body, sticky, tick);
        match taken {
            Ok(appended) => {
                if let Some(lane) = appended.wake {
                    self.inner.wake(&mut state, [lane]);
                }
                drop(state);
                Ok(Ok(Delivery::new(appended.batch, appended.index, timestamp)))
            }
            Err(AppendError::Full) => {
                self.inner.wake_all(&mut state);
                Ok(Err(Obstacle::Room))
            }
            Err(AppendError::Refused(error)) => Err(error),
        }
    }

    /// The partition of a record that names none.
    fn choose(
        &self,
        record: &Record<'_>,
        partitions: u32,
    ) -> Result<PartitionChoice, ProduceError> {
        #[cfg(feature = "plugins")]
        if let Some(chosen) = self.chosen_by_topic(record, partitions) {
            return chosen.map(PartitionChoice::Partition);
        }
        Ok(self.inner.partitioner.choose(PartitionRequest {
            topic: record.topic,
            key: record.key,
            value: record.value,
            partitions,
        }))
    }

    /// What the topic's own partitioner chooses, if it has one and this producer runs it.
    #[cfg(feature = "plugins")]
    fn chosen_by_topic(
        &self,
        record: &Record<'_>,
        partitions: u32,
    ) -> Option<Result<i32, ProduceError>> {
        let placing = self.inner.placing.as_ref()?;
        if placing.is_due(record.topic) {
            let (inner, topic) = (Arc::clone(&self.inner), Arc::<str>::from(record.topic));
            self.inner.runtime.spawn(async move {
                let Some(placing) = &inner.placing else {
                    return;
                };
                if let Err(error) = placing.learn(&inner.shared, &topic).await {
                    // The one that is here goes on; the broker says what it makes of its choice.
                    tracing::warn!(%error, "the topic's partitioner cannot be asked for");
                    placing.keep(&topic);
                }
            });
        }
        placing.choose(record.topic, record.key, partitions)
    }

    async fn send_slowly(
        &self,
        record: &Record<'_>,
        mut obstacle: Obstacle,
    ) -> Result<Delivery, ProduceError> {
        let patience = Duration::from_millis(self.inner.delivery_timeout_ms);
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            match obstacle {
                Obstacle::Topic(topic) => self.learn(&topic).await?,
                Obstacle::Room => {
                    let room = self.inner.room.notified();
                    tokio::pin!(room);
                    // Listening before looking again, so that no word is missed.
                    room.as_mut().enable();
                    match self.take(record)? {
                        Ok(delivery) => return Ok(delivery),
                        Err(Obstacle::Room) => {}
                        Err(other) => {
                            obstacle = other;
                            continue;
                        }
                    }
                    if tokio::time::timeout_at(deadline, room).await.is_err() {
                        return Err(ProduceError::BufferFull {
                            buffer_bytes: self.inner.buffer_bytes,
                        });
                    }
                }
            }
            match self.take(record)? {
                Ok(delivery) => return Ok(delivery),
                Err(next) => obstacle = next,
            }
        }
    }

    /// Asks for a topic's partitions.
    async fn learn(&self, topic: &Arc<str>) -> Result<(), ProduceError> {
        let shared: &Arc<Shared> = &self.inner.shared;
        let known = shared.topic(topic, shared.deadline()).await;
        let metadata = known.map_err(|error| match error {
            TopicError::Request(error) => ProduceError::Request(error),
            TopicError::Broker(error) => ProduceError::Topic {
                topic: Arc::clone(topic),
                error,
            },
        })?;
        #[cfg(feature = "plugins")]
        if let Some(placing) = &self.inner.placing {
            placing.learn(shared, topic).await?;
        }
        self.inner.set_topic(topic, &metadata);
        Ok(())
    }
}

/// Tells everybody; must be called without the lock.
fn tell(told: Told) {
    for (batch, outcome) in told {
        batch.complete(outcome);
    }
}
