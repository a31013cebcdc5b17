//! `weir group describe`: a group's members and partitions on one page.

use super::live;
use super::naming::Names;
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::table::Table;
use crate::{human, output};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use weir_client::admin::{GroupDescription, GroupMember};
use weir_client::{Client, CommitOffset, TopicPartition};

/// `weir group describe`.
#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// Their ids
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    json: JsonArg,
}

/// Everything that is shown of one group.
struct Page {
    group: GroupDescription,
    rows: Vec<Row>,
}

/// One partition.
struct Row {
    partition: TopicPartition,
    committed: Option<CommitOffset>,
    /// Nothing where the topic is gone.
    end: Option<i64>,
    /// Its place among the members.
    owner: Option<usize>,
}

impl Row {
    fn lag(&self) -> Option<i64> {
        let committed = self.committed.as_ref()?.offset.0;
        Some((self.end? - committed).max(0))
    }
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: DescribeArgs) -> Outcome {
    let mut pages = Vec::new();
    for group in &args.groups {
        pages.push(page(client, group).await?);
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

async fn page(client: &Client, name: &str) -> Outcome<Page> {
    let group = live::described(client, name).await?;
    let mut kept = live::offsets(client, name).await?;
    let mut owners: BTreeMap<&TopicPartition, usize> = BTreeMap::new();
    for (index, member) in group.members.iter().enumerate() {
        owners.extend(member.assignment.iter().map(|partition| (partition, index)));
    }
    let all: BTreeSet<TopicPartition> =
        kept.keys().chain(owners.keys().copied()).cloned().collect();
    let ends = live::log_ends(client, &all).await?;
    let rows = all.into_iter().map(|partition| Row {
        committed: kept.remove(&partition),
        end: ends.get(&partition).map(|(_, end)| *end),
        owner: owners.get(&partition).copied(),
        partition,
    });
    let rows = rows.collect();
    drop(owners);
    Ok(Page { group, rows })
}

const fn protocol(group: &GroupDescription) -> &'static str {
    if group.is_modern {
        "consumer"
    } else {
        "classic"
    }
}

fn list(partitions: &BTreeSet<TopicPartition>) -> Value {
    let rows = partitions
        .iter()
        .map(|p| json!({ "topic": &*p.topic, "partition": p.partition.0 }));
    rows.collect()
}

fn to_json(page: &Page) -> Value {
    let group = &page.group;
    let members = group.members.iter().map(|member| {
        json!({
            "member": member.member_id,
            "instance": member.instance_id,
            "client": member.client_id,
            "host": member.client_host,
            "rack": member.rack,
            "epoch": member.epoch,
            "topics": member.topics,
            "pattern": member.pattern,
            "assignment": list(&member.assignment),
            "target": member.target.as_ref().map(list),
        })
    });
    let partitions = page.rows.iter().map(|row| {
        let owner = row.owner.and_then(|at| group.members.get(at));
        json!({
            "topic": &*row.partition.topic,
            "partition": row.partition.partition.0,
            "committed": row.committed.as_ref().map(|kept| kept.offset.0),
            "metadata": row.committed.as_ref().map(|kept| &kept.metadata),
            "end": row.end,
            "lag": row.lag(),
            "owner": owner.map(|member| &member.member_id),
        })
    });
    json!({
        "group": group.group,
        "state": group.state,
        "protocol": protocol(group),
        "assignor": group.assignor,
        "epoch": group.epoch,
        "assignmentEpoch": group.assignment_epoch,
        "members": members.collect::<Vec<_>>(),
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

fn print(page: &Page) -> Outcome {
    let group = &page.group;
    let mut head = format!(
        "Group {}: {}, {} protocol",
        human::name(&group.group),
        group.state,
        protocol(group)
    );
    if !group.assignor.is_empty() {
        head.push_str(&format!(", assignor {}", human::name(&group.assignor)));
    }
    if let Some(epoch) = group.epoch {
        head.push_str(&format!(", epoch {epoch}"));
    }
    let count = human::counted(group.members.len(), "member");
    output::line(format_args!("{head}, {count}"))?;
    let names = Names::new(group.members.iter().map(|member| member.member_id.as_str()));
    if !group.members.is_empty() {
        output::table(&members(&group.members, &names))?;
    }
    if page.rows.is_empty() {
        return output::line("No offset is committed and no partition is assigned");
    }
    output::table(&partitions(page, &names))
}

fn members(members: &[GroupMember], names: &Names) -> Table {
    let mut table = Table::new(&["CLIENT", "HOST", "EPOCH", "MEMBER", "PARTITIONS"]);
    for member in members {
        let share = match member.assignment.is_empty() {
            true => "-".to_owned(),
            false => human::partitions(&member.assignment),
        };
        // What it is to get, where that is not what it has yet.
        let coming: BTreeSet<_> = member
            .target
            .iter()
            .flat_map(|target| target.difference(&member.assignment))
            .cloned()
            .collect();
        let coming = match coming.is_empty() {
            true => String::new(),
            false => format!(" (to come: {})", human::partitions(&coming)),
        };
        let client = match &member.instance_id {
            Some(instance) => format!("{} ({instance})", member.client_id),
            None => member.client_id.clone(),
        };
        table.row([
            human::name(&client),
            live::host(member),
            member
                .epoch
                .map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()),
            names.short(&member.member_id),
            format!("{share}{coming}"),
        ]);
    }
    table
}

fn partitions(page: &Page, names: &Names) -> Table {
    let name = |member: &GroupMember| match &member.instance_id {
        Some(instance) => human::name(instance),
        None => names.with_client(&member.client_id, &member.member_id),
    };
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let mut table = Table::new(&["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "OWNER"]);
    for row in &page.rows {
        let owner = row.owner.and_then(|at| page.group.members.get(at));
        table.row([
            row.partition.topic.to_string(),
            row.partition.partition.to_string(),
            number(row.committed.as_ref().map(|kept| kept.offset.0)),
            number(row.end),
            number(row.lag()),
            owner.map_or_else(|| "-".to_owned(), name),
        ]);
    }
    table
}
