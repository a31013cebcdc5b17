//! Plugins, views and jobs as the cluster knows them, and where plugins are attached.
//!
//! A component's bytes are no metadata: a version is known by the digest of them.

use crate::image::{Image, Topic};
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::fmt;
pub use weir_plugin::{Chain, Link, PluginRef, Policy, World};
use weir_types::{TimestampMs, TopicId};

/// A plugin with the versions that are deployed; there is always one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Its name.
    pub name: Arc<str>,
    /// What it is for; the same in all versions.
    pub world: World,
    /// Its versions, by name.
    pub versions: BTreeMap<Arc<str>, PluginVersion>,
    /// The version that whoever names none gets.
    pub active: Option<Arc<str>>,
    /// The version that was active before; a rollback goes there.
    pub previous: Option<Arc<str>>,
}

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginVersion {
    /// SHA-256 of the component.
    pub digest: [u8; 32],
    /// Bytes of the component.
    pub size_bytes: u64,
    /// When it was deployed.
    pub deployed_at: TimestampMs,
}

/// What makes a topic a view: it has its source's partitions and offsets, and no log of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The topic whose log is read.
    pub source: TopicId,
    /// What its records go through.
    pub chain: Chain,
    /// What becomes of records that the chain cannot deal with.
    pub policy: Policy,
}

/// A router job: records of some topics go through a chain to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: Arc<str>,
    /// Where records come from.
    pub from: Vec<TopicId>,
    /// Where they go, by the chain's output index.
    pub to: Vec<TopicId>,
    /// What they go through.
    pub chain: Chain,
    /// What becomes of records that the chain cannot deal with.
    pub policy: Policy,
    /// Whether it stands still.
    pub paused: bool,
    /// How often it was started, from 1; more means: begin again where its progress is.
    pub generation: u32,
    /// When it was made.
    pub created_at: TimestampMs,
}

/// Where a chain is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A topic's `weir.ingest`.
    Ingest(Arc<Topic>),
    /// A topic's `weir.ingest.shadow`.
    Shadow(Arc<Topic>),
    /// A topic's `weir.partitioner`.
    Partitioner(Arc<Topic>),
    /// A view.
    View(Arc<Topic>),
    /// A router job.
    Job(Arc<Job>),
}

/// A chain and where it is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Where.
    pub place: Place,
    /// What.
    pub chain: Chain,
}

impl Plugin {
    /// The version that a reference means.
    #[must_use]
    pub fn version<'a>(
        &'a self,
        wanted: Option<&'a str>,
    ) -> Option<(&'a Arc<str>, &'a PluginVersion)> {
        let wanted = wanted.or(self.active.as_deref())?;
        self.versions.get_key_value(wanted)
    }
}

impl Attachment {
    /// Whether it uses that version of that plugin, which `active` says whether it is the active
    /// one.
    #[must_use]
    pub fn uses(&self, plugin: &str, version: &str, active: bool) -> bool {
        self.chain.links.iter().any(|link| {
            link.plugin.name == plugin
                && match &link.plugin.version {
                    Some(pinned) => pinned == version,
                    None => active,
                }
        })
    }

    /// Whether it follows the active version of that plugin.
    #[must_use]
    pub fn follows(&self, plugin: &str) -> bool {
        let links = &self.chain.links;
        links
            .iter()
            .any(|link| link.plugin.name == plugin && link.plugin.version.is_none())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ingest(topic) => write!(f, "topic '{}' (weir.ingest)", topic.name),
            Self::Shadow(topic) => write!(f, "topic '{}' (weir.ingest.shadow)", topic.name),
            Self::Partitioner(topic) => write!(f, "topic '{}' (weir.partitioner)", topic.name),
            Self::View(topic) => write!(f, "view '{}'", topic.name),
            Self::Job(job) => write!(f, "job '{}'", job.name),
        }
    }
}

type MakePlace = fn(Arc<Topic>) -> Place;

/// Topic settings that hold a chain, and what an attachment there is.
const CHAIN_CONFIGS: [(&str, MakePlace); 3] = [
    ("weir.ingest", Place::Ingest),
    ("weir.ingest.shadow", Place::Shadow),
    ("weir.partitioner", Place::Partitioner),
];

impl Image {
    /// The plugins, in order of their names.
    pub fn plugins(&self) -> impl ExactSizeIterator<Item = &Arc<Plugin>> {
        self.plugins.values()
    }

    /// One plugin.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(name)
    }

    /// The digest of the component that a reference means: of its version, or of the active one.
    #[must_use]
    pub fn digest_of(&self, plugin: &PluginRef) -> Option<[u8; 32]> {
        let known = self.plugin(&plugin.name)?;
        let (_, version) = known.version(plugin.version.as_deref())?;
        Some(version.digest)
    }

    /// The jobs, in order of their names.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = &Arc<Job>> {
        self.jobs.values()
    }

    /// One job.
    #[must_use]
    pub fn job(&self, name: &str) -> Option<&Arc<Job>> {
        self.jobs.get(name)
    }

    /// The views of a topic.
    pub fn views_of(&self, source: TopicId) -> impl Iterator<Item = &Arc<Topic>> {
        let all = (source, TopicId([0; 16]))..=(source, TopicId([0xff; 16]));
        let views = self.views.range(all);
        views.filter_map(|(_, view)| self.topic(*view))
    }

    /// Everything that plugins are attached to; looks at every topic.
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment> {
        let mut all = Vec::new();
        for topic in self.topics() {
            for (name, place) in CHAIN_CONFIGS {
                if let Some(chain) = topic.chain(name) {
                    let place = place(topic.clone());
                    all.push(Attachment { place, chain });
                }
            }
            if let Some(view) = &topic.view {
                all.push(Attachment {
                    place: Place::View(topic.clone()),
                    chain: view.chain.clone(),
                });
            }
        }
        all.extend(self.jobs().map(|job| Attachment {
            place: Place::Job(job.clone()),
            chain: job.chain.clone(),
        }));
        all
    }
}

impl Topic {
    /// The topic whose log holds this one's records: for a view its source, else itself.
    #[must_use]
    pub const fn log(&self) -> TopicId {
        match &self.view {
            Some(view) => view.source,
            None => self.id,
        }
    }

    /// The chain that this setting holds, unless it holds none.
    #[must_use]
    pub fn chain(&self, setting: &str) -> Option<Chain> {
        let chain: Chain = self.overrides.get(setting)?.parse().ok()?;
        (!chain.is_empty()).then_some(chain)
    }

    /// Whether `weir.readers` lets somebody of that name read the topic; whether their role does
    /// is not known here.
    #[must_use]
    pub fn lets_read(&self, principal: &str) -> bool {
        let Some(readers) = self.overrides.get("weir.readers") else {
            return true;
        };
        readers
            .split(',')
            .map(str::trim)
            .any(|reader| reader == EVERYBODY || reader == principal)
    }
}

/// What `weir.readers` says where everybody may read.
pub(crate) const EVERYBODY: &str = "*";

/// Checks a value of `weir.readers`.
pub(crate) fn check_readers(value: &str) -> Result<(), String> {
    let mut readers = value.split(',').map(str::trim);
    if value.trim() == EVERYBODY || value.trim().is_empty() {
        return Ok(());
    }
    if readers.any(|reader| reader.is_empty() || reader == EVERYBODY) {
        return Err(alloc::format!(
            "weir.readers must be '*' or names with commas between, not '{value}'"
        ));
    }
    Ok(())
}
