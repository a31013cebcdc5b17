//! Configurations of topics and brokers: describe, alter, alter incrementally (KIP-339).

use super::{Admin, check, missing};
use crate::error::AdminError;
use weir_types::BrokerId;
use weir_wire::{
    Text,
    messages::{
        AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
        DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource,
        IncrementalAlterableConfig,
    },
};

/// What kind of thing is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A topic.
    Topic,
    /// A broker.
    Broker,
}

impl ResourceKind {
    const fn number(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
        }
    }
}

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Its kind.
    pub kind: ResourceKind,
    /// The topic's name, or the broker's id (empty: the default of all brokers).
    pub name: String,
}

impl ConfigResource {
    /// A topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self {
            kind: ResourceKind::Topic,
            name: name.into(),
        }
    }

    /// A broker.
    #[must_use]
    pub fn broker(id: BrokerId) -> Self {
        Self {
            kind: ResourceKind::Broker,
            name: id.to_string(),
        }
    }

    fn is(&self, kind: i8, name: &Text) -> bool {
        self.kind.number() == kind && *name == *self.name
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Set for this topic.
    Topic,
    /// Set for this broker while it runs.
    Broker,
    /// Set for all brokers while they run.
    BrokerDefault,
    /// From the broker's own configuration.
    Static,
    /// Nobody has set it.
    Default,
    /// A source this client does not know.
    Other(i8),
}

impl From<i8> for ConfigSource {
    fn from(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::BrokerDefault,
            4 => Self::Static,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// A 32-bit number.
    Int,
    /// A 16-bit number.
    Short,
    /// A 64-bit number.
    Long,
    /// A fraction.
    Double,
    /// Several values with commas.
    List,
    /// The name of a class.
    Class,
    /// A secret.
    Password,
    /// Not told.
    Unknown,
}

impl From<i8> for ConfigType {
    fn from(number: i8) -> Self {
        match number {
            1 => Self::Boolean,
            2 => Self::String,
            3 => Self::Int,
            4 => Self::Short,
            5 => Self::Long,
            6 => Self::Double,
            7 => Self::List,
            8 => Self::Class,
            9 => Self::Password,
            _ => Self::Unknown,
        }
    }
}

/// One configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; nothing where it is a secret or null.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// What it is.
    pub kind: ConfigType,
    /// Whether it cannot be changed.
    pub is_read_only: bool,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// Every source with its value, the one that counts first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it does, where told.
    pub documentation: Option<String>,
}

/// One source of a configuration's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name there.
    pub name: String,
    /// The value there.
    pub value: Option<String>,
    /// The source.
    pub source: ConfigSource,
}

/// What to do with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Give it this value.
    Set(String),
    /// Take the value away, so that the default counts.
    Delete,
    /// Add to a list.
    Append(String),
    /// Take out of a list.
    Subtract(String),
}

impl ConfigChange {
    const fn number(&self) -> i8 {
        match self {
            Self::Set(_) => 0,
            Self::Delete => 1,
            Self::Append(_) => 2,
            Self::Subtract(_) => 3,
        }
    }

    fn value(&self) -> Option<Text> {
        match self {
            Self::Set(value) | Self::Append(value) | Self::Subtract(value) => {
                Some(Text::from(value))
            }
            Self::Delete => None,
        }
    }
}

/// A change of one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfig {
    /// Its name.
    pub name: String,
    /// What to do with it.
    pub change: ConfigChange,
}

impl AlterConfig {
    /// Gives a configuration a value.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            change: ConfigChange::Set(value.into()),
        }
    }

    /// Takes a configuration's value away.
    pub fn delete(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            change: ConfigChange::Delete,
        }
    }
}

impl Admin {
    /// Every configuration of a resource, or those that are named, with sources and documentation.
    ///
    /// # Errors
    /// [`AdminError::Broker`] with `UnknownTopicOrPartition` and so on.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
        names: Option<&[String]>,
    ) -> Result<Vec<ConfigEntry>, AdminError> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.kind.number(),
                resource_name: Text::from(&resource.name),
                configuration_keys: names.map(|names| names.iter().map(Text::from).collect()),
            }],
            include_synonyms: true,
            include_documentation: true,
        };
        let response = self.ask_described(resource, request).await?;
        let result = response
            .into_iter()
            .find(|result| resource.is(result.resource_type, &result.resource_name))
            .ok_or_else(|| missing(&resource.name))?;
        check(result.error_code, result.error_message.as_ref())?;
        Ok(result.configs.into_iter().map(entry).collect())
    }

    /// A broker's configurations are told by that broker only.
    async fn ask_described(
        &self,
        resource: &ConfigResource,
        mut request: DescribeConfigsRequest,
    ) -> Result<Vec<weir_wire::messages::DescribeConfigsResult>, AdminError> {
        let broker = match resource.kind {
            ResourceKind::Broker => resource.name.parse().ok().map(BrokerId),
            ResourceKind::Topic => None,
        };
        let result = self.ask_config(broker, &request).await;
        if let Err(AdminError::Request(crate::error::RequestError::Encode { .. })) = &result {
            // Before version 3 nobody tells documentation.
            request.include_documentation = false;
            return Ok(self.ask_config(broker, &request).await?.results);
        }
        Ok(result?.results)
    }

    async fn ask_config<B: weir_wire::RequestBody>(
        &self,
        broker: Option<BrokerId>,
        request: &B,
    ) -> Result<B::Response, AdminError> {
        match broker {
            Some(id) => {
                let broker = self.shared.broker(id)?;
                Ok(self.shared.ask(&broker, i16::MAX, request).await?)
            }
            None => Ok(self.ask_any(request).await?),
        }
    }

    /// Changes some configurations of a resource and leaves the others alone.
    ///
    /// # Errors
    /// [`AdminError::Broker`] with `InvalidConfig` and so on; nothing is changed then.
    pub async fn incremental_alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[AlterConfig],
        validate_only: bool,
    ) -> Result<(), AdminError> {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: resource.kind.number(),
                resource_name: Text::from(&resource.name),
                configs: changes
                    .iter()
                    .map(|alter| IncrementalAlterableConfig {
                        name: Text::from(&alter.name),
                        config_operation: alter.change.number(),
                        value: alter.change.value(),
                    })
                    .collect(),
            }],
            validate_only,
        };
        let response = self
            .ask_controller(&request, |r| r.responses.first().map(|t| t.error_code))
            .await?;
        altered(resource, &response.responses)
    }

    /// Replaces all configurations of a resource: those that are not named lose their value.
    /// [`Self::incremental_alter_configs`] is nearly always what is meant.
    ///
    /// # Errors
    /// [`AdminError::Broker`] with `InvalidConfig` and so on; nothing is changed then.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        configs: &[(String, Option<String>)],
        validate_only: bool,
    ) -> Result<(), AdminError> {
        let request = AlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind.number(),
                resource_name: Text::from(&resource.name),
                configs: configs
                    .iter()
                    .map(|(name, value)| AlterableConfig {
                        name: Text::from(name),
                        value: value.as_ref().map(Text::from),
                    })
                    .collect(),
            }],
            validate_only,
        };
        let response = self
            .ask_controller(&request, |r| r.responses.first().map(|t| t.error_code))
            .await?;
        altered(resource, &response.responses)
    }
}

fn altered(
    resource: &ConfigResource,
    responses: &[AlterConfigsResourceResponse],
) -> Result<(), AdminError> {
    let result = responses
        .iter()
        .find(|result| resource.is(result.resource_type, &result.resource_name))
        .ok_or_else(|| missing(&resource.name))?;
    check(result.error_code, result.error_message.as_ref())
}

fn entry(result: DescribeConfigsResourceResult) -> ConfigEntry {
    let text = |text: Option<Text>| text.map(|text| text.to_string());
    ConfigEntry {
        name: result.name.to_string(),
        value: text(result.value),
        source: result.config_source.into(),
        kind: result.config_type.into(),
        is_read_only: result.read_only,
        is_sensitive: result.is_sensitive,
        synonyms: result
            .synonyms
            .into_iter()
            .map(|synonym| ConfigSynonym {
                name: synonym.name.to_string(),
                value: text(synonym.value),
                source: synonym.source.into(),
            })
            .collect(),
        documentation: text(result.documentation),
    }
}
