//! A member of a consumer group, by either protocol: it joins, reads and processes what it is
//! given, commits what it has processed, gives partitions up after a last commit, and now and then
//! leaves, dies, stands still for too long or changes its mind.
//!
//! It keeps to the protocol as Kafka's clients do; whatever it is told goes to the oracle.

mod assign;
mod classic;
mod committing;
mod life;
mod modern;
mod reading;

pub use life::{Life, Order};

use super::{
    Client, Context, Input,
    directory::Directory,
    link::{Change, Link},
};
use crate::{
    checks::protocol,
    oracle::{
        cluster::ClusterTruth,
        groups::{GroupTruth, SentCommit},
    },
    violation::Checked,
};
use committing::Giving;
use std::collections::{BTreeMap, BTreeSet};
use weir_node::request::PartitionKey;
use weir_types::{ErrorCode, PartitionIndex};
use weir_wire::Response;

/// The pause after an error, in milliseconds.
const BACKOFF_MS: u64 = 20;

/// Which protocol a member speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
    Classic,
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer,
}

/// What all members of a group have in common.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// The group.
    pub group: String,
    /// The topics that it reads in the end.
    pub topics: Vec<String>,
    /// Classic members keep their partitions while they join.
    pub cooperative: bool,
    /// The session timeout of classic members, in milliseconds.
    pub session_ms: u64,
    /// How long members may take to give partitions up, in milliseconds.
    pub rebalance_ms: u64,
    /// At each look, so likely does a member process something, of a hundred.
    pub process_percent: u64,
    /// The longest pause between two commits, in milliseconds.
    pub commit_ms_max: u64,
    /// A seeded fault: what was fetched is committed, whether it was processed or not.
    pub commit_unprocessed: bool,
}

/// Where a member is in its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Out,
    Find,
    Join,
    Sync,
    In,
    Leave,
}

/// A partition it reads.
#[derive(Debug, Default)]
struct Place {
    /// Everything below is processed; nothing: to be asked for.
    position: Option<i64>,
    /// Everything below is fetched.
    fetched: i64,
    /// What it committed last, acked.
    committed: i64,
    /// The committed offset is out of range, or there is none.
    reset: bool,
    watermark: i64,
}

/// Requests under way, by their number.
#[derive(Debug, Default)]
struct Open {
    /// Of the protocol's: only one at a time.
    dance: Option<i32>,
    /// It was fenced meanwhile: the answer is for who it was before.
    dance_stale: bool,
    fetch: Option<reading::Fetched>,
    list: Option<reading::Listed>,
    offsets: Option<reading::OffsetsAsked>,
    commit: Option<(i32, i32, SentCommit)>,
}

/// A member.
#[derive(Debug)]
pub struct Member {
    name: String,
    plan: GroupPlan,
    life: Life,
    link: Link,
    directory: Directory,
    protocol: Protocol,
    /// Its `group.instance.id`.
    instance: Option<String>,
    topics: Vec<String>,
    step: Step,
    open: Open,
    /// When the next request of the protocol may be sent.
    dance_at: u64,
    id: String,
    /// Generation or member epoch.
    epoch: i32,
    beat_ms: u64,
    places: BTreeMap<PartitionKey, Place>,
    giving: Option<Giving>,
    commit_at: u64,
    pause_until: u64,
    frozen_until: u64,
    backlog: Vec<Input>,
    classic: classic::State,
    modern: modern::State,
    healed: bool,
}

impl Member {
    /// A member that is not in the group yet.
    #[must_use]
    pub fn new(name: &str, plan: GroupPlan, instance: bool, life: Life) -> Self {
        Self {
            name: name.to_owned(),
            life,
            link: Link::new(name),
            directory: Directory::default(),
            protocol: Protocol::Classic,
            instance: instance.then(|| format!("{name}-static")),
            topics: plan.topics.clone(),
            plan,
            step: Step::Out,
            open: Open::default(),
            dance_at: 0,
            id: String::new(),
            epoch: -1,
            beat_ms: 100,
            places: BTreeMap::new(),
            giving: None,
            commit_at: 0,
            pause_until: 0,
            frozen_until: 0,
            backlog: Vec::new(),
            classic: classic::State::default(),
            modern: modern::State::default(),
            healed: false,
        }
    }

    fn truth<'a>(&self, context: &'a mut Context<'_>) -> &'a mut GroupTruth {
        context.groups.group(&self.plan.group)
    }

    /// By what the oracle knows it in an epoch.
    fn known_as(&self) -> &str {
        self.instance.as_deref().unwrap_or(&self.id)
    }

    /// It is fenced: what it read is no longer its own, and it joins again.
    fn lost(&mut self) {
        self.places.clear();
        self.giving = None;
        self.open.dance_stale = self.open.dance.is_some();
        self.classic.lost();
        self.modern.lost();
        self.epoch = match self.protocol {
            Protocol::Classic => -1,
            Protocol::Consumer => 0,
        };
        self.step = Step::Find;
    }

    /// The protocol's next request waits a little.
    fn pause(&mut self, context: &Context<'_>) {
        self.dance_at = context.now.tick.0 + BACKOFF_MS;
    }

    fn takes(&mut self, key: PartitionKey) {
        self.places.entry(key).or_default();
    }

    fn keys(&self) -> BTreeSet<PartitionKey> {
        self.places.keys().copied().collect()
    }

    fn is_giving(&self, key: PartitionKey) -> bool {
        let giving = self.giving.as_ref();
        giving.is_some_and(|giving| giving.keys.contains(&key))
    }

    fn key_of(&self, topic: &str, index: PartitionIndex) -> Option<PartitionKey> {
        let topic = self.directory.id_of(topic)?;
        Some(PartitionKey { topic, index })
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: Response,
    ) -> Checked {
        match response {
            Response::Metadata(response) => {
                self.directory
                    .answered(context, correlation_id, &response)?;
                self.forget_gone(context);
                return Ok(());
            }
            Response::Fetch(response) => return self.fetched(context, correlation_id, &response),
            Response::ListOffsets(response) => {
                return self.listed(context, correlation_id, &response);
            }
            Response::OffsetFetch(response) => {
                return self.told_offsets(context, correlation_id, response);
            }
            Response::OffsetCommit(response) => {
                return self.committed(context, correlation_id, &response);
            }
            _ => {}
        }
        if self
            .open
            .dance
            .take_if(|asked| *asked == correlation_id)
            .is_none()
        {
            return protocol::unexpected(format!("{} did not ask: {response:?}", self.name));
        }
        if std::mem::take(&mut self.open.dance_stale) {
            return Ok(());
        }
        match response {
            Response::FindCoordinator(found) => {
                let error = found.coordinators.first().map(|row| row.error_code);
                match error.unwrap_or(found.error_code) {
                    ErrorCode::None => self.step = Step::Join,
                    ErrorCode::CoordinatorNotAvailable => self.pause(context),
                    error => {
                        return protocol::unexpected(format!("{}: find: {error}", self.name));
                    }
                }
                Ok(())
            }
            Response::JoinGroup(response) => self.joined(context, response),
            Response::SyncGroup(response) => self.synced(context, response),
            Response::Heartbeat(response) => self.alive(context, response.error_code),
            Response::LeaveGroup(_) => {
                let id = std::mem::take(&mut self.id);
                self.truth(context).left(&id);
                self.is_out();
                Ok(())
            }
            Response::ConsumerGroupHeartbeat(response) => self.led(context, &response),
            other => protocol::unexpected(format!("{}: {other:?}", self.name)),
        }
    }

    fn is_out(&mut self) {
        self.lost();
        self.id = String::new();
        self.step = Step::Out;
    }

    /// Topics that are gone are read no more.
    fn forget_gone(&mut self, context: &Context<'_>) {
        let directory = &self.directory;
        self.places.retain(|key, _| {
            directory.name_of(key.topic).is_some() || !context.cluster.may_be_gone(key.topic)
        });
    }

    fn act(&mut self, context: &mut Context<'_>) -> Checked {
        if !self.link.is_up() {
            return Ok(());
        }
        self.directory.refresh(&mut self.link, context, 300);
        if !self.directory.is_known() || self.step == Step::Out {
            return Ok(());
        }
        match self.protocol {
            Protocol::Classic => self.resolve_share(context)?,
            Protocol::Consumer => self.reconcile(),
        }
        self.give_up(context);
        self.process(context);
        self.commit_now_and_then(context);
        if self.step == Step::In {
            self.ask_offsets(context);
            self.ask_start(context);
            self.fetch(context);
        }
        if self.open.dance.is_none() && self.dance_at <= context.now.tick.0 {
            match self.protocol {
                _ if self.step == Step::Find => self.find(context),
                Protocol::Classic => self.dance_classic(context),
                Protocol::Consumer => self.dance_modern(context),
            }
        }
        Ok(())
    }

    /// Tells the oracle what it reads, and whether it is done with it.
    fn report(&self, context: &mut Context<'_>) {
        let held = self.places.iter().map(|(key, place)| {
            let end = context.truth.floor(*key).watermark.max(place.watermark);
            let done = place
                .position
                .is_some_and(|at| at >= end && (place.committed == at || at == 0));
            (*key, done)
        });
        let held = held.collect();
        self.truth(context).holds(&self.name, held);
    }

    fn hear(&mut self, context: &mut Context<'_>, input: Input) -> Checked {
        if self.link.input(context, &input) == Change::Down {
            self.down();
        }
        if let Input::Answer {
            correlation_id,
            response,
        } = input
        {
            self.answered(context, correlation_id, response)?;
        }
        Ok(())
    }

    /// The connection is gone, and every answer with it.
    fn down(&mut self) {
        self.open = Open::default();
        self.directory.down();
        self.modern.tell_all = true;
        if let Some(giving) = &mut self.giving {
            giving.asked = false;
        }
        if self.step == Step::Sync {
            self.step = Step::Join;
        }
    }
}

impl Client for Member {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&mut self, context: &mut Context<'_>, input: Input) -> Checked {
        if self.frozen_until > context.now.tick.0 && !context.healing {
            if !matches!(input, Input::Wake) {
                self.backlog.push(input);
            }
            return Ok(());
        }
        for late in std::mem::take(&mut self.backlog) {
            self.hear(context, late)?;
        }
        self.hear(context, input)?;
        self.live(context);
        self.act(context)?;
        self.report(context);
        Ok(())
    }

    fn waiting_for(&self, _: &ClusterTruth) -> Option<String> {
        (self.step != Step::In)
            .then(|| format!("{} is not in its group: {:?}", self.name, self.step))
            .filter(|_| self.life.is_random())
    }
}
