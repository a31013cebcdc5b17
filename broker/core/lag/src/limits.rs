//! Limits and measures of lag, each with its unit in its name.

/// How far apart samples are, in milliseconds, from the finest kept to the coarsest.
pub const RESOLUTIONS_MS: [i64; 3] = [10_000, 60_000, 600_000];

/// How many samples of each resolution are kept at least: an hour, a day, a week.
pub const POINTS: [usize; 3] = [360, 1_440, 1_008];

/// How many samples are packed together and dropped together, for each resolution.
pub const BLOCK_POINTS: [usize; 3] = [60, 120, 84];

/// Steps without a sample that are filled with what was true before; more of them are a gap.
pub const STEPS_FILLED_MAX: i64 = 6;

/// The most series. Beyond it a new one is not begun until another has ended; the topics of groups
/// are not begun beyond two thirds of it, so that groups and topics as a whole find room. What has
/// no series is told as it is now, only not over time.
pub const SERIES_MAX: usize = 30_000;

/// The largest value of a sample; what is larger counts as this.
pub const VALUE_MAX: i64 = 1 << 60;

/// How often marks of the watermarks are written down, in milliseconds.
pub const MARK_MS: i64 = 60_000;

/// How long watermarks are remembered, in milliseconds: as long as the coarsest samples.
pub const TRACK_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1000;

/// How long they are remembered by the second, in milliseconds.
pub const RECENT_TRACK_MS_MAX: i64 = 10 * 60 * 1000;

/// The most points of a track of watermarks.
pub const TRACK_POINTS_MAX: usize = 96;

/// The traffic of topics is told for as many seconds, in milliseconds.
pub const WINDOW_MS: i64 = 10_000;

/// How many groups one step samples, so that nothing waits long for a sample.
pub const SAMPLED_PER_STEP: usize = 64;

/// The most groups and topics that are remembered to be gone, for those who ask for changes.
pub const GONE_MAX: usize = 10_000;

/// The least bytes of records since the last snapshot before another is worth its while.
pub const SNAPSHOT_BYTES_MIN: u64 = 1024 * 1024;

/// A snapshot is taken when as many times its own bytes were written since the last.
pub const SNAPSHOT_GROWTH_FACTOR: u64 = 2;

/// About how many bytes of a snapshot go into one write.
pub const SNAPSHOT_BYTES_PER_WRITE: usize = 256 * 1024;

/// How long a snapshot pauses between two writes, in milliseconds.
pub const SNAPSHOT_PAUSE_MS: u64 = 50;

/// The most rows of one page.
pub const PAGE_ROWS_MAX: usize = 5_000;

/// The most points of one page of history, all columns counted once.
pub const HISTORY_POINTS_MAX: usize = 200_000;
