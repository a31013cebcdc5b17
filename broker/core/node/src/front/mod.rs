//! The front of a broker: one for each session, pure. It says who may do what, answers what the
//! metadata image can answer, and splits the rest over the shards and joins their answers again.
//!
//! It never waits and never sends: the driver hands the parts of a [`Plan`] to the shards, the
//! answers to its [`Join`], and the response to the client. Where a fetch was split, the driver
//! sends `Hurry` to the other shards as soon as [`Join::absorb`] says that one had data.

mod configs;
mod describe;
mod fetch;
mod fetch_session;
mod follow;
mod groups;
mod join;
mod lag;
mod leaders;
mod metadata;
mod offsets;
mod place;
mod produce;
mod split;
mod topics;

pub use fetch_session::FetchSessions;
pub use follow::Follow;
pub use join::{Finish, Join, ViewRecords};
pub use place::{Chosen, OTHER_PARTITIONER, Partitioner, Piece, Placement, Wanted};

use crate::{
    authorizer::{Operation, Resource, authorize, may_read},
    request::Ask,
    validate::Inflate,
};
use alloc::{boxed::Box, collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use fetch_session::FetchSession;
use weir_meta::{
    Image, StaticDefaults, Topic, TopicConfig,
    config::{ConfigSource, ConfigType},
};
use weir_types::{BrokerId, Now, Principal, ShardId, TopicId};
use weir_wire::{ApiKey, Request, Response, messages::ApiVersionsResponse};

/// What every session of a broker is told.
#[derive(Clone, Debug)]
pub struct FrontConfig {
    /// How many shards the broker has.
    pub shards: u16,
    /// Which broker it is.
    pub broker: BrokerId,
    /// The broker's own defaults of topic settings.
    pub statics: Arc<StaticDefaults>,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
    /// `offsets.topic.num.partitions`.
    pub offsets_partitions: i32,
    /// Where the data lies, for DescribeLogDirs.
    pub log_dir: String,
    /// The broker's own settings, for DescribeConfigs.
    pub broker_settings: Vec<BrokerSetting>,
    /// What the fetch sessions of all fronts remember; clones share it.
    pub fetch_sessions: Arc<FetchSessions>,
}

impl FrontConfig {
    /// The settings Kafka has by default, for this broker.
    #[must_use]
    pub fn new(shards: u16, broker: BrokerId) -> Self {
        Self {
            shards,
            broker,
            statics: Arc::default(),
            auto_create_topics: true,
            num_partitions: 1,
            replication_factor: 1,
            offsets_partitions: 50,
            log_dir: String::new(),
            broker_settings: Vec::new(),
            fetch_sessions: Arc::default(),
        }
    }
}

/// One of the broker's own settings, which only a restart changes.
#[derive(Clone, Debug)]
pub struct BrokerSetting {
    /// Its name.
    pub name: String,
    /// Its value; nothing for a secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Its type.
    pub kind: ConfigType,
    /// What it does.
    pub doc: String,
    /// Whether it is a secret.
    pub sensitive: bool,
}

/// Who asks, and over which listener; the same for a whole session.
#[derive(Clone, Debug)]
pub struct Context {
    /// Who.
    pub principal: Principal,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The client's address, as Kafka writes it in descriptions of groups: `/127.0.0.1`.
    pub host: Arc<str>,
}

impl Context {
    /// Asks the authorizer.
    pub(crate) fn may(&self, operation: Operation, resource: Resource<'_>) -> bool {
        authorize(&self.principal, operation, resource)
    }

    /// Asks the authorizer whether that topic's records may be read, and what tells of them.
    pub(crate) fn may_read(&self, topic: &Topic) -> bool {
        may_read(&self.principal, topic)
    }

    /// The same of a topic by its name; one that is not there gives nothing away.
    pub(crate) fn may_read_named(&self, image: &Image, topic: &str) -> bool {
        let topic = image.topic_named(topic);
        topic.is_none_or(|topic| self.may_read(topic))
    }
}

/// One request with everything that comes from outside.
pub struct Call<'a> {
    /// Both clocks.
    pub now: Now,
    /// The newest image.
    pub image: &'a Arc<Image>,
    /// Who asks.
    pub context: &'a Context,
    /// The request's version.
    pub version: i16,
    /// What the client calls itself in the request's header; may be empty.
    pub client_id: &'a str,
    /// Decompression.
    pub inflate: &'a mut dyn Inflate,
    /// Random bytes, for topic ids and fetch sessions.
    pub random: &'a mut dyn FnMut() -> [u8; 16],
    /// The disk on which the log lies, where it can be told; asked only by who wants to know.
    pub volume: &'a mut dyn FnMut() -> Option<Volume>,
}

/// How large a disk is (KIP-827).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What can still be written, in bytes.
    pub usable_bytes: u64,
}

/// A question to one shard.
#[derive(Clone, Debug)]
pub struct Part {
    /// Which.
    pub shard: ShardId,
    /// Goes into `Event::Ask::seen`.
    pub seen: u64,
    /// What.
    pub ask: Ask,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Plan {
    /// Answer it.
    Answer(Response),
    /// It wants no answer (`acks=0`), and there is nothing to do.
    Silent,
    /// End the session: the request wants no answer but failed, so closing is the only way to
    /// tell; or it is none this front knows.
    Close {
        /// Why, in one sentence, for the log.
        reason: String,
    },
    /// Ask the partitioners of topics, then go on with [`Placement::placed`].
    Place(Box<Placement>),
    /// Ask the shards, absorb their answers, then finish.
    Parts {
        /// The questions; never none.
        parts: Vec<Part>,
        /// Takes the answers.
        join: Join,
    },
}

impl Plan {
    /// Answers at once.
    fn answer(response: impl Into<Response>) -> Self {
        Self::Answer(response.into())
    }
}

/// The settings of the topics a session produces to, so that they are not worked out anew for
/// every batch.
#[derive(Debug, Default)]
struct ConfigCache {
    applied: u64,
    defaults: BTreeMap<Arc<str>, String>,
    topics: BTreeMap<TopicId, (Arc<Topic>, Arc<TopicConfig>)>,
}

impl ConfigCache {
    /// Topics kept at most; beyond, all are forgotten and begin anew.
    const TOPICS_MAX: usize = 4096;

    fn get(
        &mut self,
        image: &Image,
        statics: &StaticDefaults,
        topic: &Arc<Topic>,
    ) -> Arc<TopicConfig> {
        if image.applied() != self.applied {
            self.applied = image.applied();
            if *image.defaults() != self.defaults {
                self.defaults.clone_from(image.defaults());
                self.topics.clear();
            }
        }
        if let Some((known, config)) = self.topics.get(&topic.id)
            && Arc::ptr_eq(known, topic)
        {
            return config.clone();
        }
        if self.topics.len() >= Self::TOPICS_MAX {
            self.topics.clear();
        }
        let config = Arc::new(TopicConfig::resolve(statics, image, topic));
        let entry = (topic.clone(), config.clone());
        self.topics.insert(topic.id, entry);
        config
    }
}

/// One session's view of the broker.
#[derive(Debug)]
pub struct Front {
    config: Arc<FrontConfig>,
    session: Option<FetchSession>,
    configs: ConfigCache,
}

impl Front {
    /// A front for a new session.
    #[must_use]
    pub fn new(config: Arc<FrontConfig>) -> Self {
        assert!(config.shards > 0, "a broker has a shard");
        Self {
            config,
            session: None,
            configs: ConfigCache::default(),
        }
    }

    /// Takes a request of this session and says what is to be done. Requests of one session come
    /// in the order in which they were received.
    pub fn accept(&mut self, call: &mut Call<'_>, request: Request) -> Plan {
        match request {
            Request::Produce(body) => self.produce(call, body),
            Request::Fetch(body) => self.fetch(call, &body),
            Request::ListOffsets(body) => self.list_offsets(call, &body),
            Request::OffsetForLeaderEpoch(body) => self.epoch_ends(call, &body),
            Request::DeleteRecords(body) => self.delete_records(call, &body),
            Request::DescribeProducers(body) => self.describe_producers(call, &body),
            Request::DescribeLogDirs(body) => self.describe_log_dirs(call, body),
            Request::Metadata(body) => self.metadata(call, body),
            Request::ApiVersions(_) => Plan::answer(ApiVersionsResponse {
                api_keys: ApiKey::advertised(),
                ..Default::default()
            }),
            Request::InitProducerId(body) => produce::init_producer_id(call, &body),
            Request::FindCoordinator(body) => self.find_coordinator(call, body),
            Request::DescribeCluster(body) => describe::describe_cluster(call, &body),
            Request::DescribeTopicPartitions(body) => {
                describe::describe_topic_partitions(call, &body)
            }
            Request::DescribeConfigs(body) => self.describe_configs(call, body),
            Request::AlterConfigs(body) => configs::alter_configs(call, body),
            Request::IncrementalAlterConfigs(body) => {
                configs::incremental_alter_configs(call, body)
            }
            Request::CreateTopics(body) => self.create_topics(call, body),
            Request::DeleteTopics(body) => self.delete_topics(call, body),
            Request::CreatePartitions(body) => self.create_partitions(call, body),
            other => self.accept_for_groups(call, other),
        }
    }

    /// Requests about groups, and whatever is not served here.
    fn accept_for_groups(&self, call: &mut Call<'_>, request: Request) -> Plan {
        match request {
            Request::JoinGroup(body) => self.join_group(call, &body),
            Request::SyncGroup(body) => self.sync_group(call, &body),
            Request::Heartbeat(body) => self.heartbeat(call, &body),
            Request::LeaveGroup(body) => self.leave_group(call, &body),
            Request::ConsumerGroupHeartbeat(body) => self.consumer_heartbeat(call, &body),
            Request::OffsetCommit(body) => self.commit_offsets(call, body),
            Request::OffsetFetch(body) => self.fetch_offsets(call, body),
            Request::OffsetDelete(body) => self.delete_offsets(call, &body),
            Request::ListGroups(body) => self.list_groups(call, &body),
            Request::DescribeGroups(body) => self.describe_groups(call, body),
            Request::ConsumerGroupDescribe(body) => self.describe_consumers(call, body),
            Request::DeleteGroups(body) => self.delete_groups(call, body),
            Request::GroupHistory(body) => self.group_history(call, &body),
            Request::GroupWatch(body) => self.group_watch(call, &body),
            Request::Lag(body) => self.lag(call, &body),
            Request::LagHistory(body) => self.lag_history(call, &body),
            other => Plan::Close {
                reason: alloc::format!("{} is not served here", other.api()),
            },
        }
    }
}
