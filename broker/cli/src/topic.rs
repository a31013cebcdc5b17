//! `weir topic`: what there is to do with topics. Asks and tells; every rule about topics is the
//! broker's.

mod describe;
pub(crate) mod offsets;

use crate::args::JsonArg;
use crate::connect::ConnectArgs;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::names::PARTITIONS_MAX;
use crate::prompt::Consent;
use crate::table::Table;
use crate::{human, names, output, waiting};
use clap::{Args, Subcommand};
use serde_json::json;
use weir_client::admin::{AlterConfig, ConfigResource, NewTopic};
use weir_client::{Client, ErrorCode};

const EXAMPLES: &str = "\
Examples:
  weir topic create orders --partitions 3 --config retention.ms=86400000
  weir topic list
  weir topic describe orders
  weir topic alter orders --config retention.bytes=1000000000 --partitions 6
  weir topic offsets orders --at 2026-01-31T08:00:00Z
  weir topic delete-records orders --before @2026-01-31T08:00:00Z --dry-run
  weir topic delete orders --yes";

/// `weir topic`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TopicArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Subcommand, Debug)]
enum TopicCommand {
    /// Make topics
    Create(CreateArgs),
    /// List topics
    List(ListArgs),
    /// Show a topic's partitions and configs
    Describe(describe::DescribeArgs),
    /// Change a topic's configs, or let it grow
    Alter(AlterArgs),
    /// Delete topics and all that is in them
    Delete(DeleteArgs),
    /// Show where a topic's partitions begin and end, or the offsets of a time
    Offsets(offsets::OffsetsArgs),
    /// Drop a topic's oldest records
    DeleteRecords(offsets::DeleteRecordsArgs),
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// Their names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// How many partitions each gets [default: the broker's num.partitions]
    #[arg(long, short, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=PARTITIONS_MAX))]
    partitions: Option<i32>,
    /// How many replicas each partition gets [default: the broker's]
    #[arg(long, value_name = "N")]
    replication_factor: Option<i16>,
    /// A config by its name; may be given several times
    #[arg(long, short, value_name = "NAME=VALUE")]
    config: Vec<String>,
    /// Say nothing if a topic exists already
    #[arg(long)]
    if_not_exists: bool,
    /// Only check whether they could be made
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Also those that brokers made for themselves
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Args, Debug)]
struct AlterArgs {
    /// The topic
    topic: String,
    /// A config's new value; may be given several times
    #[arg(long, short, value_name = "NAME=VALUE")]
    config: Vec<String>,
    /// A config that goes back to its default; may be given several times
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Let the topic grow to so many partitions; keys then go to other partitions than before
    #[arg(long, short, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=PARTITIONS_MAX))]
    partitions: Option<i32>,
    /// Only check whether it could be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Args, Debug)]
struct DeleteArgs {
    /// Their names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(crate) async fn run(args: TopicArgs, interrupt: &Interrupt) -> Outcome {
    let client = args.connect.connect(interrupt).await?;
    let work = async {
        match args.command {
            TopicCommand::Create(args) => create(&client, args).await,
            TopicCommand::List(args) => list(&client, &args).await,
            TopicCommand::Describe(args) => describe::run(&client, args).await,
            TopicCommand::Alter(args) => alter(&client, args).await,
            TopicCommand::Delete(args) => delete(&client, args).await,
            TopicCommand::Offsets(args) => offsets::show(&client, args).await,
            TopicCommand::DeleteRecords(args) => offsets::delete_records(&client, args).await,
        }
    };
    interrupt
        .or(waiting::saying("the broker's answer", work))
        .await
}

/// Cuts `NAME=VALUE`.
fn pair(text: &str) -> Outcome<(&str, &str)> {
    text.split_once('=').ok_or_else(|| {
        Failure::usage(format!("`{text}` has no `=`")).advise("write --config NAME=VALUE")
    })
}

async fn create(client: &Client, args: CreateArgs) -> Outcome {
    let mut topics = Vec::new();
    for name in &args.topics {
        let mut topic = NewTopic::with_defaults(name);
        topic.partitions = args.partitions;
        topic.replication_factor = args.replication_factor;
        for text in &args.config {
            let (name, value) = pair(text)?;
            topic = topic.with_config(name, value);
        }
        topics.push(topic);
    }
    let mut done = Vec::new();
    let mut first_failure = None;
    for (name, made) in client.admin().create_topics(&topics, args.dry_run).await? {
        match made {
            Ok(made) => done.push(json!({
                "topic": name,
                "id": made.id.to_string(),
                "partitions": made.partitions,
                "created": !args.dry_run,
            })),
            Err(error)
                if args.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) =>
            {
                done.push(json!({ "topic": name, "created": false }));
            }
            Err(error) => {
                first_failure.get_or_insert(names::failure(&error, &name));
            }
        }
    }
    if args.json.json {
        output::json(&done)?;
    } else {
        for topic in &done {
            let name = topic["topic"].as_str().unwrap_or_default();
            match (&topic["created"], &topic["partitions"]) {
                (made, count) if made == true => {
                    let count = human::counted(count.as_i64().unwrap_or(0), "partition");
                    output::line(format_args!("made topic `{name}` with {count}"))?;
                }
                _ if args.dry_run => {
                    output::line(format_args!("would make topic `{name}` (nothing was done)"))?;
                }
                _ => output::line(format_args!("topic `{name}` exists already"))?,
            }
        }
    }
    first_failure.map_or(Ok(()), Err)
}

async fn list(client: &Client, args: &ListArgs) -> Outcome {
    let topics = client.admin().list_topics().await?;
    let shown = topics
        .into_iter()
        .filter(|topic| args.internal || !topic.is_internal);
    if args.json.json {
        let rows = shown.map(|topic| {
            json!({
                "topic": topic.name,
                "id": topic.id.to_string(),
                "partitions": topic.partitions,
                "internal": topic.is_internal,
            })
        });
        return output::json(&rows.collect::<Vec<_>>());
    }
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "ID"]);
    let mut any = false;
    for topic in shown {
        any = true;
        table.row([
            topic.name,
            topic.partitions.to_string(),
            topic.id.to_string(),
        ]);
    }
    if any {
        return output::table(&table);
    }
    eprintln!("weir: there are no topics yet; `weir topic create NAME` makes one");
    Ok(())
}

async fn alter(client: &Client, args: AlterArgs) -> Outcome {
    if args.config.is_empty() && args.unset.is_empty() && args.partitions.is_none() {
        return Err(Failure::usage("nothing to change was named")
            .advise("give --config NAME=VALUE, --unset NAME or --partitions N"));
    }
    let mut changes = Vec::new();
    for text in &args.config {
        let (name, value) = pair(text)?;
        changes.push(AlterConfig::set(name, value));
    }
    changes.extend(args.unset.iter().map(AlterConfig::delete));
    // Tells of a misspelt topic or config before anything is changed.
    let before = names::topic(client, &args.topic).await?;
    let about = |error| names::failure(&error, &args.topic);
    let admin = client.admin();
    let resource = ConfigResource::topic(&args.topic);
    if !changes.is_empty() {
        let checked = admin
            .incremental_alter_configs(&resource, &changes, true)
            .await;
        checked.map_err(about)?;
    }
    if let Some(count) = args.partitions {
        let grown = admin
            .create_partitions(&args.topic, count, args.dry_run)
            .await;
        grown.map_err(about)?;
    }
    if !changes.is_empty() && !args.dry_run {
        let changed = admin
            .incremental_alter_configs(&resource, &changes, false)
            .await;
        changed.map_err(about)?;
    }
    print_altered(&args, before.partitions.len(), &changes)
}

fn print_altered(args: &AlterArgs, before: usize, changes: &[AlterConfig]) -> Outcome {
    if args.json.json {
        return output::json(&json!({
            "topic": args.topic,
            "partitions": args.partitions,
            "partitionsBefore": before,
            "configs": changes.iter().map(|change| change.name.as_str()).collect::<Vec<_>>(),
            "changed": !args.dry_run,
        }));
    }
    let topic = &args.topic;
    if let Some(count) = args.partitions {
        let has = if args.dry_run {
            "would have"
        } else {
            "has now"
        };
        let count = human::counted(count, "partition");
        output::line(format_args!(
            "topic `{topic}` {has} {count} (before: {before})"
        ))?;
    }
    let done = if args.dry_run {
        "would change"
    } else {
        "changed"
    };
    for change in changes {
        output::line(format_args!("{done} `{}` of topic `{topic}`", change.name))?;
    }
    Ok(())
}

async fn delete(client: &Client, args: DeleteArgs) -> Outcome {
    let admin = client.admin();
    let mut phrases = Vec::new();
    for name in &args.topics {
        let topic = names::topic(client, name).await?;
        // Whatever keeps the count from being known must not keep the topic from being deleted.
        let ends = offsets::ends(client, &topic).await.ok();
        let records = ends.map_or_else(
            || "unknown records".to_owned(),
            |ends| human::records(ends.iter().map(offsets::Ends::records).sum::<i64>()),
        );
        let partitions = human::counted(topic.partitions.len(), "partition");
        phrases.push(format!("topic `{name}` ({partitions}, {records})"));
    }
    let mut gone = Vec::new();
    let mut failed = None;
    if args
        .consent
        .given(&format!("delete {}", phrases.join(" and ")))?
    {
        for name in &args.topics {
            if let Err(error) = admin.delete_topic(name.as_str()).await {
                failed = Some(names::failure(&error, name));
                break;
            }
            gone.push(name);
            if !args.json.json {
                output::line(format_args!("deleted topic `{name}`"))?;
            }
        }
    }
    if args.json.json {
        // What is gone is told even where the next one could not be deleted.
        output::json(&json!({ "deleted": gone }))?;
    }
    failed.map_or(Ok(()), Err)
}
