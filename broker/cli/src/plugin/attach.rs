//! `weir plugin attach` and `detach`: edits of a topic's `weir.ingest`, `weir.ingest.shadow` and
//! `weir.partitioner`. The broker runs the plugin's `configure` before it takes them.

use super::{refusal, words};
use crate::args::JsonArg;
use crate::failure::{Failure, Outcome};
use crate::prompt::Consent;
use crate::{names, output};
use clap::Args;
use serde_json::json;
use weir_client::admin::{Attach, AttachPlace, Edited, PluginDescription, world_name};
use weir_client::{AdminError, Client};
use weir_plugin::{Link, Policy, World};

/// `weir plugin attach`.
#[derive(Args, Debug)]
pub(crate) struct AttachArgs {
    /// The plugin; without a version it follows the active one
    #[arg(value_name = "NAME[@VERSION]")]
    plugin: String,
    /// The topic: a transform changes its records as they come in, a partitioner chooses their
    /// partitions
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// A parameter; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Only run it beside what is attached, and count the records it makes something else of
    #[arg(long)]
    shadow: bool,
    /// What becomes of records that it fails on [default: as it is, at first stop]
    #[arg(long, value_name = "stop|skip|dead-letter:TOPIC", value_parser = policy)]
    policy: Option<Policy>,
    /// Put it before the plugins that are attached already, not behind them
    #[arg(long)]
    first: bool,
    /// Let the broker check it, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// `weir plugin detach`.
#[derive(Args, Debug)]
pub(crate) struct DetachArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    plugin: String,
    /// The topic
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Only end its running beside
    #[arg(long)]
    shadow: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// Reads a policy.
pub(crate) fn policy(text: &str) -> Result<Policy, String> {
    text.parse::<Policy>().map_err(|error| error.to_string())
}

/// Runs `weir plugin attach`.
pub(super) async fn attach(client: &Client, args: AttachArgs) -> Outcome {
    let link = words::link(&args.plugin, &args.set)?;
    names::topic(client, &args.topic).await?;
    let found = client.admin().describe_plugin(&link.plugin.name).await;
    let plugin = match found {
        Ok((plugin, _)) => plugin,
        Err(error) => return Err(refusal::plugin(client, &link.plugin.name, &error).await),
    };
    let place = place_for(&plugin, &link, args.shadow)?;
    let attach = Attach {
        link,
        place,
        policy: args.policy.clone(),
        first: args.first,
    };
    let edited = client
        .admin()
        .attach(&args.topic, &attach, args.dry_run)
        .await;
    let edited = edited.map_err(|error| {
        refusal::admin(&error).and_advise(&format!(
            "`weir plugin describe {}` shows its parameters",
            plugin.name
        ))
    })?;
    tell(&edited, &args.topic, args.dry_run, args.json)
}

/// Where a plugin of this world can be attached to a topic.
fn place_for(plugin: &PluginDescription, link: &Link, shadow: bool) -> Outcome<AttachPlace> {
    let wanted = link.plugin.version.as_ref().or(plugin.active.as_ref());
    let Some(wanted) = wanted else {
        return Err(
            Failure::usage(format!("no version of `{}` is active", plugin.name))
                .advise("name one (NAME@VERSION), or `weir plugin activate` one"),
        );
    };
    let version = plugin.versions.iter().find(|v| v.version == *wanted);
    let Some(version) = version else {
        let there: Vec<&str> = plugin.versions.iter().map(|v| v.version.as_str()).collect();
        return Err(
            Failure::usage(format!("`{}` has no version {wanted}", plugin.name))
                .advise(format!("there are {}", there.join(", "))),
        );
    };
    match version.world {
        Some(World::Transform) if shadow => Ok(AttachPlace::Shadow),
        Some(World::Transform) => Ok(AttachPlace::Ingest),
        Some(World::Partitioner) if !shadow => Ok(AttachPlace::Partitioner),
        Some(World::Partitioner) => Err(Failure::usage("a partitioner cannot run beside")),
        world => Err(Failure::usage(format!(
            "`{}` is a plugin of world {}, which topics have no place for",
            plugin.name,
            world_name(world)
        ))
        .advise("`weir consume --decode` uses decoders")),
    }
}

/// Runs `weir plugin detach`.
pub(super) async fn detach(client: &Client, args: DetachArgs) -> Outcome {
    let plugin = words::plugin(&args.plugin)?;
    names::topic(client, &args.topic).await?;
    let places = if args.shadow {
        &[AttachPlace::Shadow][..]
    } else {
        &[
            AttachPlace::Ingest,
            AttachPlace::Partitioner,
            AttachPlace::Shadow,
        ][..]
    };
    let (place, looked) = find(client, &args.topic, &plugin.name, places).await?;
    let breaks = match place {
        AttachPlace::Ingest => "records that come in from then on are not changed by it",
        AttachPlace::Partitioner => {
            "from then on clients choose partitions by keys; a key may go to another one than before"
        }
        AttachPlace::Shadow => "only its counting ends",
    };
    let deed = format!(
        "detach `{}` from {} of topic `{}` ({breaks})",
        plugin.name, looked.setting, args.topic
    );
    if !args.consent.given(&deed)? {
        if args.json.json {
            return output::json(&edited_json(&looked, &args.topic, false));
        }
        return Ok(());
    }
    let admin = client.admin();
    let edited = admin.detach(&args.topic, &plugin.name, place, false).await;
    let edited = edited.map_err(|error| refusal::admin(&error))?;
    tell(&edited, &args.topic, false, args.json)
}

/// The first of these places where it is attached, with what taking it off would do.
async fn find(
    client: &Client,
    topic: &str,
    plugin: &str,
    places: &[AttachPlace],
) -> Outcome<(AttachPlace, Edited)> {
    let mut attached = Vec::new();
    for place in places {
        match client.admin().detach(topic, plugin, *place, true).await {
            Ok(edited) => return Ok((*place, edited)),
            Err(AdminError::NotThere { .. }) => {
                let chain = client.admin().attached(topic, *place).await;
                let chain = chain.map_err(|error| refusal::admin(&error))?;
                attached.extend(chain.links.into_iter().map(|link| link.plugin.name));
            }
            Err(error) => return Err(refusal::admin(&error)),
        }
    }
    let failure = Failure::new(
        crate::failure::Exit::Refused,
        format!("plugin `{plugin}` is not attached to topic `{topic}`"),
    );
    Err(if attached.is_empty() {
        failure.advise("no plugin is")
    } else {
        failure.advise(format!("attached are {}", attached.join(", ")))
    })
}

fn tell(edited: &Edited, topic: &str, dry_run: bool, json: JsonArg) -> Outcome {
    if json.json {
        return output::json(&edited_json(edited, topic, !dry_run));
    }
    let verb = if dry_run { "would set" } else { "set" };
    let after = if edited.after.is_empty() {
        "nothing".to_owned()
    } else {
        edited.after.to_string()
    };
    output::line(format_args!(
        "{verb} {} of topic `{topic}` to {after}",
        edited.setting
    ))?;
    if edited.before.is_empty() {
        return Ok(());
    }
    output::line(format_args!("before it was {}", edited.before))
}

fn edited_json(edited: &Edited, topic: &str, changed: bool) -> serde_json::Value {
    json!({
        "topic": topic,
        "setting": edited.setting,
        "before": edited.before.to_string(),
        "after": edited.after.to_string(),
        "changed": changed,
    })
}
