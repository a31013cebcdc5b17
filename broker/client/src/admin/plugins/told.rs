//! What a broker tells of plugins, as values. Translation only.

use crate::{error::AdminError, limits::BATCH_BYTES_MAX};
use bytes::Bytes;
use std::fmt;
use weir_codec::{Compression, decompress};
use weir_plugin::{Columns, World};
use weir_types::{BatchHeader, Offset, PartitionIndex, TimestampMs, batch::payload};
use weir_wire::{Text, messages as wire};

pub(super) fn text(text: &Text) -> String {
    text.to_string()
}

fn option(text: Option<Text>) -> Option<String> {
    text.map(|text| text.to_string())
}

/// All that a broker told of plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginReport {
    /// By name.
    pub plugins: Vec<PluginDescription>,
    /// Where they work.
    pub attachments: Vec<PluginAttachment>,
}

/// One plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginDescription {
    /// Its name.
    pub name: String,
    /// The active version.
    pub active: Option<String>,
    /// The one that a rollback goes to.
    pub previous: Option<String>,
    /// Oldest deployment first.
    pub versions: Vec<PluginVersion>,
}

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginVersion {
    /// The version.
    pub version: String,
    /// Its world; nothing where this client does not know it.
    pub world: Option<World>,
    /// The SHA-256 of its bytes.
    pub digest: Bytes,
    /// How many there are.
    pub size_bytes: i64,
    /// When it was deployed; nothing where it is not.
    pub deployed_at: Option<TimestampMs>,
    /// What it does, in its own words.
    pub summary: String,
    /// What it takes.
    pub parameters: Vec<PluginParameter>,
    /// What it imports.
    pub imports: Vec<String>,
    /// Why the broker cannot run it.
    pub failure: Option<String>,
}

/// A parameter of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginParameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub summary: String,
    /// Whether it must be given.
    pub required: bool,
    /// What holds where it is not given.
    pub default: Option<String>,
}

/// What became of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedPlugin {
    /// What it calls itself.
    pub name: String,
    /// What else it says.
    pub version: PluginVersion,
    /// Whether it was there already.
    pub already_deployed: bool,
    /// The version that is active now.
    pub active: Option<String>,
}

/// What kind of a place a plugin works at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Placed {
    /// A topic's ingest.
    Ingest,
    /// Beside a topic's ingest, counting only.
    Shadow,
    /// A view.
    View,
    /// A router job.
    Job,
    /// A topic's partitioner.
    Partitioner,
    /// A kind that this client does not know.
    Other(i8),
}

impl Placed {
    const fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Ingest,
            2 => Self::Shadow,
            3 => Self::View,
            4 => Self::Job,
            5 => Self::Partitioner,
            other => Self::Other(other),
        }
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest of topic",
            Self::Shadow => "shadow of topic",
            Self::View => "view",
            Self::Job => "job",
            Self::Partitioner => "partitioner of topic",
            Self::Other(_) => "other place",
        }
    }
}

/// Where a plugin works.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginPlace {
    /// What kind of a place.
    pub kind: Placed,
    /// The topic, view or job.
    pub name: String,
    /// The plugin's place in the chain there, from 0.
    pub link: usize,
}

impl fmt::Display for PluginPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind.name(), self.name)
    }
}

/// A plugin at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginAttachment {
    /// Where.
    pub place: PluginPlace,
    /// Which.
    pub plugin: String,
    /// In which version; nothing where none can work.
    pub version: Option<String>,
    /// Whether the place names the version itself.
    pub pinned: bool,
    /// Plugin and parameters as a link of a chain.
    pub link: String,
    /// What becomes of records that it fails on.
    pub policy: String,
    /// What it did.
    pub usage: PluginUsage,
    /// When it failed last.
    pub failed_at: Option<TimestampMs>,
    /// How it failed last.
    pub failure: Option<String>,
}

/// What a plugin did at one place since the broker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginUsage {
    /// Batches it was given.
    pub batches: i64,
    /// Records it was given.
    pub records_in: i64,
    /// Records it kept.
    pub records_out: i64,
    /// Bytes it was given.
    pub bytes_in: i64,
    /// Bytes it gave back.
    pub bytes_out: i64,
    /// Microseconds it took.
    pub time_us: i64,
    /// Fuel it used.
    pub fuel: i64,
    /// The most memory of an instance, in bytes.
    pub memory_bytes_max: i64,
    /// Records it refused.
    pub refused: i64,
    /// Calls that trapped.
    pub trapped: i64,
    /// Calls that went over a budget.
    pub over_budget: i64,
    /// Calls whose result breaks a rule.
    pub invalid: i64,
    /// Records the policy left out.
    pub skipped: i64,
    /// Records the policy sent elsewhere.
    pub dead_lettered: i64,
    /// Records that a shadow made something else of.
    pub differences: i64,
    /// Batches answered from what was kept.
    pub cached: i64,
}

/// A line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginLogLine {
    /// When.
    pub time: TimestampMs,
    /// 0 trace to 4 error.
    pub level: i8,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Where it works.
    pub place: PluginPlace,
    /// The partition it worked on, if on one.
    pub partition: Option<PartitionIndex>,
    /// What it says.
    pub message: String,
}

/// Something that a plugin failed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFailure {
    /// Its number.
    pub id: i64,
    /// When.
    pub time: TimestampMs,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Plugin and parameters as a link of a chain.
    pub link: String,
    /// Where it works.
    pub place: PluginPlace,
    /// The topic of the records.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset of the batch's first record, where it had one.
    pub base_offset: Option<Offset>,
    /// How many records the batch has.
    pub records: i32,
    /// The record it failed on, from 0, where it was one of them alone.
    pub row: Option<u32>,
    /// In which way; see [`failure_kind_name`].
    pub kind: i8,
    /// What happened.
    pub message: String,
    /// The batch as the plugin was given it, where it was asked for.
    pub batch: Option<Bytes>,
}

impl PluginFailure {
    /// The records of its batch, as the plugin was given them.
    ///
    /// # Errors
    /// Where the batch was not asked for, or cannot be read.
    pub fn columns(&self) -> Result<Columns, AdminError> {
        let unreadable = |reason: String| AdminError::Unreadable {
            what: format!("the batch of failure {}", self.id),
            reason,
        };
        let batch = self.batch.as_ref();
        let batch = batch.ok_or_else(|| unreadable("it was not asked for".to_owned()))?;
        let header = BatchHeader::read(batch).map_err(|error| unreadable(error.to_string()))?;
        let mut plain = Vec::new();
        let codec = header.compression().unwrap_or(Compression::None);
        decompress(codec, payload(batch, &header), BATCH_BYTES_MAX, &mut plain)
            .map_err(|error| unreadable(error.to_string()))?;
        Columns::read(&plain, &header, header.base_offset)
            .map_err(|error| unreadable(error.to_string()))
    }
}

/// A kind of failure in words.
#[must_use]
pub const fn failure_kind_name(kind: i8) -> &'static str {
    match kind {
        1 => "refused",
        2 => "trapped",
        3 => "over budget",
        4 => "invalid",
        _ => "failed",
    }
}

/// The names of log levels, lowest first.
const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

/// A log level's name.
#[must_use]
pub fn log_level_name(level: i8) -> &'static str {
    let place = usize::try_from(level).unwrap_or(0);
    LEVELS.get(place).copied().unwrap_or("error")
}

/// The log level of a name.
#[must_use]
pub fn log_level(name: &str) -> Option<i8> {
    let place = LEVELS.iter().position(|level| *level == name)?;
    i8::try_from(place).ok()
}

/// A world in words.
#[must_use]
pub fn world_name(world: Option<World>) -> &'static str {
    world.map_or("unknown", World::name)
}

impl From<wire::PluginVersion> for PluginVersion {
    fn from(row: wire::PluginVersion) -> Self {
        Self {
            version: text(&row.version),
            world: World::from_code(row.world),
            digest: row.digest,
            size_bytes: row.size_bytes,
            deployed_at: time(row.deployed_at_ms),
            summary: text(&row.summary),
            parameters: row.parameters.into_iter().map(Into::into).collect(),
            imports: row.imports.iter().map(text).collect(),
            failure: option(row.failure),
        }
    }
}

impl From<wire::PluginParameter> for PluginParameter {
    fn from(row: wire::PluginParameter) -> Self {
        Self {
            name: text(&row.name),
            summary: text(&row.summary),
            required: row.required,
            default: option(row.default_value),
        }
    }
}

impl DeployedPlugin {
    /// Nothing where the answer names no version.
    pub(super) fn of(mut answer: wire::DeployPluginResponse) -> Option<Self> {
        Some(Self {
            name: text(&answer.name),
            version: answer.versions.pop()?.into(),
            already_deployed: answer.already_deployed,
            active: option(answer.active_version),
        })
    }
}

impl From<wire::DescribedPlugin> for PluginDescription {
    fn from(row: wire::DescribedPlugin) -> Self {
        Self {
            name: text(&row.name),
            active: option(row.active_version),
            previous: option(row.previous_version),
            versions: row.versions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wire::PluginPlace> for PluginPlace {
    fn from(row: wire::PluginPlace) -> Self {
        Self {
            kind: Placed::from_code(row.place),
            name: text(&row.name),
            link: usize::try_from(row.link_index).unwrap_or(0),
        }
    }
}

impl From<wire::PluginAttachment> for PluginAttachment {
    fn from(row: wire::PluginAttachment) -> Self {
        Self {
            place: row.place.into(),
            plugin: text(&row.plugin),
            version: option(row.version),
            pinned: row.pinned,
            link: text(&row.link),
            policy: text(&row.policy),
            usage: row.metrics.into(),
            failed_at: time(row.failed_at_ms),
            failure: option(row.failure),
        }
    }
}

impl From<wire::PluginMetrics> for PluginUsage {
    fn from(row: wire::PluginMetrics) -> Self {
        Self {
            batches: row.batches,
            records_in: row.records_in,
            records_out: row.records_out,
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            time_us: row.time_us,
            fuel: row.fuel,
            memory_bytes_max: row.memory_bytes_max,
            refused: row.refused,
            trapped: row.trapped,
            over_budget: row.over_budget,
            invalid: row.invalid,
            skipped: row.skipped,
            dead_lettered: row.dead_lettered,
            differences: row.differences,
            cached: row.cached,
        }
    }
}

impl From<wire::PluginLogLine> for PluginLogLine {
    fn from(row: wire::PluginLogLine) -> Self {
        Self {
            time: row.time_ms,
            level: row.level,
            plugin: text(&row.plugin),
            version: text(&row.version),
            place: row.place.into(),
            partition: (row.partition.0 >= 0).then_some(row.partition),
            message: text(&row.message),
        }
    }
}

impl From<wire::PluginFailure> for PluginFailure {
    fn from(row: wire::PluginFailure) -> Self {
        Self {
            id: row.id,
            time: row.time_ms,
            plugin: text(&row.plugin),
            version: text(&row.version),
            link: text(&row.link),
            place: row.place.into(),
            topic: text(&row.topic),
            partition: row.partition,
            base_offset: (row.base_offset.0 >= 0).then_some(row.base_offset),
            records: row.record_count,
            row: u32::try_from(row.row).ok(),
            kind: row.kind,
            message: text(&row.message),
            batch: row.batch,
        }
    }
}

fn time(time: TimestampMs) -> Option<TimestampMs> {
    (time.0 >= 0).then_some(time)
}
