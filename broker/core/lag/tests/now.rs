//! Lag as it is now: records, time, changes, pages.

mod common;

use common::{World, committed, everything, name, sender};
use weir_lag::{
    Report,
    track::{LagTime, RECENT, Track, passed},
    view::LagQuery,
};
use weir_types::Offset;

/// I-LAG-1, I-LAG-2: a track stays small, ascends, and errs by a second or an eighth.
#[test]
fn a_track_answers_within_its_error() {
    let mut track = Track::default();
    let mut records = 0;
    for second in 0..3_600i64 {
        let now = LagTime(second * 1000);
        records += 10 + second % 7;
        track.push(LagTime(now.0 - 1000), now, Offset(records), &RECENT);
        track.check();
    }
    let now = 3_599_000i64;
    let mut offset = records - 1;
    let mut true_second = 3_599i64;
    let mut high = records;
    while true_second > 3_100 {
        // The record at `offset` came in the second before `true_second`.
        while offset < high - (10 + true_second % 7) {
            high -= 10 + true_second % 7;
            true_second -= 1;
        }
        let told = passed(&track, None, Offset(offset)).expect("it is known");
        let true_ms = true_second * 1000;
        let error = (told.0 - true_ms).abs();
        let age = now - true_ms;
        assert!(
            error <= 1000 + age / 8,
            "an error of {error} ms at {age} ms"
        );
        assert!(told.0 <= now, "never a time to come");
        offset -= 3;
    }
}

/// Bursts after long rests: a rest between two points does not spread the burst over it.
#[test]
fn a_rest_is_not_spread_over() {
    let mut track = Track::default();
    track.push(LagTime(0), LagTime(1_000), Offset(10), &RECENT);
    track.push(LagTime(99_000), LagTime(100_000), Offset(20), &RECENT);
    let told = passed(&track, None, Offset(10)).expect("it is known");
    assert!((99_000..=100_000).contains(&told.0), "told {told:?}");
    assert_eq!(
        passed(&track, None, Offset(9)),
        None,
        "before anything is known"
    );
}

#[test]
fn lag_in_records_and_milliseconds() {
    let mut world = World::new();
    world.make_topic("orders", 2);
    world.high("orders", 0, 0, 0);
    world.high("orders", 1, 0, 0);
    world.commit("g", "orders", 0, 0);
    world.pass(5_000);
    world.high("orders", 0, 10, 10);
    world.pass(30_000);
    world.high("orders", 0, 30, 20);
    let page = world.all();
    let group = &page.groups[0];
    assert_eq!(group.lag.records, 30);
    assert!((30_000..=31_000).contains(&group.lag.ms), "{:?}", group.lag);
    assert_eq!(group.topics[0].partitions.len(), 1, "what it keeps or owns");

    world.commit("g", "orders", 0, 10);
    let lag = world.all().groups[0].lag;
    assert_eq!(lag.records, 20);
    assert!((0..=1_000).contains(&lag.ms), "{lag:?}");
    world.commit("g", "orders", 0, 30);
    let lag = world.all().groups[0].lag;
    assert_eq!((lag.records, lag.ms), (0, 0));
    // A commit beyond the end is no negative lag; an unknown partition no lag at all.
    world.commit("g", "orders", 0, 35);
    world.commit("g", "nowhere", 0, 5);
    let group = world.all().groups[0].clone();
    assert_eq!((group.lag.records, group.lag.ms), (0, 0));
    let nowhere = &group.topics[0];
    assert_eq!(
        (&*nowhere.topic, nowhere.lag.records, nowhere.lag.ms),
        ("nowhere", -1, -1)
    );
    world.keeper.check();
}

/// Records from before the broker watched: nobody knows when they came, but it was before that.
#[test]
fn what_came_before_anybody_watched_is_behind_for_so_long_at_least() {
    let mut world = World::new();
    world.make_topic("old", 2);
    world.high("old", 0, 100, 0);
    world.high("old", 1, 0, 0);
    world.commit("g", "old", 0, 40);
    world.pass(90_000);
    let lag = world.all().groups[0].lag;
    assert_eq!((lag.records, lag.ms), (60, -1));
    assert!((89_000..=91_000).contains(&lag.least_ms), "{lag:?}");
    // One that is known of beside it does not make the whole known, nor younger.
    world.high("old", 1, 5, 5);
    world.commit("g", "old", 1, 0);
    world.pass(10_000);
    let group = world.all().groups[0].clone();
    assert_eq!((group.lag.records, group.lag.ms), (65, -1));
    assert!((99_000..=101_000).contains(&group.lag.least_ms));
    let [unknown, known] = &group.topics[0].partitions[..] else {
        panic!("two partitions: {group:?}");
    };
    assert_eq!(unknown.lag.least_ms, group.lag.least_ms);
    assert!(known.lag.ms > 0 && known.lag.least_ms == -1, "{known:?}");
    // The group reads on, and it is known.
    world.commit("g", "old", 0, 100);
    let lag = world.all().groups[0].lag;
    assert!(lag.ms > 0 && lag.least_ms == -1, "{lag:?}");
    // What is not behind is not behind for any time.
    world.commit("g", "old", 1, 5);
    let lag = world.all().groups[0].lag;
    assert_eq!((lag.records, lag.ms, lag.least_ms), (0, 0, -1));
}

#[test]
fn a_wall_clock_that_jumps_neither_makes_lag_nor_takes_it() {
    let mut world = World::new();
    world.make_topic("t", 1);
    world.high("t", 0, 0, 0);
    world.commit("g", "t", 0, 0);
    world.pass(2_000);
    world.high("t", 0, 5, 5);
    for jump in [-3_600_000, 86_400_000, -200_000_000] {
        let before = world.all().groups[0].lag.ms;
        world.now.wall.0 += jump;
        world.pass(1_000);
        let after = world.all().groups[0].lag.ms;
        assert_eq!(after, before + 1_000, "after a jump by {jump} ms");
        world.keeper.check();
    }
    // The clock went back while nobody ran: what was known is not in the time to come.
    world.pass(120_000);
    world.high("t", 0, 6, 1);
    world.pass(70_000);
    world.restart(-900_000);
    world.high("t", 0, 6, 0);
    world.commit("g", "t", 0, 5);
    let lag = world.all().groups[0].lag;
    assert!((0..=200_000).contains(&lag.ms), "{lag:?}");
}

#[test]
fn only_what_changed_is_told() {
    let mut world = World::new();
    world.make_topic("a", 1);
    world.make_topic("b", 1);
    world.commit("reads-a", "a", 0, 0);
    world.commit("reads-b", "b", 0, 0);
    let since = |generation| LagQuery {
        since: Some(generation),
        ..everything()
    };
    let first = world.all();
    assert!(first.complete);
    assert!(!world.keeper.changed_since(first.generation));
    world.high("a", 0, 7, 7);
    let page = world.lag(&since(first.generation));
    assert!(!page.complete);
    let names: Vec<&str> = page.groups.iter().map(|group| &*group.group).collect();
    assert_eq!(names, ["reads-a"]);
    let names: Vec<&str> = page.topics.iter().map(|topic| &*topic.topic).collect();
    assert_eq!(names, ["a"]);
    assert_eq!(page.topics[0].traffic.records_in, 7);

    // What flowed leaves the window by itself, and that is a change.
    let before = world.changes;
    world.pass(12_000);
    assert!(world.changes > before);
    let page = world.lag(&since(page.generation));
    assert_eq!(page.topics[0].traffic.records_in, 0);

    let generation = page.generation;
    world.report(Report {
        groups_gone: vec![name("reads-b")],
        ..Report::new(sender(0))
    });
    world.delete_topic("b");
    let page = world.lag(&since(generation));
    assert_eq!(page.groups_gone, [name("reads-b")]);
    assert_eq!(page.topics_gone, [name("b")]);
    assert!(page.groups.is_empty());

    world.restart(1_000);
    let page = world.lag(&since(generation));
    assert!(
        page.complete,
        "a generation from before a restart is not known"
    );
}

#[test]
fn what_a_full_report_leaves_out_is_gone() {
    let mut world = World::new();
    world.make_topic("t", 2);
    world.commit("stays", "t", 0, 1);
    world.commit("goes", "t", 1, 1);
    world.high("t", 1, 9, 0);
    let partition = world.partition("t", 0, 4, 0);
    // Another shard's full report takes nothing away.
    world.report(Report {
        full: true,
        ..Report::new(sender(1))
    });
    assert_eq!(world.all().groups.len(), 2);
    world.report(Report {
        full: true,
        partitions: vec![partition],
        groups: vec![committed("stays", &[("t", 0, 1), ("t", 1, 1)])],
        ..Report::new(sender(0))
    });
    let page = world.all();
    assert_eq!(page.groups.len(), 1);
    let partitions = &page.groups[0].topics[0].partitions;
    assert_eq!(partitions[0].lag.records, 3);
    assert_eq!(partitions[1].high, Offset(-1), "nobody leads it");
    assert_eq!(partitions[1].lag.records, -1);
}

#[test]
fn pages_together_tell_what_one_tells() {
    let mut world = World::new();
    for topic in ["a", "b", "c"] {
        world.make_topic(topic, 4);
        for index in 0..4 {
            world.high(topic, index, 100, 0);
        }
    }
    for group in ["g1", "g2", "g3"] {
        for topic in ["a", "b"] {
            for index in 0..4 {
                world.commit(group, topic, index, 10);
            }
        }
    }
    let whole = world.all();
    for rows_max in 1..30 {
        let mut query = LagQuery {
            rows_max,
            ..everything()
        };
        let (mut rows, mut topics) = (Vec::new(), Vec::new());
        loop {
            let page = world.lag(&query);
            let mut count = page.topics.len();
            for group in &page.groups {
                assert_eq!(group.lag.records, 720, "totals are of the whole group");
                for topic in &group.topics {
                    count += topic.partitions.len();
                    for partition in &topic.partitions {
                        rows.push((group.group.clone(), topic.topic.clone(), partition.index));
                    }
                }
            }
            assert!(count <= rows_max, "{count} rows of {rows_max}");
            topics.extend(page.topics.iter().map(|topic| topic.topic.clone()));
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        let told = whole.groups.iter().flat_map(|group| {
            group.topics.iter().flat_map(move |topic| {
                let partitions = topic.partitions.iter();
                partitions.map(move |p| (group.group.clone(), topic.topic.clone(), p.index))
            })
        });
        assert_eq!(rows, told.collect::<Vec<_>>(), "{rows_max} rows a page");
        assert_eq!(topics.len(), 3);
    }
    // Totals alone, of one topic.
    let query = LagQuery {
        partitions: false,
        topics: [name("a")].into(),
        ..everything()
    };
    let page = world.lag(&query);
    assert_eq!(page.groups.len(), 3);
    assert_eq!(page.groups[0].lag.records, 360);
    assert!(page.groups[0].topics[0].partitions.is_empty());
}
