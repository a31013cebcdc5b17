//! The gate every answer passes: it is given with its conditions and leaves when all of them
//! hold. There is no other way to answer, so an acknowledgement cannot run ahead of the disk.

use crate::{
    event::{Effect, ProposalId, RequestId, TransformId},
    request::{Answer, MetaError, PartitionKey, ProduceResult},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_types::{ErrorCode, Offset, Tick, TimestampMs};

/// What must be true before (a part of) an answer may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// Everything below the offset is on this broker's disk.
    Flushed(PartitionKey, Offset),
    /// Everything below the offset is on the disk of every in-sync replica.
    Replicated(PartitionKey, Offset),
    /// The partition durably starts at the offset or behind it.
    Started(PartitionKey, Offset),
    /// The proposal's records are agreed and applied.
    Applied(ProposalId),
    /// The batch went through its topic's plugins, so that what becomes of it is known.
    Judged(TransformId),
}

/// Where a partition stands, for conditions that hold already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) start: Offset,
    pub(crate) flushed: Offset,
    pub(crate) replicated: Offset,
}

/// An answer that waits.
#[derive(Clone, Debug)]
struct Waiting {
    answer: Answer,
    conditions: Vec<(When, usize)>,
    deadline: Option<Tick>,
}

/// Answers that wait, by what they wait for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    waiting: BTreeMap<RequestId, Waiting>,
    conditions: BTreeSet<(When, RequestId, usize)>,
    deadlines: BTreeSet<(Tick, RequestId)>,
    /// A seeded fault of the simulator: answer before the disk has it. Never set in a broker.
    answer_early: bool,
}

impl Gate {
    /// An empty gate; with the simulator's seeded fault, or as it should be.
    pub(crate) fn new(answer_early: bool) -> Self {
        Self {
            answer_early,
            ..Self::default()
        }
    }

    /// Gives an answer with the conditions of its parts (the number is the part's place in it).
    /// It leaves at once if all of them hold by `ends`, else when they do, and at `deadline` with
    /// time-out errors in the parts that are still open.
    pub(crate) fn answer(
        &mut self,
        id: RequestId,
        answer: Answer,
        conditions: Vec<(When, usize)>,
        deadline: Option<Tick>,
        ends: impl Fn(PartitionKey) -> Option<Ends>,
        effects: &mut Vec<Effect>,
    ) {
        let early = self.answer_early;
        let open: Vec<(When, usize)> = conditions
            .into_iter()
            .filter(|(when, _)| !holds(*when, &ends, early))
            .collect();
        if open.is_empty() {
            effects.push(Effect::Answer { id, answer });
            return;
        }
        for (when, part) in &open {
            self.conditions.insert((*when, id, *part));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        let waiting = Waiting {
            answer,
            conditions: open,
            deadline,
        };
        let before = self.waiting.insert(id, waiting);
        assert!(before.is_none(), "I-NODE-1: a request is answered once");
    }

    /// Gives an answer that waits for nothing.
    pub(crate) fn answer_now(id: RequestId, answer: Answer, effects: &mut Vec<Effect>) {
        effects.push(Effect::Answer { id, answer });
    }

    /// Everything below `end` is flushed here.
    pub(crate) fn flushed(&mut self, key: PartitionKey, end: Offset, effects: &mut Vec<Effect>) {
        let least = When::Flushed(key, Offset(i64::MIN));
        self.release(least, When::Flushed(key, end), effects);
    }

    /// Everything below `end` is replicated.
    pub(crate) fn replicated(&mut self, key: PartitionKey, end: Offset, effects: &mut Vec<Effect>) {
        let least = When::Replicated(key, Offset(i64::MIN));
        self.release(least, When::Replicated(key, end), effects);
    }

    /// The partition starts at `start`.
    pub(crate) fn started(&mut self, key: PartitionKey, start: Offset, effects: &mut Vec<Effect>) {
        let least = When::Started(key, Offset(i64::MIN));
        self.release(least, When::Started(key, start), effects);
    }

    /// The proposal is applied.
    pub(crate) fn applied(&mut self, proposal: ProposalId, effects: &mut Vec<Effect>) {
        let when = When::Applied(proposal);
        self.release(when, when, effects);
    }

    /// The proposal will not be.
    pub(crate) fn refused(&mut self, proposal: ProposalId, effects: &mut Vec<Effect>) {
        let when = When::Applied(proposal);
        self.fail(when, when, ErrorCode::NotController, effects);
    }

    /// What becomes of a batch is known: its part of the answer, and what that waits for now.
    pub(crate) fn judged(
        &mut self,
        ticket: TransformId,
        result: ProduceResult,
        when: Option<When>,
        ends: impl Fn(PartitionKey) -> Option<Ends>,
        effects: &mut Vec<Effect>,
    ) {
        let before = When::Judged(ticket);
        // Where nothing is found the time was up.
        let Some((_, id, part)) = self.pop(before, before) else {
            return;
        };
        let waiting = self.waiting.get_mut(&id);
        let waiting = waiting.expect("I-NODE-2: a condition belongs to an answer");
        match &mut waiting.answer {
            Answer::Produce(results) => results[part] = result,
            other => panic!("I-NODE-5: this answer waits for no plugins: {other:?}"),
        }
        let early = self.answer_early;
        if let Some(when) = when.filter(|when| !holds(*when, &ends, early)) {
            waiting.conditions.push((when, part));
            self.conditions.insert((when, id, part));
        }
        self.settle(id, before, part, effects);
    }

    /// Batches of the partition that end behind `from` are gone; nothing of it is waited for if
    /// `from` is nothing.
    pub(crate) fn lost(
        &mut self,
        key: PartitionKey,
        from: Option<Offset>,
        error: ErrorCode,
        effects: &mut Vec<Effect>,
    ) {
        let low = from.map_or(Offset(i64::MIN), Offset::next);
        let high = Offset(i64::MAX);
        let flushed = (When::Flushed(key, low), When::Flushed(key, high));
        let replicated = (When::Replicated(key, low), When::Replicated(key, high));
        self.fail(flushed.0, flushed.1, error, effects);
        self.fail(replicated.0, replicated.1, error, effects);
        if from.is_none() {
            let started = (When::Started(key, low), When::Started(key, high));
            self.fail(started.0, started.1, error, effects);
        }
    }

    /// Answers everything whose time is up.
    pub(crate) fn expire(&mut self, now: Tick, effects: &mut Vec<Effect>) {
        while let Some((deadline, id)) = self.deadlines.first().copied() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_first();
            let Some(mut waiting) = self.waiting.remove(&id) else {
                continue;
            };
            for (when, part) in &waiting.conditions {
                self.conditions.remove(&(*when, id, *part));
                set_error(&mut waiting.answer, *part, ErrorCode::RequestTimedOut);
            }
            let answer = waiting.answer;
            effects.push(Effect::Answer { id, answer });
        }
    }

    /// When `expire` wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.deadlines.first().map(|(tick, _)| *tick)
    }

    /// How many answers wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The range of `conditions` with these ends, all requests.
    fn pop(&mut self, low: When, high: When) -> Option<(When, RequestId, usize)> {
        let least = (low, RequestId(0), 0);
        let most = (high, RequestId(u64::MAX), usize::MAX);
        let found = *self.conditions.range(least..=most).next()?;
        self.conditions.remove(&found);
        Some(found)
    }

    fn release(&mut self, low: When, high: When, effects: &mut Vec<Effect>) {
        while let Some((when, id, part)) = self.pop(low, high) {
            self.settle(id, when, part, effects);
        }
    }

    fn fail(&mut self, low: When, high: When, error: ErrorCode, effects: &mut Vec<Effect>) {
        while let Some((when, id, part)) = self.pop(low, high) {
            if let Some(waiting) = self.waiting.get_mut(&id) {
                set_error(&mut waiting.answer, part, error);
            }
            self.settle(id, when, part, effects);
        }
    }

    /// One condition of an answer is settled; the last one lets it go.
    fn settle(&mut self, id: RequestId, when: When, part: usize, effects: &mut Vec<Effect>) {
        let waiting = self.waiting.get_mut(&id);
        let waiting = waiting.expect("I-NODE-2: a condition belongs to an answer");
        waiting
            .conditions
            .retain(|condition| *condition != (when, part));
        if !waiting.conditions.is_empty() {
            return;
        }
        if let Some(waiting) = self.waiting.remove(&id) {
            if let Some(deadline) = waiting.deadline {
                self.deadlines.remove(&(deadline, id));
            }
            let answer = waiting.answer;
            effects.push(Effect::Answer { id, answer });
        }
    }

    /// Checks that the batches that answers wait for are there.
    pub(crate) fn check_tickets(&self, is_there: impl Fn(TransformId) -> bool) {
        for (when, id, _) in &self.conditions {
            if let When::Judged(ticket) = when {
                assert!(
                    is_there(*ticket),
                    "I-NODE-18: {id:?} waits for a batch that is there"
                );
            }
        }
    }

    /// Checks the invariants: nothing waits for what holds, and both indexes agree.
    pub(crate) fn check(&self, ends: impl Fn(PartitionKey) -> Option<Ends>) {
        let conditions: usize = self.waiting.values().map(|w| w.conditions.len()).sum();
        assert_eq!(
            conditions,
            self.conditions.len(),
            "I-NODE-2: a condition belongs to an answer"
        );
        for (when, id, _) in &self.conditions {
            assert!(
                !holds(*when, &ends, false),
                "I-NODE-3: {id:?} waits for what is true: {when:?}"
            );
        }
        for (id, waiting) in &self.waiting {
            assert!(
                waiting
                    .deadline
                    .is_none_or(|d| self.deadlines.contains(&(d, *id))),
                "I-NODE-4: a deadline is kept"
            );
        }
    }
}

/// Whether a condition holds already.
fn holds(when: When, ends: &impl Fn(PartitionKey) -> Option<Ends>, early: bool) -> bool {
    let at = |key, least: fn(Ends) -> Offset, end: Offset| {
        ends(key).is_some_and(|ends| least(ends) >= end)
    };
    match when {
        When::Flushed(..) | When::Replicated(..) if early => true,
        When::Flushed(key, end) => at(key, |ends| ends.flushed, end),
        When::Replicated(key, end) => at(key, |ends| ends.replicated, end),
        When::Started(key, start) => at(key, |ends| ends.start, start),
        When::Applied(_) | When::Judged(_) => false,
    }
}

/// Writes an error into one part of an answer.
fn set_error(answer: &mut Answer, part: usize, error: ErrorCode) {
    match answer {
        Answer::Produce(results) => {
            if let Some(result) = results.get_mut(part) {
                *result = ProduceResult {
                    error,
                    message: None,
                    base_offset: Offset(-1),
                    log_append_time: TimestampMs::NONE,
                    log_start: result.log_start,
                    leader_epoch: result.leader_epoch,
                };
            }
        }
        Answer::DeleteRecords(results) => {
            if let Some(result) = results.get_mut(part) {
                *result = (error, Offset(-1));
            }
        }
        Answer::Groups(replies) => {
            if let Some(reply) = replies.get_mut(part) {
                *reply = weir_group::Reply::error(group_error(error));
            }
        }
        Answer::History(results) => {
            if let Some(result) = results.get_mut(part) {
                *result = Err(group_error(error));
            }
        }
        Answer::Watch(results) => {
            if let Some(result) = results.get_mut(part) {
                *result = Err(group_error(error));
            }
        }
        Answer::Meta(reply) => {
            *reply = Err(if error == ErrorCode::RequestTimedOut {
                MetaError::TimedOut
            } else {
                MetaError::NotAgreed
            });
        }
        other => panic!("I-NODE-5: this answer waits for nothing: {other:?}"),
    }
}

/// What a group's client hears of a write that failed: both make it look for the coordinator
/// again.
const fn group_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        _ => ErrorCode::NotCoordinator,
    }
}
