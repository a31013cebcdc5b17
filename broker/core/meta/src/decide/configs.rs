//! Changing settings: of topics, and of the cluster's defaults for all topics.

use super::{
    DecideError, Decision, at_most,
    plugins::{chain, policy},
    topics::Refusal,
};
use crate::{
    command::{
        AlterConfigs, AlterResource, AlteredResource, ConfigChanges, ConfigEdit, ConfigOperation,
        ConfigResource, Outcome, Reply,
    },
    config::{ConfigKey, ConfigType, TOPIC_CONFIGS, check_value, find, find_broker_name},
    image::{Image, Topic},
    limits::TOPICS_PER_COMMAND_MAX,
    name,
    record::MetaRecord,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use weir_plugin::World;
use weir_types::{ErrorCode, TopicId};

pub(super) fn alter(image: &Image, alter: &AlterConfigs) -> Result<Decision, DecideError> {
    at_most(alter.resources.len(), TOPICS_PER_COMMAND_MAX, "resources")?;
    let mut counts: BTreeMap<&ConfigResource, usize> = BTreeMap::new();
    for resource in &alter.resources {
        *counts.entry(&resource.resource).or_default() += 1;
    }
    let mut records = Vec::new();
    let mut results = Vec::new();
    for resource in &alter.resources {
        let planned = if counts[&resource.resource] > 1 {
            let text = "the resource is named more than once".to_string();
            Err((ErrorCode::InvalidRequest, text))
        } else {
            plan(image, resource)
        };
        let outcome = match planned {
            Ok(mut changes) => {
                if !alter.validate_only {
                    records.append(&mut changes);
                }
                Outcome::default()
            }
            Err((error, message)) => Outcome::error(error, message),
        };
        results.push(AlteredResource {
            resource: resource.resource.clone(),
            outcome,
        });
    }
    Ok(Decision {
        records,
        reply: Reply::Altered(results),
    })
}

/// Whose settings a change is written to.
#[derive(Clone, Copy)]
enum Target {
    Topic(TopicId),
    Defaults,
}

impl Target {
    /// The setting that is called `name` here.
    fn key(self, name: &str) -> Result<&'static ConfigKey, Refusal> {
        let invalid = |text| (ErrorCode::InvalidConfig, text);
        match self {
            // The empty value is only there to get the sentence for a name that is not known.
            Self::Topic(_) => match find(name) {
                Some(key) => Ok(key),
                None => Err(invalid(check_value(name, "").err().unwrap_or_default())),
            },
            Self::Defaults => find_broker_name(name).ok_or_else(|| {
                let known = TOPIC_CONFIGS.iter().filter_map(|key| key.broker_name);
                let text = crate::config::unknown(name, known);
                invalid(format!(
                    "{text} (only the defaults of topic settings can be changed while the broker runs)"
                ))
            }),
        }
    }

    fn record(self, key: &'static ConfigKey, value: Option<String>) -> MetaRecord {
        let name: Arc<str> = key.name.into();
        match self {
            Self::Topic(topic) => MetaRecord::TopicConfig { topic, name, value },
            Self::Defaults => MetaRecord::DefaultConfig { name, value },
        }
    }
}

fn plan(image: &Image, wanted: &AlterResource) -> Result<Vec<MetaRecord>, Refusal> {
    let (target, current) = match &wanted.resource {
        ConfigResource::Topic(name) => {
            let topic = image.topic_named(name).ok_or_else(|| {
                let text = format!("there is no topic '{name}'");
                (ErrorCode::UnknownTopicOrPartition, text)
            })?;
            if let Some(view) = check_view(topic, &wanted.changes) {
                return Err(view);
            }
            (Target::Topic(topic.id), &topic.overrides)
        }
        ConfigResource::Broker(name) if name.is_empty() => (Target::Defaults, image.defaults()),
        ConfigResource::Broker(name) => {
            return Err((
                ErrorCode::InvalidRequest,
                format!(
                    "broker {name}'s own settings change in its configuration file, with a restart; the defaults of all brokers can be changed while they run"
                ),
            ));
        }
        ConfigResource::Other(kind, _) => {
            return Err((
                ErrorCode::InvalidRequest,
                format!("resources of type {kind} have no settings here"),
            ));
        }
    };
    let records = match &wanted.changes {
        ConfigChanges::Replace(configs) => replace(target, current, configs)?,
        ConfigChanges::Edit(edits) => edit(target, current, edits)?,
    };
    if let ConfigResource::Topic(topic) = &wanted.resource {
        for record in &records {
            if let MetaRecord::TopicConfig { name, value, .. } = record {
                check_attached(image, topic, name, value.as_deref().unwrap_or(""))?;
            }
        }
    }
    Ok(records)
}

/// A view has no settings but who may read it.
fn check_view(topic: &Topic, changes: &ConfigChanges) -> Option<Refusal> {
    let readers = |name: &str| name == "weir.readers";
    let only_readers = match changes {
        ConfigChanges::Replace(configs) => configs.iter().all(|(name, _)| readers(name)),
        ConfigChanges::Edit(edits) => edits.iter().all(|edit| readers(&edit.name)),
    };
    (topic.view.is_some() && !only_readers).then(|| {
        let name = &topic.name;
        let text = format!(
            "'{name}' is a view: it has its source's settings, and of its own only weir.readers"
        );
        (ErrorCode::InvalidConfig, text)
    })
}

/// Checks what a topic's setting attaches, if it is one that does: the plugins are deployed and of
/// the right world, dead letters have a topic, and the broker's own topics have none of it.
pub(super) fn check_attached(
    image: &Image,
    topic: &str,
    setting: &str,
    value: &str,
) -> Result<(), Refusal> {
    let attached = match setting {
        _ if value.is_empty() => return Ok(()),
        "weir.ingest" | "weir.ingest.shadow" => chain(image, value, World::Transform).map(|_| ()),
        "weir.partitioner" => chain(image, value, World::Partitioner).map(|_| ()),
        "weir.ingest.policy" => policy(image, topic, value).map(|_| ()),
        _ => return Ok(()),
    };
    let invalid = |text| (ErrorCode::InvalidConfig, text);
    attached.map_err(|(_, text)| invalid(format!("{setting}: {text}")))?;
    if name::is_internal(topic) {
        return Err(invalid(format!(
            "'{topic}' is an internal topic: nothing is attached to it"
        )));
    }
    Ok(())
}

type Values = BTreeMap<Arc<str>, String>;

fn replace(
    target: Target,
    current: &Values,
    configs: &[(String, Option<String>)],
) -> Result<Vec<MetaRecord>, Refusal> {
    let mut records = Vec::new();
    let mut kept = BTreeSet::new();
    for (name, value) in configs {
        let key = target.key(name)?;
        if !kept.insert(key.name) {
            return Err(twice(name));
        }
        match value {
            Some(value) => {
                key.check(value)
                    .map_err(|text| (ErrorCode::InvalidConfig, text))?;
                let value = value.trim();
                if current.get(key.name).map(String::as_str) != Some(value) {
                    records.push(target.record(key, Some(value.to_string())));
                }
            }
            None => {
                kept.remove(key.name);
            }
        }
    }
    for name in current.keys().filter(|name| !kept.contains(&***name)) {
        if let Some(key) = find(name) {
            records.push(target.record(key, None));
        }
    }
    Ok(records)
}

fn edit(
    target: Target,
    current: &Values,
    edits: &[ConfigEdit],
) -> Result<Vec<MetaRecord>, Refusal> {
    let mut records = Vec::new();
    let mut seen = BTreeSet::new();
    for edit in edits {
        let key = target.key(&edit.name)?;
        if !seen.insert(key.name) {
            return Err(twice(&edit.name));
        }
        let before = current.get(key.name);
        let after = edited(key, before, edit)?;
        if before != after.as_ref() {
            records.push(target.record(key, after));
        }
    }
    Ok(records)
}

fn edited(
    key: &'static ConfigKey,
    before: Option<&String>,
    edit: &ConfigEdit,
) -> Result<Option<String>, Refusal> {
    let invalid = |text| (ErrorCode::InvalidConfig, text);
    if edit.operation == ConfigOperation::Delete {
        return Ok(None);
    }
    let value = edit
        .value
        .as_deref()
        .ok_or_else(|| invalid(format!("setting '{}' has no value", edit.name)))?;
    let value = match edit.operation {
        ConfigOperation::Append | ConfigOperation::Subtract => {
            if key.kind != ConfigType::List {
                return Err(invalid(format!(
                    "setting '{}' is not a list; it can only be set or deleted",
                    edit.name
                )));
            }
            let before = before.map_or(key.default, String::as_str);
            list(before, edit.operation, value)
        }
        ConfigOperation::Set | ConfigOperation::Delete => value.trim().to_string(),
    };
    key.check(&value).map_err(invalid)?;
    Ok(Some(value))
}

/// Adds words to a list or takes them out.
fn list(before: &str, operation: ConfigOperation, value: &str) -> String {
    fn split(text: &str) -> impl Iterator<Item = &str> {
        text.split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
    }
    let mut words: Vec<&str> = split(before).collect();
    for word in split(value) {
        if operation == ConfigOperation::Subtract {
            words.retain(|old| *old != word);
        } else if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(",")
}

fn twice(name: &str) -> Refusal {
    let text = format!("setting '{name}' is named more than once");
    (ErrorCode::InvalidRequest, text)
}
