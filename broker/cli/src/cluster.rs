//! `weir cluster`: who belongs to the cluster. Asks and tells.

use crate::args::JsonArg;
use crate::connect::ConnectArgs;
use crate::failure::Outcome;
use crate::interrupt::Interrupt;
use crate::table::Table;
use crate::{human, output, waiting};
use clap::{Args, Subcommand};
use serde_json::json;
use weir_client::Client;
use weir_client::admin::{ClusterDescription, LogDirDescription};

/// `weir cluster`.
#[derive(Args, Debug)]
#[command(after_help = "Example: weir cluster describe --json")]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Subcommand, Debug)]
enum ClusterCommand {
    /// Show the brokers, who takes changes, and what lies on their disks
    Describe(JsonArg),
}

/// Runs the command.
pub(crate) async fn run(args: ClusterArgs, interrupt: &Interrupt) -> Outcome {
    let ClusterCommand::Describe(json) = args.command;
    let client = args.connect.connect(interrupt).await?;
    interrupt
        .or(waiting::saying(
            "the broker's answer",
            describe(&client, json),
        ))
        .await
}

async fn describe(client: &Client, json: JsonArg) -> Outcome {
    let admin = client.admin();
    let cluster = admin.describe_cluster().await?;
    let mut disks = Vec::new();
    for broker in &cluster.brokers {
        // Disks are for orientation: whoever may not see them still sees the brokers.
        let folders = admin
            .describe_log_dirs(broker.id, None)
            .await
            .unwrap_or_else(|error| {
                tracing::info!(%error, "the broker does not tell what is on its disk");
                Vec::new()
            });
        disks.push(folders);
    }
    if json.json {
        print_json(&cluster, &disks)
    } else {
        print(&cluster, &disks)
    }
}

/// Bytes of all replicas in some folders.
fn log_bytes(folders: &[LogDirDescription]) -> i64 {
    folders
        .iter()
        .flat_map(|folder| &folder.replicas)
        .map(|replica| replica.size_bytes)
        .sum()
}

fn print_json(cluster: &ClusterDescription, disks: &[Vec<LogDirDescription>]) -> Outcome {
    let brokers = cluster.brokers.iter().zip(disks).map(|(broker, folders)| {
        let folders = folders.iter().map(|folder| {
            json!({
                "path": folder.path,
                "error": folder.error.as_ref().map(ToString::to_string),
                "totalBytes": folder.total_bytes,
                "usableBytes": folder.usable_bytes,
                "replicas": folder.replicas.len(),
                "logBytes": log_bytes(std::slice::from_ref(folder)),
            })
        });
        json!({
            "id": broker.id.0,
            "host": broker.host,
            "port": broker.port,
            "rack": broker.rack,
            "fenced": broker.is_fenced,
            "controller": cluster.controller == Some(broker.id),
            "logDirs": folders.collect::<Vec<_>>(),
        })
    });
    output::json(&json!({
        "cluster": cluster.id,
        "controller": cluster.controller.map(|id| id.0),
        "brokers": brokers.collect::<Vec<_>>(),
    }))
}

fn print(cluster: &ClusterDescription, disks: &[Vec<LogDirDescription>]) -> Outcome {
    output::line(format_args!("Cluster {}", cluster.id))?;
    let mut table = Table::new(&[
        "BROKER",
        "ADDRESS",
        "STATE",
        "PARTITIONS",
        "LOG",
        "FREE",
        "FOLDER",
    ]);
    let size = |bytes: i64| u64::try_from(bytes).map_or_else(|_| "-".to_owned(), human::bytes);
    for (broker, folders) in cluster.brokers.iter().zip(disks) {
        let state = match (broker.is_fenced, cluster.controller == Some(broker.id)) {
            (true, _) => "fenced",
            (false, true) => "controller",
            (false, false) => "serving",
        };
        let replicas: usize = folders.iter().map(|folder| folder.replicas.len()).sum();
        let free = folders.first().and_then(|folder| folder.usable_bytes);
        let paths: Vec<&str> = folders.iter().map(|folder| folder.path.as_str()).collect();
        table.row([
            broker.id.to_string(),
            format!("{}:{}", broker.host, broker.port),
            state.to_owned(),
            replicas.to_string(),
            size(log_bytes(folders)),
            free.map_or_else(|| "-".to_owned(), size),
            paths.join(", "),
        ]);
    }
    output::table(&table)
}
