//! Produces a few keyed records and prints where they went.
//!
//! `cargo run --example produce -- HOST:PORT TOPIC [PROFILE]`

use std::{error::Error, path::Path};
use weir_client::{Client, ClientConfig, Profile, Record};

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
    let producer = client.producer().build()?;
    let mut deliveries = Vec::new();
    for number in 0..10 {
        let (key, value) = (format!("key-{}", number % 3), format!("hello {number}"));
        let record = Record::new(&topic, value.as_bytes()).with_key(key.as_bytes());
        deliveries.push(producer.send(record).await?);
    }
    for delivery in deliveries {
        let place = delivery.await?;
        println!("partition {} offset {}", place.partition, place.offset);
    }
    producer.close().await?;
    Ok(())
}
