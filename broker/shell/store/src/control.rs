//! Everything of the store that is not a commit: open and delete partitions, answer reads, close,
//! count.
//!
//! Functions without threads or clocks, as `core.rs`; a change of partitions is one catalog
//! commit.

use crate::book::{FileState, Part};
use crate::catalog::Edit;
use crate::core::{Core, Events, Lane};
use crate::kv::KvError;
use crate::layout::FileRole;
use crate::limits::REWRITE_BACKLOG_BATCHES_MAX;
use crate::stats::{FileStats, StoreStats};
use std::sync::PoisonError;
use weir_types::{
    Offset, PartitionIndex, ShardId, StorePartition, TopicId,
    log::{LogCommand, LogEvent},
};

impl Core {
    /// Carries out an `Open` or a `Delete`.
    pub(crate) fn control(&self, route: ShardId, command: LogCommand) -> Vec<(ShardId, LogEvent)> {
        match command {
            LogCommand::Open { replicas } => self.open_partitions(route, &replicas),
            LogCommand::Delete { partitions } => {
                self.delete_partitions(&partitions);
                Vec::new()
            }
            other => {
                tracing::error!(?other, "the store does not know this command");
                Vec::new()
            }
        }
    }

    /// Carries out a `Read` or a `FindTime`; `submitted_end` is the end with what no lane has
    /// flushed yet.
    pub(crate) fn answer(
        &self,
        route: ShardId,
        command: LogCommand,
        submitted_end: Option<Offset>,
    ) -> Option<(ShardId, LogEvent)> {
        let event = match command {
            LogCommand::Read {
                token,
                partition,
                from,
                below,
                bytes_max,
            } => LogEvent::ReadDone {
                token,
                batches: self.read(partition, from, below, bytes_max, submitted_end),
            },
            LogCommand::FindTime {
                token,
                partition,
                timestamp,
                below,
            } => LogEvent::TimeFound {
                token,
                batch: self.find_time(partition, timestamp, below),
            },
            _ => return None,
        };
        Some((route, event))
    }

    /// Opens partitions, making those that do not exist: one catalog commit.
    pub(crate) fn open_partitions(
        &self,
        route: ShardId,
        replicas: &[(TopicId, PartitionIndex)],
    ) -> Events {
        let mut edit = Edit::default();
        let mut made = Vec::new();
        let mut catalog = self.catalog();
        {
            let book = self.book();
            for (topic, index) in replicas {
                let known = book.names.contains_key(&(*topic, *index));
                if !known
                    && !made
                        .iter()
                        .any(|(_, part): &(_, Part)| part.is(*topic, *index))
                {
                    let part = Part::new(*topic, *index);
                    let number = catalog.take_partition();
                    edit.partitions.insert(number, Some(part.row()));
                    made.push((number, part));
                }
            }
        }
        let failed = if made.is_empty() {
            None
        } else {
            catalog.commit(&edit).err()
        };
        if let Some(error) = &failed {
            self.die(&format!("the catalog cannot be written: {error}"));
        }
        let mut book = self.book();
        if failed.is_none() {
            for (number, part) in made {
                book.names.insert((part.topic, part.index), number);
                book.parts.insert(number, part);
            }
        }
        let answers = replicas.iter().map(|(topic, index)| {
            let number = book.names.get(&(*topic, *index)).copied();
            let part = number.and_then(|number| Some((number, book.parts.get(&number)?)));
            (route, opened(*topic, *index, part, failed.as_ref()))
        });
        answers.collect()
    }

    /// Deletes partitions: one catalog commit.
    pub(crate) fn delete_partitions(&self, partitions: &[StorePartition]) {
        let mut edit = Edit::default();
        let mut catalog = self.catalog();
        {
            let mut book = self.book();
            for partition in partitions {
                if book.delete(*partition) {
                    edit.partitions.insert(*partition, None);
                }
            }
        }
        if edit.partitions.is_empty() {
            return;
        }
        if let Err(error) = catalog.commit(&edit) {
            self.die(&format!("the catalog cannot be written: {error}"));
        }
    }

    /// Makes every rolled and active file whole and closes everything.
    pub(crate) fn close(self, lanes: Vec<Lane>) -> Result<(), KvError> {
        for mut lane in lanes {
            self.roll(&mut lane);
        }
        self.drop_spare();
        self.seal_rolled()?;
        self.files.sweep()?;
        self.files.close_all()?;
        let catalog = self
            .catalog
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        catalog.close()
    }

    /// Whether so much waits to be sorted that the rewriter shall not step aside any more.
    pub(crate) fn rewriter_is_behind(&self) -> bool {
        let (mut bytes, mut batches) = (0, 0);
        for info in self.book().files.values() {
            if info.row.role == FileRole::Lane && info.state == FileState::Sealed {
                bytes += info.live_bytes;
                batches += info.batches;
            }
        }
        bytes > self.config.rewrite_backlog_bytes || batches > REWRITE_BACKLOG_BATCHES_MAX
    }

    /// Numbers for metrics.
    pub(crate) fn stats(&self) -> StoreStats {
        let mut stats = StoreStats::default();
        self.counters.fill(&mut stats);
        stats.retired = self.files.has_retired();
        stats.pool_bytes = self.disk.pool_bytes();
        stats.open_files = self.files.open_count() as u64;
        let book = self.book();
        for info in book.files.values() {
            let kind: &mut FileStats = match info.row.role {
                FileRole::Lane => &mut stats.lane,
                FileRole::History => &mut stats.history,
            };
            kind.files += 1;
            kind.bytes += info.bytes;
            kind.live_bytes += info.live_bytes;
            if info.row.role == FileRole::Lane && info.state == FileState::Sealed {
                stats.waiting_for_rewriter += 1;
            }
        }
        stats.partitions = book.parts.len() as u64;
        let offline = book.parts.values().filter(|part| part.offline.is_some());
        stats.partitions_offline = offline.count() as u64;
        stats
    }
}

fn opened(
    topic: TopicId,
    index: PartitionIndex,
    part: Option<(StorePartition, &Part)>,
    failed: Option<&KvError>,
) -> LogEvent {
    let reason = match part {
        Some((
            _,
            Part {
                offline: Some(reason),
                ..
            },
        )) => reason.clone(),
        Some((partition, part)) => {
            return LogEvent::Opened {
                topic,
                index,
                partition,
                state: part.state(),
            };
        }
        None => failed.map_or_else(|| "it was not made".to_owned(), ToString::to_string),
    };
    LogEvent::OpenFailed {
        topic,
        index,
        reason,
    }
}
