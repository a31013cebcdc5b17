//! How fast one producer and one consumer are: small records in and out, rates printed.
//!
//! `cargo run --release --example rate -- HOST:PORT [PROFILE]`

use std::{error::Error, path::Path, time::Instant};
use weir_client::{
    Client, ClientConfig, ErrorCode, Profile, Record, SeekTo, TransportChoice, admin::NewTopic,
};

const TOPIC: &str = "rate";
const RECORDS: usize = 5_000_000;
const VALUE: [u8; 100] = [b'x'; 100];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".into());
    let mut config = ClientConfig::new([bootstrap]);
    match arguments.next() {
        Some(file) => {
            config = config
                .with_profile(Profile::read(Path::new(&file))?)
                .with_transport(TransportChoice::Quic);
        }
        None => config = config.with_transport(TransportChoice::Tcp),
    }
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
        let _ = producer.send(Record::new(TOPIC, &VALUE)).await?;
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
