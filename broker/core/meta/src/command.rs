//! What can be asked of the cluster's metadata, and what is answered.
//!
//! Commands carry everything that is not in the image: times come beside them, random ids inside
//! them. Only values; the rules are in `decide`.

use crate::image::Listener;
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use weir_plugin::World;
use weir_types::{BrokerId, ErrorCode, PartitionIndex, ProducerId, TopicId};

/// Something that may change the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A broker starts up.
    RegisterBroker(RegisterBroker),
    /// Make topics (also: those a client named that do not exist).
    CreateTopics(CreateTopics),
    /// Make topics of the broker's own, whose names nobody else may use.
    CreateInternalTopics(CreateTopics),
    /// Delete topics.
    DeleteTopics(Vec<TopicRef>),
    /// Add partitions to topics.
    CreatePartitions(CreatePartitions),
    /// Change settings.
    AlterConfigs(AlterConfigs),
    /// Take a block of `limits::PRODUCER_ID_BLOCK` producer ids.
    AllocateProducerIds,
    /// Deploy a version of a plugin, whose component is on every broker.
    DeployPlugin(Box<DeployPlugin>),
    /// Let a version of a plugin count where none is named.
    ActivatePlugin {
        /// Of which plugin.
        name: String,
        /// Which version; nothing: the one that was active before.
        version: Option<String>,
        /// Only say what would happen.
        validate_only: bool,
    },
    /// Forget a version of a plugin.
    RemovePlugin {
        /// Of which plugin.
        name: String,
        /// Which version; nothing: all of them.
        version: Option<String>,
        /// Only say what would happen.
        validate_only: bool,
    },
    /// Make a view.
    CreateView(Box<CreateView>),
    /// Make a router job.
    CreateJob(Box<CreateJob>),
    /// Do something with a job.
    AlterJob {
        /// Which.
        name: String,
        /// What.
        action: JobAction,
    },
}

/// A version of a plugin to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployPlugin {
    /// Of which plugin.
    pub name: String,
    /// Which version.
    pub version: String,
    /// SHA-256 of the component.
    pub digest: [u8; 32],
    /// What it is for.
    pub world: World,
    /// Bytes of the component.
    pub size_bytes: u64,
    /// Let it count at once where no version is named. The first version always does.
    pub activate: bool,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// A view to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateView {
    /// Its identity, drawn at random by the caller.
    pub id: TopicId,
    /// Its name; views and topics share their names.
    pub name: String,
    /// The topic whose log is read.
    pub source: String,
    /// What its records go through, as people write it.
    pub chain: String,
    /// What becomes of records that the chain cannot deal with, as people write it; empty: stop.
    pub policy: String,
    /// Who may read it (`weir.readers`); nothing: everybody who may read topics.
    pub readers: Option<String>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// A job to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateJob {
    /// Its name.
    pub name: String,
    /// Topics where records come from.
    pub from: Vec<String>,
    /// Topics where they go.
    pub to: Vec<String>,
    /// What they go through, as people write it.
    pub chain: String,
    /// What becomes of records that the chain cannot deal with, as people write it; empty: stop.
    pub policy: String,
    /// Let it stand still until it is told to go on.
    pub paused: bool,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// What to do with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAction {
    /// Let it stand still.
    Pause,
    /// Let it go on.
    Resume,
    /// Let it begin again where its progress is, also after it stopped by itself.
    Restart,
    /// Forget it.
    Delete,
}

/// A broker that starts up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Its id.
    pub id: BrokerId,
    /// The cluster's id, used only where the cluster has none yet.
    pub new_cluster_id: Arc<str>,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Its rack.
    pub rack: Option<Arc<str>>,
}

/// Topics to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopics {
    /// Which.
    pub topics: Vec<NewTopic>,
    /// Only say what would happen.
    pub validate_only: bool,
    /// Partitions of a topic that asks for -1 (the broker's `num.partitions`).
    pub num_partitions_default: i32,
    /// Replicas of a topic that asks for -1 (the broker's `default.replication.factor`).
    pub replication_factor_default: i16,
}

/// A topic to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its identity, drawn at random by the caller.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// How many partitions; -1: the default, or as many as are assigned.
    pub num_partitions: i32,
    /// How many replicas of each; -1: the default, or as assigned.
    pub replication_factor: i16,
    /// Who keeps which partition; empty: chosen here.
    pub assignments: Vec<(PartitionIndex, Vec<BrokerId>)>,
    /// Its settings.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic by name or by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// Partitions to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    /// To which topics.
    pub topics: Vec<NewPartitions>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// Partitions to add to one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    /// The topic's name.
    pub name: String,
    /// How many partitions it shall have afterwards.
    pub count: i32,
    /// Who keeps each of the new ones; nothing: chosen here.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// Settings to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigs {
    /// Of what.
    pub resources: Vec<AlterResource>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// Settings of one resource to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterResource {
    /// Of what.
    pub resource: ConfigResource,
    /// Which, and how.
    pub changes: ConfigChanges,
}

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// A broker; the empty name is the cluster's default of all brokers.
    Broker(String),
    /// Anything else, by Kafka's number of its type.
    Other(i8, String),
}

/// How settings change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChanges {
    /// These and no others (AlterConfigs).
    Replace(Vec<(String, Option<String>)>),
    /// One by one (IncrementalAlterConfigs, KIP-339).
    Edit(Vec<ConfigEdit>),
}

/// One change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEdit {
    /// Which setting.
    pub name: String,
    /// What to do with it.
    pub operation: ConfigOperation,
    /// With which value; none when it is deleted.
    pub value: Option<String>,
}

/// What to do with a setting (KIP-339).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Give it this value.
    Set,
    /// Let the default count again.
    Delete,
    /// Add this to a list.
    Append,
    /// Take this out of a list.
    Subtract,
}

/// What is answered to a command, once its records are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `RegisterBroker`.
    Registered,
    /// To `CreateTopics`, in the order asked.
    Created(Vec<CreatedTopic>),
    /// To `DeleteTopics`, in the order asked.
    Deleted(Vec<DeletedTopic>),
    /// To `CreatePartitions`, in the order asked.
    Partitions(Vec<NamedResult>),
    /// To `AlterConfigs`, in the order asked.
    Altered(Vec<AlteredResource>),
    /// To `AllocateProducerIds`.
    ProducerIds {
        /// The first of the block.
        first: ProducerId,
        /// How many.
        count: i64,
    },
    /// To `DeployPlugin`.
    Deployed {
        /// Whether this version is the active one now.
        active: bool,
        /// Whether it had been deployed before, the same bytes.
        known: bool,
    },
    /// To `ActivatePlugin`.
    Activated {
        /// The version that counts now.
        version: Arc<str>,
        /// The one that a rollback leads to from now on.
        previous: Option<Arc<str>>,
    },
    /// To `RemovePlugin`: the versions that are gone.
    PluginRemoved(Vec<Arc<str>>),
    /// To `CreateView`.
    ViewCreated {
        /// How many partitions it has.
        partitions: usize,
        /// Its chain as it is kept.
        chain: String,
    },
    /// To `CreateJob` and `AlterJob`.
    Job {
        /// Its chain as it is kept.
        chain: String,
        /// How often it was started by now.
        generation: u32,
        /// Whether it stands still.
        paused: bool,
    },
}

/// Whether one part of a command succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `None` for success.
    pub error: ErrorCode,
    /// What was wrong, in one sentence.
    pub message: Option<String>,
}

impl Outcome {
    /// An error with its sentence.
    #[must_use]
    pub const fn error(error: ErrorCode, message: String) -> Self {
        Self {
            error,
            message: Some(message),
        }
    }

    /// Whether it is no error.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        !self.error.is_err()
    }
}

/// One topic of `CreateTopics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: String,
    /// Its id; zero where it was not made.
    pub id: TopicId,
    /// Whether it was made.
    pub outcome: Outcome,
    /// How many partitions it has; -1 where it was not made.
    pub num_partitions: i32,
    /// How many replicas each has; -1 where it was not made.
    pub replication_factor: i16,
    /// Its own settings, for the answer's list of configurations.
    pub overrides: Vec<(Arc<str>, String)>,
}

/// One topic of `DeleteTopics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name, where it is known.
    pub name: Option<String>,
    /// Its id; zero where it is not known.
    pub id: TopicId,
    /// Whether it was deleted.
    pub outcome: Outcome,
}

/// One topic of `CreatePartitions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedResult {
    /// Its name.
    pub name: String,
    /// Whether the partitions were made.
    pub outcome: Outcome,
}

/// One resource of `AlterConfigs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredResource {
    /// Which.
    pub resource: ConfigResource,
    /// Whether its settings were changed.
    pub outcome: Outcome,
}
