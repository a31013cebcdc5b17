//! Deploying, activating and removing plugins, and what every attached chain must be.
//!
//! Whether a component does what it says, and takes its parameters, was tried before a command
//! comes here; here is only ruled what the cluster's metadata can tell.

use super::{DecideError, Decision, topics::Refusal};
use crate::{
    command::{DeployPlugin, Reply},
    image::Image,
    limits::{PLUGIN_VERSIONS_MAX, PLUGINS_MAX},
    name,
    plugins::{Attachment, Plugin},
    record::MetaRecord,
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};
use weir_plugin::{Chain, PluginRef, Policy, World, limits::CHAIN_BYTES_MAX};
use weir_types::{ErrorCode, Now};

/// How many names a refusal lists.
const NAMES_TOLD: usize = 5;

pub(super) fn refuse<T>(code: ErrorCode, text: String) -> Result<T, DecideError> {
    Err(DecideError::Refused { code, text })
}

impl From<Refusal> for DecideError {
    fn from((code, text): Refusal) -> Self {
        Self::Refused { code, text }
    }
}

/// Names with commas between, the first few of many.
pub(super) fn list(names: &[String]) -> String {
    let told = names.iter().take(NAMES_TOLD).map(String::as_str);
    let told = told.collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMES_TOLD) {
        None | Some(0) => told,
        Some(more) => format!("{told} and {more} more"),
    }
}

pub(super) fn deploy(
    image: &Image,
    now: Now,
    deploy: &DeployPlugin,
) -> Result<Decision, DecideError> {
    let invalid = |text| refuse(ErrorCode::InvalidRequest, text);
    let (name, version) = (&deploy.name, &deploy.version);
    if let Err(error) = format!("{name}@{version}").parse::<PluginRef>() {
        return invalid(error.to_string());
    }
    let plugin = image.plugin(name);
    if plugin.is_none() && image.plugins().len() >= PLUGINS_MAX {
        return invalid(format!("the cluster has {PLUGINS_MAX} plugins already"));
    }
    if let Some(plugin) = plugin {
        let (known, new) = (plugin.world.name(), deploy.world.name());
        if plugin.world != deploy.world {
            return invalid(format!(
                "plugin '{name}' is a {known}; its version {version} is a {new}: give it another name"
            ));
        }
    }
    let known = plugin.and_then(|plugin| plugin.versions.get(version.as_str()));
    if known.is_some_and(|known| known.digest != deploy.digest) {
        let text = format!(
            "{name}@{version} is deployed with other bytes; a version never changes: raise it"
        );
        return refuse(ErrorCode::DuplicateResource, text);
    }
    let full = |plugin: &Arc<Plugin>| plugin.versions.len() >= PLUGIN_VERSIONS_MAX;
    if known.is_none() && plugin.is_some_and(full) {
        return invalid(format!(
            "plugin '{name}' has {PLUGIN_VERSIONS_MAX} versions already; remove old ones"
        ));
    }
    let active = plugin.and_then(|plugin| plugin.active.as_deref());
    let activates = (deploy.activate || active.is_none()) && active != Some(version);
    let (name, version): (Arc<str>, Arc<str>) = (name.as_str().into(), version.as_str().into());
    let mut records = Vec::new();
    if known.is_none() {
        records.push(MetaRecord::Plugin {
            name: name.clone(),
            version: version.clone(),
            digest: deploy.digest,
            world: deploy.world,
            size_bytes: deploy.size_bytes,
            deployed_at: now.wall,
        });
    }
    let reply = Reply::Deployed {
        active: activates || active == Some(&version),
        known: known.is_some(),
    };
    if activates {
        records.push(MetaRecord::PluginActive { name, version });
    }
    if deploy.validate_only {
        records.clear();
    }
    Ok(Decision { records, reply })
}

/// The plugin of that name.
fn plugin<'a>(image: &'a Image, name: &str) -> Result<&'a Arc<Plugin>, Refusal> {
    image.plugin(name).ok_or_else(|| {
        let names: Vec<String> = image.plugins().map(|p| p.name.to_string()).collect();
        let text = match names.as_slice() {
            [] => format!("there is no plugin '{name}'; none is deployed"),
            names => format!("there is no plugin '{name}'; deployed are {}", list(names)),
        };
        (ErrorCode::ResourceNotFound, text)
    })
}

/// The refusal for a version that is not there.
fn no_version(plugin: &Plugin, version: &str) -> Refusal {
    let names: Vec<String> = plugin.versions.keys().map(ToString::to_string).collect();
    let name = &plugin.name;
    let text = format!(
        "plugin '{name}' has no version {version}; deployed are {}",
        list(&names)
    );
    (ErrorCode::ResourceNotFound, text)
}

pub(super) fn activate(
    image: &Image,
    name: &str,
    version: Option<&str>,
    validate_only: bool,
) -> Result<Decision, DecideError> {
    let plugin = plugin(image, name)?;
    let wanted = match (version, &plugin.previous) {
        (Some(version), _) => match plugin.versions.get_key_value(version) {
            Some((version, _)) => version,
            None => return Err(no_version(plugin, version).into()),
        },
        (None, Some(previous)) => previous,
        (None, None) => {
            let text = format!("plugin '{name}' has no version to go back to");
            return refuse(ErrorCode::InvalidRequest, text);
        }
    };
    if plugin.active.as_ref() == Some(wanted) {
        let reply = Reply::Activated {
            version: wanted.clone(),
            previous: plugin.previous.clone(),
        };
        let records = Vec::new();
        return Ok(Decision { records, reply });
    }
    let record = MetaRecord::PluginActive {
        name: plugin.name.clone(),
        version: wanted.clone(),
    };
    Ok(Decision {
        records: if validate_only {
            Vec::new()
        } else {
            vec![record]
        },
        reply: Reply::Activated {
            version: wanted.clone(),
            previous: plugin.active.clone(),
        },
    })
}

pub(super) fn remove(
    image: &Image,
    name: &str,
    version: Option<&str>,
    validate_only: bool,
) -> Result<Decision, DecideError> {
    let plugin = plugin(image, name)?;
    let gone: Vec<Arc<str>> = match version {
        None => plugin.versions.keys().cloned().collect(),
        Some(version) => match plugin.versions.get_key_value(version) {
            Some((version, _)) => vec![version.clone()],
            None => return Err(no_version(plugin, version).into()),
        },
    };
    let is_active = |version: &Arc<str>| plugin.active.as_ref() == Some(version);
    let used = |attachment: &Attachment| {
        gone.iter()
            .any(|version| attachment.uses(name, version, is_active(version)))
    };
    let users: Vec<String> = image
        .attachments()
        .iter()
        .filter(|attachment| used(attachment))
        .map(|attachment| attachment.place.to_string())
        .collect();
    if !users.is_empty() {
        let what = version.map_or_else(String::new, |version| format!("@{version}"));
        let text = format!(
            "{name}{what} is in use by {}: detach it there first",
            list(&users)
        );
        return refuse(ErrorCode::InvalidRequest, text);
    }
    if gone.len() < plugin.versions.len() && gone.iter().any(is_active) {
        let text =
            format!("this is the active version of '{name}'; activate another one before it goes");
        return refuse(ErrorCode::InvalidRequest, text);
    }
    let record = |version: &Arc<str>| MetaRecord::PluginRemoved {
        name: plugin.name.clone(),
        version: version.clone(),
    };
    Ok(Decision {
        records: gone.iter().filter(|_| !validate_only).map(record).collect(),
        reply: Reply::PluginRemoved(gone),
    })
}

/// Reads a chain that is to be attached: each of its plugins is deployed and of that world.
pub(super) fn chain(image: &Image, text: &str, world: World) -> Result<Chain, Refusal> {
    let invalid = |text: String| (ErrorCode::InvalidConfig, text);
    let chain: Chain = text
        .parse()
        .map_err(|error: weir_plugin::ChainError| invalid(error.to_string()))?;
    if chain.to_string().len() > CHAIN_BYTES_MAX {
        let text = "the chain is too long once its values are quoted".to_string();
        return Err(invalid(text));
    }
    for link in &chain.links {
        let wanted = &link.plugin;
        let known = plugin(image, &wanted.name).map_err(|(_, text)| invalid(text))?;
        match &wanted.version {
            Some(version) if !known.versions.contains_key(version.as_str()) => {
                return Err(invalid(no_version(known, version).1));
            }
            None if known.active.is_none() => {
                let text = format!("plugin '{}' has no active version", wanted.name);
                return Err(invalid(text));
            }
            _ => {}
        }
        if known.world != world {
            return Err(invalid(format!(
                "plugin '{}' is a {}, not a {}",
                wanted.name,
                known.world.name(),
                world.name()
            )));
        }
    }
    Ok(chain)
}

/// Reads a policy of something that is called `of`; empty text means that everything stops.
pub(super) fn policy(image: &Image, of: &str, text: &str) -> Result<Policy, Refusal> {
    let invalid = |text: String| (ErrorCode::InvalidConfig, text);
    if text.is_empty() {
        return Ok(Policy::Stop);
    }
    let policy: Policy = text
        .parse()
        .map_err(|error: weir_plugin::PolicyError| invalid(error.to_string()))?;
    if let Policy::DeadLetter(topic) = &policy {
        if topic == of {
            let text = format!("topic '{topic}' cannot be its own dead-letter topic");
            return Err(invalid(text));
        }
        writable(image, topic, "be a dead-letter topic")?;
    }
    Ok(policy)
}

/// A topic that the broker may write for a plugin; `what` says what it cannot do if it is none.
pub(super) fn writable<'a>(
    image: &'a Image,
    topic: &str,
    what: &str,
) -> Result<&'a Arc<crate::image::Topic>, Refusal> {
    let Some(known) = image.topic_named(topic) else {
        let text = format!("there is no topic '{topic}'");
        return Err((ErrorCode::UnknownTopicOrPartition, text));
    };
    let kind = if known.view.is_some() {
        "a view"
    } else if name::is_internal(topic) {
        "an internal topic"
    } else {
        return Ok(known);
    };
    let text = format!("'{topic}' is {kind} and cannot {what}");
    Err((ErrorCode::InvalidTopicException, text))
}
