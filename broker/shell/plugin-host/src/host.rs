//! The engine that everything runs in, and its clock.

use crate::{
    budget::Budget,
    cache::{Cache, Digest, digest},
    compile::{Turn, compile},
    component::{Component, Inner},
    error::{CompileError, HostError},
    inspect::outside,
    limits::{EPOCH_TICK_MS, STACK_BYTES},
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};
use wasmtime::{Config, Engine, EngineWeak, OptLevel, WasmBacktraceDetails};
use weir_plugin::limits::{COMPILE_MS_MAX, RUNTIME_COMPILE_MS_MAX};

/// How a host is made.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where compiled components are kept over restarts; nowhere: they are compiled again.
    pub cache_dir: Option<PathBuf>,
    /// What a plugin may use.
    pub budget: Budget,
    /// What a plugin may use that brings a language runtime.
    pub runtime_budget: Budget,
    /// How long compiling a component may take, waiting for those before it included.
    pub compile: Duration,
    /// The same for a component that brings a language runtime.
    pub runtime_compile: Duration,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            budget: Budget::default(),
            runtime_budget: Budget::runtime(),
            compile: Duration::from_millis(COMPILE_MS_MAX),
            runtime_compile: Duration::from_millis(RUNTIME_COMPILE_MS_MAX),
        }
    }
}

/// One engine. Its clones are the same one.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

/// What components keep alive.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) config: HostConfig,
    pub(crate) cache: Option<Cache>,
    pub(crate) turn: Turn,
    /// Components that somebody holds, so that the same bytes are compiled once.
    known: Mutex<HashMap<Digest, Weak<Inner>>>,
    /// The clock stops when this goes.
    _clock: Sender<()>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Makes an engine and starts its clock.
    ///
    /// # Errors
    /// If the machine cannot run the engine, or the folder for compiled components cannot be made.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let engine = Engine::new(&settings()).map_err(|error| HostError::Engine {
            reason: format!("{error:#}"),
        })?;
        let folder = config.cache_dir.as_ref();
        let cache = folder.map(|folder| Cache::open(folder, fingerprint(&engine)));
        let cache = cache
            .transpose()
            .map_err(|source| HostError::Cache { source })?;
        let (stop, stopped) = channel();
        let weak = engine.weak();
        thread::Builder::new()
            .name("weir-plugin-clock".into())
            .spawn(move || tick(&weak, &stopped))
            .map_err(|source| HostError::Thread { source })?;
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                config,
                cache,
                turn: Turn::default(),
                known: Mutex::default(),
                _clock: stop,
            }),
        })
    }

    /// Makes a component of bytes: reads what it imports and exports, compiles it on a thread of
    /// its own (or takes what was compiled before) and asks it what it is. The caller waits, at
    /// most as long as `HostConfig` says.
    ///
    /// # Errors
    /// If the bytes are no component that can be run here.
    pub fn compile(&self, bytes: &[u8]) -> Result<Component, CompileError> {
        let outside = outside(bytes)?;
        let digest = digest(bytes);
        if let Some(component) = self.known(&digest) {
            return Ok(component);
        }
        let limit = if outside.wants_wasi() {
            self.shared.config.runtime_compile
        } else {
            self.shared.config.compile
        };
        let component = compile(&self.shared, bytes, digest, outside, limit)?;
        let mut known = self.lock();
        known.retain(|_, component| component.strong_count() > 0);
        known.insert(digest, Arc::downgrade(&component.inner));
        Ok(component)
    }

    /// A component with this SHA-256 that somebody holds.
    #[must_use]
    pub fn known(&self, digest: &[u8; 32]) -> Option<Component> {
        let inner = self.lock().get(digest)?.upgrade()?;
        Some(Component { inner })
    }

    /// Forgets what is kept on disk of a component with this SHA-256.
    ///
    /// # Errors
    /// If the file is there and cannot be removed.
    pub fn forget(&self, digest: &[u8; 32]) -> std::io::Result<()> {
        match &self.shared.cache {
            Some(cache) => cache.forget(digest),
            None => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Weak<Inner>>> {
        // The map is whole after every statement that changes it.
        self.shared
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine's settings: whatever may differ between machines or runs is off or made the same.
fn settings() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .memory_init_cow(true);
    config
}

/// What an artifact depends on besides its component.
fn fingerprint(engine: &Engine) -> Digest {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let text = format!("{:016x} {}", hasher.finish(), env!("CARGO_PKG_VERSION"));
    digest(text.as_bytes())
}

/// The clock: one tick now and then, until the host is gone.
fn tick(engine: &EngineWeak, stopped: &Receiver<()>) {
    let tick = Duration::from_millis(EPOCH_TICK_MS);
    while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}
