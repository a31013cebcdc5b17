//! How attempts end: what becomes of a batch, and of those behind it.
//!
//! See the module above for how order is kept; time is handed in here, too.

use super::{Accumulator, Attempt, BatchData, BatchOutcome, Entry, LaneId, Slot, Told, failed};
use crate::{
    error::ProduceError,
    producer::{batch::FinishedBatch, delivery::BatchCompletion},
};
use std::sync::Arc;
use weir_types::Tick;

impl Accumulator {
    /// Says how an attempt ended. Returns the lane that may go on with the partition.
    pub(in crate::producer) fn attempted(
        &mut self,
        slot: Slot,
        id: u64,
        attempt: Attempt,
        now: Tick,
        told: &mut Told,
    ) -> Option<LaneId> {
        let idempotent = self.settings.idempotent;
        let partition = self.partitions.get_mut(slot)?;
        let place = partition.queue.iter().position(|entry| entry.id == id)?;
        partition.in_flight = partition.in_flight.saturating_sub(1);
        let lane = partition.lane();
        match attempt {
            Attempt::Acked {
                base_offset,
                log_append_time,
            } => {
                let outcome = BatchOutcome::Acked {
                    base_offset,
                    log_append_time,
                };
                self.remove(slot, place, outcome, told);
            }
            Attempt::Split { halves } => self.split(slot, place, halves, told),
            Attempt::Failed { error, culprits } => {
                self.remove(slot, place, BatchOutcome::Failed { error, culprits }, told);
            }
            Attempt::Gap { batch, cause } if idempotent => {
                partition.renumber |= place == 0;
                self.put_back(slot, place, batch, cause, now, told);
            }
            Attempt::Fenced { batch, cause } if idempotent => {
                partition.renumber = true;
                if partition.identity == self.identity {
                    self.identity = None;
                }
                self.put_back(slot, place, batch, cause, now, told);
            }
            Attempt::Retry { batch, cause }
            | Attempt::Gap { batch, cause }
            | Attempt::Fenced { batch, cause } => {
                self.put_back(slot, place, batch, cause, now, told);
            }
        }
        lane
    }

    /// Puts the halves of a batch in its place, under the sequences it had: the broker has
    /// appended nothing of it.
    fn split(
        &mut self,
        slot: Slot,
        place: usize,
        halves: [(FinishedBatch, i32); 2],
        told: &mut Told,
    ) {
        let partition = &mut self.partitions[slot];
        partition.recovering = true;
        let Some(whole) = partition.queue.remove(place) else {
            return;
        };
        let index = partition.name.partition;
        let parts = [BatchCompletion::new(index), BatchCompletion::new(index)];
        let [(_, first_count), _] = &halves;
        let outcome = BatchOutcome::Split {
            at: *first_count,
            parts: parts.clone(),
        };
        let mut sequence = whole.sequence;
        let mut memory_bytes = whole.memory_bytes;
        for (step, ((batch, count), completion)) in halves.into_iter().zip(parts).enumerate() {
            self.next_id += 1;
            // The second half takes what the first has left.
            let share = if step == 0 {
                memory_bytes / 2
            } else {
                memory_bytes
            };
            memory_bytes -= share;
            let entry = Entry {
                id: self.next_id,
                data: Some(BatchData::Built(batch)),
                count,
                memory_bytes: share,
                opened: whole.opened,
                sequence,
                attempts: 0,
                completion,
                last_cause: None,
            };
            partition.queue.insert(place + step, entry);
            sequence = sequence.map(|sequence| sequence.plus(count));
        }
        told.push((whole.completion, outcome));
    }

    fn put_back(
        &mut self,
        slot: Slot,
        place: usize,
        batch: FinishedBatch,
        cause: Arc<str>,
        now: Tick,
        told: &mut Told,
    ) {
        let timeout_ms = self.settings.delivery_timeout_ms;
        let (first, most) = (self.settings.backoff_ms, self.settings.backoff_max_ms);
        let partition = &mut self.partitions[slot];
        partition.recovering = true;
        let name = partition.name.clone();
        let Some(entry) = partition.queue.get_mut(place) else {
            return;
        };
        if entry.opened + timeout_ms <= now {
            let error = ProduceError::DeliveryTimeout {
                partition: name,
                timeout_ms,
                cause,
            };
            self.remove(slot, place, failed(error), told);
            return;
        }
        let pause = first.saturating_mul(1 << entry.attempts.min(16)).min(most);
        entry.attempts += 1;
        entry.data = Some(BatchData::Built(batch));
        entry.last_cause = Some(cause);
        partition.blocked_until = partition.blocked_until.max(now + pause);
    }

    fn remove(&mut self, slot: Slot, place: usize, outcome: BatchOutcome, told: &mut Told) {
        let Some(entry) = self.partitions[slot].queue.remove(place) else {
            return;
        };
        self.used_bytes = self.used_bytes.saturating_sub(entry.memory_bytes);
        if let BatchOutcome::Failed { error, .. } = &outcome {
            self.unreported.get_or_insert_with(|| error.clone());
        }
        told.push((entry.completion, outcome));
    }

    /// Lets go of batches whose delivery timeout has passed, except those under way.
    pub(in crate::producer) fn expire(&mut self, now: Tick, told: &mut Told) {
        let timeout_ms = self.settings.delivery_timeout_ms;
        for slot in 0..self.partitions.len() {
            let partition = &mut self.partitions[slot];
            if let Some(open) = &partition.open
                && open.opened + timeout_ms <= now
            {
                partition.seal(&mut self.next_id);
            }
            while let Some(place) = self.partitions[slot]
                .queue
                .iter()
                .position(|entry| entry.data.is_some() && entry.opened + timeout_ms <= now)
            {
                let error = self.timeout_of(slot, place);
                self.remove(slot, place, failed(error), told);
            }
        }
    }

    fn timeout_of(&self, slot: Slot, place: usize) -> ProduceError {
        let partition = &self.partitions[slot];
        let cause = partition.queue[place].last_cause.clone();
        let waiting = if partition.leader.is_none() {
            "the partition has no leader"
        } else if self.wants_identity() {
            "no producer id could be had"
        } else {
            "the broker could not be reached or is too slow"
        };
        ProduceError::DeliveryTimeout {
            partition: partition.name.clone(),
            timeout_ms: self.settings.delivery_timeout_ms,
            cause: cause.unwrap_or_else(|| Arc::from(waiting)),
        }
    }

    /// Ends every open batch, so that it goes out at once. Returns what is not done yet and the
    /// lanes to wake.
    pub(in crate::producer) fn seal_all(&mut self) -> (Vec<Arc<BatchCompletion>>, Vec<LaneId>) {
        let (mut pending, mut woken) = (Vec::new(), Vec::new());
        for slot in 0..self.partitions.len() {
            let partition = &mut self.partitions[slot];
            partition.seal(&mut self.next_id);
            pending.extend(partition.queue.iter().map(|e| Arc::clone(&e.completion)));
            if !partition.queue.is_empty() {
                woken.extend(partition.listed);
                woken.extend(self.list(slot));
            }
        }
        (pending, woken)
    }

    /// Fails everything that is not done (the producer is closed).
    pub(in crate::producer) fn abandon(&mut self, error: &ProduceError, told: &mut Told) {
        for slot in 0..self.partitions.len() {
            self.partitions[slot].seal(&mut self.next_id);
            while !self.partitions[slot].queue.is_empty() {
                self.remove(slot, 0, failed(error.clone()), told);
            }
        }
    }

    /// The first failure since the last call.
    pub(in crate::producer) fn take_unreported(&mut self) -> Option<ProduceError> {
        self.unreported.take()
    }

    /// Bytes of records that are not done.
    pub(in crate::producer) fn used_bytes(&self) -> usize {
        self.used_bytes
    }
}
