//! `weir topic offsets` and `weir topic delete-records`: where partitions begin and end.

use crate::args::JsonArg;
use crate::failure::{Exit, Failure, Outcome};
use crate::prompt::Consent;
use crate::range::{Place, time_ms};
use crate::table::Table;
use crate::{human, names, output};
use clap::Args;
use serde_json::json;
use weir_client::admin::{OffsetSpec, TopicDescription};
use weir_client::{Client, Offset, PartitionIndex, TimestampMs, TopicPartition};

/// `weir topic offsets`.
#[derive(Args, Debug)]
pub(crate) struct OffsetsArgs {
    /// The topic
    topic: String,
    /// Instead of both ends, the first offset at or after this time (RFC 3339 or milliseconds
    /// since 1970)
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Only these partitions; may be given several times
    #[arg(long, short, value_name = "N", value_delimiter = ',')]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    #[command(flatten)]
    json: JsonArg,
}

/// `weir topic delete-records`.
#[derive(Args, Debug)]
pub(crate) struct DeleteRecordsArgs {
    /// The topic
    topic: String,
    /// The oldest record that stays: an offset, -N for all but the last N, @TIME, or latest to
    /// drop them all
    #[arg(
        long,
        value_name = "OFFSET|-N|@TIME|latest",
        allow_hyphen_values = true
    )]
    before: Place,
    /// Only these partitions; may be given several times
    #[arg(long, short, value_name = "N", value_delimiter = ',')]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// One partition's ends.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) partition: i32,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Ends {
    /// Offsets between the ends; a compacted or truncated log may hold fewer records.
    pub(crate) const fn records(&self) -> i64 {
        self.end - self.start
    }
}

/// Which of the topic's partitions are meant; all where none is named.
pub(crate) fn chosen(topic: &TopicDescription, named: &[i32]) -> Outcome<Vec<i32>> {
    let all: Vec<i32> = topic
        .partitions
        .iter()
        .map(|partition| partition.index.0)
        .collect();
    if named.is_empty() {
        return Ok(all);
    }
    if let Some(stranger) = named.iter().find(|index| !all.contains(index)) {
        let text = format!("topic `{}` has no partition {stranger}", topic.name);
        return Err(Failure::new(Exit::Refused, text).advise(match all.len() {
            0 | 1 => "there is only 0".to_owned(),
            count => format!("there are 0 to {}", count - 1),
        }));
    }
    let mut chosen = named.to_vec();
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// The offset of a place in each of these partitions; nothing where no record is that late.
pub(crate) async fn find(
    client: &Client,
    topic: &str,
    partitions: &[i32],
    spec: OffsetSpec,
) -> Outcome<Vec<Option<i64>>> {
    let wanted = partitions
        .iter()
        .map(|index| (TopicPartition::new(topic, *index), spec));
    let wanted: Vec<_> = wanted.collect();
    let mut found = client.admin().list_offsets(wanted.iter().cloned()).await;
    let mut offsets = Vec::with_capacity(wanted.len());
    for (partition, _) in wanted {
        let answer = found
            .remove(&partition)
            .ok_or_else(|| Failure::failed(format!("the broker said nothing about {partition}")))?;
        let answer = answer.map_err(|error| names::failure(&error, topic))?;
        offsets.push(answer.offset.map(|offset| offset.0));
    }
    Ok(offsets)
}

/// Both ends of every partition of a topic.
pub(crate) async fn ends(client: &Client, topic: &TopicDescription) -> Outcome<Vec<Ends>> {
    let all = chosen(topic, &[])?;
    ends_of(client, &topic.name, &all).await
}

/// Both ends of some partitions.
pub(crate) async fn ends_of(
    client: &Client,
    topic: &str,
    partitions: &[i32],
) -> Outcome<Vec<Ends>> {
    let starts = find(client, topic, partitions, OffsetSpec::Earliest).await?;
    let ends = find(client, topic, partitions, OffsetSpec::Latest).await?;
    let rows = partitions.iter().zip(starts.into_iter().zip(ends));
    Ok(rows
        .map(|(&partition, (start, end))| {
            let end = end.unwrap_or(0);
            Ends {
                partition,
                start: start.unwrap_or(end),
                end,
            }
        })
        .collect())
}

/// The offset that a place stands for in each partition of `ends`.
pub(crate) async fn resolve(
    client: &Client,
    topic: &str,
    ends: &[Ends],
    place: Place,
) -> Outcome<Vec<i64>> {
    let each = |at: fn(&Ends, i64) -> i64, number| ends.iter().map(|e| at(e, number)).collect();
    Ok(match place {
        Place::Earliest => each(|ends, _| ends.start, 0),
        Place::Latest => each(|ends, _| ends.end, 0),
        Place::Offset(offset) => each(|_, offset| offset, offset),
        Place::BeforeEnd(back) => each(
            |ends, back| ends.end.saturating_sub(back).max(ends.start),
            back,
        ),
        Place::Time(ms) => {
            let partitions: Vec<i32> = ends.iter().map(|ends| ends.partition).collect();
            let spec = OffsetSpec::Timestamp(TimestampMs(ms));
            let found = find(client, topic, &partitions, spec).await?;
            found
                .into_iter()
                .zip(ends)
                .map(|(found, ends)| found.unwrap_or(ends.end))
                .collect()
        }
    })
}

/// Runs `topic offsets`.
pub(crate) async fn show(client: &Client, args: OffsetsArgs) -> Outcome {
    let topic = names::topic(client, &args.topic).await?;
    let partitions = chosen(&topic, &args.partition)?;
    if let Some(at) = &args.at {
        let spec = OffsetSpec::Timestamp(TimestampMs(time_ms(at)?));
        let found = find(client, &args.topic, &partitions, spec).await?;
        let rows = partitions.into_iter().zip(found);
        if args.json.json {
            let rows = rows.map(|(index, offset)| json!({ "partition": index, "offset": offset }));
            return output::json(&rows.collect::<Vec<_>>());
        }
        let mut table = Table::new(&["PARTITION", "OFFSET"]);
        for (index, offset) in rows {
            let text = offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
            table.row([index.to_string(), text]);
        }
        return output::table(&table);
    }
    let ends = ends_of(client, &args.topic, &partitions).await?;
    if args.json.json {
        let rows = ends.iter().map(|ends| {
            json!({
                "partition": ends.partition,
                "start": ends.start,
                "end": ends.end,
                "records": ends.records(),
            })
        });
        return output::json(&rows.collect::<Vec<_>>());
    }
    let mut table = Table::new(&["PARTITION", "START", "END", "RECORDS"]);
    for ends in &ends {
        let numbers = [ends.partition.into(), ends.start, ends.end, ends.records()];
        table.row(numbers.map(|number: i64| number.to_string()));
    }
    output::table(&table)
}

/// Runs `topic delete-records`.
pub(crate) async fn delete_records(client: &Client, args: DeleteRecordsArgs) -> Outcome {
    let topic = names::topic(client, &args.topic).await?;
    let partitions = chosen(&topic, &args.partition)?;
    let ends = ends_of(client, &args.topic, &partitions).await?;
    let below = resolve(client, &args.topic, &ends, args.before).await?;
    for (ends, &below) in ends.iter().zip(&below) {
        if below > ends.end {
            let text = format!(
                "partition {} ends at {}, before {below}",
                ends.partition, ends.end
            );
            return Err(Failure::usage(text).advise("name a smaller offset, or latest for all"));
        }
    }
    let pairs = || ends.iter().zip(&below);
    let count: i64 = pairs()
        .map(|(ends, below)| (below - ends.start).max(0))
        .sum();
    let parts: Vec<String> = pairs()
        .filter(|(ends, below)| **below > ends.start)
        .map(|(ends, below)| format!("partition {} below {below}", ends.partition))
        .collect();
    if parts.is_empty() {
        eprintln!(
            "weir: topic `{}` has no records there any more; nothing to do",
            args.topic
        );
        return Ok(());
    }
    let deed = format!(
        "delete {} of topic `{}`: {}",
        human::records(count),
        args.topic,
        parts.join(", ")
    );
    if !args.consent.given(&deed)? {
        return Ok(());
    }
    let wanted = pairs().map(|(ends, below)| {
        let partition = TopicPartition::new(args.topic.as_str(), ends.partition);
        (partition, Offset(*below))
    });
    let wanted: Vec<_> = wanted.collect();
    let mut starts = Vec::new();
    for (partition, start) in client.admin().delete_records(wanted).await {
        let start = start.map_err(|error| names::failure(&error, &args.topic))?;
        starts.push((partition.partition, start));
    }
    print_starts(&starts, args.json)
}

fn print_starts(starts: &[(PartitionIndex, Offset)], json: JsonArg) -> Outcome {
    if json.json {
        let rows = starts
            .iter()
            .map(|(index, start)| json!({ "partition": index.0, "start": start.0 }));
        return output::json(&rows.collect::<Vec<_>>());
    }
    let mut table = Table::new(&["PARTITION", "STARTS NOW AT"]);
    for (index, start) in starts {
        table.row([index.to_string(), start.to_string()]);
    }
    output::table(&table)
}
