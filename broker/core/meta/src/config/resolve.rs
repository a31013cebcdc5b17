//! What counts for a topic: its own settings over the cluster's defaults over the broker's over
//! the table's, as typed values.

use super::table::{ConfigKey, find, find_broker_name, unknown};
use crate::{
    config::table::TOPIC_CONFIGS,
    image::{Image, Topic},
};
use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    sync::Arc,
};
use weir_plugin::{Chain, Link, Policy};

/// Defaults of topic settings from a broker's own settings (file, environment, flags), checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticDefaults {
    values: BTreeMap<&'static str, String>,
}

impl StaticDefaults {
    /// Sets the default of a topic setting by the broker's name for it (`log.retention.ms`) or
    /// the topic's own (`retention.ms`).
    ///
    /// # Errors
    /// One sentence: no such setting (with the nearest), or why the value is not taken.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let key = find_broker_name(name)
            .or_else(|| find(name).filter(|key| !key.rule.is_of_one_topic()))
            .ok_or_else(|| unknown(name, TOPIC_CONFIGS.iter().filter_map(|key| key.broker_name)))?;
        key.check(value)?;
        self.values.insert(key.name, value.trim().to_string());
        Ok(())
    }

    /// The default of a topic setting, by the topic's name for it.
    #[must_use]
    pub fn get(&self, topic_name: &str) -> Option<&str> {
        self.values.get(topic_name).map(String::as_str)
    }
}

/// How deep a produced batch is checked (`weir.validate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Checksum, header and every record's framing.
    Full,
    /// Checksum and header; framing only where nothing is compressed.
    Crc,
}

/// A topic's settings that do something, as typed values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `retention.ms`; nothing: no limit.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; nothing: no limit.
    pub retention_bytes: Option<u64>,
    /// `max.message.bytes`.
    pub batch_bytes_max: usize,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// `message.timestamp.type` is LogAppendTime.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `weir.validate`.
    pub validation: Validation,
    /// `weir.ingest`; nothing: batches are appended as they came.
    pub ingest: Option<Arc<Chain>>,
    /// `weir.ingest.policy`.
    pub ingest_policy: Policy,
    /// `weir.ingest.shadow`.
    pub ingest_shadow: Option<Arc<Chain>>,
    /// `weir.partitioner`.
    pub partitioner: Option<Arc<Link>>,
    /// `weir.partitioner.enforce` is `reject`.
    pub enforce_partitioner: bool,
}

impl Default for TopicConfig {
    /// The table's defaults.
    fn default() -> Self {
        Self::from_values(|key| key.default)
    }
}

impl TopicConfig {
    /// What counts for `topic`.
    #[must_use]
    pub fn resolve(statics: &StaticDefaults, image: &Image, topic: &Topic) -> Self {
        Self::from_values(|key| effective(key, statics, image, &topic.overrides))
    }

    /// Reads every value from `value`; all of them were checked when they were set, and one that
    /// an older build let in falls back to the table's default.
    fn from_values<'a>(value: impl Fn(&'static ConfigKey) -> &'a str) -> Self {
        let text = |name: &str| {
            let key = find(name).expect("the name is in the table");
            let value = value(key);
            if key.check(value).is_ok() {
                value.trim()
            } else {
                key.default
            }
        };
        let number = |name: &str| text(name).parse::<i64>().unwrap_or(0);
        let chain = |name: &str| {
            let chain = text(name).parse::<Chain>().ok();
            chain.filter(|chain| !chain.is_empty())
        };
        Self {
            retention_ms: Some(number("retention.ms")).filter(|ms| *ms >= 0),
            retention_bytes: u64::try_from(number("retention.bytes")).ok(),
            batch_bytes_max: usize::try_from(number("max.message.bytes")).unwrap_or(0),
            min_insync_replicas: usize::try_from(number("min.insync.replicas")).unwrap_or(1),
            log_append_time: text("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            validation: if text("weir.validate") == "crc" {
                Validation::Crc
            } else {
                Validation::Full
            },
            ingest: chain("weir.ingest").map(Arc::new),
            ingest_policy: text("weir.ingest.policy").parse().unwrap_or_default(),
            ingest_shadow: chain("weir.ingest.shadow").map(Arc::new),
            partitioner: chain("weir.partitioner")
                .and_then(|chain| chain.links.into_iter().next())
                .map(Arc::new),
            enforce_partitioner: text("weir.partitioner.enforce") == "reject",
        }
    }
}

/// The value that counts.
fn effective<'a>(
    key: &'static ConfigKey,
    statics: &'a StaticDefaults,
    image: &'a Image,
    overrides: &'a BTreeMap<Arc<str>, String>,
) -> &'a str {
    overrides
        .get(key.name)
        .or_else(|| image.defaults().get(key.name))
        .map(String::as_str)
        .or_else(|| statics.get(key.name))
        .unwrap_or(key.default)
}
