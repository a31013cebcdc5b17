//! A whole broker: opens what it keeps, starts its threads, listens, and takes it all down again
//! in order.
//!
//! It introduces the parts to each other and holds no rule.

use crate::clock::Clock;
use crate::config::Config;
use crate::health::{Health, Vital};
use crate::http;
use crate::jobs::Jobs;
use crate::limits::{PORT_ATTEMPTS, SHUTDOWN_GRACE_MS, SHUTDOWN_REST_MS, VIEW_CACHE_BYTES};
use crate::metrics::Metrics;
use crate::plugins::counters::CountersProbe;
use crate::plugins::ingest::{self, IngestJob};
use crate::plugins::{Plugins, PluginsError};
use crate::probes;
use crate::quorum::{Proposer, Quorum, QuorumError};
use crate::room::{AnswerRoom, LogRoom, Rooms};
use crate::session::{BrokerService, listener_name};
use crate::shard::{self, Shard, ShardSender, ToShard};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use weir_meta::command::RegisterBroker;
use weir_meta::{Command, Image, decide};
use weir_net::{
    Bound, Certs, CertsError, HostPort, Listener, ServeError, ServerConfig, ServerHandle,
};
use weir_node::{Node, NodeConfig};
use weir_store::{CacheBudget, Disk, OpenError, RealDisk, Store, TailCache};
use weir_types::{BrokerId, ShardId, TopicId, log::LogCommand};
use weir_wire::ApiKey;

mod front;
#[cfg(test)]
mod tests;

use front::new_shared;

/// Why a broker does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder cannot be made.
    #[error("the data folder {} cannot be made: {source}", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Another broker, or `weir store`, has the folder.
    #[error(
        "the data folder {} is {source}; stop that broker, or start this one elsewhere with --data DIR and --listen HOST:PORT",
        path.display()
    )]
    InUse {
        /// Where.
        path: PathBuf,
        /// Who has it, as far as it can be told.
        source: std::io::Error,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The metadata cannot be opened.
    #[error(transparent)]
    Metadata(#[from] QuorumError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertsError),
    /// Plugins cannot be run.
    #[error(transparent)]
    Plugins(#[from] PluginsError),
    /// A listener cannot listen.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// The metrics port cannot be used.
    #[error(
        "the metrics port {address} cannot be used: {source}; choose another with --set metrics.listen=HOST:PORT"
    )]
    MetricsPort {
        /// Where.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// The log has partitions, the metadata has never heard of a topic.
    #[error(
        "{} holds {partitions} partitions, but its metadata is new: put the whole data folder back from a backup (an older `meta.redb` alone does not know the newest topics), or use another data folder",
        folder.display()
    )]
    MetadataLost {
        /// The folder of the log.
        folder: PathBuf,
        /// How many partitions it holds.
        partitions: usize,
    },
    /// The metadata knows another broker as the one that keeps this folder.
    #[error(
        "the data folder {} belongs to node {owner}: start with node.id={owner}, or use another data folder for node {node}",
        folder.display()
    )]
    OtherNode {
        /// The data folder.
        folder: PathBuf,
        /// Whose it is.
        owner: BrokerId,
        /// Who wanted to start on it.
        node: BrokerId,
    },
    /// This broker is not taken into the cluster.
    #[error("the broker cannot register: {reason}")]
    Register {
        /// Why.
        reason: String,
    },
    /// The system gives no thread or no random numbers.
    #[error("the system refused {what}: {reason}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// Its words.
        reason: String,
    },
}

/// A running broker. Dropping it stops it without waiting for requests under way; see
/// [`Broker::shutdown`].
#[derive(Debug)]
pub struct Broker {
    data: PathBuf,
    profile: PathBuf,
    metrics: Arc<Metrics>,
    metrics_address: Option<SocketAddr>,
    health: Arc<Health>,
    stop: CancellationToken,
    server: Option<ServerHandle>,
    bound: Vec<Bound>,
    threads: Threads,
}

/// The threads behind the listeners, in the order in which they stop.
#[derive(Debug)]
struct Threads {
    shards: Vec<ShardSender>,
    shard_threads: Vec<JoinHandle<()>>,
    proposer: Option<Proposer>,
    quorum_thread: Option<JoinHandle<()>>,
    store: Option<Arc<Store>>,
}

impl Broker {
    /// Starts a broker; it serves when this returns.
    ///
    /// # Errors
    /// The first thing that stands in the way, and what to do about it.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        if !config.data.exists() {
            // Nothing is made for a broker that cannot listen.
            weir_net::check_listeners(&config.listeners)?;
        }
        std::fs::create_dir_all(&config.data).map_err(|source| StartError::Folder {
            path: config.data.clone(),
            source,
        })?;
        choose_ports(&mut config.listeners);
        let opened = open_store(&config)?;
        let store = Arc::clone(&opened.1);
        let started = Self::start_on(config, opened).await;
        if started.is_err()
            && let Some(Err(error)) = Arc::into_inner(store).map(Store::close)
        {
            tracing::error!(%error, "the log was not closed cleanly; the next start repairs it");
        }
        started
    }

    /// Starts everything else on the open log.
    async fn start_on(config: Config, opened: Opened) -> Result<Self, StartError> {
        let (disk, store, shards, inboxes) = opened;
        let data = config.data.clone();
        weir_net::check_listeners(&config.listeners)?;
        let certs = open_certificates(&config)?;
        let mut quorum = Quorum::open(&disk)?;
        let clock = Clock::new();
        check_owner(quorum.image(), &config)?;
        delete_rests(&store, quorum.image(), &config)?;
        register(&mut quorum, &config, clock)?;
        let image = Arc::new(ArcSwap::from_pointee(quorum.image().clone()));
        let rooms = Rooms {
            log: LogRoom::new(config.store.pending_bytes_max, &store),
            answers: AnswerRoom::new(config.response_bytes_max),
        };
        let health = Health::new(&store);
        let mut lag_topic = [0; 16];
        getrandom::fill(&mut lag_topic).map_err(|error| system("random numbers", &error))?;
        let plugins = Plugins::open(&data, Arc::clone(&image), clock, VIEW_CACHE_BYTES)?;
        plugins.load_attached();
        let ground = Ground {
            plugins: Arc::clone(&plugins),
            lag_topic: TopicId(lag_topic),
            clock,
            image: Arc::clone(&image),
            store: Arc::clone(&store),
            rooms: rooms.clone(),
            health: Arc::clone(&health),
        };
        let (agreed, agreements) = watch::channel(0);
        let threads = start_threads(&config, ground, quorum, agreed, shards.clone(), inboxes)?;
        let metrics = Arc::new(Metrics::new(
            ApiKey::ALL.iter().map(|api| (api.key(), api.name())),
        ));
        let answers = Arc::clone(&rooms.answers);
        let shared = new_shared(&config, &image, clock, &metrics, shards, rooms, &plugins);
        plugins.serve(&shared);
        let server_config = ServerConfig {
            limits: config.limits.clone(),
            local_role: config.plain_role,
            ..ServerConfig::new(config.listeners.clone())
        };
        let server = weir_net::serve(
            server_config,
            &certs,
            Arc::new(BrokerService(Arc::clone(&shared))),
        )?;
        probes::all(&metrics, &store, server.counters(), &answers);
        let stop = CancellationToken::new();
        metrics.collect(Box::new(CountersProbe(Arc::clone(&plugins.counters))));
        Jobs::start(&shared, config.node_id, plugins, agreements, stop.clone());
        let mut broker = Self {
            profile: certs.admin_file(),
            data,
            metrics,
            metrics_address: None,
            health,
            stop,
            bound: server.listeners().to_vec(),
            server: Some(server),
            threads,
        };
        if let Some(address) = config.metrics {
            broker.serve_metrics(address).await?;
        }
        broker.health.set_ready(true);
        Ok(broker)
    }

    async fn serve_metrics(&mut self, address: SocketAddr) -> Result<(), StartError> {
        let failed = |source| StartError::MetricsPort { address, source };
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(failed)?;
        self.metrics_address = listener.local_addr().ok();
        let serving = http::serve(
            listener,
            Arc::clone(&self.metrics),
            Arc::clone(&self.health),
            self.stop.clone(),
        );
        tokio::spawn(serving);
        Ok(())
    }

    /// The listeners as they came to be.
    #[must_use]
    pub fn listeners(&self) -> &[Bound] {
        &self.bound
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The admin's profile.
    #[must_use]
    pub fn profile(&self) -> &Path {
        &self.profile
    }

    /// Where metrics are served, if they are.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Whether all of it still works. A broker that lost a thread to a panic answers nothing
    /// that needs it: drop it and start another.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.health.is_alive()
    }

    /// Stops in good order: no new requests, those accepted are finished, the log is closed
    /// cleanly. What takes longer than its time is left behind with a line in the log, so that a
    /// program that ends after this ends soon; one that goes on has that part's threads, and the
    /// folder in use, until they are done.
    pub async fn shutdown(mut self) {
        self.health.set_ready(false);
        self.stop.cancel();
        if let Some(server) = self.server.take()
            && server
                .shutdown(Duration::from_millis(SHUTDOWN_GRACE_MS))
                .await
                == weir_net::Shutdown::CutShort
        {
            tracing::warn!("some requests were not finished in time and were cut off");
        }
        let rest = Duration::from_millis(SHUTDOWN_REST_MS);
        if !self.threads.end_within(rest).await {
            tracing::error!(
                "a part of the broker is still busy and is left behind: what was acknowledged is on the disk, and the next start repairs the log"
            );
        }
    }
}

impl Threads {
    /// Ends them, but waits only for so long; says whether all ended. A thread of its own waits
    /// for those that do not, as even telling a busy shard to stop takes its time.
    async fn end_within(mut self, limit: Duration) -> bool {
        let (told, ended) = oneshot::channel();
        let end = move || {
            self.end();
            // Nobody waits any longer.
            let _late = told.send(());
        };
        if let Err(error) = std::thread::Builder::new()
            .name("weir-stop".into())
            .spawn(end)
        {
            tracing::warn!(%error, "there was no thread to wait for the others");
        }
        // An error means that it was done in place, or that its thread panicked, which was told.
        tokio::time::timeout(limit, ended).await.is_ok()
    }

    fn end(&mut self) {
        for shard in &self.shards {
            shard.deliver(ToShard::Stop);
        }
        if let Some(proposer) = self.proposer.take() {
            proposer.stop();
        }
        for thread in self
            .shard_threads
            .drain(..)
            .chain(self.quorum_thread.take())
        {
            if thread.join().is_err() {
                tracing::error!("a thread of the broker had panicked");
            }
        }
        // The shards have left; whoever else still holds the store only looks at its figures.
        if let Some(Err(error)) = self
            .store
            .take()
            .and_then(Arc::into_inner)
            .map(Store::close)
        {
            tracing::error!(%error, "the log was not closed cleanly; the next start repairs it");
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

/// What every shard stands on.
#[derive(Clone)]
struct Ground {
    plugins: Arc<Plugins>,
    /// The id of the topic that lag is kept in, should it have to be made.
    lag_topic: TopicId,
    clock: Clock,
    image: Arc<ArcSwap<Image>>,
    store: Arc<Store>,
    rooms: Rooms,
    health: Arc<Health>,
}

/// Starts the shards and the quorum, and tells every shard what has been agreed.
fn start_threads(
    config: &Config,
    ground: Ground,
    quorum: Quorum,
    agreed: watch::Sender<u64>,
    shards: Vec<ShardSender>,
    inboxes: Vec<Receiver<ToShard>>,
) -> Result<Threads, StartError> {
    let (proposer, quorum_thread) = quorum
        .start(
            &ground.health,
            Arc::clone(&ground.image),
            agreed,
            shards.clone(),
        )
        .map_err(|error| system("a thread", &error))?;
    let mut threads = Threads {
        shards,
        shard_threads: Vec::new(),
        proposer: Some(proposer.clone()),
        quorum_thread: Some(quorum_thread),
        store: Some(Arc::clone(&ground.store)),
    };
    let budget = CacheBudget::new(config.store.tail_cache_bytes());
    let mut workers = Vec::new();
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let id = ShardId(u16::try_from(index).unwrap_or(u16::MAX));
        let Some(own) = threads.shards.get(index).cloned() else {
            break;
        };
        let (transforms, worker) = ingest::start(
            Arc::clone(&ground.plugins),
            Arc::clone(&config.topic_defaults),
            own,
            index,
            Vital(Arc::clone(&ground.health)),
        )
        .map_err(|error| system("a thread", &error))?;
        workers.push(worker);
        let ways = (proposer.clone(), transforms);
        let mut shard = new_shard(id, config, &ground, &budget, inbox, ways);
        shard.shards.clone_from(&threads.shards);
        let vital = Vital(Arc::clone(&ground.health));
        let thread = std::thread::Builder::new()
            .name(format!("weir-shard-{index}"))
            .spawn(move || {
                let _vital = vital;
                shard.run();
            })
            .map_err(|error| system("a thread", &error))?;
        threads.shard_threads.push(thread);
    }
    // They end once their shards have.
    threads.shard_threads.append(&mut workers);
    for shard in &threads.shards {
        shard.deliver(ToShard::Agreed {
            image: ground.image.load_full(),
            proposal: None,
        });
    }
    Ok(threads)
}

type Opened = (
    Arc<dyn Disk>,
    Arc<Store>,
    Vec<ShardSender>,
    Vec<Receiver<ToShard>>,
);

/// Opens the folder of the log and the log in it.
fn open_store(config: &Config) -> Result<Opened, StartError> {
    let folder = config.data.join("log");
    let disk = RealDisk::open(&folder).map_err(|source| {
        if source.kind() == std::io::ErrorKind::ResourceBusy {
            let path = config.data.clone();
            return StartError::InUse { path, source };
        }
        StartError::Folder {
            path: folder,
            source,
        }
    })?;
    let disk: Arc<dyn Disk> = Arc::new(if config.direct_io {
        disk
    } else {
        disk.buffered()
    });
    open_store_on(config, disk)
}

/// Opens the log, whose events go to the shards' queues.
fn open_store_on(config: &Config, disk: Arc<dyn Disk>) -> Result<Opened, StartError> {
    let (shards, inboxes): (Vec<_>, Vec<_>) = (0..config.shards).map(|_| shard::queue()).unzip();
    let routes = shards.clone();
    let sink = move |shard: ShardId, events| {
        if let Some(shard) = routes.get(usize::from(shard.0)) {
            shard.deliver(ToShard::Log(events));
        }
    };
    let mut store_config = config.store.clone();
    store_config.new_store_id = u64::from_be_bytes(random()?);
    let (store, report) = Store::open(store_config, Arc::clone(&disk), sink)?;
    for warning in &report.warnings {
        tracing::error!("{warning}");
    }
    tracing::info!(
        partitions = report.partitions,
        files = report.files,
        repaired = report.repaired,
        "the log is open"
    );
    Ok((disk, Arc::new(store), shards, inboxes))
}

/// Refuses a folder of another node, before anything is written: its partitions are led by that
/// node and would be there for nobody. While the quorum is this broker alone, the only brokers its
/// metadata can know are the ones that started on this folder.
fn check_owner(image: &Image, config: &Config) -> Result<(), StartError> {
    match image.brokers().next() {
        Some(first) if image.broker(config.node_id).is_none() => Err(StartError::OtherNode {
            folder: config.data.clone(),
            owner: first.id,
            node: config.node_id,
        }),
        _ => Ok(()),
    }
}

/// Deletes what a topic left whose deletion was agreed and then cut off by a crash, and nothing
/// else: a partition that the metadata does not explain may be newer than the metadata, which
/// somebody put back from a backup, and its records were acknowledged.
fn delete_rests(store: &Store, image: &Image, config: &Config) -> Result<(), StartError> {
    let all = store.partition_sizes();
    if !image.has_cluster_id() && !all.is_empty() {
        return Err(StartError::MetadataLost {
            folder: config.data.join("log"),
            partitions: all.len(),
        });
    }
    let mut rests = Vec::new();
    for (topic, index, partition, bytes) in all {
        let known = image
            .topic(topic)
            .is_some_and(|topic| topic.partition(index).is_some());
        if known {
            continue;
        }
        if image.was_deleted(topic) {
            rests.push(partition);
        } else {
            tracing::warn!(
                %topic, partition = index.0, bytes,
                "a partition that the metadata does not know is kept and not served; if an older `meta.redb` was put back, put the whole data folder back instead"
            );
        }
    }
    if !rests.is_empty() {
        let count = rests.len();
        tracing::info!(count, "deleting what is left of deleted topics");
        store.submit(ShardId(0), LogCommand::Delete { partitions: rests });
    }
    Ok(())
}

fn open_certificates(config: &Config) -> Result<Certs, StartError> {
    let names = weir_net::certificate_names(&config.listeners);
    let bootstrap = config.listeners.first().map_or_else(
        || HostPort {
            host: "127.0.0.1".to_owned(),
            port: 9092,
        },
        |first| first.advertised(first.spec.address.port),
    );
    Ok(Certs::open(&config.data, &names, &bootstrap)?)
}

/// A listener on port 0 gets a port now, because the cluster is told it before it listens; what
/// was one bare address stays one number for UDP and TCP.
fn choose_ports(listeners: &mut [Listener]) {
    let mut chosen: Vec<(String, u16)> = Vec::new();
    for listener in listeners {
        let address = &mut listener.spec.address;
        if address.port != 0 {
            continue;
        }
        let known = chosen.iter().position(|(host, _)| *host == address.host);
        let port = match known {
            Some(index) => Some(chosen.remove(index).1),
            None => free_port(&address.host).inspect(|port| {
                chosen.push((address.host.clone(), *port));
            }),
        };
        address.port = port.unwrap_or(0);
    }
}

/// A number that is free for UDP and for TCP at this moment.
fn free_port(host: &str) -> Option<u16> {
    (0..PORT_ATTEMPTS).find_map(|_| {
        let tcp = TcpListener::bind((host, 0)).ok()?;
        let port = tcp.local_addr().ok()?.port();
        UdpSocket::bind((host, port)).ok().map(|_| port)
    })
}

/// Registers this broker, which also begins a new leader epoch for the partitions it leads.
fn register(quorum: &mut Quorum, config: &Config, clock: Clock) -> Result<(), StartError> {
    let listener = |(index, listener): (usize, &Listener)| weir_meta::Listener {
        name: listener_name(index).into(),
        host: listener.advertised(listener.spec.address.port).host.into(),
        port: listener.advertised(listener.spec.address.port).port,
    };
    let command = Command::RegisterBroker(RegisterBroker {
        id: config.node_id,
        new_cluster_id: TopicId(random()?).to_string().into(),
        listeners: config.listeners.iter().enumerate().map(listener).collect(),
        rack: None,
    });
    let decision =
        decide(quorum.image(), clock.now(), &command).map_err(|error| StartError::Register {
            reason: error.to_string(),
        })?;
    Ok(quorum.agree(&decision.records)?)
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| system("random numbers", &error))?;
    Ok(bytes)
}

fn system(what: &'static str, error: &dyn std::fmt::Display) -> StartError {
    StartError::System {
        what,
        reason: error.to_string(),
    }
}

fn new_shard(
    id: ShardId,
    config: &Config,
    ground: &Ground,
    budget: &Arc<CacheBudget>,
    inbox: Receiver<ToShard>,
    (proposer, transforms): (Proposer, Sender<IngestJob>),
) -> Shard {
    let node = NodeConfig {
        statics: Arc::clone(&config.topic_defaults),
        groups: config.groups.clone(),
        lag_topic: Some(ground.lag_topic),
        retention_check_interval_ms: config.retention_check_interval_ms,
        producer_expiration_ms: config.producer_expiration_ms,
        ..NodeConfig::new(id, config.shards, config.node_id)
    };
    Shard {
        id,
        node: Node::new(ground.clock.now(), node),
        clock: ground.clock,
        store: Arc::clone(&ground.store),
        tail: TailCache::new(Arc::clone(budget)),
        inbox,
        shards: Vec::new(),
        propose: Box::new(move |shard, proposal, records| {
            proposer.propose(shard, proposal, records)
        }),
        replies: HashMap::new(),
        commands: Vec::new(),
        on_way: Vec::new(),
        rooms: ground.rooms.clone(),
        transforms,
        reads: HashMap::new(),
        effects: Vec::new(),
    }
}
