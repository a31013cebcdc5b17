//! Metadata commands and producer ids: decided on the image, agreed by the quorum one after the
//! other, answered when applied.

use super::Node;
use crate::{
    event::{Effect, ProposalId, RequestId},
    gate::{Gate, When},
    limits::{COMMANDS_WAITING_MAX, PRODUCER_ID_MS_MAX, PRODUCER_IDS_WAITING_MAX, TIMEOUT_MS_MAX},
    request::{Answer, META_SHARD, MetaError},
};
use alloc::{collections::VecDeque, vec, vec::Vec};
use weir_meta::{Command, Decision, Reply, decide};
use weir_types::{ErrorCode, Now, ProducerId, Tick};

/// Who gets a command's answer.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// A connection, until the time is up.
    Request(RequestId, Tick),
    /// This node, which wants producer ids.
    Ids,
    /// This node, which needs no answer.
    Nobody,
}

/// Commands that wait for their turn, and producer ids in hand.
#[derive(Debug, Default)]
pub(super) struct Admin {
    queue: VecDeque<(Asker, Command)>,
    /// The proposal the quorum has, and the producer ids it brings.
    proposed: Option<(ProposalId, Option<(ProducerId, i64)>)>,
    next_proposal: u64,
    /// The producer ids in hand: the next, and the one behind the last.
    ids: (i64, i64),
    ids_asked: bool,
    ids_waiting: VecDeque<(RequestId, Tick)>,
}

impl Admin {
    /// The earliest time at which something that waits here gives up.
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        let queued = self.queue.iter().filter_map(|(asker, _)| match asker {
            Asker::Request(_, deadline) => Some(*deadline),
            Asker::Ids | Asker::Nobody => None,
        });
        let ids = self.ids_waiting.front().map(|(_, deadline)| *deadline);
        queued.chain(ids).min()
    }
}

impl Node {
    pub(super) fn command(
        &mut self,
        now: Now,
        id: RequestId,
        command: Command,
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        assert_eq!(
            self.config.shard, META_SHARD,
            "I-NODE-11: metadata has its shard"
        );
        let waiting = self.admin.queue.len();
        if waiting >= COMMANDS_WAITING_MAX {
            let answer = Answer::Meta(Err(MetaError::Busy { waiting }));
            Gate::answer_now(id, answer, effects);
            return;
        }
        let deadline = now.tick + timeout_ms.min(TIMEOUT_MS_MAX);
        let asker = Asker::Request(id, deadline);
        self.admin.queue.push_back((asker, command));
        self.next_command(now, effects);
    }

    /// A command of this node itself.
    pub(super) fn own_command(&mut self, now: Now, command: Command, effects: &mut Vec<Effect>) {
        self.admin.queue.push_back((Asker::Nobody, command));
        self.next_command(now, effects);
    }

    /// Hands out a producer id, or waits for a new block of them.
    pub(super) fn producer_id(&mut self, now: Now, id: RequestId, effects: &mut Vec<Effect>) {
        assert_eq!(
            self.config.shard, META_SHARD,
            "I-NODE-11: metadata has its shard"
        );
        if self.admin.ids_waiting.len() >= PRODUCER_IDS_WAITING_MAX {
            let answer = Answer::ProducerId(Err(ErrorCode::CoordinatorLoadInProgress));
            Gate::answer_now(id, answer, effects);
            return;
        }
        let deadline = now.tick + PRODUCER_ID_MS_MAX;
        self.admin.ids_waiting.push_back((id, deadline));
        self.hand_out_ids(now, effects);
    }

    /// The quorum applied this node's proposal.
    pub(super) fn proposal_applied(
        &mut self,
        now: Now,
        proposal: ProposalId,
        effects: &mut Vec<Effect>,
    ) {
        let Some((_, ids)) = self.admin.proposed.take_if(|(id, _)| *id == proposal) else {
            return;
        };
        if let Some((first, count)) = ids {
            self.admin.ids = (first.0, first.0 + count);
            self.admin.ids_asked = false;
        }
        self.gate.applied(proposal, effects);
        self.hand_out_ids(now, effects);
        self.next_command(now, effects);
    }

    /// The quorum will not agree on this node's proposal.
    pub(super) fn proposal_refused(
        &mut self,
        now: Now,
        proposal: ProposalId,
        effects: &mut Vec<Effect>,
    ) {
        let Some((_, ids)) = self.admin.proposed.take_if(|(id, _)| *id == proposal) else {
            return;
        };
        self.gate.refused(proposal, effects);
        if ids.is_some() {
            self.admin.ids_asked = false;
            for (id, _) in core::mem::take(&mut self.admin.ids_waiting) {
                let error = ErrorCode::CoordinatorNotAvailable;
                Gate::answer_now(id, Answer::ProducerId(Err(error)), effects);
            }
        }
        self.next_command(now, effects);
    }

    /// Decides commands until one must be agreed on.
    fn next_command(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while self.admin.proposed.is_none() {
            let Some((asker, command)) = self.admin.queue.pop_front() else {
                return;
            };
            match decide(&self.image, now, &command) {
                Ok(Decision { records, reply }) if !records.is_empty() => {
                    let proposal = ProposalId(self.admin.next_proposal);
                    self.admin.next_proposal += 1;
                    let ids = match (asker, &reply) {
                        (Asker::Ids, Reply::ProducerIds { first, count }) => Some((*first, *count)),
                        _ => None,
                    };
                    self.admin.proposed = Some((proposal, ids));
                    effects.push(Effect::Propose { proposal, records });
                    if let Asker::Request(id, deadline) = asker {
                        let conditions = vec![(When::Applied(proposal), 0)];
                        let answer = Answer::Meta(Ok(reply));
                        self.answer(id, answer, conditions, Some(deadline), effects);
                    }
                }
                decided => self.decided_at_once(asker, decided.map(|d| d.reply), effects),
            }
        }
    }

    /// A command that needs no agreement, or was refused.
    fn decided_at_once(
        &mut self,
        asker: Asker,
        decided: Result<Reply, weir_meta::DecideError>,
        effects: &mut Vec<Effect>,
    ) {
        match asker {
            Asker::Request(id, _) => {
                let answer = Answer::Meta(decided.map_err(MetaError::from));
                Gate::answer_now(id, answer, effects);
            }
            // Refused: it is there already, or will be asked for again.
            Asker::Nobody => {}
            Asker::Ids => {
                self.admin.ids_asked = false;
                for (id, _) in core::mem::take(&mut self.admin.ids_waiting) {
                    let error = ErrorCode::UnknownServerError;
                    Gate::answer_now(id, Answer::ProducerId(Err(error)), effects);
                }
            }
        }
    }

    fn hand_out_ids(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while self.admin.ids.0 < self.admin.ids.1 {
            let Some((id, _)) = self.admin.ids_waiting.pop_front() else {
                return;
            };
            let producer = ProducerId(self.admin.ids.0);
            self.admin.ids.0 += 1;
            Gate::answer_now(id, Answer::ProducerId(Ok(producer)), effects);
        }
        if !self.admin.ids_waiting.is_empty() && !self.admin.ids_asked {
            self.admin.ids_asked = true;
            let command = Command::AllocateProducerIds;
            self.admin.queue.push_back((Asker::Ids, command));
            self.next_command(now, effects);
        }
    }

    /// Gives up on what has waited too long for its turn.
    pub(super) fn expire_admin(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.admin.queue.retain(|(asker, _)| match asker {
            Asker::Request(id, deadline) if *deadline <= now.tick => {
                let answer = Answer::Meta(Err(MetaError::TimedOut));
                Gate::answer_now(*id, answer, effects);
                false
            }
            _ => true,
        });
        let waiting = &mut self.admin.ids_waiting;
        while let Some((id, deadline)) = waiting.front().copied() {
            if deadline > now.tick {
                return;
            }
            waiting.pop_front();
            let answer = Answer::ProducerId(Err(ErrorCode::RequestTimedOut));
            Gate::answer_now(id, answer, effects);
        }
    }
}
