//! The world of one seed: clocks, network, disk, broker and clients, and the order in which things
//! happen in it. One thing happens at a time; after each the checks look.

mod broker;
mod disk;
mod drive;
mod net;
mod quorum;
mod session;
mod show;
mod stages;

use crate::{
    client::{Client, Context, Input, Sent},
    clock::Clock,
    mutants::Mutants,
    oracle::{cluster::ClusterTruth, groups::GroupsTruth, log::LogModel, truth::Truth},
    params::Params,
    random::Random,
    trace::Trace,
    violation::{Checked, Violation},
};
use broker::Broker;
use net::{ConnId, Net};
use quorum::Agreed;
use stages::Stage;
use std::sync::Arc;
use weir_meta::MetaRecord;
use weir_node::{Event, ProposalId};
use weir_store::MemDisk;

/// What is to happen.
#[derive(Debug)]
enum Todo {
    /// A client looks at its clock.
    ClientWake(usize),
    /// A client's connection is made, or not.
    Connect(usize),
    /// A client learns that its connection is gone.
    ClientLost(usize, ConnId),
    /// The broker learns that a connection is gone.
    BrokerLost(ConnId),
    /// A request arrives.
    Request(ConnId, Sent),
    /// An answer arrives.
    Answer(ConnId, Sent, bytes::Bytes),
    /// Something reaches a shard.
    Shard(u64, u16, Event),
    /// A shard wanted to be woken.
    ShardWake(u64, u16),
    /// A lane of the store commits.
    Commit(u64),
    /// The store reads.
    Read(u64),
    /// The rewriter does a step.
    Rewrite(u64),
    /// The quorum decides on a proposal.
    Agree(u64, u16, ProposalId, Vec<MetaRecord>),
    /// The broker dies, if things go wrong by themselves.
    Crash,
    /// The broker dies because the caller said so.
    Die,
    /// The broker starts.
    Start,
    /// The disk is told to fail.
    DiskFault,
    /// The disk is full, or has room again.
    DiskFull(bool),
    /// The wall clock jumps.
    Jump,
    /// The stage is looked at.
    Stage,
}

/// Figures of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Things that happened.
    pub events: u64,
    /// Times the broker died.
    pub crashes: u64,
    /// Records acked.
    pub acked: u64,
    /// Records read.
    pub read: u64,
    /// Syncs of the disk.
    pub syncs: u64,
    /// History files published.
    pub rewrites: u64,
    /// Commits of group members acked.
    pub commits: u64,
    /// Commits of group members refused.
    pub refused: u64,
    /// Rebalances that the history of groups told.
    pub rebalances: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
}

/// The world.
#[derive(Debug)]
pub struct World {
    params: Params,
    mutants: Mutants,
    clock: Clock<Todo>,
    random: Random,
    trace: Trace,
    disk: MemDisk,
    broker: Option<Broker>,
    /// Counts starts, so that what belonged to a dead broker is told apart.
    incarnation: u64,
    next_request: u64,
    net: Net,
    clients: Vec<Seat>,
    truth: Truth,
    cluster: ClusterTruth,
    groups: GroupsTruth,
    log: LogModel,
    agreed: Agreed,
    stage: Stage,
    figures: Figures,
}

/// A client and what the world keeps for it.
#[derive(Debug)]
struct Seat {
    name: Arc<str>,
    client: Box<dyn Client>,
    random: Random,
    conn: Option<ConnId>,
}

impl World {
    /// The world of a seed, before anything happened.
    #[must_use]
    pub fn new(seed: u64, mutants: Mutants, printing: bool, faults_ms_max: u64) -> Self {
        let mut random = Random::new(seed);
        let mut params = Params::draw(&mut random.fork());
        mutants.shape(&mut params);
        params.faults_ms = params.faults_ms.min(faults_ms_max);
        let mut trace = Trace::new(printing);
        trace.line(format_args!("seed {seed}: {params:?}"));
        let mut world = Self::bare(random, params, mutants, trace);
        world.begin();
        world
    }

    /// A world of these clients in which happens what the caller says, and no more.
    #[must_use]
    pub fn staged(params: Params, clients: Vec<Box<dyn Client>>) -> Self {
        let random = Random::new(1);
        let mut world = Self::bare(random, params, Mutants::NONE, Trace::new(false));
        for client in clients {
            let random = world.random.fork();
            world.seat(client, random);
        }
        world.clock.after(0, Todo::Start);
        world
    }

    fn bare(random: Random, params: Params, mutants: Mutants, trace: Trace) -> Self {
        Self {
            clock: Clock::default(),
            disk: MemDisk::new(),
            broker: None,
            incarnation: 0,
            next_request: 0,
            net: Net::default(),
            clients: Vec::new(),
            truth: Truth::new(params.producer_expiration_ms > 0),
            cluster: ClusterTruth::default(),
            groups: GroupsTruth::default(),
            log: LogModel::default(),
            agreed: Agreed::default(),
            stage: Stage::Faults,
            figures: Figures::default(),
            random,
            trace,
            params,
            mutants,
        }
    }

    /// Lets the broker die at that tick; it starts again within half a second.
    pub fn crash_at(&mut self, tick: u64) {
        self.clock.at(tick, Todo::Die);
    }

    /// Lets everything happen up to that tick.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn run_until(&mut self, tick: u64) -> Checked {
        while self.clock.tick() < tick {
            self.step()?;
        }
        Ok(())
    }

    /// Lets everything happen until the end.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn run(&mut self) -> Checked {
        while self.stage != Stage::Over {
            self.step()?;
        }
        self.last_look()
    }

    fn step(&mut self) -> Checked {
        let todo = self
            .clock
            .advance()
            .expect("there is always something to do");
        self.trace.set_now(self.clock.now());
        self.figures.events += 1;
        self.happen(todo)
    }

    /// The trace so far.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The figures so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            acked: self.truth.acked,
            read: self.truth.read,
            syncs: self.disk.counts().syncs,
            commits: self.groups.commits,
            refused: self.groups.refused,
            rebalances: self.groups.rebalances,
            simulated_ms: self.clock.tick(),
            ..self.figures
        }
    }

    fn happen(&mut self, todo: Todo) -> Checked {
        match todo {
            Todo::ClientWake(index) => {
                let pause = self.params.wake_ms_max;
                let pause = self.clients[index].random.between(1, pause);
                self.clock.after(pause, Todo::ClientWake(index));
                self.step_client(index, Input::Wake)
            }
            Todo::Connect(index) => self.connect(index),
            Todo::ClientLost(index, conn) => {
                if self.clients[index]
                    .conn
                    .take_if(|open| *open == conn)
                    .is_some()
                {
                    let name = self.name(index);
                    self.trace.line(format_args!("{name} lost {conn:?}"));
                    self.step_client(index, Input::Disconnected)?;
                }
                Ok(())
            }
            Todo::BrokerLost(conn) => self.session_gone(conn),
            Todo::Request(conn, sent) => self.request_arrives(conn, sent),
            Todo::Answer(conn, sent, frame) => self.answer_arrives(conn, &sent, frame),
            Todo::Shard(incarnation, shard, event) if incarnation == self.incarnation => {
                self.step_shard(shard, event)
            }
            Todo::ShardWake(incarnation, shard) if incarnation == self.incarnation => {
                self.wake_shard(shard)
            }
            Todo::Commit(incarnation) if incarnation == self.incarnation => self.commit(),
            Todo::Read(incarnation) if incarnation == self.incarnation => self.read(),
            Todo::Rewrite(incarnation) if incarnation == self.incarnation => self.rewrite(),
            Todo::Agree(incarnation, shard, proposal, records) => {
                if incarnation == self.incarnation {
                    self.agree(shard, proposal, &records)?;
                }
                Ok(())
            }
            Todo::Shard(..)
            | Todo::ShardWake(..)
            | Todo::Commit(_)
            | Todo::Read(_)
            | Todo::Rewrite(_) => Ok(()),
            Todo::Crash => self.scheduled_crash(),
            Todo::Die => {
                self.crash();
                Ok(())
            }
            Todo::Start => self.start(),
            Todo::DiskFault => self.disk_fault(),
            Todo::DiskFull(full) => self.disk_full(full),
            Todo::Jump => self.jump(),
            Todo::Stage => self.look_at_stage(),
        }
    }

    fn name(&self, index: usize) -> Arc<str> {
        self.clients[index].name.clone()
    }

    /// Something happens to a client; then what it wants is done.
    fn step_client(&mut self, index: usize, input: Input) -> Checked {
        let seat = &mut self.clients[index];
        let mut context = Context {
            now: self.clock.now(),
            random: &mut seat.random,
            truth: &mut self.truth,
            cluster: &mut self.cluster,
            groups: &mut self.groups,
            params: &self.params,
            log: &self.log,
            healing: self.stage != Stage::Faults,
            notes: Vec::new(),
            acts: Vec::new(),
        };
        seat.client.input(&mut context, input)?;
        let (acts, notes) = (context.acts, context.notes);
        for note in notes {
            self.trace.line(format_args!("{note}"));
        }
        for act in acts {
            self.act(index, act);
        }
        Ok(())
    }
}

/// What a run led to, told to people.
#[must_use]
pub fn report(world: &World, violation: &Violation) -> String {
    let mut text = String::from("the last things that happened:\n");
    for line in world.trace().last() {
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&violation.to_string());
    text.push('\n');
    text
}
