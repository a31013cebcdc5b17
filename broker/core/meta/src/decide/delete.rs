//! Deleting topics, by name or by id.

use super::{
    DecideError, Decision, at_most,
    streams::{held, users},
};
use crate::{
    command::{DeletedTopic, Outcome, Reply, TopicRef},
    image::Image,
    limits::TOPICS_PER_COMMAND_MAX,
    name,
    record::MetaRecord,
};
use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use weir_types::{ErrorCode, TopicId};

pub(super) fn delete(image: &Image, topics: &[TopicRef]) -> Result<Decision, DecideError> {
    at_most(topics.len(), TOPICS_PER_COMMAND_MAX, "topics")?;
    let mut records = Vec::new();
    let mut gone = BTreeSet::new();
    let mut results = Vec::new();
    let users = users(image);
    for wanted in topics {
        let mut result = one(image, wanted);
        if result.outcome.is_ok()
            && let Some(topic) = image.topic(result.id)
            && let Some(text) = held(image, topic, &users, |view| gone.contains(&view))
        {
            result.outcome = Outcome::error(ErrorCode::InvalidRequest, text);
        }
        if result.outcome.is_ok() {
            if gone.insert(result.id) {
                records.push(MetaRecord::TopicDeleted { id: result.id });
            } else {
                result.outcome = Outcome::error(
                    ErrorCode::InvalidRequest,
                    "the topic is named more than once".to_string(),
                );
            }
        }
        results.push(result);
    }
    Ok(Decision {
        records,
        reply: Reply::Deleted(results),
    })
}

fn one(image: &Image, wanted: &TopicRef) -> DeletedTopic {
    let (found, name, id, missing) = match wanted {
        TopicRef::Name(name) => (
            image.topic_named(name),
            Some(name.clone()),
            TopicId::ZERO,
            ErrorCode::UnknownTopicOrPartition,
        ),
        TopicRef::Id(id) => (image.topic(*id), None, *id, ErrorCode::UnknownTopicId),
    };
    let Some(topic) = found else {
        let text = match &name {
            Some(name) => format!("there is no topic '{name}'"),
            None => format!("there is no topic of id {id}"),
        };
        return DeletedTopic {
            name,
            id,
            outcome: Outcome::error(missing, text),
        };
    };
    let outcome = if name::is_internal(&topic.name) {
        Outcome::error(
            ErrorCode::InvalidTopicException,
            format!(
                "'{}' is an internal topic, which only the broker deletes",
                topic.name
            ),
        )
    } else {
        Outcome::default()
    };
    DeletedTopic {
        name: Some(String::from(&*topic.name)),
        id: topic.id,
        outcome,
    }
}
