//! A Weir broker as a library: settings, wiring, the shard loop, metrics.
//!
//! The `weir` binary starts one; so can a test or another program. It introduces the pure cores
//! to the log and to the network and holds no rule of its own.
#![forbid(unsafe_code)]

mod broker;
mod clock;
mod config;
mod config_doc;
mod followed;
mod health;
mod http;
mod inflate;
mod inside;
mod jobs;
mod limits;
mod metrics;
mod plugins;
mod probes;
mod quorum;
mod room;
mod session;
pub mod settings;
mod shard;

pub use broker::{Broker, StartError};
pub use config::{Config, ConfigError};
pub use config_doc::config_doc;
pub use health::abort_when_a_thread_is_lost;
pub use plugins::{FilesError, PluginsError};
pub use quorum::QuorumError;
pub use settings::{Settings, SettingsError};
