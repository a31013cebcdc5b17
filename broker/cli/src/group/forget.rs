//! `weir group delete-offsets`: lets a group forget where it was on some topics. Topics are looked
//! for among the offsets only: other brokers keep offsets of topics that are gone.

use super::{live, refusal, scope};
use crate::args::JsonArg;
use crate::failure::{Exit, Failure, Outcome};
use crate::prompt::Consent;
use crate::table::Table;
use crate::{human, output};
use clap::{ArgGroup, Args};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use weir_client::admin::GroupDescription;
use weir_client::{Client, TopicPartition};
use weir_types::text::nearest;

/// `weir group delete-offsets`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("scope").required(true).multiple(false)))]
pub(crate) struct ForgetArgs {
    /// The group
    group: String,
    /// A topic, or some of its partitions (orders:0,2-4); may be given several times
    #[arg(long, short, value_name = "TOPIC[:PARTITIONS]", group = "scope")]
    topic: Vec<String>,
    /// Every offset that the group has
    #[arg(long, group = "scope")]
    all_topics: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

type Offsets = BTreeMap<TopicPartition, i64>;

/// Runs the command.
pub(super) async fn run(client: &Client, args: ForgetArgs) -> Outcome {
    let named: Vec<_> = args.topic.iter().map(|text| scope::topic(text)).collect();
    let named = named.into_iter().collect::<Outcome<Vec<_>>>()?;
    let group = live::described(client, &args.group).await?;
    let kept = live::offsets(client, &args.group).await?;
    let kept: Offsets = kept.into_iter().map(|(p, o)| (p, o.offset.0)).collect();
    let name = human::name(&args.group);
    if kept.is_empty() && args.all_topics {
        eprintln!("weir: group `{name}` has no offsets; nothing to do");
        return print_json(&args, &Offsets::new(), false);
    }
    let chosen = match args.all_topics {
        true => kept,
        false => chosen(&args.group, &kept, &named)?,
    };
    refuse_read(&group, &chosen)?;
    if !args.json.json {
        output::table(&table(&chosen))?;
    }
    let deed = format!(
        "delete {} of group `{name}`: whoever reads there next begins where its reset policy says",
        human::counted(chosen.len(), "offset")
    );
    if !args.consent.given(&deed)? {
        return print_json(&args, &chosen, false);
    }
    let wanted: BTreeSet<TopicPartition> = chosen.keys().cloned().collect();
    let done = client
        .admin()
        .delete_group_offsets(&args.group, &wanted)
        .await
        .map_err(|error| refusal::admin(&error, &args.group))?;
    let mut gone = Offsets::new();
    let mut failed = None;
    for (partition, outcome) in done {
        match outcome {
            Ok(()) => {
                let offset = chosen.get(&partition).copied().unwrap_or(-1);
                gone.insert(partition, offset);
            }
            Err(error) => {
                failed.get_or_insert(refusal::admin(&error, &args.group).about(&partition));
            }
        }
    }
    // What is gone is told even where another could not be deleted.
    print_json(&args, &gone, !gone.is_empty())?;
    if !args.json.json && !gone.is_empty() {
        let count = human::counted(gone.len(), "offset");
        output::line(format_args!("deleted {count} of group `{name}`"))?;
    }
    failed.map_or(Ok(()), Err)
}

/// What is named among the offsets that the group has.
fn chosen(group: &str, kept: &Offsets, named: &[(String, Vec<i32>)]) -> Outcome<Offsets> {
    let mut chosen = Offsets::new();
    for (topic, partitions) in named {
        let of_topic: Vec<_> = kept.iter().filter(|(p, _)| *p.topic == **topic).collect();
        if of_topic.is_empty() {
            return Err(nothing_of(group, kept, topic));
        }
        for index in partitions {
            if !of_topic.iter().any(|(p, _)| p.partition.0 == *index) {
                let text = format!(
                    "group `{}` has no offset of {topic}-{index}",
                    human::name(group)
                );
                let has: BTreeSet<_> = of_topic.iter().map(|(p, _)| (*p).clone()).collect();
                let has = format!("it has {}", human::partitions(&has));
                return Err(Failure::new(Exit::Refused, text).advise(has));
            }
        }
        let wanted = of_topic
            .into_iter()
            .filter(|(p, _)| partitions.is_empty() || partitions.contains(&p.partition.0));
        chosen.extend(wanted.map(|(p, offset)| (p.clone(), *offset)));
    }
    Ok(chosen)
}

fn nothing_of(group: &str, kept: &Offsets, topic: &str) -> Failure {
    let text = format!(
        "group `{}` has no offset of topic `{topic}`",
        human::name(group)
    );
    let near = nearest(topic, kept.keys().map(|partition| &*partition.topic));
    Failure::new(Exit::Refused, text).advise(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "`weir group describe {}` shows what it has",
            human::shell_quoted(group)
        ),
    })
}

/// Refuses topics that members still read: their next commit would bring the offset back.
fn refuse_read(group: &GroupDescription, chosen: &Offsets) -> Outcome {
    let topics: BTreeSet<&str> = chosen.keys().map(|partition| &*partition.topic).collect();
    for topic in topics {
        let reads = group.members.iter().filter(|member| {
            let has = |mut all: std::collections::btree_set::Iter<'_, TopicPartition>| {
                all.any(|partition| *partition.topic == *topic)
            };
            member.topics.iter().any(|named| **named == *topic)
                || has(member.assignment.iter())
                || member.target.as_ref().is_some_and(|all| has(all.iter()))
        });
        let reads: Vec<_> = reads.collect();
        let Some(first) = reads.first() else {
            continue;
        };
        let others = match reads.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let text = format!(
            "group `{}` still reads topic `{topic}`: {}{others}",
            human::name(&group.group),
            live::member(first)
        );
        let quoted = human::shell_quoted(&group.group);
        return Err(Failure::new(Exit::Refused, text).advise(format!(
            "stop its members, or take out those that no longer run with `weir group \
             remove-member {quoted}`"
        )));
    }
    Ok(())
}

fn table(offsets: &Offsets) -> Table {
    let mut table = Table::new(&["TOPIC", "PARTITION", "OFFSET"]);
    for (partition, offset) in offsets {
        table.row([
            partition.topic.to_string(),
            partition.partition.to_string(),
            offset.to_string(),
        ]);
    }
    table
}

fn print_json(args: &ForgetArgs, offsets: &Offsets, is_done: bool) -> Outcome {
    if !args.json.json {
        return Ok(());
    }
    let rows = offsets.iter().map(|(partition, offset)| {
        json!({
            "topic": &*partition.topic,
            "partition": partition.partition.0,
            "offset": offset,
        })
    });
    output::json(&json!({
        "group": args.group,
        "changed": is_done,
        "partitions": rows.collect::<Vec<_>>(),
    }))
}
