//! How fast one producer and one consumer are: small records in and out, rates printed.
//!
//! `cargo run --release --example rate -- [HOST:PORT [PROFILE]]`
//!
//! Without an address a broker is started in the same process, in a temporary folder, and used
//! over QUIC: both then share the machine's cores.

use std::{error::Error, path::Path, time::Instant};
use weir_client::{
    Client, ClientConfig, ErrorCode, Profile, Record, SeekTo, TransportChoice, admin::NewTopic,
};

use weir_server::{Broker, Config, Settings, settings::Origin};

const TOPIC: &str = "rate";
const RECORDS: usize = 5_000_000;
const VALUE: [u8; 100] = [b'x'; 100];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let servers = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let mut embedded = None;
    let config = match arguments.as_slice() {
        [] => {
            let broker = servers.block_on(start(folder.path()))?;
            let address = broker.listeners()[0].advertised.to_string();
            let config = ClientConfig::new([address]);
            let profile = Profile::read(broker.profile())?;
            embedded = Some(broker);
            config
                .with_profile(profile)
                .with_transport(TransportChoice::Quic)
        }
        [address] => ClientConfig::new([address]).with_transport(TransportChoice::Tcp),
        [address, profile, ..] => {
            ClientConfig::new([address]).with_profile(Profile::read(Path::new(profile))?)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(config))?;
    if let Some(broker) = embedded {
        servers.block_on(broker.shutdown());
    }
    Ok(())
}

async fn start(folder: &Path) -> Result<Broker, Box<dyn Error>> {
    let mut settings = Settings::default();
    let data = folder.display().to_string();
    for (name, value) in [("data", data.as_str()), ("listen", "quic://127.0.0.1:0")] {
        settings.lay(name, value, Origin::Flag(name.to_owned()))?;
    }
    Ok(Broker::start(Config::from_settings(settings)?).await?)
}

async fn measure(config: ClientConfig) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(config).await?;
    match client.admin().create_topic(NewTopic::new(TOPIC, 12)).await {
        Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => {
            return Err(error.into());
        }
        _ => {}
    }
    let mut consumer = client.consumer().build()?;
    consumer.assign_topic(TOPIC, SeekTo::Latest).await?;
    let producer = client.producer().build()?;
    let watch = Stopwatch::start();
    for _ in 0..RECORDS {
        // `flush` tells of every failure.
        producer.send(Record::new(TOPIC, &VALUE)).await?;
    }
    producer.flush().await?;
    watch.report("produced");
    let watch = Stopwatch::start();
    for _ in 0..RECORDS {
        consumer.next().await?;
    }
    watch.report("consumed");
    consumer.assign_topic(TOPIC, SeekTo::Earliest).await?;
    let watch = Stopwatch::start();
    let mut seen = 0;
    while seen < RECORDS {
        let batch = consumer.next_batch().await?;
        for record in batch.raw_records() {
            record?;
            seen += 1;
        }
    }
    watch.report("consumed by batch");
    Ok(())
}

/// Wall-clock and, on Linux, processor time of this thread, which does all of the client's work.
struct Stopwatch {
    start: Instant,
    busy: Option<f64>,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            start: Instant::now(),
            busy: busy_seconds(),
        }
    }

    fn report(&self, what: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        let count = RECORDS as f64;
        let bytes = count * VALUE.len() as f64;
        print!(
            "{what}: {:.0} records/s, {:.0} MB/s",
            count / seconds,
            bytes / seconds / 1e6
        );
        match (self.busy, busy_seconds()) {
            (Some(before), Some(after)) if after > before => {
                println!(
                    ", {:.0} records a second of processor",
                    count / (after - before)
                );
            }
            _ => println!(),
        }
    }
}

/// The fields 14 and 15 of `proc_pid_stat(5)`, in hundredths of a second.
fn busy_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
