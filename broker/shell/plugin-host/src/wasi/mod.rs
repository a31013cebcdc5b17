//! The part of WASI 0.2 that guests with a language runtime get, the same everywhere and always.
//!
//! Standard output and error go to the plugin's log, the clocks stand at the stream's time,
//! randomness comes from a fixed seed, and there are no arguments, variables, folders or input.
//! `exit` traps. Everything else traps with its own name when it is called.
//!
//! It is written here by hand: what is granted is a few dozen functions that know nothing of the
//! system, while `wasmtime-wasi` is made to give guests the system and would have to be closed, one
//! context at a time. All resources are of one host type, so that an interface that is left to
//! trap may use those of another.
//!
//! It must never ask the system for anything.

mod streams;

use crate::{limits::RANDOM_BYTES_MAX, log::Level, state::State};
use wasmtime::{
    Error, Result, StoreContextMut,
    component::{ComponentType, LinkerInstance, Lower, Resource, ResourceType},
};

type Store<'a> = StoreContextMut<'a, State>;
/// Puts an interface into an instance.
pub(crate) type Add = fn(&mut LinkerInstance<'_, State>) -> Result<()>;

/// Pollables and errors that a guest may hold at a time.
const RESOURCES_MAX: u32 = 10_000;
/// The numbers behind resources.
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const POLLABLE: u32 = 3;

/// What a store keeps for WASI.
#[derive(Debug)]
pub(crate) struct Wasi {
    /// The generator of randomness (splitmix64), from a fixed seed.
    seed: u64,
    /// Lines of standard output and error that are not yet ended.
    lines: [Vec<u8>; 2],
    /// Resources that the guest holds.
    held: u32,
}

impl Default for Wasi {
    fn default() -> Self {
        Self {
            seed: 0x5eed_0f57_2ea3_1234,
            lines: [Vec::new(), Vec::new()],
            held: 0,
        }
    }
}

impl Wasi {
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What puts an interface of the fixed part into an instance, by its name without a version.
pub(crate) fn interface(path: &str) -> Option<Add> {
    Some(match path {
        "wasi:cli/environment" => environment,
        "wasi:cli/exit" => exit,
        "wasi:cli/stdin" => |it| stream(it, "get-stdin", STDIN),
        "wasi:cli/stdout" => |it| stream(it, "get-stdout", STDOUT),
        "wasi:cli/stderr" => |it| stream(it, "get-stderr", STDERR),
        "wasi:cli/terminal-input" => |it| resources(it, &["terminal-input"]),
        "wasi:cli/terminal-output" => |it| resources(it, &["terminal-output"]),
        "wasi:cli/terminal-stdin" => |it| terminal(it, "get-terminal-stdin"),
        "wasi:cli/terminal-stdout" => |it| terminal(it, "get-terminal-stdout"),
        "wasi:cli/terminal-stderr" => |it| terminal(it, "get-terminal-stderr"),
        "wasi:clocks/monotonic-clock" => monotonic_clock,
        "wasi:clocks/wall-clock" => wall_clock,
        "wasi:filesystem/preopens" => preopens,
        "wasi:io/error" => streams::error,
        "wasi:io/poll" => streams::poll,
        "wasi:io/streams" => streams::streams,
        "wasi:random/random" => random,
        "wasi:random/insecure" => insecure,
        "wasi:random/insecure-seed" => insecure_seed,
        _ => return None,
    })
}

/// Declares resources that count as one fewer when they are dropped.
fn resources(it: &mut LinkerInstance<'_, State>, names: &[&str]) -> Result<()> {
    for name in names {
        it.resource(
            name,
            ResourceType::host::<()>(),
            |mut store: Store<'_>, number| {
                let wasi = &mut store.data_mut().wasi;
                if number >= POLLABLE {
                    wasi.held = wasi.held.saturating_sub(1);
                }
                Ok(())
            },
        )?;
    }
    Ok(())
}

/// A new resource of the guest's.
fn held(store: &mut Store<'_>) -> Result<Resource<()>> {
    let wasi = &mut store.data_mut().wasi;
    wasi.held += 1;
    if wasi.held > RESOURCES_MAX {
        return Err(Error::msg(format!(
            "it holds more than {RESOURCES_MAX} resources of WASI"
        )));
    }
    Ok(Resource::new_own(POLLABLE))
}

fn stream(it: &mut LinkerInstance<'_, State>, name: &str, number: u32) -> Result<()> {
    it.func_wrap(name, move |_: Store<'_>, (): ()| {
        Ok((Resource::<()>::new_own(number),))
    })
}

fn terminal(it: &mut LinkerInstance<'_, State>, name: &str) -> Result<()> {
    it.func_wrap(name, |_: Store<'_>, (): ()| Ok((None::<Resource<()>>,)))
}

fn environment(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    it.func_wrap("get-environment", |_: Store<'_>, (): ()| {
        Ok((Vec::<(String, String)>::new(),))
    })?;
    it.func_wrap("get-arguments", |_: Store<'_>, (): ()| {
        Ok((Vec::<String>::new(),))
    })?;
    it.func_wrap("initial-cwd", |_: Store<'_>, (): ()| Ok((None::<String>,)))
}

fn exit(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    it.func_wrap("exit", |_: Store<'_>, (status,): (Result<(), ()>,)| {
        let how = if status.is_ok() { "success" } else { "failure" };
        Err::<(), _>(Error::msg(format!("it called exit with {how}")))
    })?;
    it.func_wrap("exit-with-code", |_: Store<'_>, (code,): (u8,)| {
        Err::<(), _>(Error::msg(format!("it called exit with {code}")))
    })
}

fn monotonic_clock(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    it.func_wrap("now", |store: Store<'_>, (): ()| {
        let millis = u64::try_from(store.data().stream_time).unwrap_or_default();
        Ok((millis.saturating_mul(1_000_000),))
    })?;
    it.func_wrap("resolution", |_: Store<'_>, (): ()| Ok((1_000_000_u64,)))?;
    // Time does not pass while a plugin runs: who waits for it is let go at once.
    for name in ["subscribe-instant", "subscribe-duration"] {
        it.func_wrap(name, |mut store: Store<'_>, (_,): (u64,)| {
            Ok((held(&mut store)?,))
        })?;
    }
    Ok(())
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct DateTime {
    seconds: u64,
    nanoseconds: u32,
}

fn wall_clock(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    it.func_wrap("now", |store: Store<'_>, (): ()| {
        let millis = u64::try_from(store.data().stream_time).unwrap_or_default();
        let rest = u32::try_from(millis % 1_000).unwrap_or_default();
        Ok((DateTime {
            seconds: millis / 1_000,
            nanoseconds: rest * 1_000_000,
        },))
    })?;
    it.func_wrap("resolution", |_: Store<'_>, (): ()| {
        Ok((DateTime {
            seconds: 0,
            nanoseconds: 1_000_000,
        },))
    })
}

fn preopens(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    it.func_wrap("get-directories", |_: Store<'_>, (): ()| {
        Ok((Vec::<(Resource<()>, String)>::new(),))
    })
}

fn random(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    random_as(it, "get-random-bytes", "get-random-u64")
}

fn insecure(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    random_as(it, "get-insecure-random-bytes", "get-insecure-random-u64")
}

fn random_as(it: &mut LinkerInstance<'_, State>, bytes: &str, number: &str) -> Result<()> {
    it.func_wrap(bytes, |mut store: Store<'_>, (count,): (u64,)| {
        if count > RANDOM_BYTES_MAX {
            return Err(Error::msg(format!(
                "it asked for {count} random bytes, but may for {RANDOM_BYTES_MAX}"
            )));
        }
        let count = usize::try_from(count)?;
        crate::functions::charge(&mut store, count)?;
        let wasi = &mut store.data_mut().wasi;
        let words = std::iter::repeat_with(|| wasi.random().to_le_bytes());
        Ok((words.flatten().take(count).collect::<Vec<u8>>(),))
    })?;
    it.func_wrap(number, |mut store: Store<'_>, (): ()| {
        Ok((store.data_mut().wasi.random(),))
    })
}

fn insecure_seed(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    it.func_wrap("insecure-seed", |mut store: Store<'_>, (): ()| {
        let wasi = &mut store.data_mut().wasi;
        Ok(((wasi.random(), wasi.random()),))
    })
}

/// Takes what a guest writes to its standard output or error, and logs the lines that ended.
fn write(store: &mut Store<'_>, stream: u32, bytes: &[u8]) {
    let (place, level) = match stream {
        STDERR => (1, Level::Error),
        _ => (0, Level::Info),
    };
    let state = store.data_mut();
    let line = &mut state.wasi.lines[place];
    for byte in bytes {
        if *byte == b'\n' {
            state.log.output(level, &String::from_utf8_lossy(line));
            line.clear();
        } else if line.len() < crate::limits::LOG_LINE_BYTES_MAX {
            line.push(*byte);
        }
    }
}
