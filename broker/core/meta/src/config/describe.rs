//! A topic's settings as DescribeConfigs and people see them: value, source, synonyms.

use super::{
    resolve::StaticDefaults,
    table::{ConfigKey, TOPIC_CONFIGS},
};
use crate::image::Image;
use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

/// Where a value comes from, as DescribeConfigs numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic = 1,
    /// Set on this broker while it runs.
    DynamicBroker = 2,
    /// Set for all brokers while they run.
    DynamicDefaultBroker = 3,
    /// From the broker's file, environment or flags.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
}

/// One setting of a topic.
#[derive(Clone, Debug)]
pub struct ConfigEntry {
    /// Which.
    pub key: &'static ConfigKey,
    /// The value that counts.
    pub value: String,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Every place that gives a value, the one that counts first: name, value, source.
    pub synonyms: Vec<(&'static str, String, ConfigSource)>,
}

/// Every setting of a topic with these overrides, in the table's order.
#[must_use]
pub fn describe_topic(
    statics: &StaticDefaults,
    image: &Image,
    overrides: &BTreeMap<Arc<str>, String>,
) -> Vec<ConfigEntry> {
    TOPIC_CONFIGS
        .iter()
        .map(|key| entry(key, statics, image, overrides))
        .collect()
}

fn entry(
    key: &'static ConfigKey,
    statics: &StaticDefaults,
    image: &Image,
    overrides: &BTreeMap<Arc<str>, String>,
) -> ConfigEntry {
    let broker_name = key.broker_name.unwrap_or(key.name);
    let mut synonyms = Vec::new();
    if let Some(value) = overrides.get(key.name) {
        synonyms.push((key.name, value.clone(), ConfigSource::Topic));
    }
    if let Some(value) = image.defaults().get(key.name) {
        synonyms.push((
            broker_name,
            value.clone(),
            ConfigSource::DynamicDefaultBroker,
        ));
    }
    if let Some(value) = statics.get(key.name) {
        synonyms.push((broker_name, value.to_string(), ConfigSource::StaticBroker));
    }
    synonyms.push((broker_name, key.default.to_string(), ConfigSource::Default));
    let (_, value, source) = synonyms[0].clone();
    ConfigEntry {
        key,
        value,
        source,
        synonyms,
    }
}
