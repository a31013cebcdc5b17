//! The stages of a run: faults with checks after each event; then everything is mended and must
//! finish; then everything is read back by readers that know nothing.

use super::{Seat, Todo, World};
use crate::{
    checks::{liveness, settling},
    client::{
        Client,
        admin::Admin,
        consumer::Consumer,
        job::{Job, JobAuditor},
        member::{GroupPlan, Life, Member},
        producer::{Kind, Producer},
        steward::Steward,
    },
    random::Random,
    violation::Checked,
};
use weir_store::Crash;

/// How long finishing may take once the faults are over, in simulated milliseconds.
const FINISH_MS_MAX: u64 = 60_000;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Things go wrong.
    Faults,
    /// Nothing goes wrong; all that was begun must end before this tick.
    Mend { before: u64 },
    /// The broker was started again and everything is read back, before this tick.
    Audit { before: u64 },
    /// Done.
    Over,
}

impl World {
    /// Puts everybody in place.
    pub(super) fn begin(&mut self) {
        let params = self.params.clone();
        let mut random = self.random.fork();
        let mut clients: Vec<Box<dyn Client>> = Vec::new();
        clients.push(Box::new(Admin::new("admin", &params, &mut random)));
        for index in 0..params.idempotent {
            let name = format!("idempotent-{index}");
            let kind = Kind::Idempotent;
            clients.push(Box::new(Producer::new(&name, kind, &params, &mut random)));
        }
        for index in 0..params.plain {
            let acks = *random.pick(&[1, -1]);
            let name = format!("plain-{index}");
            let kind = Kind::Plain { acks };
            clients.push(Box::new(Producer::new(&name, kind, &params, &mut random)));
        }
        for index in 0..params.careless {
            let name = format!("careless-{index}");
            let kind = Kind::Careless;
            clients.push(Box::new(Producer::new(&name, kind, &params, &mut random)));
        }
        for index in 0..params.consumers {
            let name = format!("consumer-{index}");
            let from_beginning = random.percent(70);
            let consumer = Consumer::new(&name, from_beginning, &params, &mut random);
            clients.push(Box::new(consumer));
        }
        for client in clients {
            self.seat(client, random.fork());
        }
        for index in 0..params.jobs {
            let job = Job::new(&format!("job-{index}"));
            self.seat(Box::new(job), random.fork());
        }
        for index in 0..params.groups {
            self.seat_group(&format!("group-{index}"), &mut random);
        }
        self.clock.after(0, Todo::Start);
        self.clock.after(params.faults_ms, Todo::Stage);
        let first = |random: &mut Random, every: u64| random.between(1, 2 * every);
        for (every, todo) in [
            (params.crash_every_ms, Todo::Crash),
            (params.disk_fault_every_ms, Todo::DiskFault),
            (params.jump_every_ms, Todo::Jump),
        ] {
            if every > 0 {
                self.clock.after(first(&mut random, every), todo);
            }
        }
        if params.disk_full {
            self.clock
                .after(first(&mut random, 2_000), Todo::DiskFull(true));
        }
    }

    /// A group of members that read the first topics, and who looks after it.
    fn seat_group(&mut self, group: &str, random: &mut Random) {
        let params = self.params.clone();
        let topics: Vec<String> = (0..params.topics).map(|n| format!("first-{n}")).collect();
        self.groups.group(group).reads(&topics);
        let plan = GroupPlan {
            group: group.to_owned(),
            topics,
            cooperative: params.cooperative,
            session_ms: params.member_session_ms,
            rebalance_ms: params.member_rebalance_ms,
            process_percent: params.member_process_percent,
            commit_ms_max: params.member_commit_ms_max,
            commit_unprocessed: params.commit_unprocessed,
        };
        for index in 0..random.between(1, params.members_max.into()) {
            let life = Life::Random {
                consumer_percent: params.member_consumer_percent,
                every_ms: params.member_every_ms,
                freeze_ms_max: 3 * params.member_session_ms,
                at: random.between(0, 1_000),
            };
            let name = format!("{group}-member-{index}");
            let is_static = random.percent(params.member_static_percent);
            let member = Member::new(&name, plan.clone(), is_static, life);
            self.seat(Box::new(member), random.fork());
        }
        let name = format!("steward-{group}");
        let steward = Steward::new(&name, group, &plan.topics);
        self.seat(Box::new(steward), random.fork());
    }

    pub(super) fn seat(&mut self, client: Box<dyn Client>, random: Random) {
        self.clients.push(Seat {
            name: client.name().into(),
            client,
            random,
            conn: None,
        });
        let index = self.clients.len() - 1;
        self.clock.after(1, Todo::ClientWake(index));
    }

    pub(super) fn look_at_stage(&mut self) -> Checked {
        let now = self.clock.tick();
        match self.stage {
            Stage::Faults => {
                self.trace.line(format_args!("everything is mended"));
                self.stage = Stage::Mend {
                    before: now + FINISH_MS_MAX,
                };
                self.mend();
                self.clock.after(50, Todo::Stage);
            }
            Stage::Mend { .. } if self.waiting().is_empty() => {
                self.trace
                    .line(format_args!("everybody is done; all is read back"));
                self.stage = Stage::Audit {
                    before: now + FINISH_MS_MAX,
                };
                self.audit();
                self.clock.after(50, Todo::Stage);
            }
            Stage::Audit { .. } if self.waiting().is_empty() => {
                self.trace.line(format_args!("all was read back"));
                self.stage = Stage::Over;
            }
            Stage::Mend { before } | Stage::Audit { before } => {
                if now >= before {
                    settling::settled(&self.groups.unsettled(&self.cluster))?;
                    liveness::finished(&self.waiting())?;
                }
                self.clock.after(50, Todo::Stage);
            }
            Stage::Over => {}
        }
        Ok(())
    }

    /// Whom is still waited for.
    fn waiting(&self) -> Vec<String> {
        let mut waiting: Vec<String> = self
            .clients
            .iter()
            .filter_map(|seat| seat.client.waiting_for(&self.cluster))
            .collect();
        waiting.extend(self.groups.unsettled(&self.cluster));
        if self.broker.is_none() {
            waiting.push("the broker is down".to_owned());
        }
        waiting
    }

    /// Takes the faults away and starts the broker again: whatever a failed disk took offline
    /// comes back only so.
    fn mend(&mut self) {
        self.disk.set_capacity(u64::MAX);
        if self.broker.is_some() {
            self.crash();
        } else {
            // Faults that were set for later are forgotten with the power.
            self.disk.crash(Crash::Forget);
        }
        self.log.disk_faulty = false;
    }

    /// Starts the broker again, cleanly or not, and lets new readers read everything.
    fn audit(&mut self) {
        if self.random.percent(50) {
            self.close();
        } else {
            self.crash();
        }
        let mut random = self.random.fork();
        for index in 0..2 {
            let name = format!("auditor-{index}");
            let consumer = Consumer::new(&name, true, &self.params, &mut random);
            self.seat(Box::new(consumer), random.fork());
        }
        if self.params.jobs > 0 {
            let auditor = JobAuditor::new("auditor-of-jobs");
            self.seat(Box::new(auditor), random.fork());
        }
    }

    /// The run is over: everything that was told must be there.
    pub(super) fn last_look(&mut self) -> Checked {
        for part in self.log.parts() {
            if !self.cluster.may_be_gone(part.key.topic) {
                self.truth.finally(part.key, part.start.0, part.flushed.0)?;
            }
        }
        self.groups.finally(&self.cluster, &self.log)?;
        if let Some(broker) = &self.broker {
            self.cluster.image(broker.image())?;
            let offline = broker.offline();
            liveness::PROMISE.holds(offline == 0, || {
                format!("{offline} partitions are offline in the end")
            })?;
        }
        self.close();
        let digest = self.disk_digest();
        self.trace
            .line(format_args!("the disk holds {digest:016x}"));
        Ok(())
    }
}
