//! How the scripts print what comes out.

use super::{WALL, World};
use std::fmt::Write as _;
use weir_group::{Assignment, Kind, Name, Reply, TopicTable, embedded};

/// `t:0,1;u:0`, or `none`.
pub(crate) fn share(assignment: &Assignment, topics: &TopicTable) -> String {
    let parts: Vec<String> = assignment
        .iter()
        .map(|(id, partitions)| {
            let name = topics
                .name(*id)
                .map_or_else(|| format!("({id})"), ToString::to_string);
            let list: Vec<String> = partitions.iter().map(|p| p.0.to_string()).collect();
            format!("{name}:{}", list.join(","))
        })
        .collect();
    if parts.is_empty() {
        "none".into()
    } else {
        parts.join(";")
    }
}

pub(crate) fn blob(bytes: &[u8], topics: &TopicTable) -> String {
    let read = embedded::assignment(bytes).unwrap_or_default();
    share(&embedded::by_id(&read, topics), topics)
}

pub(crate) fn reply_text(reply: &Reply, topics: &TopicTable) -> String {
    let name = |name: &Option<Name>| name.as_deref().unwrap_or("-").to_owned();
    match reply {
        Reply::Refused { error, text } => format!("{} {text}", error.name()).trim_end().into(),
        Reply::Joined(joined) if joined.generation < 0 => {
            format!("{} id={}", joined.error.name(), joined.member_id)
        }
        Reply::Joined(joined) => {
            let members: Vec<&str> = joined.members.iter().map(|(id, ..)| &**id).collect();
            let skip = if joined.skip_assignment { " skip" } else { "" };
            format!(
                "joined as {} generation {} {} leader {}{skip} [{}]",
                joined.member_id,
                joined.generation,
                name(&joined.protocol),
                if joined.leader.is_empty() {
                    "-"
                } else {
                    &*joined.leader
                },
                members.join(" ")
            )
        }
        Reply::Synced { assignment, .. } => format!("synced {}", blob(assignment, topics)),
        Reply::Alive { error } => format!("alive {}", error.name()),
        Reply::Left(members) => {
            let told: Vec<String> = members
                .iter()
                .map(|(id, instance, error)| match instance {
                    Some(instance) => format!("{id}/{instance} {}", error.name()),
                    None => format!("{id} {}", error.name()),
                })
                .collect();
            format!("left [{}]", told.join(", "))
        }
        Reply::Heartbeat(beat) => {
            let assignment = beat.assignment.as_ref();
            let assignment = assignment.map_or_else(|| "same".into(), |a| share(a, topics));
            format!("epoch {} {assignment}", beat.member_epoch)
        }
        Reply::Committed(parts) | Reply::OffsetsDeleted(parts) => {
            let told: Vec<String> = parts
                .iter()
                .map(|(topic, partition, error)| format!("{topic}-{partition} {}", error.name()))
                .collect();
            told.join(", ")
        }
        Reply::Fetched(parts) => {
            let told: Vec<String> = parts
                .iter()
                .map(|(topic, partition, value)| match value {
                    Some(value) => format!(
                        "{topic}-{partition}={} {:?}",
                        value.offset, &*value.metadata
                    ),
                    None => format!("{topic}-{partition}=-"),
                })
                .collect();
            format!("fetched [{}]", told.join(", "))
        }
        other => format!("{other:?}"),
    }
}

pub(crate) fn show(world: &mut World, id: &str) {
    let Some(group) = world.coordinator.groups().get(id) else {
        writeln!(world.out, "  no group").unwrap();
        return;
    };
    let mut out = String::new();
    match &group.kind {
        Kind::Simple => writeln!(out, "  simple"),
        Kind::Classic(meta) => {
            let members: Vec<String> = meta
                .members
                .iter()
                .map(|m| format!("{} {}", m.id, blob(&m.assignment, &world.topics)))
                .collect();
            writeln!(
                out,
                "  classic generation {} [{}]",
                meta.generation,
                members.join(", ")
            )
        }
        Kind::Consumer(consumer) => writeln!(
            out,
            "  {} epoch {} target {}{}",
            consumer.state(),
            consumer.meta.epoch,
            consumer.target_epoch,
            consumer
                .members
                .iter()
                .map(|(name, member)| format!(
                    "\n    {name}{} epoch {} {:?} has {} gives {} wants {}",
                    if member.is_classic() {
                        " (classic)"
                    } else {
                        ""
                    },
                    member.current.epoch,
                    member.current.state,
                    share(&member.current.assigned, &world.topics),
                    share(&member.current.revoking, &world.topics),
                    share(&member.target, &world.topics),
                ))
                .collect::<String>()
        ),
    }
    .unwrap();
    world.out += &out;
}

pub(crate) fn history(world: &mut World, id: &str) {
    let mut out = String::new();
    let group = world.coordinator.groups().get(id).unwrap();
    for event in group.history.values() {
        let causes: Vec<String> = event
            .causes
            .iter()
            .map(|cause| {
                let who = cause.member.as_deref().unwrap_or("");
                let why = cause
                    .reason
                    .as_deref()
                    .map(|r| format!(" ({r})"))
                    .unwrap_or_default();
                let client = cause.member.as_deref().and_then(|who| event.client(who));
                // A client of a test is called as its member, unless a test is about that.
                let client = client.map_or("?", |client| client);
                let client = match cause.member.as_deref() {
                    Some(who) if who != client => format!(" of {client}"),
                    _ => String::new(),
                };
                format!("{} {:?} {who}{client}{why}", cause.at.0 - WALL, cause.kind)
                    .trim_end()
                    .to_owned()
            })
            .collect();
        writeln!(
            out,
            "  #{} at {} for {} ms, epoch {}: {}",
            event.sequence,
            event.at.0 - WALL,
            event.duration_ms,
            event.epoch,
            causes.join(", ")
        )
        .unwrap();
        let list = |names: &[Name]| names.iter().map(|n| &**n).collect::<Vec<_>>().join(" ");
        let (before, after) = (list(&event.members_before), list(&event.members_after));
        writeln!(out, "     [{before}] -> [{after}]").unwrap();
        for moved in &event.moved {
            let (from, to) = (moved.from.as_deref(), moved.to.as_deref());
            let (from, to) = (from.unwrap_or("-"), to.unwrap_or("-"));
            writeln!(
                out,
                "     {}-{}: {from} -> {to}",
                moved.topic, moved.partition
            )
            .unwrap();
        }
        for (member, ms) in &event.still_ms {
            writeln!(out, "     {member} stood still for {ms} ms").unwrap();
        }
    }
    world.out += &out;
}
