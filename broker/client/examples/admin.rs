//! Describes the cluster and its topics; with a topic's name makes that topic first.
//!
//! `cargo run --example admin -- HOST:PORT [TOPIC]`

use std::error::Error;
use weir_client::{
    Client, ClientConfig, ErrorCode, TopicPartition,
    admin::{ConfigResource, NewTopic, OffsetSpec},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".into());
    let client = Client::connect(ClientConfig::new([bootstrap])).await?;
    let admin = client.admin();
    if let Some(name) = arguments.next() {
        match admin.create_topic(NewTopic::new(&name, 3)).await {
            Ok(topic) => println!("made {} ({})", topic.name, topic.id),
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                println!("{name} is there already");
            }
            Err(error) => return Err(error.into()),
        }
    }
    let cluster = admin.describe_cluster().await?;
    println!("cluster {}", cluster.id);
    for broker in &cluster.brokers {
        println!("  broker {} at {}:{}", broker.id, broker.host, broker.port);
    }
    for topic in admin.list_topics().await? {
        let partitions = (0..topic.partitions).filter_map(|index| i32::try_from(index).ok());
        let ends = partitions
            .map(|index| TopicPartition::new(topic.name.as_str(), index))
            .map(|partition| (partition, OffsetSpec::Latest));
        let ends = admin.list_offsets(ends).await;
        println!("{} ({} partitions)", topic.name, topic.partitions);
        for (partition, end) in ends {
            println!("  {partition} ends at {:?}", end?.offset);
        }
        let resource = ConfigResource::topic(&topic.name);
        let names = ["retention.ms".to_owned()];
        for config in admin.describe_configs(&resource, Some(&names)).await? {
            println!("  {} = {:?}", config.name, config.value);
        }
    }
    Ok(())
}
