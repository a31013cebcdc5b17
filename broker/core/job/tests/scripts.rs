//! Scripts: what a router is told, line by line, and what it wants done.

use expect_test::{Expect, expect};
use std::fmt::Write;
use weir_job::{
    Answer, Effect, Event, Fetched, Generation, Loaded, Order, Output, PartResult, Policy, Recipe,
    Refused, Router, Row, Saved, Settings, Start, Target, Ticket, Transformed, Trouble,
};
use weir_types::{Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Tick, TopicId};

/// A router, and what it did.
struct Script {
    router: Router,
    now: u64,
    ticket: Ticket,
    text: String,
}

fn recipe(version: &str, partitions: u32) -> Recipe {
    let output = |topic| Output {
        topic: TopicId([topic; 16]),
        partitions,
        partitioner: None,
    };
    Recipe {
        versions: vec![format!("route@{version}")],
        outputs: vec![output(1), output(2)],
    }
}

fn settings() -> Settings {
    Settings {
        generation: Generation {
            created_at: 1,
            restarts: 0,
        },
        start: Start::Earliest,
        recipe: Ok(recipe("1.0.0", 2)),
        policy: Policy::Stop,
        paused: false,
    }
}

fn restarted(at: Start) -> Settings {
    let generation = Generation {
        created_at: 1,
        restarts: 1,
    };
    Settings {
        generation,
        start: at,
        ..settings()
    }
}

/// `offset>output.partition`
fn row(offset: i64, output: u32, partition: i32) -> Row {
    Row {
        offset: Offset(offset),
        target: Target {
            output,
            partition: PartitionIndex(partition),
        },
        bytes: 100,
    }
}

fn rows(rows: &[Row]) -> Answer {
    Answer::Transformed(Ok(Transformed {
        rows: rows.to_vec(),
        refused: Vec::new(),
    }))
}

fn refused(offset: i64) -> Answer {
    Answer::Transformed(Ok(Transformed {
        rows: Vec::new(),
        refused: vec![Refused {
            offset: Offset(offset),
            bytes: 10,
            reason: "no such field".to_owned(),
        }],
    }))
}

fn nothing(log_start: i64, log_end: i64) -> Answer {
    Answer::Loaded(Ok(Loaded {
        saved: None,
        log_start: Offset(log_start),
        log_end: Offset(log_end),
    }))
}

const TEXT: &str = "weir-job/1 run=1:0 producer=7:0 base=0 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2";

fn saved(offset: i64, log_start: i64) -> Answer {
    Answer::Loaded(Ok(Loaded {
        saved: Some(Saved {
            offset: Offset(offset),
            metadata: TEXT.to_owned(),
        }),
        log_start: Offset(log_start),
        log_end: Offset(1000),
    }))
}

fn producer(id: i64) -> Answer {
    Answer::Producer(Ok((ProducerId(id), ProducerEpoch(0))))
}

fn batches(next: i64) -> Answer {
    Answer::Fetched(Ok(Fetched::Batches { next: Offset(next) }))
}

fn passing() -> Trouble {
    Trouble::Passing("not now".to_owned())
}

const COMMITTED: Answer = Answer::Committed(Ok(()));

impl Script {
    fn new() -> Self {
        Self {
            router: Router::new(PartitionIndex(3)),
            now: 0,
            ticket: Ticket(0),
            text: String::new(),
        }
    }

    fn event(&mut self, event: Event) -> &mut Self {
        let mut effects = Vec::new();
        self.router.step(Tick(self.now), event, &mut effects);
        for effect in effects {
            match effect {
                Effect::WakeAt(at) => writeln!(self.text, "  wake at {}", at.0),
                Effect::Order { ticket, order } => {
                    self.ticket = ticket;
                    writeln!(self.text, "  {}", show(&order))
                }
            }
            .expect("a text takes what is written");
        }
        if !matches!(self.router.state(), weir_job::State::Running) {
            writeln!(self.text, "  {:?}", self.router.state()).expect("as above");
        }
        self
    }

    fn changed(&mut self, settings: Settings) -> &mut Self {
        self.text += "changed\n";
        self.event(Event::Changed(settings))
    }

    fn answer(&mut self, answer: Answer) -> &mut Self {
        let text = format!("{answer:?}\n");
        self.text += text.split(['(', '{']).next().unwrap_or_default().trim();
        self.text += "\n";
        let ticket = self.ticket;
        self.event(Event::Answered { ticket, answer })
    }

    /// As far as the first fetch.
    fn begun(&mut self) -> &mut Self {
        self.changed(settings())
            .answer(nothing(0, 1000))
            .answer(producer(7))
            .answer(COMMITTED);
        self.text.clear();
        self
    }

    fn wake_at(&mut self, now: u64) -> &mut Self {
        self.now = now;
        self.text += "wake\n";
        self.event(Event::Wake)
    }

    fn expect(&self, wanted: &Expect) {
        wanted.assert_eq(&self.text);
    }
}

fn show(order: &Order) -> String {
    match order {
        Order::Load => "load".to_owned(),
        Order::Describe { producer, outputs } => {
            format!("describe producer {producer} in {} outputs", outputs.len())
        }
        Order::NewProducer => "new producer".to_owned(),
        Order::Fetch { from, .. } => format!("fetch {from}"),
        Order::Transform { from, recipe } => format!("transform {from} {:?}", recipe.versions),
        Order::Produce { producer, parts } => {
            let part = |part: &weir_job::Part| {
                format!(
                    " {}.{}:{:?}:{}-{}",
                    part.target.output, part.target.partition, part.places, part.first, part.last
                )
            };
            let parts: String = parts.iter().map(part).collect();
            format!("produce as {}:{parts}", producer.0)
        }
        Order::Commit { offset, metadata } => format!("commit {offset} {metadata}"),
    }
}

#[test]
fn a_round_is_read_written_and_committed() {
    let mut script = Script::new();
    script
        .changed(settings())
        .answer(nothing(5, 1000))
        .answer(producer(7))
        .answer(COMMITTED)
        .answer(batches(10))
        .answer(rows(&[row(5, 0, 1), row(6, 1, 0), row(9, 0, 1)]))
        .answer(Answer::Produced(vec![PartResult::Done, PartResult::Done]))
        .answer(COMMITTED)
        .answer(Answer::Fetched(Ok(Fetched::Nothing)));
    script.expect(&expect![[r#"
        changed
          load
        Loaded
          new producer
        Producer
          commit 5 weir-job/1 run=1:0 producer=7:0 base=5 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
        Committed
          fetch 5
        Fetched
          transform 5 ["route@1.0.0"]
        Transformed
          produce as 7: 0.1:[Row(0), Row(2)]:0-4 1.0:[Row(1)]:1-1
        Produced
          commit 10 weir-job/1 run=1:0 producer=7:0 base=5 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
        Committed
          fetch 10
        Fetched
          fetch 10
    "#]]);
}

#[test]
fn i_job_2_a_replay_leaves_out_what_the_outputs_have() {
    let mut script = Script::new();
    let has = |output, partition, last| {
        let partition = PartitionIndex(partition);
        (Target { output, partition }, Sequence(last))
    };
    script
        .changed(settings())
        .answer(saved(5, 0))
        .answer(Answer::Described(Ok(vec![has(0, 1, 6), has(1, 0, 2)])))
        .answer(batches(10))
        .answer(rows(&[
            row(5, 0, 1),
            row(6, 0, 1),
            row(7, 0, 1),
            row(8, 1, 0),
        ]));
    script.expect(&expect![[r#"
        changed
          load
        Loaded
          describe producer 7 in 2 outputs
        Described
          fetch 5
        Fetched
          transform 5 ["route@1.0.0"]
        Transformed
          produce as 7: 0.1:[Row(2)]:7-7 1.0:[Row(3)]:8-8
    "#]]);
    assert_eq!(script.router.counts().left_out, 2);
}

#[test]
fn i_job_4_a_new_recipe_waits_for_the_end_of_a_replay_and_is_committed_first() {
    let mut script = Script::new();
    let target = Target {
        output: 0,
        partition: PartitionIndex(1),
    };
    let newer = Settings {
        recipe: Ok(recipe("2.0.0", 4)),
        ..settings()
    };
    script
        .changed(newer)
        .answer(saved(5, 0))
        .answer(Answer::Described(Ok(vec![(target, Sequence(7))])))
        .answer(batches(7))
        .answer(rows(&[row(6, 0, 1)]))
        .answer(COMMITTED)
        .answer(batches(9))
        .answer(rows(&[row(7, 0, 1), row(8, 0, 1)]))
        .answer(Answer::Produced(vec![PartResult::Done]))
        .answer(COMMITTED)
        .answer(COMMITTED)
        .answer(batches(10))
        .answer(rows(&[row(9, 1, 3)]));
    script.expect(&expect![[r#"
        changed
          load
        Loaded
          describe producer 7 in 2 outputs
        Described
          fetch 5
        Fetched
          transform 5 ["route@1.0.0"]
        Transformed
          commit 7 weir-job/1 run=1:0 producer=7:0 base=0 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
        Committed
          fetch 7
        Fetched
          transform 7 ["route@1.0.0"]
        Transformed
          produce as 7: 0.1:[Row(1)]:8-8
        Produced
          commit 9 weir-job/1 run=1:0 producer=7:0 base=0 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
        Committed
          commit 9 weir-job/1 run=1:0 producer=7:0 base=0 with=route@2.0.0 to=01010101010101010101010101010101:4,02020202020202020202020202020202:4
        Committed
          fetch 9
        Fetched
          transform 9 ["route@2.0.0"]
        Transformed
          produce as 7: 1.3:[Row(0)]:9-9
    "#]]);
}

#[test]
fn a_new_recipe_does_not_wait_for_a_record() {
    let mut script = Script::new();
    let newer = Settings {
        recipe: Ok(recipe("2.0.0", 2)),
        ..settings()
    };
    let old = script.begun().ticket;
    script.changed(newer);
    let (ticket, answer) = (old, batches(3));
    script.event(Event::Answered { ticket, answer });
    script.answer(COMMITTED);
    script.expect(&expect![[r#"
        changed
          commit 0 weir-job/1 run=1:0 producer=7:0 base=0 with=route@2.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
        Committed
          fetch 0
    "#]]);
}

#[test]
fn what_fails_is_tried_again_with_longer_pauses() {
    let mut script = Script::new();
    script
        .begun()
        .answer(batches(3))
        .answer(rows(&[row(0, 0, 0), row(1, 0, 1)]))
        .answer(Answer::Produced(vec![
            PartResult::Failed(passing()),
            PartResult::Done,
        ]))
        .wake_at(50)
        .wake_at(100)
        .answer(Answer::Produced(vec![PartResult::Failed(passing())]))
        .wake_at(300)
        .answer(Answer::Produced(vec![PartResult::Done]))
        .answer(Answer::Committed(Err(passing())))
        .wake_at(400)
        .answer(COMMITTED);
    script.expect(&expect![[r#"
        Fetched
          transform 0 ["route@1.0.0"]
        Transformed
          produce as 7: 0.0:[Row(0)]:0-0 0.1:[Row(1)]:1-1
        Produced
          wake at 100
          Retrying { reason: "not now" }
        wake
          wake at 100
          Retrying { reason: "not now" }
        wake
          produce as 7: 0.0:[Row(0)]:0-0
          Retrying { reason: "not now" }
        Produced
          wake at 300
          Retrying { reason: "not now" }
        wake
          produce as 7: 0.0:[Row(0)]:0-0
          Retrying { reason: "not now" }
        Produced
          commit 3 weir-job/1 run=1:0 producer=7:0 base=0 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
        Committed
          wake at 400
          Retrying { reason: "not now" }
        wake
          commit 3 weir-job/1 run=1:0 producer=7:0 base=0 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
          Retrying { reason: "not now" }
        Committed
          fetch 3
    "#]]);
}

#[test]
fn a_refused_record_stops_is_skipped_or_goes_to_the_dead_letters() {
    let with = |policy| {
        let mut script = Script::new();
        script.begun();
        script.changed(Settings {
            policy,
            ..settings()
        });
        script.answer(batches(3)).answer(refused(2));
        script
    };
    with(Policy::Stop).expect(&expect![[r#"
        changed
          fetch 0
        Fetched
          transform 0 ["route@1.0.0"]
        Transformed
          Stopped { reason: "the record at offset 2 was refused: no such field" }
    "#]]);
    with(Policy::Skip).expect(&expect![[r#"
        changed
          fetch 0
        Fetched
          transform 0 ["route@1.0.0"]
        Transformed
          commit 3 weir-job/1 run=1:0 producer=7:0 base=0 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
    "#]]);
    with(Policy::DeadLetter(1)).expect(&expect![[r#"
        changed
          fetch 0
        Fetched
          transform 0 ["route@1.0.0"]
        Transformed
          produce as 7: 1.1:[Refused(0)]:2-2
    "#]]);
}

#[test]
fn a_pause_waits_for_what_is_on_its_way_and_begins_with_what_is_committed() {
    let mut script = Script::new();
    script.begun();
    script.answer(batches(3)).answer(rows(&[row(0, 0, 0)]));
    script.changed(Settings {
        paused: true,
        ..settings()
    });
    script.answer(Answer::Produced(vec![PartResult::Failed(passing())]));
    script.changed(settings());
    script.expect(&expect![[r#"
        Fetched
          transform 0 ["route@1.0.0"]
        Transformed
          produce as 7: 0.0:[Row(0)]:0-0
        changed
        Produced
          Paused
        changed
          load
    "#]]);
}

#[test]
fn i_job_3_a_restart_is_another_run_with_another_producer() {
    let mut script = Script::new();
    script.begun();
    script.changed(restarted(Start::At(Offset(40))));
    script
        .answer(saved(900, 0))
        .answer(producer(8))
        .answer(COMMITTED)
        .answer(batches(50))
        .answer(rows(&[row(40, 0, 0)]));
    script.expect(&expect![[r#"
        changed
          load
        Loaded
          new producer
        Producer
          commit 40 weir-job/1 run=1:1 producer=8:0 base=40 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
        Committed
          fetch 40
        Fetched
          transform 40 ["route@1.0.0"]
        Transformed
          produce as 8: 0.0:[Row(0)]:0-0
    "#]]);
}

#[test]
fn a_start_lies_within_the_log() {
    for (at, first) in [(3, 10), (15, 15), (70, 20)] {
        let mut script = Script::new();
        script.changed(restarted(Start::At(Offset(at))));
        script.answer(nothing(10, 20)).answer(producer(1));
        assert!(script.text.contains(&format!("commit {first} ")), "{at}");
    }
}

#[test]
fn records_that_are_gone_are_counted() {
    let mut script = Script::new();
    script
        .changed(settings())
        .answer(saved(5, 30))
        .answer(Answer::Described(Ok(Vec::new())))
        .answer(Answer::Fetched(Ok(Fetched::Gone {
            log_start: Offset(35),
        })));
    script.expect(&expect![[r#"
        changed
          load
        Loaded
          describe producer 7 in 2 outputs
        Described
          fetch 30
        Fetched
          fetch 35
    "#]]);
    assert_eq!(script.router.counts().lost, 30);
}

#[test]
fn what_will_not_go_away_stops_the_job_until_it_is_told_again() {
    let mut script = Script::new();
    script.begun();
    script.changed(Settings {
        recipe: Err("topic 'b' is gone".to_owned()),
        ..settings()
    });
    script.changed(settings());
    script.answer(Answer::Loaded(Ok(Loaded {
        saved: Some(Saved {
            offset: Offset(3),
            metadata: "by hand".to_owned(),
        }),
        log_start: Offset(0),
        log_end: Offset(9),
    })));
    script.changed(settings());
    script
        .answer(saved(5, 0))
        .answer(Answer::Described(Ok(Vec::new())))
        .answer(Answer::Fetched(Ok(Fetched::Beyond { log_end: Offset(2) })));
    script.expect(&expect![[r#"
        changed
          Stopped { reason: "topic 'b' is gone" }
        changed
          load
        Loaded
          Stopped { reason: "the progress was changed by somebody else (the text committed with the progress, 'by hand', is none that this version of Weir writes); restart the job from an offset" }
        changed
          load
        Loaded
          describe producer 7 in 2 outputs
        Described
          fetch 5
        Fetched
          Stopped { reason: "the progress is 5, but the source ends at 2; restart the job from an offset" }
    "#]]);
}

#[test]
fn a_part_that_is_too_large_is_halved() {
    let large = || PartResult::TooLarge("too large".to_owned());
    let mut script = Script::new();
    script
        .begun()
        .answer(batches(3))
        .answer(rows(&[row(0, 0, 0), row(1, 0, 0), row(2, 0, 0)]))
        .answer(Answer::Produced(vec![large()]))
        .answer(Answer::Produced(vec![PartResult::Done]))
        .answer(Answer::Produced(vec![large()]))
        .answer(Answer::Produced(vec![large()]));
    script.expect(&expect![[r#"
        Fetched
          transform 0 ["route@1.0.0"]
        Transformed
          produce as 7: 0.0:[Row(0), Row(1), Row(2)]:0-2
        Produced
          produce as 7: 0.0:[Row(0)]:0-0
        Produced
          produce as 7: 0.0:[Row(1), Row(2)]:1-2
        Produced
          produce as 7: 0.0:[Row(1)]:1-1
        Produced
          Stopped { reason: "too large" }
    "#]]);
}

#[test]
fn i_job_6_what_comes_back_must_be_of_the_round() {
    let wrong = [
        [row(0, 0, 0), row(3, 0, 0)],
        [row(1, 0, 0), row(1, 1, 0)],
        [row(1, 0, 0), row(2, 2, 0)],
        [row(1, 0, 0), row(2, 0, 2)],
        [row(1, 0, 0), row(2, 0, -1)],
    ];
    let mut text = String::new();
    for rows_back in wrong {
        let mut script = Script::new();
        script.begun().answer(batches(3)).answer(rows(&rows_back));
        let line = script.text.lines().last().unwrap_or_default();
        text = text + line.trim() + "\n";
    }
    expect![[r#"
        Stopped { reason: "offset 3 came back where 1 to 3 would be right" }
        Stopped { reason: "offset 1 came back where 2 to 3 would be right" }
        Stopped { reason: "the record at offset 2 was sent to partition 0 of output 2, which is not there" }
        Stopped { reason: "the record at offset 2 was sent to partition 2 of output 0, which is not there" }
        Stopped { reason: "the record at offset 2 was sent to partition -1 of output 0, which is not there" }
    "#]]
    .assert_eq(&text);
}

#[test]
fn an_output_that_disagrees_is_asked_what_it_has() {
    let disorder = || Answer::Produced(vec![PartResult::OutOfOrder("7 is there".to_owned())]);
    let target = Target {
        output: 0,
        partition: PartitionIndex(0),
    };
    let mut script = Script::new();
    script
        .begun()
        .answer(batches(3))
        .answer(rows(&[row(0, 0, 0), row(1, 0, 0)]));
    script
        .answer(disorder())
        .answer(Answer::Described(Ok(vec![(target, Sequence(0))])))
        .answer(batches(3))
        .answer(rows(&[row(0, 0, 0), row(1, 0, 0)]));
    script.expect(&expect![[r#"
        Fetched
          transform 0 ["route@1.0.0"]
        Transformed
          produce as 7: 0.0:[Row(0), Row(1)]:0-1
        Produced
          describe producer 7 in 2 outputs
        Described
          fetch 0
        Fetched
          transform 0 ["route@1.0.0"]
        Transformed
          produce as 7: 0.0:[Row(1)]:1-1
    "#]]);
    for _ in 0..5 {
        script
            .answer(disorder())
            .answer(Answer::Described(Ok(Vec::new())))
            .answer(batches(3))
            .answer(rows(&[row(0, 0, 0), row(1, 0, 0)]));
    }
    assert!(matches!(
        script.router.state(),
        weir_job::State::Stopped { .. }
    ));
}

#[test]
fn i_job_7_a_producer_is_replaced_before_its_sequences_end() {
    let far = 1 << 30;
    let mut script = Script::new();
    script
        .begun()
        .answer(batches(far))
        .answer(rows(&[row(far - 1, 0, 0)]))
        .answer(Answer::Produced(vec![PartResult::Done]))
        .answer(COMMITTED)
        .answer(producer(8))
        .answer(COMMITTED)
        .answer(batches(far + 2))
        .answer(rows(&[row(far + 1, 0, 0)]));
    script.expect(&expect![[r#"
        Fetched
          transform 0 ["route@1.0.0"]
        Transformed
          produce as 7: 0.0:[Row(0)]:1073741823-1073741823
        Produced
          commit 1073741824 weir-job/1 run=1:0 producer=7:0 base=0 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
        Committed
          new producer
        Producer
          commit 1073741824 weir-job/1 run=1:0 producer=8:0 base=1073741824 with=route@1.0.0 to=01010101010101010101010101010101:2,02020202020202020202020202020202:2
        Committed
          fetch 1073741824
        Fetched
          transform 1073741824 ["route@1.0.0"]
        Transformed
          produce as 8: 0.0:[Row(0)]:1-1
    "#]]);
}

#[test]
fn i_job_5_a_round_without_rows_is_committed_too() {
    let mut script = Script::new();
    script.begun().answer(batches(3)).answer(rows(&[]));
    script.answer(COMMITTED);
    assert_eq!(script.router.position(), Some(Offset(3)));
}
