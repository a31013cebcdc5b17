//! Questions about groups, answered in JSON on standard output: how a group stands once it has
//! settled, what its history tells, which offsets it keeps. Only translation.

use crate::options::Options;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use weir_client::admin::{Admin, GroupChange, GroupDescription, HistoryQuery};

/// How often a group is looked at that has not settled.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Waits until `--members` are in the group, each with what it is to have and all of `--partitions`
/// with one owner; `--seconds` at most. All their clients' names must begin with `--clients`.
pub(crate) async fn settle(options: &Options) -> Result<()> {
    let group = options.text("group")?;
    let members: usize = options.value("members", 0)?;
    let partitions: usize = options.value("partitions", 0)?;
    let clients = options.find("clients").unwrap_or_default();
    let limit: f64 = options.value("seconds", 30.0)?;
    let client = options.client("settle").await?;
    let admin = client.admin();
    let began = Instant::now();
    loop {
        let described = admin.describe_group(group).await;
        let seconds = began.elapsed().as_secs_f64();
        let why = match &described {
            Ok(found) => match unsettled(found, clients, members, partitions) {
                None => {
                    println!("{}", shown(found, seconds));
                    return Ok(());
                }
                Some(why) => why,
            },
            Err(error) => error.to_string(),
        };
        if seconds > limit {
            bail!("group {group} has not settled within {limit} s: {why}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is not yet as it will be.
fn unsettled(
    group: &GroupDescription,
    clients: &str,
    members: usize,
    partitions: usize,
) -> Option<String> {
    if group.members.len() != members {
        return Some(format!("{} of {members} members", group.members.len()));
    }
    if members > 0 && group.state != "Stable" {
        return Some(format!("it is {}", group.state));
    }
    let mut owned = BTreeSet::new();
    for member in &group.members {
        let id = &member.member_id;
        if !member.client_id.starts_with(clients) {
            return Some(format!("{} is still in it", member.client_id));
        }
        if member.epoch.is_some() && member.epoch != group.epoch {
            return Some(format!(
                "{id} is at {:?} of {:?}",
                member.epoch, group.epoch
            ));
        }
        if member
            .target
            .as_ref()
            .is_some_and(|target| *target != member.assignment)
        {
            return Some(format!("{id} has not what it is to have"));
        }
        owned.extend(&member.assignment);
    }
    let count: usize = group.members.iter().map(|m| m.assignment.len()).sum();
    (count != partitions || owned.len() != partitions).then(|| {
        format!(
            "{count} shares of {} of {partitions} partitions",
            owned.len()
        )
    })
}

fn shown(group: &GroupDescription, seconds: f64) -> Value {
    let mut members = BTreeMap::new();
    for member in &group.members {
        let owned: Vec<_> = member.assignment.iter().map(ToString::to_string).collect();
        let row = json!({ "client": member.client_id, "owns": owned, "epoch": member.epoch });
        members.insert(member.member_id.clone(), row);
    }
    json!({
        "group": group.group,
        "seconds": seconds,
        "state": group.state,
        "is_consumer": group.is_modern,
        "epoch": group.epoch,
        "members": members,
    })
}

/// All of a group's history, one change a line, oldest first.
pub(crate) async fn history(options: &Options) -> Result<()> {
    let client = options.client("history").await?;
    let mut query = HistoryQuery {
        groups: vec![options.text("group")?.to_owned()],
        ..HistoryQuery::default()
    };
    let admin = client.admin();
    loop {
        let page = admin.group_history(&query).await?;
        for change in page.changes {
            println!("{}", told(&change));
        }
        query.cursor = page.next;
        if query.cursor.is_none() {
            return Ok(());
        }
    }
}

fn told(change: &GroupChange) -> Value {
    let causes = change.causes.iter().map(|cause| {
        json!({
            "kind": cause.kind.map(|kind| format!("{kind:?}")),
            "member": cause.member_id,
            "client": cause.client_id,
            "text": cause.text,
        })
    });
    let moves = change.moves.iter().map(|row| {
        let partitions: Vec<_> = row.partitions.iter().map(ToString::to_string).collect();
        json!({ "partitions": partitions, "from": row.from, "to": row.to })
    });
    json!({
        "sequence": change.sequence,
        "time_ms": change.time.0,
        "causes": causes.collect::<Vec<_>>(),
        "cause_count": change.cause_count,
        "epoch": change.epoch,
        "before": change.members_before,
        "after": change.members_after,
        "moves": moves.collect::<Vec<_>>(),
        "moved": change.partitions_moved,
        "duration_ms": change.duration.map(|duration| duration.as_millis()),
        "still": change.still.iter().map(|still| {
            json!({ "member": still.member_id, "ms": still.time.as_millis() })
        }).collect::<Vec<_>>(),
    })
}

/// Looks at the offsets of `--groups` (separated by commas) every `--every-ms` until standard input
/// closes, and prints each that has changed: `group TAB topic-partition TAB offset`.
pub(crate) async fn offsets(options: &Options) -> Result<()> {
    let groups: Vec<_> = options.text("groups")?.split(',').collect();
    let every = options.millis("every-ms", 100)?;
    let client = options.client("offsets").await?;
    let admin = client.admin();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // The end of the pipe and a broken pipe both say: stop.
        let _ = std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new());
        drop(stop);
    });
    let mut known = BTreeMap::new();
    loop {
        let is_over = tokio::select! {
            () = tokio::time::sleep(every) => false,
            _ = &mut stopped => true,
        };
        for group in &groups {
            look(&admin, group, &mut known).await?;
        }
        if is_over {
            return Ok(());
        }
    }
}

async fn look(admin: &Admin, group: &str, known: &mut BTreeMap<String, i64>) -> Result<()> {
    let offsets = admin.group_offsets(group, None).await;
    for (partition, found) in offsets.with_context(|| format!("the offsets of {group}"))? {
        let place = format!("{group}\t{partition}");
        let offset = found.offset.0;
        if known.get(&place) != Some(&offset) {
            println!("{place}\t{offset}");
            known.insert(place, offset);
        }
    }
    Ok(())
}
