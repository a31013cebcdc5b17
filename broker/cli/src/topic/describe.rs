//! `weir topic describe`: a topic's partitions, sizes and configs on one page.

use super::offsets::{self, Ends};
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::table::Table;
use crate::{human, names, output};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_client::admin::{ConfigEntry, ConfigResource, ConfigSource, TopicDescription};
use weir_client::{BrokerId, Client, TopicPartition};

/// `weir topic describe`.
#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// Their names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Also the configs that have their defaults
    #[arg(long)]
    all_configs: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// Everything that is shown of one topic.
struct Page {
    topic: TopicDescription,
    ends: Vec<Ends>,
    /// Bytes on the leader's disk by partition, where told.
    sizes: BTreeMap<i32, i64>,
    configs: Vec<ConfigEntry>,
}

/// Runs the command.
pub(crate) async fn run(client: &Client, args: DescribeArgs) -> Outcome {
    let mut pages = Vec::new();
    for name in &args.topics {
        pages.push(page(client, name, args.all_configs).await?);
    }
    if args.json.json {
        return output::json(&pages.iter().map(to_json).collect::<Vec<_>>());
    }
    for (index, page) in pages.iter().enumerate() {
        if index > 0 {
            output::line("")?;
        }
        print(page)?;
    }
    Ok(())
}

async fn page(client: &Client, name: &str, all_configs: bool) -> Outcome<Page> {
    let topic = names::topic(client, name).await?;
    let ends = offsets::ends(client, &topic).await?;
    let admin = client.admin();
    let resource = ConfigResource::topic(name);
    let configs = admin.describe_configs(&resource, None).await;
    let mut configs = configs.map_err(|error| names::failure(&error, name))?;
    configs.retain(|config| all_configs || config.source == ConfigSource::Topic);
    configs.sort_by(|one, other| one.name.cmp(&other.name));
    let sizes = sizes(client, &topic).await;
    Ok(Page {
        topic,
        ends,
        sizes,
        configs,
    })
}

/// Sizes are for orientation: a client that may not see them still sees the rest.
async fn sizes(client: &Client, topic: &TopicDescription) -> BTreeMap<i32, i64> {
    let mut by_leader: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
    for partition in &topic.partitions {
        if let Some(leader) = partition.leader {
            let place = TopicPartition::new(topic.name.as_str(), partition.index.0);
            by_leader.entry(leader).or_default().push(place);
        }
    }
    let mut sizes = BTreeMap::new();
    for (leader, partitions) in by_leader {
        match client
            .admin()
            .describe_log_dirs(leader, Some(&partitions))
            .await
        {
            Ok(folders) => {
                for replica in folders.into_iter().flat_map(|folder| folder.replicas) {
                    sizes.insert(replica.partition.partition.0, replica.size_bytes);
                }
            }
            Err(error) => tracing::info!(%error, "the broker does not tell sizes"),
        }
    }
    sizes
}

fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|id| id.0).collect()
}

fn to_json(page: &Page) -> Value {
    let partitions = page
        .topic
        .partitions
        .iter()
        .zip(&page.ends)
        .map(|(partition, ends)| {
            json!({
                "partition": partition.index.0,
                "leader": partition.leader.map(|id| id.0),
                "epoch": partition.leader_epoch.0,
                "replicas": ids(&partition.replicas),
                "isr": ids(&partition.isr),
                "start": ends.start,
                "end": ends.end,
                "bytes": page.sizes.get(&partition.index.0),
            })
        });
    let configs = page.configs.iter().map(|config| {
        json!({
            "name": config.name,
            "value": config.value,
            "source": source(config.source),
            "documentation": config.documentation,
        })
    });
    json!({
        "topic": page.topic.name,
        "id": page.topic.id.to_string(),
        "internal": page.topic.is_internal,
        "partitions": partitions.collect::<Vec<_>>(),
        "configs": configs.collect::<Vec<_>>(),
    })
}

const fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::Broker | ConfigSource::BrokerDefault => "broker, set while it runs",
        ConfigSource::Static => "broker",
        ConfigSource::Default => "default",
        _ => "unknown",
    }
}

fn print(page: &Page) -> Outcome {
    let records: i64 = page.ends.iter().map(Ends::records).sum();
    let bytes: i64 = page.sizes.values().sum();
    output::line(format_args!(
        "Topic {} (id {}): {}, {}, {}",
        page.topic.name,
        page.topic.id,
        human::counted(page.topic.partitions.len(), "partition"),
        human::records(records),
        human::bytes(u64::try_from(bytes).unwrap_or(0)),
    ))?;
    let mut table = Table::new(&[
        "PARTITION",
        "LEADER",
        "EPOCH",
        "REPLICAS",
        "ISR",
        "START",
        "END",
        "SIZE",
    ]);
    let list = |brokers: &[BrokerId]| {
        brokers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    for (partition, ends) in page.topic.partitions.iter().zip(&page.ends) {
        let size = page.sizes.get(&partition.index.0).copied();
        let size = size.and_then(|size| u64::try_from(size).ok());
        table.row([
            partition.index.to_string(),
            partition
                .leader
                .map_or_else(|| "-".to_owned(), |leader| leader.to_string()),
            partition.leader_epoch.to_string(),
            list(&partition.replicas),
            list(&partition.isr),
            ends.start.to_string(),
            ends.end.to_string(),
            size.map_or_else(|| "-".to_owned(), human::bytes),
        ]);
    }
    output::table(&table)?;
    if page.configs.is_empty() {
        return output::line("Configs: all have their defaults (--all-configs shows them)");
    }
    let mut table = Table::new(&["CONFIG", "VALUE", "FROM"]);
    for config in &page.configs {
        let value = config.value.clone().unwrap_or_else(|| "-".to_owned());
        table.row([config.name.clone(), value, source(config.source).to_owned()]);
    }
    output::table(&table)
}
