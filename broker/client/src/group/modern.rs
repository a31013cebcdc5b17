//! A member by the consumer protocol (KIP-848): the coordinator shares partitions out, and the
//! member follows, partition by partition; what it keeps never stops.
//!
//! Pure. What is owned is told anew after each change of it, so that the coordinator gives a
//! partition to another member only when it was given up here.

use super::{
    holding::{Aim, Holding, Next},
    member::{
        self, Answer, Ask, Identity, Input, Output, Pauses, Profile, Wish, is_moved, refused,
    },
};
use crate::{error::GroupError, limits::RETRY_BACKOFF_MAX_MS, record::TopicPartition};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_types::{ErrorCode, PartitionIndex, Tick, TopicId};
use weir_wire::{
    Text,
    messages::{
        ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse, ConsumerGroupHeartbeatTopicPartitions,
    },
};

/// The epoch that joins.
const JOIN: i32 = 0;
/// The epoch that leaves.
const LEAVE: i32 = -1;
/// The epoch that leaves as a static member that will be back.
const LEAVE_STATIC: i32 = -2;

type Partition = (TopicId, PartitionIndex);

/// Where the member is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Outside, on the way in.
    Joining,
    Inside,
    /// Outside until the program polls.
    Outside,
    Over,
}

#[derive(Debug)]
pub(crate) struct ModernMember {
    profile: Profile,
    epoch: i32,
    life: Life,
    wish: Wish,
    /// The epoch that the request under way carries.
    under_way: Option<i32>,
    next_at: Tick,
    interval_ms: u64,
    pauses: Pauses,
    /// Whether the next heartbeat tells everything, since the last may not have arrived.
    is_whole: bool,
    holding: Holding<Partition>,
    /// Whether the coordinator does not know what is owned now.
    is_owned_news: bool,
    told_owned: BTreeSet<Partition>,
    names: BTreeMap<TopicId, Arc<str>>,
    is_resolving: bool,
    /// When names that nobody knew are asked for again.
    resolve_at: Option<Tick>,
}

impl ModernMember {
    pub(crate) const fn new(profile: Profile) -> Self {
        Self {
            profile,
            epoch: JOIN,
            life: Life::Joining,
            wish: Wish::Stay,
            under_way: None,
            next_at: Tick(0),
            interval_ms: RETRY_BACKOFF_MAX_MS,
            pauses: Pauses::new(),
            is_whole: true,
            holding: Holding::new(),
            is_owned_news: false,
            told_owned: BTreeSet::new(),
            names: BTreeMap::new(),
            is_resolving: false,
            resolve_at: None,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            member_id: self.profile.member_id.clone(),
            instance_id: self.profile.instance_id.clone(),
            epoch: if self.life == Life::Inside {
                self.epoch
            } else {
                -1
            },
            membership: self.holding.losses(),
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.life, Life::Over)
    }

    pub(crate) const fn due(&self) -> Option<Tick> {
        let is_silent = matches!(self.life, Life::Outside | Life::Over);
        let heartbeat = if is_silent || self.under_way.is_some() || self.holding.is_losing() {
            None
        } else {
            Some(self.next_at)
        };
        // While the reader is at work, names would be of no use, and asking early would not end.
        let can_take = matches!(self.life, Life::Inside)
            && self.holding.is_idle()
            && !self.holding.is_losing();
        let resolve_at = if can_take { self.resolve_at } else { None };
        match (heartbeat, resolve_at) {
            (Some(heartbeat), Some(resolve)) if resolve.0 < heartbeat.0 => Some(resolve),
            (None, resolve) => resolve,
            (heartbeat, _) => heartbeat,
        }
    }

    pub(crate) fn step(&mut self, now: Tick, input: Input, outputs: &mut Vec<Output>) {
        if self.life == Life::Over {
            return;
        }
        match input {
            Input::Told(Answer::Modern(answer)) => self.told(now, answer, outputs),
            Input::Failed(error) => self.failed(now, error, outputs),
            Input::Released => {
                let was_asked = self.holding.released();
                if was_asked {
                    self.tell_owned(now);
                }
            }
            Input::Taken => {
                let was_asked = self.holding.taken();
                if was_asked {
                    self.tell_owned(now);
                }
            }
            Input::NotTaken => {
                let was_asked = self.holding.not_taken();
                if was_asked {
                    self.tell_owned(now);
                }
            }
            Input::Names(names) => {
                self.is_resolving = false;
                self.names.extend(names);
                self.resolve_at = Some(now + RETRY_BACKOFF_MAX_MS);
            }
            Input::Gone(topics) => self.holding.forsake(|(id, _)| topics.contains_key(id)),
            Input::Stalled if self.wish == Wish::Stay && self.life != Life::Outside => {
                self.wish = Wish::StepOut;
            }
            Input::Polled if self.life == Life::Outside && self.wish != Wish::Leave => {
                self.wish = Wish::Stay;
                self.life = Life::Joining;
                self.next_at = now;
            }
            Input::Leave => {
                self.wish = Wish::Leave;
                self.holding.let_go();
            }
            _ => {}
        }
        self.proceed(now, outputs);
    }

    fn proceed(&mut self, now: Tick, outputs: &mut Vec<Output>) {
        if self.life == Life::Over {
            return;
        }
        if self.wish != Wish::Stay {
            self.go_out(now, outputs);
            return;
        }
        self.reconcile(now, outputs);
        if self.life != Life::Outside
            && self.under_way.is_none()
            && !self.holding.is_losing()
            && now >= self.next_at
        {
            let request = self.heartbeat();
            self.ask(request, outputs);
        }
    }

    /// Leaves, once the request under way is answered.
    fn go_out(&mut self, now: Tick, outputs: &mut Vec<Output>) {
        if self.life == Life::Outside && self.wish == Wish::StepOut {
            // Outside already: what was owned is lost, as soon as the reader can be told.
            self.reconcile(now, outputs);
            return;
        }
        if self.under_way.is_some() {
            return;
        }
        if self.life == Life::Inside {
            let epoch = match self.profile.instance_id {
                Some(_) => LEAVE_STATIC,
                None => LEAVE,
            };
            let request = ConsumerGroupHeartbeatRequest {
                member_epoch: epoch,
                ..self.greeting()
            };
            self.ask(request, outputs);
            return;
        }
        self.is_out(now, outputs);
    }

    fn is_out(&mut self, now: Tick, outputs: &mut Vec<Output>) {
        self.epoch = JOIN;
        self.is_whole = true;
        if self.wish == Wish::Leave {
            self.life = Life::Over;
            outputs.push(Output::Left);
            return;
        }
        self.life = Life::Outside;
        self.holding.lose();
        self.reconcile(now, outputs);
    }

    /// Asks the reader for the next step towards what the member is to own.
    fn reconcile(&mut self, now: Tick, outputs: &mut Vec<Output>) {
        let aim = match self.life {
            Life::Inside => Aim::Share,
            _ => Aim::Stay,
        };
        match self.holding.next(aim) {
            Next::Nothing => {}
            Next::Release {
                partitions,
                is_lost,
            } => outputs.push(Output::Release {
                partitions: self.named(&partitions),
                is_lost,
            }),
            Next::Missing(missing) => self.take_in(now, missing, outputs),
        }
    }

    /// Takes in what has a name, and asks what the rest is called.
    fn take_in(&mut self, now: Tick, missing: BTreeSet<Partition>, outputs: &mut Vec<Output>) {
        let (fresh, nameless): (BTreeSet<_>, BTreeSet<_>) = missing
            .into_iter()
            .partition(|(topic, _)| self.names.contains_key(topic));
        if nameless.is_empty() {
            self.resolve_at = None;
        } else if !self.is_resolving && self.resolve_at.is_none_or(|at| now >= at) {
            self.is_resolving = true;
            self.resolve_at = None;
            let ids = nameless.into_iter().map(|(topic, _)| topic).collect();
            outputs.push(Output::Resolve(ids));
        }
        if !fresh.is_empty() {
            outputs.push(Output::Take(self.named(&fresh)));
            self.holding.take(fresh);
        }
    }

    fn named(&self, partitions: &BTreeSet<Partition>) -> BTreeSet<TopicPartition> {
        let named = partitions.iter().filter_map(|(topic, partition)| {
            Some(TopicPartition {
                topic: Arc::clone(self.names.get(topic)?),
                partition: *partition,
            })
        });
        named.collect()
    }

    fn tell_owned(&mut self, now: Tick) {
        if self.life == Life::Inside && *self.holding.owned() != self.told_owned {
            self.is_owned_news = true;
            self.next_at = now;
        }
    }

    fn ask(&mut self, request: ConsumerGroupHeartbeatRequest, outputs: &mut Vec<Output>) {
        self.under_way = Some(request.member_epoch);
        outputs.push(Output::Ask(Ask::Modern(request)));
    }

    /// What every heartbeat tells.
    fn greeting(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: Text::from(&*self.profile.group),
            member_id: self.profile.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.profile.instance_id.clone(),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    fn heartbeat(&mut self) -> ConsumerGroupHeartbeatRequest {
        let mut request = self.greeting();
        if self.is_whole {
            request.rack_id.clone_from(&self.profile.rack);
            request.rebalance_timeout_ms = self.profile.rebalance_timeout_ms;
            let names = self.profile.topics.iter().map(|name| Text::from(&**name));
            request.subscribed_topic_names = match self.profile.regex {
                Some(_) => Some(Vec::new()),
                None => Some(names.collect()),
            };
            request
                .subscribed_topic_regex
                .clone_from(&self.profile.regex);
            request
                .server_assignor
                .clone_from(&self.profile.server_assignor);
        }
        if self.is_whole || self.is_owned_news {
            // What is being taken in, too: the coordinator could take it for given up, and give it
            // to another while it is read here.
            let owned = self.holding.owned_soon();
            request.topic_partitions = Some(rows(&owned));
            self.told_owned = owned;
        }
        self.is_whole = false;
        self.is_owned_news = false;
        request
    }

    fn told(
        &mut self,
        now: Tick,
        answer: ConsumerGroupHeartbeatResponse,
        outputs: &mut Vec<Output>,
    ) {
        let asked = self.under_way.take();
        if asked.is_some_and(|epoch| epoch < JOIN) {
            // Whatever the coordinator says: the member is out, or will be.
            self.is_out(now, outputs);
            return;
        }
        if answer.error_code.is_err() {
            self.is_whole = true;
            self.refuse(
                now,
                answer.error_code,
                answer.error_message.as_ref(),
                outputs,
            );
            return;
        }
        self.pauses.reset();
        if let Some(id) = answer.member_id.filter(|id| !id.is_empty()) {
            self.profile.member_id = id;
        }
        self.epoch = answer.member_epoch;
        self.life = Life::Inside;
        if let Ok(interval) = u64::try_from(answer.heartbeat_interval_ms)
            && interval > 0
        {
            self.interval_ms = interval;
        }
        let is_told = self.holding.is_taking() || *self.holding.owned() == self.told_owned;
        self.next_at = if is_told {
            now + self.interval_ms
        } else {
            // The reader was quicker than the answer.
            self.is_owned_news = true;
            now
        };
        if let Some(assignment) = answer.assignment {
            self.holding.follow(partitions(&assignment));
        }
    }

    fn refuse(
        &mut self,
        now: Tick,
        code: ErrorCode,
        message: Option<&Text>,
        outputs: &mut Vec<Output>,
    ) {
        match code {
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                // Others may own the partitions by now: nothing of them may be committed.
                self.epoch = JOIN;
                self.life = Life::Joining;
                self.holding.lose();
                self.next_at = now;
            }
            code if is_moved(code) => {
                outputs.push(Output::Moved);
                self.next_at = now + self.pauses.next_ms();
            }
            code if code.is_retriable() => self.next_at = now + self.pauses.next_ms(),
            code => self.end(refused(&self.profile, code, message), outputs),
        }
    }

    fn failed(&mut self, now: Tick, error: crate::error::RequestError, outputs: &mut Vec<Output>) {
        let asked = self.under_way.take();
        self.is_whole = true;
        outputs.push(Output::Moved);
        if asked.is_some_and(|epoch| epoch < JOIN) {
            // The session times out where the farewell has not arrived.
            self.is_out(now, outputs);
        } else if error.can_retry() {
            self.next_at = now + self.pauses.next_ms();
        } else {
            self.end(GroupError::Request(error), outputs);
        }
    }

    fn end(&mut self, error: GroupError, outputs: &mut Vec<Output>) {
        self.life = Life::Over;
        member::end(error, self.named(self.holding.owned()), outputs);
    }
}

fn rows(partitions: &BTreeSet<Partition>) -> Vec<ConsumerGroupHeartbeatTopicPartitions> {
    let mut rows: Vec<ConsumerGroupHeartbeatTopicPartitions> = Vec::new();
    for (topic_id, partition) in partitions {
        match rows.last_mut() {
            Some(row) if row.topic_id == *topic_id => row.partitions.push(*partition),
            _ => rows.push(ConsumerGroupHeartbeatTopicPartitions {
                topic_id: *topic_id,
                partitions: vec![*partition],
            }),
        }
    }
    rows
}

fn partitions(assignment: &ConsumerGroupHeartbeatAssignment) -> BTreeSet<Partition> {
    let rows = assignment.topic_partitions.iter();
    rows.flat_map(|row| row.partitions.iter().map(|index| (row.topic_id, *index)))
        .collect()
}
