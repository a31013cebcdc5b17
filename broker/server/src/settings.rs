//! The broker's settings: one table with every name, type, default and sentence, and the rule by
//! which defaults, file, environment and flags are laid over one another.
//!
//! Nothing is read here but the texts that are handed in, so that a test needs no environment.
//! What a setting means is `config.rs`'s business.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use thiserror::Error;
use weir_meta::config::{ConfigKey, TOPIC_CONFIGS};
use weir_types::limits::TOPIC_PARTITIONS_MAX;

/// What kind of text a setting takes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// Any text.
    Text,
    /// Texts separated by commas, or a TOML array of them.
    List,
    /// `true` or `false`.
    Boolean,
    /// A whole number between the two, both included.
    Number {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IP address and a port, or nothing.
    Address,
    /// A level of the log, or several with what each is for.
    LogFilter,
    /// Whatever the topic setting takes whose default this is.
    TopicDefault(&'static ConfigKey),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::List => f.write_str("list"),
            Self::Boolean => f.write_str("true or false"),
            Self::Number { min, max: i64::MAX } => write!(f, "number, {min} or more"),
            Self::Number { min, max } => write!(f, "number, {min} to {max}"),
            Self::Choice(words) => f.write_str(&words.join(" or ")),
            Self::Address => f.write_str("IP address and port"),
            Self::LogFilter => f.write_str("level or filter"),
            Self::TopicDefault(key) => f.write_str(key.kind.name()),
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name; Kafka's where Kafka has it.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when nobody says anything.
    pub default: &'static str,
    /// One sentence, with the unit.
    pub doc: &'static str,
}

const fn number(min: i64, max: i64) -> Kind {
    Kind::Number { min, max }
}

macro_rules! settings {
    ($($name:literal: $kind:expr, $default:literal, $doc:literal;)*) => {
        &[$(Setting { name: $name, kind: $kind, default: $default, doc: $doc },)*]
    };
}

/// The settings that are the broker's own, in the order in which people read them.
const OWN: &[Setting] = settings! {
    "data": Kind::Text, "./weir-data",
        "Folder that holds everything the broker keeps: log, metadata, certificates, profiles.";
    "listen": Kind::List, "127.0.0.1:9092",
        "Where clients connect: `quic://HOST:PORT`, `tls://HOST:PORT` (TCP, client certificate required) or `plain://HOST:PORT` (TCP, loopback only); a bare `HOST:PORT` is QUIC there, with plain beside it on loopback and TLS elsewhere.";
    "advertise": Kind::List, "",
        "The address that clients are told for each listener, in the order of `listen`, as `HOST:PORT`; empty: the listener's own.";
    "node.id": number(0, i32::MAX as i64), "1",
        "This broker's number in the cluster; a folder with data starts with its own number only.";
    "shards": number(0, 1024), "0",
        "Threads that own partitions; 0: one for two processor cores. Nothing on disk depends on it.";
    "plain.role": Kind::Choice(&["admin", "client"]), "admin",
        "What the principal `local`, anyone who connects to a `plain://` listener, may do.";

    "num.partitions": number(1, TOPIC_PARTITIONS_MAX as i64), "1",
        "Partitions of a topic that is made without saying how many.";
    "auto.create.topics.enable": Kind::Boolean, "true",
        "Whether a topic is made when a client asks for one that does not exist.";
    "log.retention.check.interval.ms": number(1, i64::MAX), "300000",
        "How often retention looks at each partition, in milliseconds.";
    "producer.id.expiration.ms": number(1, i64::MAX), "86400000",
        "How long an idle idempotent producer is remembered, in milliseconds.";

    "offsets.topic.num.partitions": number(1, 10_000), "50",
        "Partitions of `__consumer_offsets`, counted when the first consumer group makes it; never changed later.";
    "offsets.retention.minutes": number(1, 1 << 40), "10080",
        "How long the offsets of a group without members are kept, in minutes.";
    "offsets.retention.check.interval.ms": number(1, i64::MAX), "600000",
        "How often the broker looks for offsets that may go, in milliseconds.";
    "offset.metadata.max.bytes": number(0, 1 << 20), "4096",
        "The longest text that a client may keep with an offset, in bytes.";
    "group.initial.rebalance.delay.ms": number(0, 1 << 40), "3000",
        "How long the first rebalance of an empty group of the classic protocol waits for more members, in milliseconds.";
    "group.min.session.timeout.ms": number(1, i32::MAX as i64), "6000",
        "The shortest session timeout a member of the classic protocol may ask for, in milliseconds.";
    "group.max.session.timeout.ms": number(1, i32::MAX as i64), "1800000",
        "The longest session timeout a member of the classic protocol may ask for, in milliseconds.";
    "group.max.size": number(1, 100_000), "5000",
        "The most members of a consumer group.";
    "group.consumer.session.timeout.ms": number(1, 1 << 40), "45000",
        "After how long without a heartbeat a member of the consumer protocol counts as gone, in milliseconds.";
    "group.consumer.heartbeat.interval.ms": number(1, 1 << 30), "5000",
        "How often a member of the consumer protocol sends heartbeats, in milliseconds.";
    "group.consumer.assignment.interval.ms": number(0, 1 << 40), "1000",
        "The least time between two assignments of one group of the consumer protocol, in milliseconds, so that a crowd that pours in costs few of them.";
    "group.consumer.migration.policy": Kind::Choice(&["disabled", "upgrade", "downgrade", "bidirectional"]), "bidirectional",
        "Which way a running group may change between the classic and the consumer protocol.";

    "store.lanes": number(1, 64), "2",
        "Threads that write the log; each has one file open at a time.";
    "store.lane.file.bytes": number(1 << 20, 1 << 40), "268435456",
        "Size at which a lane takes a new file, in bytes.";
    "store.cache.bytes": number(32 << 20, i64::MAX), "268435456",
        "Memory for all caches of the store together, in bytes: recent batches, redb pages, open files.";
    "store.direct.io": Kind::Boolean, "true",
        "Whether the log is written around the page cache; where the file system cannot, it goes through it anyway.";
    "store.rewriter.backlog.bytes": number(0, i64::MAX), "4294967296",
        "While much comes in, rewriting waits for a quieter moment until so many bytes wait to be sorted.";
    "store.rewriter": Kind::Choice(&["run", "hold"]), "run",
        "Whether rolled lane files are rewritten into sorted history files; `hold` is for measurements.";

    "socket.request.max.bytes": number(1024, 1 << 30), "104857600",
        "The largest request, in bytes.";
    "queued.max.request.bytes": number(1 << 20, i64::MAX), "268435456",
        "Bytes of all requests that are read and not yet answered; beyond it, reading from clients pauses. It pauses for records, too, while 64 MiB of them wait for the disk, answered or not.";
    "queued.max.response.bytes": number(1 << 20, i64::MAX), "268435456",
        "Bytes of records that all answers to fetches hold until clients have taken them; beyond it, fetches wait.";
    "max.connections": number(1, 1 << 20), "10000",
        "Connections at a time, over all listeners.";
    "max.connections.per.ip": number(1, 1 << 20), "10000",
        "Connections at a time from one address.";
    "connections.max.idle.ms": number(1000, i64::MAX), "600000",
        "A TCP connection that is silent for so many milliseconds is closed.";
    "quic.idle.timeout.ms": number(500, 600_000), "3000",
        "A QUIC peer that is silent for so many milliseconds counts as dead; raise it for clients far away.";

    "metrics.listen": Kind::Address, "",
        "`IP:PORT` of the HTTP server for Prometheus (`/metrics`) and for probes (`/livez`, `/readyz`); empty: none.";
    "log.format": Kind::Choice(&["text", "json"]), "text",
        "Form of the broker's own log on standard error.";
    "log.level": Kind::LogFilter, "info",
        "How much is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,weir_net=debug`.";
};

/// Every setting: the broker's own, then the defaults it gives to topics, whose table is
/// `weir-meta`'s.
pub fn all() -> impl Iterator<Item = Setting> + Clone {
    let topic_defaults = TOPIC_CONFIGS.iter().filter_map(|key| {
        Some(Setting {
            name: key.broker_name.filter(|_| key.idle.is_none())?,
            kind: Kind::TopicDefault(key),
            default: key.default,
            doc: key.doc,
        })
    });
    OWN.iter().copied().chain(topic_defaults)
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The table.
    Default,
    /// The configuration file of this path.
    File(String),
    /// The environment variable of this name.
    Environment(String),
    /// A flag, as it was written.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file is not TOML.
    #[error("configuration file {path} is not valid TOML: {reason}")]
    Syntax {
        /// Which file.
        path: String,
        /// The parser's words.
        reason: String,
    },
    /// No setting has this name.
    #[error("there is no setting `{name}` ({origin}){hint}")]
    Unknown {
        /// As it was written.
        name: String,
        /// Where.
        origin: Origin,
        /// `; did you mean …?`, or empty.
        hint: String,
    },
    /// The value is not of the setting's kind.
    #[error("setting `{name}` cannot be `{value}` ({origin}): {expected}")]
    Value {
        /// The setting.
        name: String,
        /// What was given.
        value: String,
        /// Where.
        origin: Origin,
        /// What it takes, in a sentence.
        expected: String,
    },
}

/// Every setting's value with where it came from.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
}

impl Default for Settings {
    fn default() -> Self {
        let row = |setting: Setting| (setting.name, (setting.default.to_owned(), Origin::Default));
        Self {
            values: all().map(row).collect(),
        }
    }
}

impl Settings {
    /// Lays a configuration file (TOML text) over what is there. Dotted names may be written as
    /// they are (`num.partitions = 3`) or as tables.
    ///
    /// # Errors
    /// Not TOML, an unknown name, a value of the wrong kind.
    pub fn lay_file(&mut self, path: &str, text: &str) -> Result<(), SettingsError> {
        let table: toml::Table =
            text.parse()
                .map_err(|error: toml::de::Error| SettingsError::Syntax {
                    path: path.to_owned(),
                    reason: error.to_string(),
                })?;
        let mut pairs = Vec::new();
        flatten("", &table, &mut pairs);
        for (name, value) in pairs {
            self.lay(&name, &value, Origin::File(path.to_owned()))?;
        }
        Ok(())
    }

    /// Lays environment variables over what is there: `WEIR_NUM_PARTITIONS` is `num.partitions`.
    /// Variables that start with `WEIR_` and name no setting are errors, but those of `ignored`.
    ///
    /// # Errors
    /// An unknown name, a value of the wrong kind.
    pub fn lay_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
        ignored: &[&str],
    ) -> Result<(), SettingsError> {
        for (variable, value) in variables {
            let Some(rest) = variable.strip_prefix("WEIR_") else {
                continue;
            };
            if ignored.contains(&variable.as_str()) {
                continue;
            }
            let name = all()
                .find(|setting| environment_name(setting.name) == variable)
                .map_or_else(
                    || rest.to_lowercase().replace('_', "."),
                    |s| s.name.to_owned(),
                );
            self.lay(&name, &value, Origin::Environment(variable))?;
        }
        Ok(())
    }

    /// Lays one value over what is there.
    ///
    /// # Errors
    /// An unknown name, a value of the wrong kind.
    pub fn lay(&mut self, name: &str, value: &str, origin: Origin) -> Result<(), SettingsError> {
        let Some(setting) = all().find(|setting| setting.name == name) else {
            let near = weir_types::text::nearest(name, all().map(|setting| setting.name));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(SettingsError::Unknown {
                name: name.to_owned(),
                origin,
                hint,
            });
        };
        if let Err(expected) = fits(setting.kind, value) {
            return Err(SettingsError::Value {
                name: name.to_owned(),
                value: value.to_owned(),
                origin,
                expected,
            });
        }
        self.values
            .insert(setting.name, (value.trim().to_owned(), origin));
        Ok(())
    }

    /// The text of a setting of the table; empty for a name that is not in it.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |(value, _)| value)
    }

    /// A `Number` setting; its default was checked by a test, its value when it was laid.
    #[must_use]
    pub fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// A `Boolean` setting.
    #[must_use]
    pub fn boolean(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// A `List` setting.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.text(name)
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
    }

    /// Every setting with its value and origin, in the table's order.
    pub fn iter(&self) -> impl Iterator<Item = (Setting, &str, &Origin)> {
        all().filter_map(|setting| {
            let (value, origin) = self.values.get(setting.name)?;
            Some((setting, value.as_str(), origin))
        })
    }
}

/// The environment variable of a setting.
#[must_use]
pub fn environment_name(setting: &str) -> String {
    format!("WEIR_{}", setting.replace('.', "_").to_uppercase())
}

/// Whether a value is of a kind; if not, what the kind takes.
fn fits(kind: Kind, value: &str) -> Result<(), String> {
    let value = value.trim();
    let fits = match kind {
        Kind::Text | Kind::List => true,
        Kind::Boolean => matches!(value, "true" | "false"),
        Kind::Number { min, max } => value
            .parse::<i64>()
            .is_ok_and(|number| (min..=max).contains(&number)),
        Kind::Choice(words) => words.contains(&value),
        Kind::Address if value.is_empty() || value.parse::<SocketAddr>().is_ok() => true,
        Kind::Address => {
            return Err("it takes an IP address and a port, such as 127.0.0.1:9644".to_owned());
        }
        Kind::LogFilter if value.split(',').all(is_directive) => true,
        Kind::LogFilter => {
            return Err(format!(
                "it takes one of {}, or a filter such as info,weir_net=debug",
                LOG_LEVELS.join(", ")
            ));
        }
        Kind::TopicDefault(key) => return key.check(value),
    };
    if fits {
        Ok(())
    } else {
        Err(format!("it takes {kind}"))
    }
}

const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether this is a level, or `module=level`. The log's own parser takes any other word for the
/// name of a module, and all the rest would be silent.
fn is_directive(text: &str) -> bool {
    let text = text.trim();
    let level = match text.rsplit_once('=') {
        Some(("", _)) => return false,
        Some((_, level)) => level,
        None => text,
    };
    LOG_LEVELS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(level))
}

fn flatten(prefix: &str, table: &toml::Table, pairs: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, pairs),
            toml::Value::String(text) => pairs.push((name, text.clone())),
            toml::Value::Array(items) => {
                let texts = items.iter().map(|item| match item {
                    toml::Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                pairs.push((name, texts.collect::<Vec<_>>().join(",")));
            }
            other => pairs.push((name, other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_of_its_kind() {
        for setting in all() {
            assert_eq!(
                fits(setting.kind, setting.default),
                Ok(()),
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn the_store_and_the_table_agree_on_its_defaults() {
        let settings = Settings::default();
        let store = weir_store::StoreConfig::default();
        let size = |name| usize::try_from(settings.number(name)).unwrap();
        assert_eq!(size("store.lanes"), store.lanes);
        assert_eq!(size("store.lane.file.bytes") as u64, store.lane_file_bytes);
        assert_eq!(size("store.cache.bytes"), store.cache_bytes);
        let backlog = size("store.rewriter.backlog.bytes") as u64;
        assert_eq!(backlog, store.rewrite_backlog_bytes);
        let row = all().find(|row| row.name == "queued.max.request.bytes");
        let pending = format!("while {} MiB of them", store.pending_bytes_max >> 20);
        assert!(row.unwrap().doc.contains(&pending), "{pending}");
    }

    #[test]
    fn the_transport_and_the_table_agree_on_its_defaults() {
        let settings = Settings::default();
        let net = weir_net::Limits::default();
        let size = |name| usize::try_from(settings.number(name)).unwrap();
        assert_eq!(size("socket.request.max.bytes"), net.frame_bytes_max);
        let requests = size("queued.max.request.bytes");
        assert_eq!(requests, net.request_bytes_in_flight_max);
        assert_eq!(size("max.connections"), net.connections_max);
        assert_eq!(size("max.connections.per.ip"), net.connections_per_ip_max);
        let tcp = net.tcp_idle.as_millis();
        assert_eq!(size("connections.max.idle.ms") as u128, tcp);
        let quic = net.quic_idle.as_millis();
        assert_eq!(size("quic.idle.timeout.ms") as u128, quic);
    }

    #[test]
    fn the_groups_and_the_table_agree_on_their_defaults() {
        let settings = Settings::default();
        let groups = crate::config::groups(&settings).unwrap();
        assert_eq!(groups, weir_node::GroupConfig::default());
        let front = weir_node::front::FrontConfig::new(1, weir_types::BrokerId(1));
        let partitions = settings.number("offsets.topic.num.partitions");
        assert_eq!(partitions, i64::from(front.offsets_partitions));
    }

    #[test]
    fn session_timeouts_that_contradict_each_other_are_refused() {
        let mut settings = Settings::default();
        let origin = Origin::Flag("--set".into());
        let name = "group.min.session.timeout.ms";
        settings.lay(name, "1800001", origin).unwrap();
        assert_eq!(
            crate::config::groups(&settings).unwrap_err().to_string(),
            "setting `group.min.session.timeout.ms` cannot be `1800001`: it is longer than `group.max.session.timeout.ms`"
        );
    }

    #[test]
    fn later_layers_win_and_say_where_they_came_from() {
        let mut settings = Settings::default();
        settings
            .lay_file(
                "w.toml",
                "num.partitions = 3\nlisten = [\"a:1\", \"b:2\"]\n[store]\nlanes = 4",
            )
            .unwrap();
        let environment = [("WEIR_NUM_PARTITIONS", "5"), ("HOME", "/")];
        let environment = environment.map(|(k, v)| (k.to_owned(), v.to_owned()));
        settings
            .lay_environment(environment.into_iter(), &[])
            .unwrap();
        settings
            .lay(
                "store.lanes",
                "8",
                Origin::Flag("--set store.lanes=8".into()),
            )
            .unwrap();
        assert_eq!(settings.number("num.partitions"), 5);
        assert_eq!(settings.number("store.lanes"), 8);
        assert_eq!(settings.list("listen").collect::<Vec<_>>(), ["a:1", "b:2"]);
        let origin = |name| {
            settings
                .iter()
                .find(|(s, ..)| s.name == name)
                .unwrap()
                .2
                .to_string()
        };
        assert_eq!(origin("num.partitions"), "environment WEIR_NUM_PARTITIONS");
        assert_eq!(origin("listen"), "file w.toml");
        assert_eq!(origin("shards"), "default");
    }

    #[test]
    fn mistakes_name_what_was_wrong_and_what_to_do() {
        let mut settings = Settings::default();
        let error = settings
            .lay_file("w.toml", "num.partition = 3")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no setting `num.partition` (file w.toml); did you mean `num.partitions`?"
        );
        let error = settings
            .lay("shards", "many", Origin::Flag("--set".into()))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "setting `shards` cannot be `many` (flag --set): it takes number, 0 to 1024"
        );
        let mut fails = |name, value| settings.lay(name, value, Origin::Flag("--set".into()));
        for level in ["inof", "", "info,", "weir_net", "weir_net=loud", "=info"] {
            assert!(fails("log.level", level).is_err(), "{level}");
        }
        for level in ["off", "WARN", "info,weir_net=debug", "weir_net=trace"] {
            assert!(fails("log.level", level).is_ok(), "{level}");
        }
        for address in ["foo", "localhost:1", "127.0.0.1"] {
            assert!(fails("metrics.listen", address).is_err(), "{address}");
        }
        assert!(fails("metrics.listen", "[::1]:9644").is_ok());
    }
}
