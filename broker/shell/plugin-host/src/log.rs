//! What plugins write down: levels, lines, where they go, and how many may.

use crate::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_PER_SECOND};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::component::{ComponentType, Lift};
use weir_plugin::limits::REASON_BYTES_MAX;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum Level {
    /// Every step.
    #[component(name = "trace")]
    Trace,
    /// For who looks for a fault.
    #[component(name = "debug")]
    Debug,
    /// What happened.
    #[component(name = "info")]
    Info,
    /// Something is odd.
    #[component(name = "warn")]
    Warn,
    /// Something failed.
    #[component(name = "error")]
    Error,
}

impl Level {
    /// The level's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What it says, at most `LOG_LINE_BYTES_MAX` bytes.
    pub message: String,
    /// How many lines were left out since the line before.
    pub dropped: u64,
}

/// Where lines go. It is called in the middle of a plugin's work and must not wait.
pub trait LogSink: Send + Sync {
    /// Takes a line.
    fn log(&self, line: Line);
}

/// Forgets every line.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl LogSink for NoLog {
    fn log(&self, _line: Line) {}
}

/// The log of one store: so many lines a second, and the last error kept for a failure's text.
pub(crate) struct Gate {
    sink: Arc<dyn LogSink>,
    since: Instant,
    left: u32,
    dropped: u64,
    error: String,
    error_is_output: bool,
}

impl Gate {
    pub(crate) fn new(sink: Arc<dyn LogSink>) -> Self {
        Self {
            sink,
            since: Instant::now(),
            left: LOG_LINES_PER_SECOND,
            dropped: 0,
            error: String::new(),
            error_is_output: false,
        }
    }

    /// Forgets the last error: another call begins.
    pub(crate) fn begin(&mut self) {
        self.error.clear();
    }

    /// What the plugin said last about an error in this call.
    pub(crate) fn error(&self) -> &str {
        &self.error
    }

    /// A line that the plugin logs.
    pub(crate) fn log(&mut self, level: Level, message: &str) {
        let message = cut(message, LOG_LINE_BYTES_MAX);
        if level == Level::Error {
            message.clone_into(&mut self.error);
            self.error_is_output = false;
        }
        self.pass(level, message);
    }

    /// A line of the guest's standard output or error. Lines of an error belong together.
    pub(crate) fn output(&mut self, level: Level, message: &str) {
        let message = cut(message, LOG_LINE_BYTES_MAX);
        if level == Level::Error && !message.trim().is_empty() {
            if !self.error_is_output {
                self.error.clear();
            }
            self.error_is_output = true;
            if !self.error.is_empty() {
                self.error.push('\n');
            }
            self.error.push_str(message);
            while self.error.len() > REASON_BYTES_MAX {
                let first = self.error.find('\n').map_or(self.error.len(), |at| at + 1);
                self.error.drain(..first);
            }
        }
        self.pass(level, message);
    }

    fn pass(&mut self, level: Level, message: &str) {
        if self.left == 0 && self.since.elapsed() >= Duration::from_secs(1) {
            self.since = Instant::now();
            self.left = LOG_LINES_PER_SECOND;
        }
        if self.left == 0 {
            self.dropped += 1;
            return;
        }
        if self.left == LOG_LINES_PER_SECOND {
            self.since = Instant::now();
        }
        self.left -= 1;
        self.sink.log(Line {
            level,
            message: message.to_owned(),
            dropped: std::mem::take(&mut self.dropped),
        });
    }
}

/// The first bytes of a text, whole characters only.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
