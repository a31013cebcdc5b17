//! Offsets by position and time, ends of epochs, and the producers of a partition.

use super::{Node, fetch::read_error};
use crate::{
    event::{Effect, RequestId},
    gate::Gate,
    request::{
        Answer, EpochEndAsk, EpochEndResult, FoundOffset, OffsetAsk, OffsetResult, OffsetSpec,
        PartitionKey, ProducerInfo,
    },
    times,
};
use alloc::vec::Vec;
use weir_types::{
    ErrorCode, LeaderEpoch, Offset, Sequence, TimestampMs,
    log::{LogCommand, ReadError, StoredBatch},
};

/// A ListOffsets question that waits for the log.
#[derive(Debug)]
pub(super) struct WaitingLookup {
    asks: Vec<OffsetAsk>,
    results: Vec<OffsetResult>,
    /// Questions the log has not answered.
    open: usize,
}

impl Node {
    pub(super) fn offsets(&mut self, id: RequestId, asks: &[OffsetAsk], effects: &mut Vec<Effect>) {
        let mut lookup = WaitingLookup {
            asks: asks.to_vec(),
            results: Vec::with_capacity(asks.len()),
            open: 0,
        };
        for (part, ask) in asks.iter().enumerate() {
            let result = match self.offset_now(ask) {
                Ok(Some(result)) => result,
                Ok(None) => {
                    if self.ask_log(id, part, ask, effects) {
                        lookup.open += 1;
                    }
                    found(FoundOffset::Nothing, LeaderEpoch::NONE)
                }
                Err(error) => failed(error),
            };
            lookup.results.push(result);
        }
        if lookup.open == 0 {
            Gate::answer_now(id, Answer::Offsets(lookup.results), effects);
        } else {
            self.lookups.insert(id, lookup);
        }
    }

    /// What can be said without the log.
    fn offset_now(&self, ask: &OffsetAsk) -> Result<Option<OffsetResult>, ErrorCode> {
        let replica = &self.open(ask.key)?.replica;
        replica.check_leader(ask.current_leader_epoch)?;
        let at = |offset, epoch| found(FoundOffset::At(offset, TimestampMs::NONE), epoch);
        Ok(match ask.spec {
            OffsetSpec::Earliest => {
                let start = replica.log_start();
                Some(at(start, replica.epoch_at(start)))
            }
            OffsetSpec::Latest => Some(at(replica.high_watermark(), replica.last_epoch())),
            OffsetSpec::MaxTimestamp | OffsetSpec::Time(_) => None,
        })
    }

    /// Asks the log for the batch; returns whether there is anything to ask for.
    fn ask_log(
        &mut self,
        id: RequestId,
        part: usize,
        ask: &OffsetAsk,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Ok(open) = self.open(ask.key) else {
            return false;
        };
        let (partition, below) = (open.store, open.replica.high_watermark());
        let largest = open.replica.max_timestamp();
        let command = match ask.spec {
            OffsetSpec::Time(timestamp) => LogCommand::FindTime {
                token: self.token(id, part),
                partition,
                timestamp,
                below,
            },
            _ => match largest {
                Some((_, from)) if from < below => LogCommand::Read {
                    token: self.token(id, part),
                    partition,
                    from,
                    below,
                    bytes_max: 1,
                },
                _ => return false,
            },
        };
        effects.push(Effect::Log(command));
        true
    }

    /// The log read the batch with the largest timestamp.
    pub(super) fn lookup_read(
        &mut self,
        id: RequestId,
        part: usize,
        batches: Result<Vec<StoredBatch>, ReadError>,
        effects: &mut Vec<Effect>,
    ) {
        let batch = batches.map(|batches| batches.into_iter().next());
        self.time_found(id, part, batch, effects);
    }

    /// The log found a batch, or that there is none.
    pub(super) fn time_found(
        &mut self,
        id: RequestId,
        part: usize,
        batch: Result<Option<StoredBatch>, ReadError>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(ask) = self.lookups.get(&id).map(|lookup| lookup.asks[part]) else {
            return;
        };
        let start = self.open(ask.key).map(|open| open.replica.log_start());
        let result = match (batch, start) {
            (Ok(None), _) => found(FoundOffset::Nothing, LeaderEpoch::NONE),
            (Ok(Some(batch)), Ok(start)) => match times::look(batch, ask.spec, start) {
                Some((result, epoch)) => found(result, epoch),
                None => failed(ErrorCode::CorruptMessage),
            },
            (Err(error), _) => failed(read_error(&error)),
            (_, Err(error)) => failed(error),
        };
        let Some(lookup) = self.lookups.get_mut(&id) else {
            return;
        };
        lookup.results[part] = result;
        lookup.open -= 1;
        if lookup.open == 0
            && let Some(lookup) = self.lookups.remove(&id)
        {
            Gate::answer_now(id, Answer::Offsets(lookup.results), effects);
        }
    }

    /// Where an epoch ends.
    pub(super) fn epoch_end(&self, ask: &EpochEndAsk) -> EpochEndResult {
        let looked = self.open(ask.key).and_then(|open| {
            open.replica.check_leader(ask.current_leader_epoch)?;
            Ok(open.replica.epoch_end(ask.epoch))
        });
        let end = looked.unwrap_or(None);
        EpochEndResult {
            error: looked.err().unwrap_or(ErrorCode::None),
            epoch: end.map_or(LeaderEpoch::NONE, |end| end.epoch),
            end: end.map_or(Offset(-1), |end| end.end),
        }
    }

    /// The idempotent producers of a partition.
    pub(super) fn producers(&self, key: PartitionKey) -> Result<Vec<ProducerInfo>, ErrorCode> {
        let replica = &self.open(key)?.replica;
        replica.check_leader(None)?;
        let info = |(id, entry): (_, &weir_types::producer::ProducerEntry)| ProducerInfo {
            id,
            epoch: entry.epoch,
            last_sequence: entry
                .batches
                .back()
                .map_or(Sequence(-1), |batch| batch.last_sequence),
            last_append: entry.last_append,
        };
        Ok(replica.producers().iter().map(info).collect())
    }
}

const fn found(found: FoundOffset, leader_epoch: LeaderEpoch) -> OffsetResult {
    OffsetResult {
        error: ErrorCode::None,
        leader_epoch,
        found,
    }
}

const fn failed(error: ErrorCode) -> OffsetResult {
    OffsetResult {
        error,
        leader_epoch: LeaderEpoch::NONE,
        found: FoundOffset::Nothing,
    }
}
