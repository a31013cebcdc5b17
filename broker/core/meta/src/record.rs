//! The records the quorum agrees on: the only thing that changes an image.
//!
//! A record states a fact (the state after the change), never an intention, so that applying it
//! needs no rule and cannot fail.

use alloc::{string::String, sync::Arc, vec::Vec};
use weir_plugin::{Chain, Policy, World};
use weir_types::{BrokerId, LeaderEpoch, PartitionIndex, TimestampMs, TopicId};

use crate::image::Listener;

/// One fact about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaRecord {
    /// The cluster's id, given once, when its first broker registers.
    Cluster {
        /// Kafka's form: 22 characters of URL-safe base64.
        id: Arc<str>,
    },
    /// A broker registered; replaces what was known of it.
    Broker {
        /// Which.
        id: BrokerId,
        /// Where clients reach it, by listener.
        listeners: Vec<Listener>,
        /// Its rack, if it has one.
        rack: Option<Arc<str>>,
        /// When it registered.
        registered_at: TimestampMs,
    },
    /// A topic was made; its partitions follow.
    Topic {
        /// Its identity.
        id: TopicId,
        /// Its name.
        name: Arc<str>,
        /// When it was made.
        created_at: TimestampMs,
    },
    /// The state of one partition; also makes it, when its index is the next one.
    Partition {
        /// Of which topic.
        topic: TopicId,
        /// Its index.
        index: PartitionIndex,
        /// The broker that leads it, if one does.
        leader: Option<BrokerId>,
        /// How many leaders it has had.
        leader_epoch: LeaderEpoch,
        /// The brokers that keep it, the preferred leader first.
        replicas: Vec<BrokerId>,
        /// Those of them that are in sync.
        isr: Vec<BrokerId>,
    },
    /// A topic and its partitions are gone.
    TopicDeleted {
        /// Which.
        id: TopicId,
    },
    /// A topic's own setting.
    TopicConfig {
        /// Of which topic.
        topic: TopicId,
        /// Which setting.
        name: Arc<str>,
        /// Its value; nothing: the default counts again.
        value: Option<String>,
    },
    /// A default of every topic in the cluster, set while it runs.
    DefaultConfig {
        /// Which setting, by the topic's name for it.
        name: Arc<str>,
        /// Its value; nothing: the broker's own default counts again.
        value: Option<String>,
    },
    /// All producer ids below this are given away.
    ProducerIds {
        /// The first that is free.
        next: i64,
    },
    /// A version of a plugin was deployed.
    Plugin {
        /// Of which plugin.
        name: Arc<str>,
        /// Which version.
        version: Arc<str>,
        /// SHA-256 of the component.
        digest: [u8; 32],
        /// What it is for.
        world: World,
        /// Bytes of the component.
        size_bytes: u64,
        /// When it was deployed.
        deployed_at: TimestampMs,
    },
    /// A version of a plugin counts from now on, where none is named.
    PluginActive {
        /// Of which plugin.
        name: Arc<str>,
        /// Which version.
        version: Arc<str>,
    },
    /// A version of a plugin is gone; with the last one the plugin is.
    PluginRemoved {
        /// Of which plugin.
        name: Arc<str>,
        /// Which version.
        version: Arc<str>,
    },
    /// A view was made, or goes through another chain now.
    View {
        /// Its identity, as a topic.
        id: TopicId,
        /// Its name, as a topic.
        name: Arc<str>,
        /// The topic whose log is read.
        source: TopicId,
        /// What its records go through.
        chain: Chain,
        /// What becomes of records that the chain cannot deal with.
        policy: Policy,
        /// When it was made.
        created_at: TimestampMs,
    },
    /// The state of a job; also makes it.
    Job {
        /// Its name.
        name: Arc<str>,
        /// Where records come from.
        from: Vec<TopicId>,
        /// Where they go.
        to: Vec<TopicId>,
        /// What they go through.
        chain: Chain,
        /// What becomes of records that the chain cannot deal with.
        policy: Policy,
        /// Whether it stands still.
        paused: bool,
        /// How often it was started.
        generation: u32,
        /// When it was made.
        created_at: TimestampMs,
    },
    /// A job is gone.
    JobDeleted {
        /// Which.
        name: Arc<str>,
    },
}
