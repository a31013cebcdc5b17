//! `weir store`: looks into a data folder whose broker is stopped. It reads and tells; not a byte
//! on disk is ever changed.

use crate::args::JsonArg;
use crate::connect::DATA;
use crate::failure::{Failure, Outcome, plain};
use crate::table::Table;
use crate::{human, output};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_store::{DumpedBatch, FileDetails, PartitionDetails, RealDisk, StoreReader};
use weir_types::batch::Compression;
use weir_types::{Offset, PartitionIndex};

const EXAMPLES: &str = "\
Examples:
  weir store check
  weir store check --data /var/lib/weir --json
  weir store dump
  weir store dump --topic orders_id_as_dump_shows_it --partition 0 --offset 1000 --max 20

The broker must be stopped. Names of topics are metadata; here topics go by their ids, which
`weir topic list` shows beside the names.";

/// `weir store`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StoreArgs {
    /// The broker's data folder
    #[arg(long, value_name = "DIR", default_value = DATA, global = true)]
    data: PathBuf,
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand, Debug)]
enum StoreCommand {
    /// Read everything and check every checksum, place and order
    Check(JsonArg),
    /// Show the files and partitions, or the batches of one partition
    Dump(DumpArgs),
}

#[derive(Args, Debug)]
struct DumpArgs {
    /// The id of the topic whose batches are shown
    // One id in 64 begins with a hyphen.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    topic: Option<String>,
    /// Its partition
    #[arg(long, short, value_name = "N", default_value_t = 0, requires = "topic")]
    partition: i32,
    /// The offset to begin at [default: the partition's start]
    #[arg(long, short, value_name = "N", requires = "topic")]
    offset: Option<i64>,
    /// End after so many batches
    #[arg(long, short = 'n', value_name = "N", requires = "topic")]
    max: Option<u64>,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(crate) fn run(args: StoreArgs) -> Outcome {
    let store = open(&args.data)?;
    match args.command {
        StoreCommand::Check(json) => check(&store, json),
        StoreCommand::Dump(dump) => match &dump.topic {
            None => overview(&store, dump.json),
            Some(topic) => batches(&store, topic, &dump),
        },
    }
}

fn open(data: &Path) -> Outcome<StoreReader> {
    let folder = data.join("log");
    let disk = RealDisk::open_read_only(&folder).map_err(|error| {
        let text = format!("cannot look into {}: {}", folder.display(), plain(&error));
        Failure::failed(text).advise(match error.kind() {
            io::ErrorKind::NotFound => "name the broker's data folder with --data DIR",
            io::ErrorKind::ResourceBusy => "stop the broker first (Ctrl-C in its terminal)",
            _ => "is it this user's folder?",
        })
    })?;
    StoreReader::open(Arc::new(disk)).map_err(|error| Failure::damaged(error.to_string()))
}

fn check(store: &StoreReader, json: JsonArg) -> Outcome {
    let report = store.check();
    if json.json {
        output::json(&json!({
            "files": report.files,
            "partitions": report.partitions,
            "batches": report.batches,
            "bytes": report.bytes,
            "values": report.values,
            "problems": report.problems,
            "unlisted": store.unlisted(),
        }))?;
    } else {
        for problem in &report.problems {
            output::line(format_args!("problem: {problem}"))?;
        }
        for file in store.unlisted() {
            output::line(format_args!(
                "note: {file} belongs to no log; the broker removes it when it starts"
            ))?;
        }
        output::line(format_args!(
            "checked {}, {}, {} ({})",
            human::counted(report.files, "file"),
            human::counted(report.partitions, "partition"),
            match report.batches {
                1 => "1 batch".to_owned(),
                count => format!("{} batches", human::count(i128::from(count))),
            },
            human::bytes(report.bytes)
        ))?;
    }
    match report.problems.len() {
        0 => Ok(()),
        1 => Err(Failure::damaged("the store has 1 problem")),
        count => Err(Failure::damaged(format!("the store has {count} problems"))),
    }
}

fn overview(store: &StoreReader, json: JsonArg) -> Outcome {
    let (files, mut partitions) = (store.files(), store.partitions());
    partitions.sort_by_key(|part| (part.topic, part.index));
    if json.json {
        return output::json(&json!({
            "files": files.iter().map(file_json).collect::<Vec<_>>(),
            "partitions": partitions.iter().map(partition_json).collect::<Vec<_>>(),
            "warnings": store.warnings(),
            "unlisted": store.unlisted(),
        }));
    }
    let mut table = Table::new(&[
        "FILE", "ROLE", "BATCHES", "BYTES", "LIVE", "COMMITS", "STATE",
    ]);
    for file in &files {
        table.row([
            file.name.clone(),
            format!("{:?}", file.role).to_lowercase(),
            file.batches.to_string(),
            human::bytes(file.bytes),
            human::bytes(file.live_bytes),
            format!("{}..{}", file.commits.0, file.commits.1),
            (if file.broken { "broken" } else { "good" }).to_owned(),
        ]);
    }
    output::table(&table)?;
    output::line("")?;
    let mut table = Table::new(&[
        "TOPIC ID",
        "PARTITION",
        "START",
        "END",
        "SIZE",
        "PRODUCERS",
        "STATE",
    ]);
    for part in &partitions {
        table.row([
            part.topic.to_string(),
            part.index.to_string(),
            part.start.to_string(),
            part.end.to_string(),
            human::bytes(part.size_bytes),
            part.producers.to_string(),
            part.offline.clone().unwrap_or_else(|| "good".to_owned()),
        ]);
    }
    output::table(&table)?;
    for warning in store.warnings() {
        output::line(format_args!("note: {warning}"))?;
    }
    Ok(())
}

fn file_json(file: &FileDetails) -> serde_json::Value {
    json!({
        "id": file.id,
        "name": file.name,
        "role": format!("{:?}", file.role).to_lowercase(),
        "batches": file.batches,
        "bytes": file.bytes,
        "liveBytes": file.live_bytes,
        "firstCommit": file.commits.0,
        "lastCommit": file.commits.1,
        "broken": file.broken,
    })
}

fn partition_json(part: &PartitionDetails) -> serde_json::Value {
    let epochs = part
        .epochs
        .iter()
        .map(|(epoch, from)| json!({ "epoch": epoch.0, "from": from.0 }));
    json!({
        "topicId": part.topic.to_string(),
        "partition": part.index.0,
        "start": part.start.0,
        "end": part.end.0,
        "bytes": part.size_bytes,
        "producers": part.producers,
        "epochs": epochs.collect::<Vec<_>>(),
        "offline": part.offline,
    })
}

fn batches(store: &StoreReader, topic: &str, args: &DumpArgs) -> Outcome {
    let index = PartitionIndex(args.partition);
    let all = store.partitions();
    let part = all
        .iter()
        .find(|part| part.topic.to_string() == topic && part.index == index);
    let part = part.ok_or_else(|| {
        Failure::usage(format!(
            "there is no partition {index} of a topic with the id `{topic}`"
        ))
        .advise("`weir store dump` shows those there are")
    })?;
    let from = args.offset.map_or(part.start, Offset);
    let mut left = args.max.unwrap_or(u64::MAX);
    let mut table = Table::new(&[
        "OFFSETS", "RECORDS", "BYTES", "CODEC", "EPOCH", "PRODUCER", "SEQUENCE", "LATEST", "COMMIT",
    ]);
    let mut closed = Ok(());
    if left > 0 {
        let visited = store.visit(part.partition, from, |batch| {
            left -= 1;
            if args.json.json {
                closed = output::line(batch_json(&batch));
            } else {
                table.row(batch_row(&batch));
            }
            left > 0 && closed.is_ok()
        });
        closed?;
        if !args.json.json {
            output::table(&table)?;
        }
        return visited.map_err(|error| Failure::damaged(error.to_string()));
    }
    Ok(())
}

const fn codec(attributes: i16) -> &'static str {
    match Compression::from_bits(attributes) {
        Some(Compression::None) => "none",
        Some(Compression::Gzip) => "gzip",
        Some(Compression::Snappy) => "snappy",
        Some(Compression::Lz4) => "lz4",
        Some(Compression::Zstd) => "zstd",
        None => "unknown",
    }
}

fn batch_row(batch: &DumpedBatch) -> [String; 9] {
    let meta = &batch.meta;
    [
        format!("{}..{}", meta.base_offset, meta.last_offset.next()),
        (meta.last_offset.0 - meta.base_offset.0 + 1).to_string(),
        meta.size_bytes.to_string(),
        codec(meta.attributes).to_owned(),
        meta.leader_epoch.to_string(),
        meta.producer_id.to_string(),
        meta.base_sequence.to_string(),
        meta.max_timestamp.0.to_string(),
        batch.commit.to_string(),
    ]
}

fn batch_json(batch: &DumpedBatch) -> serde_json::Value {
    let meta = &batch.meta;
    json!({
        "baseOffset": meta.base_offset.0,
        "lastOffset": meta.last_offset.0,
        "bytes": meta.size_bytes,
        "codec": codec(meta.attributes),
        "leaderEpoch": meta.leader_epoch.0,
        "producerId": meta.producer_id.0,
        "producerEpoch": meta.producer_epoch.0,
        "baseSequence": meta.base_sequence.0,
        "maxTimestamp": meta.max_timestamp.0,
        "appendedAt": meta.appended_at.0,
        "commit": batch.commit,
    })
}
