//! Administration: topics, configurations, offsets, groups, plugins with their views and jobs, and
//! what the cluster looks like.
//!
//! Each call is one request of the protocol, or one to each leader; what can be retried safely is
//! retried within the operation timeout.

mod attach;
mod cluster;
mod configs;
mod groups;
mod history;
mod lag;
pub(crate) mod offsets;
mod plugins;
mod streams;
mod topics;
mod watch;

pub use attach::{Attach, AttachPlace, Edited, with_link, without_link};
pub use cluster::{
    ActiveProducer, ApiInfo, BrokerInfo, ClusterDescription, LogDirDescription, ReplicaInfo,
};
pub use configs::{
    AlterConfig, ConfigChange, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym,
    ConfigType, ResourceKind,
};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use history::{GroupCause, GroupChange, GroupMove, GroupStill, HistoryPage, HistoryQuery};
pub use lag::{
    GroupLag, GroupTopicLag, LagFilter, LagHistory, LagHistoryQuery, LagOwner, LagReport,
    LagSeries, PartitionLag, TopicTraffic, TrafficSeries,
};
pub use offsets::{EpochEnd, FoundOffset, OffsetSpec};
pub use plugins::{
    Activation, CheckedChain, DeployOptions, DeployedPlugin, LogPage, LogQuery, Placed,
    PluginAttachment, PluginComponent, PluginDescription, PluginFailure, PluginLogLine,
    PluginParameter, PluginPlace, PluginReport, PluginUsage, PluginVersion, Removal,
    failure_kind_name, is_unsupported, log_level, log_level_name, world_name,
};
pub use streams::{
    CreatedView, JobAction, JobDescription, JobProgress, JobState, NewJob, NewView, ViewDescription,
};
pub use topics::{
    CreatedTopic, NewTopic, PartitionDescription, TopicDescription, TopicListing, TopicRef,
};

pub use watch::{GroupWatch, WatchLink, WatchQuery, WatchedChanges};
pub use weir_types::CauseKind as GroupCauseKind;

use crate::{
    Client,
    cluster::shared::{Attempts, Shared},
    error::{AdminError, BrokerError, RequestError},
};
use std::sync::Arc;
use weir_types::ErrorCode;
use weir_wire::RequestBody;

/// Administers a cluster.
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> Result<(), weir_client::AdminError> {
/// use weir_client::admin::NewTopic;
///
/// let admin = client.admin();
/// let topic = NewTopic::new("orders", 3).with_config("retention.ms", "3600000");
/// admin.create_topic(topic).await?;
/// for topic in admin.list_topics().await? {
///     println!("{} ({} partitions)", topic.name, topic.partitions);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Admin {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            shared: Arc::clone(&client.shared),
        }
    }

    /// Asks any broker, and again while that may help.
    pub(crate) async fn ask_any<B: RequestBody>(
        &self,
        body: &B,
    ) -> Result<B::Response, RequestError> {
        let mut attempts = Attempts::until(self.shared.deadline());
        loop {
            match self.shared.ask_any(i16::MAX, body).await {
                Err(error) if error.can_retry() && attempts.again().await => {}
                other => return other,
            }
        }
    }

    /// Asks the broker that takes cluster changes, once.
    async fn ask_controller_once<B: RequestBody>(
        &self,
        body: &B,
    ) -> Result<B::Response, RequestError> {
        let controller = self.shared.metadata().controller;
        match controller.and_then(|id| self.shared.broker(id).ok()) {
            Some(broker) => self.shared.ask(&broker, i16::MAX, body).await,
            None => self.shared.ask_any(i16::MAX, body).await,
        }
    }

    /// Asks the broker that takes cluster changes; again after a failed connection, which was
    /// made before anything was sent, and wherever `verdict` finds that it was the wrong broker.
    pub(crate) async fn ask_controller<B: RequestBody>(
        &self,
        body: &B,
        verdict: impl Fn(&B::Response) -> Option<ErrorCode>,
    ) -> Result<B::Response, RequestError> {
        let mut attempts = Attempts::until(self.shared.deadline());
        loop {
            let answer = self.ask_controller_once(body).await;
            let is_again = match &answer {
                Ok(answer) => verdict(answer) == Some(ErrorCode::NotController),
                // A request that may have been carried out is not repeated: the second answer
                // would say that the topic exists.
                Err(RequestError::Connect(error)) => error.can_retry(),
                Err(_) => false,
            };
            if !is_again || !attempts.again().await {
                return answer;
            }
            if let Err(error) = self.shared.refresh(Some(Vec::new())).await {
                tracing::debug!(%error, "metadata could not be refreshed");
            }
        }
    }

    pub(crate) fn timeout_ms(&self) -> i32 {
        let timeout = self.shared.config.request_timeout;
        i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

/// An answer's code as an error.
fn check(code: ErrorCode, message: Option<&weir_wire::Text>) -> Result<(), AdminError> {
    BrokerError::check(code, message).map_err(AdminError::Broker)
}

fn missing(what: impl ToString) -> AdminError {
    AdminError::Missing {
        what: what.to_string(),
    }
}
