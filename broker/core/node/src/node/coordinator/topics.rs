//! The topics as coordinators see them: made from the image, and told them when they change.

use super::{super::Node, State};
use crate::{event::Effect, patterns, request::PartitionKey};
use alloc::{sync::Arc, vec::Vec};
use weir_group::{GroupEvent, Name, TopicInfo, TopicTable};
use weir_meta::{Image, Topic};
use weir_types::{Now, TopicId};

impl Node {
    /// The table of all topics.
    pub(super) fn group_topics(&self) -> Arc<TopicTable> {
        self.coordinators.topics.clone()
    }

    /// The image has moved on: the table is changed by what has changed, and the coordinators that
    /// work hear of topics that are new, gone, or have more partitions.
    pub(in super::super) fn tell_topics(
        &mut self,
        now: Now,
        old: &Image,
        effects: &mut Vec<Effect>,
    ) {
        let mut gone: Vec<(Name, TopicId)> = Vec::new();
        let mut changed: Vec<(Name, TopicInfo)> = Vec::new();
        for (before, after) in self.image.topics_since(old) {
            match (before, after) {
                (Some(before), None) => gone.push((before.name.clone(), before.id)),
                (before, Some(after)) => {
                    let is_other = before
                        .is_none_or(|before| before.partitions.len() != after.partitions.len());
                    if is_other {
                        changed.push((after.name.clone(), info(after)));
                    }
                }
                (None, None) => {}
            }
        }
        if gone.is_empty() && changed.is_empty() {
            return;
        }
        let topics = Arc::new(self.coordinators.topics.with(&gone, changed));
        self.coordinators.topics = topics.clone();
        let rooms = self.coordinators.rooms.iter();
        let active = rooms.filter(|(_, room)| matches!(room.state, State::Active(_)));
        let active: Vec<PartitionKey> = active.map(|(key, _)| *key).collect();
        for key in active {
            if !gone.is_empty() {
                let event = GroupEvent::TopicsDeleted(gone.clone());
                self.group_event(now, key, event, effects);
            }
            self.group_event(now, key, GroupEvent::Topics(topics.clone()), effects);
        }
    }

    /// A coordinator wants to know which topics match.
    pub(super) fn resolve_pattern(
        &mut self,
        now: Now,
        key: PartitionKey,
        pattern: Name,
        effects: &mut Vec<Effect>,
    ) {
        let topics = patterns::matching(&pattern, &self.group_topics());
        let event = GroupEvent::PatternResolved { pattern, topics };
        self.group_event(now, key, event, effects);
    }
}

fn info(topic: &Topic) -> TopicInfo {
    TopicInfo {
        id: topic.id,
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
    }
}
