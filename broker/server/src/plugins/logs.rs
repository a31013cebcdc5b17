//! What plugins logged and what they failed on, kept in memory under limits, newest last.
//!
//! Nothing here waits: a plugin that logs is in the middle of its work.

use super::counters::Spot;
use crate::clock::Clock;
use crate::limits::{
    PLUGIN_FAILURE_BYTES_MAX, PLUGIN_FAILURES_MAX, PLUGIN_LOG_BYTES_MAX, PLUGIN_LOG_LINES_MAX,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use weir_plugin::FailureKind;
use weir_plugin_host::{Line, LogSink};
use weir_types::{Offset, PartitionIndex, TimestampMs};
use weir_wire::Text;
use weir_wire::messages::{PluginFailure, PluginLogLine};

/// The plugin that speaks, and where it works.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    pub(crate) name: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) spot: Spot,
    pub(crate) link: usize,
}

/// A line as it is kept.
#[derive(Clone, Debug)]
struct Kept {
    time: TimestampMs,
    level: i8,
    speaker: Speaker,
    message: String,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// The number of the first line that is kept; lines count from 0 when the broker starts.
    first: u64,
    /// Lines that plugins logged too fast to be taken, in all.
    dropped: u64,
}

/// The lines of all plugins.
#[derive(Debug)]
pub(crate) struct Logs {
    clock: Clock,
    /// Tells a cursor of this broker's run from one of an earlier run.
    run: i64,
    lines: Mutex<Lines>,
    more: Notify,
}

/// A page of lines.
pub(crate) struct Page {
    pub(crate) lines: Vec<PluginLogLine>,
    pub(crate) missed: i64,
    pub(crate) next: String,
}

impl Logs {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            run: clock.now().wall.0,
            lines: Mutex::default(),
            more: Notify::new(),
        })
    }

    /// Where a plugin logs to.
    pub(crate) fn sink(self: &Arc<Self>, speaker: Speaker) -> Arc<dyn LogSink> {
        Arc::new(Sink {
            logs: Arc::clone(self),
            speaker,
        })
    }

    /// The lines from a cursor on, of these plugins (none: of all) and at least of that level.
    pub(crate) fn page(
        &self,
        cursor: Option<&str>,
        names: &[Text],
        level: i8,
        most: usize,
    ) -> Page {
        let lines = self.lock();
        let (from, dropped) = match cursor.and_then(|cursor| self.place(cursor)) {
            Some(place) => place,
            None if cursor.is_none() => (lines.first, lines.dropped),
            None => (0, 0),
        };
        let mut missed = lines.first.saturating_sub(from);
        missed += lines.dropped.saturating_sub(dropped);
        let mut next = from.max(lines.first);
        let mut page = Vec::new();
        let skip = usize::try_from(next - lines.first).unwrap_or(usize::MAX);
        for kept in lines.kept.iter().skip(skip) {
            if page.len() >= most {
                break;
            }
            next += 1;
            let wanted = names.is_empty() || names.iter().any(|n| **n == *kept.speaker.name);
            if wanted && kept.level >= level {
                page.push(told(kept));
            }
        }
        Page {
            lines: page,
            missed: i64::try_from(missed).unwrap_or(i64::MAX),
            next: format!("{}-{next}-{}", self.run, lines.dropped),
        }
    }

    /// Waits until there is another line.
    pub(crate) fn more(&self) -> Notified<'_> {
        self.more.notified()
    }

    /// Reads a cursor: the number of the next line, and how many were dropped; nothing where it is
    /// of another run of the broker.
    fn place(&self, cursor: &str) -> Option<(u64, u64)> {
        let (run, rest) = cursor.split_once('-')?;
        let (next, dropped) = rest.split_once('-')?;
        let ours = run.parse() == Ok(self.run);
        ours.then_some((next.parse().ok()?, dropped.parse().ok()?))
    }

    fn take(&self, speaker: &Speaker, line: Line) {
        let mut lines = self.lock();
        lines.dropped += line.dropped;
        lines.bytes += line.message.len();
        lines.kept.push_back(Kept {
            time: self.clock.now().wall,
            level: line.level as i8,
            speaker: speaker.clone(),
            message: line.message,
        });
        while lines.kept.len() > PLUGIN_LOG_LINES_MAX || lines.bytes > PLUGIN_LOG_BYTES_MAX {
            let Some(oldest) = lines.kept.pop_front() else {
                break;
            };
            lines.bytes -= oldest.message.len();
            lines.first += 1;
        }
        drop(lines);
        self.more.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // The lines are whole even if somebody panicked over them: numbers and queue go together.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(kept: &Kept) -> PluginLogLine {
    PluginLogLine {
        time_ms: kept.time,
        level: kept.level,
        plugin: Text::from(&*kept.speaker.name),
        version: Text::from(&*kept.speaker.version),
        place: kept.speaker.spot.told(kept.speaker.link),
        partition: PartitionIndex(-1),
        message: Text::from(kept.message.as_str()),
    }
}

struct Sink {
    logs: Arc<Logs>,
    speaker: Speaker,
}

impl LogSink for Sink {
    fn log(&self, line: Line) {
        self.logs.take(&self.speaker, line);
    }
}

/// A failure as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) speaker: Speaker,
    pub(crate) text: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: PartitionIndex,
    pub(crate) base_offset: Offset,
    pub(crate) record_count: i32,
    pub(crate) row: i32,
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    pub(crate) batch: Bytes,
}

#[derive(Debug, Default)]
struct FailuresKept {
    kept: VecDeque<(i64, TimestampMs, Failed)>,
    bytes: usize,
    next: i64,
}

/// What plugins failed on.
#[derive(Debug)]
pub(crate) struct Failures {
    clock: Clock,
    all: Mutex<FailuresKept>,
}

impl Failures {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            all: Mutex::default(),
        }
    }

    /// Keeps a failure with its batch; the oldest ones go.
    pub(crate) fn keep(&self, failed: Failed) {
        let mut all = self.lock();
        all.next += 1;
        all.bytes += failed.batch.len();
        let entry = (all.next, self.clock.now().wall, failed);
        all.kept.push_back(entry);
        while all.kept.len() > PLUGIN_FAILURES_MAX
            || (all.bytes > PLUGIN_FAILURE_BYTES_MAX && all.kept.len() > 1)
        {
            let Some((.., oldest)) = all.kept.pop_front() else {
                break;
            };
            all.bytes -= oldest.batch.len();
        }
    }

    /// The newest failures first; only the one of that number, with its batch, where one is given.
    pub(crate) fn page(&self, id: i64, names: &[Text], most: usize) -> Vec<PluginFailure> {
        let all = self.lock();
        let wanted =
            |failed: &Failed| names.is_empty() || names.iter().any(|n| **n == *failed.speaker.name);
        all.kept
            .iter()
            .rev()
            .filter(|(number, _, failed)| {
                if id >= 0 {
                    *number == id
                } else {
                    wanted(failed)
                }
            })
            .take(most)
            .map(|(number, time, failed)| told_failure(*number, *time, failed, id >= 0))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, FailuresKept> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A failure's kind as the protocol numbers it.
const fn code(kind: FailureKind) -> i8 {
    match kind {
        FailureKind::Refused => 1,
        FailureKind::Trapped => 2,
        FailureKind::OverBudget => 3,
        FailureKind::Invalid => 4,
    }
}

fn told_failure(id: i64, time: TimestampMs, failed: &Failed, batch: bool) -> PluginFailure {
    PluginFailure {
        id,
        time_ms: time,
        plugin: Text::from(&*failed.speaker.name),
        version: Text::from(&*failed.speaker.version),
        link: Text::from(&*failed.text),
        place: failed.speaker.spot.told(failed.speaker.link),
        topic: Text::from(&*failed.topic),
        partition: failed.partition,
        base_offset: failed.base_offset,
        record_count: failed.record_count,
        row: failed.row,
        kind: code(failed.kind),
        message: Text::from(failed.message.as_str()),
        batch: batch.then(|| failed.batch.clone()),
    }
}
