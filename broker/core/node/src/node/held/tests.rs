//! How much work held questions make: counted, never timed.

use super::*;
use crate::{NodeConfig, event::Event, request::Answer};
use alloc::{string::ToString, sync::Arc, vec};
use weir_meta::{
    Command, Image,
    command::{CreateTopics, NewTopic, RegisterBroker},
    decide,
};
use weir_types::{
    BrokerId, PartitionIndex, ShardId, StorePartition, TimestampMs, TopicId,
    limits::TOPIC_PARTITIONS_MAX,
    log::{LogEvent, LogState},
};

const NOW: Now = Now {
    tick: Tick(0),
    wall: TimestampMs(0),
};
const TOPIC: TopicId = TopicId([1; 16]);
/// Questions that wait at a time.
const QUESTIONS: usize = 20;

/// The image of a broker with the largest topic.
fn largest() -> Arc<Image> {
    let register = Command::RegisterBroker(RegisterBroker {
        id: BrokerId(1),
        new_cluster_id: "cluster".into(),
        listeners: Vec::new(),
        rack: None,
    });
    let create = Command::CreateTopics(CreateTopics {
        topics: vec![NewTopic {
            id: TOPIC,
            name: "orders".to_string(),
            num_partitions: i32::try_from(TOPIC_PARTITIONS_MAX).unwrap(),
            replication_factor: 1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }],
        validate_only: false,
        num_partitions_default: 1,
        replication_factor_default: 1,
    });
    let mut image = Image::default();
    for command in [register, create] {
        let decision = decide(&image, NOW, &command).unwrap();
        image.apply_entry(image.applied() + 1, &decision.records);
    }
    Arc::new(image)
}

fn keys() -> impl DoubleEndedIterator<Item = PartitionKey> {
    let count = i32::try_from(TOPIC_PARTITIONS_MAX).unwrap();
    (0..count).map(|index| PartitionKey {
        topic: TOPIC,
        index: PartitionIndex(index),
    })
}

/// Asks about all partitions before any is open, opens them in this order, and gives the looks it
/// took.
fn looks(order: impl Iterator<Item = PartitionKey>) -> usize {
    let mut node = Node::new(NOW, NodeConfig::new(ShardId(0), 1, BrokerId(1)));
    let mut effects = Vec::new();
    let image = largest();
    let seen = image.applied();
    for number in 0..QUESTIONS {
        let event = Event::Ask {
            id: RequestId(u64::try_from(number).unwrap()),
            seen,
            ask: Ask::Sizes(Some(keys().collect())),
        };
        node.step(NOW, event, &mut effects);
    }
    let proposal = None;
    node.step(NOW, Event::Agreed { image, proposal }, &mut effects);
    assert_eq!(node.held.len(), QUESTIONS);
    node.check();
    effects.clear();
    for key in order {
        let event = LogEvent::Opened {
            topic: key.topic,
            index: key.index,
            partition: StorePartition(u32::try_from(key.index.0).unwrap()),
            state: LogState::default(),
        };
        node.step(NOW, Event::Log(event), &mut effects);
    }
    node.check();
    let answered: Vec<u64> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Answer {
                id,
                answer: Answer::Sizes(sizes),
            } if sizes.len() == TOPIC_PARTITIONS_MAX => Some(id.0),
            _ => None,
        })
        .collect();
    let asked: Vec<u64> = (0..QUESTIONS as u64).collect();
    assert_eq!(answered, asked, "all are answered in order");
    node.held.looks
}

#[test]
fn a_partition_that_opens_makes_no_question_look_at_all_of_its_others() {
    // Each is looked at when it comes to it and, if it must be waited for, when it is open.
    let most = 2 * QUESTIONS * TOPIC_PARTITIONS_MAX;
    let (forth, back) = (looks(keys()), looks(keys().rev()));
    assert!(forth <= most, "{forth} looks, {most} at most");
    assert!(back <= most, "{back} looks, {most} at most");
}
