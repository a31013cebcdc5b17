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
    let start = Instant::now();
    for _ in 0..RECORDS {
        // `flush` tells of every failure.
        producer.send(Record::new(TOPIC, &VALUE)).await?;
    }
    producer.flush().await?;
    report("produced", start);
    let start = Instant::now();
    for _ in 0..RECORDS {
        consumer.next().await?;
    }
    report("consumed", start);
    consumer.assign_topic(TOPIC, SeekTo::Earliest).await?;
    let start = Instant::now();
    let mut seen = 0;
    while seen < RECORDS {
        let batch = consumer.next_batch().await?;
        for record in batch.raw_records() {
            record?;
            seen += 1;
        }
    }
    report("consumed by batch", start);
    Ok(())
}

fn report(what: &str, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    let count = RECORDS as f64;
    println!(
        "{what}: {:.0} records/s, {:.0} MB/s",
        count / seconds,
        count * VALUE.len() as f64 / seconds / 1e6
    );
}
