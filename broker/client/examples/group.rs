//! Reads a share of some topics as a member of a group, and tells what it is given and loses.
//!
//! `cargo run --example group -- HOST:PORT GROUP TOPIC[,TOPIC...] [consumer|classic] [PROFILE]`
//!
//! Start it several times with the same group to see partitions change hands.

use std::{collections::BTreeSet, error::Error, path::Path};
use weir_client::{
    Client, ClientConfig, OffsetReset, Profile, RebalanceListener, TopicPartition,
    group::FinalCommit,
};

struct Told;

fn list(partitions: &BTreeSet<TopicPartition>) -> String {
    let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
    names.join(" ")
}

impl RebalanceListener for Told {
    fn assigned(&mut self, partitions: &BTreeSet<TopicPartition>) {
        println!("+ {}", list(partitions));
    }

    fn revoked(&mut self, partitions: &BTreeSet<TopicPartition>, _: &mut FinalCommit) {
        println!("- {}", list(partitions));
    }

    fn lost(&mut self, partitions: &BTreeSet<TopicPartition>) {
        println!("lost {}", list(partitions));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".into());
    let group = arguments.next().unwrap_or_else(|| "readers".into());
    let topics = arguments.next().unwrap_or_else(|| "greetings".into());
    let protocol = arguments.next().unwrap_or_else(|| "consumer".into());
    let mut config = ClientConfig::new([bootstrap]);
    if let Some(file) = arguments.next() {
        config = config.with_profile(Profile::read(Path::new(&file))?);
    }
    let client = Client::connect(config).await?;
    let mut consumer = client
        .group(&group)
        .topics(topics.split(','))
        .protocol(protocol.parse()?)
        .offset_reset(OffsetReset::Earliest)
        .listener(Told)
        .build()?;
    // Until Enter; records that were printed are then committed, and others take over at once.
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let read = std::io::stdin().read_line(&mut String::new());
        drop((read, stop));
    });
    loop {
        tokio::select! {
            record = consumer.next() => {
                let record = record?;
                let value = record.value.unwrap_or_default();
                let value = String::from_utf8_lossy(&value);
                println!("{}-{} {}: {value}", record.topic, record.partition, record.offset);
            }
            _ = &mut stopped => break,
        }
    }
    consumer.close().await?;
    Ok(())
}
