//! DescribeConfigs from the tables; AlterConfigs and IncrementalAlterConfigs as commands.

use super::{BrokerSetting, Call, Front, Plan, join::Kind, topics::command_plan};
use crate::authorizer::{Operation, Resource};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use weir_meta::{
    Command, Reply,
    command::{
        AlterConfigs, AlterResource, ConfigChanges, ConfigEdit, ConfigOperation, ConfigResource,
    },
    config::{ConfigEntry, ConfigSource, TOPIC_CONFIGS, describe_topic},
    name,
};
use weir_types::ErrorCode;
use weir_wire::{
    Response, Text,
    messages::{
        AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
        DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
        DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    },
};

/// Kafka's number of a topic among the kinds of resources.
const TOPIC: i8 = 2;
/// Kafka's number of a broker.
const BROKER: i8 = 4;

/// How long a change of settings may take, in milliseconds; the requests carry no time-out.
const ALTER_MS: i32 = 30_000;

type Refused = (ErrorCode, String);

fn resource(kind: i8, name: &str) -> ConfigResource {
    match kind {
        TOPIC => ConfigResource::Topic(String::from(name)),
        BROKER => ConfigResource::Broker(String::from(name)),
        other => ConfigResource::Other(other, String::from(name)),
    }
}

/// Whether the caller may do `operation` on a resource's settings.
fn allowed(
    call: &Call<'_>,
    operation: Operation,
    resource: &ConfigResource,
) -> Result<(), Refused> {
    let (on, error) = match resource {
        ConfigResource::Topic(name) => (Resource::Topic(name), ErrorCode::TopicAuthorizationFailed),
        ConfigResource::Broker(_) | ConfigResource::Other(..) => {
            (Resource::Brokers, ErrorCode::ClusterAuthorizationFailed)
        }
    };
    if call.context.may(operation, on) {
        return Ok(());
    }
    let who = &call.context.principal.name;
    Err((error, format!("'{who}' may not do this")))
}

impl Front {
    pub(super) fn describe_configs(
        &self,
        call: &Call<'_>,
        request: DescribeConfigsRequest,
    ) -> Plan {
        let detail = Detail {
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
        };
        let resources = request.resources.into_iter();
        Plan::answer(DescribeConfigsResponse {
            throttle_time_ms: 0,
            results: resources
                .map(|wanted| self.describe(call, wanted, detail))
                .collect(),
        })
    }

    fn describe(
        &self,
        call: &Call<'_>,
        wanted: DescribeConfigsResource,
        detail: Detail,
    ) -> DescribeConfigsResult {
        let target = resource(wanted.resource_type, &wanted.resource_name);
        let described = allowed(call, Operation::DescribeConfigs, &target)
            .and_then(|()| self.settings(call, &target, detail));
        let (error_code, error_message, configs) = match described {
            Ok(configs) => (ErrorCode::None, None, configs),
            Err((error, message)) => (error, Some(Text::from(message)), Vec::new()),
        };
        let keys = wanted.configuration_keys;
        let asked = |name: &Text| keys.as_ref().is_none_or(|keys| keys.contains(name));
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: wanted.resource_type,
            resource_name: wanted.resource_name,
            configs: configs.into_iter().filter(|row| asked(&row.name)).collect(),
        }
    }

    fn settings(
        &self,
        call: &Call<'_>,
        target: &ConfigResource,
        detail: Detail,
    ) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
        match target {
            ConfigResource::Topic(topic) => {
                name::check(topic).map_err(|text| (ErrorCode::InvalidTopicException, text))?;
                let Some(topic) = call.image.topic_named(topic) else {
                    let text = format!("there is no topic '{topic}'");
                    return Err((ErrorCode::UnknownTopicOrPartition, text));
                };
                let entries = describe_topic(&self.config.statics, call.image, &topic.overrides);
                // A view has no settings but who may read it.
                let counts = |e: &ConfigEntry| topic.view.is_none() || e.key.name == "weir.readers";
                let entries = entries.into_iter().filter(counts);
                Ok(entries.map(|e| detail.topic_row(e)).collect())
            }
            ConfigResource::Broker(name) if name.is_empty() => {
                let rows = TOPIC_CONFIGS.iter().filter_map(|key| {
                    let value = call.image.defaults().get(key.name)?;
                    let row = Row {
                        name: key.broker_name?,
                        value: Some(value),
                        source: ConfigSource::DynamicDefaultBroker,
                        read_only: false,
                        sensitive: false,
                        kind: key.kind as i8,
                        doc: key.doc,
                    };
                    Some(detail.row(&row))
                });
                Ok(rows.collect())
            }
            ConfigResource::Broker(name) if *name == self.config.broker.to_string() => {
                let settings = self.config.broker_settings.iter();
                Ok(settings.map(|setting| detail.broker_row(setting)).collect())
            }
            ConfigResource::Broker(name) => {
                let own = self.config.broker;
                let text = format!("this is broker {own}; ask broker {name} for its settings");
                Err((ErrorCode::InvalidRequest, text))
            }
            ConfigResource::Other(kind, _) => {
                let text = format!("resources of type {kind} have no settings here");
                Err((ErrorCode::InvalidRequest, text))
            }
        }
    }
}

pub(super) fn alter_configs(call: &Call<'_>, request: AlterConfigsRequest) -> Plan {
    let wanted = request.resources.into_iter().map(|wanted| {
        let configs = wanted.configs.into_iter();
        let configs = configs.map(|c| (String::from(c.name), c.value.map(String::from)));
        let changes = ConfigChanges::Replace(configs.collect());
        (wanted.resource_type, wanted.resource_name, Ok(changes))
    });
    alter(call, wanted.collect(), request.validate_only, false)
}

pub(super) fn incremental_alter_configs(
    call: &Call<'_>,
    request: IncrementalAlterConfigsRequest,
) -> Plan {
    let wanted = request.resources.into_iter().map(|wanted| {
        let edit = |config: weir_wire::messages::IncrementalAlterableConfig| {
            Ok(ConfigEdit {
                name: String::from(config.name),
                operation: operation(config.config_operation)?,
                value: config.value.map(String::from),
            })
        };
        let edits: Result<Vec<ConfigEdit>, Refused> =
            wanted.configs.into_iter().map(edit).collect();
        let changes = edits.map(ConfigChanges::Edit);
        (wanted.resource_type, wanted.resource_name, changes)
    });
    alter(call, wanted.collect(), request.validate_only, true)
}

fn operation(number: i8) -> Result<ConfigOperation, Refused> {
    match number {
        0 => Ok(ConfigOperation::Set),
        1 => Ok(ConfigOperation::Delete),
        2 => Ok(ConfigOperation::Append),
        3 => Ok(ConfigOperation::Subtract),
        other => Err((
            ErrorCode::InvalidRequest,
            format!("there is no operation {other} on settings"),
        )),
    }
}

fn alter(
    call: &Call<'_>,
    wanted: Vec<(i8, Text, Result<ConfigChanges, Refused>)>,
    validate_only: bool,
    incremental: bool,
) -> Plan {
    let mut join = ConfigsJoin {
        results: Vec::with_capacity(wanted.len()),
        asked: Vec::new(),
        incremental,
    };
    let mut resources = Vec::new();
    for (place, (kind, name, changes)) in wanted.into_iter().enumerate() {
        let target = resource(kind, &name);
        let mut result = AlterConfigsResourceResponse {
            resource_type: kind,
            resource_name: name,
            ..Default::default()
        };
        let permitted = allowed(call, Operation::AlterConfigs, &target);
        match permitted.and(changes) {
            Ok(changes) => {
                join.asked.push(place);
                resources.push(AlterResource {
                    resource: target,
                    changes,
                });
            }
            Err((error, message)) => {
                result.error_code = error;
                result.error_message = Some(Text::from(message));
            }
        }
        join.results.push(result);
    }
    if resources.is_empty() {
        return Plan::Answer(join.finish());
    }
    let command = Command::AlterConfigs(AlterConfigs {
        resources,
        validate_only,
    });
    command_plan(call, command, ALTER_MS, Kind::Configs(join))
}

/// A change of settings that is being joined.
#[derive(Debug)]
pub(super) struct ConfigsJoin {
    results: Vec<AlterConfigsResourceResponse>,
    asked: Vec<usize>,
    incremental: bool,
}

impl ConfigsJoin {
    pub(super) fn absorb(&mut self, reply: Result<Reply, Refused>) {
        match reply {
            Ok(Reply::Altered(resources)) => {
                for (place, altered) in self.asked.iter().zip(resources) {
                    let result = &mut self.results[*place];
                    result.error_code = altered.outcome.error;
                    result.error_message = altered.outcome.message.map(Text::from);
                }
            }
            Ok(reply) => panic!("I-NODE-12: a reply fits its command, this does not: {reply:?}"),
            Err((error, message)) => {
                for place in &self.asked {
                    self.results[*place].error_code = error;
                    self.results[*place].error_message = Some(Text::from(message.as_str()));
                }
            }
        }
    }

    pub(super) fn finish(self) -> Response {
        let (throttle_time_ms, responses) = (0, self.results);
        if self.incremental {
            IncrementalAlterConfigsResponse {
                throttle_time_ms,
                responses,
            }
            .into()
        } else {
            AlterConfigsResponse {
                throttle_time_ms,
                responses,
            }
            .into()
        }
    }
}

/// How much of a setting is told.
#[derive(Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

/// A setting that has one value in one place.
struct Row<'a> {
    name: &'a str,
    value: Option<&'a str>,
    source: ConfigSource,
    read_only: bool,
    sensitive: bool,
    kind: i8,
    doc: &'a str,
}

impl Detail {
    fn topic_row(self, entry: ConfigEntry) -> DescribeConfigsResourceResult {
        let synonym =
            |(name, value, source): (&'static str, String, ConfigSource)| DescribeConfigsSynonym {
                name: Text::from(name),
                value: Some(Text::from(value)),
                source: source as i8,
            };
        let doc = match entry.key.idle {
            Some(why) => format!("{} It is accepted and does nothing: {why}.", entry.key.doc),
            None => entry.key.doc.to_string(),
        };
        let synonyms = entry.synonyms.into_iter().filter(|_| self.synonyms);
        DescribeConfigsResourceResult {
            name: Text::from(entry.key.name),
            value: Some(Text::from(entry.value)),
            read_only: false,
            config_source: entry.source as i8,
            is_sensitive: false,
            synonyms: synonyms.map(synonym).collect(),
            config_type: entry.key.kind as i8,
            documentation: self.documentation.then(|| Text::from(doc)),
        }
    }

    fn broker_row(self, setting: &BrokerSetting) -> DescribeConfigsResourceResult {
        self.row(&Row {
            name: &setting.name,
            value: setting.value.as_deref().filter(|_| !setting.sensitive),
            source: setting.source,
            read_only: true,
            sensitive: setting.sensitive,
            kind: setting.kind as i8,
            doc: &setting.doc,
        })
    }

    fn row(self, row: &Row<'_>) -> DescribeConfigsResourceResult {
        let synonym = DescribeConfigsSynonym {
            name: Text::from(row.name),
            value: row.value.map(Text::from),
            source: row.source as i8,
        };
        DescribeConfigsResourceResult {
            name: Text::from(row.name),
            value: row.value.map(Text::from),
            read_only: row.read_only,
            config_source: row.source as i8,
            is_sensitive: row.sensitive,
            synonyms: self.synonyms.then_some(synonym).into_iter().collect(),
            config_type: row.kind,
            documentation: self.documentation.then(|| Text::from(row.doc)),
        }
    }
}
