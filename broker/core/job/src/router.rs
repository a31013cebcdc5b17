//! The state machine of one source partition: load, find out what the outputs have, then rounds of
//! fetch, transform, produce and commit.

use crate::{
    event::{
        Answer, Effect, Event, Fetched, Loaded, Order, PartResult, Settings, Start, Target, Ticket,
        Transformed, Trouble,
    },
    limits::{DISORDERS_MAX, PAUSE_MS_FIRST, PAUSE_MS_MAX, ROUND_BYTES_MAX},
    pins::{Pins, Recipe},
    round::{Cut, Round, Span},
};
use alloc::{collections::BTreeMap, format, string::String, string::ToString, vec::Vec};
use weir_types::{Offset, PartitionIndex, ProducerEpoch, ProducerId, Tick};

/// What a router has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rounds that were committed.
    pub rounds: u64,
    /// Records written to outputs, dead letters among them.
    pub rows: u64,
    /// Records that the outputs had already when they came again.
    pub left_out: u64,
    /// Records that were refused and left out.
    pub skipped: u64,
    /// Records that were refused and went to the dead letters.
    pub dead_letters: u64,
    /// Offsets of the source that were gone before they were read.
    pub lost: u64,
}

/// How a router fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It reads and writes.
    Running,
    /// Something does not work and is tried again.
    Retrying {
        /// What.
        reason: String,
    },
    /// It rests, because it was told to.
    Paused,
    /// It has given up.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// What is done next, or under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Load,
    Describe,
    NewProducer,
    /// Commit the draft.
    Pin,
    Fetch,
    Transform,
    Produce,
    Commit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// It has not been told anything yet.
    New,
    Busy(Step),
    /// After something failed.
    Waiting(Step, Tick),
    Paused,
    Stopped(String),
}

/// The first offset that is not done, and what is pinned there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Progress {
    position: Offset,
    pins: Pins,
}

/// One source partition of a job.
#[derive(Debug)]
pub struct Router {
    source: PartitionIndex,
    settings: Option<Settings>,
    phase: Phase,
    ticket: Ticket,
    /// As it was committed.
    progress: Option<Progress>,
    /// As it is about to be committed: another run, producer or recipe.
    draft: Option<Progress>,
    /// The last offset of the source that each partition of the outputs has.
    lasts: BTreeMap<Target, Offset>,
    /// The offset behind what was fetched.
    fetched: Option<Offset>,
    round: Option<Round>,
    failures: u32,
    disorders: u32,
    trouble: Option<String>,
    counts: Counts,
}

impl Router {
    /// The router of that partition of the source; it waits for [`Event::Changed`].
    #[must_use]
    pub const fn new(source: PartitionIndex) -> Self {
        Self {
            source,
            settings: None,
            phase: Phase::New,
            ticket: Ticket(0),
            progress: None,
            draft: None,
            lasts: BTreeMap::new(),
            fetched: None,
            round: None,
            failures: 0,
            disorders: 0,
            trouble: None,
            counts: Counts {
                rounds: 0,
                rows: 0,
                left_out: 0,
                skipped: 0,
                dead_letters: 0,
                lost: 0,
            },
        }
    }

    /// How it fares.
    #[must_use]
    pub fn state(&self) -> State {
        match (&self.phase, &self.trouble) {
            (Phase::Paused, _) => State::Paused,
            (Phase::Stopped(reason), _) => State::Stopped {
                reason: reason.clone(),
            },
            (_, Some(reason)) => State::Retrying {
                reason: reason.clone(),
            },
            _ => State::Running,
        }
    }

    /// What it has done.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The first offset that is not done, once that is known.
    #[must_use]
    pub fn position(&self) -> Option<Offset> {
        self.progress.as_ref().map(|progress| progress.position)
    }

    /// What is pinned, once that is known.
    #[must_use]
    pub fn pins(&self) -> Option<&Pins> {
        self.progress.as_ref().map(|progress| &progress.pins)
    }

    /// Takes an event and says what is to be done.
    pub fn step(&mut self, now: Tick, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Changed(settings) => self.changed(settings, effects),
            Event::Answered { ticket, answer } => {
                if ticket == self.ticket
                    && let Phase::Busy(step) = self.phase
                {
                    self.answered(now, step, answer, effects);
                }
            }
            Event::Wake => {
                if let Phase::Waiting(step, until) = self.phase {
                    if until <= now {
                        self.go(step, effects);
                    } else {
                        effects.push(Effect::WakeAt(until));
                    }
                }
            }
        }
        self.check();
    }

    fn changed(&mut self, settings: Settings, effects: &mut Vec<Effect>) {
        self.settings = Some(settings);
        match self.phase {
            // What may already be on its way must be answered first: afterwards nobody else may
            // write in its place.
            Phase::Busy(Step::Produce | Step::Commit | Step::Pin) => {}
            Phase::New | Phase::Paused | Phase::Stopped(_) => self.begin(effects),
            Phase::Busy(_) | Phase::Waiting(..) if self.is_interrupted() => self.begin(effects),
            // A new recipe need not wait for the next record.
            Phase::Busy(Step::Fetch) => self.turn(effects),
            Phase::Busy(_) | Phase::Waiting(..) => {}
        }
    }

    /// Whether what is under way must not go on.
    fn is_interrupted(&self) -> bool {
        let Some(settings) = &self.settings else {
            return false;
        };
        let known = self.draft.as_ref().or(self.progress.as_ref());
        let other = known.is_some_and(|known| known.pins.generation != settings.generation);
        settings.paused || settings.recipe.is_err() || other
    }

    /// Forgets everything and begins with what is committed, unless it may not.
    fn begin(&mut self, effects: &mut Vec<Effect>) {
        self.progress = None;
        self.draft = None;
        self.fetched = None;
        self.round = None;
        self.lasts.clear();
        self.failures = 0;
        self.disorders = 0;
        self.trouble = None;
        // What was under way is not listened to.
        self.ticket.0 += 1;
        let Some(settings) = &self.settings else {
            return;
        };
        let fault = match &settings.recipe {
            Ok(recipe) => recipe.fault(),
            Err(reason) => Some(reason.clone()),
        };
        match fault {
            _ if settings.paused => self.phase = Phase::Paused,
            Some(reason) => self.phase = Phase::Stopped(reason),
            None => self.go(Step::Load, effects),
        }
    }

    fn answered(&mut self, now: Tick, step: Step, answer: Answer, effects: &mut Vec<Effect>) {
        let done = match (step, answer) {
            (Step::Load, Answer::Loaded(answer)) => {
                answer.and_then(|loaded| self.loaded(loaded, effects))
            }
            (Step::Describe, Answer::Described(answer)) => answer.map(|lasts| {
                let offset = |pins: &Pins, (target, last)| (target, pins.offset(last));
                if let Some(progress) = &self.progress {
                    let lasts = lasts.into_iter().map(|last| offset(&progress.pins, last));
                    self.lasts = lasts.collect();
                }
                self.turn(effects);
            }),
            (Step::NewProducer, Answer::Producer(answer)) => {
                answer.map(|producer| self.numbered(producer, effects))
            }
            (Step::Pin, Answer::Committed(answer)) => self.pinned(answer, effects),
            (Step::Fetch, Answer::Fetched(answer)) => {
                answer.and_then(|fetched| self.fetched(fetched, effects))
            }
            (Step::Transform, Answer::Transformed(answer)) => {
                answer.and_then(|transformed| self.transformed(&transformed, effects))
            }
            (Step::Produce, Answer::Produced(results)) => self.produced(&results, effects),
            (Step::Commit, Answer::Committed(answer)) => self.committed(answer, effects),
            // The driver answers something else than it was asked.
            (step, answer) => Err(Trouble::Lasting(format!(
                "{step:?} was answered {answer:?}"
            ))),
        };
        match done {
            Ok(()) => {}
            Err(_) if self.is_interrupted() => self.begin(effects),
            Err(Trouble::Passing(reason)) => self.wait(now, step, reason, effects),
            Err(Trouble::Lasting(reason)) => self.stop(reason),
        }
        // A failure that is over is forgotten; a pause for one keeps it.
        if !matches!(self.phase, Phase::Waiting(..)) {
            self.failures = 0;
            self.trouble = None;
        }
    }

    fn loaded(&mut self, loaded: Loaded, effects: &mut Vec<Effect>) -> Result<(), Trouble> {
        let Some(settings) = &self.settings else {
            return Ok(());
        };
        let Loaded {
            saved,
            log_start,
            log_end,
        } = loaded;
        if let Some(saved) = saved {
            let pins = Pins::parse(&saved.metadata).map_err(|error| {
                Trouble::Lasting(format!(
                    "the progress was changed by somebody else ({error}); restart the job from an offset"
                ))
            })?;
            if pins.generation > settings.generation {
                let text = "the progress is of a later run than the metadata knows".to_string();
                return Err(Trouble::Passing(text));
            }
            if pins.generation == settings.generation {
                self.progress = Some(Progress {
                    position: saved.offset,
                    pins,
                });
                self.skip_to(log_start);
                self.go(Step::Describe, effects);
                return Ok(());
            }
        }
        let position = match settings.start {
            Start::Earliest => log_start,
            Start::At(offset) => offset.min(log_end).max(log_start),
        };
        let recipe = settings.recipe.clone().map_err(Trouble::Lasting)?;
        self.draft = Some(Progress {
            position,
            pins: Pins {
                generation: settings.generation,
                producer: (ProducerId::NONE, ProducerEpoch(-1)),
                base: position,
                recipe,
            },
        });
        self.go(Step::NewProducer, effects);
        Ok(())
    }

    /// The log's start has moved past the progress: what lay between is lost, and counted.
    fn skip_to(&mut self, log_start: Offset) {
        if let Some(progress) = &mut self.progress
            && progress.position < log_start
        {
            let lost = log_start.0 - progress.position.0;
            self.counts.lost += u64::try_from(lost).unwrap_or(0);
            progress.position = log_start;
        }
    }

    fn numbered(&mut self, producer: (ProducerId, ProducerEpoch), effects: &mut Vec<Effect>) {
        if let Some(draft) = &mut self.draft {
            draft.pins.producer = producer;
        }
        self.go(Step::Pin, effects);
    }

    fn pinned(
        &mut self,
        answer: Result<(), Trouble>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Trouble> {
        // An answer that failed may have been written all the same; then the draft is what the next
        // load finds, and nothing was produced under either.
        answer?;
        let producer = |progress: &Option<Progress>| {
            let progress = progress.as_ref();
            progress.map(|progress| progress.pins.producer)
        };
        let recipe = |progress: &Option<Progress>| {
            let progress = progress.as_ref();
            progress.map(|progress| progress.pins.recipe.clone())
        };
        // Outputs have other places in another recipe, and another producer has written nothing.
        if producer(&self.draft) != producer(&self.progress)
            || recipe(&self.draft) != recipe(&self.progress)
        {
            self.lasts.clear();
        }
        self.progress = self.draft.take();
        self.turn(effects);
        Ok(())
    }

    /// Between two rounds.
    fn turn(&mut self, effects: &mut Vec<Effect>) {
        self.round = None;
        self.fetched = None;
        if self.is_interrupted() {
            self.begin(effects);
            return;
        }
        let wanted = self.settings.as_ref().map(|settings| &settings.recipe);
        let (Some(progress), Some(Ok(wanted))) = (&self.progress, wanted) else {
            return;
        };
        if self.is_replaying() {
            self.go(Step::Fetch, effects);
        } else if progress.pins.is_used_up(progress.position) {
            let mut draft = progress.clone();
            draft.pins.base = draft.position;
            self.draft = Some(draft);
            self.go(Step::NewProducer, effects);
        } else if *wanted != progress.pins.recipe {
            let mut draft = progress.clone();
            draft.pins.recipe = wanted.clone();
            if let Some(reason) = wanted.fault() {
                self.stop(reason);
            } else {
                self.draft = Some(draft);
                self.go(Step::Pin, effects);
            }
        } else {
            self.go(Step::Fetch, effects);
        }
    }

    /// Whether outputs have records at or behind the position: they were made by what is pinned,
    /// and only that makes them again.
    fn is_replaying(&self) -> bool {
        let position = self.progress.as_ref().map(|progress| progress.position);
        position.is_some_and(|position| self.lasts.values().any(|last| *last >= position))
    }

    fn fetched(&mut self, fetched: Fetched, effects: &mut Vec<Effect>) -> Result<(), Trouble> {
        let Some(position) = self.position() else {
            return Ok(());
        };
        match fetched {
            Fetched::Batches { next } if next > position => {
                self.fetched = Some(next);
                self.go(Step::Transform, effects);
            }
            Fetched::Batches { .. } | Fetched::Nothing => self.turn(effects),
            Fetched::Gone { log_start } => {
                self.skip_to(log_start);
                self.turn(effects);
            }
            Fetched::Beyond { log_end } => {
                return Err(Trouble::Lasting(format!(
                    "the progress is {position}, but the source ends at {log_end}; restart the job from an offset"
                )));
            }
        }
        Ok(())
    }

    fn transformed(
        &mut self,
        transformed: &Transformed,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Trouble> {
        let (Some(progress), Some(settings), Some(next)) =
            (&self.progress, &self.settings, self.fetched)
        else {
            return Ok(());
        };
        let span = Span {
            from: progress.position,
            next,
        };
        let Cut {
            round,
            left_out,
            skipped,
            dead_letters,
        } = Round::cut(
            span,
            transformed,
            &progress.pins,
            settings.policy,
            self.source,
            &self.lasts,
        )
        .map_err(Trouble::Lasting)?;
        self.counts.left_out += left_out;
        self.counts.skipped += skipped;
        self.counts.dead_letters += dead_letters;
        self.round = Some(round);
        if self.is_interrupted() {
            self.begin(effects);
        } else {
            self.produce(effects);
        }
        Ok(())
    }

    /// Hands out what is left of the round, or commits it.
    fn produce(&mut self, effects: &mut Vec<Effect>) {
        let (Some(progress), Some(round)) = (&self.progress, &mut self.round) else {
            return;
        };
        let parts = round.parts(&progress.pins);
        if parts.is_empty() {
            self.go(Step::Commit, effects);
        } else {
            let producer = progress.pins.producer;
            self.phase = Phase::Busy(Step::Produce);
            self.order(Order::Produce { producer, parts }, effects);
        }
    }

    fn produced(
        &mut self,
        results: &[PartResult],
        effects: &mut Vec<Effect>,
    ) -> Result<(), Trouble> {
        let Some(round) = &mut self.round else {
            return Ok(());
        };
        let targets = round.out();
        if targets.len() != results.len() {
            let (asked, told) = (targets.len(), results.len());
            let text = format!("of {asked} batches {told} were answered");
            return Err(Trouble::Lasting(text));
        }
        let mut passing = None;
        let mut lasting = None;
        let mut disorder = None;
        for (target, result) in targets.into_iter().zip(results) {
            match result {
                PartResult::Done => {
                    if let Some((rows, last)) = round.done(target) {
                        self.counts.rows += rows;
                        self.lasts.insert(target, last);
                        self.disorders = 0;
                    }
                }
                PartResult::TooLarge(reason) => {
                    if !round.halve(target) {
                        lasting = Some(reason.clone());
                    }
                }
                PartResult::OutOfOrder(reason) => disorder = Some(reason.clone()),
                PartResult::Failed(Trouble::Passing(reason)) => passing = Some(reason.clone()),
                PartResult::Failed(Trouble::Lasting(reason)) => lasting = Some(reason.clone()),
            }
        }
        if let Some(reason) = lasting {
            return Err(Trouble::Lasting(reason));
        }
        if self.is_interrupted() {
            self.begin(effects);
            return Ok(());
        }
        if let Some(reason) = disorder {
            self.disorders += 1;
            if self.disorders > DISORDERS_MAX {
                return Err(Trouble::Lasting(reason));
            }
            // What the outputs have is looked up anew, and the round is read again.
            self.round = None;
            self.fetched = None;
            self.go(Step::Describe, effects);
            return Ok(());
        }
        if let Some(reason) = passing {
            return Err(Trouble::Passing(reason));
        }
        self.produce(effects);
        Ok(())
    }

    fn committed(
        &mut self,
        answer: Result<(), Trouble>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Trouble> {
        answer?;
        if let (Some(progress), Some(round)) = (&mut self.progress, self.round.take()) {
            assert!(
                round.next > progress.position,
                "I-JOB-1: the position goes from {} to {}",
                progress.position,
                round.next
            );
            progress.position = round.next;
            self.counts.rounds += 1;
        }
        self.turn(effects);
        Ok(())
    }

    /// Begins a step.
    fn go(&mut self, step: Step, effects: &mut Vec<Effect>) {
        let order = match (step, &self.progress, &self.draft) {
            (Step::Load, ..) => Order::Load,
            (Step::NewProducer, ..) => Order::NewProducer,
            (Step::Pin, _, Some(draft)) => commit(draft, draft.position),
            (Step::Describe, Some(progress), _) => Order::Describe {
                producer: progress.pins.producer.0,
                outputs: progress.pins.recipe.outputs.clone(),
            },
            (Step::Fetch, Some(progress), _) => Order::Fetch {
                from: progress.position,
                bytes_max: ROUND_BYTES_MAX,
            },
            (Step::Transform, Some(progress), _) => Order::Transform {
                from: progress.position,
                recipe: progress.pins.recipe.clone(),
            },
            (Step::Produce, Some(_), _) => return self.produce(effects),
            (Step::Commit, Some(progress), _) => {
                let round = self.round.as_ref();
                commit(
                    progress,
                    round.map_or(progress.position, |round| round.next),
                )
            }
            (Step::Pin, ..) => unreachable!("a draft is pinned"),
            (_, None, _) => unreachable!("{step:?} needs progress"),
        };
        self.phase = Phase::Busy(step);
        self.order(order, effects);
    }

    fn order(&mut self, order: Order, effects: &mut Vec<Effect>) {
        self.ticket.0 += 1;
        effects.push(Effect::Order {
            ticket: self.ticket,
            order,
        });
    }

    /// Tries again later, and later each time.
    fn wait(&mut self, now: Tick, step: Step, reason: String, effects: &mut Vec<Effect>) {
        let doubled = PAUSE_MS_FIRST
            .checked_shl(self.failures)
            .unwrap_or(u64::MAX);
        let until = now + doubled.min(PAUSE_MS_MAX);
        self.failures = (self.failures + 1).min(16);
        self.trouble = Some(reason);
        self.phase = Phase::Waiting(step, until);
        effects.push(Effect::WakeAt(until));
    }

    fn stop(&mut self, reason: String) {
        self.phase = Phase::Stopped(reason);
        self.round = None;
        self.draft = None;
        self.fetched = None;
        self.ticket.0 += 1;
    }

    /// Asserts what must always hold.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub fn check(&self) {
        let step = match &self.phase {
            Phase::Busy(step) | Phase::Waiting(step, _) => Some(*step),
            Phase::New | Phase::Paused | Phase::Stopped(_) => None,
        };
        let drafts = matches!(step, Some(Step::NewProducer | Step::Pin));
        assert_eq!(
            drafts,
            self.draft.is_some(),
            "I-JOB-3: {step:?} and a draft do not go together"
        );
        let works = matches!(step, Some(Step::Produce | Step::Commit));
        assert_eq!(
            works,
            self.round.is_some(),
            "I-JOB-5: {step:?} and a round do not go together"
        );
        if let (Some(draft), Some(progress)) = (&self.draft, &self.progress) {
            assert!(
                !self.is_replaying() && draft.position == progress.position,
                "I-JOB-4: something is pinned anew in the middle of what the outputs have"
            );
        }
        if let (Some(round), Some(progress)) = (&self.round, &self.progress) {
            round.check(progress.position, &self.lasts);
        }
        if let Some(Progress { position, pins }) = &self.progress {
            assert!(pins.base <= *position, "I-JOB-7: the base lies ahead");
            assert!(pins.producer.0.is_some(), "I-JOB-3: a producer is pinned");
        }
    }
}

fn commit(progress: &Progress, offset: Offset) -> Order {
    Order::Commit {
        offset,
        metadata: progress.pins.to_string(),
    }
}

/// For tests: what is wanted must be what is pinned in the end.
impl Router {
    /// Whether the recipe that is wanted is the one that is pinned.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        let wanted = self.settings.as_ref().map(|settings| &settings.recipe);
        let pinned: Option<&Recipe> = self.pins().map(|pins| &pins.recipe);
        wanted.and_then(|wanted| wanted.as_ref().ok()) == pinned
    }
}
