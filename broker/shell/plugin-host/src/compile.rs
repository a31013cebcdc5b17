//! Compiles components, one at a time, on threads of their own and under a limit of time.
//!
//! Cranelift cannot be stopped: who waited too long is told so, and the thread goes on alone. It
//! keeps its turn until it is done, so that however many components are sent, one core is busy.

use crate::{
    cache::Digest,
    call::Live,
    component::{Component, Description, Inner, describe},
    error::CompileError,
    exports::Names,
    functions,
    host::Shared,
    inspect::{Outside, Standing},
    limits::COMPILE_STACK_BYTES,
    log::NoLog,
    state::State,
    wasi,
};
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};
use wasmtime::component::{
    Component as Compiled, InstancePre, Linker, LinkerInstance, ResourceType, types::ComponentItem,
};

/// Whose turn it is to compile.
#[derive(Default)]
pub(crate) struct Turn {
    taken: Mutex<bool>,
    free: Condvar,
}

impl Turn {
    /// Waits for the turn; whether it came in time.
    fn take(&self, until: Instant) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.saturating_duration_since(Instant::now());
        let (mut taken, _) = self
            .free
            .wait_timeout_while(taken, left, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut *taken, true)
    }
}

/// Gives the turn back, also when compiling panics.
struct Taken(Arc<Shared>);

impl Drop for Taken {
    fn drop(&mut self) {
        let turn = &self.0.turn;
        *turn.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        turn.free.notify_one();
    }
}

/// Compiles a component and asks it what it is.
pub(crate) fn compile(
    shared: &Arc<Shared>,
    bytes: &[u8],
    digest: Digest,
    outside: Outside,
    limit: Duration,
) -> Result<Component, CompileError> {
    let until = Instant::now() + limit;
    let too_slow = CompileError::TooSlow {
        limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
    };
    if !shared.turn.take(until) {
        return Err(too_slow);
    }
    let taken = Taken(Arc::clone(shared));
    let (done, wait) = sync_channel(1);
    let bytes = bytes.to_vec();
    let work = move || {
        let result = make(&taken.0, &bytes, digest, outside);
        drop(taken);
        // Nobody waits any more when the time was up.
        let _ = done.send(result);
    };
    thread::Builder::new()
        .name("weir-plugin-compile".into())
        .stack_size(COMPILE_STACK_BYTES)
        .spawn(work)
        .map_err(|error| CompileError::Unavailable {
            reason: error.to_string(),
        })?;
    let left = until.saturating_duration_since(Instant::now());
    match wait.recv_timeout(left) {
        Ok(result) => result,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Err(too_slow),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err(CompileError::Invalid {
            reason: "the compiler fails on it".into(),
        }),
    }
}

fn make(
    shared: &Arc<Shared>,
    bytes: &[u8],
    digest: Digest,
    outside: Outside,
) -> Result<Component, CompileError> {
    let compiled = compiled(shared, bytes, &digest)?;
    let wrong_types = |error: wasmtime::Error| CompileError::WrongTypes {
        reason: format!("{error:#}"),
    };
    let pre = link(&compiled, &outside).map_err(wrong_types)?;
    let Some(names) = Names::find(&compiled, outside.world) else {
        return Err(CompileError::Invalid {
            reason: "an export is not where it was".into(),
        });
    };
    let budget = if outside.wants_wasi() {
        shared.config.runtime_budget
    } else {
        shared.config.budget
    };
    let begun = Live::new(&pre, &names, &budget, Arc::new(NoLog), Arc::new([]));
    let mut live = begun.map_err(|stop| CompileError::NoDescription {
        reason: stop.failure().message,
    })?;
    live.check_types(outside.world).map_err(wrong_types)?;
    let description: Description = describe(&mut live, &budget)?;
    Ok(Component {
        inner: Arc::new(Inner {
            _shared: Arc::clone(shared),
            digest,
            bytes: bytes.len(),
            outside,
            description,
            budget,
            names,
            pre,
        }),
    })
}

/// The machine code of a component: what was kept, or made now and kept.
fn compiled(shared: &Shared, bytes: &[u8], digest: &Digest) -> Result<Compiled, CompileError> {
    let kept = shared.cache.as_ref().and_then(|cache| cache.load(digest));
    if let Some(compiled) = kept.and_then(|artifact| load(shared, &artifact)) {
        return Ok(compiled);
    }
    let compiled = Compiled::from_binary(&shared.engine, bytes);
    let compiled = compiled.map_err(|error| CompileError::Invalid {
        reason: format!("{error:#}"),
    })?;
    if let Some(cache) = &shared.cache {
        let artifact = compiled
            .serialize()
            .map_err(|error| CompileError::Invalid {
                reason: format!("{error:#}"),
            })?;
        cache
            .keep(digest, &artifact)
            .map_err(|error| CompileError::Unavailable {
                reason: format!("what was compiled cannot be kept: {error}"),
            })?;
    }
    Ok(compiled)
}

/// Loads what was kept; nothing where the engine does not take it.
fn load(shared: &Shared, artifact: &[u8]) -> Option<Compiled> {
    // SAFETY: the bytes are what `serialize` gave for this engine: `Cache::load` holds a SHA-256
    // against them that binds them to the engine and the component, and only the broker's own
    // user may write where they lie.
    #[expect(
        unsafe_code,
        reason = "machine code that this program made itself is loaded"
    )]
    let loaded = unsafe { Compiled::deserialize(&shared.engine, artifact) };
    loaded.ok()
}

/// Links a component with everything it imports: first every function so that it traps with its own
/// name, then what is granted in its place.
fn link(compiled: &Compiled, outside: &Outside) -> wasmtime::Result<InstancePre<State>> {
    let engine = compiled.engine();
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    let types = compiled.component_type();
    for (name, item) in types.imports(engine) {
        // What is imported beside instances are types, which need nothing.
        let ComponentItem::ComponentInstance(instance) = item else {
            continue;
        };
        let mut it = linker.instance(name)?;
        for (part, item) in instance.exports(engine) {
            match item {
                ComponentItem::ComponentFunc(_) => trap(&mut it, name, part)?,
                ComponentItem::Resource(_) => {
                    it.resource(part, ResourceType::host::<()>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
        let standing = outside.imports.iter().find(|import| import.name == name);
        let standing = standing.map(|import| import.standing);
        let path = name.split('@').next().unwrap_or_default();
        match (standing, wasi::interface(path)) {
            (Some(Standing::Plugin), _) if path == "weir:plugin/host" => functions::link(&mut it)?,
            (Some(Standing::Fixed), Some(add)) => add(&mut it)?,
            _ => {}
        }
    }
    linker.instantiate_pre(compiled)
}

/// Has a function trap with its name.
fn trap(
    it: &mut LinkerInstance<'_, State>,
    interface: &str,
    function: &str,
) -> wasmtime::Result<()> {
    let words = format!("it called '{interface}#{function}', which plugins are not granted");
    it.func_new(function, move |_, _, _| {
        Err(wasmtime::Error::msg(words.clone()))
    })
}
