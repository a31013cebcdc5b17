//! What a client knows of the cluster's topics, asked for anew when it was wrong.

use super::{Context, job::is_hidden, link::Link, link::version};
use crate::{
    checks::{protocol, topics::Known},
    violation::Checked,
};
use std::collections::BTreeMap;
use weir_node::request::PartitionKey;
use weir_types::{ErrorCode, PartitionIndex, TopicId};
use weir_wire::{
    ApiKey,
    messages::{MetadataRequest, MetadataResponse},
};

/// Metadata names topics by id from this version on.
const METADATA_IDS_FROM: i16 = 10;

/// Topics by id: name and how many partitions.
#[derive(Debug, Default)]
pub struct Directory {
    topics: BTreeMap<TopicId, (String, i32)>,
    /// The question under way, with what was known when it was asked.
    asked: Option<(i32, BTreeMap<TopicId, Known>)>,
    asked_at: u64,
    known: bool,
    stale: bool,
    /// Whether it knows topics that nobody else looks at.
    everything: bool,
}

impl Directory {
    /// One that also knows topics that nobody else looks at.
    #[must_use]
    pub fn of_everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Asks for all topics if that is needed and not asked already.
    pub fn refresh(&mut self, link: &mut Link, context: &mut Context<'_>, every_ms: u64) {
        let old = self.asked_at + every_ms <= context.now.tick.0;
        if self.asked.is_some() || !link.is_up() || !(old || self.stale || !self.known) {
            return;
        }
        // Not more often than that, also where something is wrong.
        if self.known && self.asked_at + 20 > context.now.tick.0 {
            return;
        }
        let body = MetadataRequest {
            topics: None,
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let version = version(context.random, ApiKey::Metadata, METADATA_IDS_FROM);
        let known = context.cluster.snapshot();
        let asked = link.send(context, version, &body, true, 0);
        self.asked = Some((asked, known));
        self.asked_at = context.now.tick.0;
    }

    /// The connection is gone.
    pub fn down(&mut self) {
        self.asked = None;
        self.stale = true;
    }

    /// Something that is not in here was met, or the other way round.
    pub fn is_wrong(&mut self) {
        self.stale = true;
    }

    /// Whether it was filled once.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Takes the answer to its question.
    ///
    /// # Errors
    /// Where it contradicts what is known.
    pub fn answered(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: &MetadataResponse,
    ) -> Checked {
        let Some((_, before)) = self.asked.take_if(|(asked, _)| *asked == correlation_id) else {
            return protocol::unexpected("metadata that nobody asked for");
        };
        if response.error_code != ErrorCode::None {
            return protocol::unexpected(format!("metadata: {}", response.error_code));
        }
        let mut listed = BTreeMap::new();
        for topic in &response.topics {
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            if topic.error_code != ErrorCode::None {
                return protocol::unexpected(format!("metadata of {name}: {}", topic.error_code));
            }
            if topic.is_internal {
                // The broker made it, and nobody here reads it.
                continue;
            }
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            listed.insert(topic.topic_id, (name.to_owned(), count));
        }
        context.cluster.listed(&before, &listed)?;
        if !self.everything {
            listed.retain(|_, (name, _)| !is_hidden(name));
        }
        self.topics = listed;
        self.known = true;
        self.stale = false;
        Ok(())
    }

    /// Every partition, with its topic's name.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionKey, &str)> {
        self.topics.iter().flat_map(|(topic, (name, count))| {
            (0..*count).map(move |index| {
                let key = PartitionKey {
                    topic: *topic,
                    index: PartitionIndex(index),
                };
                (key, name.as_str())
            })
        })
    }

    /// The id of the topic of that name.
    #[must_use]
    pub fn id_of(&self, name: &str) -> Option<TopicId> {
        let mut topics = self.topics.iter();
        topics
            .find(|(_, (known, _))| known == name)
            .map(|(id, _)| *id)
    }

    /// The topics.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &str, i32)> {
        self.topics
            .iter()
            .map(|(id, (name, count))| (*id, name.as_str(), *count))
    }

    /// The name of a topic.
    #[must_use]
    pub fn name_of(&self, id: TopicId) -> Option<&str> {
        self.topics.get(&id).map(|(name, _)| name.as_str())
    }
}
