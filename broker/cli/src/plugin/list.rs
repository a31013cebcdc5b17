//! `weir plugin list` and `describe`: which plugins there are, where they work and what they did
//! there. It only tells.

use super::{refusal, words};
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::table::Table;
use crate::{human, output};
use clap::Args;
use serde_json::{Value, json};
use weir_client::Client;
use weir_client::admin::{PluginAttachment, PluginDescription, PluginUsage, world_name};

/// `weir plugin list`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    json: JsonArg,
}

/// `weir plugin describe`.
#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    plugin: String,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs `weir plugin list`.
pub(super) async fn list(client: &Client, args: &ListArgs) -> Outcome {
    let report = client.admin().describe_plugins(&[]).await;
    let report = report.map_err(|error| refusal::admin(&error))?;
    if args.json.json {
        let rows = report.plugins.iter().map(plugin_json);
        return output::json(&rows.collect::<Vec<_>>());
    }
    if report.plugins.is_empty() {
        eprintln!("weir: there are no plugins yet; `weir plugin deploy FILE.wasm` uploads one");
        return Ok(());
    }
    let mut table = Table::new(&["PLUGIN", "WORLD", "ACTIVE", "VERSIONS", "PLACES", "SUMMARY"]);
    for plugin in &report.plugins {
        let shown = shown_version(plugin);
        let places = report
            .attachments
            .iter()
            .filter(|at| at.plugin == plugin.name);
        table.row([
            plugin.name.clone(),
            shown
                .map_or("-", |version| world_name(version.world))
                .to_owned(),
            plugin.active.clone().unwrap_or_else(|| "-".to_owned()),
            plugin.versions.len().to_string(),
            places.count().to_string(),
            shown.map_or_else(String::new, |version| human::name(&version.summary)),
        ]);
    }
    output::table(&table)
}

/// The active version, or the newest where none is active.
fn shown_version(plugin: &PluginDescription) -> Option<&weir_client::admin::PluginVersion> {
    let is_active = |version: &&weir_client::admin::PluginVersion| {
        plugin.active.as_ref() == Some(&version.version)
    };
    plugin
        .versions
        .iter()
        .find(is_active)
        .or(plugin.versions.last())
}

/// Runs `weir plugin describe`.
pub(super) async fn describe(client: &Client, args: &DescribeArgs) -> Outcome {
    let name = words::plugin(&args.plugin)?.name;
    let found = client.admin().describe_plugin(&name).await;
    let (plugin, attachments) = match found {
        Ok(found) => found,
        Err(error) => return Err(refusal::plugin(client, &name, &error).await),
    };
    if args.json.json {
        let mut told = plugin_json(&plugin);
        if let Some(fields) = told.as_object_mut() {
            let rows = attachments.iter().map(attachment_json);
            fields.insert("attachments".into(), rows.collect());
        }
        return output::json(&told);
    }
    print_versions(&plugin)?;
    print_attachments(&attachments)
}

fn print_versions(plugin: &PluginDescription) -> Outcome {
    if let Some(shown) = shown_version(plugin) {
        output::line(format_args!(
            "{}: {}",
            plugin.name,
            human::name(&shown.summary)
        ))?;
        if !shown.parameters.is_empty() {
            output::line(format_args!("\nParameters of {}:", shown.version))?;
        }
        for parameter in &shown.parameters {
            let line = words::parameter_line(parameter);
            output::line(format_args!("  {}", human::name(&line)))?;
        }
    }
    output::line("")?;
    let mut table = Table::new(&["VERSION", "STATE", "WORLD", "BYTES", "DEPLOYED", "SHA-256"]);
    for version in &plugin.versions {
        let here = Some(&version.version);
        let state = match &version.failure {
            Some(_) => "broken",
            None if plugin.active.as_ref() == here => "active",
            None if plugin.previous.as_ref() == here => "before",
            None => "",
        };
        table.row([
            version.version.clone(),
            state.to_owned(),
            world_name(version.world).to_owned(),
            version.size_bytes.to_string(),
            version
                .deployed_at
                .map_or_else(String::new, |time| human::time(time.0)),
            words::hex(&version.digest).chars().take(16).collect(),
        ]);
    }
    output::table(&table)?;
    for version in &plugin.versions {
        if let Some(failure) = &version.failure {
            let text = human::name(failure);
            output::line(format_args!("{} cannot run here: {text}", version.version))?;
        }
    }
    Ok(())
}

fn print_attachments(attachments: &[PluginAttachment]) -> Outcome {
    if attachments.is_empty() {
        return output::line("\nNothing uses it.");
    }
    output::line("")?;
    let headings = [
        "PLACE",
        "VERSION",
        "IN",
        "OUT",
        "BATCHES",
        "us/BATCH",
        "FUEL/RECORD",
        "FAILED",
    ];
    let mut table = Table::new(&headings);
    for at in attachments {
        let usage = &at.usage;
        let version = at.version.clone().unwrap_or_else(|| "none".to_owned());
        table.row([
            at.place.to_string(),
            if at.pinned {
                format!("{version} (pinned)")
            } else {
                version
            },
            usage.records_in.to_string(),
            usage.records_out.to_string(),
            usage.batches.to_string(),
            share(usage.time_us, usage.batches),
            share(usage.fuel, usage.records_in),
            failed(usage).to_string(),
        ]);
    }
    output::table(&table)?;
    for at in attachments {
        let usage = &at.usage;
        output::line(format_args!(
            "\n{}: {}, policy {}",
            at.place, at.link, at.policy
        ))?;
        let said = [
            ("refused", usage.refused),
            ("trapped", usage.trapped),
            ("over budget", usage.over_budget),
            ("invalid", usage.invalid),
            ("left out", usage.skipped),
            ("dead-lettered", usage.dead_lettered),
            ("differing", usage.differences),
            ("from cache", usage.cached),
        ];
        let said = said.iter().filter(|(_, number)| *number > 0);
        let said: Vec<String> = said
            .map(|(what, number)| format!("{number} {what}"))
            .collect();
        if !said.is_empty() {
            output::line(format_args!("  {}", said.join(", ")))?;
        }
        if let Some(failure) = &at.failure {
            let when = at
                .failed_at
                .map_or_else(String::new, |time| human::time(time.0));
            output::line(format_args!(
                "  last failure {when}: {}",
                human::name(failure)
            ))?;
        }
    }
    Ok(())
}

/// So much of one for each of the other.
fn share(sum: i64, parts: i64) -> String {
    match sum.checked_div(parts) {
        Some(share) => share.to_string(),
        None => "-".to_owned(),
    }
}

const fn failed(usage: &PluginUsage) -> i64 {
    usage.refused + usage.trapped + usage.over_budget + usage.invalid
}

fn plugin_json(plugin: &PluginDescription) -> Value {
    json!({
        "name": plugin.name,
        "active": plugin.active,
        "previous": plugin.previous,
        "versions": plugin.versions.iter().map(words::version_json).collect::<Vec<_>>(),
    })
}

fn attachment_json(at: &PluginAttachment) -> Value {
    let usage = &at.usage;
    json!({
        "place": words::place_json(&at.place),
        "version": at.version,
        "pinned": at.pinned,
        "link": at.link,
        "policy": at.policy,
        "failedAt": at.failed_at.map(|time| time.0),
        "failure": at.failure,
        "metrics": {
            "batches": usage.batches,
            "recordsIn": usage.records_in,
            "recordsOut": usage.records_out,
            "bytesIn": usage.bytes_in,
            "bytesOut": usage.bytes_out,
            "timeUs": usage.time_us,
            "fuel": usage.fuel,
            "memoryBytesMax": usage.memory_bytes_max,
            "refused": usage.refused,
            "trapped": usage.trapped,
            "overBudget": usage.over_budget,
            "invalid": usage.invalid,
            "skipped": usage.skipped,
            "deadLettered": usage.dead_lettered,
            "differences": usage.differences,
            "cached": usage.cached,
        },
    })
}
