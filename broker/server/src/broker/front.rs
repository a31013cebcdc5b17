//! What all sessions of this broker share, and what they are told of it.

use crate::clock::Clock;
use crate::config::Config;
use crate::jobs;
use crate::limits::FOLLOWED_MAX;
use crate::metrics::Metrics;
use crate::plugins::Plugins;
use crate::room::Rooms;
use crate::session::Shared;
use crate::settings::{Kind, Origin, Setting};
use crate::shard::ShardSender;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::Semaphore;
use weir_meta::Image;
use weir_meta::config::{ConfigSource, ConfigType};
use weir_node::front::{BrokerSetting, FrontConfig};

/// What all sessions share.
pub(super) fn new_shared(
    config: &Config,
    image: &Arc<ArcSwap<Image>>,
    clock: Clock,
    metrics: &Arc<Metrics>,
    shards: Vec<ShardSender>,
    rooms: Rooms,
    plugins: &Arc<Plugins>,
) -> Arc<Shared> {
    Arc::new(Shared {
        image: Arc::clone(image),
        shards,
        metrics: Arc::clone(metrics),
        front: Arc::new(front_config(config)),
        clock,
        next_request: AtomicU64::new(1),
        rooms,
        followed: Arc::new(Semaphore::new(FOLLOWED_MAX)),
        jobs: jobs::Boards::default(),
        plugins: Arc::clone(plugins),
    })
}

/// The broker's settings, in the front's words.
fn front_config(config: &Config) -> FrontConfig {
    let setting = |(setting, value, origin): (Setting, &str, &Origin)| BrokerSetting {
        name: setting.name.to_owned(),
        value: Some(value.to_owned()),
        source: match origin {
            Origin::Default => ConfigSource::Default,
            _ => ConfigSource::StaticBroker,
        },
        kind: match setting.kind {
            Kind::Text | Kind::Choice(_) | Kind::Address | Kind::LogFilter => ConfigType::String,
            Kind::List => ConfigType::List,
            Kind::Boolean => ConfigType::Boolean,
            Kind::Number { .. } => ConfigType::Long,
            Kind::TopicDefault(key) => key.kind,
        },
        doc: setting.doc.to_owned(),
        sensitive: false,
    };
    FrontConfig {
        statics: Arc::clone(&config.topic_defaults),
        auto_create_topics: config.auto_create_topics,
        num_partitions: config.num_partitions,
        offsets_partitions: config.offsets_partitions,
        log_dir: config.data.join("log").display().to_string(),
        broker_settings: config.settings.iter().map(setting).collect(),
        ..FrontConfig::new(config.shards, config.node_id)
    }
}
