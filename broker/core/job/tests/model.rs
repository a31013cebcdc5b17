//! A small world around a router: it dies before, in the middle of and after every single step,
//! again and again, and in the end the outputs hold what a run without any of that gives.

use std::collections::BTreeMap;
use weir_job::{
    Answer, Effect, Event, Fetched, Generation, Loaded, Order, Output, Part, PartResult, Place,
    Policy, Recipe, Refused, Router, Row, Saved, Settings, Start, State, Target, Ticket,
    Transformed, Trouble,
};
use weir_types::{Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Tick, TopicId};

/// Records of the source.
const RECORDS: i64 = 150;
/// The offset at which dead letters are made.
const BAD: i64 = 13;

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The router dies before the order is carried out.
    DiesBefore,
    /// It dies when the first part of the order was.
    DiesWithin,
    /// It dies before it hears that it was.
    DiesAfter,
    /// The order fails.
    Fails,
    /// It is carried out, but said to have failed.
    SeemsToFail,
}

const FAULTS: [Fault; 5] = [
    Fault::DiesBefore,
    Fault::DiesWithin,
    Fault::DiesAfter,
    Fault::Fails,
    Fault::SeemsToFail,
];

/// One partition of an output.
#[derive(Clone, Debug, Default)]
struct Log {
    /// Offset in the source, and the version that made it.
    rows: Vec<(i64, String)>,
    lasts: BTreeMap<ProducerId, Sequence>,
}

#[derive(Debug, Default)]
struct World {
    logs: BTreeMap<(TopicId, i32), Log>,
    saved: Option<Saved>,
    producers: i64,
    /// Fetches so far: each brings another number of records.
    fetches: i64,
    fetched: (i64, i64),
    /// What was transformed last: offset and version.
    rows: Vec<(i64, String)>,
    refused: Vec<(i64, String)>,
    outputs: Vec<Output>,
}

fn recipe(newer: bool) -> Recipe {
    let output = |topic: u8, partitions| Output {
        topic: TopicId([topic; 16]),
        partitions,
        partitioner: None,
    };
    Recipe {
        versions: vec![if newer { "route@2.0.0" } else { "route@1.0.0" }.to_owned()],
        outputs: vec![
            output(1, if newer { 3 } else { 2 }),
            output(2, 1),
            output(3, 1),
        ],
    }
}

fn settings(newer: bool) -> Settings {
    Settings {
        generation: Generation::default(),
        start: Start::Earliest,
        recipe: Ok(recipe(newer)),
        policy: Policy::DeadLetter(2),
        paused: false,
    }
}

/// What the plugin does, and where its rows go.
fn route(offset: i64, recipe: &Recipe) -> Option<Target> {
    if offset % 7 == 3 {
        return None;
    }
    let output = usize::from(offset % 5 == 0);
    let partitions = i64::from(recipe.outputs[output].partitions);
    Some(Target {
        output: u32::try_from(output).ok()?,
        partition: PartitionIndex(i32::try_from(offset * 31 / 3 % partitions).ok()?),
    })
}

impl World {
    /// Carries an order out: wholly, or only its first part.
    fn carry_out(&mut self, order: Order, wholly: bool) -> Answer {
        match order {
            Order::Load => Answer::Loaded(Ok(Loaded {
                saved: self.saved.clone(),
                log_start: Offset(0),
                log_end: Offset(RECORDS),
            })),
            Order::Describe { producer, outputs } => {
                let mut lasts = Vec::new();
                for (output, place) in outputs.iter().zip(0..) {
                    for partition in 0..i32::try_from(output.partitions).expect("few") {
                        let log = self.logs.get(&(output.topic, partition));
                        let partition = PartitionIndex(partition);
                        let target = Target {
                            output: place,
                            partition,
                        };
                        let last = log.and_then(|log| log.lasts.get(&producer));
                        lasts.extend(last.map(|last| (target, *last)));
                    }
                }
                Answer::Described(Ok(lasts))
            }
            Order::NewProducer => {
                self.producers += 1;
                Answer::Producer(Ok((ProducerId(self.producers), ProducerEpoch(0))))
            }
            Order::Fetch { from, .. } => {
                self.fetches += 1;
                let next = (from.0 + 1 + self.fetches * 5 % 17).min(RECORDS);
                self.fetched = (from.0, next);
                let next = Offset(next);
                Answer::Fetched(Ok(if next == from {
                    Fetched::Nothing
                } else {
                    Fetched::Batches { next }
                }))
            }
            Order::Transform { recipe, .. } => Answer::Transformed(Ok(self.transform(&recipe))),
            Order::Produce { producer, parts } => {
                let count = if wholly { parts.len() } else { 1 };
                let results = parts.iter().take(count);
                let results = results.map(|part| self.append(producer.0, part)).collect();
                Answer::Produced(results)
            }
            Order::Commit { offset, metadata } => {
                let before = self.saved.replace(Saved { offset, metadata });
                assert!(
                    before.is_none_or(|before| before.offset <= offset),
                    "I-JOB-1"
                );
                Answer::Committed(Ok(()))
            }
        }
    }

    fn transform(&mut self, recipe: &Recipe) -> Transformed {
        self.rows.clear();
        self.refused.clear();
        self.outputs.clone_from(&recipe.outputs);
        let mut transformed = Transformed::default();
        for offset in self.fetched.0..self.fetched.1 {
            let row = (offset, recipe.versions[0].clone());
            if offset == BAD {
                self.refused.push(row);
                transformed.refused.push(Refused {
                    offset: Offset(offset),
                    bytes: 1,
                    reason: "bad".to_owned(),
                });
            } else if let Some(target) = route(offset, recipe) {
                self.rows.push(row);
                transformed.rows.push(Row {
                    offset: Offset(offset),
                    target,
                    bytes: 200_000,
                });
            }
        }
        transformed
    }

    fn append(&mut self, producer: ProducerId, part: &Part) -> PartResult {
        let output = usize::try_from(part.target.output).expect("few");
        let topic = self.outputs[output].topic;
        let log = self
            .logs
            .entry((topic, part.target.partition.0))
            .or_default();
        let known = log.lasts.get(&producer).copied();
        if known.is_some_and(|known| part.last <= known) {
            return PartResult::Done;
        }
        if known.is_some_and(|known| part.first <= known) {
            return PartResult::OutOfOrder("it has some of it".to_owned());
        }
        log.lasts.insert(producer, part.last);
        for place in &part.places {
            log.rows.push(match *place {
                Place::Row(index) => self.rows[index].clone(),
                Place::Refused(index) => self.refused[index].clone(),
            });
        }
        PartResult::Done
    }

    /// Every record is where it belongs once and in order, and a version follows another for good.
    fn hold(&self, what: &str) {
        let mut all: Vec<(i64, String)> = Vec::new();
        for ((topic, partition), log) in &self.logs {
            let offsets = log.rows.iter().map(|(offset, _)| *offset);
            assert!(
                offsets.is_sorted_by(|one, next| one < next),
                "{what}: {topic}-{partition} has {:?}",
                log.rows
            );
            for (offset, version) in &log.rows {
                let recipe = recipe(version == "route@2.0.0");
                let wanted = match route(*offset, &recipe) {
                    _ if *offset == BAD => (TopicId([3; 16]), 0),
                    Some(target) => {
                        let output = usize::try_from(target.output).expect("few");
                        (recipe.outputs[output].topic, target.partition.0)
                    }
                    None => panic!("{what}: offset {offset} was dropped"),
                };
                assert_eq!((*topic, *partition), wanted, "{what}: offset {offset}");
            }
            all.extend(log.rows.clone());
        }
        all.sort();
        let found: Vec<i64> = all.iter().map(|(offset, _)| *offset).collect();
        let native: Vec<i64> = (0..RECORDS)
            .filter(|offset| *offset == BAD || route(*offset, &recipe(false)).is_some())
            .collect();
        assert_eq!(found, native, "{what}");
        assert!(
            all.is_sorted_by(|(_, one), (_, next)| one <= next),
            "{what}: the versions go back: {all:?}"
        );
    }
}

/// Runs until all is done; at the steps named something goes wrong. How many steps there were.
fn run(faults: &[(usize, Fault)], newer_from: usize, what: &str) -> usize {
    let mut world = World::default();
    let mut router = Router::new(PartitionIndex(0));
    let mut now = Tick(0);
    let mut events = vec![Event::Changed(settings(false))];
    for step in 0..2_000 {
        if step == newer_from {
            events.push(Event::Changed(settings(true)));
        }
        let mut effects = Vec::new();
        for event in events.drain(..) {
            router.step(now, event, &mut effects);
        }
        // A newer order takes the place of an older one.
        let Some(effect) = effects.pop() else {
            panic!("{what}: nothing goes on: {:?}", router.state())
        };
        let (ticket, order) = match effect {
            Effect::Order { ticket, order } => (ticket, order),
            Effect::WakeAt(at) => {
                now = at;
                events.push(Event::Wake);
                continue;
            }
        };
        let done = matches!(order, Order::Fetch { from, .. } if from.0 == RECORDS);
        if done && router.is_up_to_date() && step >= newer_from {
            world.hold(what);
            assert_eq!(router.state(), State::Running, "{what}");
            return step;
        }
        let fault = faults
            .iter()
            .find(|(at, _)| *at == step)
            .map(|(_, fault)| *fault);
        let answer = match fault {
            None => Some(world.carry_out(order, true)),
            Some(Fault::DiesBefore) => None,
            Some(Fault::DiesWithin) => {
                world.carry_out(order, false);
                None
            }
            Some(Fault::DiesAfter) => {
                world.carry_out(order, true);
                None
            }
            Some(Fault::Fails) => Some(failed(&order)),
            Some(Fault::SeemsToFail) => {
                let answer = failed(&order);
                world.carry_out(order, true);
                Some(answer)
            }
        };
        events.push(next(&mut router, ticket, answer, step >= newer_from));
    }
    panic!("{what}: no end: {:?}", router.state())
}

fn next(router: &mut Router, ticket: Ticket, answer: Option<Answer>, newer: bool) -> Event {
    match answer {
        Some(answer) => Event::Answered { ticket, answer },
        None => {
            *router = Router::new(PartitionIndex(0));
            Event::Changed(settings(newer))
        }
    }
}

fn failed(order: &Order) -> Answer {
    let trouble = Trouble::Passing("not now".to_owned());
    match order {
        Order::Load => Answer::Loaded(Err(trouble)),
        Order::Describe { .. } => Answer::Described(Err(trouble)),
        Order::NewProducer => Answer::Producer(Err(trouble)),
        Order::Fetch { .. } => Answer::Fetched(Err(trouble)),
        Order::Transform { .. } => Answer::Transformed(Err(trouble)),
        Order::Produce { parts, .. } => {
            let failed = |_: &Part| PartResult::Failed(trouble.clone());
            Answer::Produced(parts.iter().map(failed).collect())
        }
        Order::Commit { .. } => Answer::Committed(Err(trouble)),
    }
}

#[test]
fn i_job_1_a_router_may_die_at_any_step() {
    for newer_from in [0, 20, 35, 60] {
        let steps = run(&[], newer_from, "without faults");
        assert!(steps > 40, "{steps} steps show little");
        for at in 0..steps {
            for fault in FAULTS {
                let what = format!("{fault:?} at step {at}, newer from {newer_from}");
                run(&[(at, fault)], newer_from, &what);
            }
        }
    }
}

#[test]
fn and_again_soon_after() {
    let steps = run(&[], 25, "without faults");
    for first in 0..steps {
        for later in 1..12 {
            for (one, other) in [
                (Fault::DiesWithin, Fault::DiesAfter),
                (Fault::DiesAfter, Fault::DiesWithin),
                (Fault::SeemsToFail, Fault::DiesAfter),
                (Fault::DiesAfter, Fault::SeemsToFail),
            ] {
                let faults = [(first, one), (first + later, other)];
                run(&faults, 25, &format!("{faults:?}"));
            }
        }
    }
}
