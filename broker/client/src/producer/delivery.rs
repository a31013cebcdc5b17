//! What `send` gives back: a future of the record's place. All records of a batch share one
//! completion; a delivery is a pointer to it and the record's index.
//!
//! Nothing here allocates for a record, and a dropped delivery changes nothing.

use crate::error::ProduceError;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};
use weir_types::{Offset, PartitionIndex, TimestampMs};

/// Where a record was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset; -1 with `acks=0`, and where the broker no longer knows the offset of a batch it
    /// had already.
    pub offset: Offset,
    /// Its timestamp: the broker's where the topic keeps log-append time, else the producer's.
    pub timestamp: TimestampMs,
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub(crate) enum BatchOutcome {
    /// It was appended.
    Acked {
        base_offset: Offset,
        log_append_time: TimestampMs,
    },
    /// It was not, or nobody knows.
    Failed {
        error: ProduceError,
        /// Records that the broker named as the cause (KIP-467).
        culprits: Arc<[i32]>,
    },
    /// It was too large for its topic and goes on as two: records below `at`, and the others.
    Split {
        at: i32,
        parts: [Arc<BatchCompletion>; 2],
    },
}

/// Shared by all records of one batch.
#[derive(Debug)]
pub(crate) struct BatchCompletion {
    partition: PartitionIndex,
    outcome: OnceLock<BatchOutcome>,
    waiting: Mutex<Vec<Waker>>,
}

impl BatchCompletion {
    pub(crate) fn new(partition: PartitionIndex) -> Arc<Self> {
        Arc::new(Self {
            partition,
            outcome: OnceLock::new(),
            waiting: Mutex::new(Vec::new()),
        })
    }

    /// Tells every record of the batch; only the first word counts.
    pub(crate) fn complete(&self, outcome: BatchOutcome) {
        if self.outcome.set(outcome).is_err() {
            return;
        }
        let waiting = std::mem::take(&mut *self.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn outcome(&self) -> Option<&BatchOutcome> {
        self.outcome.get()
    }

    /// Polls for the batch as a whole; `slot` keeps the caller's place in the waiting list.
    pub(crate) fn poll(
        &self,
        context: &mut Context<'_>,
        slot: &mut Option<usize>,
    ) -> Poll<&BatchOutcome> {
        if let Some(outcome) = self.outcome.get() {
            return Poll::Ready(outcome);
        }
        let mut waiting = self.lock();
        // Set between the look above and the lock: nobody would wake us.
        if let Some(outcome) = self.outcome.get() {
            return Poll::Ready(outcome);
        }
        match slot.and_then(|slot| waiting.get_mut(slot)) {
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                *slot = Some(waiting.len());
                waiting.push(context.waker().clone());
            }
        }
        Poll::Pending
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The future of a record that was handed to a producer: ready when a broker has acknowledged it
/// or it failed for good. Dropping it does not take the record back; [`crate::Producer::flush`]
/// tells of every failure.
#[derive(Debug)]
pub struct Delivery {
    pub(crate) batch: Arc<BatchCompletion>,
    pub(crate) index: i32,
    pub(crate) timestamp: TimestampMs,
    pub(crate) slot: Option<usize>,
}

impl Delivery {
    pub(crate) fn new(batch: Arc<BatchCompletion>, index: i32, timestamp: TimestampMs) -> Self {
        Self {
            batch,
            index,
            timestamp,
            slot: None,
        }
    }

    /// The partition the record goes to, known before it is delivered.
    #[must_use]
    pub fn partition(&self) -> PartitionIndex {
        self.batch.partition
    }

    /// The result, if it is there already.
    #[must_use]
    pub fn try_result(&self) -> Option<Result<RecordMetadata, ProduceError>> {
        let (mut batch, mut index) = (&self.batch, self.index);
        loop {
            match batch.outcome()? {
                BatchOutcome::Split { at, parts } => {
                    (batch, index) = part_of(*at, parts, index);
                }
                outcome => return Some(self.result(outcome, index)),
            }
        }
    }

    fn result(&self, outcome: &BatchOutcome, index: i32) -> Result<RecordMetadata, ProduceError> {
        match outcome {
            BatchOutcome::Acked {
                base_offset,
                log_append_time,
            } => Ok(RecordMetadata {
                partition: self.batch.partition,
                offset: if base_offset.0 < 0 {
                    *base_offset
                } else {
                    base_offset.plus(i64::from(index))
                },
                timestamp: if *log_append_time == TimestampMs::NONE {
                    self.timestamp
                } else {
                    *log_append_time
                },
            }),
            BatchOutcome::Failed { error, culprits } => {
                let mut error = error.clone();
                if let ProduceError::Refused { culprit, .. } = &mut error {
                    *culprit = culprits.contains(&index);
                }
                Err(error)
            }
            // Callers follow the parts first.
            BatchOutcome::Split { .. } => Err(ProduceError::Closed),
        }
    }
}

/// The part of a split batch that holds a record, and the record's index there.
fn part_of(at: i32, parts: &[Arc<BatchCompletion>; 2], index: i32) -> (&Arc<BatchCompletion>, i32) {
    let [first, second] = parts;
    if index < at {
        (first, index)
    } else {
        (second, index - at)
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ProduceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let Self { batch, slot, .. } = &mut *self;
            let batch = Arc::clone(batch);
            match batch.poll(context, slot) {
                Poll::Ready(BatchOutcome::Split { at, parts }) => {
                    let (part, index) = part_of(*at, parts, self.index);
                    self.batch = Arc::clone(part);
                    self.index = index;
                    self.slot = None;
                }
                Poll::Ready(outcome) => return Poll::Ready(self.result(outcome, self.index)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
