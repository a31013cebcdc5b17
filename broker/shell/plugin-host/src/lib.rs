//! Runs Wasm components that change, drop, route, place and decode records, under budgets.
//!
//! It must never know topics' logs, connections or requests: columns go in, columns or a failure
//! come out.
//!
//! A [`Host`] is one engine. Bytes become a [`Component`] (checked, compiled off the caller's
//! thread, kept over restarts), that becomes a [`Configured`] (parameters taken, imports linked),
//! and that gives [`Instance`]s, which are called. After a trap or an exceeded budget an instance
//! begins anew by itself. A [`Runner`] deals with whole batches: it finds the records that a
//! plugin fails on.
//!
//! **Which budget ends a call.** Fuel, which is counted in instructions and is the same on every
//! machine. The clock (epochs) only catches what fuel cannot see; a call that it ends is run once
//! more on a fresh store before it counts.
//!
//! **What a component may import.** `weir:plugin/host`, and WASI 0.2 for guests that bring a
//! language runtime: of that only a fixed part does anything (`src/wasi`), the rest traps with its
//! own name.
#![deny(unsafe_code)]

mod budget;
mod cache;
mod call;
mod compile;
mod component;
mod configured;
mod error;
mod exports;
mod failure;
mod functions;
mod host;
mod inspect;
mod instance;
pub mod limits;
mod log;
mod runner;
mod state;
mod values;
mod wasi;

pub use budget::{Budget, Usage};
pub use call::{Context, Report};
pub use component::{Component, Description, Parameter};
pub use configured::Configured;
pub use error::{CompileError, ConfigureError, HostError};
pub use exports::Part;
pub use host::{Host, HostConfig};
pub use inspect::{Import, PACKAGE_VERSION, Standing};
pub use instance::Instance;
pub use log::{Level, Line, LogSink, NoLog};
pub use runner::{Ruling, Runner};
