//! `weir consume`: reads records and prints them, as fast as the reader takes them.
//!
//! It decides where to begin and where to end; records are printed as they are and never changed.

mod member;
mod printer;

use crate::connect::ConnectArgs;
use crate::failure::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::{self, Out};
use crate::range::{Place, Range};
use crate::row::Row;
use crate::topic::offsets::{self, Ends};
use crate::{names, waiting};
use clap::{ArgGroup, Args};
use futures_util::FutureExt;
use printer::Printer;
use std::collections::BTreeMap;
use std::time::Duration;
use weir_client::{Client, Consumer, FetchedBatch, Offset, RecordHeader, SeekTo, TopicPartition};

/// Silence before the command says what it waits for.
const PATIENCE: Duration = Duration::from_millis(1500);

const EXAMPLES: &str = "\
Examples:
  weir consume orders --from-beginning --max 10
  weir consume orders --offset -100 --exit-at-end
  weir consume orders --offset 1000..2000 --partition 0
  weir consume orders --offset @2026-01-31T08:00:00Z --max 10 --format '%T %p:%o %k=%v'
  weir consume orders --from-beginning --exit-at-end --json > orders.jsonl
  weir consume orders --from-beginning --exit-at-end --filter 'value.total > 100'
  weir consume orders --group billing --from-beginning --exit-at-end
  weir consume --pattern 'ord.*' --group audit --from-beginning --max 10

With --group the topic is shared among all members of the group: each record is printed by one of
them. What was printed is committed every 5 s, before partitions are given up and at the end; who
comes next goes on there. --from-beginning counts where the group has committed nothing yet, and
--exit-at-end ends where the member's partitions ended when it got them, or at once where others
have all of them.

A filter asks of key, value, headers.NAME, timestamp, offset, partition and topic, and of the
fields of keys and values that are JSON (value.customer.id, value.items[*].sku), with == != < <= >
>= contains starts-with ends-with exists(..), and, or, not and parentheses.

Formats: %t topic, %p partition, %o offset, %T timestamp in ms, %k key, %K its length, %v or %s
value, %S its length (-1 for null), %h headers, %% a per cent sign; \\n \\r \\t \\0 \\xHH. A newline
follows each record unless the format ends in an escape (\\c stands for none).";

/// `weir consume`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("what").required(true).multiple(false)))]
pub(crate) struct ConsumeArgs {
    /// The topic; several with --group
    #[arg(value_name = "TOPIC", group = "what")]
    topics: Vec<String>,
    /// Begin with the oldest record there is [default: only what comes from now on]
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Where to begin, and where to end (left out): N, -N (before the end), earliest, latest,
    /// @TIME (RFC 3339 or milliseconds since 1970), or FROM..TO
    #[arg(
        long,
        short,
        value_name = "OFFSET|FROM..TO",
        allow_hyphen_values = true
    )]
    offset: Option<Range>,
    /// Only these partitions; may be given several times
    #[arg(long, short, value_name = "N", value_delimiter = ',')]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    /// End after so many records
    #[arg(long, short = 'n', value_name = "N")]
    max: Option<u64>,
    /// How each record is printed [default: its value and a newline]
    #[arg(long, short, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<String>,
    /// Print each record as a line of JSON, which `weir produce --json` reads
    #[arg(long)]
    json: bool,
    /// Only records for which this is true, such as 'value.age >= 18 and headers.region == "eu"'
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Show values as this plugin of world decoder reads them; it runs here. Filters see that too
    #[arg(long, value_name = "NAME[@VERSION][(..)]")]
    decode: Option<String>,
    /// The same for keys
    #[arg(long, value_name = "NAME[@VERSION][(..)]")]
    decode_key: Option<String>,
    /// End where the topic ended when the command began
    #[arg(long, short)]
    exit_at_end: bool,
    /// Wait for further records behind the end; this is the default unless an end is named
    #[arg(long, conflicts_with = "exit_at_end")]
    follow: bool,
    /// What this client calls itself, as brokers and `weir group` show it [default: weir-cli]
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    client_id: Option<String>,
    #[command(flatten)]
    member: member::MemberArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl ConsumeArgs {
    async fn connect(&self, interrupt: &Interrupt) -> Outcome<Client> {
        let mut config = self.connect.config()?;
        if let Some(name) = &self.client_id {
            config.client_id.clone_from(name);
        }
        self.connect.connect_with(config, interrupt).await
    }
}

/// Runs the command.
pub(crate) async fn run(args: ConsumeArgs, verbose: u8, interrupt: Interrupt) -> Outcome {
    let mut printer = Printer::new(&args)?;
    if args.max == Some(0) {
        return Ok(());
    }
    if let Some(group) = args.member.group.clone() {
        return member::run(args, group, printer, verbose, interrupt).await;
    }
    let [topic] = args.topics.as_slice() else {
        return Err(Failure::usage("only a group reads several topics at once")
            .advise("add --group GROUP, or name one topic"));
    };
    let client = args.connect(&interrupt).await?;
    interrupt.or(printer.prepare(&client)).await?;
    let looking_up = waiting::saying("the topic's offsets", plan(&client, topic, &args));
    let plan = interrupt.or(looking_up).await?;
    let bounded = plan.iter().all(|part| part.to.is_some()) || args.max.is_some();
    let mut consumer = client.consumer().build()?;
    let mut reading = Reading {
        printer,
        out: Out::default(),
        left: args.max.unwrap_or(u64::MAX),
        ends: BTreeMap::new(),
        topic,
        is_follow_said: false,
    };
    let mut places = Vec::new();
    for part in plan
        .into_iter()
        .filter(|part| part.to.is_none_or(|to| part.from < to))
    {
        let partition = TopicPartition::new(topic.as_str(), part.partition);
        places.push((partition.clone(), SeekTo::Offset(Offset(part.from))));
        reading.ends.insert(partition, part.to);
    }
    interrupt
        .or(async { Ok(consumer.assign(places).await?) })
        .await?;
    let ended = reading.all(&mut consumer, &interrupt).await;
    let flushed = reading.out.flush();
    match ended {
        // Following has no end of its own: Ctrl-C is how it is meant to end.
        Err(failure) if failure.exit == Exit::Interrupted && !bounded => flushed,
        Err(failure) => Err(failure),
        Ok(()) => flushed,
    }
}

/// Where one partition is read.
struct Part {
    partition: i32,
    from: i64,
    to: Option<i64>,
}

async fn plan(client: &Client, name: &str, args: &ConsumeArgs) -> Outcome<Vec<Part>> {
    let topic = names::topic(client, name).await?;
    let partitions = offsets::chosen(&topic, &args.partition)?;
    let ends = offsets::ends_of(client, name, &partitions).await?;
    let default = if args.from_beginning {
        Place::Earliest
    } else {
        Place::Latest
    };
    let range = args.offset.unwrap_or(Range {
        from: default,
        to: None,
    });
    let from = offsets::resolve(client, name, &ends, range.from).await?;
    let to = match range.to {
        Some(place) => Some(offsets::resolve(client, name, &ends, place).await?),
        None => None,
    };
    let mut parts = Vec::new();
    for (index, (ends, from)) in ends.iter().zip(from).enumerate() {
        let to = to.as_ref().and_then(|to| to.get(index).copied());
        let at_end = args.exit_at_end.then_some(ends.end);
        let to = match (to, at_end) {
            (Some(to), Some(end)) => Some(to.min(end)),
            (to, end) => to.or(end),
        };
        check(ends, from, to)?;
        parts.push(Part {
            partition: ends.partition,
            from,
            to,
        });
    }
    Ok(parts)
}

fn check(ends: &Ends, from: i64, to: Option<i64>) -> Outcome {
    let Ends {
        partition,
        start,
        end,
    } = ends;
    if from < *start {
        let text = format!("partition {partition} begins at offset {start}, behind {from}");
        return Err(Failure::new(Exit::Refused, text)
            .advise("what lay before was deleted or has expired; --offset earliest begins there"));
    }
    if from > *end && to.is_none_or(|to| to > from) {
        let text = format!("partition {partition} ends at offset {end}, before {from}");
        return Err(Failure::new(Exit::Refused, text)
            .advise("--offset latest waits for new records, --partition leaves partitions out"));
    }
    Ok(())
}

struct Reading<'a> {
    printer: Printer,
    out: Out,
    /// Records that may still be printed.
    left: u64,
    /// Where each partition that is still read ends.
    ends: BTreeMap<TopicPartition, Option<i64>>,
    topic: &'a str,
    is_follow_said: bool,
}

impl Reading<'_> {
    async fn all(&mut self, consumer: &mut Consumer, interrupt: &Interrupt) -> Outcome {
        while !self.ends.is_empty() && self.left > 0 {
            if interrupt.is_raised() {
                return Err(Failure::interrupted());
            }
            let batch = match consumer.next_batch().now_or_never() {
                Some(batch) => batch?,
                None => {
                    // Nothing more at the moment: what is there should be seen.
                    self.out.flush()?;
                    tokio::select! {
                        biased;
                        () = output::reader_gone() => return Err(Failure::output_closed()),
                        batch = interrupt.or(self.wait(consumer)) => batch?,
                    }
                }
            };
            self.print(&batch)?;
            let end = self.ends.get(batch.partition()).copied().flatten();
            if end.is_some_and(|end| batch.next_offset().0 >= end) {
                self.ends.remove(batch.partition());
                consumer.unassign([batch.partition()]);
            }
        }
        Ok(())
    }

    async fn wait(&mut self, consumer: &mut Consumer) -> Outcome<FetchedBatch> {
        if !self.is_follow_said {
            tokio::select! {
                biased;
                batch = consumer.next_batch() => return Ok(batch?),
                () = tokio::time::sleep(PATIENCE) => {}
            }
            self.is_follow_said = true;
            eprintln!(
                "weir: waiting for new records of `{}` (Ctrl-C ends it)",
                self.topic
            );
        }
        Ok(consumer.next_batch().await?)
    }

    fn print(&mut self, batch: &FetchedBatch) -> Outcome {
        let end = self.ends.get(batch.partition()).copied().flatten();
        let end = end.unwrap_or(i64::MAX);
        let texts = self.printer.read(batch)?;
        let mut headers: Vec<RecordHeader<'_>> = Vec::new();
        for (place, record) in batch.raw_records().enumerate() {
            let (offset, timestamp, record) = record?;
            if offset.0 >= end || self.left == 0 {
                break;
            }
            headers.clear();
            headers.extend(record.headers());
            let row = Row::new(batch, (offset.0, timestamp.0, &record), &headers);
            let row = texts.over(place, row);
            if self.printer.wants(&row) {
                self.left -= 1;
                self.out.append(|out| self.printer.write(&row, out))?;
            }
        }
        Ok(())
    }
}
