//! `weir quickstart`: a broker, a topic, a file (or a million made-up orders) in and out again over
//! QUIC, counted and compared, with the rates. Everything goes through the same client that other
//! programs use; nothing is taken from inside the broker.

mod masked;
mod source;

use crate::args::JsonArg;
use crate::checksum::Running;
use crate::connect::ConnectArgs;
use crate::failure::{Failure, Outcome};
use crate::human::shell_quoted;
use crate::interrupt::Interrupt;
use crate::names::PARTITIONS_MAX;
use crate::serve::{self, BrokerArgs, absolute};
use crate::{human, output, waiting};
use clap::Args;
use serde::Serialize;
use source::Source;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use weir_client::admin::NewTopic;
use weir_client::{Client, PartitionIndex, Record, SeekTo, TopicPartition, TransportChoice};
use weir_server::Broker;

/// The topic's name, and the beginning of the names it takes where that is taken.
const TOPIC: &str = "orders";

/// Lines of so many bytes are batches of their own, which the broker may find too large.
const LARGE_BYTES: usize = 256 * 1024;

/// How many names are tried.
const TOPICS_MAX: u32 = 100_000;

const EXAMPLES: &str = "\
Examples:
  weir quickstart
  weir quickstart --file orders.txt --stay
  weir quickstart --listen 127.0.0.1:19092 --data /tmp/weir-data";

/// `weir quickstart`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct QuickstartArgs {
    /// Send every line of this file [default: a million generated shop orders]
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many partitions the topic gets
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=PARTITIONS_MAX))]
    partitions: i32,
    /// Keep serving afterwards, until Ctrl-C
    #[arg(long)]
    stay: bool,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    bootstrap: String,
    data: PathBuf,
    profile: PathBuf,
    topic: String,
    partitions: i32,
    records: u64,
    bytes: u64,
    start_seconds: f64,
    produce_seconds: f64,
    consume_seconds: f64,
    view: Option<String>,
    masked_field: Option<String>,
    masked_records: Vec<String>,
}

/// Runs the command.
pub(crate) async fn run(args: QuickstartArgs, interrupt: Interrupt) -> Outcome {
    let settings = args.broker.settings()?;
    // A file that cannot be read leaves no broker's folder and no empty topic behind.
    let source = Source::open(args.file.as_deref(), args.partitions)?;
    let began = Instant::now();
    let broker = serve::start(settings, &interrupt).await?;
    let took = began.elapsed();
    let outcome = with_broker(&args, source, &broker, took, &interrupt).await;
    if outcome.is_ok() && args.stay {
        eprintln!("weir: serving until Ctrl-C");
        interrupt.raised().await;
    }
    broker.shutdown().await;
    outcome
}

async fn with_broker(
    args: &QuickstartArgs,
    source: Source,
    broker: &Broker,
    took: Duration,
    interrupt: &Interrupt,
) -> Outcome {
    let profile = absolute(broker.profile());
    let quic = broker
        .listeners()
        .iter()
        .find(|bound| bound.transport == weir_net::Transport::Quic);
    let quic = quic.ok_or_else(|| {
        Failure::usage("the quickstart goes over QUIC, and there is no quic:// listener")
            .advise("give --listen HOST:PORT")
    })?;
    let bootstrap = quic.advertised.to_string();
    args.line(format_args!(
        "broker     started in {}, serving {bootstrap}",
        human::duration(took)
    ))?;
    let connect = ConnectArgs::to(bootstrap.clone(), profile.clone(), TransportChoice::Quic);
    let client = connect.connect(interrupt).await?;
    let run = Run {
        args,
        client: &client,
        interrupt,
    };
    let topic = interrupt.or(run.make_topic()).await?;
    args.line(format_args!(
        "topic      {topic}, {}",
        human::counted(args.partitions, "partition")
    ))?;
    let (sent, produced) = run.produce(&topic, source).await?;
    let (received, consumed) = run.consume(&topic, &sent).await?;
    compare(&sent, &received)?;
    let total = total(&received);
    args.line(format_args!(
        "checked    {} records, {} bytes: each partition's count, bytes and order agree",
        human::count(i128::from(total.records)),
        human::count(i128::from(total.bytes))
    ))?;
    let masked = interrupt.or(masked::masked(&client, &topic)).await?;
    if args.json.json {
        let (view, field) = masked
            .as_ref()
            .map(|m| (m.view.clone(), m.field.clone()))
            .unzip();
        return output::json(&Report {
            bootstrap,
            data: absolute(broker.data()),
            profile,
            topic,
            partitions: args.partitions,
            records: total.records,
            bytes: total.bytes,
            start_seconds: took.as_secs_f64(),
            produce_seconds: produced.as_secs_f64(),
            consume_seconds: consumed.as_secs_f64(),
            view,
            masked_field: field,
            masked_records: masked.map(|masked| masked.records).unwrap_or_default(),
        });
    }
    show_masked(masked.as_ref(), &topic, broker)?;
    farewell(args, broker, &bootstrap, &topic)
}

/// The plugin at work, and how any other client sees the same.
fn show_masked(masked: Option<&masked::Masked>, topic: &str, broker: &Broker) -> Outcome {
    let Some(masked) = masked else {
        return output::line("plugin     none is shown: the records are no JSON objects");
    };
    output::line(format_args!("plugin     {} deployed", masked.plugin))?;
    output::line(format_args!(
        "view       {}: `{topic}` with `{}` masked, read by its name:",
        masked.view, masked.field
    ))?;
    for record in &masked.records {
        output::line(format_args!("  {}", human::name(record)))?;
    }
    if let Some(plain) = plain(broker) {
        output::line(format_args!(
            "  kcat -b {plain} -t {} -p 0 -C -o beginning -c {} shows the same while a broker serves",
            masked.view,
            masked::SHOWN
        ))?;
    }
    Ok(())
}

/// Where clients without certificates get in.
fn plain(broker: &Broker) -> Option<String> {
    let mut listeners = broker.listeners().iter();
    let plain = listeners.find(|bound| bound.transport == weir_net::Transport::Plain)?;
    Some(plain.advertised.to_string())
}

/// What to do next.
fn farewell(args: &QuickstartArgs, broker: &Broker, bootstrap: &str, topic: &str) -> Outcome {
    let profile = absolute(broker.profile()).display().to_string();
    let data = absolute(broker.data()).display().to_string();
    output::line(format_args!("data       {data}"))?;
    output::line(format_args!("profile    {profile}"))?;
    if args.stay {
        return hints(broker, bootstrap, &profile, topic);
    }
    output::line(format_args!(
        "\nRun it again with --stay to keep the broker serving, or `weir serve --data {}`;\n\
         then share the records among readers with `weir consume {topic} --group billing` and \
         look at them with\n`weir group describe billing` and `weir group lag --watch`.",
        shell_quoted(&data)
    ))
}

impl QuickstartArgs {
    /// Prints a line for people.
    fn line(&self, text: impl std::fmt::Display) -> Outcome {
        if self.json.json {
            return Ok(());
        }
        output::line(text)
    }
}

struct Run<'a> {
    args: &'a QuickstartArgs,
    client: &'a Client,
    interrupt: &'a Interrupt,
}

impl Run<'_> {
    /// Makes a topic under a name that is free, so that a second run measures the same thing.
    async fn make_topic(&self) -> Outcome<String> {
        let admin = self.client.admin();
        let taken = admin.list_topics().await?;
        let taken: BTreeSet<String> = taken.into_iter().map(|topic| topic.name).collect();
        let names = std::iter::once(TOPIC.to_owned())
            .chain((2..TOPICS_MAX).map(|number| format!("{TOPIC}-{number}")));
        let name = names.into_iter().find(|name| !taken.contains(name));
        let name = name.ok_or_else(|| Failure::failed("every name for the topic is taken"))?;
        admin
            .create_topic(NewTopic::new(&name, self.args.partitions))
            .await?;
        Ok(name)
    }

    async fn produce(&self, topic: &str, mut source: Source) -> Outcome<(Vec<Running>, Duration)> {
        let producer = self.client.producer().build()?;
        let partitions = usize::try_from(self.args.partitions).unwrap_or(1);
        let mut sent = vec![Running::default(); partitions];
        let bar = waiting::progress(source.total_bytes(), "produced");
        let began = Instant::now();
        let mut bytes = 0;
        let mut large = Vec::new();
        let sending = async {
            while source.next().await? {
                let Some((partition, key, value)) = source.record() else {
                    continue;
                };
                let record = Record {
                    topic,
                    partition: Some(PartitionIndex(partition)),
                    key,
                    value: Some(value),
                    ..Record::default()
                };
                let line = source.line_number();
                let delivery = producer.send(record).await.map_err(|error| match line {
                    Some(line) => Failure::from(error).on_line(line),
                    None => error.into(),
                })?;
                // `close` tells of every failure, but not which line was too large.
                if let Some(line) = line.filter(|_| value.len() >= LARGE_BYTES) {
                    large.push((line, delivery));
                }
                if let Some(running) = usize::try_from(partition)
                    .ok()
                    .and_then(|index| sent.get_mut(index))
                {
                    running.add(key, Some(value));
                }
                bytes += value.len() as u64;
                bar.set_position(bytes);
            }
            Ok(producer.close().await?)
        };
        let done = self.interrupt.or(sending).await;
        bar.finish_and_clear();
        for (line, delivery) in &large {
            if let Some(Err(error)) = delivery.try_result() {
                return Err(Failure::from(error).on_line(*line));
            }
        }
        done?;
        let (total, took) = (total(&sent), began.elapsed());
        self.args.line(format_args!(
            "produced   {}",
            human::rates(total.records, total.bytes, took)
        ))?;
        Ok((sent, took))
    }

    async fn consume(&self, topic: &str, sent: &[Running]) -> Outcome<(Vec<Running>, Duration)> {
        let expected = total(sent);
        let mut received = vec![Running::default(); sent.len()];
        let mut consumer = self.client.consumer().build()?;
        let places = (0..self.args.partitions)
            .map(|index| (TopicPartition::new(topic, index), SeekTo::Earliest));
        consumer.assign(places).await?;
        let bar = waiting::progress(Some(expected.bytes), "consumed");
        let began = Instant::now();
        let reading = async {
            let mut count = 0;
            while count < expected.records {
                let batch = consumer.next_batch().await?;
                let index = usize::try_from(batch.partition().partition.0).unwrap_or(usize::MAX);
                let Some(running) = received.get_mut(index) else {
                    continue;
                };
                for record in batch.raw_records() {
                    let (_, _, record) = record?;
                    running.add(record.key, record.value);
                    count += 1;
                }
                bar.inc(batch.wire_bytes() as u64);
            }
            Ok(())
        };
        self.interrupt.or(reading).await?;
        bar.finish_and_clear();
        let (total, took) = (total(&received), began.elapsed());
        self.args.line(format_args!(
            "consumed   {}",
            human::rates(total.records, total.bytes, took)
        ))?;
        Ok((received, took))
    }
}

fn total(partitions: &[Running]) -> Running {
    let mut total = Running::default();
    for partition in partitions {
        total.records += partition.records;
        total.bytes += partition.bytes;
    }
    total
}

fn compare(sent: &[Running], received: &[Running]) -> Outcome {
    for (index, (sent, received)) in sent.iter().zip(received).enumerate() {
        if sent != received {
            return Err(Failure::damaged(format!(
                "partition {index} gave back {} records of {} bytes, and {} records of {} bytes \
                 were sent{}",
                received.records,
                received.bytes,
                sent.records,
                sent.bytes,
                if (sent.records, sent.bytes) == (received.records, received.bytes) {
                    ", in another order or with other content"
                } else {
                    ""
                }
            )));
        }
    }
    Ok(())
}

/// Lines that can be pasted into another terminal, from any folder.
fn hints(broker: &Broker, bootstrap: &str, profile: &str, topic: &str) -> Outcome {
    let binary = std::env::current_exe()
        .map_or_else(|_| "weir".to_owned(), |path| path.display().to_string());
    let (binary, profile) = (shell_quoted(&binary), shell_quoted(profile));
    let flags = format!("--bootstrap {bootstrap} --profile {profile}");
    output::line("\nIn another terminal:")?;
    output::line(format_args!(
        "  {binary} consume {topic} --from-beginning --max 5 {flags}"
    ))?;
    output::line(format_args!("  {binary} topic describe {topic} {flags}"))?;
    output::line(format_args!(
        "  {binary} consume {topic} --group billing --from-beginning --max 5 {flags}"
    ))?;
    output::line(format_args!("  {binary} group describe billing {flags}"))?;
    output::line(format_args!(
        "  echo hello | {binary} produce greetings --create {flags}"
    ))?;
    if let Some(plain) = plain(broker) {
        output::line(format_args!(
            "  kcat -b {plain} -t {topic} -C -o beginning -c 5"
        ))?;
    }
    Ok(())
}
