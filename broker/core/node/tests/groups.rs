//! Consumer groups through a whole broker in one thread, by request and response: members of both
//! protocols, offsets, restarts, and what is refused.

mod broker;

use broker::{Broker, client};
use expect_test::{Expect, expect};
use weir_node::Notice;
use weir_types::{ErrorCode, Offset, PartitionIndex};
use weir_wire::{Response, Text, messages::*};

fn text(text: &str) -> Text {
    Text::from(text)
}

/// Takes the body of a response, which must be of that kind.
macro_rules! body {
    ($kind:ident, $response:expr) => {
        match $response {
            Response::$kind(body) => body,
            other => panic!("not an answer to {}: {other:?}", stringify!($kind)),
        }
    };
}

fn same(lines: &[String], expected: &Expect) {
    expected.assert_eq(&lines.join("\n"));
}

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.create("orders", &[]);
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![text("shop")],
        ..Default::default()
    };
    let found = body!(FindCoordinator, broker.ask(4, request));
    assert_eq!(found.coordinators[0].host, "quic.example", "{found:?}");
    broker
}

fn join(member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: text("shop"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        member_id: text(member),
        protocol_type: text("consumer"),
        protocols: vec![JoinGroupRequestProtocol {
            name: text("range"),
            metadata: subscription(),
        }],
        ..Default::default()
    }
}

/// A subscription to `orders`, version 0 of the consumer protocol.
fn subscription() -> bytes::Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 6];
    bytes.extend_from_slice(b"orders");
    bytes.extend_from_slice(&[0; 4]);
    bytes.into()
}

fn sync(generation: i32, member: &str, given: &[(&str, &'static [u8])]) -> SyncGroupRequest {
    let given = given
        .iter()
        .map(|(member, bytes)| SyncGroupRequestAssignment {
            member_id: text(member),
            assignment: bytes::Bytes::from_static(bytes),
        });
    SyncGroupRequest {
        group_id: text("shop"),
        generation_id: generation,
        member_id: text(member),
        assignments: given.collect(),
        ..Default::default()
    }
}

fn commit(generation: i32, member: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: text("shop"),
        generation_id_or_member_epoch: generation,
        member_id: text(member),
        topics: vec![OffsetCommitRequestTopic {
            name: text("orders"),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: PartitionIndex(partition),
                committed_offset: Offset(offset),
                committed_metadata: Some(text("note")),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn committed(response: Response) -> ErrorCode {
    body!(OffsetCommit, response).topics[0].partitions[0].error_code
}

/// Every offset that the group has committed.
fn offsets(broker: &mut Broker) -> Vec<String> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: text("shop"),
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let fetched = body!(OffsetFetch, broker.ask(8, request));
    let group = &fetched.groups[0];
    let mut lines = Vec::new();
    if group.error_code.is_err() {
        lines.push(group.error_code.name().to_string());
    }
    for topic in &group.topics {
        for row in &topic.partitions {
            let note = row.metadata.clone().unwrap_or_default();
            let (index, offset) = (row.partition_index, row.committed_offset);
            lines.push(format!("{}/{index} {offset} {note}", topic.name));
        }
    }
    lines
}

/// The group as people see it.
fn described(broker: &mut Broker) -> Vec<String> {
    let request = DescribeGroupsRequest {
        groups: vec![text("shop"), text("nobody")],
        ..Default::default()
    };
    let groups = body!(DescribeGroups, broker.ask(5, request)).groups;
    let line = |group: DescribedGroup| {
        let (id, state, protocol) = (group.group_id, group.group_state, group.protocol_data);
        let members = group.members.iter().map(|member| {
            let given = member.member_assignment.clone();
            let (client, host) = (&member.client_id, &member.client_host);
            format!(" {client}{host} {}", String::from_utf8_lossy(&given))
        });
        let members: String = members.collect();
        format!(
            "{id} {} {state} '{protocol}'{members}",
            group.error_code.name()
        )
    };
    groups.into_iter().map(line).collect()
}

fn beating(member: &Text) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: text("shop"),
        generation_id: 1,
        member_id: member.clone(),
        group_instance_id: None,
    }
}

/// Two members join and share out the topic; returns their ids, the leader first.
fn two_members(broker: &mut Broker) -> (Text, Text) {
    let first = body!(JoinGroup, broker.ask(4, join("")));
    let second = body!(JoinGroup, broker.ask(4, join("")));
    assert_eq!(first.error_code, ErrorCode::MemberIdRequired);
    assert!(first.member_id.starts_with("tests-"), "{first:?}");
    let one = broker.send(5, join(&first.member_id));
    let other = broker.send(5, join(&second.member_id));
    let one = body!(JoinGroup, broker.finish(one).unwrap());
    let other = body!(JoinGroup, broker.finish(other).unwrap());
    assert_eq!((one.generation_id, other.generation_id), (1, 1));
    let (leader, follower) = if one.member_id == one.leader {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    let waiting = broker.send(3, sync(1, &follower.member_id, &[]));
    assert!(!broker.is_answered(&waiting));
    let given: [(&str, &[u8]); 2] = [(&leader.member_id, b"two"), (&follower.member_id, b"one")];
    let synced = body!(SyncGroup, broker.ask(3, sync(1, &leader.member_id, &given)));
    assert_eq!(&synced.assignment[..], b"two");
    let synced = body!(SyncGroup, broker.finish(waiting).unwrap());
    assert_eq!(&synced.assignment[..], b"one");
    (leader.member_id, follower.member_id)
}

#[test]
fn two_members_share_commit_and_one_leaves() {
    let mut broker = broker();
    let (leader, follower) = two_members(&mut broker);
    same(
        &described(&mut broker),
        &expect![[r#"
            shop NONE Stable 'range' tests/127.0.0.1 two tests/127.0.0.1 one
            nobody NONE Dead ''"#]],
    );
    assert_eq!(
        committed(broker.ask(7, commit(1, &leader, 0, 7))),
        ErrorCode::None
    );
    assert_eq!(
        committed(broker.ask(7, commit(1, &follower, 2, 9))),
        ErrorCode::None
    );
    let stale = broker.ask(7, commit(0, &follower, 2, 1));
    assert_eq!(committed(stale), ErrorCode::IllegalGeneration);
    let nowhere = broker.ask(7, commit(1, &leader, 8, 1));
    assert_eq!(committed(nowhere), ErrorCode::UnknownTopicOrPartition);
    same(
        &offsets(&mut broker),
        &expect![[r#"
        orders/0 7 note
        orders/2 9 note"#]],
    );
    let leave = LeaveGroupRequest {
        group_id: text("shop"),
        members: vec![MemberIdentity {
            member_id: follower,
            ..Default::default()
        }],
        ..Default::default()
    };
    let left = body!(LeaveGroup, broker.ask(4, leave));
    assert_eq!(left.members[0].error_code, ErrorCode::None);
    let beat = body!(Heartbeat, broker.ask(4, beating(&leader)));
    assert_eq!(beat.error_code, ErrorCode::RebalanceInProgress);
    let again = body!(JoinGroup, broker.ask(5, join(&leader)));
    assert_eq!((again.generation_id, again.members.len()), (2, 1));
}

#[test]
fn a_restart_restores_members_and_offsets() {
    let mut broker = broker();
    let (leader, _) = two_members(&mut broker);
    assert_eq!(
        committed(broker.ask(7, commit(1, &leader, 0, 7))),
        ErrorCode::None
    );
    broker.restart();
    same(&offsets(&mut broker), &expect!["orders/0 7 note"]);
    same(
        &described(&mut broker),
        &expect![[r#"
            shop NONE Stable 'range' tests/127.0.0.1 two tests/127.0.0.1 one
            nobody NONE Dead ''"#]],
    );
    let beat = body!(Heartbeat, broker.ask(4, beating(&leader)));
    assert_eq!(beat.error_code, ErrorCode::None);
    assert_eq!(
        committed(broker.ask(7, commit(1, &leader, 0, 8))),
        ErrorCode::None
    );
    // Nobody but the leader comes back: when the other has been silent for too long, it must go.
    broker.pass(9_000);
    let beat = body!(Heartbeat, broker.ask(4, beating(&leader)));
    assert_eq!(beat.error_code, ErrorCode::None);
    broker.pass(2_000);
    same(
        &listed(&mut broker),
        &expect!["shop consumer PreparingRebalance classic"],
    );
}

fn listed(broker: &mut Broker) -> Vec<String> {
    let groups = body!(ListGroups, broker.ask(5, ListGroupsRequest::default())).groups;
    let line = |group: ListedGroup| {
        format!(
            "{} {} {} {}",
            group.group_id, group.protocol_type, group.group_state, group.group_type
        )
    };
    groups.into_iter().map(line).collect()
}

#[test]
fn a_commit_is_answered_when_the_disk_has_it() {
    let mut broker = broker();
    broker.stick(true);
    let sent = broker.send(7, commit(-1, "", 0, 5));
    assert!(!broker.is_answered(&sent));
    let other = broker.send(7, commit(-1, "", 1, 6));
    broker.stick(false);
    assert!(broker.is_answered(&sent) && broker.is_answered(&other));
    assert_eq!(committed(broker.finish(sent).unwrap()), ErrorCode::None);
    broker.stick(true);
    let sent = broker.send(7, commit(-1, "", 0, 8));
    let slow = broker.finish(sent).unwrap();
    assert_eq!(committed(slow), ErrorCode::CoordinatorNotAvailable);
    broker.stick(false);
    same(
        &offsets(&mut broker),
        &expect![[r#"
        orders/0 8 note
        orders/1 6 note"#]],
    );
}

#[test]
fn while_groups_are_read_every_question_hears_so() {
    let mut broker = broker();
    let done = committed(broker.ask(7, commit(-1, "", 0, 5)));
    assert_eq!(done, ErrorCode::None);
    // The partitions are open, but the disk does not yet tell what they hold.
    broker.restart_with_slow_reads();
    same(
        &offsets(&mut broker),
        &expect!["COORDINATOR_LOAD_IN_PROGRESS"],
    );
    let list = body!(ListGroups, broker.ask(5, ListGroupsRequest::default()));
    assert_eq!(list.error_code, ErrorCode::CoordinatorLoadInProgress);
    broker.stick(false);
    same(&offsets(&mut broker), &expect!["orders/0 5 note"]);
}

/// What a heartbeat of the consumer protocol is answered: error, epoch, partitions by index.
fn beat(broker: &mut Broker, request: ConsumerGroupHeartbeatRequest) -> String {
    let told = body!(ConsumerGroupHeartbeat, broker.ask(1, request));
    let given = told.assignment.map(|given| {
        let topics = given.topic_partitions.into_iter();
        let indexes = topics
            .flat_map(|topic| topic.partitions)
            .map(|index| index.0);
        indexes.collect::<Vec<i32>>()
    });
    let words = told.error_message.unwrap_or_default();
    let error = told.error_code.name();
    format!("{error} {words} epoch {} {given:?}", told.member_epoch)
}

fn member(id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: text("shop"),
        member_id: text(id),
        member_epoch: epoch,
        ..Default::default()
    }
}

fn joining(id: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![text("orders")]),
        topic_partitions: Some(Vec::new()),
        ..member(id, 0)
    }
}

fn owning(
    broker: &Broker,
    id: &str,
    epoch: i32,
    partitions: &[i32],
) -> ConsumerGroupHeartbeatRequest {
    let topic = broker.image.topic_named("orders").unwrap();
    ConsumerGroupHeartbeatRequest {
        topic_partitions: Some(vec![ConsumerGroupHeartbeatTopicPartitions {
            topic_id: topic.id,
            partitions: partitions.iter().copied().map(PartitionIndex).collect(),
        }]),
        ..member(id, epoch)
    }
}

#[test]
fn members_of_the_consumer_protocol_are_given_their_shares() {
    let mut broker = broker();
    let mut lines = vec![beat(&mut broker, joining("one"))];
    let own = owning(&broker, "one", 1, &[0, 1, 2]);
    lines.push(beat(&mut broker, own));
    broker.pass(2000);
    lines.push(beat(&mut broker, joining("two")));
    broker.pass(2000);
    lines.push(beat(&mut broker, member("one", 1)));
    let own = owning(&broker, "one", 1, &[0, 1]);
    lines.push(beat(&mut broker, own));
    lines.push(beat(&mut broker, member("two", 2)));
    lines.push(beat(&mut broker, member("two", 7)));
    lines.push(beat(&mut broker, member("", 0)));
    same(
        &lines,
        &expect![[r#"
        NONE  epoch 1 Some([0, 1, 2])
        NONE  epoch 1 None
        NONE  epoch 2 Some([])
        NONE  epoch 1 Some([0, 1])
        NONE  epoch 2 Some([0, 1])
        NONE  epoch 2 Some([2])
        FENCED_MEMBER_EPOCH the member's epoch is not the one the coordinator knows; it must give up its partitions and join again epoch 0 None
        INVALID_REQUEST a member chooses its own id from version 1 on epoch 0 None"#]],
    );
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![text("shop")],
        ..Default::default()
    };
    let groups = body!(ConsumerGroupDescribe, broker.ask(1, request)).groups;
    let group = &groups[0];
    let rows = group.members.iter().map(|member| {
        let topics = &member.assignment.topic_partitions;
        let shares = topics.iter().map(|t| (&*t.topic_name, t.partitions.len()));
        format!("{} {:?}", member.member_id, shares.collect::<Vec<_>>())
    });
    let mut lines = vec![format!("{} {}", group.group_state, group.group_epoch)];
    lines.extend(rows);
    same(
        &lines,
        &expect![[r#"
        Stable 2
        one [("orders", 2)]
        two [("orders", 1)]"#]],
    );
}

#[test]
fn patterns_follow_the_topics_and_bad_ones_are_refused() {
    let mut broker = broker();
    let with = |pattern: &str| ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(text(pattern)),
        ..joining("one")
    };
    let mut lines = vec![
        beat(&mut broker, with("orders(")),
        beat(&mut broker, with("((a{1000}){1000}){1000}")),
        beat(&mut broker, with("or.*")),
    ];
    broker.pass(2000);
    lines.push(beat(&mut broker, member("one", 1)));
    broker.create("orbits", &[]);
    broker.pass(2000);
    lines.push(beat(&mut broker, member("one", 2)));
    broker.delete("orders");
    broker.pass(2000);
    lines.push(beat(&mut broker, member("one", 3)));
    same(
        &lines,
        &expect![[r#"
            INVALID_REGULAR_EXPRESSION the expression is not valid: unclosed group epoch 0 None
            INVALID_REGULAR_EXPRESSION the expression would take more than 262144 bytes of memory epoch 0 None
            NONE  epoch 1 Some([])
            NONE  epoch 2 Some([0, 1, 2])
            NONE  epoch 3 Some([0, 1, 2, 0, 1, 2])
            NONE  epoch 3 Some([0, 1, 2])"#]],
    );
}

#[test]
fn history_is_told_and_watched() {
    let mut broker = broker();
    let watch = |cursor| GroupWatchRequest {
        groups: vec![text("shop")],
        cursor,
        max_wait_ms: 100_000,
        ..Default::default()
    };
    let watching = broker.send(0, watch(None));
    assert!(!broker.is_answered(&watching));
    two_members(&mut broker);
    let told = body!(GroupWatch, broker.finish(watching).unwrap());
    let history = body!(GroupHistory, broker.ask(0, GroupHistoryRequest::default()));
    assert_eq!(told.events, history.events);
    let line = |event: &GroupEvent| {
        let causes = event.causes.iter().map(|cause| cause.text.as_str());
        format!(
            "{} {} {:?} members {} to {}",
            event.group_id,
            event.sequence,
            causes.collect::<Vec<_>>(),
            event.members_before,
            event.members_after
        )
    };
    same(
        &told.events.iter().map(line).collect::<Vec<_>>(),
        &expect![[r#"shop 1 ["a member joined", "a member joined"] members 0 to 2"#]],
    );
    assert_eq!(told.missed, 0);
    assert_eq!(told.next_cursor, history.watch_cursor);
    let cursor = told.next_cursor;
    // Nothing happens: the watch ends with its time.
    let told = body!(
        GroupWatch,
        broker.ask(
            0,
            GroupWatchRequest {
                max_wait_ms: 50,
                ..watch(cursor.clone())
            }
        )
    );
    assert_eq!((told.events.len(), told.next_cursor), (0, cursor));
}

#[test]
fn the_topic_of_groups_stays_small_and_belongs_to_the_broker() {
    let mut broker = broker();
    for offset in 0..25_000 {
        let done = committed(broker.ask(7, commit(-1, "", 0, offset)));
        assert_eq!(done, ErrorCode::None);
    }
    let index = weir_node::groups::partition_of("shop", 50).0;
    let (start, end) = broker.log_of("__consumer_offsets", index);
    assert!(end > 25_000 && end - start < 10_100, "{start} to {end}");
    broker.restart();
    same(&offsets(&mut broker), &expect!["orders/0 24999 note"]);
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: text("__consumer_offsets"),
            partitions: vec![DeleteRecordsPartition {
                partition_index: PartitionIndex(index),
                offset: Offset(-1),
            }],
        }],
        timeout_ms: 100,
    };
    let refused = body!(DeleteRecords, broker.ask(2, request));
    let row = &refused.topics[0].partitions[0];
    assert_eq!(row.error_code, ErrorCode::InvalidTopicException);
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: text("__consumer_offsets"),
            count: 60,
            assignments: None,
        }],
        timeout_ms: 100,
        validate_only: false,
    };
    let refused = body!(CreatePartitions, broker.ask(3, request));
    assert_eq!(
        refused.results[0].error_code,
        ErrorCode::InvalidTopicException
    );
}

#[test]
fn clients_use_groups_and_admins_delete_them() {
    let mut broker = broker();
    broker.who = client();
    let done = committed(broker.ask(7, commit(-1, "", 0, 5)));
    assert_eq!(done, ErrorCode::None);
    let delete = DeleteGroupsRequest {
        groups_names: vec![text("shop"), text("nobody")],
    };
    let errors = |broker: &mut Broker| {
        let results = body!(DeleteGroups, broker.ask(2, delete.clone())).results;
        let error = |row: DeletableGroupResult| row.error_code.name().to_string();
        results.into_iter().map(error).collect::<Vec<String>>()
    };
    let mut lines = errors(&mut broker);
    broker.who = broker::admin();
    let forget = OffsetDeleteRequest {
        group_id: text("shop"),
        topics: vec![OffsetDeleteRequestTopic {
            name: text("orders"),
            partitions: vec![OffsetDeleteRequestPartition {
                partition_index: PartitionIndex(0),
            }],
        }],
    };
    let forgotten = body!(OffsetDelete, broker.ask(0, forget));
    lines.push(
        forgotten.topics[0].partitions[0]
            .error_code
            .name()
            .to_string(),
    );
    lines.extend(errors(&mut broker));
    same(
        &lines,
        &expect![[r#"
        GROUP_AUTHORIZATION_FAILED
        GROUP_AUTHORIZATION_FAILED
        NONE
        GROUP_ID_NOT_FOUND
        GROUP_ID_NOT_FOUND"#]],
    );
}

#[test]
fn a_coordinator_that_cannot_read_its_groups_tries_again_ever_more_seldom() {
    let mut broker = broker();
    let done = committed(broker.ask(7, commit(-1, "", 0, 5)));
    assert_eq!(done, ErrorCode::None);
    broker.broken_reads = true;
    broker.restart();
    for _ in 0..100 {
        same(&offsets(&mut broker), &expect!["COORDINATOR_NOT_AVAILABLE"]);
        broker.pass(5_000);
    }
    assert!(
        matches!(broker.notices[..], [Notice::GroupsDamaged { .. }]),
        "people are told once: {:?}",
        broker.notices
    );
    broker.broken_reads = false;
    broker.pass(60_000);
    same(&offsets(&mut broker), &expect!["orders/0 5 note"]);
    // After 1, 2, 4, 8, 16, 32 seconds and then each minute, in 500 seconds.
    let [_, Notice::GroupsLoaded { failures, .. }] = broker.notices[..] else {
        panic!("{:?}", broker.notices);
    };
    assert!((10..=14).contains(&failures), "{failures} attempts");
    let done = committed(broker.ask(7, commit(-1, "", 0, 6)));
    assert_eq!(done, ErrorCode::None);
}

#[test]
fn a_coordinator_that_cannot_write_reads_its_groups_again() {
    let mut broker = broker();
    let done = committed(broker.ask(7, commit(-1, "", 0, 5)));
    assert_eq!(done, ErrorCode::None);
    broker.alter("__consumer_offsets", "min.insync.replicas", "2");
    let mut lines = vec![
        committed(broker.ask(7, commit(-1, "", 0, 6)))
            .name()
            .to_string(),
    ];
    lines.extend(offsets(&mut broker));
    broker.alter("__consumer_offsets", "min.insync.replicas", "1");
    lines.extend(offsets(&mut broker));
    broker.pass(1000);
    lines.extend(offsets(&mut broker));
    same(
        &lines,
        &expect![[r#"
        NOT_COORDINATOR
        COORDINATOR_LOAD_IN_PROGRESS
        COORDINATOR_LOAD_IN_PROGRESS
        orders/0 5 note"#]],
    );
}

#[test]
fn a_coordinator_that_reads_its_groups_again_tells_nothing_that_is_not_replicated() {
    let mut broker = broker();
    let done = committed(broker.ask(7, commit(-1, "", 0, 5)));
    assert_eq!(done, ErrorCode::None);
    broker.stick(true);
    broker.reads_go_on = true;
    let unflushed = broker.send(7, commit(-1, "", 0, 6));
    broker.alter("__consumer_offsets", "min.insync.replicas", "2");
    let failed = committed(broker.ask(7, commit(-1, "", 0, 7)));
    assert_eq!(failed, ErrorCode::NotCoordinator);
    broker.alter("__consumer_offsets", "min.insync.replicas", "1");
    broker.pass(1000);
    assert!(!broker.is_answered(&unflushed));
    same(
        &offsets(&mut broker),
        &expect!["COORDINATOR_LOAD_IN_PROGRESS"],
    );
    broker.stick(false);
    assert_eq!(
        committed(broker.finish(unflushed).unwrap()),
        ErrorCode::None
    );
    same(&offsets(&mut broker), &expect!["orders/0 6 note"]);
}

#[test]
fn a_write_of_many_bytes_is_cut_into_batches_and_read_again() {
    let mut broker = broker();
    // Subscriptions of nearly 1 MiB: ten members, then a member of the other protocol.
    let mut large = join("");
    let metadata = [
        &subscription()[..8 + 6],
        &[0, 15, 0, 0][..],
        &vec![0; 15 << 16],
    ]
    .concat();
    large.protocols[0].metadata = metadata.into();
    let waiting: Vec<_> = (0..10).map(|_| broker.send(3, large.clone())).collect();
    let joined = waiting
        .into_iter()
        .map(|sent| body!(JoinGroup, broker.finish(sent).unwrap()));
    let joined: Vec<JoinGroupResponse> = joined.collect();
    body!(SyncGroup, broker.ask(3, sync(1, &joined[0].leader, &[])));
    // The generation is one record and cannot be cut; the upgrade is one for each member.
    let before = broker.batch_sizes("__consumer_offsets");
    assert!(before[0] > 9 << 20, "{before:?}");
    assert!(beat(&mut broker, joining("new")).starts_with("NONE"));
    let after = broker.batch_sizes("__consumer_offsets");
    assert_eq!(after.len() - before.len(), 2, "{after:?}");
    assert!(after[1] < 9 << 20, "{after:?}");
    broker.restart();
    for member in &joined {
        let beat = body!(Heartbeat, broker.ask(4, beating(&member.member_id)));
        assert_ne!(beat.error_code, ErrorCode::UnknownMemberId);
    }
}
