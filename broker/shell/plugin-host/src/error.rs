//! Why a host, a component or a configuration cannot be.

use std::io;
use thiserror::Error;
use weir_plugin::{World, limits::COMPONENT_BYTES_MAX};

/// Why there is no host.
#[derive(Debug, Error)]
pub enum HostError {
    /// The engine cannot be had on this machine.
    #[error("Wasm cannot be run here: {reason}")]
    Engine {
        /// What the engine says.
        reason: String,
    },
    /// No thread.
    #[error("no thread for the clock of the Wasm engine: {source}")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
    /// No folder for compiled components.
    #[error("the folder for compiled components cannot be used: {source}")]
    Cache {
        /// What the system says.
        source: io::Error,
    },
}

/// Why bytes are no component that Weir can run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompileError {
    /// Too large.
    #[error("the component has {bytes} bytes, but may have {COMPONENT_BYTES_MAX}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// Something else entirely.
    #[error("this is not WebAssembly: it does not begin with '\\0asm'")]
    NotWasm,
    /// A module instead of a component.
    #[error(
        "this is a core WebAssembly module and not a component: make a component of it with 'weir plugin build' or 'wasm-tools component new'"
    )]
    CoreModule,
    /// Damaged, or it uses what this engine does not know.
    #[error("the component is not valid: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// It was made for a newer broker.
    #[error(
        "the component was made for weir:plugin@{wants}, but this version of Weir knows up to weir:plugin@{has}: use a newer Weir, or build it with an older SDK"
    )]
    NewerPackage {
        /// The version it was made for.
        wants: String,
        /// The version that is known here.
        has: String,
    },
    /// It was made for an older major version.
    #[error(
        "the component was made for weir:plugin@{wants}, which this version of Weir (weir:plugin@{has}) no longer runs: build it with a newer SDK"
    )]
    OlderPackage {
        /// The version it was made for.
        wants: String,
        /// The version that is known here.
        has: String,
    },
    /// It wants what no plugin gets.
    #[error("the component imports what plugins are not granted: {}", names.join(", "))]
    NotGranted {
        /// The imports.
        names: Vec<String>,
    },
    /// No world.
    #[error(
        "the component exports no world of weir:plugin: 'describe', 'configure' and one of 'transform', 'partition' or 'decode' with 'encode'; it lacks {missing}"
    )]
    NoWorld {
        /// What is missing.
        missing: String,
    },
    /// More than one world.
    #[error("the component exports the worlds '{}' and '{}': a plugin has one", first.name(), second.name())]
    TwoWorlds {
        /// One of them.
        first: World,
        /// Another.
        second: World,
    },
    /// An export has another type than the world says.
    #[error("the component's imports or exports do not have the types of weir:plugin: {reason}")]
    WrongTypes {
        /// Which, and how they differ.
        reason: String,
    },
    /// Compiling took too long; also when components before it took the time.
    #[error("compiling the component took longer than {limit_ms} ms")]
    TooSlow {
        /// How long it may take, in milliseconds.
        limit_ms: u64,
    },
    /// `describe` failed.
    #[error("the component does not say what it is: {reason}")]
    NoDescription {
        /// How it failed.
        reason: String,
    },
    /// `describe` says something that cannot be.
    #[error("what the component says about itself is not valid: {reason}")]
    BadDescription {
        /// What is wrong.
        reason: String,
    },
    /// The machine has no thread or memory for it.
    #[error("the component cannot be compiled now: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// Why a plugin cannot be attached with these parameters.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigureError {
    /// A parameter that must be given is not.
    #[error("plugin '{plugin}' needs the parameter '{parameter}'")]
    Missing {
        /// Which plugin.
        plugin: String,
        /// Which parameter.
        parameter: String,
    },
    /// A parameter that the plugin does not take.
    #[error(
        "plugin '{plugin}' takes no parameter '{parameter}'; it takes {}",
        or_none(takes)
    )]
    Unknown {
        /// Which plugin.
        plugin: String,
        /// Which parameter.
        parameter: String,
        /// Which it takes.
        takes: Vec<String>,
    },
    /// The plugin itself says no.
    #[error("plugin '{plugin}' refuses its parameters: {reason}")]
    Refused {
        /// Which plugin.
        plugin: String,
        /// In its own words.
        reason: String,
    },
    /// It failed.
    #[error("plugin '{plugin}' fails while it is configured: {failure}")]
    Failed {
        /// Which plugin.
        plugin: String,
        /// How: it trapped or used up its budget.
        failure: String,
        /// In which way.
        kind: weir_plugin::FailureKind,
    },
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}
