//! Many members at once: the picture everyone knows, a mass restart, snapshots of many groups,
//! and random schedules of everything. Invariants I-GRP-1 to I-GRP-16 are asserted after each
//! event.

mod common;

use bytes::Bytes;
use common::{
    World,
    fleet::{Consumer, load, no_two_owners, run},
    table, topic_id,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use weir_group::{
    Assignment, GroupConfig, GroupEvent, GroupRecord, Groups, Reply, Request, decode, embedded,
    encode,
    limits::{
        ASSIGNMENTS_BYTES_MAX, MEMBER_BLOB_BYTES_MAX, RECORD_BYTES_MAX, SNAPSHOT_BYTES_MIN,
        SNAPSHOT_RECORDS_PER_STEP, SUBSCRIPTION_TOPICS_MAX, SUBSCRIPTIONS_BYTES_MAX,
    },
    record::{ClassicMemberMeta, ClassicMeta},
    request::{CommitPartition, JoinGroup, OffsetCommit, SyncGroup},
};
use weir_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex};

fn epoch(world: &World, group: &str) -> i32 {
    let group = world.coordinator.groups().get(group).unwrap();
    group.consumer().unwrap().meta.epoch
}

#[test]
fn two_groups_share_four_partitions_and_the_fifth_member_idles() {
    let mut world = World::new(GroupConfig::default());
    let mut members: Vec<Consumer> = ["a", "b"]
        .iter()
        .map(|id| Consumer::new("one", id, &["t"]))
        .chain(
            ["c", "d", "e", "f"]
                .iter()
                .map(|id| Consumer::new("two", id, &["t"])),
        )
        .collect();
    run(&mut world, &mut members, 500, 10_000);
    let loads: Vec<usize> = members.iter().map(load).collect();
    assert_eq!(loads, [2, 2, 1, 1, 1, 1]);
    members.push(Consumer::new("two", "g", &["t"]));
    run(&mut world, &mut members, 500, 20_000);
    let loads: Vec<usize> = members.iter().map(load).collect();
    assert_eq!(loads, [2, 2, 1, 1, 1, 1, 0]);
    // One dies without a word; the idle one takes over once its session is over.
    members.remove(3);
    run(&mut world, &mut members, 500, 70_000);
    let loads: Vec<usize> = members.iter().map(load).collect();
    assert_eq!(loads, [2, 2, 1, 1, 1, 1]);
    world.check_log();
}

#[test]
fn a_mass_restart_of_200_members_settles_within_three_epochs() {
    let mut world = World::new(GroupConfig::default());
    world.topics = table(&[("t", 400)]);
    world.event(GroupEvent::Topics(world.topics.clone()));
    let mut members: Vec<Consumer> = (0..200)
        .map(|n| Consumer::new("g", &format!("m{n:03}"), &["t"]))
        .collect();
    run(&mut world, &mut members, 1000, 10_000);
    assert!(epoch(&world, "g") <= 3, "{}", epoch(&world, "g"));
    assert!(members.iter().all(|member| load(member) == 2));
    let before = epoch(&world, "g");
    // A rolling restart within two seconds, one after the other.
    for (n, member) in members.iter_mut().enumerate() {
        world.until(10_000 + n as u64 * 10);
        member.leave(&mut world);
        member.id = format!("n{n:03}").into();
        member.live(&mut world, false);
    }
    run(&mut world, &mut members, 1000, 30_000);
    let epochs = epoch(&world, "g") - before;
    assert!(epochs <= 3, "{epochs} epochs");
    assert!(members.iter().all(|member| load(member) == 2));
    no_two_owners(world.tick, members.iter());
    world.check_log();
}

#[test]
fn snapshots_go_on_while_others_commit() {
    let mut world = World::new(GroupConfig::default());
    let commit = |world: &mut World, group: usize, offset: i64| {
        let request = OffsetCommit {
            group: format!("g{group:04}").into(),
            member_id: "".into(),
            instance_id: None,
            generation: -1,
            retention_ms: -1,
            offsets: vec![CommitPartition {
                topic: "t".into(),
                topic_id: topic_id("t"),
                partition: PartitionIndex(0),
                offset: Offset(offset),
                leader_epoch: LeaderEpoch(0),
                metadata: None,
            }],
        };
        world.ask("-", Request::OffsetCommit(request));
    };
    for group in 0..250 {
        commit(&mut world, group, 1);
    }
    let begins = world.log.len();
    world.event(GroupEvent::TakeSnapshot);
    for group in [0, 150, 249, 300] {
        commit(&mut world, group, 2);
    }
    world.until(1);
    assert!(world.out.contains("snapshot in writes"));
    let mut from_mark = Groups::default();
    world.log[begins..]
        .iter()
        .for_each(|record| from_mark.apply(record));
    assert_eq!(
        from_mark,
        *world.coordinator.groups(),
        "I-GRP-16: a snapshot tells everything"
    );
    // Many commits take a snapshot now and then by themselves.
    world.out.clear();
    for round in 0..25_000 {
        commit(&mut world, round % 50, round as i64);
    }
    assert!(world.out.matches("snapshot in writes").count() >= 2);
    assert!(world.coordinator.groups().records_since_snapshot() < 20_000);
}

#[test]
fn a_snapshot_of_one_huge_group_comes_in_steps() {
    let mut world = World::new(GroupConfig::default());
    let commit = |world: &mut World, topic: &str, partitions: std::ops::Range<i32>, offset| {
        let offsets = partitions.map(|partition| CommitPartition {
            topic: topic.into(),
            topic_id: topic_id(topic),
            partition: PartitionIndex(partition),
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(0),
            metadata: None,
        });
        let request = OffsetCommit {
            group: "huge".into(),
            member_id: "".into(),
            instance_id: None,
            generation: -1,
            retention_ms: -1,
            offsets: offsets.collect(),
        };
        world.ask("-", Request::OffsetCommit(request));
    };
    let parts = SNAPSHOT_RECORDS_PER_STEP as i32;
    commit(&mut world, "t", 0..parts, 1);
    commit(&mut world, "u", 0..2 * parts, 1);
    let begins = world.log.len();
    world.event(GroupEvent::TakeSnapshot);
    let mut steps = 0;
    while !world.out.contains("snapshot in writes") {
        let written = world.log.len();
        // On both sides of the place that the snapshot has come to.
        commit(&mut world, "t", 7..8, 2 + steps);
        commit(&mut world, "u", 2 * parts - 1..2 * parts, 2 + steps);
        let of_steps = world.log.len() - written;
        assert!(of_steps <= 2 * SNAPSHOT_RECORDS_PER_STEP + 4, "{of_steps}");
        steps += 1;
    }
    assert!(steps >= 1);
    let mut from_mark = Groups::default();
    world.log[begins..]
        .iter()
        .for_each(|record| from_mark.apply(record));
    assert_eq!(
        from_mark,
        *world.coordinator.groups(),
        "I-GRP-16: a snapshot tells everything"
    );
}

/// What may happen in a random schedule.
#[derive(Clone, Debug)]
enum Step {
    Beat(usize),
    Lost(usize),
    Leave(usize),
    Silent(usize),
    Wait(u64),
    Topics(i32, i32),
    Classic(usize, u8),
    Restart,
    Snapshot,
    Commit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..6usize).prop_map(Step::Beat),
        2 => (0..6usize).prop_map(Step::Lost),
        2 => (0..6usize).prop_map(Step::Leave),
        1 => (0..6usize).prop_map(Step::Silent),
        6 => (0..4000u64).prop_map(Step::Wait),
        1 => (50_000..60_000u64).prop_map(Step::Wait),
        1 => (1..8i32, 0..3i32).prop_map(|(t, u)| Step::Topics(t, u)),
        6 => (0..3usize, 0..5u8).prop_map(|(who, what)| Step::Classic(who, what)),
        1 => Just(Step::Restart),
        1 => Just(Step::Snapshot),
        3 => (0..6usize).prop_map(Step::Commit),
    ]
}

/// A classic member of the same groups, that does as it is told.
#[derive(Clone, Debug, Default)]
struct Old {
    joined: bool,
    generation: i32,
}

fn classic(world: &mut World, olds: &mut [Old], who: usize, what: u8) {
    let (group, name) = (if who == 0 { "one" } else { "two" }, format!("old{who}"));
    let line = match what {
        0 | 1 => format!("join {group} {name} topics=t,u"),
        2 => format!(
            "sync {group} {name} gen={} give={name}=t:0",
            olds[who].generation
        ),
        3 => format!("beat {group} {name} gen={}", olds[who].generation),
        _ => format!("leave {group} {name}"),
    };
    world.answers.clear();
    world.line(&line);
    for (_, reply) in world.answers.clone() {
        if let weir_group::Reply::Joined(joined) = reply
            && let Some(place) = (0..3).find(|n| *joined.member_id == *format!("old{n}"))
        {
            olds[place].joined = joined.generation >= 0;
            olds[place].generation = joined.generation;
        }
    }
}

fn play(steps: &[Step]) {
    let mut world = World::new(GroupConfig::default());
    let mut members: Vec<Consumer> = (0..6)
        .map(|n| {
            Consumer::new(
                ["one", "two"][n % 2],
                &format!("m{n}"),
                &[["t"], ["u"]][n / 5],
            )
        })
        .collect();
    let mut olds = vec![Old::default(); 3];
    for step in steps {
        match step {
            Step::Beat(n) => members[*n].live(&mut world, false),
            Step::Lost(n) => members[*n].live(&mut world, true),
            Step::Leave(n) => members[*n].leave(&mut world),
            Step::Silent(n) => {
                // It is gone; whoever comes next has another id.
                members[*n].epoch = 0;
                members[*n].owned.clear();
                members[*n].id = format!("{}x", members[*n].id).into();
            }
            Step::Wait(ms) => {
                let until = world.tick + ms;
                world.until(until);
            }
            Step::Topics(t, u) => {
                let mut topics = vec![("t", *t)];
                topics.extend((*u > 0).then_some(("u", *u)));
                world.topics = table(&topics);
                world.event(GroupEvent::Topics(world.topics.clone()));
            }
            Step::Classic(who, what) => classic(&mut world, &mut olds, *who, *what),
            Step::Restart => world.restart(),
            Step::Snapshot => world.event(GroupEvent::TakeSnapshot),
            Step::Commit(n) => {
                let (group, id) = (members[*n].group.clone(), members[*n].id.clone());
                world.line(&format!(
                    "commit {group} {id} gen={} t-0=1",
                    members[*n].epoch
                ));
            }
        }
        no_two_owners(world.tick, members.iter());
    }
    world.check_log();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_no_partition_has_two_owners(
        steps in prop::collection::vec(step(), 0..120)
    ) {
        play(&steps);
    }

    #[test]
    fn bad_bytes_are_refused_and_never_panic(
        key in prop::collection::vec(any::<u8>(), 0..40),
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
        kind in 0..13u8,
    ) {
        let mut key = key;
        if key.len() > 1 {
            key[0] = kind;
            key[1] = 0;
        }
        if let Ok(record) = decode(&key, value.as_deref()) {
            let (again, body) = encode(&record).unwrap();
            prop_assert_eq!(decode(&again, body.as_deref()), Ok(record));
        }
        let _ = embedded::subscription(&key);
        let _ = embedded::assignment(&key);
    }
}

#[test]
fn every_cut_of_every_record_is_refused() {
    let mut world = World::new(GroupConfig::default());
    for line in [
        "hb g a",
        "commit g a gen=1 t-0=3/x",
        "join c x instance=i",
        "at 3000",
        "sync c x gen=1 give=x=u:0",
        "hb g a epoch=-1",
        "snapshot",
    ] {
        world.line(line);
    }
    let mut kinds = BTreeSet::new();
    for record in &world.log {
        let (key, value) = encode(record).unwrap();
        kinds.insert(key[0]);
        for cut in 0..key.len() {
            assert!(decode(&key[..cut], value.as_deref()).is_err());
        }
        for cut in 0..value.as_ref().map_or(0, Vec::len) {
            assert!(decode(&key, value.as_ref().map(|value| &value[..cut])).is_err());
        }
        let mut longer = key.clone();
        longer.push(0);
        assert!(decode(&longer, value.as_deref()).is_err());
    }
    assert_eq!(
        kinds.len(),
        10,
        "every kind but the deletion of a group: {kinds:?}"
    );
}

/// A JoinGroup with a subscription of that many bytes.
fn heavy_join(member: &str, bytes: usize) -> Request {
    Request::JoinGroup(JoinGroup {
        group: "g".into(),
        member_id: "".into(),
        new_member_id: member.into(),
        instance_id: None,
        client: common::client(member),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "connect".into(),
        protocols: vec![("range".into(), vec![0; bytes].into())],
        require_known_member_id: false,
        supports_skipping_assignment: true,
        reason: None,
    })
}

#[test]
fn no_crowd_outgrows_its_record() {
    let mut world = World::new(GroupConfig::default());
    let large = MEMBER_BLOB_BYTES_MAX - 100;
    let mut refused = 0;
    for member in 0..70 {
        world.ask("-", heavy_join(&format!("m{member:02}"), large));
        for (_, reply) in &world.answers {
            if let Reply::Joined(joined) = reply {
                assert_eq!(joined.error, ErrorCode::GroupMaxSizeReached);
                refused += 1;
            }
        }
    }
    let inside = 70 - refused;
    assert_eq!(inside, SUBSCRIPTIONS_BYTES_MAX / MEMBER_BLOB_BYTES_MAX);
    world.until(6_000);
    let sync = |share: usize| {
        let assignments = (0..inside).map(|n| (format!("m{n:02}").into(), vec![0; share].into()));
        Request::SyncGroup(SyncGroup {
            group: "g".into(),
            member_id: "m00".into(),
            instance_id: None,
            generation: 1,
            protocol_type: None,
            protocol: None,
            assignments: assignments.collect(),
        })
    };
    world.out.clear();
    world.ask("m00", sync(MEMBER_BLOB_BYTES_MAX));
    assert_eq!(world.out, "  m00: INVALID_REQUEST\n");
    world.ask("m00", sync(ASSIGNMENTS_BYTES_MAX / inside));
    let record = world
        .log
        .iter()
        .rev()
        .find(|r| matches!(r, GroupRecord::Classic { .. }));
    let (_, value) = encode(record.unwrap()).unwrap();
    assert!(value.unwrap().len() > ASSIGNMENTS_BYTES_MAX + inside * large);
}

#[test]
fn a_record_that_is_too_large_is_an_error() {
    let value = ClassicMeta {
        leader: Some("x".repeat(RECORD_BYTES_MAX).into()),
        ..ClassicMeta::default()
    };
    let record = GroupRecord::Classic {
        group: "g".into(),
        value: Some(value),
    };
    assert!(encode(&record).is_err());
}

#[test]
fn a_snapshot_is_wanted_for_its_bytes_too() {
    let blob = Bytes::from(vec![0; 1024 * 1024]);
    let members = (0..32).map(|n| ClassicMemberMeta {
        id: format!("m{n}").into(),
        instance_id: None,
        client_id: "c".into(),
        client_host: "h".into(),
        rebalance_timeout_ms: 0,
        session_timeout_ms: 0,
        subscription: blob.clone(),
        assignment: Bytes::new(),
    });
    let value = ClassicMeta {
        members: members.collect(),
        ..ClassicMeta::default()
    };
    let record = GroupRecord::Classic {
        group: "g".into(),
        value: Some(value),
    };
    let mut groups = Groups::default();
    let generations = (1..)
        .find(|_| {
            groups.apply(&record);
            groups.wants_snapshot(10_000)
        })
        .unwrap();
    assert_eq!(generations, SNAPSHOT_BYTES_MIN / (32 * 1024 * 1024));
    groups.apply(&GroupRecord::SnapshotBegin { id: 1, events: 0 });
    groups.apply(&record);
    assert!(!groups.wants_snapshot(10_000));
}

#[test]
fn a_subscription_names_no_more_topics_than_a_member_may() {
    let names: Vec<String> = (0..=SUBSCRIPTION_TOPICS_MAX)
        .map(|n| n.to_string())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let read =
        |names: &[&str]| embedded::subscription(&common::subscription(names, &Assignment::new()));
    let most = read(&names[1..]).unwrap();
    assert_eq!(most.topics.len(), SUBSCRIPTION_TOPICS_MAX);
    assert_eq!(read(&names), None);
}
