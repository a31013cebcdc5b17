//! What can be set of the store, and the seeded bugs that only the simulator sets.

use crate::limits;

/// Settings of a store; [`StoreConfig::default`] is for a broker.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Threads that write, each one file at a time.
    pub lanes: usize,
    /// Threads that read from files.
    pub readers: usize,
    /// A lane takes a new file beyond this many bytes of batches.
    pub lane_file_bytes: u64,
    /// A lane takes a new file beyond this many batches.
    pub lane_entries_max: u64,
    /// The rewriter begins a new history file beyond this many bytes of batches.
    pub history_file_bytes: u64,
    /// The rewriter sorts so many bytes of batches at a time.
    pub rewrite_memory_bytes: usize,
    /// With more bytes of batches than this waiting, the rewriter no longer steps aside.
    pub rewrite_backlog_bytes: u64,
    /// The rewriter does nothing, for tests and measurements; can be changed later.
    pub rewriter_held: bool,
    /// Budget for all caches: redb's, open files', and what is left for tails.
    pub cache_bytes: usize,
    /// Bytes of commands in the queue beyond which callers shall hold back.
    pub pending_bytes_max: usize,
    /// Files kept open for reading.
    pub open_files_max: usize,
    /// The number a new store gives itself, so that no file of another is taken for its own.
    /// Any number that is not likely to be chosen twice.
    pub new_store_id: u64,
    /// Seeded bugs, for the simulator's own test.
    pub mutants: Mutants,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            lanes: limits::LANES_DEFAULT,
            readers: limits::READERS_DEFAULT,
            lane_file_bytes: limits::LANE_FILE_BYTES_DEFAULT,
            lane_entries_max: limits::LANE_ENTRIES_MAX_DEFAULT,
            history_file_bytes: limits::HISTORY_FILE_BYTES_DEFAULT,
            rewrite_memory_bytes: limits::REWRITE_MEMORY_BYTES_DEFAULT,
            rewrite_backlog_bytes: limits::REWRITE_BACKLOG_BYTES_DEFAULT,
            rewriter_held: false,
            cache_bytes: limits::CACHE_BYTES_DEFAULT,
            pending_bytes_max: limits::PENDING_BYTES_MAX_DEFAULT,
            open_files_max: limits::OPEN_FILES_MAX_DEFAULT,
            new_store_id: 0,
            mutants: Mutants::default(),
        }
    }
}

impl StoreConfig {
    /// Bytes the tail caches may have together: what redb's caches leave of the budget.
    #[must_use]
    pub fn tail_cache_bytes(&self) -> usize {
        let lanes = self.lanes * limits::LANE_CACHE_BYTES;
        let files = self.open_files_max * limits::READ_CACHE_BYTES;
        let small = 2 * limits::SMALL_CACHE_BYTES;
        self.cache_bytes.saturating_sub(lanes + files + small)
    }
}

/// Known bugs that the simulator seeds to see that it would find them. All off in a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mutants {
    /// Every n-th commit says it is flushed without a sync.
    pub skip_flush_every: Option<u64>,
    /// A moved start is answered but not written.
    pub forget_start: bool,
    /// A published history file leaves its inputs in the catalog.
    pub publish_twice: bool,
}
