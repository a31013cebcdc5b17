//! Batches on their way into topics that have plugins (`weir.ingest`): of a partition one at a
//! time is with the driver, the others wait behind it in the order in which they came. Whether a
//! batch may be appended is judged when its turn comes, so that one that was taken before is
//! answered without going through the plugins again.
//!
//! Nothing here concerns partitions without plugins.

use super::Node;
use crate::{
    event::{Effect, TransformId, TransformRefusal},
    gate::Gate,
    limits::INGEST_WAITING_BYTES_MAX,
    request::{Acks, PartitionKey, ProducePart, ProduceResult},
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::ToString,
    vec::Vec,
};
use weir_replica::AppendRules;
use weir_types::{Batch, BatchHeader, ErrorCode, Now, Offset};

/// A batch that waits for its turn, or is with the driver.
#[derive(Debug)]
struct Waiting {
    ticket: TransformId,
    acks: Acks,
    part: ProducePart,
}

/// All of them on this shard.
#[derive(Debug, Default)]
pub(super) struct Ingest {
    /// In the order in which they came; the first of each is with the driver.
    queues: BTreeMap<PartitionKey, VecDeque<Waiting>>,
    /// Which partition a batch that is with the driver belongs to.
    running: BTreeMap<TransformId, PartitionKey>,
    next: u64,
    bytes: usize,
}

impl Ingest {
    /// How many batches wait or are with the driver.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    fn push(&mut self, acks: Acks, part: ProducePart) -> TransformId {
        let ticket = TransformId(self.next);
        self.next += 1;
        self.bytes += part.batch.size_bytes();
        let queue = self.queues.entry(part.key).or_default();
        queue.push_back(Waiting { ticket, acks, part });
        ticket
    }

    /// The batch whose turn it is, unless it is with the driver.
    fn turn(&self, key: PartitionKey) -> Option<&Waiting> {
        let first = self.queues.get(&key)?.front()?;
        (!self.running.contains_key(&first.ticket)).then_some(first)
    }

    /// Takes the first batch of a partition out.
    fn pop(&mut self, key: PartitionKey) -> Option<Waiting> {
        let queue = self.queues.get_mut(&key)?;
        let first = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&key);
        }
        self.running.remove(&first.ticket);
        self.bytes -= first.part.batch.size_bytes();
        Some(first)
    }

    fn check(&self) {
        let waiting = self.queues.values().flatten();
        let bytes: usize = waiting.map(|waiting| waiting.part.batch.size_bytes()).sum();
        assert_eq!(bytes, self.bytes, "I-NODE-18: what waits is counted");
        assert_eq!(
            self.running.len(),
            self.queues.len(),
            "I-NODE-18: of a partition one batch is with the driver"
        );
        for (key, queue) in &self.queues {
            let first = queue.front().map(|waiting| waiting.ticket);
            let at = first.and_then(|ticket| self.running.get(&ticket));
            assert_eq!(
                at,
                Some(key),
                "I-NODE-18: the first of a partition is with the driver"
            );
            let tickets = queue.iter().map(|waiting| waiting.ticket);
            assert!(tickets.is_sorted(), "I-NODE-18: batches keep their order");
        }
    }
}

impl Node {
    /// Whether a batch for the partition goes through plugins, or behind one that does.
    pub(super) fn ingests(&self, key: PartitionKey) -> bool {
        let attached = self
            .open(key)
            .is_ok_and(|open| open.config.ingest.is_some());
        attached || self.ingest.queues.contains_key(&key)
    }

    /// Puts a batch behind those that came before it; it is looked at by [`Node::next_ingest`].
    pub(super) fn await_turn(
        &mut self,
        acks: Acks,
        part: ProducePart,
    ) -> Result<TransformId, ProduceResult> {
        let bytes = self.ingest.bytes;
        if bytes > 0 && bytes + part.batch.size_bytes() > INGEST_WAITING_BYTES_MAX {
            let text = format!("{bytes} bytes wait for plugins already; try again");
            return Err(self.refused(part.key, ErrorCode::RequestTimedOut, Some(text)));
        }
        Ok(self.ingest.push(acks, part))
    }

    /// Goes on with the batches of a partition until one is with the driver.
    pub(super) fn next_ingest(&mut self, now: Now, key: PartitionKey, effects: &mut Vec<Effect>) {
        while let Some(waiting) = self.ingest.turn(key) {
            let (ticket, acks) = (waiting.ticket, waiting.acks);
            let (header, sequences) = (waiting.part.header, waiting.part.sequences);
            let open = self.open(key);
            let judged = open.map(|open| {
                let rules = AppendRules {
                    sequences,
                    ..super::produce::rules(&open.config, acks, &self.config.mutants)
                };
                let judged = open.replica.judge(&header, &rules);
                (judged, open.config.ingest.is_some())
            });
            if let Ok((Ok(None), true)) = &judged {
                let batch = waiting.part.batch.clone();
                self.ingest.running.insert(ticket, key);
                effects.push(Effect::Transform {
                    ticket,
                    key,
                    batch,
                    header,
                });
                return;
            }
            let Some(Waiting { part, .. }) = self.ingest.pop(key) else {
                return;
            };
            // It is refused, was taken before, or needs no plugins any more: the replica knows.
            let (result, end) = self.append(now, acks, part, effects);
            self.judged(ticket, acks, key, result, end, effects);
        }
    }

    /// The driver took a batch through the plugins, or could not.
    pub(super) fn transformed(
        &mut self,
        now: Now,
        ticket: TransformId,
        result: Result<(Batch, BatchHeader), TransformRefusal>,
        effects: &mut Vec<Effect>,
    ) {
        // Given up meanwhile, with everything else that waited for the partition.
        let Some(key) = self.ingest.running.get(&ticket).copied() else {
            return;
        };
        let Some(Waiting { acks, part, .. }) = self.ingest.pop(key) else {
            return;
        };
        let (result, end) = match result {
            Ok((batch, header)) => self.append_transformed(now, acks, part, batch, header, effects),
            Err(TransformRefusal { error, message }) => {
                (self.refused(key, error, Some(message)), None)
            }
        };
        self.judged(ticket, acks, key, result, end, effects);
        self.next_ingest(now, key, effects);
    }

    fn append_transformed(
        &mut self,
        now: Now,
        acks: Acks,
        part: ProducePart,
        batch: Batch,
        header: BatchHeader,
        effects: &mut Vec<Effect>,
    ) -> (ProduceResult, Option<Offset>) {
        let place = |header: &BatchHeader| {
            (
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
                header.last_offset_delta,
            )
        };
        assert_eq!(
            place(&header),
            place(&part.header),
            "I-NODE-18: a batch that went through plugins is still the same batch"
        );
        let limit = self.open(part.key).map(|open| open.config.batch_bytes_max);
        if let Ok(limit) = limit
            && header.size_bytes > limit
            && header.size_bytes > part.header.size_bytes
        {
            let text = format!(
                "the plugins made {} bytes of the batch; max.message.bytes allows {limit}",
                header.size_bytes
            );
            let error = ErrorCode::MessageTooLarge;
            return (self.refused(part.key, error, Some(text)), None);
        }
        let part = ProducePart {
            batch,
            header,
            ..part
        };
        self.append(now, acks, part, effects)
    }

    /// What became of a batch is known; its part of the answer waits for the disk, if at all.
    fn judged(
        &mut self,
        ticket: TransformId,
        acks: Acks,
        key: PartitionKey,
        result: ProduceResult,
        end: Option<Offset>,
        effects: &mut Vec<Effect>,
    ) {
        let when = end.map(|end| super::produce::when(acks, key, end));
        // Taken out so that the gate can ask where partitions stand.
        let mut gate: Gate = core::mem::take(&mut self.gate);
        gate.judged(ticket, result, when, |key| self.ends(key), effects);
        self.gate = gate;
    }

    /// The partition is gone or led by another: nothing of it waits any longer.
    pub(super) fn give_up_ingest(
        &mut self,
        key: PartitionKey,
        error: ErrorCode,
        effects: &mut Vec<Effect>,
    ) {
        while let Some(Waiting { ticket, acks, .. }) = self.ingest.pop(key) {
            let text = Some(error.text().to_string());
            let result = self.refused(key, error, text);
            self.judged(ticket, acks, key, result, None, effects);
        }
    }

    pub(super) fn check_ingest(&self) {
        self.ingest.check();
        for key in self.ingest.queues.keys() {
            let open = self.open(*key);
            assert!(
                open.is_ok_and(|open| open.replica.leads()),
                "I-NODE-18: batches wait for partitions that are led here"
            );
        }
        self.gate.check_tickets(|ticket| {
            let mut all = self.ingest.queues.values().flatten();
            all.any(|waiting| waiting.ticket == ticket)
        });
    }
}
