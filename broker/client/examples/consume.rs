//! Prints every record of a topic from the beginning, and then what is written.
//!
//! `cargo run --example consume -- HOST:PORT TOPIC [PROFILE]`

use futures_util::StreamExt;
use std::{error::Error, path::Path};
use weir_client::{Client, ClientConfig, OffsetReset, Profile, SeekTo};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".into());
    let topic = arguments.next().unwrap_or_else(|| "greetings".into());
    let mut config = ClientConfig::new([bootstrap]);
    if let Some(file) = arguments.next() {
        config = config.with_profile(Profile::read(Path::new(&file))?);
    }
    let client = Client::connect(config).await?;
    let mut consumer = client
        .consumer()
        .offset_reset(OffsetReset::Earliest)
        .build()?;
    consumer.assign_topic(&topic, SeekTo::Earliest).await?;
    // Never ends: behind the last record it waits for the next.
    while let Some(record) = StreamExt::next(&mut consumer).await {
        let record = record?;
        let value = record.value.unwrap_or_default();
        println!(
            "{}-{} {}: {}",
            record.topic,
            record.partition,
            record.offset,
            String::from_utf8_lossy(&value)
        );
    }
    Ok(())
}
