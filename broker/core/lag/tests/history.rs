//! Lag over time: samples, their log, restarts, and what it all costs.

mod common;

use common::{START, World, all_history, committed, name, sender};
use weir_lag::{
    LagEvent, Report, Subject,
    view::{HistoryQuery, Points},
};
use weir_types::TimestampMs;

fn lag_points(world: &World, group: &str, resolution_ms: i64) -> (i64, Vec<[i64; 2]>) {
    let page = world.history(&HistoryQuery {
        groups: [name(group)].into(),
        of_group_topics: false,
        of_topics: false,
        resolution_ms: Some(resolution_ms),
        ..all_history()
    });
    assert_eq!(page.resolution_ms, resolution_ms);
    match page.series.into_iter().next() {
        Some(series) => match series.points {
            Points::Lag(points) => (series.start.0, points),
            Points::Traffic(_) => panic!("a group has lag"),
        },
        None => (0, Vec::new()),
    }
}

fn traffic_points(world: &World, resolution_ms: i64) -> Vec<[i64; 4]> {
    let page = world.history(&HistoryQuery {
        of_groups: false,
        of_group_topics: false,
        resolution_ms: Some(resolution_ms),
        ..all_history()
    });
    match page.series.into_iter().next().map(|series| series.points) {
        Some(Points::Traffic(points)) => points,
        _ => Vec::new(),
    }
}

/// So many seconds with ten records each, of which the group has the first half read.
fn run(world: &mut World, from: i64, seconds: i64) -> i64 {
    let mut high = from;
    for _ in 0..seconds {
        world.pass(1_000);
        high += 10;
        world.high("t", 0, high, 10);
        world.commit("g", "t", 0, high / 2);
    }
    high
}

fn started() -> World {
    let mut world = World::new();
    world.make_topic("t", 1);
    world.high("t", 0, 0, 0);
    world.commit("g", "t", 0, 0);
    world.event(LagEvent::Complete(true));
    world
}

/// I-LAG-3: rings hold what they say.
#[test]
fn samples_are_taken_and_made_coarser() {
    let mut world = started();
    run(&mut world, 0, 700);
    let (start, points) = lag_points(&world, "g", 10_000);
    assert_eq!(
        start,
        START + 10_000,
        "a point is told by the end of its step"
    );
    assert!((69..=70).contains(&points.len()), "{} points", points.len());
    for (place, [records, ms]) in points.iter().enumerate().skip(1) {
        let true_records = (place as i64 + 1) * 50;
        assert!(
            (records - true_records).abs() <= 10,
            "{records} near {true_records}"
        );
        assert!(*ms > 0 && *ms <= START + 700_000, "{ms}");
    }
    let (_, coarse) = lag_points(&world, "g", 60_000);
    let minute = usize::try_from(60 - START / 1000 % 60).unwrap_or(0) / 10;
    assert_eq!(coarse[0], points[minute - 1], "the last of the step counts");
    let fine = traffic_points(&world, 10_000);
    let coarse = traffic_points(&world, 60_000);
    let sum: i64 = fine[minute..minute + 6].iter().map(|point| point[0]).sum();
    assert_eq!(coarse[1][0], sum, "what went is added up");
    assert_eq!(fine[5], [100, 10_000, 0, 0]);
    world.keeper.check();
}

/// I-LAG-7: the records are all there is.
#[test]
fn the_log_tells_the_ledger_after_a_restart() {
    let mut world = started();
    let high = run(&mut world, 0, 400);
    assert_eq!(&world.read(), world.keeper.ledger());
    let before = lag_points(&world, "g", 10_000);
    world.restart(120_000);
    assert_eq!(
        lag_points(&world, "g", 10_000),
        before,
        "the chart is there at once"
    );
    // Nothing is taken for gone before everybody has told everything.
    world.pass(20_000);
    world.high("t", 0, high, 0);
    world.commit("g", "t", 0, high / 2);
    let lag = world.all().groups[0].lag;
    assert_eq!(lag.records, high / 2);
    let true_ms = (400 - 200 + 120 + 20) * 1_000;
    assert!(
        (lag.ms - true_ms).abs() <= 60_000 + true_ms / 4,
        "{} near {true_ms}",
        lag.ms
    );
    let high = run(&mut world, high, 60);
    assert!(high > 0);
    let (_, points) = lag_points(&world, "g", 10_000);
    assert!(points.contains(&[-1, -1]), "a gap where nobody ran");
    assert_eq!(points[..before.1.len()], before.1[..]);
    assert_eq!(&world.read(), world.keeper.ledger());
}

/// I-LAG-8: a snapshot tells everything.
#[test]
fn a_snapshot_while_others_go_on_tells_everything() {
    let mut world = started();
    let high = run(&mut world, 0, 200);
    let mut effects = Vec::new();
    world.keeper.begin_snapshot(world.now, &mut effects);
    for effect in effects {
        world.carry_out(effect);
    }
    let before = world.log.len();
    run(&mut world, high, 100);
    assert_eq!(world.snapshots, 1);
    assert!(world.log.len() < before, "what came before it is gone");
    assert_eq!(&world.read(), world.keeper.ledger());
}

/// I-LAG-4: a subject has one series, and one that is gone has none.
#[test]
fn what_is_gone_has_no_series() {
    let mut world = started();
    run(&mut world, 0, 30);
    assert_eq!(world.keeper.ledger().len(), 3);
    world.report(Report {
        groups_gone: vec![name("g")],
        ..Report::new(sender(0))
    });
    world.pass(10_000);
    assert_eq!(world.keeper.ledger().len(), 1);
    world.delete_topic("t");
    world.pass(70_000);
    assert_eq!(world.keeper.ledger().len(), 0);
    assert_eq!(&world.read(), world.keeper.ledger());
    world.keeper.check();
}

/// A clock that goes back takes the samples of the time to come with it.
#[test]
fn a_clock_that_goes_back_leaves_no_samples_ahead() {
    let mut world = started();
    let high = run(&mut world, 0, 300);
    world.now.wall.0 -= 100_000;
    let high = run(&mut world, high, 50);
    let (start, points) = lag_points(&world, "g", 10_000);
    let last = start + (points.len() as i64 - 1) * 10_000;
    assert!(
        last <= world.now.wall.0,
        "{last} is ahead of {:?}",
        world.now.wall
    );
    world.now.wall.0 += 1_000_000;
    run(&mut world, high, 20);
    let (_, points) = lag_points(&world, "g", 10_000);
    assert!(points.contains(&[-1, -1]), "a gap, not a guess");
    assert_eq!(&world.read(), world.keeper.ledger());
    world.keeper.check();
}

#[test]
fn history_comes_in_pages_and_by_time() {
    let mut world = started();
    for group in ["g1", "g2", "g3"] {
        world.commit(group, "t", 0, 0);
    }
    run(&mut world, 0, 300);
    let whole = world.history(&all_history());
    let subjects = whole.series.iter().map(|series| &series.subject);
    assert_eq!(subjects.collect::<Vec<_>>().len(), 9);
    let mut query = HistoryQuery {
        points_max: 40,
        ..all_history()
    };
    let mut series = Vec::new();
    loop {
        let page = world.history(&query);
        series.extend(page.series);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!(series, whole.series);
    let some = world.history(&HistoryQuery {
        from: Some(TimestampMs(START + 100_000)),
        to: Some(TimestampMs(START + 200_000)),
        ..all_history()
    });
    let first = &some.series[0];
    assert_eq!(first.subject, Subject::Group(name("g")));
    assert_eq!(first.start, TimestampMs(START + 100_000));
    assert!(matches!(&first.points, Points::Lag(points) if points.len() == 10));
    // The lag of a group on the topics asked for.
    let some = world.history(&HistoryQuery {
        topics: [name("t")].into(),
        ..all_history()
    });
    assert_eq!(some.series[0].points, whole.series[0].points);
}

/// I-LAG-5, I-LAG-6. A week of work: memory a series, and the topic's size.
#[test]
fn a_week_takes_bounded_memory_and_a_bounded_log() {
    const GROUPS: usize = 1;
    const TOPICS: usize = 4;
    const WEEK_STEPS: u64 = 7 * 24 * 360;
    let mut world = World::new();
    let topics: Vec<String> = (0..TOPICS).map(|topic| format!("topic-{topic}")).collect();
    for topic in &topics {
        world.make_topic(topic, 1);
    }
    world.event(LagEvent::Complete(true));
    let mut seed = 12345u64;
    let mut random = move |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut highs = vec![0i64; TOPICS];
    for _ in 0..WEEK_STEPS {
        world.pass(10_000);
        let mut report = Report {
            within_ms: Some(1000),
            ..Report::new(sender(0))
        };
        for (topic, high) in topics.iter().zip(&mut highs) {
            let came = random(10_000);
            *high += came as i64;
            report
                .partitions
                .push(world.partition(topic, 0, *high, came));
        }
        for group in 0..GROUPS {
            let offsets: Vec<(&str, i32, i64)> = topics
                .iter()
                .zip(&highs)
                .map(|(topic, high)| (&**topic, 0, (high - random(5_000) as i64).max(0)))
                .collect();
            report
                .groups
                .push(committed(&format!("group-{group}"), &offsets));
        }
        world.report(report);
    }
    let series = world.keeper.ledger().len();
    assert_eq!(series, GROUPS * (TOPICS + 1) + TOPICS);
    let bytes = world.keeper.ledger().bytes();
    let hundred = bytes / series * (100 * 11 + 10);
    println!(
        "{} bytes of memory a series, {} for 100 groups of 10 topics; log of {series} series: \
         {} bytes at most, {} snapshots",
        bytes / series,
        hundred,
        world.log_bytes_max,
        world.snapshots,
    );
    assert!(bytes / series < 40_000, "{} bytes a series", bytes / series);
    assert!(world.snapshots > 0, "the log was cut");
    assert!(
        world.log_bytes_max < 6 * bytes + 2 * 1024 * 1024,
        "{}",
        world.log_bytes_max
    );
    assert_eq!(&world.read(), world.keeper.ledger());
    world.keeper.check();
}
