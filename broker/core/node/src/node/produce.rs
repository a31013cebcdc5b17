//! Produce: each batch is appended to its replica and answered when the acks it asks for are
//! true.

use super::Node;
use crate::{
    config::Mutants,
    event::{Effect, RequestId},
    gate::When,
    limits::TIMEOUT_MS_MAX,
    request::{Acks, Answer, PartitionKey, ProduceAsk, ProducePart, ProduceResult},
};
use alloc::{string::String, sync::Arc, vec::Vec};
use weir_meta::TopicConfig;
use weir_replica::{AppendRules, Outcome, Sequences};
use weir_types::{ErrorCode, LeaderEpoch, Now, Offset, TimestampMs, log::LogCommand};

impl Node {
    pub(super) fn produce(
        &mut self,
        now: Now,
        id: RequestId,
        ask: ProduceAsk,
        effects: &mut Vec<Effect>,
    ) {
        let mut results = Vec::with_capacity(ask.partitions.len());
        let mut conditions = Vec::with_capacity(ask.partitions.len());
        let mut through_plugins = Vec::new();
        for (place, part) in ask.partitions.into_iter().enumerate() {
            let key = part.key;
            if self.ingests(key) {
                match self.await_turn(ask.acks, part) {
                    Ok(ticket) => {
                        conditions.push((When::Judged(ticket), place));
                        results.push(self.refused(key, ErrorCode::None, None));
                        through_plugins.push(key);
                    }
                    Err(refused) => results.push(refused),
                }
                continue;
            }
            let (result, end) = self.append(now, ask.acks, part, effects);
            conditions.extend(end.map(|end| (when(ask.acks, key, end), place)));
            results.push(result);
        }
        let deadline = now.tick + ask.timeout_ms.min(TIMEOUT_MS_MAX);
        let answer = Answer::Produce(results);
        self.answer(id, answer, conditions, Some(deadline), effects);
        for key in through_plugins {
            self.next_ingest(now, key, effects);
        }
    }

    /// Appends one batch; returns what will be answered, and behind which offset it ends.
    pub(super) fn append(
        &mut self,
        now: Now,
        acks: Acks,
        part: ProducePart,
        effects: &mut Vec<Effect>,
    ) -> (ProduceResult, Option<Offset>) {
        let mutants = self.config.mutants;
        if let Err(error) = self.open(part.key) {
            return (self.refused(part.key, error, None), None);
        }
        let open = self.open_mut(part.key).expect("it was open above");
        let rules = AppendRules {
            sequences: part.sequences,
            ..rules(&open.config, acks, &mutants)
        };
        match open.replica.append(now, part.batch, &part.header, &rules) {
            Ok(appended) => {
                let result = ProduceResult {
                    error: ErrorCode::None,
                    message: None,
                    base_offset: appended.base_offset,
                    log_append_time: appended.log_append_time,
                    log_start: open.replica.log_start(),
                    leader_epoch: open.replica.epoch(),
                };
                if let Outcome::New { batch, meta } = appended.outcome {
                    let traffic = &mut open.tally.traffic;
                    traffic.records_in += u64::try_from(part.header.record_count).unwrap_or(0);
                    traffic.bytes_in += u64::from(meta.size_bytes);
                    effects.push(Effect::Log(LogCommand::Append {
                        partition: open.store,
                        batch,
                        meta,
                    }));
                }
                (result, Some(appended.end))
            }
            Err(error) => (
                self.refused(part.key, error.code(), Some(error.text())),
                None,
            ),
        }
    }

    pub(super) fn refused(
        &self,
        key: PartitionKey,
        error: ErrorCode,
        text: Option<String>,
    ) -> ProduceResult {
        let open = self.open(key).ok();
        ProduceResult {
            error,
            message: text.map(Arc::from),
            base_offset: Offset(-1),
            log_append_time: TimestampMs::NONE,
            log_start: open.map_or(Offset(-1), |open| open.replica.log_start()),
            leader_epoch: open.map_or(LeaderEpoch::NONE, |open| open.replica.epoch()),
        }
    }
}

/// When a batch that ends there may be acknowledged.
pub(super) const fn when(acks: Acks, key: PartitionKey, end: Offset) -> When {
    match acks {
        // Nobody is told of acks=0, but the session's place is taken until the batch is on the
        // disk: that is what slows a sender who outruns it.
        Acks::None | Acks::Leader => When::Flushed(key, end),
        Acks::All => When::Replicated(key, end),
    }
}

/// What a topic's settings say about an append.
pub(super) fn rules(config: &TopicConfig, acks: Acks, mutants: &Mutants) -> AppendRules {
    AppendRules {
        log_append_time: config.log_append_time,
        min_insync_replicas: match acks {
            Acks::All => config.min_insync_replicas,
            Acks::None | Acks::Leader => 1,
        },
        sequences: Sequences::Contiguous,
        forget_sequences: mutants.forget_sequences,
    }
}
