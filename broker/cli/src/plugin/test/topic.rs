//! The last records of a topic, read as any client reads them.

use super::Input;
use crate::failure::Outcome;
use crate::names;
use crate::plugin::sample::Sample;
use crate::topic::offsets;
use std::collections::BTreeMap;
use weir_client::{Client, Offset, SeekTo, TopicPartition};

/// The last records of each partition.
pub(crate) async fn last(client: &Client, name: &str, count: u32) -> Outcome<Input> {
    let topic = names::topic(client, name).await?;
    let ends = offsets::ends(client, &topic).await?;
    let mut left = BTreeMap::new();
    let mut places = Vec::new();
    for ends in &ends {
        let from = (ends.end - i64::from(count)).max(ends.start);
        if from < ends.end {
            let partition = TopicPartition::new(name, ends.partition);
            places.push((partition.clone(), SeekTo::Offset(Offset(from))));
            left.insert(partition, ends.end);
        }
    }
    let mut consumer = client.consumer().build()?;
    consumer.assign(places).await?;
    let mut samples = Vec::new();
    while !left.is_empty() {
        let batch = consumer.next_batch().await?;
        let Some(end) = left.get(batch.partition()).copied() else {
            continue;
        };
        let read = Sample::of_batch(&batch)?;
        samples.extend(read.into_iter().filter(|sample| sample.offset < end));
        if batch.next_offset().0 >= end {
            left.remove(batch.partition());
            consumer.unassign([batch.partition()]);
        }
    }
    samples.sort_by_key(|sample| (sample.partition, sample.offset));
    Ok(Input {
        topic: name.to_owned(),
        samples,
        partitions: u32::try_from(topic.partitions.len()).ok(),
    })
}
