//! The log on redb: catalog, lanes, rewriter, history, recovery, metadata log.
//!
//! [`Store`] is the broker's: threads over the functions of this crate. [`InlineStore`] is the
//! same functions without threads, for tests and the simulator. Both take
//! [`weir_types::log::LogCommand`]s and answer with [`weir_types::log::LogEvent`]s over a
//! [`Disk`]. No type of redb leaves the crate, and only `kv.rs` names one.
//!
//! How it lies on disk: a few *lanes* each append to one file whatever partitions have batches
//! pending, one commit and one sync for all; the *rewriter* turns rolled lane files into *history
//! files* sorted by (partition, offset); the *catalog* alone says which files are the log.
#![forbid(unsafe_code)]

mod book;
mod cache;
mod catalog;
mod config;
mod control;
mod core;
pub mod disk;
mod encode;
mod entry;
mod files;
mod history;
mod inline;
mod kv;
mod lane;
mod layout;
pub mod limits;
mod marks;
mod metalog;
mod publish;
mod queue;
mod read;
mod recover;
mod rewrite;
mod rows;
mod stats;
mod store;
mod tools;

pub use cache::{CacheBudget, TailCache};
pub use catalog::{FORMAT_VERSION, OpenError};
pub use config::{Mutants, StoreConfig};
pub use disk::{Crash, Disk, DiskCounts, DiskFile, MemDisk, RealDisk, volume_bytes};
pub use inline::{InlineStore, StoreCloseError};
pub use layout::FileRole;
pub use metalog::{MetaLog, MetaLogContents, MetaLogError};
pub use recover::OpenReport;
pub use rewrite::RewriteStep;
pub use stats::{COMMIT_BUCKETS_US, FileStats, StoreStats};
pub use store::{EventSink, Store};
pub use tools::{CheckReport, DumpedBatch, FileDetails, PartitionDetails, StoreReader};
