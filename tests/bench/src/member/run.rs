//! Members that read until standard input closes, and log what they are given, lose and read.
//!
//! A record is logged before the next poll, and only that poll says that it is done: a kill at any
//! moment leaves no record that is committed and not logged.

use crate::{
    log::{Log, Owned, places},
    options::Options,
};
use anyhow::{Context, Result, bail};
use std::{collections::BTreeSet, io::Read, time::Duration};
use tokio::{sync::watch, task::JoinSet, time};
use weir_client::{
    Client, ConsumerRecord, GroupError, OffsetReset, RebalanceListener, TopicPartition,
    group::{ClassicAssignor, FinalCommit, GroupConsumer, GroupProtocol},
};

/// How often a member that gets no records looks whether its epoch has moved.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a member waits after an error of the broker's before it polls again.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

struct Scribe {
    log: Log,
    name: String,
}

impl RebalanceListener for Scribe {
    fn assigned(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.log
            .line(&self.name, "assigned", None, &places(partitions));
    }

    fn revoked(&mut self, partitions: &BTreeSet<TopicPartition>, _: &mut FinalCommit) {
        self.log
            .line(&self.name, "revoked", None, &places(partitions));
    }

    fn lost(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.log.line(&self.name, "lost", None, &places(partitions));
    }
}

/// What all members of the process have in common.
struct Crowd {
    group: String,
    groups: usize,
    topics: Vec<String>,
    protocol: GroupProtocol,
    assignor: ClassicAssignor,
    session: Duration,
    heartbeat: Duration,
    commit: Duration,
    is_static: bool,
    work: Duration,
    log: Log,
}

/// Runs `--members` of them, over `--clients` connections, in `--groups`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let name = options.text("name")?;
    let members: usize = options.value("members", 1)?;
    let clients: usize = options.value("clients", members)?;
    let crowd = crowd(options)?;
    let (stop, stopped) = watch::channel(false);
    std::thread::spawn(move || {
        // The end of the pipe and a broken pipe both say: stop.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.send_replace(true);
    });
    let mut connected = Vec::new();
    for number in 0..clients.clamp(1, members.max(1)) {
        let client_id = if clients == 1 {
            name.to_owned()
        } else {
            format!("{name}-{number}")
        };
        connected.push(options.client(&client_id).await?);
    }
    let mut running = JoinSet::new();
    for (number, client) in (0..members).zip(connected.iter().cycle()) {
        let own = if members == 1 {
            name.to_owned()
        } else {
            format!("{name}-{number}")
        };
        let consumer = crowd.member(client, number, &own)?;
        let log = crowd.log.clone();
        running.spawn(read(consumer, own, log, crowd.work, stopped.clone()));
    }
    while let Some(ended) = running.join_next().await {
        ended.context("a member's task ended badly")??;
    }
    Ok(())
}

fn crowd(options: &Options) -> Result<Crowd> {
    let protocol: String = options.value("protocol", "consumer".to_owned())?;
    let assignor = match options.find("assignor") {
        None | Some("cooperative-sticky") => ClassicAssignor::CooperativeSticky,
        Some("range") => ClassicAssignor::Range,
        Some(other) => bail!("there is no assignor `{other}`"),
    };
    Ok(Crowd {
        group: options.text("group")?.to_owned(),
        groups: options.value("groups", 1)?,
        topics: options
            .text("topics")?
            .split(',')
            .map(str::to_owned)
            .collect(),
        protocol: protocol.parse().map_err(anyhow::Error::msg)?,
        assignor,
        session: options.millis("session-ms", 45_000)?,
        heartbeat: options.millis("heartbeat-ms", 3_000)?,
        commit: options.millis("commit-ms", 200)?,
        is_static: options.value("static", false)?,
        work: options.millis("work-ms", 0)?,
        log: Log::create(options.text("log")?)?,
    })
}

impl Crowd {
    fn member(&self, client: &Client, number: usize, name: &str) -> Result<GroupConsumer> {
        let group = if self.groups == 1 {
            self.group.clone()
        } else {
            format!("{}-{}", self.group, number % self.groups)
        };
        let mut builder = client
            .group(&group)
            .topics(&self.topics)
            .protocol(self.protocol)
            .classic_assignor(self.assignor)
            .session_timeout(self.session)
            .heartbeat_interval(self.heartbeat)
            .auto_commit(self.commit)
            .offset_reset(OffsetReset::Earliest)
            .listener(Scribe {
                log: self.log.clone(),
                name: name.to_owned(),
            });
        if self.is_static {
            builder = builder.instance_id(name);
        }
        Ok(builder.build()?)
    }
}

async fn read(
    mut consumer: GroupConsumer,
    name: String,
    log: Log,
    work: Duration,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    log.line(&name, "started", None, "");
    let mut owned: Owned = (None, BTreeSet::new());
    loop {
        let polled = tokio::select! {
            record = consumer.next() => Some(record),
            _ = time::sleep(LOOK_EVERY) => None,
            _ = stopped.wait_for(|is| *is) => break,
        };
        let epoch = consumer.epoch();
        match polled {
            Some(Ok(record)) => {
                log.line(&name, "record", epoch, &told(&record));
                if !work.is_zero() {
                    time::sleep(work).await;
                }
            }
            Some(Err(error)) => {
                log.line(&name, "error", epoch, &error.to_string());
                if !goes_on(&error) {
                    bail!("{name}: {error}");
                }
                time::sleep(ERROR_PAUSE).await;
            }
            None => {}
        }
        let now = (epoch, consumer.assignment());
        if now != owned {
            log.line(&name, "owns", now.0, &places(&now.1));
            owned = now;
        }
    }
    let closed = consumer.close().await;
    let how = closed.map_or_else(|error| error.to_string(), |()| String::new());
    log.line(&name, "closed", None, &how);
    Ok(())
}

/// Whether the client's documents say that the consumer can be used on.
const fn goes_on(error: &GroupError) -> bool {
    matches!(error, GroupError::Consume(_) | GroupError::Commit { .. })
}

/// Its place and its id, the value's first word.
fn told(record: &ConsumerRecord) -> String {
    let value = record.value.as_deref().unwrap_or_default();
    let id = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    let id = String::from_utf8_lossy(id);
    format!(
        "{}-{} {} {id}",
        record.topic, record.partition, record.offset
    )
}
