//! DeployPlugin, ActivatePlugin and RemovePlugin.
//!
//! A component is on disk before the metadata knows it, and whatever follows the active version has
//! taken its parameters before that changes: a broken version never takes over.

use super::{Refused, agreed, aside, invalid, may, split, timeout};
use crate::inside::command;
use crate::plugins::counters::Spot;
use crate::plugins::{Plugins, describe_component, names};
use crate::session::Shared;
use std::sync::Arc;
use weir_meta::{Command, Image, Plugin, Reply};
use weir_node::authorizer::Operation;
use weir_plugin::limits::COMPONENT_BYTES_MAX;
use weir_plugin_host::Component;
use weir_types::{ErrorCode, Principal, TimestampMs};
use weir_wire::messages::{
    ActivatePluginRequest, ActivatePluginResponse, DeployPluginRequest, DeployPluginResponse,
    PluginPlace, RemovePluginRequest, RemovePluginResponse,
};
use weir_wire::{Response, Text};

/// Takes a component in.
pub(crate) async fn deploy(
    shared: Arc<Shared>,
    who: Principal,
    request: DeployPluginRequest,
) -> Response {
    let mut response = DeployPluginResponse::default();
    let done = deploy_into(&shared, &who, request, &mut response).await;
    (response.error_code, response.error_message) = split(done.err());
    response.into()
}

async fn deploy_into(
    shared: &Arc<Shared>,
    who: &Principal,
    request: DeployPluginRequest,
    response: &mut DeployPluginResponse,
) -> Result<(), Refused> {
    may(who, Operation::Alter)?;
    let plugins = &shared.plugins;
    let bytes = request.component;
    if bytes.len() > COMPONENT_BYTES_MAX {
        let size = bytes.len();
        let text = format!("the component has {size} bytes, but may have {COMPONENT_BYTES_MAX}");
        return Err(invalid(text));
    }
    let source = bytes.clone();
    let compiled = aside(plugins, move |plugins| {
        plugins
            .host
            .compile(&source)
            .map_err(|error| invalid(error.to_string()))
    });
    let component = compiled.await?;
    let description = component.description();
    let (name, version) = (description.name.clone(), description.version.clone());
    response.name = Text::from(name.as_str());
    response.versions = vec![describe_component(&component, TimestampMs(-1))];
    // From here on nobody else changes what is deployed or attached.
    let _turn = plugins.changing.lock().await;
    let image = shared.image.load_full();
    let known = image.plugin(&name);
    let activates = request.activate || known.is_none_or(|known| known.active.is_none());
    if activates {
        try_followers(plugins, &image, &name, &component).await?;
    }
    let digest = component.digest();
    let was_known = names(&image, &digest);
    if !request.validate_only {
        let kept = component.clone();
        let keep = move |plugins: &Arc<Plugins>| {
            plugins.keep(&kept, &bytes).map_err(|error| {
                let text = format!("the component cannot be written: {error}");
                (ErrorCode::KafkaStorageError, text)
            })
        };
        aside(plugins, keep).await?;
    }
    let deploy = Command::DeployPlugin(Box::new(weir_meta::command::DeployPlugin {
        name: name.clone(),
        version,
        digest,
        world: component.world(),
        size_bytes: u64::try_from(component.size_bytes()).unwrap_or(u64::MAX),
        activate: request.activate,
        validate_only: request.validate_only,
    }));
    let reply = command(shared, deploy, timeout(request.timeout_ms)).await;
    if reply.is_err() && !was_known && !request.validate_only {
        forget_unknown(shared, digest).await?;
    }
    if let Reply::Deployed { known, .. } = reply.map_err(|error| agreed(&error))? {
        response.already_deployed = known;
    }
    let image = shared.image.load_full();
    if let Some(plugin) = image.plugin(&name) {
        response.active_version = plugin.active.as_deref().map(Text::from);
        let deployed = plugin.versions.get(&*component.description().version);
        let deployed = deployed.filter(|version| version.digest == digest);
        if let Some((told, version)) = response.versions.first_mut().zip(deployed) {
            told.deployed_at_ms = version.deployed_at;
        }
    }
    Ok(())
}

/// Forgets a component that came to nothing. A command that timed out may still be agreed, so this
/// asks the newest image; what is left over goes at the next start.
async fn forget_unknown(shared: &Arc<Shared>, digest: [u8; 32]) -> Result<(), Refused> {
    if names(&shared.image.load(), &digest) {
        return Ok(());
    }
    aside(&shared.plugins, move |plugins| {
        plugins.forget(&[digest]);
        Ok(())
    })
    .await
}

/// Has whatever follows a plugin's active version take its parameters in this one.
async fn try_followers(
    plugins: &Arc<Plugins>,
    image: &Arc<Image>,
    name: &str,
    component: &Component,
) -> Result<(), Refused> {
    let (image, name) = (Arc::clone(image), name.to_owned());
    let component = component.clone();
    aside(plugins, move |_| {
        for attachment in image.attachments() {
            let links = attachment.chain.links.iter();
            let follow =
                links.filter(|link| link.plugin.name == name && link.plugin.version.is_none());
            for link in follow {
                component.configure(&link.parameters).map_err(|error| {
                    let text = format!("{} follows this version: {error}", attachment.place);
                    (ErrorCode::InvalidConfig, text)
                })?;
            }
        }
        Ok(())
    })
    .await
}

/// Makes a version the active one.
pub(crate) async fn activate(
    shared: Arc<Shared>,
    who: Principal,
    request: ActivatePluginRequest,
) -> Response {
    let mut response = ActivatePluginResponse::default();
    let done = activate_into(&shared, &who, &request, &mut response).await;
    (response.error_code, response.error_message) = split(done.err());
    response.into()
}

async fn activate_into(
    shared: &Arc<Shared>,
    who: &Principal,
    request: &ActivatePluginRequest,
    response: &mut ActivatePluginResponse,
) -> Result<(), Refused> {
    may(who, Operation::Alter)?;
    let plugins = &shared.plugins;
    let name = request.name.as_str();
    let _turn = plugins.changing.lock().await;
    let image = shared.image.load_full();
    let wanted = image.plugin(name).and_then(|plugin| {
        let version = match &request.version {
            Some(version) => version.as_str(),
            None => plugin.previous.as_deref()?,
        };
        plugin.versions.get(version)
    });
    if let Some(version) = wanted {
        let digest = version.digest;
        let component = aside(plugins, move |plugins| {
            plugins.component(&digest).map_err(|reason| {
                let text = format!("this version cannot be run: {reason}");
                (ErrorCode::InvalidRequest, text)
            })
        });
        try_followers(plugins, &image, name, &component.await?).await?;
    }
    // A version that is not there is the metadata's to refuse.
    let activate = Command::ActivatePlugin {
        name: name.to_owned(),
        version: request
            .version
            .as_ref()
            .map(|version| version.as_str().to_owned()),
        validate_only: request.validate_only,
    };
    let reply = command(shared, activate, timeout(request.timeout_ms)).await;
    if let Reply::Activated { version, previous } = reply.map_err(|error| agreed(&error))? {
        response.active_version = Some(Text::from(&*version));
        response.previous_version = previous.as_deref().map(Text::from);
    }
    response.followers = places(&image, |attachment| attachment.follows(name));
    Ok(())
}

/// Removes versions that nothing uses.
pub(crate) async fn remove(
    shared: Arc<Shared>,
    who: Principal,
    request: RemovePluginRequest,
) -> Response {
    let mut response = RemovePluginResponse::default();
    let done = remove_into(&shared, &who, &request, &mut response).await;
    (response.error_code, response.error_message) = split(done.err());
    response.into()
}

async fn remove_into(
    shared: &Arc<Shared>,
    who: &Principal,
    request: &RemovePluginRequest,
    response: &mut RemovePluginResponse,
) -> Result<(), Refused> {
    may(who, Operation::Delete)?;
    let plugins = &shared.plugins;
    let _turn = plugins.changing.lock().await;
    let image = shared.image.load_full();
    let version = request
        .version
        .as_ref()
        .map(|version| version.as_str().to_owned());
    if let Some(plugin) = image.plugin(&request.name) {
        response.users = users(&image, plugin, version.as_deref());
    }
    let remove = Command::RemovePlugin {
        name: request.name.as_str().to_owned(),
        version,
        validate_only: request.validate_only,
    };
    let reply = command(shared, remove, timeout(request.timeout_ms)).await;
    let Reply::PluginRemoved(gone) = reply.map_err(|error| agreed(&error))? else {
        return Ok(());
    };
    response.removed_versions = gone.iter().map(|version| Text::from(&**version)).collect();
    if request.validate_only {
        return Ok(());
    }
    let versions = image.plugin(&request.name).map(|plugin| &plugin.versions);
    let digests: Vec<[u8; 32]> = gone
        .iter()
        .filter_map(|version| Some(versions?.get(version)?.digest))
        .collect();
    aside(plugins, move |plugins| {
        plugins.forget(&digests);
        Ok(())
    })
    .await
}

/// What uses a version of a plugin, or any of them.
fn users(image: &Image, plugin: &Plugin, version: Option<&str>) -> Vec<PluginPlace> {
    places(image, |attachment| {
        plugin.versions.keys().any(|known| {
            let is_active = plugin.active.as_ref() == Some(known);
            version.is_none_or(|version| version == &**known)
                && attachment.uses(&plugin.name, known, is_active)
        })
    })
}

fn places(image: &Image, wanted: impl Fn(&weir_meta::Attachment) -> bool) -> Vec<PluginPlace> {
    image
        .attachments()
        .iter()
        .filter(|attachment| wanted(attachment))
        .map(|attachment| Spot::from(&attachment.place).told(0))
        .collect()
}
