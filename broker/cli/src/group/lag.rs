//! `weir group lag`: how far groups are behind now. The broker measures; where it is not Weir, offsets
//! are compared here, and times are not known.

use super::naming::Names;
use super::past::PastArgs;
use super::{live, past, refusal};
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::table::Table;
use crate::{human, names, output};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weir_client::admin::{GroupLag, LagFilter, LagOwner, LagReport, PartitionLag};
use weir_client::{AdminError, Client, Offset, RequestError, TopicPartition};

/// `weir group lag`.
#[derive(Args, Debug)]
pub(crate) struct LagArgs {
    /// Of which groups, partition by partition [default: the totals of all]
    #[arg(value_name = "GROUP")]
    pub(super) groups: Vec<String>,
    /// Only on these topics; may be given several times
    #[arg(long, value_name = "TOPIC", value_delimiter = ',')]
    pub(super) topic: Vec<String>,
    /// Partition by partition for all groups
    #[arg(long)]
    partitions: bool,
    /// Go on until Ctrl-C: a table that is drawn anew on a terminal, elsewhere a line where a group's
    /// members or state change or its lag does much, at most one in 10 s; with --json every change
    #[arg(long, short, conflicts_with_all = ["partitions", "history"])]
    watch: bool,
    #[command(flatten)]
    past: PastArgs,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

impl LagArgs {
    /// Whether it goes on until somebody ends it.
    pub(super) const fn is_watch(&self) -> bool {
        self.watch
    }

    fn has_partitions(&self) -> bool {
        self.partitions || (!self.groups.is_empty() && !self.watch)
    }

    pub(super) fn filter(&self) -> LagFilter {
        LagFilter {
            groups: self.groups.clone(),
            topics: self.topic.clone(),
            include_partitions: self.has_partitions(),
        }
    }

    /// The group to name where something fails.
    pub(super) fn about(&self) -> &str {
        self.groups.first().map_or("", String::as_str)
    }
}

/// Runs the command once.
pub(super) async fn run(client: &Client, args: LagArgs) -> Outcome {
    if args.past.is_wanted()? {
        return past::run(client, &args.past, &args.groups, &args.topic, args.json).await;
    }
    let told = client.admin().lag(&args.filter()).await;
    let is_unsupported = matches!(
        told,
        Err(AdminError::Request(RequestError::Unsupported { .. }))
    );
    let mut report = if is_unsupported {
        compare(client, &args).await?
    } else {
        told.map_err(|error| refusal::admin(&error, args.about()))?
    };
    for group in &args.groups {
        if !report.groups.contains_key(group) {
            return Err(refusal::unknown(client, group).await);
        }
    }
    refuse_unknown_topics(client, &report, &args).await?;
    if !args.groups.is_empty() {
        // What the others read is of no interest then.
        let groups = &report.groups;
        let is_read = |topic: &String| groups.values().any(|g| g.topics.contains_key(topic));
        report.topics.retain(|topic, _| is_read(topic));
    }
    if is_unsupported {
        eprintln!("weir: this broker keeps no lag: offsets are compared, times are not known");
    }
    print(&report, &args)
}

/// Refuses topics that are named and that nobody knows; what is left of a topic that is gone counts.
pub(super) async fn refuse_unknown_topics(
    client: &Client,
    report: &LagReport,
    args: &LagArgs,
) -> Outcome {
    for topic in &args.topic {
        let is_read = report.groups.values().any(|g| g.topics.contains_key(topic));
        if !is_read && !report.topics.contains_key(topic) {
            names::topic(client, topic).await?;
        }
    }
    Ok(())
}

/// Puts a report together from committed offsets and log ends, for brokers that keep no lag.
async fn compare(client: &Client, args: &LagArgs) -> Outcome<LagReport> {
    let mut groups = args.groups.clone();
    if groups.is_empty() {
        let listed = client.admin().list_groups().await?;
        groups = listed.into_iter().map(|listed| listed.group).collect();
    }
    let mut report = LagReport {
        is_complete: true,
        ..LagReport::default()
    };
    for group in groups {
        if let Some(lag) = compare_one(client, &group, args).await? {
            report.groups.insert(group, lag);
        }
    }
    Ok(report)
}

async fn compare_one(client: &Client, name: &str, args: &LagArgs) -> Outcome<Option<GroupLag>> {
    let Some(group) = live::find(client, name).await? else {
        return Ok(None);
    };
    let mut lag = GroupLag {
        state: group.state.clone(),
        group_type: if group.is_modern {
            "consumer"
        } else {
            "classic"
        }
        .to_owned(),
        epoch: group.epoch.unwrap_or(-1),
        members: i32::try_from(group.members.len()).unwrap_or(i32::MAX),
        ..GroupLag::default()
    };
    let mut rows: BTreeMap<TopicPartition, PartitionLag> = BTreeMap::new();
    for (partition, kept) in live::offsets(client, name).await? {
        rows.entry(partition).or_default().committed = Some(kept.offset);
    }
    for member in group.members {
        for partition in member.assignment {
            rows.entry(partition).or_default().owner = Some(LagOwner {
                member_id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
            });
        }
    }
    rows.retain(|p, _| args.topic.is_empty() || args.topic.iter().any(|topic| **topic == *p.topic));
    let all: BTreeSet<TopicPartition> = rows.keys().cloned().collect();
    let ends = live::log_ends(client, &all).await?;
    for (partition, mut row) in rows {
        if let Some((start, end)) = ends.get(&partition) {
            (row.start, row.end) = (Some(Offset(*start)), Some(Offset(*end)));
            row.lag = row.committed.map(|committed| (end - committed.0).max(0));
        }
        let topic = lag.topics.entry(partition.topic.to_string()).or_default();
        let sum = |sum: Option<i64>| sum.unwrap_or(0) + row.lag.unwrap_or(0);
        if row.lag.is_some() {
            topic.lag = Some(sum(topic.lag));
            lag.lag = Some(sum(lag.lag));
        }
        topic.partitions.insert(partition.partition, row);
    }
    Ok(Some(lag))
}

fn print(report: &LagReport, args: &LagArgs) -> Outcome {
    if args.json.json {
        return output::json(&to_json(report, args.has_partitions()));
    }
    if report.groups.is_empty() {
        eprintln!("weir: there are no groups; `weir consume --group` makes one");
        return Ok(());
    }
    if args.has_partitions() {
        let table = partitions(report);
        if table.is_empty() {
            eprintln!("weir: no group has an offset or a partition there");
            return Ok(());
        }
        return output::table(&table);
    }
    output::table(&totals(&report.groups))
}

/// A row for each group.
pub(super) fn totals(groups: &BTreeMap<String, GroupLag>) -> Table {
    let mut table = Table::new(&["GROUP", "STATE", "MEMBERS", "LAG", "BEHIND"]);
    for (name, group) in groups {
        table.row([
            human::name(name),
            group.state.clone(),
            group.members.to_string(),
            number(group.lag),
            behind(group.time, group.time_at_least),
        ]);
    }
    table
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// For how long, in words; where that is not known, for how long at least, if that is.
pub(super) fn behind(time: Option<Duration>, at_least: Option<Duration>) -> String {
    match (time, at_least) {
        (None, None) => "-".to_owned(),
        (None, Some(time)) => format!(">= {}", rounded_down(time)),
        (Some(Duration::ZERO), _) => "0 s".to_owned(),
        (Some(time), _) => human::duration(time),
    }
}

/// Seconds mean nothing where the true time may be hours more.
fn rounded_down(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

fn partitions(report: &LagReport) -> Table {
    let mut table = Table::new(&[
        "GROUP",
        "TOPIC",
        "PARTITION",
        "COMMITTED",
        "END",
        "LAG",
        "BEHIND",
        "OWNER",
    ]);
    for (name, group) in &report.groups {
        let rows = group
            .topics
            .values()
            .flat_map(|topic| topic.partitions.values());
        let owners = rows.filter_map(|row| row.owner.as_ref());
        let names = Names::new(owners.map(|owner| owner.member_id.as_str()));
        for (topic, of_topic) in &group.topics {
            for (index, row) in &of_topic.partitions {
                let owner = row.owner.as_ref();
                table.row([
                    human::name(name),
                    topic.clone(),
                    index.to_string(),
                    number(row.committed.map(|offset| offset.0)),
                    number(row.end.map(|offset| offset.0)),
                    number(row.lag),
                    behind(row.time, row.time_at_least),
                    owner.map_or_else(|| "-".to_owned(), |owner| owner_name(owner, &names)),
                ]);
            }
        }
    }
    table
}

fn owner_name(owner: &LagOwner, names: &Names) -> String {
    let name = match &owner.instance_id {
        Some(instance) => human::name(instance),
        None => names.with_client(&owner.client_id, &owner.member_id),
    };
    let host = owner.client_host.trim_start_matches('/');
    format!("{name} at {}", human::name(host))
}

/// In milliseconds, as JSON has it.
pub(super) fn ms(time: Option<Duration>) -> Option<u64> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn to_json(report: &LagReport, with_partitions: bool) -> Value {
    let groups = report
        .groups
        .iter()
        .map(|(name, group)| group_json(name, group, with_partitions));
    let topics = report.topics.iter().map(|(name, topic)| {
        json!({
            "topic": name,
            "partitions": topic.partitions,
            "recordsIn": topic.records_in,
            "bytesIn": topic.bytes_in,
            "recordsOut": topic.records_out,
            "bytesOut": topic.bytes_out,
        })
    });
    json!({
        "time": report.time.map(|time| time.0),
        "groups": groups.collect::<Vec<_>>(),
        "topics": topics.collect::<Vec<_>>(),
        "windowMs": ms(Some(report.window)),
    })
}

pub(super) fn group_json(name: &str, group: &GroupLag, with_partitions: bool) -> Value {
    let mut value = json!({
        "group": name,
        "state": group.state,
        "protocol": group.group_type,
        "epoch": group.epoch,
        "members": group.members,
        "lag": group.lag,
        "behindMs": ms(group.time),
        "behindAtLeastMs": ms(group.time_at_least),
    });
    if with_partitions {
        let rows = group.topics.iter().flat_map(|(topic, of_topic)| {
            of_topic.partitions.iter().map(move |(index, row)| {
                json!({
                    "topic": topic,
                    "partition": index.0,
                    "committed": row.committed.map(|offset| offset.0),
                    "start": row.start.map(|offset| offset.0),
                    "end": row.end.map(|offset| offset.0),
                    "lag": row.lag,
                    "behindMs": ms(row.time),
                    "behindAtLeastMs": ms(row.time_at_least),
                    "owner": row.owner.as_ref().map(|owner| &owner.member_id),
                })
            })
        });
        value["partitions"] = rows.collect();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_knows_since_when_it_is_told_how_long_at_least() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (time, at_least, text) in [
            (None, None, "-"),
            (seconds(0), None, "0 s"),
            (seconds(185), None, "3 min 5 s"),
            (seconds(185), seconds(400), "3 min 5 s"),
            (None, seconds(0), ">= 0 s"),
            (None, seconds(59), ">= 59 s"),
            (None, seconds(60), ">= 1 min"),
            (None, seconds(185), ">= 3 min"),
        ] {
            assert_eq!(behind(time, at_least), text);
        }
    }

    #[test]
    fn what_is_known_at_least_is_in_tables_and_for_machines() {
        let row = PartitionLag {
            lag: Some(5),
            time_at_least: Some(Duration::from_secs(200)),
            ..PartitionLag::default()
        };
        let topic = weir_client::admin::GroupTopicLag {
            partitions: BTreeMap::from([(weir_client::PartitionIndex(0), row)]),
            ..Default::default()
        };
        let group = GroupLag {
            state: "Stable".to_owned(),
            lag: Some(5),
            time_at_least: Some(Duration::from_millis(200_500)),
            topics: BTreeMap::from([("t".to_owned(), topic)]),
            ..GroupLag::default()
        };
        let value = group_json("g", &group, true);
        assert_eq!(value["behindMs"], Value::Null);
        assert_eq!(value["behindAtLeastMs"], 200_500);
        assert_eq!(value["partitions"][0]["behindMs"], Value::Null);
        assert_eq!(value["partitions"][0]["behindAtLeastMs"], 200_000);
        let report = LagReport {
            groups: BTreeMap::from([("g".to_owned(), group)]),
            ..LagReport::default()
        };
        for table in [totals(&report.groups), partitions(&report)] {
            let mut text = Vec::new();
            table.write(None, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(">= 3 min"), "{text}");
        }
    }
}
