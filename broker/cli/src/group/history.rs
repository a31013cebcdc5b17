//! `weir group history`: every rebalance, when it came, why, and what it cost. Tells what the
//! coordinator has kept and works nothing out.

use super::naming::Names;
use super::period::PeriodArgs;
use super::{live, refusal};
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::table::Table;
use crate::{human, output};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weir_client::Client;
use weir_client::admin::{GroupCause, GroupCauseKind, GroupChange, HistoryQuery};

/// `weir group history`.
#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    /// Of which groups [default: all]
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    period: PeriodArgs,
    /// Only the newest N
    #[arg(long, short = 'n', value_name = "N")]
    max: Option<usize>,
    /// Also every cause, every move of partitions and everybody who stood still
    #[arg(long)]
    details: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: HistoryArgs) -> Outcome {
    let changes = read(client, &args).await?;
    if changes.is_empty() {
        for group in &args.groups {
            // Tells of a misspelt name; a group without members may have no history.
            live::described(client, group).await?;
        }
    }
    if args.json.json {
        return output::json(&changes.iter().map(to_json).collect::<Vec<_>>());
    }
    if changes.is_empty() {
        eprintln!("weir: there was no rebalance");
        return Ok(());
    }
    let names = names(&changes);
    if args.details {
        for change in &changes {
            output::line(line(change, &names))?;
            for detail in details(change, &names) {
                output::line(format_args!("    {detail}"))?;
            }
        }
        return Ok(());
    }
    let mut table = Table::new(&[
        "TIME",
        "GROUP",
        "EPOCH",
        "MEMBERS",
        "MOVED",
        "TOOK",
        "STOOD STILL",
        "CAUSE",
    ]);
    for change in &changes {
        table.row([
            human::time(change.time.0),
            human::name(&change.group),
            change.epoch.to_string(),
            members(change),
            change.partitions_moved.to_string(),
            took(change),
            still(change, &names),
            cause(change, &names),
        ]);
    }
    output::table(&table)
}

/// Oldest first.
async fn read(client: &Client, args: &HistoryArgs) -> Outcome<Vec<GroupChange>> {
    let (from, to) = args.period.bounds()?;
    let max = args.max.unwrap_or(usize::MAX);
    let mut query = HistoryQuery {
        groups: args.groups.clone(),
        from,
        to,
        newest_first: true,
        max_events: args.max.and_then(|max| i32::try_from(max).ok()),
        cursor: None,
    };
    let mut changes = Vec::new();
    while changes.len() < max {
        let group = args.groups.first().map_or("", String::as_str);
        let page = client.admin().group_history(&query).await;
        let page = page.map_err(|error| refusal::admin(&error, group))?;
        changes.extend(page.changes);
        match page.next {
            // A cursor that stands still would never end.
            Some(next) if Some(&next) != query.cursor.as_ref() => query.cursor = Some(next),
            _ => break,
        }
    }
    changes.truncate(max);
    changes.reverse();
    Ok(changes)
}

/// Short ids of everybody whom these changes name.
pub(super) fn names(changes: &[GroupChange]) -> Names {
    let all = changes.iter().flat_map(|change| {
        let causes = change.causes.iter().map(|cause| cause.member_id.as_deref());
        let moves = change.moves.iter();
        let moves = moves.flat_map(|moved| [moved.from.as_deref(), moved.to.as_deref()]);
        let still = change
            .still
            .iter()
            .map(|still| Some(still.member_id.as_str()));
        causes.chain(moves).chain(still)
    });
    Names::new(all.flatten())
}

/// One change in a line.
pub(super) fn line(change: &GroupChange, names: &Names) -> String {
    let mut text = format!(
        "{} {}: {}; epoch {}, members {}, {} moved",
        human::time(change.time.0),
        human::name(&change.group),
        cause(change, names),
        change.epoch,
        members(change),
        human::counted(change.partitions_moved, "partition"),
    );
    if change.duration.is_some() {
        text.push_str(&format!(", took {}", took(change)));
    }
    if !change.still.is_empty() {
        text.push_str(&format!("; stood still: {}", still(change, names)));
    }
    text
}

fn members(change: &GroupChange) -> String {
    format!("{} -> {}", change.members_before, change.members_after)
}

/// How long; `-` where the next change came first.
fn took(change: &GroupChange) -> String {
    change
        .duration
        .map_or_else(|| "-".to_owned(), human::duration)
}

/// Who stood still longest, and how many others did.
fn still(change: &GroupChange, names: &Names) -> String {
    let Some(longest) = change.still.first() else {
        return "-".to_owned();
    };
    let others = match change.still.len() {
        1 => String::new(),
        count => format!(" (+{})", count - 1),
    };
    let name = names.with_client(&longest.client_id, &longest.member_id);
    format!("{name} {}{others}", human::duration(longest.time))
}

fn cause(change: &GroupChange, names: &Names) -> String {
    let Some(first) = change.causes.first() else {
        return "-".to_owned();
    };
    let text = in_words(first, names);
    match change.cause_count {
        2.. => format!("{text} (+{})", change.cause_count - 1),
        _ => text,
    }
}

fn in_words(cause: &GroupCause, names: &Names) -> String {
    let text = human::name(&cause.text);
    match (&cause.client_id, &cause.member_id) {
        (Some(client), Some(id)) => format!("{text} ({})", names.with_client(client, id)),
        (Some(client), None) => format!("{text} ({})", human::name(client)),
        (None, Some(id)) => format!("{text} ({})", names.short(id)),
        (None, None) => text,
    }
}

/// Further lines: causes behind the first, moves, and who stood still.
pub(super) fn details(change: &GroupChange, names: &Names) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let causes = change.causes.iter().skip(1);
    lines.extend(causes.map(|cause| format!("also: {}", in_words(cause, names))));
    for moved in &change.moves {
        let who = |member: &Option<String>, client: &Option<String>| match member {
            Some(member) => names.with_client(client.as_deref().unwrap_or_default(), member),
            None => "nobody".to_owned(),
        };
        lines.push(format!(
            "{} went from {} to {}",
            human::partitions(&moved.partitions),
            who(&moved.from, &moved.from_client),
            who(&moved.to, &moved.to_client)
        ));
    }
    let told: BTreeSet<_> = change.moves.iter().flat_map(|m| &m.partitions).collect();
    let moved = usize::try_from(change.partitions_moved).unwrap_or(0);
    if moved > told.len() {
        lines.push(format!("and {} more", moved - told.len()));
    }
    lines.extend(change.still.iter().map(|still| {
        format!(
            "{} stood still for {}",
            names.with_client(&still.client_id, &still.member_id),
            human::duration(still.time)
        )
    }));
    lines
}

/// One change for machines.
pub(super) fn to_json(change: &GroupChange) -> Value {
    let causes = change.causes.iter().map(|cause| {
        json!({
            "kind": cause.kind.map(kind),
            "text": cause.text,
            "member": cause.member_id,
            "client": cause.client_id,
        })
    });
    let moves = change.moves.iter().flat_map(|moved| {
        moved.partitions.iter().map(|partition| {
            json!({
                "topic": &*partition.topic,
                "partition": partition.partition.0,
                "from": moved.from,
                "fromClient": moved.from_client,
                "to": moved.to,
                "toClient": moved.to_client,
            })
        })
    });
    let still = change.still.iter().map(|still| {
        json!({
            "member": still.member_id,
            "client": still.client_id,
            "ms": u64::try_from(still.time.as_millis()).unwrap_or(u64::MAX),
        })
    });
    json!({
        "group": change.group,
        "sequence": change.sequence,
        "time": change.time.0,
        "epoch": change.epoch,
        "causes": causes.collect::<Vec<_>>(),
        "causeCount": change.cause_count,
        "membersBefore": change.members_before,
        "membersAfter": change.members_after,
        "partitionsMoved": change.partitions_moved,
        "moves": moves.collect::<Vec<_>>(),
        "durationMs": change.duration.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        "stoodStill": still.collect::<Vec<_>>(),
    })
}

const fn kind(kind: GroupCauseKind) -> &'static str {
    match kind {
        GroupCauseKind::Joined => "joined",
        GroupCauseKind::Left => "left",
        GroupCauseKind::TimedOut => "timed-out",
        GroupCauseKind::Subscription => "subscription",
        GroupCauseKind::PartitionsAdded => "partitions-added",
        GroupCauseKind::CoordinatorMoved => "coordinator-moved",
        GroupCauseKind::ByHand => "by-hand",
        GroupCauseKind::ProtocolChanged => "protocol-changed",
        // A later kind, whose text tells it all the same.
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_client::admin::GroupMove;
    use weir_client::{TimestampMs, TopicPartition};

    fn change() -> GroupChange {
        let moved = |partition, from: Option<(&str, &str)>, to: Option<(&str, &str)>| {
            let id = |member: Option<(&str, &str)>| member.map(|(id, _)| id.to_owned());
            let client = |member: Option<(&str, &str)>| {
                let client = member.map(|(_, client)| client.to_owned());
                client.filter(|client| !client.is_empty())
            };
            GroupMove {
                partitions: BTreeSet::from([TopicPartition::new("t", partition)]),
                from: id(from),
                to: id(to),
                from_client: client(from),
                to_client: client(to),
            }
        };
        let (one, other) = ("Ug0cMKZzQkKj8ZoQ3L4rEA", "Ax0cMKZzQkKj8ZoQ3L4rEA");
        GroupChange {
            group: "g".to_owned(),
            sequence: 1,
            time: TimestampMs(0),
            causes: Vec::new(),
            cause_count: 0,
            epoch: 2,
            members_before: 2,
            members_after: 1,
            moves: vec![
                moved(0, Some((one, "billing")), Some((other, "weir-cli"))),
                moved(1, Some((one, "")), None),
            ],
            partitions_moved: 3,
            duration: None,
            still: Vec::new(),
        }
    }

    #[test]
    fn moves_tell_whose_members_they_were() {
        let change = change();
        let lines = details(&change, &names(std::slice::from_ref(&change)));
        assert_eq!(
            lines,
            [
                "t 0 went from billing Ug0cMKZz to weir-cli Ax0cMKZz",
                "t 1 went from Ug0cMKZz to nobody",
                "and 1 more",
            ]
        );
        let value = to_json(&change);
        assert_eq!(value["moves"][0]["fromClient"], "billing");
        assert_eq!(value["moves"][0]["toClient"], "weir-cli");
        assert_eq!(value["moves"][1]["fromClient"], Value::Null);
    }
}
