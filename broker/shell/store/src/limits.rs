//! Every limit of the store, with its unit in its name. Only constants; what is settable stands
//! in `StoreConfig` and takes its default from here.

use std::time::Duration;

/// The largest value in a lane or history file, in bytes. redb gives a value a run of pages that
/// is a power of two; with its own header a value of exactly 2^18 would take twice its size.
pub const VALUE_BYTES_MAX: usize = (1 << VALUE_PAGE_BITS) - VALUE_MARGIN_BYTES;

/// Binary logarithm of the largest run of pages a value takes.
pub(crate) const VALUE_PAGE_BITS: u32 = 18;

/// Binary logarithm of redb's page.
pub(crate) const PAGE_BITS: u32 = 12;

/// Bytes of a page that redb keeps for itself beside a single value.
pub(crate) const VALUE_MARGIN_BYTES: usize = 64;

/// Bytes of batches one commit takes when many partitions are ready.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of batches one commit takes when few partitions are ready: smaller commits keep the
/// disk and the producers busy at the same time.
pub const COMMIT_BYTES_FEW_MAX: usize = 2 * 1024 * 1024;

/// Up to this many ready partitions count as few.
pub const COMMIT_FEW_PARTITIONS: usize = 16;

/// Batches one commit takes at most, so that its index entry stays small.
pub const COMMIT_BATCHES_MAX: usize = 16_384;

/// A further lane starts only when this many bytes are pending that no lane has taken.
pub const LANE_START_BYTES: usize = 1024 * 1024;

/// Default of `lane_file_bytes`: a lane takes a new file beyond this many bytes of batches. The
/// files that a kill leaves open are repaired at the next start, which must answer within a
/// second: repairing 512 MB took 0.13 to 0.9 s.
pub const LANE_FILE_BYTES_DEFAULT: u64 = 256 * 1024 * 1024;

/// Default of `lane_entries_max`: a lane takes a new file beyond this many batches, which bounds
/// the memory for entries of files that are not yet rewritten.
pub const LANE_ENTRIES_MAX_DEFAULT: u64 = 200_000;

/// Default number of lanes.
pub const LANES_DEFAULT: usize = 2;

/// Default number of threads that read from files.
pub const READERS_DEFAULT: usize = 2;

/// Default of `history_file_bytes`.
pub const HISTORY_FILE_BYTES_DEFAULT: u64 = 512 * 1024 * 1024;

/// Default budget for all caches of the store, in bytes: redb's, open history files', tails'.
pub const CACHE_BYTES_DEFAULT: usize = 256 * 1024 * 1024;

/// redb's cache of one active lane, in bytes; half of it buffers a commit, which must fit. The
/// smaller it is, the sooner a page's memory is used again, while the processor still has it.
pub const LANE_CACHE_BYTES: usize = 10 * 1024 * 1024;

/// redb's cache of a lane file that is repaired at the start, in bytes.
pub const REPAIR_CACHE_BYTES: usize = 24 * 1024 * 1024;

/// redb's cache of a file that is only read, in bytes; it holds branch pages, not data.
pub const READ_CACHE_BYTES: usize = 1024 * 1024;

/// redb's cache of a history file that is being written, in bytes.
pub const WRITER_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// redb's cache of catalog and metadata log, in bytes.
pub const SMALL_CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Default number of files kept open for reading.
pub const OPEN_FILES_MAX_DEFAULT: usize = 32;

/// Default of the rewriter's memory, in bytes: it sorts so many bytes of batches at a time.
pub const REWRITE_MEMORY_BYTES_DEFAULT: usize = 64 * 1024 * 1024;

/// While more than this comes in, the rewriter waits for a quieter moment.
pub const FLOOD_BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;

/// Default of `rewrite_backlog_bytes`: with more than this waiting to be sorted, the rewriter no
/// longer steps aside. Until they are sorted, records are read at a lane's speed.
pub const REWRITE_BACKLOG_BYTES_DEFAULT: u64 = 4 * 1024 * 1024 * 1024;

/// Nor with more than this many batches waiting: their entries are in memory.
pub const REWRITE_BACKLOG_BATCHES_MAX: u64 = 1_000_000;

/// Rolled lane files the rewriter takes at once.
pub const REWRITE_INPUTS_MAX: usize = 4;

/// Bytes of one partition that shall lie together in history: the rewriter takes a further lane
/// file only while its partitions have less than this on average.
pub const REWRITE_RUN_BYTES: u64 = 4 * 1024 * 1024;

/// A history file with less than this share of live bytes is rewritten, in percent.
pub const REWRITE_ALIVE_PERCENT_MIN: u64 = 70;

/// What a history file takes on the disk beside its batches, in bytes.
pub const REWRITE_ROOM_BYTES_MIN: u64 = 1024 * 1024;

/// What sorted batches may take on the disk, with indexes and pages, in percent of their bytes.
pub const REWRITE_ROOM_PERCENT: u64 = 125;

/// An index block of a history file holds at most this many batches.
pub const INDEX_BLOCK_BATCHES_MAX: usize = 512;

/// Snapshots of producer state kept for each partition.
pub const PRODUCER_SNAPSHOTS_KEPT: usize = 2;

/// Bytes of commands in the queue beyond which the store asks its caller to hold back.
pub const PENDING_BYTES_MAX_DEFAULT: usize = 64 * 1024 * 1024;

/// What a command counts for in the queue beside its batch, in bytes.
pub(crate) const COMMAND_BYTES: usize = 64;

/// Lane files that left the log and are kept to be used again.
pub const POOL_FILES_MAX: usize = 4;

/// Files' worth of room kept for the rewriter: a lane takes no new file when less is left.
pub const ROOM_FILES_RESERVED: u64 = 2;

/// How often a read looks again when a file left the log under it, or was opened anew.
pub(crate) const READ_TRIES: usize = 4;

/// Bytes of batches whose index is looked at in one step when searching by time.
pub(crate) const FIND_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of batches whose index retention looks at in one step.
pub(crate) const RETAIN_STEP_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of batches that a tool reads in one step.
pub(crate) const VISIT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that may wait in one file before they are written without a sync.
#[cfg(target_os = "linux")]
pub(crate) const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Blocks of 32 KB kept for the next writes around the page cache.
#[cfg(target_os = "linux")]
pub(crate) const ARENA_BLOCKS_MAX: usize = 512;

/// How long the rewriter sleeps when it has nothing to do and nobody wakes it.
pub(crate) const REWRITER_IDLE: Duration = Duration::from_secs(1);

/// The longest the rewriter steps aside for ingest after one step, and how often it looks
/// whether a flood is over.
pub(crate) const REWRITER_YIELD_MAX: Duration = Duration::from_millis(250);

const _: () = assert!(VALUE_BYTES_MAX < 1 << 18);
