//! The state of one partition replica and its transitions.
//!
//! `log_start <= high_watermark <= log_end`, `flushed_end <= log_end`, and on a leader
//! `high_watermark <= flushed_end` of every in-sync replica; ends are exclusive.

use crate::{
    append::{
        AppendError, AppendRules, Appended, Outcome, Sequences, check_sequence, is_behind,
        last_sequence, place,
    },
    epochs::EpochHistory,
};
use alloc::collections::{BTreeMap, VecDeque};
use weir_types::{
    Batch, BatchHeader, ErrorCode, LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId, Sequence,
    TimestampMs,
    log::LogState,
    producer::{ProducedBatch, ProducerTable},
};

/// Where a leader epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch that is not larger than the one asked for.
    pub epoch: LeaderEpoch,
    /// The offset behind its last record.
    pub end: Offset,
}

/// What a failure of the disk cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Everything from here on is gone.
    pub from: Offset,
    /// Records that were replicated are gone too: the disk lost what it had flushed.
    pub below_high_watermark: bool,
}

/// One partition on this broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The partition's current leader epoch.
    epoch: LeaderEpoch,
    /// Whether this broker leads it.
    leads: bool,
    /// How many replicas are in sync, this one included.
    insync: usize,
    log_start: Offset,
    log_end: Offset,
    flushed_end: Offset,
    high_watermark: Offset,
    epochs: EpochHistory,
    producers: ProducerTable,
    /// Producers whose batches a failed disk lost: they must begin again with the first of those.
    /// Whatever else of theirs was on its way comes too early, which of those of whom something is
    /// left their sequences tell, unless these only ascend.
    awaited: BTreeMap<ProducerId, Awaited>,
    max_timestamp: Option<(TimestampMs, Offset)>,
    /// Timestamps and offsets of the batches that are not flushed, without those that a later
    /// one outdoes: the first is the largest.
    unflushed_max: VecDeque<(TimestampMs, Offset)>,
    size_bytes: u64,
}

/// The batch with which a producer must begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Awaited {
    epoch: ProducerEpoch,
    sequence: Sequence,
    /// The sequence of its last record.
    end: Sequence,
    last_append: TimestampMs,
}

impl Replica {
    /// A replica of what the log holds, which does not lead yet.
    #[must_use]
    pub fn open(state: LogState) -> Self {
        Self {
            epoch: LeaderEpoch::NONE,
            leads: false,
            insync: 0,
            log_start: state.start,
            log_end: state.end,
            flushed_end: state.end,
            high_watermark: state.start,
            epochs: EpochHistory::new(state.epochs),
            producers: state.producers,
            awaited: BTreeMap::new(),
            max_timestamp: state.max_timestamp,
            unflushed_max: VecDeque::new(),
            size_bytes: state.size_bytes,
        }
    }

    /// This broker leads the partition in `epoch`, with `insync` replicas in sync.
    /// Returns whether the high watermark moved.
    pub fn lead(&mut self, epoch: LeaderEpoch, insync: usize) -> bool {
        assert!(insync > 0, "a leader is in sync with itself");
        assert!(epoch >= self.epoch, "I-REP-5: leader epochs only grow");
        if !self.leads || epoch > self.epoch {
            self.epochs.begin(epoch, self.log_end);
        }
        self.epoch = epoch;
        self.leads = true;
        self.insync = insync;
        self.advance_high_watermark()
    }

    /// Another broker leads the partition, or none.
    pub fn resign(&mut self, epoch: LeaderEpoch) {
        self.epoch = epoch.max(self.epoch);
        self.leads = false;
        self.insync = 0;
    }

    /// Takes a batch that was validated: gives it its offsets, or finds it to be a duplicate.
    ///
    /// # Errors
    /// [`AppendError`]; nothing has changed then.
    pub fn append(
        &mut self,
        now: Now,
        mut batch: Batch,
        header: &BatchHeader,
        rules: &AppendRules,
    ) -> Result<Appended, AppendError> {
        if let Some(duplicate) = self.judge(header, rules)? {
            return Ok(duplicate);
        }
        if self.log_end.0 > i64::MAX - i64::from(header.last_offset_delta) - 1 {
            return Err(AppendError::Full);
        }
        let base_offset = self.log_end;
        let meta = place(&mut batch, base_offset, self.epoch, rules, now.wall);
        assert_eq!(
            meta.base_offset, self.log_end,
            "I-REP-2: offsets have no gaps"
        );
        self.log_end = meta.next_offset();
        self.producers.apply(&meta);
        self.awaited.remove(&meta.producer_id);
        self.size_bytes += u64::from(meta.size_bytes);
        if self
            .max_timestamp
            .is_none_or(|(max, _)| meta.max_timestamp > max)
        {
            self.max_timestamp = Some((meta.max_timestamp, base_offset));
        }
        while let Some((time, _)) = self.unflushed_max.back()
            && *time < meta.max_timestamp
        {
            self.unflushed_max.pop_back();
        }
        self.unflushed_max
            .push_back((meta.max_timestamp, base_offset));
        Ok(Appended {
            base_offset,
            end: self.log_end,
            log_append_time: meta.answered_timestamp(),
            outcome: Outcome::New { batch, meta },
        })
    }

    /// What would become of a batch: nothing if it is new, what is to be answered if it was taken
    /// before. Changes nothing, so that whoever takes a batch through a plugin may ask first.
    ///
    /// # Errors
    /// [`AppendError`], if it may not be appended.
    pub fn judge(
        &self,
        header: &BatchHeader,
        rules: &AppendRules,
    ) -> Result<Option<Appended>, AppendError> {
        if !self.leads {
            return Err(AppendError::NotLeader);
        }
        if self.insync < rules.min_insync_replicas {
            return Err(AppendError::NotEnoughReplicas {
                insync: self.insync,
                wanted: rules.min_insync_replicas,
            });
        }
        if rules.forget_sequences {
            return Ok(None);
        }
        let awaited = self.awaited.get(&header.producer_id);
        let awaited = awaited.filter(|awaited| awaited.epoch == header.producer_epoch);
        if rules.sequences == Sequences::Contiguous && !self.remembers(header.producer_id) {
            check_awaited(awaited, header)?;
        }
        let duplicate = check_sequence(&self.producers, header, rules.sequences)?;
        assert!(
            duplicate.as_ref().is_none_or(|d| d.end <= self.log_end),
            "I-REP-4: a remembered batch is in the log"
        );
        if duplicate.is_none() && rules.sequences == Sequences::Ascending {
            check_awaited_again(awaited, header)?;
        }
        Ok(duplicate)
    }

    fn remembers(&self, producer: ProducerId) -> bool {
        self.producers.get(producer).is_some()
    }

    /// Everything below `end` is on this disk. Returns whether the high watermark moved.
    pub fn flushed(&mut self, end: Offset) -> bool {
        assert!(
            end <= self.log_end,
            "I-REP-1: nothing is flushed before it is appended"
        );
        self.flushed_end = self.flushed_end.max(end);
        self.forget_flushed();
        self.leads && self.advance_high_watermark()
    }

    /// Forgets the timestamps of what is flushed: the log tells their largest.
    fn forget_flushed(&mut self) {
        while let Some((_, offset)) = self.unflushed_max.front()
            && *offset < self.flushed_end
        {
            self.unflushed_max.pop_front();
        }
    }

    /// The log starts later; what is flushed of it has `size_bytes` and this largest timestamp.
    pub fn start_moved(
        &mut self,
        start: Offset,
        size_bytes: u64,
        max_timestamp: Option<(TimestampMs, Offset)>,
    ) {
        assert!(start <= self.log_end, "I-REP-1: a start lies in the log");
        self.log_start = self.log_start.max(start);
        self.high_watermark = self.high_watermark.max(self.log_start);
        self.flushed_end = self.flushed_end.max(self.log_start);
        self.size_bytes = size_bytes;
        self.epochs.truncate_start(self.log_start);
        self.forget_flushed();
        let unflushed = self.unflushed_max.front().copied();
        let larger = unflushed.filter(|(time, _)| max_timestamp.is_none_or(|(max, _)| *time > max));
        self.max_timestamp = larger.or(max_timestamp);
    }

    /// The log goes on from `state`: the disk failed, or the log was cut.
    pub fn reset(&mut self, state: LogState) -> Damage {
        let damage = Damage {
            from: state.end,
            below_high_watermark: state.end < self.high_watermark,
        };
        self.log_start = state.start;
        self.log_end = state.end;
        self.flushed_end = state.end;
        self.high_watermark = self.high_watermark.clamp(state.start, state.end);
        self.epochs = EpochHistory::new(state.epochs);
        if self.leads {
            self.epochs.begin(self.epoch, self.log_end);
        }
        let before = core::mem::replace(&mut self.producers, state.producers);
        self.await_lost(&before);
        self.max_timestamp = state.max_timestamp;
        self.unflushed_max.clear();
        self.size_bytes = state.size_bytes;
        damage
    }

    /// Notes with which batch producers must begin again.
    fn await_lost(&mut self, before: &ProducerTable) {
        for (id, entry) in before.iter() {
            let lost = |batch: &&ProducedBatch| batch.base_offset >= self.log_end;
            if let Some(batch) = entry.batches.iter().find(lost) {
                let awaited = Awaited {
                    epoch: entry.epoch,
                    sequence: batch.first_sequence,
                    end: batch.last_sequence,
                    last_append: entry.last_append,
                };
                self.awaited.insert(id, awaited);
            }
        }
    }

    /// Checks the leader epoch a caller knows (KIP-320).
    ///
    /// # Errors
    /// `NotLeaderOrFollower`, `FencedLeaderEpoch` or `UnknownLeaderEpoch`.
    pub fn check_leader(&self, known: Option<LeaderEpoch>) -> Result<(), ErrorCode> {
        match known {
            Some(known) if known < self.epoch => Err(ErrorCode::FencedLeaderEpoch),
            Some(known) if known > self.epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ if !self.leads => Err(ErrorCode::NotLeaderOrFollower),
            _ => Ok(()),
        }
    }

    /// Whether a consumer may read from `from`; where there is nothing to read yet, it may wait.
    ///
    /// # Errors
    /// `OffsetOutOfRange`.
    pub fn check_fetch(&self, from: Offset) -> Result<(), ErrorCode> {
        if (self.log_start..=self.log_end).contains(&from) {
            Ok(())
        } else {
            Err(ErrorCode::OffsetOutOfRange)
        }
    }

    /// Where a caller's history and this log part, if they do: the caller has `last` as the epoch
    /// of the record before `from` (KIP-595).
    ///
    /// # Errors
    /// `OffsetOutOfRange`, when this log knows nothing of that epoch.
    pub fn diverges(&self, last: LeaderEpoch, from: Offset) -> Result<Option<EpochEnd>, ErrorCode> {
        let end = self.epoch_end(last).ok_or(ErrorCode::OffsetOutOfRange)?;
        Ok((end.epoch < last || end.end < from).then_some(end))
    }

    /// Where `wanted` ends (KIP-101); nothing where the log does not know it.
    #[must_use]
    pub fn epoch_end(&self, wanted: LeaderEpoch) -> Option<EpochEnd> {
        let (epoch, end) = self.epochs.end_of(wanted, self.log_end)?;
        Some(EpochEnd { epoch, end })
    }

    /// The log start that DeleteRecords leads to: `to`, or the high watermark.
    ///
    /// # Errors
    /// `OffsetOutOfRange` beyond the high watermark.
    pub fn delete_records(&self, to: Option<Offset>) -> Result<Offset, ErrorCode> {
        let to = to.unwrap_or(self.high_watermark);
        if to.0 < 0 || to > self.high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        Ok(to.max(self.log_start))
    }

    /// Forgets producers that last appended before `oldest`.
    pub fn expire_producers(&mut self, oldest: TimestampMs) {
        self.producers.expire(oldest);
        self.awaited
            .retain(|_, awaited| awaited.last_append >= oldest);
    }

    /// The partition's current leader epoch.
    #[must_use]
    pub const fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Whether this broker leads it.
    #[must_use]
    pub const fn leads(&self) -> bool {
        self.leads
    }

    /// How many replicas are in sync, this one included; 0 where this broker does not lead.
    #[must_use]
    pub const fn insync(&self) -> usize {
        self.insync
    }

    /// The first offset that can be read.
    #[must_use]
    pub const fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset the next record gets.
    #[must_use]
    pub const fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Everything below is on this disk.
    #[must_use]
    pub const fn flushed_end(&self) -> Offset {
        self.flushed_end
    }

    /// Everything below is on the disk of every in-sync replica.
    #[must_use]
    pub const fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The epoch of the last record, or of the leader where there is none.
    #[must_use]
    pub fn last_epoch(&self) -> LeaderEpoch {
        let last = self.epochs.entries().last();
        last.map_or(self.epoch, |(epoch, _)| *epoch)
    }

    /// The epoch in which the record at `offset` was appended.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        let before = self.epochs.entries().iter().rfind(|(_, at)| *at <= offset);
        before.map_or(LeaderEpoch::NONE, |(epoch, _)| *epoch)
    }

    /// The largest timestamp, and the offset of its batch.
    #[must_use]
    pub const fn max_timestamp(&self) -> Option<(TimestampMs, Offset)> {
        self.max_timestamp
    }

    /// The idempotent producers.
    #[must_use]
    pub const fn producers(&self) -> &ProducerTable {
        &self.producers
    }

    /// Where each leader epoch began.
    #[must_use]
    pub fn epochs(&self) -> &[(LeaderEpoch, Offset)] {
        self.epochs.entries()
    }

    /// Live bytes.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Checks every invariant; panics with the invariant's number.
    pub fn check(&self) {
        assert!(
            self.log_start <= self.high_watermark && self.high_watermark <= self.log_end,
            "I-REP-1: start {} <= high watermark {} <= end {}",
            self.log_start,
            self.high_watermark,
            self.log_end
        );
        assert!(
            self.log_start <= self.flushed_end && self.flushed_end <= self.log_end,
            "I-REP-1: start {} <= flushed {} <= end {}",
            self.log_start,
            self.flushed_end,
            self.log_end
        );
        assert!(
            self.high_watermark <= self.flushed_end,
            "I-REP-3: what counts as replicated is flushed here"
        );
        for (id, entry) in self.producers.iter() {
            let ends = entry.batches.iter().map(|batch| batch.last_offset);
            assert!(
                ends.is_sorted() && entry.batches.iter().all(|b| b.last_offset < self.log_end),
                "I-REP-4: what is remembered of producer {id} is in the log, in order"
            );
        }
        assert!(
            !self.leads || self.insync > 0,
            "I-REP-7: a leader is in sync with itself"
        );
        self.epochs.check();
    }

    /// The high watermark is what every in-sync replica has flushed.
    fn advance_high_watermark(&mut self) -> bool {
        let replicated = self.insync_flushed_end();
        let moves = replicated > self.high_watermark;
        if moves {
            self.high_watermark = replicated;
        }
        moves
    }

    /// The least that an in-sync replica has flushed. This broker is the only one until followers
    /// fetch; with others in sync, nothing new counts as replicated.
    fn insync_flushed_end(&self) -> Offset {
        if self.insync == 1 {
            self.flushed_end
        } else {
            self.high_watermark
        }
    }
}

/// A producer of which nothing is left begins again with the first batch that the disk lost.
fn check_awaited(awaited: Option<&Awaited>, header: &BatchHeader) -> Result<(), AppendError> {
    match awaited {
        Some(awaited) if awaited.sequence != header.base_sequence => Err(AppendError::OutOfOrder {
            id: header.producer_id,
            expected: awaited.sequence,
            found: header.base_sequence,
        }),
        _ => Ok(()),
    }
}

/// The same for a producer whose batches only ascend: only the first lost batch tells a gap, as
/// what follows it begins behind its end. It may come again in other pieces.
fn check_awaited_again(awaited: Option<&Awaited>, header: &BatchHeader) -> Result<(), AppendError> {
    match awaited {
        Some(awaited) if is_behind(header.base_sequence, awaited.end) => {
            Err(AppendError::Overlap {
                id: header.producer_id,
                first: header.base_sequence,
                end: last_sequence(header),
                expected: awaited.sequence,
            })
        }
        _ => Ok(()),
    }
}
