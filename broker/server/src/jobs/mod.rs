//! Router jobs: a task for each partition that a job reads and this broker leads, started and told
//! by the metadata.
//!
//! It holds no rule: what a job does is `weir-job`'s to say, what may be changed the metadata's.

mod api;
mod rows;
mod runner;
mod wanted;

pub(crate) use api::{alter, create, describe};
pub(crate) use rows::{Made, Origin};

use crate::inside::Inside;
use crate::limits::JOB_OFFSETS_RETRY_MS;
use crate::session::Shared;
use runner::{Board, Runner, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_job::{Recipe, Settings, Trouble};
use weir_meta::{Image, Job};
use weir_node::jobs::{JobPlace, group_of};
use weir_plugin::{Chain, Columns};
use weir_types::{BrokerId, ErrorCode, PartitionIndex, TimestampMs, TopicId};
use weir_wire::Response;
use weir_wire::messages::{DeleteGroupsRequest, ListGroupsRequest};

/// Whoever runs plugins. Its calls take their time: never on the runtime's own threads.
pub(crate) trait Chains: fmt::Debug + Send + Sync {
    /// Runs a job's chain, in the recipe's versions, over the records of one batch.
    fn run(
        &self,
        origin: &Origin,
        chain: &Chain,
        recipe: &Recipe,
        columns: Columns,
    ) -> Result<Made, Trouble>;

    /// Lets a topic's partitioner, in this version, choose among so many partitions.
    fn partition(
        &self,
        topic: TopicId,
        plugin: &str,
        keys: &[Option<&[u8]>],
        partitions: u32,
    ) -> Result<Vec<PartitionIndex>, Trouble>;
}

/// One router: the job, by its name and age, and the partition that it reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    job: Arc<str>,
    created_at: TimestampMs,
    topic: TopicId,
    partition: PartitionIndex,
}

/// A router that runs.
struct Running {
    settings: watch::Sender<Settings>,
    job: Arc<Job>,
    task: JoinHandle<()>,
}

/// The statuses of the routers that run.
#[derive(Clone, Default)]
pub(crate) struct Boards(Arc<Mutex<BTreeMap<Key, Board>>>);

impl fmt::Debug for Boards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boards").finish_non_exhaustive()
    }
}

impl Boards {
    /// How the router of a partition fares, if it runs.
    fn status(&self, job: &Job, topic: TopicId, partition: PartitionIndex) -> Option<Status> {
        let key = Key {
            job: Arc::clone(&job.name),
            created_at: job.created_at,
            topic,
            partition,
        };
        let boards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let board = boards.get(&key)?;
        let status = board.lock().unwrap_or_else(PoisonError::into_inner);
        status.clone()
    }
}

/// All routers of this broker.
pub(crate) struct Jobs {
    shared: Arc<Shared>,
    broker: BrokerId,
    chains: Arc<dyn Chains>,
    running: BTreeMap<Key, Running>,
    /// Tasks whose job is gone, and that write a last time.
    ending: Vec<(Arc<str>, JoinHandle<()>)>,
}

impl Jobs {
    /// Starts looking after jobs until `stop`.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        broker: BrokerId,
        chains: Arc<dyn Chains>,
        agreed: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        let jobs = Self {
            shared: Arc::clone(shared),
            broker,
            chains,
            running: BTreeMap::new(),
            ending: Vec::new(),
        };
        tokio::spawn(jobs.run(agreed, stop));
    }

    async fn run(mut self, mut agreed: watch::Receiver<u64>, stop: CancellationToken) {
        // Jobs that were deleted when the broker stopped may have left their progress behind.
        let mut forget = true;
        loop {
            agreed.mark_unchanged();
            let image = self.shared.image.load_full();
            forget |= self.reconcile(&image);
            if forget {
                self.end().await;
                forget = !self.forget().await;
            }
            let again = Duration::from_millis(JOB_OFFSETS_RETRY_MS);
            tokio::select! {
                changed = agreed.changed() => if changed.is_err() {
                    break;
                },
                () = stop.cancelled() => break,
                () = tokio::time::sleep(again), if forget => {}
            }
        }
        self.running.clear();
    }

    /// Starts, tells and ends routers, as the metadata says. Whether a job is gone.
    fn reconcile(&mut self, image: &Arc<Image>) -> bool {
        let mut wanted = BTreeSet::new();
        for job in image.jobs() {
            for topic in job.from.iter().filter_map(|topic| image.topic(*topic)) {
                for (index, partition) in topic.partitions.iter().enumerate() {
                    if partition.leader != Some(self.broker) {
                        continue;
                    }
                    let key = Key {
                        job: Arc::clone(&job.name),
                        created_at: job.created_at,
                        topic: topic.id,
                        partition: PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX)),
                    };
                    self.tell(image, job, &key);
                    wanted.insert(key);
                }
            }
        }
        let gone: Vec<Key> = self
            .running
            .keys()
            .filter(|key| !wanted.contains(*key))
            .cloned()
            .collect();
        for key in &gone {
            if let Some(Running { settings, task, .. }) = self.running.remove(key) {
                drop(settings);
                self.ending.push((Arc::clone(&key.job), task));
            }
            self.boards().remove(key);
        }
        gone.iter().any(|key| image.job(&key.job).is_none())
    }

    fn boards(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Board>> {
        let boards = &self.shared.jobs.0;
        boards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&mut self, image: &Arc<Image>, job: &Arc<Job>, key: &Key) {
        let settings = wanted::settings(image, job);
        if let Some(running) = self.running.get_mut(key) {
            // A job that somebody touched is told again, as that takes up one that stopped.
            let touched = !Arc::ptr_eq(&running.job, job);
            running.job = Arc::clone(job);
            running.settings.send_if_modified(|known| {
                let other = *known != settings;
                *known = settings;
                other || touched
            });
            return;
        }
        let Some(topic) = image.topic(key.topic) else {
            return;
        };
        let place = JobPlace {
            group: group_of(&job.name),
            topic: topic.name.to_string(),
            topic_id: topic.id,
            partition: key.partition,
        };
        let origin = Origin {
            job: Arc::clone(&job.name),
            topic: Arc::clone(&topic.name),
            partition: key.partition,
            chain: job.chain.clone(),
            outputs: u32::try_from(job.to.len()).unwrap_or(u32::MAX),
        };
        let (sender, receiver) = watch::channel(settings);
        let board = Board::default();
        let runner = Runner {
            shared: Arc::clone(&self.shared),
            place,
            origin,
            chains: Arc::clone(&self.chains),
            settings: receiver,
            board: Arc::clone(&board),
        };
        self.boards().insert(key.clone(), Arc::clone(&board));
        let running = Running {
            settings: sender,
            job: Arc::clone(job),
            task: tokio::spawn(runner.run()),
        };
        self.running.insert(key.clone(), running);
    }

    /// Waits for the tasks of jobs that are gone.
    async fn end(&mut self) {
        for (job, task) in self.ending.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%job, %error, "a router of a job ended badly");
            }
        }
    }

    /// Deletes the progress of jobs that are not there. Whether it is done.
    async fn forget(&self) -> bool {
        let mut inside = Inside::new(&self.shared, "weir-jobs");
        let listed = match inside.ask(ListGroupsRequest::default()).await {
            Ok(Response::ListGroups(listed)) if listed.error_code == ErrorCode::None => listed,
            _ => return false,
        };
        let image = self.shared.image.load_full();
        let rests = listed.groups.into_iter().map(|group| group.group_id);
        let rests = rests.filter(|group| {
            let job = group.as_str().strip_prefix(&group_of(""));
            job.is_some_and(|job| image.job(job).is_none())
        });
        let groups_names: Vec<_> = rests.collect();
        if groups_names.is_empty() {
            return true;
        }
        let deleted = inside.ask(DeleteGroupsRequest { groups_names }).await;
        match deleted {
            Ok(Response::DeleteGroups(deleted)) => deleted.results.iter().all(|result| {
                matches!(
                    result.error_code,
                    ErrorCode::None | ErrorCode::GroupIdNotFound
                )
            }),
            _ => false,
        }
    }
}
