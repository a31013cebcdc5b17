//! What administrators were told about topics and their settings, and what they asked for without
//! hearing an answer.

use crate::{
    checks::{configs, topics, topics::Known},
    violation::Checked,
};
use std::collections::BTreeMap;
use weir_meta::Image;
use weir_types::TopicId;

/// A topic as far as clients know.
#[derive(Clone, Debug)]
pub struct TopicTruth {
    /// Its name.
    pub name: String,
    /// Its deletion was asked for.
    pub delete_asked: bool,
    /// Its deletion was acked.
    pub deleted: bool,
    /// It has at least this many partitions, and at most as many as were asked for.
    pub partitions: (i32, i32),
    /// Its settings as far as they were told, by name.
    pub settings: BTreeMap<String, Setting>,
}

/// One setting of a topic.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The last value whose setting was acked.
    pub acked: Option<String>,
    /// Values that were asked for without an answer; each may count, now or later.
    pub unclear: Vec<Option<String>>,
}

impl Setting {
    fn possible(&self) -> Vec<Option<String>> {
        let mut possible = self.unclear.clone();
        possible.push(self.acked.clone());
        possible
    }
}

/// All topics that were ever heard of.
#[derive(Debug, Default)]
pub struct ClusterTruth {
    topics: BTreeMap<TopicId, TopicTruth>,
    /// Names whose making was asked for and not answered.
    asked_names: BTreeMap<String, u32>,
}

impl ClusterTruth {
    /// A topic was made: acked to whoever asked, or seen in a metadata answer.
    pub fn made(&mut self, id: TopicId, name: &str, partitions: i32) {
        let topic = self.topics.entry(id).or_insert_with(|| TopicTruth {
            name: name.to_owned(),
            delete_asked: false,
            deleted: false,
            partitions: (partitions, partitions),
            settings: BTreeMap::new(),
        });
        topic.partitions.0 = topic.partitions.0.max(partitions);
        topic.partitions.1 = topic.partitions.1.max(partitions);
    }

    /// The topic of an id.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&TopicTruth> {
        self.topics.get(&id)
    }

    /// The topic of an id, to note something.
    pub fn topic_mut(&mut self, id: TopicId) -> Option<&mut TopicTruth> {
        self.topics.get_mut(&id)
    }

    /// Topics whose deletion nobody asked for.
    pub fn living(&self) -> impl Iterator<Item = (TopicId, &TopicTruth)> {
        let living = self.topics.iter().filter(|(_, topic)| !topic.delete_asked);
        living.map(|(id, topic)| (*id, topic))
    }

    /// Whether a topic may be gone.
    #[must_use]
    pub fn may_be_gone(&self, id: TopicId) -> bool {
        self.topics.get(&id).is_some_and(|topic| topic.delete_asked)
    }

    /// Somebody asks for a topic to be made.
    pub fn asked_for(&mut self, name: &str) {
        *self.asked_names.entry(name.to_owned()).or_default() += 1;
    }

    /// What is known about each topic now, before a question is asked.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<TopicId, Known> {
        let known = |topic: &TopicTruth| {
            if topic.deleted {
                Known::Gone
            } else if topic.delete_asked {
                Known::Unclear
            } else {
                Known::There
            }
        };
        self.topics
            .iter()
            .map(|(id, topic)| (*id, known(topic)))
            .collect()
    }

    /// A metadata answer lists all topics; `before` was known when it was asked for.
    ///
    /// # Errors
    /// Where a topic is missing or back, or nobody asked for it.
    pub fn listed(
        &mut self,
        before: &BTreeMap<TopicId, Known>,
        listed: &BTreeMap<TopicId, (String, i32)>,
    ) -> Checked {
        for (id, known) in before {
            // Whoever asked for a deletion meanwhile may have been faster.
            let known = match known {
                Known::There if self.may_be_gone(*id) => Known::Unclear,
                known => *known,
            };
            let topic = &self.topics[id];
            topics::listed(known, listed.contains_key(id), || {
                format!("topic {} ({id})", topic.name)
            })?;
        }
        for (id, (name, partitions)) in listed {
            if !self.topics.contains_key(id) && !self.asked_names.contains_key(name) {
                return topics::PROMISE.broken(format!("nobody asked for topic {name} ({id})"));
            }
            self.made(*id, name, *partitions);
        }
        Ok(())
    }

    /// Holds an image, agreed on behind everything that was acked, against what is known.
    ///
    /// # Errors
    /// Where a topic, its partitions or its settings are not as they must be.
    pub fn image(&self, image: &Image) -> Checked {
        for (id, known) in self.snapshot() {
            let truth = &self.topics[&id];
            let found = image.topic(id);
            topics::listed(known, found.is_some(), || format!("topic {}", truth.name))?;
            let Some(found) = found else { continue };
            let count = i32::try_from(found.partitions.len()).unwrap_or(i32::MAX);
            topics::PROMISE.holds(
                truth.partitions.0 <= count && count <= truth.partitions.1,
                || {
                    format!(
                        "topic {} has {count} partitions, it may have {:?}",
                        truth.name, truth.partitions
                    )
                },
            )?;
            for (name, setting) in &truth.settings {
                let value = found.overrides.get(name.as_str());
                configs::holds(&setting.possible(), value, || {
                    format!("{name} of {}", truth.name)
                })?;
            }
        }
        Ok(())
    }
}
