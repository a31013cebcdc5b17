//! `weir bench`: throughput and latency of a broker, Weir or any other that speaks Kafka's
//! protocol, measured from the client's side. It knows nothing of what happens inside the broker.

mod consume;
mod figures;
mod latency;
mod load;
mod pace;
mod produce;

use crate::connect::ConnectArgs;
use crate::failure::Outcome;
use crate::interrupt::Interrupt;
use crate::names::{self, Make};
use clap::{Args, Subcommand};
use std::collections::BTreeSet;
use std::time::Duration;
use weir_client::admin::TopicDescription;
use weir_client::{Client, Transport, TransportChoice};

/// Partitions of a topic that a benchmark makes.
const PARTITIONS: i32 = 12;

const EXAMPLES: &str = "\
Examples:
  weir bench produce --record-size 1000 --seconds 10
  weir bench produce --rate 10000 --linger 0 --clients 4 --transport tcp
  weir bench consume --topic bench
  weir bench latency --rate 1000 --json

With --rate the load is an open loop: each record has a time at which it should be sent, and its
latency counts from there, so a stall of the broker is seen in full. Without, records are sent as
fast as the producer's memory has room.";

/// `weir bench`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Subcommand, Debug)]
enum BenchCommand {
    /// Produce as fast as it goes, or at a rate
    Produce(produce::ProduceArgs),
    /// Consume a topic from its beginning
    Consume(consume::ConsumeArgs),
    /// Produce at a rate and consume meanwhile: from send to acknowledgement and to the reader
    Latency(latency::LatencyArgs),
}

/// What every benchmark may be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// The topic; made if it does not exist
    #[arg(long, short, value_name = "TOPIC", default_value = "bench")]
    topic: String,
    /// How many partitions it gets if it is made
    #[arg(long, value_name = "N", default_value_t = PARTITIONS)]
    partitions: i32,
    /// How many clients, each with connections of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// How many records to measure, instead of --seconds
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    records: Option<u64>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Reads a number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "give a number of seconds".to_owned())?;
    if (0.0..=1e6).contains(&number) {
        Ok(number)
    } else {
        Err("give 0 to 1000000".to_owned())
    }
}

impl Common {
    /// Connects all clients, and finds or makes the topic.
    async fn begin(&self, interrupt: &Interrupt) -> Outcome<(Vec<Client>, TopicDescription)> {
        let mut clients = Vec::new();
        for _ in 0..self.clients {
            let config = self.connect.config()?;
            clients.push(self.connect.connect_with(config, interrupt).await?);
        }
        // There is at least one: the flag's range says so.
        let first = clients.first().cloned();
        let Some(first) = first else {
            return Ok((clients, empty()));
        };
        let topic = interrupt.or(self.topic(&first)).await?;
        Ok((clients, topic))
    }

    async fn topic(&self, client: &Client) -> Outcome<TopicDescription> {
        let listed = client.admin().list_topics().await?;
        let exists = listed.iter().any(|topic| topic.name == self.topic);
        let make = Make {
            wanted: !exists,
            partitions: Some(self.partitions),
        };
        names::ensure_topic(client, &self.topic, make).await
    }

    /// The transport as it was asked for.
    fn asked(&self) -> TransportChoice {
        self.connect.transport.unwrap_or_default()
    }

    fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// What carried the records: what stands at the end, which with `auto` is what was chosen.
fn transport(clients: &[Client]) -> String {
    let used: BTreeSet<_> = clients.iter().flat_map(Client::transports).collect();
    if used.is_empty() {
        return "none left".to_owned();
    }
    let names: Vec<_> = used.into_iter().map(Transport::scheme).collect();
    names.join("+")
}

fn empty() -> TopicDescription {
    TopicDescription {
        name: String::new(),
        id: weir_client::TopicId::ZERO,
        is_internal: false,
        partitions: Vec::new(),
    }
}

/// Runs the command.
pub(crate) async fn run(args: BenchArgs, interrupt: Interrupt) -> Outcome {
    match args.command {
        BenchCommand::Produce(args) => produce::run(args, interrupt).await,
        BenchCommand::Consume(args) => consume::run(args, interrupt).await,
        BenchCommand::Latency(args) => latency::run(args, interrupt).await,
    }
}
