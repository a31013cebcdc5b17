//! Adding partitions to topics; their number only grows.

use super::{
    DecideError, Decision, at_most,
    topics::{Refusal, assigned, spread, take_room},
};
use crate::{
    command::{CreatePartitions, NamedResult, NewPartitions, Outcome, Reply},
    image::{Image, Partition, Topic, partition_record},
    limits::{PARTITIONS_PER_COMMAND_MAX, PARTITIONS_TOTAL_MAX, TOPICS_PER_COMMAND_MAX},
    name,
};
use alloc::{collections::BTreeMap, format, string::ToString, vec::Vec};
use weir_types::{BrokerId, ErrorCode, PartitionIndex, limits::TOPIC_PARTITIONS_MAX};

pub(super) fn create(image: &Image, create: &CreatePartitions) -> Result<Decision, DecideError> {
    at_most(create.topics.len(), TOPICS_PER_COMMAND_MAX, "topics")?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in &create.topics {
        *counts.entry(&topic.name).or_default() += 1;
    }
    let mut room = PARTITIONS_TOTAL_MAX.saturating_sub(image.partition_count());
    let mut room_here = PARTITIONS_PER_COMMAND_MAX;
    let mut records = Vec::new();
    let mut results = Vec::new();
    for wanted in &create.topics {
        let planned = if counts[wanted.name.as_str()] > 1 {
            let text = format!("topic '{}' is named more than once", wanted.name);
            Err((ErrorCode::InvalidRequest, text))
        } else {
            plan(image, wanted).and_then(|(topic, added)| {
                take_room(added.len(), &mut room, &mut room_here)?;
                Ok((topic, added))
            })
        };
        let outcome = match planned {
            Ok((topic, added)) => {
                if !create.validate_only {
                    let first = topic.partitions.len();
                    for (place, partition) in added.iter().enumerate() {
                        records.push(partition_record(topic.id, first + place, partition));
                    }
                }
                Outcome::default()
            }
            Err((error, message)) => Outcome::error(error, message),
        };
        results.push(NamedResult {
            name: wanted.name.clone(),
            outcome,
        });
    }
    Ok(Decision {
        records,
        reply: Reply::Partitions(results),
    })
}

fn plan<'a>(
    image: &'a Image,
    wanted: &NewPartitions,
) -> Result<(&'a Topic, Vec<Partition>), Refusal> {
    let Some(topic) = image.topic_named(&wanted.name) else {
        return Err((
            ErrorCode::UnknownTopicOrPartition,
            format!("there is no topic '{}'", wanted.name),
        ));
    };
    if name::is_internal(&topic.name) {
        // Which partition keeps what follows from how many there are.
        return Err((
            ErrorCode::InvalidTopicException,
            format!(
                "'{}' is an internal topic: its partitions are counted when it is made",
                topic.name
            ),
        ));
    }
    if topic.view.is_some() {
        return Err((
            ErrorCode::InvalidTopicException,
            format!(
                "'{}' is a view: it gets its partitions from its source",
                topic.name
            ),
        ));
    }
    let invalid = |text| (ErrorCode::InvalidPartitions, text);
    let now = topic.partitions.len();
    let count = usize::try_from(wanted.count)
        .map_err(|_| invalid(format!("a topic cannot have {} partitions", wanted.count)))?;
    if count > TOPIC_PARTITIONS_MAX {
        return Err(invalid(format!(
            "a topic has at most {TOPIC_PARTITIONS_MAX} partitions, not {count}"
        )));
    }
    if count < now {
        return Err(invalid(format!(
            "topic '{}' has {now} partitions; their number cannot be lowered to {count}",
            topic.name
        )));
    }
    if count == now {
        return Err(invalid(format!(
            "topic '{}' already has {now} partitions",
            topic.name
        )));
    }
    let factor = topic.partitions.first().map_or(1, |p| p.replicas.len());
    let added = match &wanted.assignments {
        None => spread(
            image,
            usize::from(topic.id.0[15]),
            now..count,
            i16::try_from(factor).unwrap_or(i16::MAX),
        )?,
        Some(assignments) => by_hand(image, now..count, factor, assignments)?,
    };
    Ok((topic, added))
}

fn by_hand(
    image: &Image,
    indexes: core::ops::Range<usize>,
    factor: usize,
    assignments: &[Vec<BrokerId>],
) -> Result<Vec<Partition>, Refusal> {
    let refuse = |text| Err((ErrorCode::InvalidReplicaAssignment, text));
    if assignments.len() != indexes.len() {
        return refuse(format!(
            "{} partitions are added, but {} are assigned",
            indexes.len(),
            assignments.len()
        ));
    }
    if assignments.iter().any(|replicas| replicas.len() != factor) {
        return refuse(
            "every partition must have as many replicas as the topic's others".to_string(),
        );
    }
    indexes
        .zip(assignments)
        .map(|(index, replicas)| {
            let index = PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX));
            assigned(image, index, replicas)
        })
        .collect()
}
