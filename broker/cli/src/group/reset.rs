//! `weir group reset-offsets`: moves the offsets of a group that nobody reads in. What it would
//! change is shown before it does.

use super::period::before_now;
use super::{csv, live, refusal, scope};
use crate::args::JsonArg;
use crate::failure::{Failure, Outcome};
use crate::prompt::Consent;
use crate::range::time_ms;
use crate::span::Span;
use crate::table::Table;
use crate::topic::offsets;
use crate::{human, names, output};
use clap::{ArgGroup, Args};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use weir_client::admin::OffsetSpec;
use weir_client::{Client, CommitOffset, Offset, TimestampMs, TopicPartition};

/// `weir group reset-offsets`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("target").required(true).multiple(false)))]
#[command(group(ArgGroup::new("scope").required(true).multiple(false)))]
pub(crate) struct ResetArgs {
    /// The group
    group: String,
    /// A topic, or some of its partitions (orders:0,2-4); may be given several times
    #[arg(long, short, value_name = "TOPIC[:PARTITIONS]", group = "scope")]
    topic: Vec<String>,
    /// Every partition that the group has an offset of
    #[arg(long, group = "scope")]
    all_topics: bool,
    /// To the oldest record there is
    #[arg(long, group = "target")]
    to_earliest: bool,
    /// Behind the newest record
    #[arg(long, group = "target")]
    to_latest: bool,
    /// Where it is: for --export, or to keep offsets from expiring
    #[arg(long, group = "target")]
    to_current: bool,
    /// To this offset
    #[arg(long, value_name = "N", group = "target")]
    #[arg(value_parser = clap::value_parser!(i64).range(0..), allow_negative_numbers = true)]
    to_offset: Option<i64>,
    /// To the first record at or after this time (2026-01-31T08:00:00.000, UTC unless it names a
    /// zone, or milliseconds since 1970)
    #[arg(long, value_name = "TIME", group = "target")]
    to_datetime: Option<String>,
    /// To the first record of the last 30m, 2h or 7d (or PT30M, P7D)
    #[arg(long, value_name = "TIME", group = "target")]
    by_duration: Option<Span>,
    /// So many records on (5), or back (-5)
    #[arg(
        long,
        value_name = "N",
        group = "target",
        allow_negative_numbers = true
    )]
    shift_by: Option<i64>,
    /// To the offsets in a CSV file (topic,partition,offset), as --export writes it and Kafka's tool
    /// does; - reads standard input
    #[arg(long, value_name = "CSV", groups = ["target", "scope"])]
    from_file: Option<PathBuf>,
    /// Print the offsets as CSV instead, and change nothing
    #[arg(long, conflicts_with_all = ["dry_run", "yes", "json"])]
    export: bool,
    /// Make the group if there is none
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// What becomes of one partition.
struct Move {
    partition: TopicPartition,
    old: Option<i64>,
    new: i64,
    start: i64,
    end: i64,
    note: String,
}

impl Move {
    fn is_change(&self) -> bool {
        self.old != Some(self.new)
    }
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: ResetArgs) -> Outcome {
    let file = match &args.from_file {
        Some(path) => Some(read_file(path, &args.group).await?),
        None => None,
    };
    let found = live::find(client, &args.group).await?;
    if found.is_none() && !args.create {
        let unknown = refusal::unknown(client, &args.group).await;
        return Err(unknown.and_advise("--create makes it"));
    }
    if let Some(found) = found.filter(|_| !args.export) {
        live::refuse_live(&found, "new offsets")?;
    }
    let kept = live::offsets(client, &args.group).await?;
    let kept: BTreeMap<_, _> = kept.into_iter().map(|(p, o)| (p, o.offset.0)).collect();
    let moves = plan(client, &args, file, &kept).await?;
    if args.export {
        for step in &moves {
            output::line(csv::line(&step.partition, step.new))?;
        }
        return Ok(());
    }
    if !args.json.json {
        output::table(&table(&moves))?;
    }
    let changes: Vec<&Move> = moves
        .iter()
        .filter(|step| step.is_change() || args.to_current)
        .collect();
    if changes.is_empty() {
        eprintln!("weir: the group is there already; nothing to do");
        return print_json(&args, &moves, false);
    }
    let deed = format!(
        "move group `{}` on {}",
        human::name(&args.group),
        human::counted(changes.len(), "partition")
    );
    if !args.consent.given(&deed)? {
        return print_json(&args, &moves, false);
    }
    commit(client, &args.group, &changes).await?;
    print_json(&args, &moves, true)?;
    if !args.json.json {
        eprintln!("weir: done; whoever reads next begins there");
    }
    Ok(())
}

/// The offsets in a file, or in what comes on standard input.
async fn read_file(path: &Path, group: &str) -> Outcome<Offsets> {
    let is_stdin = path.as_os_str() == "-";
    let name = match is_stdin {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || match is_stdin {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    });
    let text = read.await.map_err(std::io::Error::other).flatten();
    let text = text.map_err(|error| Failure::io(format_args!("cannot read {name}"), &error))?;
    csv::read(&text, group).map_err(|failure| failure.about(name))
}

async fn commit(client: &Client, group: &str, changes: &[&Move]) -> Outcome {
    let offsets = changes.iter();
    let offsets = offsets.map(|step| {
        let offset = CommitOffset::from(Offset(step.new));
        (step.partition.clone(), offset)
    });
    let admin = client.admin();
    let done = admin.alter_group_offsets(group, offsets.collect()).await;
    let done = done.map_err(|error| refusal::admin(&error, group))?;
    let mut failed = None;
    let mut count: usize = 0;
    for (partition, outcome) in done {
        if let Err(error) = outcome {
            failed.get_or_insert_with(|| refusal::admin(&error, group).about(&partition));
            count += 1;
        }
    }
    match failed {
        Some(failure) if count < changes.len() => Err(failure.and_advise("the others were moved")),
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn table(moves: &[Move]) -> Table {
    let mut table = Table::new(&["TOPIC", "PARTITION", "OLD", "NEW", "CHANGE", "NOTE"]);
    for step in moves {
        let change = step.old.map(|old| step.new - old);
        table.row([
            step.partition.topic.to_string(),
            step.partition.partition.to_string(),
            step.old
                .map_or_else(|| "-".to_owned(), |old| old.to_string()),
            step.new.to_string(),
            change.map_or_else(|| "-".to_owned(), |change| format!("{change:+}")),
            step.note.clone(),
        ]);
    }
    table
}

fn print_json(args: &ResetArgs, moves: &[Move], is_changed: bool) -> Outcome {
    if !args.json.json {
        return Ok(());
    }
    let rows = moves.iter().map(|step| {
        json!({
            "topic": &*step.partition.topic,
            "partition": step.partition.partition.0,
            "old": step.old,
            "new": step.new,
            "start": step.start,
            "end": step.end,
            "note": step.note,
        })
    });
    output::json(&json!({
        "group": args.group,
        "changed": is_changed,
        "partitions": rows.collect::<Vec<_>>(),
    }))
}

type Offsets = BTreeMap<TopicPartition, i64>;

async fn plan(
    client: &Client,
    args: &ResetArgs,
    file: Option<Offsets>,
    kept: &Offsets,
) -> Outcome<Vec<Move>> {
    let scope = in_scope(client, args, file.as_ref(), kept).await?;
    let ends = live::log_ends(client, &scope).await?;
    let mut moves = Vec::new();
    for (partition, wanted) in wanted(client, args, file, kept, &scope).await? {
        let Some(&(start, end)) = ends.get(&partition) else {
            eprintln!("weir: {partition} is gone; its offset stays as it is");
            continue;
        };
        let (wanted, note) = match wanted {
            Wanted::Offset(offset) => (offset, String::new()),
            Wanted::Start => (start, String::new()),
            Wanted::End => (end, String::new()),
            Wanted::NoneSoLate => (end, "no record is that late: behind the newest".to_owned()),
            Wanted::Nothing => {
                eprintln!("weir: the group has no offset of {partition}, which is left out");
                continue;
            }
        };
        let new = wanted.clamp(start, end);
        let note = match wanted {
            wanted if wanted < start => format!("{wanted} is gone: the log begins at {start}"),
            wanted if wanted > end => format!("{wanted} is not there yet: the log ends at {end}"),
            _ => note,
        };
        let old = kept.get(&partition).copied();
        moves.push(Move {
            partition,
            old,
            new,
            start,
            end,
            note,
        });
    }
    Ok(moves)
}

/// Which partitions are meant.
async fn in_scope(
    client: &Client,
    args: &ResetArgs,
    file: Option<&Offsets>,
    kept: &Offsets,
) -> Outcome<BTreeSet<TopicPartition>> {
    if args.all_topics {
        if kept.is_empty() {
            let name = human::name(&args.group);
            return Err(Failure::usage(format!("group `{name}` has no offsets"))
                .advise("name what to give it offsets of with --topic"));
        }
        return Ok(kept.keys().cloned().collect());
    }
    let mut named: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    let mut whole: BTreeSet<String> = BTreeSet::new();
    for partition in file.into_iter().flat_map(BTreeMap::keys) {
        let topic = named.entry(partition.topic.to_string()).or_default();
        topic.push(partition.partition.0);
    }
    for text in &args.topic {
        let (topic, partitions) = scope::topic(text)?;
        if partitions.is_empty() {
            whole.insert(topic.clone());
        }
        named.entry(topic).or_default().extend(partitions);
    }
    let mut scope = BTreeSet::new();
    for (name, partitions) in named {
        let topic = names::topic(client, &name).await?;
        let partitions = if whole.contains(&name) {
            Vec::new()
        } else {
            partitions
        };
        let chosen = offsets::chosen(&topic, &partitions)?;
        scope.extend(
            chosen
                .into_iter()
                .map(|p| TopicPartition::new(name.as_str(), p)),
        );
    }
    Ok(scope)
}

/// Where a partition is to go.
enum Wanted {
    Offset(i64),
    Start,
    End,
    /// Behind the newest, since no record is that late.
    NoneSoLate,
    /// It has no place to go from.
    Nothing,
}

async fn wanted(
    client: &Client,
    args: &ResetArgs,
    file: Option<Offsets>,
    kept: &Offsets,
    scope: &BTreeSet<TopicPartition>,
) -> Outcome<Vec<(TopicPartition, Wanted)>> {
    if let Some(file) = file {
        let rows = file
            .into_iter()
            .map(|(p, offset)| (p, Wanted::Offset(offset)));
        return Ok(rows.collect());
    }
    let time = match (&args.to_datetime, args.by_duration) {
        (Some(text), _) => Some(TimestampMs(time_ms(text)?)),
        (None, Some(span)) => Some(before_now(span)?),
        (None, None) => None,
    };
    if let Some(time) = time {
        let found = live::found(client, scope, OffsetSpec::Timestamp(time)).await?;
        let rows = found.into_iter();
        let rows = rows.map(|(p, offset)| (p, offset.map_or(Wanted::NoneSoLate, Wanted::Offset)));
        return Ok(rows.collect());
    }
    let each = |partition: &TopicPartition| {
        let old = kept.get(partition).copied();
        if args.to_earliest {
            Wanted::Start
        } else if args.to_latest {
            Wanted::End
        } else if let Some(offset) = args.to_offset {
            Wanted::Offset(offset)
        } else {
            // --to-current moves nothing.
            let by = args.shift_by.unwrap_or(0);
            old.map_or(Wanted::Nothing, |old| {
                Wanted::Offset(old.saturating_add(by))
            })
        }
    };
    Ok(scope.iter().map(|p| (p.clone(), each(p))).collect())
}
