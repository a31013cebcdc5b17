//! `weir plugin logs`: what plugins say, once or as it comes. It prints lines as they are told, in
//! their order, and says where some are missing.

use super::{refusal, words};
use crate::failure::{Failure, Outcome};
use crate::{human, output};
use clap::Args;
use serde_json::json;
use std::time::Duration;
use weir_client::Client;
use weir_client::admin::{LogPage, LogQuery, PluginLogLine, log_level, log_level_name};

/// How long one question waits for a line.
const WAIT: Duration = Duration::from_secs(10);

/// `weir plugin logs`.
#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// The plugins [default: all]
    #[arg(value_name = "NAME")]
    plugins: Vec<String>,
    /// The lowest level shown
    #[arg(
        long,
        value_name = "trace|debug|info|warn|error",
        default_value = "info"
    )]
    level: String,
    /// Wait for further lines, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Print each line as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: LogsArgs) -> Outcome {
    let min_level = log_level(&args.level).ok_or_else(|| {
        Failure::usage(format!("`{}` is no level", args.level))
            .advise("there are trace, debug, info, warn and error")
    })?;
    let mut query = LogQuery {
        min_level,
        ..LogQuery::default()
    };
    for plugin in &args.plugins {
        query.plugins.push(words::plugin(plugin)?.name);
    }
    let mut any = false;
    loop {
        let page = client.admin().plugin_logs(&query).await;
        let page = page.map_err(|error| refusal::admin(&error))?;
        any |= !page.lines.is_empty();
        print(&page, args.json)?;
        let is_end = page.lines.is_empty();
        query.cursor = page.next.or(query.cursor);
        if is_end && !args.follow {
            break;
        }
        if is_end {
            query.max_wait = WAIT;
        }
    }
    if !any {
        eprintln!("weir: there are no such lines");
    }
    Ok(())
}

fn print(page: &LogPage, json: bool) -> Outcome {
    if page.missed > 0 {
        eprintln!("weir: {} lines are gone", human::count(page.missed));
    }
    for line in &page.lines {
        if json {
            output::line(line_json(line))?;
        } else {
            output::line(line_text(line))?;
        }
    }
    Ok(())
}

fn line_text(line: &PluginLogLine) -> String {
    let place = match line.partition {
        Some(partition) => format!("{}/{partition}", line.place),
        None => line.place.to_string(),
    };
    format!(
        "{} {:5} {}@{} ({place}): {}",
        human::time(line.time.0),
        log_level_name(line.level),
        line.plugin,
        line.version,
        human::name(&line.message)
    )
}

fn line_json(line: &PluginLogLine) -> serde_json::Value {
    json!({
        "time": line.time.0,
        "level": log_level_name(line.level),
        "plugin": line.plugin,
        "version": line.version,
        "place": words::place_json(&line.place),
        "partition": line.partition.map(|partition| partition.0),
        "message": line.message,
    })
}
