//! The one table of topic settings, under Kafka's names: types, defaults, rules, documentation.
//!
//! Everything that speaks of a topic setting reads this table: validation, DescribeConfigs, the
//! typed `TopicConfig` and the generated CONFIG.md. A setting that has nothing to do in Weir is
//! accepted and says so.

use alloc::{
    format,
    string::{String, ToString},
};
use weir_types::{
    limits::{BATCH_BYTES_MAX_DEFAULT, FRAME_BYTES_MAX},
    text::nearest,
};

use crate::{limits::CONFIG_VALUE_BYTES_MAX, plugins::check_readers};
use weir_plugin::{Chain, ChainError, Policy};

/// Kafka's type of a setting, as DescribeConfigs numbers it (KIP-569).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean = 1,
    /// Text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// A number with a fraction.
    Double = 6,
    /// Words with commas between them.
    List = 7,
    /// The name of a class; Weir has none.
    Class = 8,
    /// A secret.
    Password = 9,
}

impl ConfigType {
    /// The type's name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
            Self::Class => "class",
            Self::Password => "password",
        }
    }
}

/// Which values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `true` or `false`.
    Boolean,
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// A number from 0 to 1.
    Ratio,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words; the second list holds words Kafka knows that are refused here, and
    /// the text says why.
    OneOfNotYet(
        &'static [&'static str],
        &'static [&'static str],
        &'static str,
    ),
    /// Any text.
    Text,
    /// A chain of plugins; empty: none.
    Chain,
    /// A chain of one plugin; empty: none.
    Link,
    /// What becomes of records that a plugin cannot deal with.
    Policy,
    /// `*`, or names with commas between.
    Readers,
}

impl Rule {
    /// Whether the setting is one of a single topic, for which there can be no default elsewhere.
    #[must_use]
    pub const fn is_of_one_topic(self) -> bool {
        matches!(
            self,
            Self::Chain | Self::Link | Self::Policy | Self::Readers
        )
    }
}

/// One topic setting.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// The name under which a broker's own settings give its default, if there is one.
    pub broker_name: Option<&'static str>,
    /// Kafka's type.
    pub kind: ConfigType,
    /// The value where nothing is set.
    pub default: &'static str,
    /// Which values are taken.
    pub rule: Rule,
    /// What it does, in a sentence or two, the unit named.
    pub doc: &'static str,
    /// Why it has nothing to do in Weir, where that is so.
    pub idle: Option<&'static str>,
}

const SEGMENTS: &str =
    "Weir keeps partitions in shared files that the store rolls by itself (weir store settings)";
const DURABLE: &str = "Weir flushes every batch before it is acknowledged";
const COMPACTION: &str = "it belongs to compaction, which Weir does not have yet";
const TIERED: &str = "Weir has no tiered storage";
const I32_MAX: i64 = i32::MAX as i64;

const fn key(
    name: &'static str,
    broker_name: &'static str,
    kind: ConfigType,
    default: &'static str,
    rule: Rule,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        broker_name: if broker_name.is_empty() {
            None
        } else {
            Some(broker_name)
        },
        kind,
        default,
        rule,
        doc,
        idle: None,
    }
}

const fn idle(key: ConfigKey, why: &'static str) -> ConfigKey {
    ConfigKey {
        idle: Some(why),
        ..key
    }
}

/// Every topic setting, in order of its name.
pub static TOPIC_CONFIGS: &[ConfigKey] = &[
    key(
        "cleanup.policy",
        "log.cleanup.policy",
        ConfigType::List,
        "delete",
        Rule::OneOfNotYet(
            &["delete"],
            &["compact", "compact,delete", "delete,compact"],
            "log compaction is not there yet; use 'delete'",
        ),
        "What happens to old records: 'delete' drops them by retention.ms and retention.bytes.",
    ),
    key(
        "compression.type",
        "compression.type",
        ConfigType::String,
        "producer",
        Rule::OneOfNotYet(
            &["producer"],
            &["uncompressed", "gzip", "snappy", "lz4", "zstd"],
            "the broker does not recompress batches yet; use 'producer', which keeps each batch as its producer compressed it",
        ),
        "How batches are compressed on disk: 'producer' keeps them as they came.",
    ),
    idle(
        key(
            "delete.retention.ms",
            "log.cleaner.delete.retention.ms",
            ConfigType::Long,
            "86400000",
            Rule::Integer(0, i64::MAX),
            "How long, in milliseconds, compaction keeps tombstones.",
        ),
        COMPACTION,
    ),
    idle(
        key(
            "file.delete.delay.ms",
            "log.segment.delete.delay.ms",
            ConfigType::Long,
            "60000",
            Rule::Integer(0, i64::MAX),
            "How long, in milliseconds, a deleted file stays on disk.",
        ),
        SEGMENTS,
    ),
    idle(
        key(
            "flush.messages",
            "log.flush.interval.messages",
            ConfigType::Long,
            "9223372036854775807",
            Rule::Integer(1, i64::MAX),
            "After how many records the log is flushed.",
        ),
        DURABLE,
    ),
    idle(
        key(
            "flush.ms",
            "log.flush.interval.ms",
            ConfigType::Long,
            "9223372036854775807",
            Rule::Integer(0, i64::MAX),
            "After how many milliseconds the log is flushed.",
        ),
        DURABLE,
    ),
    idle(
        key(
            "follower.replication.throttled.replicas",
            "",
            ConfigType::List,
            "",
            Rule::Text,
            "Replicas whose replication is throttled on the follower's side.",
        ),
        "Weir does not throttle replication",
    ),
    idle(
        key(
            "index.interval.bytes",
            "log.index.interval.bytes",
            ConfigType::Int,
            "4096",
            Rule::Integer(0, I32_MAX),
            "Bytes between two entries of Kafka's offset index.",
        ),
        SEGMENTS,
    ),
    idle(
        key(
            "leader.replication.throttled.replicas",
            "",
            ConfigType::List,
            "",
            Rule::Text,
            "Replicas whose replication is throttled on the leader's side.",
        ),
        "Weir does not throttle replication",
    ),
    idle(
        key(
            "local.retention.bytes",
            "log.local.retention.bytes",
            ConfigType::Long,
            "-2",
            Rule::Integer(-2, i64::MAX),
            "Bytes of a tiered partition that stay on the broker.",
        ),
        TIERED,
    ),
    idle(
        key(
            "local.retention.ms",
            "log.local.retention.ms",
            ConfigType::Long,
            "-2",
            Rule::Integer(-2, i64::MAX),
            "Milliseconds that a tiered partition's records stay on the broker.",
        ),
        TIERED,
    ),
    idle(
        key(
            "max.compaction.lag.ms",
            "log.cleaner.max.compaction.lag.ms",
            ConfigType::Long,
            "9223372036854775807",
            Rule::Integer(1, i64::MAX),
            "The longest time, in milliseconds, a record stays uncompacted.",
        ),
        COMPACTION,
    ),
    key(
        "max.message.bytes",
        "message.max.bytes",
        ConfigType::Int,
        "1048588",
        Rule::Integer(0, FRAME_BYTES_MAX as i64),
        "The largest record batch, in bytes, after compression.",
    ),
    key(
        "message.timestamp.after.max.ms",
        "log.message.timestamp.after.max.ms",
        ConfigType::Long,
        "3600000",
        Rule::Integer(0, i64::MAX),
        "How far, in milliseconds, a record's timestamp may lie ahead of the broker's clock; not used with LogAppendTime.",
    ),
    key(
        "message.timestamp.before.max.ms",
        "log.message.timestamp.before.max.ms",
        ConfigType::Long,
        "9223372036854775807",
        Rule::Integer(0, i64::MAX),
        "How far, in milliseconds, a record's timestamp may lie behind the broker's clock; not used with LogAppendTime.",
    ),
    key(
        "message.timestamp.type",
        "log.message.timestamp.type",
        ConfigType::String,
        "CreateTime",
        Rule::OneOf(&["CreateTime", "LogAppendTime"]),
        "Whose clock gives records their timestamp: the producer's (CreateTime) or the broker's (LogAppendTime).",
    ),
    idle(
        key(
            "min.cleanable.dirty.ratio",
            "log.cleaner.min.cleanable.ratio",
            ConfigType::Double,
            "0.5",
            Rule::Ratio,
            "How much of the log must be uncompacted before compaction starts.",
        ),
        COMPACTION,
    ),
    idle(
        key(
            "min.compaction.lag.ms",
            "log.cleaner.min.compaction.lag.ms",
            ConfigType::Long,
            "0",
            Rule::Integer(0, i64::MAX),
            "The shortest time, in milliseconds, a record stays uncompacted.",
        ),
        COMPACTION,
    ),
    key(
        "min.insync.replicas",
        "min.insync.replicas",
        ConfigType::Int,
        "1",
        Rule::Integer(1, I32_MAX),
        "How many replicas must be in sync for a write with acks=all to be taken.",
    ),
    idle(
        key(
            "preallocate",
            "log.preallocate",
            ConfigType::Boolean,
            "false",
            Rule::Boolean,
            "Whether Kafka allocates segment files in advance.",
        ),
        SEGMENTS,
    ),
    idle(
        key(
            "remote.storage.enable",
            "",
            ConfigType::Boolean,
            "false",
            Rule::OneOfNotYet(&["false"], &["true"], "Weir has no tiered storage"),
            "Whether old records move to remote storage.",
        ),
        TIERED,
    ),
    key(
        "retention.bytes",
        "log.retention.bytes",
        ConfigType::Long,
        "-1",
        Rule::Integer(-1, i64::MAX),
        "Bytes a partition keeps before its oldest batches are dropped; -1: no limit.",
    ),
    key(
        "retention.ms",
        "log.retention.ms",
        ConfigType::Long,
        "604800000",
        Rule::Integer(-1, i64::MAX),
        "Milliseconds a record is kept, by its timestamp, whether it was consumed or not; -1: for ever.",
    ),
    idle(
        key(
            "segment.bytes",
            "log.segment.bytes",
            ConfigType::Int,
            "1073741824",
            Rule::Integer(14, I32_MAX),
            "The size, in bytes, of Kafka's segment files.",
        ),
        SEGMENTS,
    ),
    idle(
        key(
            "segment.index.bytes",
            "log.index.size.max.bytes",
            ConfigType::Int,
            "10485760",
            Rule::Integer(4, I32_MAX),
            "The size, in bytes, of Kafka's segment index.",
        ),
        SEGMENTS,
    ),
    idle(
        key(
            "segment.jitter.ms",
            "log.roll.jitter.ms",
            ConfigType::Long,
            "0",
            Rule::Integer(0, i64::MAX),
            "How much, in milliseconds, the rolling of Kafka's segments is spread.",
        ),
        SEGMENTS,
    ),
    idle(
        key(
            "segment.ms",
            "log.roll.ms",
            ConfigType::Long,
            "604800000",
            Rule::Integer(1, i64::MAX),
            "After how many milliseconds Kafka rolls a segment.",
        ),
        SEGMENTS,
    ),
    idle(
        key(
            "unclean.leader.election.enable",
            "unclean.leader.election.enable",
            ConfigType::Boolean,
            "false",
            Rule::Boolean,
            "Whether a replica that is not in sync may become leader, at the price of lost records.",
        ),
        "a single broker has no election",
    ),
    key(
        "weir.ingest",
        "",
        ConfigType::String,
        "",
        Rule::Chain,
        "The plugins that batches go through before they are appended, such as 'mask-fields@1.2.0(fields=\"card\")', one after the other with a vertical bar between; without '@VERSION' the active version counts. They change or drop records and never add one.",
    ),
    key(
        "weir.ingest.policy",
        "",
        ConfigType::String,
        "stop",
        Rule::Policy,
        "What becomes of a record that weir.ingest cannot deal with: 'stop' refuses its batch, 'skip' leaves the record out, 'dead-letter:TOPIC' writes it there.",
    ),
    key(
        "weir.ingest.shadow",
        "",
        ConfigType::String,
        "",
        Rule::Chain,
        "Plugins that run beside weir.ingest on the same batches; only how their results differ is counted.",
    ),
    key(
        "weir.partitioner",
        "",
        ConfigType::String,
        "",
        Rule::Link,
        "The plugin that chooses partitions: for clients that run it themselves, and for those that leave the choice to the broker (partition -1).",
    ),
    key(
        "weir.partitioner.enforce",
        "",
        ConfigType::String,
        "off",
        Rule::OneOf(&["off", "reject"]),
        "What happens to a batch that is placed otherwise than weir.partitioner says: 'off' takes it, 'reject' refuses it.",
    ),
    key(
        "weir.readers",
        "",
        ConfigType::List,
        "*",
        Rule::Readers,
        "Who may read the topic: '*', or the names of principals; admins and brokers always may. A view has readers of its own.",
    ),
    key(
        "weir.validate",
        "weir.validate",
        ConfigType::String,
        "full",
        Rule::OneOf(&["full", "crc"]),
        "How batches are checked before they are taken: 'full' looks at every record's framing, decompressing for it; 'crc' leaves compressed records unopened.",
    ),
];

const _: () = assert!(
    BATCH_BYTES_MAX_DEFAULT == 1_048_588,
    "the table says so too"
);

/// The setting of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static ConfigKey> {
    let place = TOPIC_CONFIGS.binary_search_by(|key| key.name.cmp(name));
    place.ok().map(|place| &TOPIC_CONFIGS[place])
}

/// The topic setting whose default brokers call by that name.
#[must_use]
pub fn find_broker_name(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_CONFIGS.iter().find(|k| k.broker_name == Some(name))
}

/// Checks a value for the topic setting `name`.
///
/// # Errors
/// One sentence: the setting is not known (and which is near), or why the value is not taken.
pub fn check_value(name: &str, value: &str) -> Result<&'static ConfigKey, String> {
    let key = find(name).ok_or_else(|| unknown(name, TOPIC_CONFIGS.iter().map(|k| k.name)))?;
    key.check(value)?;
    Ok(key)
}

/// The sentence for a setting that does not exist, with the one that was meant.
pub(crate) fn unknown(name: &str, known: impl Iterator<Item = &'static str>) -> String {
    /// A longer name is no typo, and comparing it would cost time.
    const TYPO_BYTES_MAX: usize = 128;
    if name.len() > TYPO_BYTES_MAX {
        return "there is no setting of this name".to_string();
    }
    match nearest(name, known) {
        Some(near) => format!("there is no setting '{name}'; did you mean '{near}'?"),
        None => format!("there is no setting '{name}'"),
    }
}

impl ConfigKey {
    /// Checks a value.
    ///
    /// # Errors
    /// One sentence that names the setting and says why the value is not taken.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let name = self.name;
        if value.len() > CONFIG_VALUE_BYTES_MAX {
            return Err(format!(
                "the value of {name} has {} bytes; {CONFIG_VALUE_BYTES_MAX} are allowed",
                value.len()
            ));
        }
        let trimmed = value.trim();
        match self.rule {
            Rule::Boolean => match trimmed {
                "true" | "false" => Ok(()),
                _ => Err(format!("{name} must be true or false, not '{value}'")),
            },
            Rule::Integer(low, high) => match trimmed.parse::<i64>() {
                Ok(number) if (low..=high).contains(&number) => Ok(()),
                Ok(number) if high == i64::MAX => {
                    Err(format!("{name} must be at least {low}, not {number}"))
                }
                Ok(number) => Err(format!("{name} must be from {low} to {high}, not {number}")),
                Err(_) => Err(format!("{name} must be a whole number, not '{value}'")),
            },
            Rule::Ratio => match trimmed.parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
                _ => Err(format!(
                    "{name} must be a number from 0 to 1, not '{value}'"
                )),
            },
            Rule::OneOf(words) => one_of(name, value, trimmed, words),
            Rule::OneOfNotYet(words, later, why) => {
                let tight: String = trimmed
                    .split(',')
                    .map(str::trim)
                    .collect::<alloc::vec::Vec<_>>()
                    .join(",");
                if later.contains(&tight.as_str()) {
                    Err(format!("{name}={tight} is not possible: {why}"))
                } else {
                    one_of(name, value, &tight, words)
                }
            }
            Rule::Text => Ok(()),
            Rule::Chain => chain(name, trimmed).map(|_| ()),
            Rule::Link => match chain(name, trimmed)? {
                chain if chain.links.len() > 1 => Err(format!(
                    "{name} takes one plugin, not a chain of {}",
                    chain.links.len()
                )),
                _ => Ok(()),
            },
            Rule::Policy => match trimmed.parse::<Policy>() {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{name}: {error}")),
            },
            Rule::Readers => check_readers(trimmed),
        }
    }
}

fn chain(name: &str, text: &str) -> Result<Chain, String> {
    text.parse()
        .map_err(|error: ChainError| format!("{name}: {error}"))
}

fn one_of(name: &str, value: &str, trimmed: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&trimmed) {
        Ok(())
    } else {
        Err(format!(
            "{name} must be {}, not '{value}'",
            words.join(" or ")
        ))
    }
}
