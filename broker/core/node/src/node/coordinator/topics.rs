//! The topics as coordinators see them: made from the image, and told them when they change.

use super::{super::Node, State};
use crate::{event::Effect, patterns, request::PartitionKey};
use alloc::{sync::Arc, vec::Vec};
use weir_group::{GroupEvent, Name, TopicInfo, TopicTable};
use weir_meta::Image;
use weir_types::{Now, TopicId};

impl Node {
    /// The table of all topics, made anew if the image has moved on.
    pub(super) fn group_topics(&mut self) -> Arc<TopicTable> {
        if core::mem::take(&mut self.coordinators.topics_stale) {
            let topics = self.image.topics().map(|topic| {
                let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                let id = topic.id;
                (topic.name.clone(), TopicInfo { id, partitions })
            });
            self.coordinators.topics = Arc::new(TopicTable::new(topics));
        }
        self.coordinators.topics.clone()
    }

    /// The image has moved on: the coordinators that work hear of topics that are new, gone, or
    /// have more partitions.
    pub(in super::super) fn tell_topics(
        &mut self,
        now: Now,
        old: &Image,
        effects: &mut Vec<Effect>,
    ) {
        let image = &self.image;
        let gone = old.topics().filter(|t| image.topic(t.id).is_none());
        let gone: Vec<(Name, TopicId)> = gone.map(|t| (t.name.clone(), t.id)).collect();
        let differs = |topic: &Arc<weir_meta::Topic>| {
            let before = old.topic(topic.id);
            before.is_none_or(|before| before.partitions.len() != topic.partitions.len())
        };
        if gone.is_empty() && !image.topics().any(differs) {
            return;
        }
        self.coordinators.topics_stale = true;
        let rooms = self.coordinators.rooms.iter();
        let active = rooms.filter(|(_, room)| matches!(room.state, State::Active(_)));
        let active: Vec<PartitionKey> = active.map(|(key, _)| *key).collect();
        if active.is_empty() {
            return;
        }
        let topics = self.group_topics();
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
