//! Scripts for members: what goes in, line by line, and what must come out. No broker, no clock.

mod commits;

use super::{
    ClassicAssignor,
    classic::ClassicMember,
    member::{Answer, Ask, Input, Member, Output, Profile},
    modern::ModernMember,
};
use crate::{GroupError, error::RequestError, record::TopicPartition};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};
use weir_types::{ErrorCode, PartitionIndex, Tick, TopicId};
use weir_wire::{
    Embedded, Text,
    messages::{
        ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatResponse,
        ConsumerGroupHeartbeatTopicPartitions, ConsumerProtocolAssignment,
        ConsumerProtocolSubscription, ConsumerProtocolTopicPartition, HeartbeatResponse,
        JoinGroupResponse, JoinGroupResponseMember, SyncGroupResponse,
    },
};

const T: TopicId = TopicId([7; 16]);

fn profile(assignor: ClassicAssignor) -> Profile {
    Profile {
        group: Arc::from("g"),
        member_id: Text::from_static("m"),
        instance_id: None,
        rack: None,
        topics: BTreeSet::from([Arc::from("t")]),
        regex: None,
        server_assignor: None,
        classic_assignor: assignor,
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        heartbeat_ms: 3_000,
    }
}

struct Script {
    member: Member,
    now: Tick,
    last: Vec<Output>,
}

impl Script {
    fn modern() -> Self {
        Self::of(Member::Modern(ModernMember::new(profile(
            ClassicAssignor::Range,
        ))))
    }

    fn classic(assignor: ClassicAssignor) -> Self {
        Self::of(Member::Classic(ClassicMember::new(profile(assignor))))
    }

    const fn of(member: Member) -> Self {
        Self {
            member,
            now: Tick(0),
            last: Vec::new(),
        }
    }

    fn put(&mut self, input: Input) -> String {
        self.last = self.member.step(self.now, input);
        self.last.iter().map(show).collect::<Vec<_>>().join("; ")
    }

    /// Lets time pass until the member wants something.
    fn wait(&mut self) -> String {
        let due = self.member.due().expect("it waits for time");
        self.now = self.now.max(due);
        self.put(Input::Tick)
    }

    fn names(&mut self) -> String {
        self.put(Input::Names(BTreeMap::from([(T, Arc::from("t"))])))
    }
}

fn show(output: &Output) -> String {
    let list = |partitions: &BTreeSet<TopicPartition>| {
        let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        names.join(",")
    };
    match output {
        Output::Ask(Ask::Modern(ask)) => {
            let mut text = format!("heartbeat {}", ask.member_epoch);
            if ask.subscribed_topic_names.is_some() {
                text.push_str(" whole");
            }
            for row in ask.topic_partitions.iter().flatten() {
                let owned: Vec<_> = row.partitions.iter().map(|p| p.0).collect();
                write!(text, " owns {owned:?}").expect("a string");
            }
            if ask.topic_partitions.as_ref().is_some_and(Vec::is_empty) {
                text.push_str(" owns nothing");
            }
            text
        }
        Output::Ask(Ask::Join(ask)) => {
            let metadata = ask.protocols[0].metadata.clone();
            let (_, said) = ConsumerProtocolSubscription::from_bytes(metadata).expect("one");
            let owned = said.owned_partitions.iter().flat_map(|row| &row.partitions);
            let owned: Vec<_> = owned.map(|p| p.0).collect();
            format!("join `{}` owns {owned:?}", ask.member_id)
        }
        Output::Ask(Ask::Sync(ask)) => {
            let shares = ask.assignments.iter().map(|share| {
                let found = super::read_assignment(share.assignment.clone()).expect("one");
                format!(" {}={}", share.member_id, list(&found))
            });
            let shares: String = shares.collect();
            format!("sync {}{shares}", ask.generation_id)
        }
        Output::Ask(Ask::Heartbeat(ask)) => format!("alive {}", ask.generation_id),
        Output::Ask(Ask::Leave(_)) => String::from("leave"),
        Output::Moved => String::from("moved"),
        Output::Release {
            partitions,
            is_lost,
        } => {
            let word = if *is_lost { "lose" } else { "release" };
            format!("{word} {}", list(partitions))
        }
        Output::Take(partitions) => format!("take {}", list(partitions)),
        Output::Resolve(ids) => format!("resolve {}", ids.len()),
        Output::Count(topics) => format!("count {}", topics.len()),
        Output::Fail(error) => format!("fail: {error}"),
        Output::Left => String::from("left"),
    }
}

fn beat(epoch: i32, assigned: Option<&[i32]>) -> Input {
    let rows = |partitions: &[i32]| ConsumerGroupHeartbeatAssignment {
        topic_partitions: vec![ConsumerGroupHeartbeatTopicPartitions {
            topic_id: T,
            partitions: partitions.iter().map(|p| PartitionIndex(*p)).collect(),
        }],
    };
    Input::Told(Answer::Modern(ConsumerGroupHeartbeatResponse {
        member_epoch: epoch,
        heartbeat_interval_ms: 5_000,
        assignment: assigned.map(rows),
        ..ConsumerGroupHeartbeatResponse::default()
    }))
}

fn refusal(error_code: ErrorCode) -> Input {
    Input::Told(Answer::Modern(ConsumerGroupHeartbeatResponse {
        error_code,
        ..ConsumerGroupHeartbeatResponse::default()
    }))
}

fn unreachable_broker() -> Input {
    Input::Failed(RequestError::UnknownBroker { id: 1 })
}

/// A member that owns 0 and 1 and has nothing to say.
fn settled() -> Script {
    let mut script = Script::modern();
    assert_eq!(script.put(Input::Tick), "heartbeat 0 whole owns nothing");
    assert_eq!(script.put(beat(1, Some(&[0, 1]))), "resolve 1");
    assert_eq!(script.names(), "take t-0,t-1");
    assert_eq!(script.put(Input::Taken), "heartbeat 1 owns [0, 1]");
    assert_eq!(script.put(beat(1, None)), "");
    script
}

#[test]
fn names_that_nobody_knows_are_asked_for_again_and_not_while_the_reader_works() {
    let mut script = settled();
    script.wait();
    let mut answer = beat(1, Some(&[0]));
    if let Input::Told(Answer::Modern(answer)) = &mut answer {
        let rows = &mut answer.assignment.as_mut().expect("one").topic_partitions;
        rows.push(ConsumerGroupHeartbeatTopicPartitions {
            topic_id: TopicId([9; 16]),
            partitions: vec![PartitionIndex(0)],
        });
    }
    assert_eq!(script.put(answer), "release t-1");
    assert_eq!(
        script.put(Input::Released),
        "resolve 1; heartbeat 1 owns [0]"
    );
    assert_eq!(script.put(beat(1, None)), "");
    assert_eq!(script.put(Input::Names(BTreeMap::new())), "");
    let before = script.now;
    assert_eq!(script.wait(), "resolve 1");
    assert_eq!(script.now.0 - before.0, 1_000);
    assert_eq!(script.put(Input::Names(BTreeMap::new())), "");
    assert_eq!(script.put(Input::Stalled), "heartbeat -1");
    script.put(beat(-1, None));
    assert_eq!(script.member.due(), None, "it does not spin");
}

#[test]
fn a_member_keeps_what_it_keeps_and_tells_what_it_gave_up() {
    let mut script = settled();
    assert_eq!(script.wait(), "heartbeat 1");
    assert_eq!(script.now, Tick(5_000));
    assert_eq!(script.put(beat(1, Some(&[0]))), "release t-1");
    // A slow reader does not keep it from living on.
    assert_eq!(script.wait(), "heartbeat 1");
    assert_eq!(script.put(beat(1, None)), "");
    assert_eq!(script.put(Input::Released), "heartbeat 1 owns [0]");
    assert_eq!(script.put(beat(2, Some(&[0, 2]))), "take t-2");
    assert_eq!(script.put(Input::Taken), "heartbeat 2 owns [0, 2]");
    assert_eq!(script.member.identity().epoch, 2);
}

#[test]
fn what_is_being_taken_in_is_told_as_owned() {
    let mut script = settled();
    script.wait();
    assert_eq!(script.put(beat(1, Some(&[0, 1, 2]))), "take t-2");
    assert_eq!(script.wait(), "heartbeat 1");
    assert_eq!(script.put(unreachable_broker()), "moved");
    assert_eq!(script.wait(), "heartbeat 1 whole owns [0, 1, 2]");
    assert_eq!(script.put(beat(1, None)), "");
    assert_eq!(script.put(Input::Taken), "", "it was told");
    assert_eq!(script.wait(), "heartbeat 1");
}

#[test]
fn what_was_not_taken_in_is_not_owned_and_taken_in_again() {
    let mut script = settled();
    script.wait();
    assert_eq!(script.put(beat(1, Some(&[0, 1, 2]))), "take t-2");
    assert_eq!(script.put(Input::NotTaken), "take t-2");
    assert_eq!(script.put(Input::Taken), "heartbeat 1 owns [0, 1, 2]");
    assert_eq!(script.put(beat(1, Some(&[0, 1, 2, 3]))), "take t-3");
    script.wait();
    let fenced = ErrorCode::FencedMemberEpoch;
    assert_eq!(script.put(refusal(fenced)), "", "the reader is asked");
    assert_eq!(script.put(Input::NotTaken), "lose t-0,t-1,t-2");

    let mut script = Script::classic(ClassicAssignor::CooperativeSticky);
    script.put(Input::Tick);
    script.put(id_required());
    assert_eq!(script.put(joined(1, "c-2", &[])), "sync 1");
    assert_eq!(script.put(synced(&[0, 1])), "take t-0,t-1");
    script.wait();
    let again = script.put(alive(ErrorCode::RebalanceInProgress));
    assert_eq!(again, "join `c-1` owns [0, 1]");
    assert_eq!(script.put(Input::NotTaken), "");
    assert_eq!(script.put(joined(2, "c-2", &[])), "sync 2");
    assert_eq!(script.put(synced(&[0, 1])), "take t-0,t-1");
}

#[test]
fn an_assignment_that_changes_while_the_reader_works_is_followed_afterwards() {
    let mut script = settled();
    script.wait();
    assert_eq!(script.put(beat(1, Some(&[0, 1, 2]))), "take t-2");
    script.wait();
    assert_eq!(script.put(beat(2, Some(&[1]))), "");
    let out = script.put(Input::Taken);
    assert_eq!(out, "release t-0,t-2; heartbeat 2 owns [0, 1, 2]");
    assert_eq!(script.put(Input::Released), "");
    // The answer to what is outdated is followed at once by what is true.
    assert_eq!(script.put(beat(2, None)), "heartbeat 2 owns [1]");
}

#[test]
fn a_fenced_member_loses_everything_before_it_joins_again() {
    for code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut script = settled();
        script.wait();
        assert_eq!(script.put(refusal(code)), "lose t-0,t-1");
        assert_eq!(script.member.identity().epoch, -1, "nobody may commit");
        assert_eq!(script.member.due(), None, "the reader comes first");
        let out = script.put(Input::Released);
        assert_eq!(out, "heartbeat 0 whole owns nothing");
        assert_eq!(script.put(beat(7, Some(&[1]))), "take t-1");
    }
}

#[test]
fn a_coordinator_that_moves_is_told_everything() {
    let mut script = settled();
    script.wait();
    assert_eq!(script.put(refusal(ErrorCode::NotCoordinator)), "moved");
    assert_eq!(script.wait(), "heartbeat 1 whole owns [0, 1]");
    assert_eq!(script.put(unreachable_broker()), "moved");
    let before = script.now;
    assert_eq!(script.wait(), "heartbeat 1 whole owns [0, 1]");
    assert!(script.now.0 - before.0 >= 100, "the pauses grow");
    assert_eq!(script.put(beat(1, None)), "");
    let loading = ErrorCode::CoordinatorLoadInProgress;
    script.wait();
    assert_eq!(script.put(refusal(loading)), "");
    assert_eq!(script.wait(), "heartbeat 1 whole owns [0, 1]");
}

#[test]
fn a_program_that_does_not_poll_is_out_until_it_does() {
    let mut script = settled();
    assert_eq!(script.put(Input::Stalled), "heartbeat -1");
    assert_eq!(script.put(beat(-1, None)), "lose t-0,t-1");
    assert_eq!(script.member.due(), None);
    assert_eq!(script.put(Input::Released), "");
    assert_eq!(script.put(Input::Tick), "");
    let out = script.put(Input::Polled);
    assert_eq!(out, "heartbeat 0 whole owns nothing");
}

#[test]
fn leaving_waits_for_the_answer_under_way_and_a_static_member_says_that_it_returns() {
    let mut script = settled();
    script.wait();
    assert_eq!(script.put(Input::Leave), "");
    assert_eq!(script.put(beat(1, None)), "heartbeat -1");
    assert_eq!(script.put(unreachable_broker()), "moved; left");
    assert!(script.member.is_over());

    let mut wanted = profile(ClassicAssignor::Range);
    wanted.instance_id = Some(Text::from_static("i"));
    let mut script = Script::of(Member::Modern(ModernMember::new(wanted)));
    script.put(Input::Tick);
    script.put(beat(1, None));
    assert_eq!(script.put(Input::Leave), "heartbeat -2");
    assert_eq!(script.put(beat(-2, None)), "left");
}

#[test]
fn a_refusal_for_good_ends_the_member() {
    let mut script = settled();
    script.wait();
    let out = script.put(refusal(ErrorCode::UnreleasedInstanceId));
    assert!(out.starts_with("fail: group g: "), "{out}");
    assert!(out.ends_with("lose t-0,t-1"), "{out}");
    assert!(matches!(
        script.last[0],
        Output::Fail(GroupError::Refused { .. })
    ));
    assert_eq!(script.put(Input::Tick), "");
}

fn joined(generation_id: i32, leader: &str, members: &[(&str, &[i32])]) -> Input {
    let member = |(id, owned): &(&str, &[i32])| JoinGroupResponseMember {
        member_id: Text::from(*id),
        metadata: ConsumerProtocolSubscription {
            topics: vec![Text::from_static("t")],
            owned_partitions: rows(owned),
            generation_id: generation_id - 1,
            ..ConsumerProtocolSubscription::default()
        }
        .to_bytes(3)
        .expect("written"),
        ..JoinGroupResponseMember::default()
    };
    Input::Told(Answer::Join(JoinGroupResponse {
        generation_id,
        leader: Text::from(leader),
        member_id: Text::from_static("c-1"),
        members: members.iter().map(member).collect(),
        ..JoinGroupResponse::default()
    }))
}

fn rows(partitions: &[i32]) -> Vec<ConsumerProtocolTopicPartition> {
    vec![ConsumerProtocolTopicPartition {
        topic: Text::from_static("t"),
        partitions: partitions.iter().map(|p| PartitionIndex(*p)).collect(),
    }]
}

fn synced(partitions: &[i32]) -> Input {
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: rows(partitions),
        user_data: None,
    };
    Input::Told(Answer::Sync(SyncGroupResponse {
        assignment: assignment.to_bytes(0).expect("written"),
        ..SyncGroupResponse::default()
    }))
}

fn alive(error_code: ErrorCode) -> Input {
    Input::Told(Answer::Heartbeat(HeartbeatResponse {
        error_code,
        ..HeartbeatResponse::default()
    }))
}

fn id_required() -> Input {
    Input::Told(Answer::Join(JoinGroupResponse {
        error_code: ErrorCode::MemberIdRequired,
        member_id: Text::from_static("c-1"),
        ..JoinGroupResponse::default()
    }))
}

/// A leader alone, with partitions 0 to 3.
fn leader(assignor: ClassicAssignor) -> Script {
    let mut script = Script::classic(assignor);
    assert_eq!(script.put(Input::Tick), "join `` owns []");
    assert_eq!(script.put(id_required()), "join `c-1` owns []");
    assert_eq!(script.put(joined(1, "c-1", &[("c-1", &[])])), "count 1");
    let counts = Input::Counts(BTreeMap::from([(Arc::from("t"), 4)]));
    assert_eq!(script.put(counts), "sync 1 c-1=t-0,t-1,t-2,t-3");
    assert_eq!(script.put(synced(&[0, 1, 2, 3])), "take t-0,t-1,t-2,t-3");
    assert_eq!(script.put(Input::Taken), "");
    assert_eq!(script.wait(), "alive 1");
    script
}

#[test]
fn a_cooperative_member_reads_through_a_rebalance_and_joins_again_for_the_others() {
    let mut script = leader(ClassicAssignor::CooperativeSticky);
    let again = script.put(alive(ErrorCode::RebalanceInProgress));
    assert_eq!(again, "join `c-1` owns [0, 1, 2, 3]");
    let members: [(&str, &[i32]); 2] = [("c-1", &[0, 1, 2, 3]), ("c-2", &[])];
    assert_eq!(script.put(joined(2, "c-1", &members)), "count 1");
    let counts = Input::Counts(BTreeMap::from([(Arc::from("t"), 4)]));
    assert_eq!(script.put(counts), "sync 2 c-1=t-0,t-1 c-2=");
    assert_eq!(script.put(synced(&[0, 1])), "release t-2,t-3");
    assert_eq!(script.put(Input::Released), "join `c-1` owns [0, 1]");
    assert_eq!(script.put(joined(3, "c-2", &[])), "sync 3");
    assert_eq!(script.put(synced(&[0, 1])), "");
    assert_eq!(script.wait(), "alive 3");
    assert_eq!(script.put(alive(ErrorCode::None)), "");
}

#[test]
fn an_eager_member_gives_everything_up_first_and_lives_on_meanwhile() {
    let mut script = leader(ClassicAssignor::Range);
    let out = script.put(alive(ErrorCode::RebalanceInProgress));
    assert_eq!(out, "release t-0,t-1,t-2,t-3; alive 1");
    assert_eq!(script.put(alive(ErrorCode::RebalanceInProgress)), "");
    assert_eq!(script.put(Input::Released), "join `c-1` owns []");
}

#[test]
fn a_classic_member_that_was_fenced_loses_everything_and_begins_anew() {
    let mut script = leader(ClassicAssignor::CooperativeSticky);
    let out = script.put(alive(ErrorCode::UnknownMemberId));
    assert_eq!(out, "lose t-0,t-1,t-2,t-3");
    assert_eq!(script.member.identity().epoch, -1);
    assert_eq!(script.put(Input::Released), "join `` owns []");
}

#[test]
fn a_classic_member_leaves_by_its_id() {
    let mut script = leader(ClassicAssignor::CooperativeSticky);
    assert_eq!(script.put(Input::Leave), "");
    assert_eq!(script.put(alive(ErrorCode::None)), "leave");
    assert_eq!(script.put(unreachable_broker()), "moved; left");
}

#[test]
fn topics_that_change_during_a_rebalance_are_told_after_it() {
    let two = || Input::Topics(BTreeSet::from([Arc::from("t"), Arc::from("u")]));
    let one = || Input::Topics(BTreeSet::from([Arc::from("t")]));
    let mut script = leader(ClassicAssignor::CooperativeSticky);
    script.put(alive(ErrorCode::RebalanceInProgress));
    assert_eq!(script.put(two()), "", "the join is under way");
    assert_eq!(script.put(joined(2, "c-2", &[])), "sync 2");
    let out = script.put(synced(&[0, 1, 2, 3]));
    assert_eq!(out, "join `c-1` owns [0, 1, 2, 3]");

    // Nothing new: what was counted a moment ago was shared out.
    let all: (&str, &[i32]) = ("c-1", &[0, 1, 2, 3]);
    assert_eq!(script.put(joined(3, "c-1", &[all])), "count 1");
    assert_eq!(script.put(two()), "");
    let counts = || Input::Counts(BTreeMap::from([(Arc::from("t"), 4)]));
    assert_eq!(script.put(counts()), "sync 3 c-1=t-0,t-1,t-2,t-3");
    assert_eq!(script.put(synced(&[0, 1, 2, 3])), "");

    // The same topics with other partitions, once they are shared out.
    assert_eq!(script.put(one()), "join `c-1` owns [0, 1, 2, 3]");
    assert_eq!(script.put(joined(4, "c-1", &[all])), "count 1");
    script.put(counts());
    assert_eq!(script.put(one()), "");
    let out = script.put(synced(&[0, 1, 2, 3]));
    assert_eq!(out, "join `c-1` owns [0, 1, 2, 3]");
}

#[test]
fn new_partitions_make_it_join_again() {
    let mut script = leader(ClassicAssignor::CooperativeSticky);
    script.put(alive(ErrorCode::None));
    let topics = Input::Topics(BTreeSet::from([Arc::from("t"), Arc::from("u")]));
    assert_eq!(script.put(topics), "join `c-1` owns [0, 1, 2, 3]");
}
