//! Running plugins here, on the broker's own host and under its budgets. Nothing of it reaches a
//! broker or a topic.

use crate::failure::{Failure, Outcome};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use weir_plugin_host::{
    CompileError, Component, Configured, Host, HostConfig, Level, Line, LogSink,
};

/// The most rows of one call, as a broker's batches have them.
pub(crate) const ROWS_MAX: usize = 1000;

/// How long compiling may take here, where nobody waits for the machine but the person; language
/// runtimes are large.
const COMPILE: Duration = Duration::from_secs(600);

/// An engine that keeps what it compiled in the user's cache, so that the next command is quick.
pub(crate) fn host() -> Outcome<Host> {
    let config = |cache_dir| HostConfig {
        cache_dir,
        compile: COMPILE,
        ..HostConfig::default()
    };
    let made = Host::new(config(cache_dir())).or_else(|_| {
        // A cache that cannot be written costs time, nothing else.
        Host::new(config(None))
    });
    made.map_err(|error| Failure::failed(error.to_string()))
}

fn cache_dir() -> Option<PathBuf> {
    let below = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty());
    let cache = below("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| below("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(cache.join("weir").join("components"))
}

/// Makes a component of bytes, which may take a moment.
pub(crate) fn compile(host: &Host, bytes: &[u8]) -> Outcome<Component> {
    let compiled = tokio::task::block_in_place(|| host.compile(bytes));
    compiled.map_err(|error| {
        let failure = Failure::usage(error.to_string());
        match error {
            CompileError::NotWasm => failure.advise("`weir plugin build` makes a component"),
            CompileError::NotGranted { .. } => failure.advise(
                "plugins have no files, network, clock or randomness; build it without what needs \
                 them",
            ),
            CompileError::NoWorld { .. } => {
                failure.advise("`weir plugin new` writes a project that has one")
            }
            _ => failure,
        }
    })
}

/// Has a component take its parameters.
pub(crate) fn configure(
    component: &Component,
    parameters: &BTreeMap<String, String>,
) -> Outcome<Configured> {
    component.configure(parameters).map_err(|error| {
        Failure::usage(error.to_string())
            .advise("give parameters with --set NAME=VALUE; `weir plugin check` shows them")
    })
}

/// Keeps what a plugin logs.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Vec<(Level, String)>>);

impl LogSink for Lines {
    fn log(&self, line: Line) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((line.level, line.message));
    }
}

impl Lines {
    /// What was logged since the last time this was asked.
    pub(crate) fn take(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A kind of failure in words.
pub(crate) const fn kind_name(kind: weir_plugin::FailureKind) -> &'static str {
    match kind {
        weir_plugin::FailureKind::Refused => "refused",
        weir_plugin::FailureKind::Trapped => "trapped",
        weir_plugin::FailureKind::OverBudget => "over budget",
        weir_plugin::FailureKind::Invalid => "invalid",
    }
}
