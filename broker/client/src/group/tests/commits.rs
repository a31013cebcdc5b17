//! Commits of a whole consumer against a coordinator that the test plays, request by request: what
//! is committed when partitions go, and what must never be.

use crate::{
    ErrorCode, GroupConsumer, GroupConsumerBuilder, GroupError, GroupProtocol, OffsetReset,
    RebalanceListener,
    fake::{Asked, FakeCluster, topic_id},
    group::Commit,
    record::TopicPartition,
};
use std::collections::BTreeSet;
use tokio::sync::{mpsc, oneshot};
use weir_types::{Offset, PartitionIndex};
use weir_wire::{
    Embedded, Request, Response,
    messages::{
        ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatResponse,
        ConsumerGroupHeartbeatTopicPartitions, ConsumerProtocolAssignment,
        ConsumerProtocolTopicPartition, JoinGroupResponse, OffsetCommitResponse,
        OffsetCommitResponsePartition, OffsetCommitResponseTopic, OffsetFetchResponse,
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
        SyncGroupResponse,
    },
};

type Reply = oneshot::Sender<Response>;

/// A consumer of topic `t`, and what it asks the coordinator.
struct Stage {
    consumer: GroupConsumer,
    asked: mpsc::UnboundedReceiver<Asked>,
}

impl Stage {
    async fn new(set: impl FnOnce(GroupConsumerBuilder) -> GroupConsumerBuilder) -> Self {
        let cluster = FakeCluster::with_topic("t", 2);
        let asked = cluster.coordinate();
        let client = cluster.client().await;
        let builder = client.group("g").topics(["t"]);
        let builder = set(builder.offset_reset(OffsetReset::Earliest));
        Self {
            consumer: builder.build().expect("builds"),
            asked,
        }
    }

    /// The next request, while the program polls.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            asked = self.asked.recv() => asked.expect("the client asks"),
            record = self.consumer.next() => panic!("there are no records: {record:?}"),
        }
    }

    async fn heartbeat(&mut self, epoch: i32) -> Reply {
        match self.next().await {
            (Request::ConsumerGroupHeartbeat(asked), reply) => {
                assert_eq!(asked.member_epoch, epoch, "{asked:?}");
                reply
            }
            (other, _) => panic!("not a heartbeat: {other:?}"),
        }
    }

    /// What is committed of partition 0, and in which epoch.
    async fn commit(&mut self) -> ((i32, i64), Reply) {
        match self.next().await {
            (Request::OffsetCommit(asked), reply) => {
                let row = &asked.topics[0].partitions[0];
                let epoch = asked.generation_id_or_member_epoch;
                ((epoch, row.committed_offset.0), reply)
            }
            (other, _) => panic!("not a commit: {other:?}"),
        }
    }

    async fn place(&mut self) -> Reply {
        match self.next().await {
            (Request::OffsetFetch(_), reply) => reply,
            (other, _) => panic!("not a look for offsets: {other:?}"),
        }
    }

    /// Lets the program poll until it is so.
    async fn until(&mut self, is_so: impl Fn(&GroupConsumer) -> bool) {
        while !is_so(&self.consumer) {
            tokio::select! {
                biased;
                record = self.consumer.next() => panic!("there are no records: {record:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
}

fn answer(reply: Reply, response: impl Into<Response>) {
    reply.send(response.into()).expect("the client waits");
}

/// An answer after which no heartbeat is due for a long time.
fn quiet(member_epoch: i32) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        member_epoch,
        heartbeat_interval_ms: 600_000,
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

fn share(member_epoch: i32, partitions: &[i32]) -> ConsumerGroupHeartbeatResponse {
    let rows = vec![ConsumerGroupHeartbeatTopicPartitions {
        topic_id: topic_id("t"),
        partitions: partitions.iter().map(|p| PartitionIndex(*p)).collect(),
    }];
    ConsumerGroupHeartbeatResponse {
        assignment: Some(ConsumerGroupHeartbeatAssignment {
            topic_partitions: rows,
        }),
        ..quiet(member_epoch)
    }
}

/// The group keeps this offset of partition 0, or none where it is negative.
fn offset(kept: i64) -> OffsetFetchResponse {
    OffsetFetchResponse {
        groups: vec![OffsetFetchResponseGroup {
            group_id: "g".into(),
            topics: vec![OffsetFetchResponseTopics {
                name: "t".into(),
                partitions: vec![OffsetFetchResponsePartitions {
                    partition_index: PartitionIndex(0),
                    committed_offset: Offset(kept),
                    ..OffsetFetchResponsePartitions::default()
                }],
                ..OffsetFetchResponseTopics::default()
            }],
            ..OffsetFetchResponseGroup::default()
        }],
        ..OffsetFetchResponse::default()
    }
}

fn taken(error_code: ErrorCode) -> OffsetCommitResponse {
    OffsetCommitResponse {
        topics: vec![OffsetCommitResponseTopic {
            topic_id: topic_id("t"),
            partitions: vec![OffsetCommitResponsePartition {
                partition_index: PartitionIndex(0),
                error_code,
            }],
            ..OffsetCommitResponseTopic::default()
        }],
        ..OffsetCommitResponse::default()
    }
}

fn by_hand(consumer: &mut GroupConsumer, at: i64) -> Commit {
    let partition = TopicPartition::new("t", 0);
    consumer.commit_offsets([(partition, Offset(at).into())])
}

#[tokio::test]
async fn an_old_commit_is_not_repeated_by_the_member_that_came_back() {
    let mut stage = Stage::new(GroupConsumerBuilder::manual_commit).await;
    answer(stage.heartbeat(0).await, share(5, &[0]));
    answer(stage.place().await, offset(0));
    let beat = stage.heartbeat(5).await;
    let commit = by_hand(&mut stage.consumer, 7);
    let (asked, reply) = stage.commit().await;
    assert_eq!(asked, (5, 7));
    let mut fenced = quiet(0);
    fenced.error_code = ErrorCode::FencedMemberEpoch;
    answer(beat, fenced);
    // It loses the partition, comes back and is to have it again.
    answer(stage.heartbeat(0).await, share(9, &[0]));
    stage.until(|consumer| consumer.epoch() == Some(9)).await;
    answer(reply, taken(ErrorCode::CoordinatorLoadInProgress));
    let place = stage.place().await;
    let error = tokio::select! {
        done = commit => done.expect_err("it is another member now"),
        asked = stage.next() => panic!("too late for {:?}", asked.0),
    };
    assert!(
        matches!(&error, GroupError::Commit { error, .. }
            if error.code == ErrorCode::UnknownMemberId),
        "{error}"
    );
    answer(place, offset(20));
    answer(stage.heartbeat(9).await, quiet(9));
    // Its own commits go through.
    let commit = by_hand(&mut stage.consumer, 21);
    let (asked, reply) = stage.commit().await;
    assert_eq!(asked, (9, 21));
    answer(reply, taken(ErrorCode::None));
    commit.await.expect("committed");
}

#[tokio::test]
async fn partitions_are_given_up_only_behind_the_commits_that_wait() {
    let mut stage = Stage::new(GroupConsumerBuilder::manual_commit).await;
    answer(stage.heartbeat(0).await, share(5, &[0]));
    answer(stage.place().await, offset(0));
    let beat = stage.heartbeat(5).await;
    let commit = by_hand(&mut stage.consumer, 7);
    let (asked, reply) = stage.commit().await;
    assert_eq!(asked, (5, 7));
    answer(beat, share(5, &[]));
    stage
        .until(|consumer| consumer.assignment().is_empty())
        .await;
    answer(reply, taken(ErrorCode::CoordinatorLoadInProgress));
    let (asked, reply) = stage.commit().await;
    assert_eq!(asked, (5, 7), "others would read it again");
    answer(reply, taken(ErrorCode::None));
    commit.await.expect("committed");
    match stage.next().await {
        (Request::ConsumerGroupHeartbeat(asked), _) => {
            assert_eq!(asked.topic_partitions, Some(Vec::new()));
        }
        (other, _) => panic!("not a heartbeat: {other:?}"),
    }
}

#[tokio::test]
async fn what_was_read_of_a_topic_that_is_gone_is_committed_for_no_other() {
    let mut stage = Stage::new(GroupConsumerBuilder::manual_commit).await;
    answer(stage.heartbeat(0).await, share(5, &[0]));
    answer(stage.place().await, offset(0));
    let _beat = stage.heartbeat(5).await;
    let commit = by_hand(&mut stage.consumer, 7);
    match stage.next().await {
        (Request::OffsetCommit(asked), reply) => {
            assert_eq!(asked.topics[0].topic_id, topic_id("t"));
            answer(reply, taken(ErrorCode::UnknownTopicId));
        }
        (other, _) => panic!("not a commit: {other:?}"),
    }
    let error = tokio::select! {
        done = commit => done.expect_err("it is gone"),
        asked = stage.next() => panic!("in vain: {:?}", asked.0),
    };
    assert!(
        matches!(&error, GroupError::Commit { error, .. }
            if error.code == ErrorCode::UnknownTopicId),
        "{error}"
    );
}

/// What a listener hears of offsets that are dropped.
struct Gleaner(mpsc::UnboundedSender<BTreeSet<TopicPartition>>);

impl RebalanceListener for Gleaner {
    fn offsets_dropped(&mut self, partitions: &BTreeSet<TopicPartition>, _: &str) {
        self.0.send(partitions.clone()).expect("the test listens");
    }
}

#[tokio::test(start_paused = true)]
async fn an_automatic_commit_for_a_topic_that_is_gone_is_dropped() {
    let (told, mut dropped) = mpsc::unbounded_channel();
    let mut stage = Stage::new(|builder| builder.listener(Gleaner(told))).await;
    answer(stage.heartbeat(0).await, share(5, &[0]));
    answer(stage.place().await, offset(-1));
    let beat = stage.heartbeat(5).await;
    // By time.
    let (asked, reply) = stage.commit().await;
    assert_eq!(asked, (5, 0));
    answer(reply, taken(ErrorCode::UnknownTopicId));
    let partitions = tokio::select! {
        partitions = dropped.recv() => partitions,
        asked = stage.next() => panic!("in vain: {:?}", asked.0),
    };
    let gone = BTreeSet::from([TopicPartition::new("t", 0)]);
    assert_eq!(partitions, Some(gone));
    // It is not tried again, neither by time nor when the partition goes.
    tokio::select! {
        () = tokio::time::sleep(std::time::Duration::from_secs(20)) => {}
        asked = stage.next() => panic!("in vain: {:?}", asked.0),
    }
    answer(beat, share(5, &[]));
    match stage.next().await {
        (Request::ConsumerGroupHeartbeat(asked), _) => {
            assert_eq!(asked.topic_partitions, Some(Vec::new()));
        }
        (other, _) => panic!("not a heartbeat: {other:?}"),
    }
    assert!(dropped.try_recv().is_err(), "it is told once");
}

#[tokio::test]
async fn a_last_commit_for_a_topic_that_is_gone_is_no_error() {
    let (told, mut dropped) = mpsc::unbounded_channel();
    let mut stage = Stage::new(|builder| builder.listener(Gleaner(told))).await;
    answer(stage.heartbeat(0).await, share(5, &[0]));
    answer(stage.place().await, offset(-1));
    answer(stage.heartbeat(5).await, quiet(5));
    let Stage {
        consumer,
        mut asked,
    } = stage;
    let coordinator = async {
        loop {
            match asked.recv().await.expect("the client asks") {
                (Request::OffsetCommit(_), reply) => {
                    answer(reply, taken(ErrorCode::UnknownTopicId));
                }
                (Request::ConsumerGroupHeartbeat(asked), reply) => {
                    assert_eq!(asked.member_epoch, -1, "it leaves");
                    answer(reply, quiet(-1));
                    return;
                }
                (other, _) => panic!("not a commit: {other:?}"),
            }
        }
    };
    let (closed, ()) = tokio::join!(consumer.close(), coordinator);
    closed.expect("nobody wants that offset");
    let gone = BTreeSet::from([TopicPartition::new("t", 0)]);
    assert_eq!(dropped.try_recv(), Ok(gone));
}

#[tokio::test]
async fn what_did_not_move_is_given_up_without_a_commit() {
    let mut stage = Stage::new(|builder| builder).await;
    answer(stage.heartbeat(0).await, share(5, &[0]));
    answer(stage.place().await, offset(0));
    answer(stage.heartbeat(5).await, share(5, &[]));
    // The group may have gone on meanwhile, and would be set back.
    match stage.next().await {
        (Request::ConsumerGroupHeartbeat(asked), _) => {
            assert_eq!(asked.topic_partitions, Some(Vec::new()));
        }
        (other, _) => panic!("not a heartbeat: {other:?}"),
    }
}

#[tokio::test]
async fn where_the_group_keeps_nothing_the_first_place_is_committed() {
    let mut stage = Stage::new(|builder| builder).await;
    answer(stage.heartbeat(0).await, share(5, &[0]));
    answer(stage.place().await, offset(-1));
    answer(stage.heartbeat(5).await, share(5, &[]));
    let (asked, _) = stage.commit().await;
    assert_eq!(asked, (5, 0));
}

#[tokio::test(start_paused = true)]
async fn a_last_commit_that_takes_too_long_is_an_error_and_the_member_leaves() {
    let mut stage = Stage::new(|builder| builder).await;
    answer(stage.heartbeat(0).await, share(5, &[0]));
    answer(stage.place().await, offset(-1));
    answer(stage.heartbeat(5).await, quiet(5));
    let Stage {
        consumer,
        mut asked,
    } = stage;
    let coordinator = async {
        let mut unanswered = Vec::new();
        loop {
            match asked.recv().await.expect("the client asks") {
                (Request::OffsetCommit(_), reply) => unanswered.push(reply),
                (Request::ConsumerGroupHeartbeat(asked), reply) => {
                    assert_eq!(asked.member_epoch, -1, "it leaves nevertheless");
                    answer(reply, quiet(-1));
                    return unanswered;
                }
                (other, _) => panic!("not a commit: {other:?}"),
            }
        }
    };
    let (closed, unanswered) = tokio::join!(consumer.close(), coordinator);
    assert!(!unanswered.is_empty());
    let timeout_ms = crate::limits::OPERATION_TIMEOUT_MS;
    assert!(
        matches!(&closed, Err(GroupError::CommitTimeout { timeout_ms: limit }) if *limit == timeout_ms),
        "{closed:?}"
    );
}

#[tokio::test]
async fn a_share_is_placed_through_a_rebalance_that_begins_meanwhile() {
    let mut stage = Stage::new(|builder| builder.protocol(GroupProtocol::Classic)).await;
    let (asked, reply) = stage.next().await;
    assert!(matches!(asked, Request::JoinGroup(_)), "{asked:?}");
    let joined = JoinGroupResponse {
        generation_id: 1,
        leader: "other".into(),
        member_id: "c-1".into(),
        ..JoinGroupResponse::default()
    };
    answer(reply, joined);
    let (asked, reply) = stage.next().await;
    assert!(matches!(asked, Request::SyncGroup(_)), "{asked:?}");
    let share = ConsumerProtocolAssignment {
        assigned_partitions: vec![ConsumerProtocolTopicPartition {
            topic: "t".into(),
            partitions: vec![PartitionIndex(0)],
        }],
        user_data: None,
    };
    let synced = SyncGroupResponse {
        assignment: share.to_bytes(0).expect("written"),
        ..SyncGroupResponse::default()
    };
    answer(reply, synced);
    let mut refused = offset(0);
    refused.groups[0].error_code = ErrorCode::IllegalGeneration;
    answer(stage.place().await, refused);
    // The next generation is on its way: the member is no worse off than before.
    answer(stage.place().await, offset(0));
    stage
        .until(|consumer| consumer.assignment().len() == 1)
        .await;
    let partition = TopicPartition::new("t", 0);
    assert_eq!(stage.consumer.position(&partition), Some(Offset(0)));
}
