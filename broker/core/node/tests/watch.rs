//! Watching groups through a whole broker in one thread: over several coordinators on two shards,
//! from where a history ended, over restarts, and too slowly.

mod broker;

use broker::{Broker, Sent};
use weir_node::groups::partition_of;
use weir_types::{ErrorCode, Offset, PartitionIndex, TimestampMs};
use weir_wire::{Response, Text, messages::*};

/// Takes the body of a response, which must be of that kind.
macro_rules! body {
    ($kind:ident, $response:expr) => {
        match $response {
            Response::$kind(body) => body,
            other => panic!("not an answer to {}: {other:?}", stringify!($kind)),
        }
    };
}

fn text(text: &str) -> Text {
    Text::from(text)
}

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.create("orders", &[]);
    broker
}

/// Makes the topic of groups.
fn with_coordinators() -> Broker {
    let mut broker = broker();
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![text("any")],
        ..Default::default()
    };
    broker.ask(4, request);
    broker
}

fn beat(broker: &mut Broker, group: &str, epoch: i32) {
    beat_as(broker, group, "m", epoch);
}

fn beat_as(broker: &mut Broker, group: &str, member: &str, epoch: i32) {
    let is_joining = epoch == 0;
    let request = ConsumerGroupHeartbeatRequest {
        group_id: text(group),
        member_id: text(member),
        member_epoch: epoch,
        rebalance_timeout_ms: if is_joining { 30_000 } else { -1 },
        subscribed_topic_names: is_joining.then(|| vec![text("orders")]),
        topic_partitions: is_joining.then(Vec::new),
        ..Default::default()
    };
    let told = body!(ConsumerGroupHeartbeat, broker.ask(1, request));
    assert_eq!(told.error_code, ErrorCode::None, "{told:?}");
}

/// A member joins the group and leaves it.
fn rebalance(broker: &mut Broker, group: &str) {
    beat(broker, group, 0);
    broker.pass(2000);
    beat(broker, group, -1);
}

fn request(groups: &[&str], cursor: Option<&Text>) -> GroupWatchRequest {
    GroupWatchRequest {
        groups: groups.iter().map(|group| text(group)).collect(),
        cursor: cursor.cloned(),
        ..Default::default()
    }
}

fn watch(broker: &mut Broker, groups: &[&str], cursor: Option<&Text>) -> GroupWatchResponse {
    let told = body!(GroupWatch, broker.ask(0, request(groups, cursor)));
    assert_eq!(told.error_code, ErrorCode::None, "{told:?}");
    told
}

fn history(broker: &mut Broker, cursor: Option<Text>, max_events: i32) -> GroupHistoryResponse {
    let request = GroupHistoryRequest {
        cursor,
        max_events,
        ..Default::default()
    };
    let told = body!(GroupHistory, broker.ask(0, request));
    assert_eq!(told.error_code, ErrorCode::None, "{told:?}");
    told
}

/// What identifies events, in an order of its own.
fn sorted(events: &[GroupEvent]) -> Vec<(String, i64)> {
    let row = |event: &GroupEvent| (event.group_id.to_string(), event.sequence);
    let mut rows: Vec<_> = events.iter().map(row).collect();
    rows.sort();
    rows
}

/// Groups of one coordinator, by their number.
fn neighbours(count: usize) -> Vec<String> {
    let names = (0..).map(|number| format!("n{number}"));
    let together = names.filter(|name| partition_of(name, 50) == PartitionIndex(7));
    together.take(count).collect()
}

#[test]
fn a_watch_goes_on_where_the_first_page_of_a_history_ended() {
    let mut broker = with_coordinators();
    let groups = ["a", "b", "c", "d"];
    let places = groups.map(|group| partition_of(group, 50));
    assert!(places.windows(2).all(|pair| pair[0] != pair[1]));
    groups
        .iter()
        .for_each(|group| rebalance(&mut broker, group));
    let first = history(&mut broker, None, 2);
    let watch_cursor = first.watch_cursor.clone();
    assert!(watch_cursor.is_some());
    // What happens between two pages is the watch's.
    rebalance(&mut broker, "b");
    rebalance(&mut broker, "e");
    let (mut events, mut next) = (first.events, first.next_cursor);
    while let Some(cursor) = next {
        let page = history(&mut broker, Some(cursor), 2);
        assert_eq!(page.watch_cursor, None);
        events.extend(page.events);
        next = page.next_cursor;
    }
    assert!(events.len() >= groups.len());
    let told = watch(&mut broker, &[], watch_cursor.as_ref());
    assert_eq!(told.missed, 0);
    assert!(!told.events.is_empty());
    events.extend(told.events);
    let everything = history(&mut broker, None, 1000);
    assert_eq!(sorted(&events), sorted(&everything.events));
    // Both know the same place now.
    assert_eq!(told.next_cursor, everything.watch_cursor);
    let nothing = watch(&mut broker, &[], told.next_cursor.as_ref());
    assert_eq!((nothing.events.len(), nothing.missed), (0, 0));
    assert_eq!(nothing.next_cursor, told.next_cursor);
}

#[test]
fn a_watch_from_now_on_wakes_for_its_groups_only() {
    let mut broker = with_coordinators();
    rebalance(&mut broker, "a");
    let mut all = request(&[], None);
    all.max_wait_ms = 100_000;
    let mut named = request(&["a", "b"], None);
    named.max_wait_ms = 100_000;
    let (all, named) = (broker.send(0, all), broker.send(0, named));
    let is_idle = |broker: &Broker, sent: &Sent| match sent {
        Sent::Waiting { waiting, .. } => !waiting.iter().any(|(_, id, _)| broker.has_answered(*id)),
        Sent::Answered(_) => false,
    };
    assert!(is_idle(&broker, &all) && is_idle(&broker, &named));
    rebalance(&mut broker, "c");
    assert!(!is_idle(&broker, &all), "it has something to tell");
    assert!(is_idle(&broker, &named));
    let told = body!(GroupWatch, broker.finish(all).unwrap());
    assert!(told.events.iter().all(|event| event.group_id == "c"));
    assert!(!told.events.is_empty());
    rebalance(&mut broker, "b");
    let told = body!(GroupWatch, broker.finish(named).unwrap());
    assert!(told.events.iter().all(|event| event.group_id == "b"));
    assert!(!told.events.is_empty());
}

#[test]
fn a_watch_in_small_steps_tells_everything_once() {
    let mut broker = with_coordinators();
    let mut cursor = watch(&mut broker, &[], None).next_cursor;
    for round in 0..5 {
        for group in ["a", "b", "c"] {
            if round % 2 == 0 || group != "b" {
                rebalance(&mut broker, group);
            }
        }
    }
    let mut events = Vec::new();
    loop {
        let mut request = request(&[], cursor.as_ref());
        request.max_events = 4;
        let told = body!(GroupWatch, broker.ask(0, request));
        assert!(told.events.len() <= 4 && told.missed == 0, "{told:?}");
        cursor = told.next_cursor;
        if told.events.is_empty() {
            break;
        }
        events.extend(told.events);
    }
    let everything = history(&mut broker, None, 1000).events;
    assert_eq!(sorted(&events), sorted(&everything));
}

#[test]
fn who_is_too_slow_hears_how_much_is_gone() {
    let mut broker = with_coordinators();
    let groups = neighbours(3);
    let [busy, quiet, fresh] = [0, 1, 2].map(|index| groups[index].as_str());
    rebalance(&mut broker, busy);
    rebalance(&mut broker, quiet);
    let begin = history(&mut broker, None, 1000).watch_cursor;
    let known = sorted(&history(&mut broker, None, 1000).events).len();
    for _ in 0..80 {
        rebalance(&mut broker, busy);
    }
    rebalance(&mut broker, quiet);
    let everything = history(&mut broker, None, 1000).events;
    let last = |group: &str| {
        let of = everything.iter().filter(|event| event.group_id == group);
        of.map(|event| event.sequence).max().unwrap()
    };
    let happened = last(busy) + last(quiet);
    assert!(happened > 80);
    let told = watch(&mut broker, &[], begin.as_ref());
    let new = i64::try_from(told.events.len()).unwrap();
    assert_eq!(told.missed + new, happened - i64::try_from(known).unwrap());
    assert!(told.missed > 0);
    // Who watches the busy group alone cannot be told more than that.
    let alone = watch(&mut broker, &[busy], begin.as_ref());
    assert_eq!(alone.missed, told.missed);
    assert_eq!(alone.next_cursor, told.next_cursor);
    // The others have missed nothing.
    let others = watch(&mut broker, &[quiet, fresh], begin.as_ref());
    assert_eq!(others.missed, 0);
    assert!(!others.events.is_empty());
    let next = watch(&mut broker, &[], told.next_cursor.as_ref());
    assert_eq!((next.missed, next.events.len()), (0, 0));
}

#[test]
fn a_cursor_outlives_restarts_snapshots_and_deleted_groups() {
    let mut broker = with_coordinators();
    let groups = neighbours(2);
    let [kept, gone] = [0, 1].map(|index| groups[index].as_str());
    rebalance(&mut broker, kept);
    rebalance(&mut broker, gone);
    let delete = DeleteGroupsRequest {
        groups_names: vec![text(gone)],
    };
    let deleted = body!(DeleteGroups, broker.ask(2, delete));
    assert_eq!(deleted.results[0].error_code, ErrorCode::None);
    let begin = history(&mut broker, None, 1000).watch_cursor;
    assert!(begin.is_some());
    // So much is committed that a snapshot drops what came before.
    for offset in 0..25_000 {
        let request = OffsetCommitRequest {
            group_id: text(kept),
            generation_id_or_member_epoch: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: text("orders"),
                partitions: vec![OffsetCommitRequestPartition {
                    committed_offset: Offset(offset),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        broker.ask(7, request);
    }
    assert!(broker.log_of("__consumer_offsets", 7).0 > 0, "a snapshot");
    broker.restart();
    let nothing = watch(&mut broker, &[], begin.as_ref());
    assert_eq!((nothing.missed, nothing.events.len()), (0, 0));
    assert_eq!(nothing.next_cursor, begin);
    rebalance(&mut broker, gone);
    let told = watch(&mut broker, &[], begin.as_ref());
    assert_eq!(told.missed, 0, "{told:?}");
    assert!(told.events.iter().all(|event| event.group_id == gone));
    assert!(!told.events.is_empty());
    // A group that is deleted before its events were told takes them with it.
    let untold = i64::try_from(told.events.len()).unwrap();
    let delete = DeleteGroupsRequest {
        groups_names: vec![text(gone)],
    };
    broker.ask(2, delete);
    let late = watch(&mut broker, &[], begin.as_ref());
    assert_eq!((late.missed, late.events.len()), (untold, 0));
    assert_eq!(late.next_cursor, told.next_cursor);
}

#[test]
fn while_a_coordinator_is_loading_the_place_is_kept() {
    let mut broker = with_coordinators();
    rebalance(&mut broker, "a");
    let begin = watch(&mut broker, &[], None).next_cursor;
    beat(&mut broker, "a", 0);
    let mut waits = request(&[], begin.as_ref());
    waits.max_wait_ms = 100_000;
    broker.restart_with_slow_reads();
    let refused = body!(GroupWatch, broker.ask(0, waits));
    assert_eq!(refused.error_code, ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(refused.next_cursor, None);
    broker.stick(false);
    let told = watch(&mut broker, &[], begin.as_ref());
    assert_eq!(told.missed, 0);
    assert!(!told.events.is_empty(), "at least: the coordinator moved");
}

#[test]
fn before_there_is_any_coordinator_a_watch_waits_a_little_and_misses_nothing() {
    let mut broker = broker();
    let mut early = request(&[], None);
    early.max_wait_ms = 100_000;
    let waiting = broker.send(0, early);
    assert!(
        !broker.is_answered(&waiting),
        "who asks again must not spin"
    );
    broker.pass(1_000);
    let told = body!(GroupWatch, broker.finish(waiting).unwrap());
    assert_eq!((told.events.len(), told.missed), (0, 0));
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![text("a")],
        ..Default::default()
    };
    broker.ask(4, request);
    rebalance(&mut broker, "a");
    let told = watch(&mut broker, &[], told.next_cursor.as_ref());
    assert_eq!(told.missed, 0);
    assert_eq!(told.events[0].sequence, 1);
}

#[test]
fn a_bad_cursor_is_refused() {
    let mut broker = with_coordinators();
    for cursor in ["", "17", "w1:x", "w2:1=1"] {
        let refused = body!(
            GroupWatch,
            broker.ask(0, request(&["a"], Some(&text(cursor))))
        );
        assert_eq!(refused.error_code, ErrorCode::InvalidRequest, "{cursor}");
    }
    // One of another coordinator is no reason to be silent.
    rebalance(&mut broker, "a");
    let index = partition_of("a", 50).0;
    let told = watch(&mut broker, &["a"], Some(&text(&format!("w1:{index}=999"))));
    assert_eq!(told.events[0].sequence, 1);
}

#[test]
fn pages_of_every_size_and_order_tell_everything_once() {
    let mut broker = with_coordinators();
    for group in ["a", "b", "c", "a", "d", "b", "a"] {
        rebalance(&mut broker, group);
    }
    // The wall clock stands still, so that the events' groups and numbers order them.
    let pages = |broker: &mut Broker, groups: &[&str], newest_first, max_events| {
        let mut request = GroupHistoryRequest {
            groups: groups.iter().map(|group| text(group)).collect(),
            max_events,
            newest_first,
            ..Default::default()
        };
        let mut rows = Vec::new();
        loop {
            let page = body!(GroupHistory, broker.ask(0, request.clone()));
            assert_eq!(page.error_code, ErrorCode::None);
            assert!(page.events.len() <= usize::try_from(max_events).unwrap());
            let row = |event: &GroupEvent| (event.group_id.to_string(), event.sequence);
            rows.extend(page.events.iter().map(row));
            request.cursor = page.next_cursor;
            if request.cursor.is_none() {
                return rows;
            }
        }
    };
    for groups in [&[][..], &["b", "a", "nobody"], &["d"]] {
        let all = pages(&mut broker, groups, false, 1000);
        assert!(!all.is_empty() && all.is_sorted(), "{all:?}");
        let backwards: Vec<_> = all.iter().rev().cloned().collect();
        for max_events in [1, 2, 3, 1000] {
            assert_eq!(pages(&mut broker, groups, false, max_events), all);
            assert_eq!(pages(&mut broker, groups, true, max_events), backwards);
        }
    }
    let at = |from, to| GroupHistoryRequest {
        from_ms: TimestampMs(from),
        to_ms: TimestampMs(to),
        max_events: 1000,
        ..Default::default()
    };
    for (from, to, some) in [
        (broker::WALL, -1, true),
        (broker::WALL + 1, -1, false),
        (-1, broker::WALL, false),
        (broker::WALL, broker::WALL + 1, true),
        (broker::WALL + 1, broker::WALL, false),
    ] {
        let page = body!(GroupHistory, broker.ask(0, at(from, to)));
        assert_eq!(!page.events.is_empty(), some, "{from} to {to}");
    }
}

#[test]
fn answers_are_bounded_in_bytes_and_what_is_left_off_follows() {
    let mut broker = with_coordinators();
    let begin = watch(&mut broker, &[], None).next_cursor;
    // Members with names that are as long as they may be.
    let (groups, member) = (neighbours(20), "m".repeat(4000));
    for _ in 0..8 {
        for epoch in [0, -1] {
            for group in &groups {
                beat_as(&mut broker, group, &member, epoch);
            }
            broker.pass(2000);
        }
    }
    let mut told = Vec::new();
    let mut first = history(&mut broker, None, 1000);
    let is_cut = first.next_cursor.is_some();
    assert!(is_cut, "{} events", first.events.len());
    loop {
        told.append(&mut first.events);
        let Some(cursor) = first.next_cursor else {
            break;
        };
        first = history(&mut broker, Some(cursor), 1000);
    }
    let rows = sorted(&told);
    assert!(rows.windows(2).all(|pair| pair[0] != pair[1]));
    let (mut cursor, mut watched, mut steps) = (begin, Vec::new(), 0);
    loop {
        let mut request = request(&[], cursor.as_ref());
        request.max_events = 1000;
        let mut answer = body!(GroupWatch, broker.ask(0, request));
        cursor = answer.next_cursor;
        if answer.events.is_empty() {
            break;
        }
        watched.append(&mut answer.events);
        steps += 1;
    }
    assert!(steps > 1);
    assert_eq!(sorted(&watched), rows);
}

#[test]
fn too_many_groups_in_a_request_are_refused() {
    let mut broker = with_coordinators();
    for (count, error) in [(1000, ErrorCode::None), (1001, ErrorCode::InvalidRequest)] {
        let groups: Vec<String> = (0..count).map(|n| format!("g{n}")).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let told = body!(GroupWatch, broker.ask(0, request(&groups, None)));
        assert_eq!(told.error_code, error, "{:?}", told.error_message);
        let request = GroupHistoryRequest {
            groups: groups.iter().map(|group| text(group)).collect(),
            max_events: 10,
            ..Default::default()
        };
        let told = body!(GroupHistory, broker.ask(0, request));
        assert_eq!(told.error_code, error, "{:?}", told.error_message);
    }
}

#[test]
fn the_history_tells_whether_a_member_left_or_was_taken_out() {
    let mut broker = with_coordinators();
    let leave = |member: &str, reason: &str| LeaveGroupRequest {
        group_id: text("a"),
        members: vec![MemberIdentity {
            member_id: text(member),
            group_instance_id: None,
            reason: Some(text(reason)),
        }],
        ..Default::default()
    };
    for reason in [
        "the consumer is being closed",
        "member was removed by an admin",
        "member was removed by an admin: it is stuck",
    ] {
        beat(&mut broker, "a", 0);
        broker.pass(2000);
        let left = body!(LeaveGroup, broker.ask(5, leave("m", reason)));
        assert_eq!(left.members[0].error_code, ErrorCode::None);
        broker.pass(2000);
    }
    let events = history(&mut broker, None, 1000).events;
    let left = events.iter().filter(|event| event.members_after == 0);
    let told: Vec<&str> = left.map(|event| event.causes[0].text.as_str()).collect();
    assert_eq!(
        told,
        [
            "a member left: the consumer is being closed",
            "a person did it: member was removed by an admin",
            "a person did it: member was removed by an admin: it is stuck",
        ]
    );
}
