//! `weir group skip`: passes exactly one record that a group cannot get over. The record is shown
//! before.

use super::{live, refusal};
use crate::args::JsonArg;
use crate::failure::{Exit, Failure, Outcome};
use crate::prompt::Consent;
use crate::topic::offsets::chosen;
use crate::{base64, human, names, output};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use weir_client::{Client, CommitOffset, ConsumeError, Offset, SeekTo, TopicPartition};

/// How much of a key or value is shown, in bytes.
const SHOWN_BYTES: usize = 200;

/// `weir group skip`.
#[derive(Args, Debug)]
pub(crate) struct SkipArgs {
    /// The group
    group: String,
    /// The record's topic
    #[arg(long, short)]
    topic: String,
    /// The record's partition
    #[arg(long, short, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// Only if the next record has this offset, the one that the application complained of
    #[arg(long, short, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(0..))]
    offset: Option<i64>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// What is in the way.
struct Poison {
    offset: i64,
    /// Where the group goes on.
    next: i64,
    /// The record; nothing where the batch around it cannot be read.
    record: Option<Seen>,
    /// Why the batch cannot be read.
    damage: Option<String>,
}

struct Seen {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: SkipArgs) -> Outcome {
    let group = live::described(client, &args.group).await?;
    let topic = names::topic(client, &args.topic).await?;
    chosen(&topic, &[args.partition])?;
    live::refuse_live(&group, "the skip")?;
    let place = TopicPartition::new(args.topic.as_str(), args.partition);
    let kept = live::offsets(client, &args.group).await?;
    let kept = kept.get(&place).map(|kept| kept.offset.0);
    let name = human::name(&args.group);
    let Some(at) = kept.or(args.offset) else {
        let text = format!("group `{name}` has no offset of {place}");
        return Err(Failure::usage(text).advise("name the record with --offset N"));
    };
    let ends = live::log_ends(client, &BTreeSet::from([place.clone()])).await?;
    let (start, end) = ends.get(&place).copied().unwrap_or((at, at));
    let Some(poison) = next_record(client, &place, at.max(start), end).await? else {
        eprintln!(
            "weir: group `{name}` has read all of {place} (it ends at {end}); nothing to skip"
        );
        return print_json(&args, None, false);
    };
    if let Some(wanted) = args.offset.filter(|wanted| *wanted != poison.offset) {
        let text = format!(
            "the next record of {place} for group `{name}` is {}, not {wanted}",
            poison.offset
        );
        return Err(Failure::new(Exit::Refused, text).advise(
            "skip passes one record; `weir group reset-offsets --to-offset` moves further",
        ));
    }
    if !args.json.json {
        show(&place, &poison)?;
    }
    let what = match poison.record {
        Some(_) => format!("record {}", poison.offset),
        None => format!(
            "the damaged records {} to {}",
            poison.offset,
            poison.next - 1
        ),
    };
    let deed = format!(
        "let group `{name}` pass {what} of {place} and go on at {}",
        poison.next
    );
    if !args.consent.given(&deed)? {
        return print_json(&args, Some(&poison), false);
    }
    pass(client, &args.group, &place, poison.next).await?;
    if !args.json.json {
        output::line(format_args!(
            "group `{name}` goes on at offset {} of {place}",
            poison.next
        ))?;
    }
    print_json(&args, Some(&poison), true)
}

async fn pass(client: &Client, group: &str, place: &TopicPartition, next: i64) -> Outcome {
    let offsets = BTreeMap::from([(place.clone(), CommitOffset::from(Offset(next)))]);
    let done = client.admin().alter_group_offsets(group, offsets).await;
    let done = done.map_err(|error| refusal::admin(&error, group))?;
    for outcome in done.into_values() {
        outcome.map_err(|error| refusal::admin(&error, group))?;
    }
    Ok(())
}

/// The first record at `at` or behind it: offsets have gaps where markers lie.
async fn next_record(
    client: &Client,
    place: &TopicPartition,
    at: i64,
    end: i64,
) -> Outcome<Option<Poison>> {
    let mut consumer = client.consumer().build()?;
    let from = SeekTo::Offset(Offset(at));
    consumer.assign([(place.clone(), from)]).await?;
    let mut at = at;
    while at < end {
        let batch = match consumer.next_batch().await {
            Ok(batch) => batch,
            Err(ConsumeError::Damaged {
                next_offset,
                reason,
                ..
            }) if next_offset.0 > at => {
                return Ok(Some(Poison {
                    offset: at,
                    next: next_offset.0,
                    record: None,
                    damage: Some(reason),
                }));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(record) = batch.raw_records().next() {
            let (offset, timestamp, record) = record?;
            return Ok(Some(Poison {
                offset: offset.0,
                next: offset.0 + 1,
                record: Some(Seen {
                    timestamp: timestamp.0,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                }),
                damage: None,
            }));
        }
        at = batch.next_offset().0;
    }
    Ok(None)
}

fn show(place: &TopicPartition, poison: &Poison) -> Outcome {
    let Some(record) = &poison.record else {
        let why = poison.damage.as_deref().unwrap_or_default();
        return output::line(format_args!(
            "{place} from {} to {} cannot be read: {why}",
            poison.offset,
            poison.next - 1
        ));
    };
    output::line(format_args!(
        "{place} offset {}, {}",
        poison.offset,
        human::time(record.timestamp)
    ))?;
    output::line(format_args!("key    {}", preview(record.key.as_deref())))?;
    output::line(format_args!("value  {}", preview(record.value.as_deref())))
}

/// The first bytes, as text where they are text.
fn preview(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "null".to_owned();
    };
    let first = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    let shown = String::from_utf8_lossy(first);
    // A letter that the limit cuts in two is no damage.
    let shown = match first.len() < bytes.len() {
        true => shown.trim_end_matches(char::REPLACEMENT_CHARACTER),
        false => &shown,
    };
    let rest = match bytes.len() - first.len() {
        0 => String::new(),
        more => format!(" … and {} more", human::counted(more, "byte")),
    };
    format!("{}{rest}", human::name(shown))
}

fn data(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => {
            let mut text = Vec::new();
            base64::encode(bytes, &mut text);
            json!({ "base64": String::from_utf8_lossy(&text) })
        }
    }
}

fn print_json(args: &SkipArgs, poison: Option<&Poison>, is_skipped: bool) -> Outcome {
    if !args.json.json {
        return Ok(());
    }
    let record = poison.and_then(|poison| poison.record.as_ref());
    output::json(&json!({
        "group": args.group,
        "topic": args.topic,
        "partition": args.partition,
        "offset": poison.map(|poison| poison.offset),
        "next": poison.map(|poison| poison.next),
        "timestamp": record.map(|record| record.timestamp),
        "key": record.map(|record| data(record.key.as_deref())),
        "value": record.map(|record| data(record.value.as_deref())),
        "damage": poison.and_then(|poison| poison.damage.as_ref()),
        "skipped": is_skipped,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_one_line_and_short() {
        assert_eq!(preview(None), "null");
        assert_eq!(preview(Some(b"a\nb")), "a\\u{a}b");
        let long = "ü".repeat(150);
        let shown = preview(Some(long.as_bytes()));
        assert_eq!(shown, format!("{} … and 100 bytes more", "ü".repeat(100)));
    }
}
