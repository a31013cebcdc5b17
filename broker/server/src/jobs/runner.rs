//! The task of one router: it carries out what the state machine wants, an order at a time, and
//! tells it how that went. What the state machine no longer wants is dropped.

use super::Chains;
use super::rows::{Held, Origin, recipe_of};
use crate::inside::Inside;
use crate::session::Shared;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use weir_job::{
    Answer, Counts, Effect, Event, Order, PartResult, Router, Settings, State, Ticket, Trouble,
};
use weir_node::Sequences;
use weir_node::jobs::{Call, JobCalls, JobPlace};
use weir_types::{Offset, Tick};

/// How a router fares, for whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) state: State,
    pub(crate) counts: Counts,
    /// The first offset that is not done, once that is known.
    pub(crate) position: Option<Offset>,
}

/// Where a router's status is kept.
pub(crate) type Board = Arc<Mutex<Option<Status>>>;

/// What a router's orders are carried out with.
struct Worker {
    shared: Arc<Shared>,
    inside: Inside,
    calls: JobCalls,
    chains: Arc<dyn Chains>,
    origin: Arc<Origin>,
    held: Held,
}

/// An order that is being carried out.
type Work = Pin<Box<dyn Future<Output = (Worker, Ticket, Answer)> + Send>>;

/// One router, its settings and its worker.
pub(crate) struct Runner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) place: JobPlace,
    pub(crate) origin: Origin,
    pub(crate) chains: Arc<dyn Chains>,
    pub(crate) settings: watch::Receiver<Settings>,
    pub(crate) board: Board,
}

impl Runner {
    /// Runs until nobody gives settings any more.
    pub(crate) async fn run(self) {
        let Self {
            shared,
            place,
            origin,
            chains,
            mut settings,
            board,
        } = self;
        let origin = Arc::new(origin);
        let new_worker = || Worker {
            shared: Arc::clone(&shared),
            inside: Inside::new(&shared, &place.group),
            calls: JobCalls::new(place.clone()),
            chains: Arc::clone(&chains),
            origin: Arc::clone(&origin),
            held: Held::default(),
        };
        let mut router = Router::new(place.partition);
        let mut idle = Some(new_worker());
        let mut work: Option<Work> = None;
        let mut wake: Option<Tick> = None;
        let first = settings.borrow_and_update().clone();
        let mut event = Event::Changed(first);
        loop {
            let mut effects = Vec::new();
            router.step(shared.clock.now().tick, event, &mut effects);
            tell(&board, &origin, &router);
            for effect in effects {
                match effect {
                    Effect::WakeAt(at) => wake = Some(at),
                    Effect::Order { ticket, order } => {
                        // An order that is still under way is no longer wanted.
                        let worker = idle.take().unwrap_or_else(new_worker);
                        work = Some(Box::pin(worker.carry_out(ticket, order)));
                    }
                }
            }
            let now = shared.clock.now().tick;
            let pause = wake.map(|at| Duration::from_millis(at.0.saturating_sub(now.0)));
            event = tokio::select! {
                biased;
                (worker, ticket, answer) = done(&mut work) => {
                    idle = Some(worker);
                    work = None;
                    Event::Answered { ticket, answer }
                }
                changed = settings.changed() => match changed {
                    Ok(()) => Event::Changed(settings.borrow_and_update().clone()),
                    Err(_) => break,
                },
                () = sleep(pause) => {
                    wake = None;
                    Event::Wake
                }
            };
        }
        // What is being written is waited for, so that nothing of this run comes after the next.
        if let Some(work) = work {
            let _last = work.await;
        }
    }
}

async fn done(work: &mut Option<Work>) -> (Worker, Ticket, Answer) {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Keeps the status, and says in the log what people should know.
fn tell(board: &Board, origin: &Origin, router: &Router) {
    let status = Status {
        state: router.state(),
        counts: router.counts(),
        position: router.position(),
    };
    let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
    let before = board.replace(status.clone());
    let lost = |status: &Status| status.counts.lost;
    let lost_before = before.as_ref().map_or(0, lost);
    let (job, topic, partition) = (&origin.job, &origin.topic, origin.partition.0);
    if lost(&status) > lost_before {
        let offsets = lost(&status) - lost_before;
        tracing::warn!(%job, %topic, partition, offsets, "records of a job's source were gone before it read them");
    }
    if before.is_none_or(|before| before.state != status.state) {
        match &status.state {
            State::Running | State::Paused => {}
            State::Retrying { reason } => {
                tracing::warn!(%job, %topic, partition, %reason, "a job tries again");
            }
            State::Stopped { reason } => {
                tracing::error!(%job, %topic, partition, %reason, "a job stopped; mend what is wrong, then resume it");
            }
        }
    }
}

impl Worker {
    async fn carry_out(mut self, ticket: Ticket, order: Order) -> (Self, Ticket, Answer) {
        let answer = match &order {
            Order::Transform { .. } => self.transform(order).await,
            Order::Produce { .. } => self.produce(order).await,
            _ => self.call(&order).await,
        };
        (self, ticket, answer)
    }

    async fn call(&mut self, order: &Order) -> Answer {
        let image = self.shared.image.load_full();
        let name_of = |topic| Some(image.topic(topic)?.name.to_string());
        let call = self.calls.begin(order, name_of);
        self.finish(call).await
    }

    /// Asks until the order is carried out.
    async fn finish(&mut self, mut call: Call) -> Answer {
        loop {
            let (version, request) = match call {
                Call::Ask(version, request) => (version, *request),
                Call::Done(answer) => return answer,
                Call::Read(answer, bytes) => {
                    self.held = Held::fetched(bytes);
                    return answer;
                }
            };
            let asked = self.inside.ask_as(version, request, Sequences::Ascending);
            call = match asked.await {
                Ok(response) => self.calls.answered(response),
                Err(error) => Call::Done(self.calls.failed(&Trouble::Passing(error.to_string()))),
            };
        }
    }

    async fn transform(&mut self, order: Order) -> Answer {
        let held = std::mem::take(&mut self.held);
        let (chains, origin) = (Arc::clone(&self.chains), Arc::clone(&self.origin));
        let run = move || match recipe_of(&order) {
            Some((from, recipe)) => held.transform(&*chains, &origin, from, recipe),
            None => (held, Err(Trouble::Lasting("there is no recipe".to_owned()))),
        };
        match tokio::task::spawn_blocking(run).await {
            Ok((held, transformed)) => {
                self.held = held;
                Answer::Transformed(transformed)
            }
            // It panicked, or the broker stops.
            Err(error) => Answer::Transformed(Err(Trouble::Passing(error.to_string()))),
        }
    }

    async fn produce(&mut self, order: Order) -> Answer {
        let Order::Produce { producer, parts } = order else {
            return Answer::Produced(Vec::new());
        };
        let count = parts.len();
        let held = std::mem::take(&mut self.held);
        let origin = Arc::clone(&self.origin);
        let build = move || {
            let batches = held.batches(&origin, producer, &parts);
            (held, batches)
        };
        let failed = |trouble| Answer::Produced(vec![PartResult::Failed(trouble); count]);
        match tokio::task::spawn_blocking(build).await {
            Ok((held, batches)) => {
                self.held = held;
                match batches {
                    Ok(batches) => {
                        let call = self.calls.produce(batches);
                        self.finish(call).await
                    }
                    Err(trouble) => failed(trouble),
                }
            }
            // It panicked, or the broker stops; what was held is lost.
            Err(error) => failed(Trouble::Lasting(error.to_string())),
        }
    }
}
