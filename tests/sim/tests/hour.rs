//! An hour in the life of one group, by script and in simulated time: joins, leaves, deaths, a
//! changed subscription, more partitions and a restart of the coordinator. What the group's
//! history tells afterwards is held against the script.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};
use weir_sim::{
    client::{
        Client, Context, Input,
        link::Link,
        member::{GroupPlan, Life, Member, Order, Protocol},
    },
    oracle::cluster::ClusterTruth,
    params::Params,
    violation::Checked,
    world::World,
};
use weir_types::ErrorCode;
use weir_wire::{
    Response, Text,
    messages::{
        CreatableTopic, CreatePartitionsRequest, CreatePartitionsTopic, CreateTopicsRequest,
        GroupEvent, GroupHistoryRequest,
    },
};

const GROUP: &str = "shop";
const MINUTE_MS: u64 = 60 * 1000;
const SESSION_MS: u64 = 10_000;
const HEARTBEAT_MS: u64 = SESSION_MS / 4;
/// What the simulated wall clock shows when the hour begins.
const WALL_MS: i64 = 2_000_000_000_000;

/// What the clerk does.
#[derive(Clone, Debug)]
enum Job {
    Create(&'static str, i32),
    Grow(&'static str, i32),
    Read,
}

/// Does what an administrator does, by script, and reads the history in the end.
#[derive(Debug)]
struct Clerk {
    link: Link,
    jobs: VecDeque<(u64, Job)>,
    asked: bool,
    told: Rc<RefCell<Vec<GroupEvent>>>,
}

impl Clerk {
    fn act(&mut self, context: &mut Context<'_>) {
        let due = self
            .jobs
            .front()
            .filter(|(at, _)| *at <= context.now.tick.0 && !self.asked && self.link.is_up());
        let Some((_, job)) = due.cloned() else { return };
        self.asked = true;
        match job {
            Job::Create(name, num_partitions) => {
                context.cluster.asked_for(name);
                let topic = CreatableTopic {
                    name: Text::from(name),
                    num_partitions,
                    replication_factor: 1,
                    ..CreatableTopic::default()
                };
                let body = CreateTopicsRequest {
                    topics: vec![topic],
                    timeout_ms: 2_000,
                    validate_only: false,
                };
                self.link.send(context, 7, &body, true, 0);
            }
            Job::Grow(name, count) => {
                let topic = CreatePartitionsTopic {
                    name: Text::from(name),
                    count,
                    assignments: None,
                };
                let body = CreatePartitionsRequest {
                    topics: vec![topic],
                    timeout_ms: 2_000,
                    validate_only: false,
                };
                self.link.send(context, 3, &body, true, 0);
            }
            Job::Read => {
                let body = GroupHistoryRequest {
                    groups: vec![Text::from(GROUP)],
                    ..GroupHistoryRequest::default()
                };
                self.link.send(context, 0, &body, true, 0);
            }
        }
    }
}

impl Client for Clerk {
    fn name(&self) -> &'static str {
        "admin"
    }

    fn input(&mut self, context: &mut Context<'_>, input: Input) -> Checked {
        self.link.input(context, &input);
        if let Input::Answer { response, .. } = input {
            let error = match &response {
                Response::CreateTopics(response) => response.topics[0].error_code,
                Response::CreatePartitions(response) => response.results[0].error_code,
                Response::GroupHistory(response) => {
                    self.told.borrow_mut().clone_from(&response.events);
                    response.error_code
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(error, ErrorCode::None, "{response:?}");
            self.jobs.pop_front();
            self.asked = false;
        }
        self.act(context);
        Ok(())
    }

    fn waiting_for(&self, _: &ClusterTruth) -> Option<String> {
        None
    }
}

fn minutes(at: u64) -> u64 {
    at * MINUTE_MS
}

/// A member whose orders come at whole minutes.
fn member(name: &str, instance: bool, orders: &[(u64, Order)]) -> Box<dyn Client> {
    let plan = GroupPlan {
        group: GROUP.to_owned(),
        topics: vec!["orders".to_owned(), "audit".to_owned()],
        cooperative: false,
        session_ms: SESSION_MS,
        rebalance_ms: 5_000,
        process_percent: 100,
        commit_ms_max: 5_000,
        commit_unprocessed: false,
    };
    let orders = orders.iter();
    let orders = orders.map(|(at, order)| (minutes(*at), order.clone()));
    let life = Life::Script(orders.collect());
    Box::new(Member::new(name, plan, instance, life))
}

/// Plays the hour; the history as it is told at its end.
fn play(protocol: Protocol) -> Vec<GroupEvent> {
    let start = Order::Start(protocol);
    let told = Rc::default();
    let clerk = Clerk {
        link: Link::new("admin"),
        jobs: VecDeque::from([
            (0, Job::Create("orders", 4)),
            (0, Job::Create("audit", 2)),
            (minutes(30), Job::Grow("orders", 6)),
            (minutes(60), Job::Read),
        ]),
        asked: false,
        told: Rc::clone(&told),
    };
    let clients: Vec<Box<dyn Client>> = vec![
        Box::new(clerk),
        member(
            "ann",
            false,
            &[
                (1, start.clone()),
                (35, Order::Subscribe(vec!["orders".to_owned()])),
                (55, Order::Leave),
            ],
        ),
        member(
            "bob",
            false,
            &[(5, start.clone()), (15, Order::Leave), (25, start.clone())],
        ),
        member(
            "cid",
            false,
            &[(10, start.clone()), (20, Order::Kill), (45, start.clone())],
        ),
        member("dot", true, &[(50, start)]),
    ];
    let params = Params {
        member_session_ms: SESSION_MS,
        group_delay_ms: 1_000,
        group_interval_ms: 500,
        wake_ms_max: 400,
        ..Params::calm()
    };
    let mut world = World::staged(params, clients);
    world.crash_at(minutes(40));
    world.run_until(minutes(61)).expect("no promise is broken");
    told.take()
}

/// One line of the story that must be told.
struct Line {
    minute: u64,
    /// How long after the minute it may begin, in milliseconds.
    late_ms: (u64, u64),
    /// Cause and whose.
    cause: (i8, Option<&'static str>),
    members: (i32, i32),
    /// How many partitions change hands.
    moved: i32,
    /// The longest it may take, in milliseconds.
    lasts_ms: i64,
    /// Who stands still meanwhile; nobody else does.
    still: &'static [&'static str],
}

const JOINED: i8 = 0;
const LEFT: i8 = 1;
const TIMED_OUT: i8 = 2;
const SUBSCRIPTION: i8 = 3;
const PARTITIONS_ADDED: i8 = 4;
const COORDINATOR_MOVED: i8 = 5;

/// Who has what, replayed from the moves.
#[derive(Default)]
struct Owners(BTreeMap<(String, i32), String>);

impl Owners {
    fn replay(&mut self, event: &GroupEvent) {
        for moved in &event.moves {
            for index in &moved.partitions {
                let place = (moved.topic.as_str().to_owned(), index.0);
                let from = moved.from_member.as_deref().map(str::to_owned);
                let had = match moved.to_member.as_deref() {
                    Some(to) => self.0.insert(place.clone(), to.to_owned()),
                    None => self.0.remove(&place),
                };
                assert_eq!(had, from, "{place:?} moves from who had it: {event:?}");
            }
        }
    }

    /// Every partition of both topics is somebody's, and nobody has more than is fair.
    fn are_complete(&self, orders: usize, members: i32, fair: bool) {
        assert_eq!(self.0.len(), orders + 2, "{:?}", self.0);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for owner in self.0.values() {
            *counts.entry(owner).or_default() += 1;
        }
        let members = usize::try_from(members).unwrap();
        assert!(counts.len() <= members, "{counts:?}");
        let most = if fair {
            (orders + 2).div_ceil(members)
        } else {
            orders
        };
        assert!(counts.values().all(|count| *count <= most), "{counts:?}");
    }
}

/// Members begin their ids with their names.
fn name_of(member: &str) -> &str {
    member.split_once('-').map_or(member, |(name, _)| name)
}

fn holds(story: &[Line], told: &[GroupEvent]) {
    let lines: Vec<String> = told
        .iter()
        .map(|event| {
            format!(
                "{}: {} ms, causes {:?}, {} to {}, {} moved, {} ms, still {:?}",
                event.sequence,
                event.time_ms.0 - WALL_MS,
                event.causes,
                event.members_before,
                event.members_after,
                event.partitions_moved,
                event.duration_ms,
                event.still
            )
        })
        .collect();
    let lines = lines.join("\n");
    assert_eq!(told.len(), story.len(), "{lines}");
    let mut owners = Owners::default();
    for (number, (line, event)) in (1..).zip(story.iter().zip(told)) {
        let what = || format!("event {number} of\n{lines}");
        assert_eq!(event.sequence, number, "{}", what());
        let begun = (event.time_ms.0 - WALL_MS).cast_unsigned();
        let (soon, late) = (minutes(line.minute) + line.late_ms.0, line.late_ms.1);
        assert!(
            soon <= begun && begun <= minutes(line.minute) + late,
            "{}",
            what()
        );
        let causes: BTreeSet<i8> = event.causes.iter().map(|cause| cause.cause).collect();
        assert_eq!(causes, BTreeSet::from([line.cause.0]), "{}", what());
        let whose = event.causes[0].member_id.as_deref();
        assert_eq!(whose.map(name_of), line.cause.1, "{}", what());
        assert_eq!(
            (event.members_before, event.members_after),
            line.members,
            "{}",
            what()
        );
        assert_eq!(event.partitions_moved, line.moved, "{}", what());
        let lasts = 0..=line.lasts_ms;
        assert!(lasts.contains(&event.duration_ms), "{}", what());
        let still: BTreeSet<&str> = event
            .still
            .iter()
            .map(|row| {
                assert!(row.still_ms <= event.duration_ms, "{}", what());
                name_of(&row.member_id)
            })
            .collect();
        assert_eq!(still, line.still.iter().copied().collect(), "{}", what());
        owners.replay(event);
        let orders = if line.minute < 30 { 4 } else { 6 };
        owners.are_complete(orders, line.members.1, line.minute != 35);
    }
}

/// A line for what is seen at once.
const fn line(
    minute: u64,
    cause: (i8, Option<&'static str>),
    members: (i32, i32),
    moved: i32,
    lasts_ms: i64,
    still: &'static [&'static str],
) -> Line {
    Line {
        minute,
        late_ms: (0, 1_500),
        cause,
        members,
        moved,
        lasts_ms,
        still,
    }
}

/// For who is silent from the minute on.
const fn silent(line: Line) -> Line {
    Line {
        late_ms: (SESSION_MS - HEARTBEAT_MS, SESSION_MS),
        ..line
    }
}

/// A member hears of a new target with its next heartbeat, and tells with the one behind what it
/// gave up; who waits for that hears with its own.
const TURN_MS: i64 = 3 * HEARTBEAT_MS as i64 + 1_500;

const CONSUMER_STORY: [Line; 12] = [
    line(1, (JOINED, Some("ann")), (0, 1), 6, 0, &[]),
    line(5, (JOINED, Some("bob")), (1, 2), 3, TURN_MS, &["bob"]),
    line(10, (JOINED, Some("cid")), (2, 3), 2, TURN_MS, &["cid"]),
    line(15, (LEFT, Some("bob")), (3, 2), 2, TURN_MS, &[]),
    silent(line(20, (TIMED_OUT, Some("cid")), (2, 1), 3, TURN_MS, &[])),
    line(25, (JOINED, Some("bob")), (1, 2), 3, TURN_MS, &["bob"]),
    line(30, (PARTITIONS_ADDED, None), (2, 2), 2, TURN_MS, &[]),
    line(35, (SUBSCRIPTION, Some("ann")), (2, 2), 4, TURN_MS, &[]),
    line(40, (COORDINATOR_MOVED, None), (2, 2), 0, 0, &[]),
    line(45, (JOINED, Some("cid")), (2, 3), 3, TURN_MS, &["cid"]),
    line(50, (JOINED, Some("dot")), (3, 4), 3, TURN_MS, &["dot"]),
    line(55, (LEFT, Some("ann")), (4, 3), 2, TURN_MS, &[]),
];

#[test]
fn the_history_tells_an_hour_of_the_consumer_protocol() {
    holds(&CONSUMER_STORY, &play(Protocol::Consumer));
}

/// Eager members stop while they join, all of them; the leader shares out anew.
const CLASSIC_STORY: [Line; 12] = [
    line(1, (JOINED, Some("ann")), (0, 1), 6, TURN_MS, &["ann"]),
    line(
        5,
        (JOINED, Some("bob")),
        (1, 2),
        3,
        TURN_MS,
        &["ann", "bob"],
    ),
    line(
        10,
        (JOINED, Some("cid")),
        (2, 3),
        4,
        TURN_MS,
        &["ann", "bob", "cid"],
    ),
    line(15, (LEFT, Some("bob")), (3, 2), 4, TURN_MS, &["ann", "cid"]),
    silent(line(
        20,
        (TIMED_OUT, Some("cid")),
        (2, 1),
        3,
        TURN_MS,
        &["ann"],
    )),
    line(
        25,
        (JOINED, Some("bob")),
        (1, 2),
        3,
        TURN_MS,
        &["ann", "bob"],
    ),
    // Nobody but the leader knows why it joins again.
    line(
        30,
        (JOINED, Some("ann")),
        (2, 2),
        2,
        TURN_MS,
        &["ann", "bob"],
    ),
    line(
        35,
        (SUBSCRIPTION, Some("ann")),
        (2, 2),
        2,
        TURN_MS,
        &["ann", "bob"],
    ),
    line(40, (COORDINATOR_MOVED, None), (2, 2), 0, 0, &[]),
    line(
        45,
        (JOINED, Some("cid")),
        (2, 3),
        3,
        TURN_MS,
        &["ann", "bob", "cid"],
    ),
    line(
        50,
        (JOINED, Some("dot")),
        (3, 4),
        5,
        TURN_MS,
        &["ann", "bob", "cid", "dot"],
    ),
    line(
        55,
        (LEFT, Some("ann")),
        (4, 3),
        6,
        TURN_MS,
        &["bob", "cid", "dot"],
    ),
];

#[test]
fn the_history_tells_an_hour_of_the_classic_protocol() {
    holds(&CLASSIC_STORY, &play(Protocol::Classic));
}
