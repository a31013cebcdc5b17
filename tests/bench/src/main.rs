//! `weir-load`: our own client as one of the producers of the end-to-end kill runs. Numbered
//! records until standard input closes; each ack becomes a line
//! `partition TAB offset TAB NAME-NUMBER` of a log.
//!
//! It must never retry or repair anything by itself: what the client library does with a broker
//! that dies is what is tested.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use weir_client::{Client, ClientConfig, Delivery, Profile, Record};

/// Bytes behind each record's number.
const FILLING: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
                       xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// Records between two pauses, and the pause: a steady load that leaves the machine room.
const RECORDS_A_BURST: u64 = 50;
const PAUSE: Duration = Duration::from_millis(5);

/// How long one record may be under way.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

/// Deliveries that may wait for their ack.
const WAITING_MAX: usize = 100_000;

const USAGE: &str = "usage: weir-load --bootstrap HOST:PORT [--profile FILE] --transport quic|tcp \
                     --topic NAME --partitions N --log FILE --name NAME [--burst RECORDS] \
                     [--pause-ms N]";

struct Options {
    bootstrap: String,
    profile: Option<String>,
    transport: String,
    topic: String,
    partitions: u64,
    log: String,
    name: String,
    burst: u64,
    pause: Duration,
}

fn main() -> Result<()> {
    let options = options(std::env::args().skip(1).collect())?;
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    std::thread::spawn(move || {
        // The end of the pipe and a broken pipe both say: stop.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        seen.store(true, Ordering::Relaxed);
    });
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(load(options, &stop))
}

fn options(args: Vec<String>) -> Result<Options> {
    let value = |name: &str| -> Result<String> {
        match args.iter().position(|arg| arg == name) {
            Some(at) if at + 1 < args.len() => Ok(args[at + 1].clone()),
            _ => bail!("{name} is missing; {USAGE}"),
        }
    };
    let burst = value("--burst").map_or(Ok(RECORDS_A_BURST), |text| text.parse())?;
    let pause =
        value("--pause-ms").map_or(Ok(PAUSE), |text| text.parse().map(Duration::from_millis))?;
    Ok(Options {
        bootstrap: value("--bootstrap")?,
        // Without one it is plain TCP, as any Kafka-protocol broker speaks it.
        profile: value("--profile").ok(),
        transport: value("--transport")?,
        topic: value("--topic")?,
        partitions: value("--partitions")?
            .parse()
            .context("--partitions takes a number")?,
        log: value("--log")?,
        name: value("--name")?,
        burst: burst.max(1),
        pause,
    })
}

async fn load(options: Options, stop: &AtomicBool) -> Result<()> {
    let transport = options.transport.parse().map_err(anyhow::Error::msg)?;
    let mut config = ClientConfig::new([options.bootstrap.clone()]).with_transport(transport);
    if let Some(file) = &options.profile {
        config =
            config.with_profile(Profile::read(file.as_ref()).context("cannot read the profile")?);
    }
    let client = Client::connect(config).await?;
    let producer = client
        .producer()
        .linger(Duration::from_millis(2))
        .delivery_timeout(DELIVERY_TIMEOUT)
        .build()?;
    let (sender, receiver) = tokio::sync::mpsc::channel(WAITING_MAX);
    let log = std::fs::File::create(&options.log).context("cannot write the log of acks")?;
    let logger = tokio::spawn(log_acks(receiver, log));
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = format!("{}-{number}", options.name);
        let value = format!("{id} {FILLING}");
        let partition = i32::try_from(number % options.partitions)?;
        let record = Record::new(&options.topic, value.as_bytes()).with_partition(partition);
        let delivery = producer.send(record).await?;
        if sender.send((id, delivery)).await.is_err() {
            bail!("the log of acks cannot be written any more");
        }
        number += 1;
        if number % options.burst == 0 {
            tokio::time::sleep(options.pause).await;
        }
    }
    drop(sender);
    producer.flush().await?;
    logger.await??;
    println!("stopped after {number} records");
    Ok(())
}

/// Writes a line for every ack and every failure, in the order in which records were sent.
async fn log_acks(
    mut receiver: tokio::sync::mpsc::Receiver<(String, Delivery)>,
    mut log: std::fs::File,
) -> Result<()> {
    while let Some((id, delivery)) = receiver.recv().await {
        match delivery.await {
            Ok(place) => writeln!(log, "{}\t{}\t{id}", place.partition.0, place.offset.0)?,
            Err(error) => writeln!(log, "error\t{error}\t{id}")?,
        }
    }
    Ok(())
}
