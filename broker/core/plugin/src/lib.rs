//! What a plugin is given and what it gives back, without any Wasm: records as columns, the rules
//! for what comes back, chains of plugins and their parameters, policies and outcomes.
//!
//! Everything here is values and functions; who runs a plugin, and where, is not known here.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod batch;
pub mod bisect;
pub mod chain;
pub mod check;
pub mod columns;
pub mod limits;
pub mod outcome;
pub mod place;
pub mod policy;
pub mod staying;
pub mod trouble;

pub use batch::{Author, Rebuilt, compose, rebuild, stepping_stone};
pub use bisect::{Bisection, FailedRows, Verdict};
pub use chain::{Chain, ChainError, Link, PluginRef};
pub use check::{Invalid, InvalidPartitions, Place, check, check_partitions};
pub use columns::{BytesColumn, Columns, HeadersColumn};
pub use outcome::{Failure, FailureKind, Output, Refusal};
pub use policy::{Policy, PolicyError};
pub use staying::Staying;
pub use trouble::{Origin, Trouble, dead_letters};

/// What a component is for, told by what it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum World {
    /// Changes, drops or routes records.
    Transform,
    /// Chooses partitions by keys.
    Partitioner,
    /// Makes bytes readable, and back.
    Decoder,
}

impl World {
    /// The world's name in the WIT package.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Partitioner => "partitioner",
            Self::Decoder => "decoder",
        }
    }

    /// The world of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Transform, Self::Partitioner, Self::Decoder]
            .into_iter()
            .find(|world| world.name() == name)
    }

    /// Its number on the wire and on disk; never changes.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::Transform => 1,
            Self::Partitioner => 2,
            Self::Decoder => 3,
        }
    }

    /// The world of that number.
    #[must_use]
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Transform),
            2 => Some(Self::Partitioner),
            3 => Some(Self::Decoder),
            _ => None,
        }
    }
}
