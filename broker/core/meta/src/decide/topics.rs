//! Making topics: Kafka's rules for names, counts, assignments and settings, each topic with its
//! own outcome.

use super::{DecideError, Decision, at_most, configs::check_attached};
use crate::{
    command::{CreateTopics, CreatedTopic, NewTopic, Outcome, Reply},
    config::check_value,
    image::{Image, Partition, partition_record},
    limits::{
        PARTITIONS_PER_COMMAND_MAX, PARTITIONS_TOTAL_MAX, REPLICAS_MAX, TOPICS_PER_COMMAND_MAX,
    },
    name,
    record::MetaRecord,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use weir_types::{
    BrokerId, ErrorCode, LeaderEpoch, Now, PartitionIndex, TopicId, limits::TOPIC_PARTITIONS_MAX,
};

/// A refusal: Kafka's code and one sentence.
pub(super) type Refusal = (ErrorCode, String);

pub(super) fn create(
    image: &Image,
    now: Now,
    create: &CreateTopics,
    internal: bool,
) -> Result<Decision, DecideError> {
    at_most(create.topics.len(), TOPICS_PER_COMMAND_MAX, "topics")?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in &create.topics {
        *counts.entry(&topic.name).or_default() += 1;
    }
    let mut batch = Batch {
        image,
        taken: BTreeSet::new(),
        forms: collision_forms(image, create),
        room: PARTITIONS_TOTAL_MAX.saturating_sub(image.partition_count()),
        room_here: PARTITIONS_PER_COMMAND_MAX,
        internal,
    };
    let mut records = Vec::new();
    let mut results = Vec::new();
    for topic in &create.topics {
        let planned = if counts[topic.name.as_str()] > 1 {
            Err((
                ErrorCode::InvalidRequest,
                format!("topic '{}' is named more than once", topic.name),
            ))
        } else {
            batch.plan(topic, create)
        };
        results.push(match planned {
            Ok(partitions) => {
                let made = made(topic, &partitions);
                if !create.validate_only {
                    topic_records(topic, now, &partitions, &made.overrides, &mut records);
                }
                made
            }
            Err((error, message)) => CreatedTopic {
                name: topic.name.clone(),
                id: TopicId::ZERO,
                outcome: Outcome::error(error, message),
                num_partitions: -1,
                replication_factor: -1,
                overrides: Vec::new(),
            },
        });
    }
    Ok(Decision {
        records,
        reply: Reply::Created(results),
    })
}

/// Existing names, by the form in which they collide; only worth making when something is asked.
fn collision_forms(image: &Image, create: &CreateTopics) -> BTreeMap<String, Arc<str>> {
    let can_collide = |text: &str| text.contains(['.', '_']);
    if !create.topics.iter().any(|topic| can_collide(&topic.name)) {
        return BTreeMap::new();
    }
    image
        .topics()
        .filter(|topic| can_collide(&topic.name))
        .map(|topic| (name::collision_form(&topic.name), topic.name.clone()))
        .collect()
}

/// What one command has planned so far.
struct Batch<'a> {
    image: &'a Image,
    taken: BTreeSet<TopicId>,
    forms: BTreeMap<String, Arc<str>>,
    room: usize,
    room_here: usize,
    /// The broker makes them for itself.
    internal: bool,
}

impl Batch<'_> {
    /// The partitions the topic would have.
    fn plan(&mut self, topic: &NewTopic, create: &CreateTopics) -> Result<Vec<Partition>, Refusal> {
        check_free(self.image, &self.forms, self.internal, &topic.name)?;
        let id_taken = self.image.topic(topic.id).is_some() || self.taken.contains(&topic.id);
        if id_taken || topic.id == TopicId::ZERO {
            let text = "the topic's random id is taken; try again".to_string();
            return Err((ErrorCode::UnknownServerError, text));
        }
        let partitions = if topic.assignments.is_empty() {
            self.spread(topic, create)?
        } else {
            self.assigned(topic)?
        };
        check_configs(self.image, topic)?;
        let replicas = partitions.first().map_or(0, |p| p.replicas.len());
        take_room(partitions.len(), &mut self.room, &mut self.room_here)?;
        assert!(replicas > 0, "every partition has a replica");
        self.taken.insert(topic.id);
        self.forms.insert(
            name::collision_form(&topic.name),
            topic.name.as_str().into(),
        );
        Ok(partitions)
    }

    fn spread(&self, topic: &NewTopic, create: &CreateTopics) -> Result<Vec<Partition>, Refusal> {
        let count = match topic.num_partitions {
            -1 => create.num_partitions_default,
            count => count,
        };
        let count = partition_count(count)?;
        let factor = match topic.replication_factor {
            -1 => create.replication_factor_default,
            factor => factor,
        };
        let first = usize::from(topic.id.0[15]);
        spread(self.image, first, 0..count, factor)
    }

    fn assigned(&self, topic: &NewTopic) -> Result<Vec<Partition>, Refusal> {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let text = "with a replica assignment the number of partitions and the replication factor must be -1";
            return Err((ErrorCode::InvalidRequest, text.to_string()));
        }
        let mut by_index = topic.assignments.clone();
        by_index.sort_by_key(|(index, _)| *index);
        let mut partitions = Vec::new();
        for (place, (index, replicas)) in by_index.iter().enumerate() {
            if i32::try_from(place) != Ok(index.0) {
                let text =
                    "assigned partitions must be numbered 0, 1, 2 … without gaps".to_string();
                return Err((ErrorCode::InvalidReplicaAssignment, text));
            }
            partitions.push(assigned(self.image, *index, replicas)?);
        }
        partition_count(i32::try_from(partitions.len()).unwrap_or(i32::MAX))?;
        let same = |p: &Partition| p.replicas.len() == partitions[0].replicas.len();
        if !partitions.iter().all(same) {
            let text = "all partitions must have the same number of replicas".to_string();
            return Err((ErrorCode::InvalidReplicaAssignment, text));
        }
        Ok(partitions)
    }
}

/// Takes room for new partitions, in the cluster and in this command.
pub(super) fn take_room(
    count: usize,
    room: &mut usize,
    room_here: &mut usize,
) -> Result<(), Refusal> {
    if count > *room {
        let text = format!("the cluster may have {PARTITIONS_TOTAL_MAX} partitions at most");
        return Err((ErrorCode::InvalidPartitions, text));
    }
    if count > *room_here {
        let text = format!(
            "one request may make {PARTITIONS_PER_COMMAND_MAX} partitions at most; make the rest with another"
        );
        return Err((ErrorCode::PolicyViolation, text));
    }
    *room -= count;
    *room_here -= count;
    Ok(())
}

fn partition_count(count: i32) -> Result<usize, Refusal> {
    match usize::try_from(count) {
        Ok(n) if (1..=TOPIC_PARTITIONS_MAX).contains(&n) => Ok(n),
        _ => Err((
            ErrorCode::InvalidPartitions,
            format!("a topic has from 1 to {TOPIC_PARTITIONS_MAX} partitions, not {count}"),
        )),
    }
}

/// Spreads partitions over the brokers, the first leader chosen by `first`.
pub(super) fn spread(
    image: &Image,
    first: usize,
    indexes: core::ops::Range<usize>,
    factor: i16,
) -> Result<Vec<Partition>, Refusal> {
    let brokers: Vec<BrokerId> = image.brokers().map(|broker| broker.id).collect();
    let refuse = |text| Err((ErrorCode::InvalidReplicationFactor, text));
    let factor = match usize::try_from(factor) {
        Ok(factor) if (1..=REPLICAS_MAX).contains(&factor) => factor,
        _ => {
            return refuse(format!(
                "the replication factor must be from 1 to {REPLICAS_MAX}, not {factor}"
            ));
        }
    };
    if factor > brokers.len() {
        return refuse(format!(
            "the replication factor is {factor}, but there are {} brokers",
            brokers.len()
        ));
    }
    let place = |index: usize, replica: usize| brokers[(first + index + replica) % brokers.len()];
    Ok(indexes
        .map(|index| partition((0..factor).map(|replica| place(index, replica)).collect()))
        .collect())
}

/// A partition whose replicas the request names.
pub(super) fn assigned(
    image: &Image,
    index: PartitionIndex,
    replicas: &[BrokerId],
) -> Result<Partition, Refusal> {
    let refuse = |text| Err((ErrorCode::InvalidReplicaAssignment, text));
    if replicas.is_empty() || replicas.len() > REPLICAS_MAX {
        return refuse(format!(
            "partition {index} needs from 1 to {REPLICAS_MAX} replicas, not {}",
            replicas.len()
        ));
    }
    for (place, broker) in replicas.iter().enumerate() {
        if image.broker(*broker).is_none() {
            return refuse(format!(
                "partition {index} names broker {broker}, which is not there"
            ));
        }
        if replicas[..place].contains(broker) {
            return refuse(format!("partition {index} names broker {broker} twice"));
        }
    }
    Ok(partition(replicas.to_vec()))
}

fn partition(replicas: Vec<BrokerId>) -> Partition {
    Partition {
        leader: replicas.first().copied(),
        leader_epoch: LeaderEpoch(0),
        isr: replicas.clone(),
        replicas,
    }
}

fn check_configs(image: &Image, topic: &NewTopic) -> Result<(), Refusal> {
    let invalid = |text| (ErrorCode::InvalidConfig, text);
    let mut seen = BTreeSet::new();
    for (name, value) in &topic.configs {
        if !seen.insert(name) {
            return Err(invalid(format!("setting '{name}' is named more than once")));
        }
        let value = value
            .as_deref()
            .ok_or_else(|| invalid(format!("setting '{name}' has no value")))?;
        check_value(name, value).map_err(invalid)?;
        check_attached(image, &topic.name, name, value.trim())?;
    }
    Ok(())
}

/// Checks the name of something that is about to share the topics' names.
pub(super) fn check_name(image: &Image, text: &str) -> Result<(), Refusal> {
    let form = name::collision_form(text);
    let mut forms = BTreeMap::new();
    if text.contains(['.', '_']) {
        let topics = image.topics();
        let other = topics
            .map(|topic| &topic.name)
            .find(|other| name::collision_form(other) == form);
        forms.extend(other.map(|other| (form, other.clone())));
    }
    check_free(image, &forms, false, text)
}

fn check_free(
    image: &Image,
    forms: &BTreeMap<String, Arc<str>>,
    internal: bool,
    text: &str,
) -> Result<(), Refusal> {
    let invalid = |message| (ErrorCode::InvalidTopicException, message);
    name::check(text).map_err(invalid)?;
    if let Some(topic) = image.topic_named(text) {
        let kind = if topic.view.is_some() {
            "view"
        } else {
            "topic"
        };
        let message = format!("{kind} '{text}' exists already");
        return Err((ErrorCode::TopicAlreadyExists, message));
    }
    if !internal && name::is_internal(text) {
        return Err(invalid(format!(
            "'{text}' is an internal topic, which only the broker makes"
        )));
    }
    match forms.get(&name::collision_form(text)) {
        Some(other) if **other != *text => Err(invalid(format!(
            "topic '{text}' collides with topic '{other}': names may not differ only in '.' and '_'"
        ))),
        _ => Ok(()),
    }
}

fn made(topic: &NewTopic, partitions: &[Partition]) -> CreatedTopic {
    let replicas = partitions.first().map_or(0, |p| p.replicas.len());
    CreatedTopic {
        name: topic.name.clone(),
        id: topic.id,
        outcome: Outcome::default(),
        num_partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        overrides: topic
            .configs
            .iter()
            .filter_map(|(name, value)| {
                let value = value.as_deref()?.trim();
                Some((Arc::from(name.as_str()), value.to_string()))
            })
            .collect(),
    }
}

fn topic_records(
    topic: &NewTopic,
    now: Now,
    partitions: &[Partition],
    overrides: &[(Arc<str>, String)],
    records: &mut Vec<MetaRecord>,
) {
    records.push(MetaRecord::Topic {
        id: topic.id,
        name: topic.name.as_str().into(),
        created_at: now.wall,
    });
    for (index, partition) in partitions.iter().enumerate() {
        records.push(partition_record(topic.id, index, partition));
    }
    for (name, value) in overrides {
        records.push(MetaRecord::TopicConfig {
            topic: topic.id,
            name: name.clone(),
            value: Some(value.clone()),
        });
    }
}
