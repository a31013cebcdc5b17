//! Write plugins for Weir in Rust.
//!
//! A plugin is a type that implements [`Plugin`] and one of [`Transform`], [`Partitioner`] and
//! [`Decoder`], and one line that makes a component of it:
//!
//! ```
//! use weir_plugin_sdk::{Batch, Changes, Description, Output, Parameters, Plugin, Transform};
//!
//! struct DropEmpty;
//!
//! impl Plugin for DropEmpty {
//!     fn describe() -> Description {
//!         Description::new("drop-empty", "1.0.0", "Drops records without a value.")
//!     }
//!     fn configure(_: &Parameters) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl Transform for DropEmpty {
//!     fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
//!         let mut changes = Changes::of(batch);
//!         for row in batch.iter() {
//!             if row.value().is_some_and(|value| !value.is_empty()) {
//!                 changes.keep(row);
//!             }
//!         }
//!         changes.finish()
//!     }
//! }
//!
//! weir_plugin_sdk::transform!(DropEmpty);
//! # fn main() {}
//! ```
//!
//! [`testing`] runs the same type on the machine at hand, without Wasm and without a broker.
//! A plugin has no clock, no randomness, no files and no network: the same batches always give
//! the same answers. A panic is logged with its message and place before the instance ends.

// The generated code names this crate as plugins do.
extern crate self as weir_plugin_sdk;

mod batch;
pub mod bindings;
mod changes;
mod column;
mod describe;
mod glue;
pub mod host;
pub mod testing;

pub use batch::{Batch, Header, Row, Rows};
pub use changes::{Changes, Kept, Output};
pub use column::{ColumnIter, Keys};
pub use describe::{Description, Parameter, Parameters};
pub use glue::{Part, call};

/// What every plugin has: a description, and a way to take parameters.
pub trait Plugin: Sized + 'static {
    /// What the plugin is called, what it does and which parameters it takes.
    fn describe() -> Description;

    /// Makes the plugin from its parameters. They were held against the description: required
    /// ones are there, defaults are filled in, and there are no unknown ones.
    ///
    /// # Errors
    /// What is wrong with a parameter, for the person who gave it.
    fn configure(parameters: &Parameters) -> Result<Self, String>;
}

/// Changes, drops, refuses or routes records.
pub trait Transform: Plugin {
    /// Transforms a batch; see [`Changes`].
    ///
    /// # Errors
    /// An error refuses the whole batch. To refuse single records, see [`Changes::refuse`].
    fn transform(&mut self, batch: &Batch) -> Result<Output, String>;
}

/// Chooses partitions by keys.
pub trait Partitioner: Plugin {
    /// The partition of a key, below `partitions`. It must depend on nothing but these two and
    /// the plugin's parameters, or the order of a key is lost.
    ///
    /// # Errors
    /// Why there is no partition for this key; the batch is then refused.
    fn partition(&mut self, key: Option<&[u8]>, partitions: u32) -> Result<u32, String>;
}

/// Makes bytes readable, and back.
pub trait Decoder: Plugin {
    /// JSON for the bytes of a record's key or value.
    ///
    /// # Errors
    /// Why these bytes cannot be read.
    fn decode(&mut self, part: Part, bytes: &[u8]) -> Result<String, String>;

    /// Bytes for a JSON text.
    ///
    /// # Errors
    /// Why this text cannot be written, or that this decoder only reads.
    fn encode(&mut self, part: Part, json: &str) -> Result<Vec<u8>, String> {
        let _ = (part, json);
        Err("this decoder only reads".to_owned())
    }
}
