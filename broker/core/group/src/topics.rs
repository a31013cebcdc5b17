//! The topics as groups see them: names, ids and partition counts, made from the metadata image
//! and shared by all coordinators of a shard. It holds no rule.

use crate::Name;
use alloc::{collections::BTreeMap, sync::Arc};
use core::cmp::Ordering;
use weir_types::TopicId;

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its identity (KIP-516).
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
}

/// Every topic of the cluster, by name and by id. A changed table shares with the one before what
/// did not change.
#[derive(Clone, Debug, Default)]
pub struct TopicTable {
    base: Arc<Base>,
    /// What has changed since: the topic of a name, or that it is gone.
    changed: BTreeMap<Name, Option<TopicInfo>>,
    changed_ids: BTreeMap<TopicId, Option<Name>>,
}

#[derive(Debug, Default)]
struct Base {
    by_name: BTreeMap<Name, TopicInfo>,
    by_id: BTreeMap<TopicId, Name>,
}

impl TopicTable {
    /// Changes that stand beside any base; beyond, their number grows with the base's root, so
    /// that neither they nor the bases made anew cost much.
    const CHANGES_MIN: usize = 64;

    /// The table of these topics.
    #[must_use]
    pub fn new(topics: impl IntoIterator<Item = (Name, TopicInfo)>) -> Self {
        let by_name: BTreeMap<Name, TopicInfo> = topics.into_iter().collect();
        let by_id = by_name
            .iter()
            .map(|(name, info)| (info.id, name.clone()))
            .collect();
        Self {
            base: Arc::new(Base { by_name, by_id }),
            ..Self::default()
        }
    }

    /// The same without the topics that are gone, and with those that are new or other than they
    /// were.
    #[must_use]
    pub fn with(
        &self,
        gone: &[(Name, TopicId)],
        changed: impl IntoIterator<Item = (Name, TopicInfo)>,
    ) -> Self {
        let mut table = self.clone();
        for (name, id) in gone {
            table.changed.insert(name.clone(), None);
            table.changed_ids.insert(*id, None);
        }
        for (name, info) in changed {
            table.changed_ids.insert(info.id, Some(name.clone()));
            table.changed.insert(name, Some(info));
        }
        let bound = Self::CHANGES_MIN + 4 * table.base.by_name.len().isqrt();
        if table.changed.len() <= bound {
            return table;
        }
        Self::new(
            table
                .iter()
                .map(|(name, info)| (name.clone(), info.clone())),
        )
    }

    /// The topic of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TopicInfo> {
        match self.changed.get(name) {
            Some(changed) => changed.as_ref(),
            None => self.base.by_name.get(name),
        }
    }

    /// The name of the topic with that id.
    #[must_use]
    pub fn name(&self, id: TopicId) -> Option<&Name> {
        match self.changed_ids.get(&id) {
            Some(changed) => changed.as_ref(),
            None => self.base.by_id.get(&id),
        }
    }

    /// The topic with that id.
    #[must_use]
    pub fn by_id(&self, id: TopicId) -> Option<&TopicInfo> {
        self.get(self.name(id)?)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.iter().map(|(name, _)| name)
    }

    /// All topics, by name.
    fn iter(&self) -> impl Iterator<Item = (&Name, &TopicInfo)> {
        let mut base = self.base.by_name.iter().peekable();
        let mut changed = self.changed.iter().peekable();
        core::iter::from_fn(move || {
            loop {
                let order = match (base.peek(), changed.peek()) {
                    (None, None) => return None,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some((old, _)), Some((new, _))) => old.cmp(new),
                };
                let old = base.next_if(|_| order.is_le());
                match changed.next_if(|_| order.is_ge()) {
                    None => return old,
                    Some((name, Some(info))) => return Some((name, info)),
                    Some((_, None)) => {}
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec::Vec};

    fn row(number: usize, id: u8, partitions: i32) -> (Name, TopicInfo) {
        let id = TopicId([id; 16]);
        let name = Name::from(format!("t{number:03}"));
        (name, TopicInfo { id, partitions })
    }

    /// What a table says must be what a plain map says.
    fn same(table: &TopicTable, plain: &BTreeMap<Name, TopicInfo>) {
        assert!(table.iter().eq(plain.iter()));
        assert!(table.names().eq(plain.keys()));
        for (name, info) in plain {
            assert_eq!(table.get(name), Some(info));
            assert_eq!(table.name(info.id), Some(name));
            assert_eq!(table.by_id(info.id), Some(info));
        }
    }

    #[test]
    fn a_changed_table_is_what_a_new_one_would_be() {
        let mut plain: BTreeMap<Name, TopicInfo> = (0..50).map(|n| row(2 * n, 1, 1)).collect();
        plain.values_mut().enumerate().for_each(|(number, info)| {
            info.id = TopicId([u8::try_from(number).unwrap(); 16]);
        });
        let mut table = TopicTable::new(plain.clone());
        for round in 0..200_usize {
            let id = u8::try_from(50 + round).unwrap();
            // One grows or comes, and one goes, now and then to come back as another.
            let place = (round * 37) % 120;
            let (name, info) = row(place, id, i32::from(id));
            let before = plain.remove(&name);
            let mut gone: Vec<_> = before
                .map(|info| (name.clone(), info.id))
                .into_iter()
                .collect();
            let (other, _) = row((round * 53) % 120, 0, 0);
            if other != name
                && let Some(info) = plain.remove(&other)
            {
                gone.push((other.clone(), info.id));
                assert_eq!(table.name(info.id), Some(&other));
            }
            table = table.with(&gone, [(name.clone(), info.clone())]);
            plain.insert(name, info);
            same(&table, &plain);
            for (name, id) in gone {
                assert_eq!(table.name(id), None, "{name}");
            }
            let bound = TopicTable::CHANGES_MIN + 4 * table.base.by_name.len().isqrt();
            assert!(table.changed.len() <= bound);
        }
    }
}
