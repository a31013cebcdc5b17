//! A member by the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, cooperative
//! (KIP-429) or eager.
//!
//! Pure. A cooperative member keeps reading through a rebalance; what it has to give up it learns
//! with its share, gives up, and joins again so that others can have it.

use super::{
    ClassicAssignor,
    assign::{self, Wish as MemberWish},
    holding::{Aim, Holding, Next},
    member::{
        self, Answer, Ask, Identity, Input, Output, Pauses, Profile, Wish, is_moved, refused,
    },
};
use crate::{
    error::{GroupError, RequestError},
    limits::RETRY_BACKOFF_MAX_MS,
    record::TopicPartition,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_types::{ErrorCode, Tick};
use weir_wire::{
    Text,
    embedded::Embedded,
    messages::{
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, ConsumerProtocolTopicPartition,
        HeartbeatRequest, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
        LeaveGroupRequest, MemberIdentity, SyncGroupRequest, SyncGroupRequestAssignment,
        SyncGroupResponse,
    },
};

const CONSUMER: &str = "consumer";
/// The version in which subscriptions are written: the first with everything told here.
const SUBSCRIPTION_VERSION: i16 = 3;
/// The version in which assignments are written: the oldest, which every member reads.
const ASSIGNMENT_VERSION: i16 = 0;

/// Where the member is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// It is to join as soon as it can.
    Joining,
    /// The leader waits for the number of partitions.
    Counting,
    /// It is to ask for its share.
    Syncing,
    Stable,
    /// Outside until the program polls.
    Outside,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnderWay {
    Join,
    Sync,
    Heartbeat,
    Leave,
}

#[derive(Debug)]
pub(crate) struct ClassicMember {
    profile: Profile,
    member_id: Text,
    generation: i32,
    phase: Phase,
    wish: Wish,
    under_way: Option<UnderWay>,
    next_at: Tick,
    pauses: Pauses,
    holding: Holding<TopicPartition>,
    /// What the leader knows of the others, while it shares out.
    wishes: BTreeMap<String, MemberWish>,
    shares: Vec<SyncGroupRequestAssignment>,
    protocol: Option<Text>,
    reason: &'static str,
    /// What the member said that it owns when it joined.
    joined_with: BTreeSet<TopicPartition>,
    /// Whether others wait for what it gives up.
    is_waited_for: bool,
    /// Whether it shared out last.
    is_leader: bool,
    /// Whether the topics changed since it said which it wants, or since it shared them out.
    is_outdated: bool,
}

impl ClassicMember {
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            member_id: Text::EMPTY,
            generation: -1,
            phase: Phase::Joining,
            wish: Wish::Stay,
            under_way: None,
            next_at: Tick(0),
            pauses: Pauses::new(),
            holding: Holding::new(),
            wishes: BTreeMap::new(),
            shares: Vec::new(),
            protocol: None,
            reason: "it starts",
            joined_with: BTreeSet::new(),
            is_waited_for: false,
            is_leader: false,
            is_outdated: false,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            member_id: self.member_id.clone(),
            instance_id: self.profile.instance_id.clone(),
            epoch: self.generation,
            membership: self.holding.losses(),
        }
    }

    pub(crate) const fn is_leader(&self) -> bool {
        self.is_leader
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    pub(crate) const fn due(&self) -> Option<Tick> {
        if self.under_way.is_some()
            || matches!(self.phase, Phase::Outside | Phase::Over | Phase::Counting)
        {
            None
        } else {
            Some(self.next_at)
        }
    }

    const fn is_eager(&self) -> bool {
        matches!(self.profile.classic_assignor, ClassicAssignor::Range)
    }

    pub(crate) fn step(&mut self, now: Tick, input: Input, outputs: &mut Vec<Output>) {
        if self.phase == Phase::Over {
            return;
        }
        match input {
            Input::Told(answer) => self.told(now, answer, outputs),
            Input::Failed(error) => self.failed(now, error, outputs),
            Input::Released => {
                let was_asked = self.holding.released();
                if was_asked && self.phase == Phase::Joining {
                    self.next_at = now;
                }
            }
            Input::Taken => {
                self.holding.taken();
            }
            Input::NotTaken => {
                self.holding.not_taken();
            }
            Input::Counts(counts) => self.share_out(now, &counts),
            Input::Topics(topics) => {
                self.is_outdated |= self.phase == Phase::Syncing || topics != self.profile.topics;
                self.profile.topics = topics;
                if self.phase == Phase::Stable {
                    self.join_again(now, "its topics changed");
                }
            }
            Input::Gone(topics) => {
                let names: BTreeSet<_> = topics.into_values().collect();
                self.holding.forsake(|gone| names.contains(&gone.topic));
            }
            Input::Stalled if self.wish == Wish::Stay && self.phase != Phase::Outside => {
                self.wish = Wish::StepOut;
            }
            Input::Polled if self.phase == Phase::Outside && self.wish != Wish::Leave => {
                self.wish = Wish::Stay;
                self.join_again(now, "the program polls again");
            }
            Input::Leave => {
                self.wish = Wish::Leave;
                self.holding.let_go();
            }
            _ => {}
        }
        self.proceed(now, outputs);
    }

    fn join_again(&mut self, now: Tick, reason: &'static str) {
        self.phase = Phase::Joining;
        self.next_at = now;
        self.reason = reason;
    }

    fn proceed(&mut self, now: Tick, outputs: &mut Vec<Output>) {
        if self.phase == Phase::Over {
            return;
        }
        if self.wish != Wish::Stay {
            self.go_out(now, outputs);
            return;
        }
        self.reconcile(now, outputs);
        if self.under_way.is_some() || now < self.next_at {
            return;
        }
        match self.phase {
            Phase::Joining
                if !self.holding.is_losing()
                    && (!self.is_eager() || self.holding.owned().is_empty()) =>
            {
                if self.is_eager() && !self.holding.is_idle() {
                    self.keep_alive(now, outputs);
                } else {
                    self.join(outputs);
                }
            }
            Phase::Syncing => self.sync(outputs),
            // While partitions are being given up the member lives on.
            Phase::Joining | Phase::Stable => self.keep_alive(now, outputs),
            Phase::Counting | Phase::Outside | Phase::Over => {}
        }
    }

    fn go_out(&mut self, now: Tick, outputs: &mut Vec<Output>) {
        if self.phase == Phase::Outside && self.wish == Wish::StepOut {
            self.reconcile(now, outputs);
            return;
        }
        if self.under_way.is_some() {
            return;
        }
        // A static member is waited for; its session times out where it does not come back.
        if self.member_id.is_empty() || self.profile.instance_id.is_some() {
            self.is_out(now, outputs);
            return;
        }
        let reason = match self.wish {
            Wish::Leave => "the consumer is closed",
            _ => "the program does not poll",
        };
        let request = LeaveGroupRequest {
            group_id: self.group(),
            members: vec![MemberIdentity {
                member_id: self.member_id.clone(),
                group_instance_id: None,
                reason: Some(Text::from_static(reason)),
            }],
            ..LeaveGroupRequest::default()
        };
        self.ask(UnderWay::Leave, Ask::Leave(request), outputs);
    }

    fn is_out(&mut self, now: Tick, outputs: &mut Vec<Output>) {
        self.generation = -1;
        if self.profile.instance_id.is_none() {
            self.member_id = Text::EMPTY;
        }
        if self.wish == Wish::Leave {
            self.phase = Phase::Over;
            outputs.push(Output::Left);
            return;
        }
        self.phase = Phase::Outside;
        self.holding.lose();
        self.reconcile(now, outputs);
    }

    /// Asks the reader for the next step towards what the member is to own.
    fn reconcile(&mut self, now: Tick, outputs: &mut Vec<Output>) {
        let aim = match self.phase {
            Phase::Stable => Aim::Share,
            Phase::Joining if self.is_eager() && self.under_way.is_none() => Aim::Nothing,
            _ => Aim::Stay,
        };
        match self.holding.next(aim) {
            Next::Nothing => {}
            Next::Release {
                partitions,
                is_lost,
            } => outputs.push(Output::Release {
                partitions,
                is_lost,
            }),
            Next::Missing(fresh) => {
                if !fresh.is_empty() {
                    outputs.push(Output::Take(fresh.clone()));
                    self.holding.take(fresh);
                }
                if self.is_waited_for {
                    self.is_waited_for = false;
                    self.join_again(now, "it gave partitions up");
                }
            }
        }
    }

    fn group(&self) -> Text {
        Text::from(&*self.profile.group)
    }

    fn ask(&mut self, under_way: UnderWay, ask: Ask, outputs: &mut Vec<Output>) {
        self.under_way = Some(under_way);
        outputs.push(Output::Ask(ask));
    }

    fn join(&mut self, outputs: &mut Vec<Output>) {
        let owned = self.holding.owned_soon();
        self.joined_with.clone_from(&owned);
        self.is_outdated = false;
        let subscription = ConsumerProtocolSubscription {
            topics: self
                .profile
                .topics
                .iter()
                .map(|t| Text::from(&**t))
                .collect(),
            user_data: None,
            owned_partitions: rows(&owned),
            generation_id: self.generation,
            rack_id: self.profile.rack.clone(),
        };
        let metadata = match subscription.to_bytes(SUBSCRIPTION_VERSION) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.end(unwritable(&error), outputs);
                return;
            }
        };
        let request = JoinGroupRequest {
            group_id: self.group(),
            session_timeout_ms: self.profile.session_timeout_ms,
            rebalance_timeout_ms: self.profile.rebalance_timeout_ms,
            member_id: self.member_id.clone(),
            group_instance_id: self.profile.instance_id.clone(),
            protocol_type: Text::from_static(CONSUMER),
            protocols: vec![JoinGroupRequestProtocol {
                name: Text::from_static(self.profile.classic_assignor.name()),
                metadata,
            }],
            reason: Some(Text::from_static(self.reason)),
        };
        self.ask(UnderWay::Join, Ask::Join(request), outputs);
    }

    fn sync(&mut self, outputs: &mut Vec<Output>) {
        let request = SyncGroupRequest {
            group_id: self.group(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.profile.instance_id.clone(),
            protocol_type: Some(Text::from_static(CONSUMER)),
            protocol_name: self.protocol.clone(),
            assignments: self.shares.clone(),
        };
        self.ask(UnderWay::Sync, Ask::Sync(request), outputs);
    }

    fn keep_alive(&mut self, now: Tick, outputs: &mut Vec<Output>) {
        if self.generation < 0 {
            self.next_at = now + self.profile.heartbeat_ms;
            return;
        }
        let request = HeartbeatRequest {
            group_id: self.group(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.profile.instance_id.clone(),
        };
        self.ask(UnderWay::Heartbeat, Ask::Heartbeat(request), outputs);
    }

    fn told(&mut self, now: Tick, answer: Answer, outputs: &mut Vec<Output>) {
        self.under_way = None;
        match answer {
            Answer::Join(answer) => self.joined(now, answer, outputs),
            Answer::Sync(answer) => self.synced(now, &answer, outputs),
            Answer::Heartbeat(answer) if answer.error_code.is_err() => {
                self.refuse(now, answer.error_code, outputs);
            }
            Answer::Heartbeat(_) => {
                self.pauses.reset();
                self.next_at = now + self.profile.heartbeat_ms;
            }
            // Whatever the coordinator says: the member is out, or will be.
            Answer::Leave => self.is_out(now, outputs),
            Answer::Modern(_) => {}
        }
    }

    fn joined(&mut self, now: Tick, answer: JoinGroupResponse, outputs: &mut Vec<Output>) {
        if answer.error_code == ErrorCode::MemberIdRequired {
            self.member_id = answer.member_id;
            self.next_at = now;
            return;
        }
        if answer.error_code.is_err() {
            self.refuse(now, answer.error_code, outputs);
            return;
        }
        self.pauses.reset();
        self.generation = answer.generation_id;
        self.protocol = answer.protocol_name;
        self.shares.clear();
        self.next_at = now;
        self.phase = Phase::Syncing;
        self.is_leader = answer.leader == answer.member_id;
        self.member_id = answer.member_id;
        if !self.is_leader || answer.skip_assignment {
            return;
        }
        self.wishes.clear();
        for member in answer.members {
            let read = ConsumerProtocolSubscription::from_bytes(member.metadata);
            let wish = match read {
                Ok((_, subscription)) => wish_of(subscription, member.group_instance_id.as_ref()),
                Err(error) => {
                    tracing::warn!(member = %member.member_id, %error, "a subscription cannot be read");
                    MemberWish::default()
                }
            };
            self.wishes.insert(member.member_id.to_string(), wish);
        }
        let topics = self.wishes.values().flat_map(|wish| wish.topics.clone());
        self.phase = Phase::Counting;
        outputs.push(Output::Count(topics.collect()));
    }

    fn share_out(&mut self, now: Tick, counts: &BTreeMap<Arc<str>, i32>) {
        if self.phase != Phase::Counting {
            return;
        }
        let wishes = std::mem::take(&mut self.wishes);
        let shares = match self.profile.classic_assignor {
            ClassicAssignor::Range => assign::range(&wishes, counts),
            ClassicAssignor::CooperativeSticky => assign::cooperative_sticky(&wishes, counts),
        };
        let shares = shares.into_iter().filter_map(|(id, share)| {
            let assignment = ConsumerProtocolAssignment {
                assigned_partitions: rows(&share),
                user_data: None,
            };
            let bytes = assignment.to_bytes(ASSIGNMENT_VERSION).ok()?;
            Some(SyncGroupRequestAssignment {
                member_id: Text::from(id),
                assignment: bytes,
            })
        });
        self.shares = shares.collect();
        self.phase = Phase::Syncing;
        self.next_at = now;
    }

    fn synced(&mut self, now: Tick, answer: &SyncGroupResponse, outputs: &mut Vec<Output>) {
        if answer.error_code.is_err() {
            self.refuse(now, answer.error_code, outputs);
            return;
        }
        let Ok(share) = read_assignment(answer.assignment.clone()) else {
            let code = ErrorCode::InconsistentGroupProtocol;
            let text = Text::from_static("the leader's assignment cannot be read");
            self.end(refused(&self.profile, code, Some(&text)), outputs);
            return;
        };
        self.pauses.reset();
        self.shares.clear();
        self.is_waited_for = !self.is_eager() && !self.joined_with.is_subset(&share);
        self.holding.follow(share);
        self.phase = Phase::Stable;
        self.next_at = now + self.profile.heartbeat_ms;
        if self.is_outdated {
            self.join_again(now, "its topics changed");
        }
    }

    fn refuse(&mut self, now: Tick, code: ErrorCode, outputs: &mut Vec<Output>) {
        match code {
            ErrorCode::RebalanceInProgress => {
                let is_waiting = self.phase == Phase::Joining && !self.holding.owned().is_empty();
                self.join_again(now, "the group rebalances");
                if is_waiting {
                    self.next_at = now + self.profile.heartbeat_ms;
                }
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                // Others may own the partitions by now: nothing of them may be committed.
                if code == ErrorCode::UnknownMemberId {
                    self.member_id = Text::EMPTY;
                }
                self.generation = -1;
                self.holding.lose();
                self.join_again(now, "it was fenced");
            }
            code if is_moved(code) => {
                outputs.push(Output::Moved);
                self.next_at = now + self.pauses.next_ms();
            }
            code if code.is_retriable() => self.next_at = now + self.pauses.next_ms(),
            code => self.end(refused(&self.profile, code, None), outputs),
        }
    }

    fn failed(&mut self, now: Tick, error: RequestError, outputs: &mut Vec<Output>) {
        let asked = self.under_way.take();
        outputs.push(Output::Moved);
        if asked == Some(UnderWay::Leave) {
            self.is_out(now, outputs);
        } else if error.can_retry() {
            if asked == Some(UnderWay::Sync) {
                // The answer may have been given; joining again finds out.
                self.join_again(now, "the coordinator did not answer");
            }
            self.next_at = now + self.pauses.next_ms().min(RETRY_BACKOFF_MAX_MS);
        } else {
            self.end(GroupError::Request(error), outputs);
        }
    }

    fn end(&mut self, error: GroupError, outputs: &mut Vec<Output>) {
        self.phase = Phase::Over;
        member::end(error, self.holding.owned().clone(), outputs);
    }
}

fn unwritable(error: &weir_wire::EncodeError) -> GroupError {
    GroupError::Config {
        reason: format!("the subscription cannot be written: {error}"),
    }
}

fn wish_of(subscription: ConsumerProtocolSubscription, instance: Option<&Text>) -> MemberWish {
    let topics = subscription.topics.iter();
    MemberWish {
        instance_id: instance.map(ToString::to_string),
        topics: topics.map(|topic| Arc::from(topic.as_str())).collect(),
        owned: set(&subscription.owned_partitions),
        generation: subscription.generation_id,
    }
}

/// What a share says; no bytes at all are no partitions.
pub(crate) fn read_assignment(
    bytes: Bytes,
) -> Result<BTreeSet<TopicPartition>, weir_wire::DecodeError> {
    if bytes.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (_, assignment) = ConsumerProtocolAssignment::from_bytes(bytes)?;
    Ok(set(&assignment.assigned_partitions))
}

fn set(rows: &[ConsumerProtocolTopicPartition]) -> BTreeSet<TopicPartition> {
    let mut all = BTreeSet::new();
    for row in rows {
        let topic: Arc<str> = Arc::from(row.topic.as_str());
        all.extend(row.partitions.iter().map(|partition| TopicPartition {
            topic: Arc::clone(&topic),
            partition: *partition,
        }));
    }
    all
}

fn rows(partitions: &BTreeSet<TopicPartition>) -> Vec<ConsumerProtocolTopicPartition> {
    let mut rows: Vec<ConsumerProtocolTopicPartition> = Vec::new();
    for partition in partitions {
        match rows.last_mut() {
            Some(row) if row.topic == *partition.topic => row.partitions.push(partition.partition),
            _ => rows.push(ConsumerProtocolTopicPartition {
                topic: Text::from(&*partition.topic),
                partitions: vec![partition.partition],
            }),
        }
    }
    rows
}
