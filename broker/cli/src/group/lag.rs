//! `weir group lag`: how far groups are behind, now and as it changes. The broker measures; where it
//! is not Weir, offsets are compared here, and times are not known.

use super::past::PastArgs;
use super::{live, past, refusal};
use crate::args::JsonArg;
use crate::failure::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::table::Table;
use crate::{human, output, waiting};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weir_client::admin::{GroupLag, LagFilter, LagOwner, LagReport, PartitionLag};
use weir_client::{AdminError, Client, Offset, RequestError, TopicPartition};

/// How long to wait before a broker that is away is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// How long one question waits for a change; the broker and the client may shorten it.
const WAIT: Duration = Duration::from_secs(15);

/// `weir group lag`.
#[derive(Args, Debug)]
pub(crate) struct LagArgs {
    /// Of which groups, partition by partition [default: the totals of all]
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    /// Only on these topics; may be given several times
    #[arg(long, value_name = "TOPIC", value_delimiter = ',')]
    topic: Vec<String>,
    /// Partition by partition for all groups
    #[arg(long)]
    partitions: bool,
    /// Print what changes, until Ctrl-C
    #[arg(long, short, conflicts_with_all = ["partitions", "history"])]
    watch: bool,
    #[command(flatten)]
    past: PastArgs,
    #[command(flatten)]
    json: JsonArg,
}

impl LagArgs {
    /// Whether it goes on until somebody ends it.
    pub(super) const fn is_watch(&self) -> bool {
        self.watch
    }

    fn has_partitions(&self) -> bool {
        self.partitions || (!self.groups.is_empty() && !self.watch)
    }

    fn filter(&self) -> LagFilter {
        LagFilter {
            groups: self.groups.clone(),
            topics: self.topic.clone(),
            include_partitions: self.has_partitions(),
        }
    }

    /// The group to name where something fails.
    fn about(&self) -> &str {
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
    let report = if is_unsupported {
        compare(client, &args).await?
    } else {
        told.map_err(|error| refusal::admin(&error, args.about()))?
    };
    for group in &args.groups {
        if !report.groups.contains_key(group) {
            return Err(refusal::unknown(client, group).await);
        }
    }
    if is_unsupported {
        eprintln!("weir: this broker keeps no lag: offsets are compared, times are not known");
    }
    print(&report, &args)
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
        return output::table(&partitions(report));
    }
    let mut table = Table::new(&["GROUP", "STATE", "MEMBERS", "LAG", "BEHIND"]);
    for (name, group) in &report.groups {
        table.row([
            human::name(name),
            group.state.clone(),
            group.members.to_string(),
            number(group.lag),
            behind(group.time),
        ]);
    }
    output::table(&table)
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// For how long, in words.
pub(super) fn behind(time: Option<Duration>) -> String {
    match time {
        None => "-".to_owned(),
        Some(Duration::ZERO) => "0 s".to_owned(),
        Some(time) => human::duration(time),
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
                    behind(row.time),
                    owner.map_or_else(|| "-".to_owned(), owner_name),
                ]);
            }
        }
    }
    table
}

fn owner_name(owner: &LagOwner) -> String {
    let name = owner.instance_id.as_ref().unwrap_or(&owner.client_id);
    let host = owner.client_host.trim_start_matches('/');
    format!("{} at {}", human::name(name), human::name(host))
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

fn group_json(name: &str, group: &GroupLag, with_partitions: bool) -> Value {
    let mut value = json!({
        "group": name,
        "state": group.state,
        "protocol": group.group_type,
        "epoch": group.epoch,
        "members": group.members,
        "lag": group.lag,
        "behindMs": ms(group.time),
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
                    "owner": row.owner.as_ref().map(|owner| &owner.member_id),
                })
            })
        });
        value["partitions"] = rows.collect();
    }
    value
}

/// Prints totals and what changes of them, until Ctrl-C.
pub(super) async fn watch(client: &Client, args: LagArgs, interrupt: &Interrupt) -> Outcome {
    tokio::select! {
        biased;
        () = output::reader_gone() => Err(Failure::output_closed()),
        done = interrupt.or(follow(client, &args)) => match done {
            // Watching has no end of its own: Ctrl-C is how it is meant to end.
            Err(failure) if failure.exit == Exit::Interrupted => Ok(()),
            done => done,
        },
    }
}

async fn follow(client: &Client, args: &LagArgs) -> Outcome {
    let filter = args.filter();
    let about = |error| refusal::admin(&error, args.about());
    let first = waiting::saying("the broker's answer", client.admin().lag(&filter)).await;
    let mut report = first.map_err(about)?;
    let mut shown: BTreeMap<String, (Option<i64>, Option<Duration>, i32)> = BTreeMap::new();
    loop {
        let time = human::time(report.time.map_or(0, |time| time.0));
        let mut gone: Vec<String> = report.removed_groups.clone();
        if report.is_complete {
            let missing = shown
                .keys()
                .filter(|name| !report.groups.contains_key(*name));
            gone.extend(missing.cloned());
        }
        for name in gone {
            if shown.remove(&name).is_some() {
                let line = json!({ "time": report.time.map(|t| t.0), "group": name, "gone": true });
                match args.json.json {
                    true => output::line(line)?,
                    false => output::line(format_args!("{time} {}: gone", human::name(&name)))?,
                }
            }
        }
        for (name, group) in &report.groups {
            let now = (group.lag, group.time, group.members);
            if shown.insert(name.clone(), now) == Some(now) {
                continue;
            }
            if args.json.json {
                let mut value = group_json(name, group, false);
                value["time"] = json!(report.time.map(|time| time.0));
                output::line(value)?;
                continue;
            }
            let lag = group.lag.map_or_else(
                || "nothing committed".to_owned(),
                |lag| format!("{} behind", human::records(lag)),
            );
            let behind = match group.time {
                Some(time) if !time.is_zero() => format!(", {}", human::duration(time)),
                _ => String::new(),
            };
            let members = usize::try_from(group.members).unwrap_or(0);
            let members = human::counted(members, "member");
            let name = human::name(name);
            output::line(format_args!("{time} {name}: {lag}{behind}, {members}"))?;
        }
        report = next(client, &filter, report.generation)
            .await
            .map_err(about)?;
    }
}

/// What changed since; waits for a broker that is away, and says so once.
async fn next(
    client: &Client,
    filter: &LagFilter,
    generation: i64,
) -> Result<LagReport, AdminError> {
    let mut is_told = false;
    loop {
        let next = client.admin().watch_lag(filter, generation, WAIT).await;
        match next {
            Err(error) if error.can_retry() => {
                if !is_told {
                    eprintln!("weir: {error}; trying again (Ctrl-C ends it)");
                }
                is_told = true;
                tokio::time::sleep(RETRY).await;
            }
            done => return done,
        }
    }
}
