//! A broker's configuration as typed values, made from `settings.rs`.
//!
//! Whatever contradicts itself is refused here, before anything is opened.

use crate::settings::{Kind, Settings};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use weir_meta::StaticDefaults;
use weir_net::{Limits, ListenError, Listener};
use weir_node::{GroupConfig, MigrationPolicy};
use weir_store::StoreConfig;
use weir_types::{BrokerId, Role};

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A setting that is text for the table but must be more than that.
    #[error("setting `{name}` cannot be `{value}`: {reason}")]
    Value {
        /// Which.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong, in words.
        reason: String,
    },
}

/// Everything a broker is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of everything it keeps.
    pub data: PathBuf,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// This broker's number.
    pub node_id: BrokerId,
    /// Threads that own partitions.
    pub shards: u16,
    /// What the principal `local` may do.
    pub plain_role: Role,
    /// Partitions of a topic that does not say.
    pub num_partitions: i32,
    /// Whether topics are made when they are asked for.
    pub auto_create_topics: bool,
    /// Defaults of topic settings.
    pub topic_defaults: Arc<StaticDefaults>,
    /// The settings of consumer groups.
    pub groups: GroupConfig,
    /// Partitions of `__consumer_offsets`.
    pub offsets_partitions: i32,
    /// How often retention looks.
    pub retention_check_interval_ms: u64,
    /// How long an idle producer is remembered.
    pub producer_expiration_ms: u64,
    /// The log on disk.
    pub store: StoreConfig,
    /// Whether the log is written around the page cache.
    pub direct_io: bool,
    /// The transport's limits.
    pub limits: Limits,
    /// Bytes of records that all answers together hold.
    pub response_bytes_max: usize,
    /// Where metrics are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// The settings all this was made from, for DescribeConfigs.
    pub settings: Settings,
}

impl Config {
    /// Makes a configuration.
    ///
    /// # Errors
    /// What contradicts itself, by the name of the setting.
    pub fn from_settings(settings: Settings) -> Result<Self, ConfigError> {
        let listeners = listeners(&settings)?;
        let shards = match settings.number("shards") {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            count => size(count),
        };
        let plain_role = match settings.text("plain.role") {
            "client" => Role::Client,
            _ => Role::Admin,
        };
        Ok(Self {
            data: PathBuf::from(settings.text("data")),
            listeners,
            node_id: BrokerId(i32::try_from(settings.number("node.id")).unwrap_or(i32::MAX)),
            shards: u16::try_from(shards).unwrap_or(u16::MAX),
            plain_role,
            num_partitions: i32::try_from(settings.number("num.partitions")).unwrap_or(1),
            auto_create_topics: settings.boolean("auto.create.topics.enable"),
            topic_defaults: Arc::new(topic_defaults(&settings)?),
            groups: groups(&settings)?,
            offsets_partitions: int(settings.number("offsets.topic.num.partitions")),
            retention_check_interval_ms: ms(settings.number("log.retention.check.interval.ms")),
            producer_expiration_ms: ms(settings.number("producer.id.expiration.ms")),
            store: store(&settings),
            direct_io: settings.boolean("store.direct.io"),
            limits: limits(&settings),
            response_bytes_max: size(settings.number("queued.max.response.bytes")),
            metrics: metrics(&settings)?,
            settings,
        })
    }
}

fn listeners(settings: &Settings) -> Result<Vec<Listener>, ConfigError> {
    let advertise: Vec<&str> = settings.list("advertise").collect();
    let listen = settings.list("listen").enumerate();
    let pairs = listen.map(|(index, text)| (text, advertise.get(index).copied()));
    let listeners = Listener::parse_all(pairs)?;
    let count = settings.list("listen").count();
    if advertise.len() > count {
        return Err(ConfigError::Value {
            name: "advertise",
            value: settings.text("advertise").to_owned(),
            reason: format!(
                "it has {} addresses for {count} of `listen`",
                advertise.len()
            ),
        });
    }
    Ok(listeners)
}

fn topic_defaults(settings: &Settings) -> Result<StaticDefaults, ConfigError> {
    let mut defaults = StaticDefaults::default();
    for (setting, value, _) in settings.iter() {
        if let Kind::TopicDefault(key) = setting.kind {
            defaults
                .set(key.name, value)
                .map_err(|reason| ConfigError::Value {
                    name: setting.name,
                    value: value.to_owned(),
                    reason,
                })?;
        }
    }
    Ok(defaults)
}

/// The settings of consumer groups.
pub(crate) fn groups(settings: &Settings) -> Result<GroupConfig, ConfigError> {
    let (min, max) = (
        settings.number("group.min.session.timeout.ms"),
        settings.number("group.max.session.timeout.ms"),
    );
    if min > max {
        return Err(ConfigError::Value {
            name: "group.min.session.timeout.ms",
            value: min.to_string(),
            reason: "it is longer than `group.max.session.timeout.ms`".to_owned(),
        });
    }
    let minutes = settings.number("offsets.retention.minutes");
    Ok(GroupConfig {
        initial_rebalance_delay_ms: ms(settings.number("group.initial.rebalance.delay.ms")),
        session_timeout_min_ms: int(min),
        session_timeout_max_ms: int(max),
        members_max: size(settings.number("group.max.size")),
        consumer_session_timeout_ms: ms(settings.number("group.consumer.session.timeout.ms")),
        consumer_heartbeat_interval_ms: ms(settings.number("group.consumer.heartbeat.interval.ms")),
        assignment_interval_ms: ms(settings.number("group.consumer.assignment.interval.ms")),
        migration: match settings.text("group.consumer.migration.policy") {
            "disabled" => MigrationPolicy::Disabled,
            "upgrade" => MigrationPolicy::Upgrade,
            "downgrade" => MigrationPolicy::Downgrade,
            _ => MigrationPolicy::Bidirectional,
        },
        offset_metadata_bytes_max: size(settings.number("offset.metadata.max.bytes")),
        offsets_retention_ms: minutes.saturating_mul(60_000),
        offsets_check_interval_ms: ms(settings.number("offsets.retention.check.interval.ms")),
        ..GroupConfig::default()
    })
}

fn store(settings: &Settings) -> StoreConfig {
    StoreConfig {
        lanes: size(settings.number("store.lanes")),
        lane_file_bytes: ms(settings.number("store.lane.file.bytes")),
        cache_bytes: size(settings.number("store.cache.bytes")),
        rewrite_backlog_bytes: ms(settings.number("store.rewriter.backlog.bytes")),
        rewriter_held: settings.text("store.rewriter") == "hold",
        ..StoreConfig::default()
    }
}

fn limits(settings: &Settings) -> Limits {
    let defaults = Limits::default();
    let frame_bytes_max = size(settings.number("socket.request.max.bytes"));
    Limits {
        frame_bytes_max,
        connections_max: size(settings.number("max.connections")),
        connections_per_ip_max: size(settings.number("max.connections.per.ip")),
        request_bytes_in_flight_max: size(settings.number("queued.max.request.bytes"))
            .max(frame_bytes_max),
        tcp_idle: Duration::from_millis(ms(settings.number("connections.max.idle.ms"))),
        quic_idle: Duration::from_millis(ms(settings.number("quic.idle.timeout.ms"))),
        ..defaults
    }
}

fn metrics(settings: &Settings) -> Result<Option<SocketAddr>, ConfigError> {
    let value = settings.text("metrics.listen");
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_| ConfigError::Value {
        name: "metrics.listen",
        value: value.to_owned(),
        reason: "it takes an IP address and a port, such as 127.0.0.1:9644".to_owned(),
    })
}

/// Settings of these kinds were checked to be positive when they were laid.
fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn int(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn ms(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
