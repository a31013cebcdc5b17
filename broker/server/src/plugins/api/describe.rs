//! DescribePlugins: what is deployed, where it works and what it did there.

use super::{Refused, aside, may, split};
use crate::plugins::counters::{PlaceKind, Spot};
use crate::plugins::{Plugins, describe_component};
use crate::session::Shared;
use bytes::Bytes;
use std::sync::Arc;
use weir_meta::{Attachment, Image, Place, Plugin, PluginVersion};
use weir_node::authorizer::Operation;
use weir_plugin::Link;
use weir_types::{Principal, TimestampMs};
use weir_wire::messages::{
    DescribePluginsRequest, DescribePluginsResponse, DescribedPlugin, PluginAttachment,
    PluginVersion as ToldVersion,
};
use weir_wire::{Response, Text};

/// Tells plugins.
pub(crate) async fn describe(
    shared: Arc<Shared>,
    who: Principal,
    request: DescribePluginsRequest,
) -> Response {
    let mut response = DescribePluginsResponse::default();
    let done = describe_into(&shared, &who, &request, &mut response).await;
    (response.error_code, response.error_message) = split(done.err());
    response.into()
}

async fn describe_into(
    shared: &Arc<Shared>,
    who: &Principal,
    request: &DescribePluginsRequest,
    response: &mut DescribePluginsResponse,
) -> Result<(), Refused> {
    may(who, Operation::Describe)?;
    let image = shared.image.load_full();
    let names = request.names.clone();
    // Parameters of a chain may hold what only those may see who set them.
    let attachments = request.include_attachments && may(who, Operation::Alter).is_ok();
    let told = aside(&shared.plugins, move |plugins| {
        let wanted = |name: &str| names.is_empty() || names.iter().any(|n| **n == *name);
        let all = image.plugins().filter(|plugin| wanted(&plugin.name));
        let told: Vec<DescribedPlugin> = all.map(|plugin| tell(plugins, plugin)).collect();
        let mut attached = Vec::new();
        if attachments {
            for attachment in image.attachments() {
                tell_attached(plugins, &image, &attachment, wanted, &mut attached);
            }
            attached.sort_by(|a, b| {
                let key = |one: &PluginAttachment| {
                    (
                        one.place.place,
                        one.place.name.clone(),
                        one.place.link_index,
                    )
                };
                key(a).cmp(&key(b))
            });
            plugins.tidy(&image);
        }
        Ok((told, attached))
    });
    (response.plugins, response.attachments) = told.await?;
    Ok(())
}

fn tell(plugins: &Plugins, plugin: &Plugin) -> DescribedPlugin {
    let mut versions: Vec<(&Arc<str>, &PluginVersion)> = plugin.versions.iter().collect();
    versions.sort_by_key(|(_, version)| version.deployed_at);
    let versions =
        versions
            .into_iter()
            .map(|(name, version)| match plugins.component(&version.digest) {
                Ok(component) => describe_component(&component, version.deployed_at),
                Err(failure) => ToldVersion {
                    version: Text::from(&**name),
                    world: plugin.world.code(),
                    digest: Bytes::copy_from_slice(&version.digest),
                    size_bytes: i64::try_from(version.size_bytes).unwrap_or(i64::MAX),
                    deployed_at_ms: version.deployed_at,
                    failure: Some(Text::from(failure)),
                    ..Default::default()
                },
            });
    DescribedPlugin {
        name: Text::from(&*plugin.name),
        active_version: plugin.active.as_deref().map(Text::from),
        previous_version: plugin.previous.as_deref().map(Text::from),
        versions: versions.collect(),
    }
}

fn tell_attached(
    plugins: &Plugins,
    image: &Image,
    attachment: &Attachment,
    wanted: impl Fn(&str) -> bool,
    all: &mut Vec<PluginAttachment>,
) {
    let spot = Spot::from(&attachment.place);
    for (index, link) in attachment.chain.links.iter().enumerate() {
        if wanted(&link.plugin.name) {
            all.push(tell_link(plugins, image, attachment, &spot, index, link));
        }
    }
}

fn tell_link(
    plugins: &Plugins,
    image: &Image,
    attachment: &Attachment,
    spot: &Spot,
    index: usize,
    link: &Link,
) -> PluginAttachment {
    let name = &link.plugin.name;
    let counters = plugins.counters.of(spot, index, name);
    let version = image
        .plugin(name)
        .and_then(|plugin| plugin.version(link.plugin.version.as_deref()));
    let runs = version.map(|(_, version)| plugins.component(&version.digest));
    let broken = match &runs {
        None => Some("it is not deployed".to_owned()),
        Some(Err(reason)) => Some(reason.clone()),
        Some(Ok(_)) => None,
    };
    let last = counters.last_failure();
    PluginAttachment {
        place: spot.told(index),
        plugin: Text::from(name.as_str()),
        version: version
            .filter(|_| broken.is_none())
            .map(|(version, _)| Text::from(&**version)),
        pinned: link.plugin.version.is_some(),
        link: Text::from(link.to_string()),
        policy: Text::from(policy(&attachment.place, spot)),
        metrics: counters.told(),
        failed_at_ms: last.as_ref().map_or(TimestampMs(-1), |(at, _)| *at),
        failure: broken
            .map(Text::from)
            .or_else(|| last.map(|(_, text)| Text::from(&*text))),
    }
}

fn policy(place: &Place, spot: &Spot) -> String {
    match place {
        Place::View(topic) => topic.view.as_ref().map(|view| view.policy.to_string()),
        Place::Job(job) => Some(job.policy.to_string()),
        Place::Ingest(topic) => topic.overrides.get("weir.ingest.policy").cloned(),
        Place::Shadow(_) | Place::Partitioner(_) => Some(String::new()),
    }
    .unwrap_or_else(|| {
        let default = spot.place == PlaceKind::Ingest;
        if default { "stop" } else { "" }.to_owned()
    })
}
