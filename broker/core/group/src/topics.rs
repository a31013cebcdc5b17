//! The topics as groups see them: names, ids and partition counts, made from the metadata image
//! and shared by all coordinators of a shard. It holds no rule.

use crate::Name;
use alloc::collections::BTreeMap;
use weir_types::TopicId;

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its identity (KIP-516).
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
}

/// Every topic of the cluster, by name and by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicTable {
    by_name: BTreeMap<Name, TopicInfo>,
    by_id: BTreeMap<TopicId, Name>,
}

impl TopicTable {
    /// The table of these topics.
    #[must_use]
    pub fn new(topics: impl IntoIterator<Item = (Name, TopicInfo)>) -> Self {
        let by_name: BTreeMap<Name, TopicInfo> = topics.into_iter().collect();
        let by_id = by_name
            .iter()
            .map(|(name, info)| (info.id, name.clone()))
            .collect();
        Self { by_name, by_id }
    }

    /// The topic of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TopicInfo> {
        self.by_name.get(name)
    }

    /// The name of the topic with that id.
    #[must_use]
    pub fn name(&self, id: TopicId) -> Option<&Name> {
        self.by_id.get(&id)
    }

    /// The topic with that id.
    #[must_use]
    pub fn by_id(&self, id: TopicId) -> Option<&TopicInfo> {
        self.by_name.get(self.by_id.get(&id)?)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.by_name.keys()
    }
}
