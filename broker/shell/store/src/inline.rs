//! The store without threads: the same functions, stepped by a test or the simulator on a
//! [`crate::MemDisk`], the same every time.

use crate::catalog::{OpenError, SharedDisk};
use crate::config::StoreConfig;
use crate::core::{Core, Lane};
use crate::disk::{Disk, Recycler};
use crate::queue::{Op, Queue, bytes_of};
use crate::recover::{self, OpenReport};
use crate::rewrite::{RewriteStep, Rewriter};
use crate::stats::StoreStats;
use std::{collections::VecDeque, sync::Arc};
use weir_types::{
    ShardId, StorePartition,
    log::{LogCommand, LogEvent},
};

/// A store that does something only when it is stepped.
#[derive(Debug)]
pub struct InlineStore {
    core: Core,
    lanes: Vec<Lane>,
    queue: Queue,
    control: VecDeque<(ShardId, LogCommand)>,
    reads: VecDeque<(ShardId, LogCommand)>,
    next_lane: usize,
    rewriter: Rewriter,
}

impl InlineStore {
    /// Opens the store in `disk`, or makes one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: StoreConfig, disk: Arc<dyn Disk>) -> Result<(Self, OpenReport), OpenError> {
        let disk: SharedDisk =
            Recycler::over(disk).map_err(|error| OpenError::io("the folder", &error))?;
        let lanes = config.lanes.max(1);
        let (core, report) = recover::open(&disk, config, &recover::one_by_one)?;
        let store = Self {
            core,
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            queue: Queue::default(),
            control: VecDeque::new(),
            reads: VecDeque::new(),
            next_lane: 0,
            rewriter: Rewriter::default(),
        };
        Ok((store, report))
    }

    /// Takes a command; nothing happens before a step.
    pub fn submit(&mut self, route: ShardId, command: LogCommand) {
        match split(command) {
            Split::Lane(partition, op) => self.queue.push(partition, route, op),
            Split::Control(command) => self.control.push_back((route, command)),
            Split::Read(command) => self.reads.push_back((route, command)),
        }
    }

    /// Opens and deletes what was asked, then commits once with the next lane.
    pub fn step_commit(&mut self) -> Vec<(ShardId, LogEvent)> {
        let mut events = self.step_control();
        let taken = self.queue.take();
        if taken.is_empty() {
            return events;
        }
        let back: Vec<(StorePartition, usize)> = taken
            .iter()
            .map(|taken| (taken.partition, bytes_of(&taken.ops)))
            .collect();
        let lane = self.next_lane % self.lanes.len();
        self.next_lane += 1;
        if let Some(lane) = self.lanes.get_mut(lane) {
            events.extend(self.core.commit(lane, taken));
        }
        for (partition, bytes) in back {
            self.queue.give_back(partition, bytes);
        }
        events
    }

    fn step_control(&mut self) -> Vec<(ShardId, LogEvent)> {
        let mut events = Vec::new();
        while let Some((route, command)) = self.control.pop_front() {
            events.extend(self.core.control(route, command));
        }
        events
    }

    /// Carries out every read that was asked.
    pub fn step_reads(&mut self) -> Vec<(ShardId, LogEvent)> {
        let mut events = self.step_control();
        while let Some((route, command)) = self.reads.pop_front() {
            let end = read_partition(&command).and_then(|p| self.queue.submitted_end(p));
            events.extend(self.core.answer(route, command, end));
        }
        events
    }

    /// Commits and reads until nothing waits.
    pub fn step_all(&mut self) -> Vec<(ShardId, LogEvent)> {
        let mut events = Vec::new();
        while self.has_work() {
            events.extend(self.step_commit());
            events.extend(self.step_reads());
        }
        events
    }

    /// Whether commands wait.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.control.is_empty() || !self.reads.is_empty() || self.queue.has_ready()
    }

    /// Makes every lane take a new file at its next commit.
    pub fn roll(&mut self) {
        for lane in &mut self.lanes {
            self.core.roll(lane);
        }
    }

    /// Lets the rewriter do a bounded piece of work.
    pub fn step_rewrite(&mut self) -> RewriteStep {
        self.rewriter.step(&self.core, true)
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let mut stats = self.core.stats();
        stats.pending_bytes = self.queue.pending_bytes() as u64;
        stats
    }

    /// Live bytes of a partition, or nothing where it is not open.
    #[must_use]
    pub fn size_bytes(&self, partition: StorePartition) -> Option<u64> {
        let book = self.core.book();
        book.parts
            .get(&partition)
            .map(crate::book::Part::size_bytes)
    }

    /// Closes the store cleanly; commands that wait are dropped.
    ///
    /// # Errors
    /// The disk's words; whatever was flushed stays flushed.
    pub fn close(self) -> Result<(), StoreCloseError> {
        self.core.close(self.lanes).map_err(StoreCloseError::from)
    }
}

/// Why a store was not closed cleanly; it will be repaired at the next opening.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store was not closed cleanly: {reason}")]
pub struct StoreCloseError {
    /// The system's words.
    pub reason: String,
}

impl From<crate::kv::KvError> for StoreCloseError {
    fn from(error: crate::kv::KvError) -> Self {
        Self {
            reason: error.to_string(),
        }
    }
}

/// Who carries a command out.
pub(crate) enum Split {
    Lane(StorePartition, Op),
    Control(LogCommand),
    Read(LogCommand),
}

/// The partition a read asks of.
pub(crate) fn read_partition(command: &LogCommand) -> Option<StorePartition> {
    match command {
        LogCommand::Read { partition, .. } | LogCommand::FindTime { partition, .. } => {
            Some(*partition)
        }
        _ => None,
    }
}

pub(crate) fn split(command: LogCommand) -> Split {
    match command {
        LogCommand::Append {
            partition,
            batch,
            meta,
        } => Split::Lane(partition, Op::Append(batch, meta)),
        LogCommand::MoveStart { partition, to } => Split::Lane(partition, Op::MoveStart(to)),
        LogCommand::Truncate { partition, to } => Split::Lane(partition, Op::Truncate(to)),
        LogCommand::Retain {
            partition,
            older_than,
            bytes_max,
            below,
        } => Split::Lane(
            partition,
            Op::Retain {
                older_than,
                bytes_max,
                below,
            },
        ),
        LogCommand::ExpireProducers { partition, oldest } => {
            Split::Lane(partition, Op::Expire(oldest))
        }
        read @ (LogCommand::Read { .. } | LogCommand::FindTime { .. }) => Split::Read(read),
        control => Split::Control(control),
    }
}

#[cfg(test)]
mod tests;
