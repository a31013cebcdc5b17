//! `weir produce`: a record a line, from standard input or a file, as fast as both sides go.
//!
//! Lines are bytes and are passed on as they are; nothing here changes a record or keeps more than
//! a few blocks of input in memory.

use crate::connect::ConnectArgs;
use crate::cut::{self, Cut};
use crate::failure::{Exit, Failure, Outcome};
use crate::format::unescape;
use crate::interrupt::Interrupt;
use crate::lines::{self, Block};
use crate::report::Report;
use crate::{human, names, waiting};
use clap::Args;
use indicatif::ProgressBar;
use std::collections::VecDeque;
use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use weir_client::{
    Acks, Compression, Delivery, PartitionIndex, Producer, ProducerBuilder, Record, RecordHeader,
    TimestampMs,
};

const EXAMPLES: &str = "\
Examples:
  echo hello | weir produce greetings --create
  weir produce orders --file orders.txt --key-separator : --compression zstd
  weir consume orders --json --from-beginning --exit-at-end | \\
      weir produce copy --json --create --partitions 3
  weir produce orders --headers source=shop,version=2 < orders.txt

With --json each line is an object as `weir consume --json` prints it: key, value, headers,
timestamp and partition, each of which may be left out; bytes that are not UTF-8 are written
{\"base64\": \"…\"}; a timestamp is milliseconds since 1970 or RFC 3339.";

/// `weir produce`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProduceArgs {
    /// The topic
    topic: String,
    /// Read this file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What stands between key and value in a line, such as : or \t; the first one counts, and a
    /// line without one has no key
    #[arg(long, short = 'K', value_name = "TEXT", conflicts_with = "json")]
    key_separator: Option<String>,
    /// Headers that every record gets, such as source=shop,version=2; may be given several times
    #[arg(long, short = 'H', value_name = "NAME=VALUE,…")]
    headers: Vec<String>,
    /// Send an empty value as null, which deletes a key where a topic is compacted
    #[arg(long, conflicts_with = "json")]
    null_value: bool,
    /// Each line is a record in JSON
    #[arg(long)]
    json: bool,
    /// The partition of every record; auto lets the key decide, also over a partition that a
    /// line of JSON names
    #[arg(long, short, value_name = "N|auto", value_parser = partition)]
    #[arg(allow_negative_numbers = true)]
    partition: Option<Target>,
    /// Whose word to wait for: all in-sync replicas, 1 (the leader) or 0 (nobody)
    #[arg(
        long,
        value_name = "all|1|0",
        default_value = "all",
        allow_hyphen_values = true
    )]
    acks: Acks,
    /// How batches are compressed
    #[arg(
        long,
        short = 'z',
        value_name = "none|gzip|snappy|lz4|zstd",
        default_value = "none"
    )]
    #[arg(value_parser = compression)]
    compression: Compression,
    /// Make the topic if it does not exist
    #[arg(long)]
    create: bool,
    /// How many partitions a topic that --create makes gets
    #[arg(
        long,
        value_name = "N",
        requires = "create",
        allow_negative_numbers = true
    )]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=names::PARTITIONS_MAX))]
    partitions: Option<i32>,
    /// How long a batch waits for more records
    #[arg(long, value_name = "MS")]
    linger: Option<u64>,
    /// Size of a batch before compression
    #[arg(long, value_name = "BYTES")]
    batch_bytes: Option<usize>,
    /// Write where each record went to this file, a line of JSON each (-: standard output)
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Where `--partition` sends records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Auto,
    Index(i32),
}

fn partition(text: &str) -> Result<Target, String> {
    if text == "auto" {
        return Ok(Target::Auto);
    }
    let index = text.parse().ok().filter(|&index| index >= 0);
    index
        .map(Target::Index)
        .ok_or_else(|| "give a number from 0 up, or auto".to_owned())
}

/// Reads a codec's name.
pub(crate) fn compression(text: &str) -> Result<Compression, String> {
    Ok(match text {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => return Err("there are none, gzip, snappy, lz4 and zstd".to_owned()),
    })
}

impl ProduceArgs {
    fn cut(&self) -> Outcome<Cut> {
        let separator = self.key_separator.as_deref().map(unescape).transpose()?;
        if separator.as_ref().is_some_and(Vec::is_empty) {
            return Err(Failure::usage("--key-separator is empty").advise("name a text such as :"));
        }
        Ok(Cut {
            json: self.json,
            separator,
            null_value: self.null_value,
        })
    }

    fn settings(&self, mut builder: ProducerBuilder) -> ProducerBuilder {
        builder = builder.acks(self.acks).compression(self.compression);
        if let Some(linger) = self.linger {
            builder = builder.linger(Duration::from_millis(linger));
        }
        match self.batch_bytes {
            Some(bytes) => builder.batch_bytes(bytes),
            None => builder,
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: ProduceArgs, interrupt: Interrupt) -> Outcome {
    let cut = args.cut()?;
    let pairs = cut::headers(&args.headers)?;
    let headers: Vec<RecordHeader<'_>> = pairs
        .iter()
        .map(|(key, value)| RecordHeader {
            key: key.as_bytes(),
            value: Some(value.as_bytes()),
        })
        .collect();
    let (input, total) = open(&args)?;
    let report = args.report.as_deref().map(Report::open).transpose()?;
    let client = args
        .connect
        .connect_with(args.connect.config()?, &interrupt)
        .await?;
    let made = names::Make {
        wanted: args.create,
        partitions: args.partitions,
    };
    interrupt
        .or(names::ensure_topic(&client, &args.topic, made))
        .await?;
    let producer = args
        .settings(client.producer())
        .topic_partitioners(true)
        .build()?;
    let mut run = Run {
        producer,
        cut,
        headers: &headers,
        target: args.partition,
        topic: &args.topic,
        report,
        bar: waiting::progress(total, "produced"),
        watched: VecDeque::new(),
        records: 0,
        bytes: 0,
    };
    let began = Instant::now();
    let ended = run.all(input, &interrupt).await;
    let flushed = run.finish().await;
    run.bar.finish_and_clear();
    let summary = human::rates(run.records, run.bytes, began.elapsed());
    // The failure of a record says more than that of the command that had to stop for it.
    flushed?;
    match ended {
        Err(failure) if failure.exit != Exit::Interrupted => {
            let count = human::count(i128::from(run.records));
            Err(failure.and_advise(&format!("the records before it ({count}) were produced")))
        }
        ended => {
            eprintln!("weir: produced {summary}");
            ended
        }
    }
}

/// Blocks of lines as they are read.
type Input = Receiver<Result<Block, Failure>>;

/// The input, and its size where that is known.
fn open(args: &ProduceArgs) -> Outcome<(Input, Option<u64>)> {
    let Some(path) = args.file.as_ref().filter(|path| path.as_os_str() != "-") else {
        if std::io::stdin().is_terminal() {
            let key = if args.json { "JSON" } else { "value" };
            eprintln!("weir: type a record ({key}) a line; Ctrl-D ends");
        }
        return Ok((
            lines::read(std::io::stdin(), "standard input".to_owned()),
            None,
        ));
    };
    let name = path.display().to_string();
    let failed = |error| Failure::io(format_args!("cannot read {name}"), &error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Failure::usage(format!("{name} is a folder")).advise("name a file of lines"));
    }
    let total = metadata.is_file().then_some(metadata.len());
    Ok((lines::read(file, name), total))
}

struct Run<'a> {
    producer: Producer,
    cut: Cut,
    headers: &'a [RecordHeader<'a>],
    target: Option<Target>,
    topic: &'a str,
    report: Option<Report>,
    bar: ProgressBar,
    /// One delivery of each block under way: a failure is noticed while there is still input.
    watched: VecDeque<Delivery>,
    records: u64,
    bytes: u64,
}

impl Run<'_> {
    async fn all(&mut self, mut input: Input, interrupt: &Interrupt) -> Outcome {
        loop {
            let block = tokio::select! {
                biased;
                () = interrupt.raised() => return Err(Failure::interrupted()),
                block = input.recv() => block,
            };
            let Some(block) = block else { return Ok(()) };
            let block = block?;
            interrupt.or(self.block(&block)).await?;
            self.bar.set_position(self.bytes);
            self.look_back()?;
        }
    }

    async fn block(&mut self, block: &Block) -> Outcome {
        let mut last = None;
        for (number, line) in block.lines() {
            let at_line = |failure: Failure| failure.on_line(number);
            let parts = self
                .cut
                .cut(line)
                .map_err(|text| at_line(Failure::usage(text)))?;
            let headers = parts.headers(self.headers);
            let partition = match self.target {
                None => parts.partition,
                Some(Target::Auto) => None,
                Some(Target::Index(index)) => Some(index),
            };
            let record = Record {
                topic: self.topic,
                partition: partition.map(PartitionIndex),
                key: parts.key.as_deref(),
                value: parts.value.as_deref(),
                headers: headers.as_deref().unwrap_or(self.headers),
                timestamp: parts.timestamp.map(TimestampMs),
            };
            let sent = self.producer.send(record).await;
            let delivery = sent.map_err(|error| at_line(error.into()))?;
            self.records += 1;
            self.bytes += line.len() as u64 + 1;
            if let Some(report) = &self.report {
                report.add(number, delivery).await?;
            } else {
                last = Some(delivery);
            }
        }
        self.watched.extend(last);
        Ok(())
    }

    /// Ends early where a record of an earlier block has failed for good.
    fn look_back(&mut self) -> Outcome {
        while let Some(result) = self.watched.front().and_then(Delivery::try_result) {
            self.watched.pop_front();
            result?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Outcome {
        let flushing = self.producer.close();
        let closed = waiting::saying("the last records' acknowledgement", flushing).await;
        if let Some(report) = self.report.take() {
            report.close().await?;
        }
        Ok(closed?)
    }
}
