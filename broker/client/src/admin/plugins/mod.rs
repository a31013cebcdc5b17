//! Plugins: deploying, activating and removing them, and what they do (Weir's own APIs).
//!
//! Translation only; what works where is the broker's to say. Attaching a plugin to a topic is an
//! edit of the topic's config, see [`attach`](crate::admin::Attach).

mod told;

pub use told::{
    DeployedPlugin, Placed, PluginAttachment, PluginDescription, PluginFailure, PluginLogLine,
    PluginParameter, PluginPlace, PluginReport, PluginUsage, PluginVersion, failure_kind_name,
    log_level, log_level_name, world_name,
};

use super::{Admin, check, missing};
use crate::error::{AdminError, BrokerError};
use bytes::Bytes;
use std::time::Duration;
use weir_plugin::{Chain, World};
use weir_types::ErrorCode;
use weir_wire::{
    Text,
    messages::{
        ActivatePluginRequest, CheckChainRequest, DeployPluginRequest, DescribePluginsRequest,
        GetPluginRequest, PluginFailuresRequest, PluginLogsRequest, RemovePluginRequest,
    },
};

/// How a component is deployed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeployOptions {
    /// Whether it becomes the active version of its name.
    pub activate: bool,
    /// Whether it is only checked and compiled.
    pub validate_only: bool,
}

/// What a change of a plugin's versions did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// The version that is active now.
    pub active: Option<String>,
    /// The one that was before.
    pub previous: Option<String>,
    /// The places that follow it.
    pub followers: Vec<PluginPlace>,
}

/// What a removal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The versions that are gone, or would be.
    pub removed: Vec<String>,
    /// The places that use them: where there are any, nothing was removed.
    pub users: Vec<PluginPlace>,
    /// Why not, in the broker's words.
    pub refusal: Option<BrokerError>,
}

/// A component as the broker keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginComponent {
    /// Its version.
    pub version: String,
    /// Its world; nothing where this client does not know it.
    pub world: Option<World>,
    /// The SHA-256 of its bytes.
    pub digest: Bytes,
    /// Its bytes; nothing where the caller had them already.
    pub component: Option<Bytes>,
}

/// Which log lines are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Of which plugins; none means all.
    pub plugins: Vec<String>,
    /// The lowest level: 0 trace to 4 error.
    pub min_level: i8,
    /// Where to go on: [`LogPage::next`] of the page before.
    pub cursor: Option<String>,
    /// How long to wait for a line.
    pub max_wait: Duration,
}

/// Some log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// Oldest first.
    pub lines: Vec<PluginLogLine>,
    /// How many are gone unseen.
    pub missed: i64,
    /// Where to go on.
    pub next: Option<String>,
}

/// A chain that would work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedChain {
    /// In the form in which it is kept.
    pub chain: String,
    /// The versions that would work, one for each link.
    pub versions: Vec<String>,
}

impl Admin {
    /// Uploads a component (DeployPlugin). Compiling it may take the broker a while.
    ///
    /// # Errors
    /// [`AdminError`]; the broker says what is wrong with the component.
    pub async fn deploy_plugin(
        &self,
        component: Bytes,
        options: DeployOptions,
    ) -> Result<DeployedPlugin, AdminError> {
        let request = DeployPluginRequest {
            component,
            activate: options.activate,
            validate_only: options.validate_only,
            ..DeployPluginRequest::default()
        };
        let answer = self
            .ask_controller(&request, |answer| Some(answer.error_code))
            .await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        DeployedPlugin::of(answer).ok_or_else(|| missing("the deployed version"))
    }

    /// The plugins of these names, or all, and where they work (DescribePlugins). A name that
    /// there is none of is left out.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn describe_plugins(&self, names: &[String]) -> Result<PluginReport, AdminError> {
        let request = DescribePluginsRequest {
            names: names.iter().map(Text::from).collect(),
            include_attachments: true,
        };
        let answer = self.ask_any(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        Ok(PluginReport {
            plugins: answer.plugins.into_iter().map(Into::into).collect(),
            attachments: answer.attachments.into_iter().map(Into::into).collect(),
        })
    }

    /// One plugin and where it works.
    ///
    /// # Errors
    /// [`AdminError`]; [`AdminError::NotThere`] where there is none of that name.
    pub async fn describe_plugin(
        &self,
        name: &str,
    ) -> Result<(PluginDescription, Vec<PluginAttachment>), AdminError> {
        let mut report = self.describe_plugins(&[name.to_owned()]).await?;
        report.plugins.retain(|plugin| plugin.name == name);
        let plugin = report.plugins.pop();
        let plugin = plugin.ok_or_else(|| AdminError::NotThere {
            what: format!("plugin '{name}'"),
        })?;
        report.attachments.retain(|at| at.plugin == name);
        Ok((plugin, report.attachments))
    }

    /// Makes a version the active one; without a version, the one that was active before
    /// (ActivatePlugin).
    ///
    /// # Errors
    /// [`AdminError`]; a place that the version does not fit is named.
    pub async fn activate_plugin(
        &self,
        name: &str,
        version: Option<&str>,
        validate_only: bool,
    ) -> Result<Activation, AdminError> {
        let request = ActivatePluginRequest {
            name: Text::from(name),
            version: version.map(Text::from),
            validate_only,
            ..ActivatePluginRequest::default()
        };
        let answer = self
            .ask_controller(&request, |answer| Some(answer.error_code))
            .await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        Ok(Activation {
            active: answer.active_version.map(|text| text.to_string()),
            previous: answer.previous_version.map(|text| text.to_string()),
            followers: answer.followers.into_iter().map(Into::into).collect(),
        })
    }

    /// Removes a version, or all of them (RemovePlugin). That something uses it is told in the
    /// removal, not as an error.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn remove_plugin(
        &self,
        name: &str,
        version: Option<&str>,
        validate_only: bool,
    ) -> Result<Removal, AdminError> {
        let request = RemovePluginRequest {
            name: Text::from(name),
            version: version.map(Text::from),
            validate_only,
            ..RemovePluginRequest::default()
        };
        let answer = self
            .ask_controller(&request, |answer| Some(answer.error_code))
            .await?;
        let refusal = BrokerError::check(answer.error_code, answer.error_message.as_ref()).err();
        let users: Vec<_> = answer.users.into_iter().map(Into::into).collect();
        match refusal {
            Some(error) if users.is_empty() => Err(AdminError::Broker(error)),
            refusal => Ok(Removal {
                removed: answer.removed_versions.iter().map(told::text).collect(),
                users,
                refusal,
            }),
        }
    }

    /// A component to run here (GetPlugin). `known` is the digest of the one that the caller has:
    /// it is not sent again.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn get_plugin(
        &self,
        name: &str,
        version: Option<&str>,
        known: Option<Bytes>,
    ) -> Result<PluginComponent, AdminError> {
        let request = GetPluginRequest {
            name: Text::from(name),
            version: version.map(Text::from),
            known_digest: known,
        };
        let answer = self.ask_any(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        Ok(PluginComponent {
            version: answer.version.to_string(),
            world: World::from_code(answer.world),
            digest: answer.digest,
            component: answer.component,
        })
    }

    /// What plugins logged (PluginLogs).
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn plugin_logs(&self, query: &LogQuery) -> Result<LogPage, AdminError> {
        let request = PluginLogsRequest {
            names: query.plugins.iter().map(Text::from).collect(),
            min_level: query.min_level,
            cursor: query.cursor.as_deref().map(Text::from),
            max_wait_ms: i32::try_from(query.max_wait.as_millis()).unwrap_or(i32::MAX),
            ..PluginLogsRequest::default()
        };
        let answer = self.ask_any(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        Ok(LogPage {
            lines: answer.lines.into_iter().map(Into::into).collect(),
            missed: answer.missed,
            next: answer.next_cursor.map(|text| text.to_string()),
        })
    }

    /// What plugins failed on, newest first, without the batches (PluginFailures).
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn plugin_failures(
        &self,
        plugins: &[String],
        max: i32,
    ) -> Result<Vec<PluginFailure>, AdminError> {
        let request = PluginFailuresRequest {
            names: plugins.iter().map(Text::from).collect(),
            max_failures: max,
            ..PluginFailuresRequest::default()
        };
        let answer = self.ask_any(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        Ok(answer.failures.into_iter().map(Into::into).collect())
    }

    /// One failure with its batch.
    ///
    /// # Errors
    /// [`AdminError`]; [`AdminError::NotThere`] where it is no longer kept.
    pub async fn plugin_failure(&self, id: i64) -> Result<PluginFailure, AdminError> {
        let request = PluginFailuresRequest {
            id,
            ..PluginFailuresRequest::default()
        };
        let answer = self.ask_any(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        let found = answer.failures.into_iter().find(|found| found.id == id);
        found.map(Into::into).ok_or_else(|| AdminError::NotThere {
            what: format!("failure {id} any more"),
        })
    }

    /// Whether a chain would work: its plugins exist, have this world and take their parameters
    /// (CheckChain).
    ///
    /// # Errors
    /// [`AdminError`], with the plugin's own words where it refuses a parameter.
    pub async fn check_chain(
        &self,
        chain: &Chain,
        world: World,
    ) -> Result<CheckedChain, AdminError> {
        let request = CheckChainRequest {
            chain: Text::from(chain.to_string()),
            world: world.code(),
        };
        let answer = self.ask_any(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        Ok(CheckedChain {
            chain: answer.chain.to_string(),
            versions: answer.versions.iter().map(told::text).collect(),
        })
    }
}

/// Whether the error says that the broker has no plugins at all.
#[must_use]
pub fn is_unsupported(error: &AdminError) -> bool {
    matches!(
        error,
        AdminError::Request(crate::error::RequestError::Unsupported { .. })
    ) || error.code() == Some(ErrorCode::UnsupportedVersion)
}
