//! The state of the cluster at one point of the agreed log.
//!
//! An image is handed around behind an `Arc` and never changes under a reader; only whoever owns
//! it applies records. It must never hold anything that is not in the records.

mod applying;

use crate::{
    limits::DELETED_TOPICS_MAX,
    plugins::{Job, Plugin, View},
    record::MetaRecord,
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    string::String,
    sync::Arc,
    vec::Vec,
};
pub(crate) use applying::job_record;
use applying::{plugin_records, view_record};
use core::cmp::Ordering;
use weir_types::{BrokerId, LeaderEpoch, PartitionIndex, TimestampMs, TopicId};

/// Where clients reach a broker over one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The listener's name; equal names on two brokers mean the same way of connecting.
    pub name: Arc<str>,
    /// The host name or address to tell clients.
    pub host: Arc<str>,
    /// The port to tell clients.
    pub port: u16,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Its rack.
    pub rack: Option<Arc<str>>,
    /// When it registered last.
    pub registered_at: TimestampMs,
}

impl Broker {
    /// The endpoint of the listener of that name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|l| &*l.name == name)
    }
}

/// One partition's leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The broker that leads it, if one does.
    pub leader: Option<BrokerId>,
    /// How many leaders it has had.
    pub leader_epoch: LeaderEpoch,
    /// The brokers that keep it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those of them that are in sync; a subset of `replicas`.
    pub isr: Vec<BrokerId>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// When it was made.
    pub created_at: TimestampMs,
    /// Its partitions, by index.
    pub partitions: Vec<Partition>,
    /// Its own settings, by Kafka's names.
    pub overrides: BTreeMap<Arc<str>, String>,
    /// What makes it a view, if it is one; its partitions are then its source's.
    pub view: Option<View>,
}

impl Topic {
    /// The partition of that index.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        usize::try_from(index.0)
            .ok()
            .and_then(|i| self.partitions.get(i))
    }
}

/// The whole cluster's metadata; `Default` is the image before the first record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    applied: u64,
    cluster_id: Option<Arc<str>>,
    brokers: BTreeMap<BrokerId, Broker>,
    topics: BTreeMap<TopicId, Arc<Topic>>,
    names: BTreeMap<Arc<str>, TopicId>,
    deleted: VecDeque<TopicId>,
    defaults: BTreeMap<Arc<str>, String>,
    next_producer_id: i64,
    /// Partitions that have a log, which those of views have not.
    partition_count: usize,
    pub(crate) plugins: BTreeMap<Arc<str>, Arc<Plugin>>,
    pub(crate) jobs: BTreeMap<Arc<str>, Arc<Job>>,
    /// Sources and their views.
    pub(crate) views: BTreeSet<(TopicId, TopicId)>,
}

impl Image {
    /// The index of the last agreed entry that was applied; 0 before the first.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// The cluster's id; empty until the first broker has registered.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.cluster_id.as_deref().unwrap_or("")
    }

    /// Whether the cluster has its id.
    #[must_use]
    pub const fn has_cluster_id(&self) -> bool {
        self.cluster_id.is_some()
    }

    /// The registered brokers, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Broker> {
        self.brokers.values()
    }

    /// One broker.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// The topics, in order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    /// The topics whose names are `from` or sort behind it, in order of their names.
    pub fn topics_from<'a>(&'a self, from: &str) -> impl Iterator<Item = &'a Arc<Topic>> {
        use core::ops::Bound;
        self.names
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .filter_map(|(_, id)| self.topics.get(id))
    }

    /// The topics that differ from an older image, as they were and as they are; which have not
    /// changed costs one look at each.
    pub fn topics_since<'a>(
        &'a self,
        old: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Arc<Topic>>, Option<&'a Arc<Topic>>)> {
        let mut before = old.topics.iter().peekable();
        let mut after = self.topics.iter().peekable();
        core::iter::from_fn(move || {
            loop {
                let order = match (before.peek(), after.peek()) {
                    (None, None) => return None,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some((one, _)), Some((other, _))) => one.cmp(other),
                };
                let was = before.next_if(|_| order.is_le()).map(|(_, topic)| topic);
                let is = after.next_if(|_| order.is_ge()).map(|(_, topic)| topic);
                match (was, is) {
                    (Some(was), Some(is)) if Arc::ptr_eq(was, is) => {}
                    pair => return Some(pair),
                }
            }
        })
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions all topics have together, without views.
    #[must_use]
    pub const fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The topic of that id.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// The topic of that name.
    #[must_use]
    pub fn topic_named(&self, name: &str) -> Option<&Arc<Topic>> {
        self.names.get(name).and_then(|id| self.topics.get(id))
    }

    /// Whether the deletion of this topic was agreed, among the last [`DELETED_TOPICS_MAX`]. A topic
    /// that is neither here nor known may be newer than this image.
    #[must_use]
    pub fn was_deleted(&self, id: TopicId) -> bool {
        self.deleted.contains(&id)
    }

    /// The cluster's own defaults of topic settings, by the topics' names for them.
    #[must_use]
    pub const fn defaults(&self) -> &BTreeMap<Arc<str>, String> {
        &self.defaults
    }

    /// The first producer id that was never given away.
    #[must_use]
    pub const fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// Applies the records of the agreed entry `index`.
    pub fn apply_entry(&mut self, index: u64, records: &[MetaRecord]) {
        assert!(index > self.applied, "I-META-1: entries apply in order");
        for record in records {
            self.apply(record);
        }
        self.applied = index;
    }

    /// Applies one record. A record that speaks of a topic that is gone changes nothing but that a
    /// deletion is remembered.
    pub fn apply(&mut self, record: &MetaRecord) {
        match record {
            MetaRecord::Cluster { id } => self.cluster_id = Some(id.clone()),
            MetaRecord::Broker {
                id,
                listeners,
                rack,
                registered_at,
            } => {
                let broker = Broker {
                    id: *id,
                    listeners: listeners.clone(),
                    rack: rack.clone(),
                    registered_at: *registered_at,
                };
                self.brokers.insert(*id, broker);
            }
            MetaRecord::Topic {
                id,
                name,
                created_at,
            } => self.apply_topic(*id, name, *created_at),
            MetaRecord::Partition {
                topic,
                index,
                leader,
                leader_epoch,
                replicas,
                isr,
            } => {
                let partition = Partition {
                    leader: *leader,
                    leader_epoch: *leader_epoch,
                    replicas: replicas.clone(),
                    isr: isr.clone(),
                };
                self.apply_partition(*topic, *index, partition);
            }
            MetaRecord::TopicDeleted { id } => self.apply_deleted(*id),
            MetaRecord::TopicConfig { topic, name, value } => {
                if let Some(topic) = self.topics.get_mut(topic) {
                    set(&mut Arc::make_mut(topic).overrides, name, value.as_ref());
                }
            }
            MetaRecord::DefaultConfig { name, value } => {
                set(&mut self.defaults, name, value.as_ref());
            }
            MetaRecord::ProducerIds { next } => {
                self.next_producer_id = self.next_producer_id.max(*next);
            }
            of_plugins => self.apply_plugins(of_plugins),
        }
    }

    fn apply_topic(&mut self, id: TopicId, name: &Arc<str>, created_at: TimestampMs) {
        // A name means the topic that was made last; a second record of one id changes nothing.
        if let Entry::Vacant(vacant) = self.topics.entry(id) {
            vacant.insert(Arc::new(Topic {
                id,
                name: name.clone(),
                created_at,
                partitions: Vec::new(),
                overrides: BTreeMap::new(),
                view: None,
            }));
            if let Some(old) = self.names.insert(name.clone(), id) {
                self.drop_topic(old);
            }
        }
    }

    fn apply_partition(&mut self, id: TopicId, index: PartitionIndex, partition: Partition) {
        let Ok(index) = usize::try_from(index.0) else {
            return;
        };
        let views: Vec<TopicId> = self.views_of(id).map(|view| view.id).collect();
        let Some(topic) = self.topics.get_mut(&id).filter(|t| t.view.is_none()) else {
            return;
        };
        let before = topic.partitions.len();
        set_partition(topic, index, partition.clone());
        self.partition_count += topic.partitions.len() - before;
        for view in views {
            if let Some(view) = self.topics.get_mut(&view) {
                set_partition(view, index, partition.clone());
            }
        }
    }

    fn apply_deleted(&mut self, id: TopicId) {
        if let Some(topic) = self.topics.get(&id) {
            self.names.remove(&*topic.name.clone());
        }
        self.drop_topic(id);
    }

    fn drop_topic(&mut self, id: TopicId) {
        if let Some(topic) = self.topics.remove(&id) {
            match &topic.view {
                Some(view) => {
                    self.views.remove(&(view.source, id));
                }
                None => self.partition_count -= topic.partitions.len(),
            }
            // Decided it is only once they are gone; a record that says otherwise takes them along.
            let views: Vec<TopicId> = self.views_of(id).map(|view| view.id).collect();
            for view in views {
                self.apply_deleted(view);
            }
        }
        if !self.deleted.contains(&id) {
            self.deleted.push_back(id);
        }
        if self.deleted.len() > DELETED_TOPICS_MAX {
            self.deleted.pop_front();
        }
    }

    /// The records that make this image from an empty one; `applied` is kept apart, by whoever
    /// keeps the snapshot.
    #[must_use]
    pub fn to_records(&self) -> Vec<MetaRecord> {
        let mut records = Vec::new();
        if let Some(id) = &self.cluster_id {
            records.push(MetaRecord::Cluster { id: id.clone() });
        }
        for broker in self.brokers.values() {
            records.push(MetaRecord::Broker {
                id: broker.id,
                listeners: broker.listeners.clone(),
                rack: broker.rack.clone(),
                registered_at: broker.registered_at,
            });
        }
        for (name, value) in &self.defaults {
            records.push(MetaRecord::DefaultConfig {
                name: name.clone(),
                value: Some(value.clone()),
            });
        }
        if self.next_producer_id > 0 {
            records.push(MetaRecord::ProducerIds {
                next: self.next_producer_id,
            });
        }
        let deleted = self.deleted.iter();
        records.extend(deleted.map(|id| MetaRecord::TopicDeleted { id: *id }));
        let (views, topics): (Vec<_>, Vec<_>) =
            self.topics.values().partition(|topic| topic.view.is_some());
        for topic in topics.into_iter().chain(views) {
            topic_records(topic, &mut records);
        }
        for plugin in self.plugins.values() {
            plugin_records(plugin, &mut records);
        }
        records.extend(self.jobs.values().map(|job| job_record(job)));
        records
    }

    /// Builds an image from a snapshot's records.
    #[must_use]
    pub fn from_records(applied: u64, records: &[MetaRecord]) -> Self {
        let mut image = Self::default();
        for record in records {
            image.apply(record);
        }
        image.applied = applied;
        image
    }

    /// Checks every invariant of the image; panics with the invariant's number.
    pub fn check(&self) {
        assert_eq!(
            self.names.len(),
            self.topics.len(),
            "I-META-2: one name for each topic"
        );
        let mut partitions = 0;
        for (name, id) in &self.names {
            let topic = self.topics.get(id).expect("I-META-2: names lead to topics");
            assert_eq!(&topic.name, name, "I-META-2: a name leads to its topic");
            self.check_view(topic);
            if topic.view.is_none() {
                partitions += topic.partitions.len();
            }
            for p in &topic.partitions {
                assert!(
                    p.isr.iter().all(|b| p.replicas.contains(b)),
                    "I-META-3: the ISR is a part of the replicas"
                );
                assert!(
                    p.leader.is_none_or(|l| p.isr.contains(&l)),
                    "I-META-4: a leader is in the ISR"
                );
            }
        }
        assert_eq!(
            partitions, self.partition_count,
            "I-META-5: the count holds"
        );
        self.check_plugins();
    }
}

fn set_partition(topic: &mut Arc<Topic>, index: usize, partition: Partition) {
    let partitions = &mut Arc::make_mut(topic).partitions;
    if index < partitions.len() {
        partitions[index] = partition;
    } else if index == partitions.len() {
        partitions.push(partition);
    }
}

fn set(map: &mut BTreeMap<Arc<str>, String>, name: &Arc<str>, value: Option<&String>) {
    match value {
        Some(value) => {
            map.insert(name.clone(), value.clone());
        }
        None => {
            map.remove(name);
        }
    }
}

fn topic_records(topic: &Topic, records: &mut Vec<MetaRecord>) {
    if let Some(view) = &topic.view {
        records.push(view_record(topic, view));
    } else {
        records.push(MetaRecord::Topic {
            id: topic.id,
            name: topic.name.clone(),
            created_at: topic.created_at,
        });
        for (index, partition) in topic.partitions.iter().enumerate() {
            records.push(partition_record(topic.id, index, partition));
        }
    }
    for (name, value) in &topic.overrides {
        records.push(MetaRecord::TopicConfig {
            topic: topic.id,
            name: name.clone(),
            value: Some(value.clone()),
        });
    }
}

/// The record that states a partition.
pub(crate) fn partition_record(topic: TopicId, index: usize, partition: &Partition) -> MetaRecord {
    MetaRecord::Partition {
        topic,
        index: PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX)),
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        replicas: partition.replicas.clone(),
        isr: partition.isr.clone(),
    }
}
