//! What a plugin can ask its host for: lines in its log, and the time of the stream. On the
//! machine at hand (in tests) lines are kept for [`crate::testing`], and the time is what the
//! test says.

/// How much a line of the log matters.
pub use crate::bindings::transform::weir::plugin::host::Level;

#[cfg(target_arch = "wasm32")]
use crate::bindings::transform::weir::plugin::host as wit;

/// Writes a line to the plugin's log. Too many in a second are dropped and counted.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    wit::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::logged(level, message);
}

/// The largest timestamp that this partition has seen up to this batch, in milliseconds since
/// 1970: the only clock there is.
#[must_use]
pub fn stream_time() -> i64 {
    #[cfg(target_arch = "wasm32")]
    let time = wit::stream_time();
    #[cfg(not(target_arch = "wasm32"))]
    let time = crate::testing::stream_time();
    time
}
