//! `weir plugin deploy`, `activate`, `rollback` and `remove`: which versions there are, and which
//! of them counts. The broker decides what may be; here is asked and told.

use super::{refusal, words};
use crate::args::JsonArg;
use crate::failure::{Exit, Failure, Outcome};
use crate::prompt::Consent;
use crate::{human, output};
use bytes::Bytes;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use weir_client::Client;
use weir_client::admin::{Activation, DeployOptions, DeployedPlugin, Removal, world_name};

/// `weir plugin deploy`.
#[derive(Args, Debug)]
pub(crate) struct DeployArgs {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Keep the active version; `weir plugin activate` changes it later
    #[arg(long)]
    no_activate: bool,
    /// Let the broker check and compile it, and keep nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// `weir plugin activate`.
#[derive(Args, Debug)]
pub(crate) struct ActivateArgs {
    /// Plugin and version
    #[arg(value_name = "NAME@VERSION")]
    plugin: String,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// `weir plugin rollback`.
#[derive(Args, Debug)]
pub(crate) struct RollbackArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    plugin: String,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// `weir plugin remove`.
#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    /// The plugin, or one version of it
    #[arg(value_name = "NAME[@VERSION]")]
    plugin: String,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs `weir plugin deploy`.
pub(super) async fn deploy(client: &Client, args: DeployArgs) -> Outcome {
    let component = Bytes::from(words::component(&args.file)?);
    let options = DeployOptions {
        activate: !args.no_activate,
        validate_only: args.dry_run,
    };
    let deployed = client.admin().deploy_plugin(component, options).await;
    let deployed = deployed.map_err(|error| {
        refusal::admin(&error).and_advise("`weir plugin check FILE` looks at it without a broker")
    })?;
    tell_deployed(&deployed, &args)
}

fn tell_deployed(deployed: &DeployedPlugin, args: &DeployArgs) -> Outcome {
    let version = &deployed.version;
    if args.json.json {
        let mut told = words::version_json(version);
        if let Some(fields) = told.as_object_mut() {
            fields.insert("name".into(), json!(deployed.name));
            fields.insert("active".into(), json!(deployed.active));
            fields.insert("alreadyDeployed".into(), json!(deployed.already_deployed));
            fields.insert("deployed".into(), json!(!args.dry_run));
        }
        return output::json(&told);
    }
    let name = format!("{}@{}", deployed.name, version.version);
    let size = human::bytes(u64::try_from(version.size_bytes).unwrap_or(0));
    let what = format!("{name} ({}, {size})", world_name(version.world));
    match (args.dry_run, deployed.already_deployed) {
        (true, _) => output::line(format_args!("would deploy {what} (nothing was done)"))?,
        (false, true) => output::line(format_args!("{what} was deployed already"))?,
        (false, false) => output::line(format_args!("deployed {what}"))?,
    }
    match &deployed.active {
        Some(active) if *active == version.version => output::line(format_args!(
            "it is the active version of `{}`",
            deployed.name
        )),
        Some(active) => output::line(format_args!(
            "the active version is still {active}; `weir plugin activate {name}` changes that"
        )),
        None => output::line(format_args!(
            "no version is active; `weir plugin activate {name}` makes it so"
        )),
    }
}

/// Runs `weir plugin activate`.
pub(super) async fn activate(client: &Client, args: ActivateArgs) -> Outcome {
    let (name, version) = words::version(&args.plugin)?;
    change(client, &name, Some(&version), args.dry_run, args.json).await
}

/// Runs `weir plugin rollback`.
pub(super) async fn rollback(client: &Client, args: RollbackArgs) -> Outcome {
    let plugin = words::plugin(&args.plugin)?;
    if plugin.version.is_some() {
        return Err(Failure::usage("a rollback goes to the version before")
            .advise(format!("`weir plugin activate {plugin}` goes to this one")));
    }
    change(client, &plugin.name, None, args.dry_run, args.json).await
}

async fn change(
    client: &Client,
    name: &str,
    version: Option<&str>,
    dry_run: bool,
    json: JsonArg,
) -> Outcome {
    let changed = client.admin().activate_plugin(name, version, dry_run).await;
    let changed = match changed {
        Ok(changed) => changed,
        Err(error) => return Err(refusal::plugin(client, name, &error).await),
    };
    if json.json {
        return output::json(&json!({
            "name": name,
            "active": changed.active,
            "previous": changed.previous,
            "followers": changed.followers.iter().map(words::place_json).collect::<Vec<_>>(),
            "changed": !dry_run,
        }));
    }
    tell_change(name, &changed, dry_run)
}

fn tell_change(name: &str, changed: &Activation, dry_run: bool) -> Outcome {
    let none = "none".to_owned();
    let (active, previous) = (&changed.active, &changed.previous);
    let (active, previous) = (
        active.as_ref().unwrap_or(&none),
        previous.as_ref().unwrap_or(&none),
    );
    let verb = if dry_run { "would make" } else { "made" };
    let done = if dry_run { " (nothing was done)" } else { "" };
    output::line(format_args!(
        "{verb} {name}@{active} the active version (before: {previous}){done}"
    ))?;
    if changed.followers.is_empty() {
        return output::line("nothing follows it");
    }
    output::line(format_args!(
        "it is followed by {}",
        words::places(&changed.followers)
    ))
}

/// Runs `weir plugin remove`.
pub(super) async fn remove(client: &Client, args: RemoveArgs) -> Outcome {
    let plugin = words::plugin(&args.plugin)?;
    let (name, version) = (plugin.name.as_str(), plugin.version.as_deref());
    let admin = client.admin();
    // Tells of what it would break before anybody is asked.
    let looked = match admin.remove_plugin(name, version, true).await {
        Ok(looked) => looked,
        Err(error) => return Err(refusal::plugin(client, name, &error).await),
    };
    refuse_used(&args.plugin, &looked)?;
    let versions = looked.removed.join(", ");
    let deed = format!("remove plugin `{name}`, version {versions}, which nothing uses");
    let removed = if args.consent.given(&deed)? {
        let removed = admin.remove_plugin(name, version, false).await;
        let removed = removed.map_err(|error| refusal::admin(&error))?;
        refuse_used(&args.plugin, &removed)?;
        removed.removed
    } else {
        Vec::new()
    };
    if args.json.json {
        return output::json(&json!({ "name": name, "removed": removed }));
    }
    for version in &removed {
        output::line(format_args!("removed {name}@{version}"))?;
    }
    Ok(())
}

fn refuse_used(plugin: &str, looked: &Removal) -> Outcome {
    if looked.users.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        format!(
            "plugin `{plugin}` is used by {}",
            words::places(&looked.users)
        ),
    )
    .advise(
        "detach it from topics (`weir plugin detach`), delete the views and jobs \
         (`weir view delete`, `weir job delete`), or activate another version",
    ))
}
