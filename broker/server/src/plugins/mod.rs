//! Plugins in the broker: their components on disk and compiled, chains at the places where they
//! are attached, and what runs them: batches on their way in, views on their way out.
//!
//! The rules are elsewhere: what may be deployed and attached is `weir-meta`'s, what may come back
//! is `weir-plugin`'s, budgets are `weir-plugin-host`'s. Here they are introduced to each other.
//! Two things must never happen: a batch that gets past a chain it should have gone through, and
//! a plugin that runs on a thread of a shard or of the network.

pub(crate) mod api;
pub(crate) mod chain;
pub(crate) mod counters;
mod files;
pub(crate) mod ingest;
mod jobs;
pub(crate) mod letters;
pub(crate) mod logs;
pub(crate) mod placing;
pub(crate) mod views;

pub use files::FilesError;

use crate::clock::Clock;
use crate::limits::PREPARED_AT_SPOT_MAX;
use crate::session::Shared;
use arc_swap::ArcSwap;
use bytes::Bytes;
use chain::{Prepared, ReadyLink};
use counters::{Counters, PlaceKind, Spot};
use files::{Digest, Files, hex};
use logs::{Failures, Logs, Speaker};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use thiserror::Error;
use views::ViewCache;
use weir_meta::Image;
use weir_plugin::{Chain, Link, Place};
use weir_plugin_host::{Component, Host, HostConfig, HostError};
use weir_types::TimestampMs;
use weir_wire::Text;
use weir_wire::messages::{PluginParameter, PluginVersion};

/// Why a broker cannot run plugins.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PluginsError {
    /// The folder of components.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The Wasm engine.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Everything the broker has of plugins.
pub(crate) struct Plugins {
    host: Host,
    files: Files,
    image: Arc<ArcSwap<Image>>,
    clock: Clock,
    /// Components that are compiled, and why others cannot be.
    components: Mutex<HashMap<Digest, Result<Component, String>>>,
    /// One component is read and compiled at a time.
    loading: Mutex<()>,
    /// At each place the chains that were run last, the latest in front: a job that has pinned a
    /// version and what was activated since then may run by turns.
    prepared: Mutex<HashMap<Spot, Vec<Ready>>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) failures: Failures,
    pub(crate) views: ViewCache,
    /// The broker's own way to ask itself; there once it serves.
    shared: OnceLock<Weak<Shared>>,
    runtime: tokio::runtime::Handle,
    /// Uploads, activations and what attaches chains go one after the other.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

/// A chain that is ready, and what it was made of.
#[derive(Debug)]
struct Ready {
    of: Recipe,
    rule: Place,
    chain: Arc<Prepared>,
}

/// What a chain is made of: the component of each link, and the link's text.
type Recipe = Vec<(Digest, String)>;

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").finish_non_exhaustive()
    }
}

impl Plugins {
    /// Opens the folder of components and starts the engine, on a runtime of tokio.
    pub(crate) fn open(
        data: &Path,
        image: Arc<ArcSwap<Image>>,
        clock: Clock,
        view_bytes_max: usize,
    ) -> Result<Arc<Self>, PluginsError> {
        let files = Files::open(data)?;
        let host = Host::new(HostConfig {
            cache_dir: Some(data.join("plugins").join("compiled")),
            ..HostConfig::default()
        })?;
        Ok(Arc::new(Self {
            host,
            files,
            image,
            clock,
            components: Mutex::default(),
            loading: Mutex::default(),
            prepared: Mutex::default(),
            counters: Arc::default(),
            logs: Logs::new(clock),
            failures: Failures::new(clock),
            views: ViewCache::new(view_bytes_max),
            shared: OnceLock::new(),
            runtime: tokio::runtime::Handle::current(),
            changing: tokio::sync::Mutex::default(),
        }))
    }

    /// Lets plugins ask the broker.
    pub(crate) fn serve(&self, shared: &Arc<Shared>) {
        // A broker serves once.
        let _again = self.shared.set(Arc::downgrade(shared));
    }

    /// Forgets components that nobody knows, and compiles those that are attached, so that the
    /// first batch does not wait for it. What cannot be loaded is told; its places refuse.
    pub(crate) fn load_attached(&self) {
        let image = self.image.load_full();
        let versions = image.plugins().flat_map(|plugin| plugin.versions.values());
        let known: Vec<Digest> = versions.map(|version| version.digest).collect();
        match self.files.sweep(&known) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "forgot components that were never deployed"),
            Err(error) => tracing::warn!(%error, "the folder of plugins cannot be swept"),
        }
        for attachment in image.attachments() {
            for link in &attachment.chain.links {
                let loaded = image
                    .digest_of(&link.plugin)
                    .ok_or_else(|| "it is not deployed".to_owned())
                    .and_then(|digest| self.component(&digest));
                if let Err(reason) = loaded {
                    tracing::error!(
                        plugin = %link.plugin, place = %attachment.place, reason,
                        "a plugin cannot be loaded; what it is attached to refuses records until it can be"
                    );
                }
            }
        }
    }

    /// The component of that digest, compiled; the caller waits for it.
    pub(crate) fn component(&self, digest: &Digest) -> Result<Component, String> {
        if let Some(known) = lock(&self.components).get(digest) {
            return known.clone();
        }
        let _turn = lock(&self.loading);
        if let Some(known) = lock(&self.components).get(digest) {
            return known.clone();
        }
        let loaded = self.load(digest);
        lock(&self.components).insert(*digest, loaded.clone());
        loaded
    }

    fn load(&self, digest: &Digest) -> Result<Component, String> {
        let bytes = self.files.read(digest).map_err(|error| {
            let name = hex(digest);
            format!("its component plugins/{name}.wasm cannot be read: {error}")
        })?;
        let component = self
            .host
            .compile(&bytes)
            .map_err(|error| error.to_string())?;
        if component.digest() == *digest {
            Ok(component)
        } else {
            let name = hex(digest);
            Err(format!("its component plugins/{name}.wasm is damaged"))
        }
    }

    /// Takes in a component whose bytes were compiled; it is on disk when this returns.
    pub(crate) fn keep(&self, component: &Component, bytes: &[u8]) -> std::io::Result<()> {
        let digest = component.digest();
        self.files.keep(&digest, bytes)?;
        lock(&self.components).insert(digest, Ok(component.clone()));
        Ok(())
    }

    /// The bytes of a component, held against its digest.
    pub(crate) fn bytes(&self, digest: &Digest) -> Result<Vec<u8>, String> {
        self.component(digest)?;
        let name = hex(digest);
        let bytes = self
            .files
            .read(digest)
            .map_err(|error| format!("plugins/{name}.wasm cannot be read: {error}"))?;
        match self.host.compile(&bytes) {
            Ok(component) if component.digest() == *digest => Ok(bytes),
            _ => Err(format!("plugins/{name}.wasm is damaged")),
        }
    }

    /// Forgets what is known of components that the metadata no longer names, on disk and in
    /// memory.
    pub(crate) fn forget(&self, digests: &[Digest]) {
        for digest in digests {
            lock(&self.components).remove(digest);
            let gone = self.files.forget(digest).and(self.host.forget(digest));
            if let Err(error) = gone {
                tracing::warn!(%error, component = hex(digest), "a component that was removed is still on disk");
            }
        }
    }

    /// The chain as it counts at a place by this image, ready to run. Between two calls a plugin
    /// may have another active version.
    pub(crate) fn prepare(
        &self,
        image: &Image,
        spot: &Spot,
        chain: &Chain,
        rule: Place,
    ) -> Result<Arc<Prepared>, String> {
        let recipe = recipe(image, chain)?;
        if let Some(chain) = self.prepared(spot, &recipe, rule) {
            return Ok(chain);
        }
        let mut links = Vec::with_capacity(chain.links.len());
        for (index, (link, (digest, text))) in chain.links.iter().zip(&recipe).enumerate() {
            links.push(self.ready_link(spot, index, link, digest, text, rule)?);
        }
        let mut hasher = DefaultHasher::new();
        recipe.hash(&mut hasher);
        let chain = Arc::new(Prepared::new(links, hasher.finish()));
        let ready = Ready {
            of: recipe,
            rule,
            chain: Arc::clone(&chain),
        };
        let mut prepared = lock(&self.prepared);
        let at_spot = prepared.entry(spot.clone()).or_default();
        // Another thread may have made the same meanwhile.
        at_spot.retain(|other| other.of != ready.of || other.rule != rule);
        at_spot.insert(0, ready);
        at_spot.truncate(PREPARED_AT_SPOT_MAX);
        Ok(chain)
    }

    /// A chain that is ready already.
    fn prepared(&self, spot: &Spot, recipe: &Recipe, rule: Place) -> Option<Arc<Prepared>> {
        let mut prepared = lock(&self.prepared);
        let at_spot = prepared.get_mut(spot)?;
        let found = at_spot
            .iter()
            .position(|ready| ready.of == *recipe && ready.rule == rule)?;
        at_spot[..=found].rotate_right(1);
        at_spot.first().map(|ready| Arc::clone(&ready.chain))
    }

    fn ready_link(
        &self,
        spot: &Spot,
        index: usize,
        link: &Link,
        digest: &Digest,
        text: &str,
        rule: Place,
    ) -> Result<ReadyLink, String> {
        let failed = |reason: String| format!("plugin '{}' cannot be run: {reason}", link.plugin);
        let component = self.component(digest).map_err(failed)?;
        let configured = component
            .configure(&link.parameters)
            .map_err(|error| failed(error.to_string()))?;
        let description = component.description();
        let speaker = Speaker {
            name: description.name.as_str().into(),
            version: description.version.as_str().into(),
            spot: spot.clone(),
            link: index,
        };
        Ok(ReadyLink {
            label: format!("{}@{}", description.name, description.version),
            text: text.into(),
            sink: self.logs.sink(speaker.clone()),
            counters: self.counters.of(spot, index, &description.name),
            speaker,
            configured,
            rule,
            idle: Mutex::default(),
        })
    }

    /// Lets go of chains at places that are gone, with their instances and figures.
    pub(crate) fn tidy(&self, image: &Image) {
        let spots: Vec<Spot> = image
            .attachments()
            .iter()
            .map(|attachment| Spot::from(&attachment.place))
            .collect();
        lock(&self.prepared).retain(|spot, _| spots.contains(spot));
        self.counters.keep(|spot| spots.contains(spot));
    }

    /// Has every link of a chain take its parameters. The caller waits.
    pub(crate) fn try_chain(&self, image: &Image, chain: &Chain) -> Result<Vec<String>, String> {
        let recipe = recipe(image, chain)?;
        let mut versions = Vec::with_capacity(recipe.len());
        for (link, (digest, _)) in chain.links.iter().zip(&recipe) {
            let failed =
                |reason: String| format!("plugin '{}' cannot be run: {reason}", link.plugin);
            let component = self.component(digest).map_err(failed)?;
            component
                .configure(&link.parameters)
                .map_err(|error| error.to_string())?;
            versions.push(component.description().version.clone());
        }
        Ok(versions)
    }

    /// The broker, as its own client sees it; nothing while it starts or stops.
    pub(crate) fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.get()?.upgrade()
    }
}

/// What a chain is made of by this image.
fn recipe(image: &Image, chain: &Chain) -> Result<Recipe, String> {
    let part = |link: &Link| {
        let digest = image
            .digest_of(&link.plugin)
            .ok_or_else(|| format!("plugin '{}' is not deployed", link.plugin))?;
        Ok((digest, link.to_string()))
    };
    chain.links.iter().map(part).collect()
}

/// What a component says about itself, as the protocol tells it.
pub(crate) fn describe_component(component: &Component, deployed_at: TimestampMs) -> PluginVersion {
    let description = component.description();
    let parameter = |parameter: &weir_plugin_host::Parameter| PluginParameter {
        name: Text::from(parameter.name.as_str()),
        summary: Text::from(parameter.summary.as_str()),
        required: parameter.required,
        default_value: parameter.default.as_deref().map(Text::from),
    };
    let imports = component.imports().iter();
    PluginVersion {
        version: Text::from(description.version.as_str()),
        world: component.world().code(),
        digest: Bytes::copy_from_slice(&component.digest()),
        size_bytes: i64::try_from(component.size_bytes()).unwrap_or(i64::MAX),
        deployed_at_ms: deployed_at,
        summary: Text::from(description.summary.as_str()),
        parameters: description.parameters.iter().map(parameter).collect(),
        imports: imports
            .map(|import| Text::from(import.name.as_str()))
            .collect(),
        ..Default::default()
    }
}

/// Whether the metadata names a component.
pub(crate) fn names(image: &Image, digest: &Digest) -> bool {
    let mut versions = image.plugins().flat_map(|plugin| plugin.versions.values());
    versions.any(|version| version.digest == *digest)
}

/// A place of a topic.
pub(crate) fn spot(place: PlaceKind, name: &Arc<str>) -> Spot {
    Spot {
        place,
        name: Arc::clone(name),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is whole after every statement that changes it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
