//! The store as functions: commit what a lane took, open and delete partitions, roll and close.
//!
//! No threads and no clock; threads drive it in the broker and the simulator calls it inline.
//! Locks are taken in the order catalog, then book, and the book's is never held across IO.

use crate::book::{Book, FileInfo, FileState, Part};
use crate::catalog::{Catalog, Edit, SharedDisk, file_name};
use crate::config::StoreConfig;
use crate::entry::Run;
use crate::files::{Files, OpenFile};
use crate::kv::{Kv, KvError};
use crate::lane::{self, Blob, LaneContents, LaneFile};
use crate::layout::FileRole;
use crate::limits::{LANE_CACHE_BYTES, READ_CACHE_BYTES, ROOM_FILES_RESERVED};
use crate::queue::{Op, Taken};
use crate::rows::{FileRow, SealedRow};
use crate::stats::Counters;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use weir_types::{Batch, BatchMeta, Offset, ShardId, StorePartition, log::LogEvent};

/// Events with the shard each is for.
pub(crate) type Events = Vec<(ShardId, LogEvent)>;

/// Everything the parts of the store share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) disk: SharedDisk,
    pub(crate) config: StoreConfig,
    pub(crate) store: u64,
    pub(crate) catalog: Mutex<Catalog>,
    book: Mutex<Book>,
    pub(crate) files: Files,
    next_commit: AtomicU64,
    /// For each file that is written: the last commit flushed there.
    flushed: Mutex<BTreeMap<u32, u64>>,
    pub(crate) counters: Counters,
    /// An empty lane file, made ahead so that no commit waits for one.
    spare: Mutex<Option<LaneFile>>,
    /// Why nothing can be written any more.
    dead: Mutex<Option<String>>,
}

/// What one lane holds between commits.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    file: Option<LaneFile>,
    commits: u64,
}

impl Lane {
    /// Whether it is in the middle of a file.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }
}

/// What a commit will do to one partition, and what is told of it.
struct Prepared {
    route: ShardId,
    part: lane::Part,
    /// A start was asked for, moved or not.
    start_asked: bool,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is complete before anything can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(crate) fn new(
        disk: SharedDisk,
        config: StoreConfig,
        catalog: Catalog,
        book: Book,
        last_commit: u64,
    ) -> Self {
        let store = catalog.store();
        let files = Files::new(disk.clone(), store, config.open_files_max);
        Self {
            disk,
            config,
            store,
            catalog: Mutex::new(catalog),
            book: Mutex::new(book),
            files,
            next_commit: AtomicU64::new(last_commit + 1),
            flushed: Mutex::new(BTreeMap::new()),
            counters: Counters::default(),
            spare: Mutex::new(None),
            dead: Mutex::new(None),
        }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    pub(crate) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        lock(&self.catalog)
    }

    pub(crate) fn dead(&self) -> Option<String> {
        lock(&self.dead).clone()
    }

    pub(crate) fn die(&self, reason: &str) {
        tracing::error!(
            reason,
            "the store takes no more writes until it is opened again"
        );
        lock(&self.dead).get_or_insert_with(|| reason.to_owned());
    }

    /// Commits what a lane took: one sync. Answers what became of it.
    pub(crate) fn commit(&self, lane: &mut Lane, taken: Vec<Taken>) -> Events {
        let mut events = Events::new();
        if let Some(reason) = self.dead() {
            for taken in taken {
                self.set_offline(taken.partition, taken.route, &reason, &mut events);
            }
            return events;
        }
        let prepared: Vec<Prepared> = taken
            .into_iter()
            .filter_map(|taken| self.prepare(taken, &mut events))
            .collect();
        let (written, told): (Vec<_>, Vec<_>) =
            prepared.into_iter().partition(|p| !p.part.run.is_empty());
        for prepared in told {
            if prepared.start_asked {
                self.tell_start(prepared.part.partition, prepared.route, &mut events);
            }
        }
        if written.is_empty() {
            return events;
        }
        let (routes, parts): (Vec<_>, Vec<_>) = written
            .into_iter()
            .map(|p| ((p.route, p.start_asked), p.part))
            .unzip();
        match self.write(lane, &parts) {
            Ok((file, commit, blob)) => {
                self.enter(file, commit, blob, &parts);
                // Only now: a rolled file is the rewriter's, who trusts that the book has all
                // of it.
                self.roll_if_full(lane);
                for (part, (route, start_asked)) in parts.iter().zip(routes) {
                    self.tell(part, route, start_asked, &mut events);
                }
            }
            Err(reason) => {
                Counters::add(&self.counters.failed_commits, 1);
                for (part, (route, start_asked)) in parts.iter().zip(routes) {
                    // Whoever waits for a truncation hears where the log ends still.
                    let told = !part.run.batches.is_empty() || part.run.truncate.is_some();
                    if told || self.dead().is_some() {
                        self.tell_failed(part.partition, route, &reason, &mut events);
                    } else if start_asked {
                        // Only a start is lost. Telling a failure would take back batches that
                        // wait behind it, which begin at the end and would be written all the
                        // same.
                        self.tell_start(part.partition, route, &mut events);
                    }
                }
            }
        }
        events
    }

    /// Checks commands of one partition against its log and turns them into a run.
    fn prepare(&self, taken: Taken, events: &mut Events) -> Option<Prepared> {
        let Taken {
            partition,
            route,
            ops,
        } = taken;
        let (mut expected, mut skip_gap) = {
            let book = self.book();
            let part = book.parts.get(&partition)?;
            if let Some(reason) = &part.offline {
                let reason = reason.clone();
                events.push((route, LogEvent::Offline { partition, reason }));
                return None;
            }
            (part.end, part.skip_gap)
        };
        let mut prepared = Prepared {
            route,
            part: lane::Part {
                partition,
                batches: Vec::new(),
                run: Run::default(),
            },
            start_asked: false,
        };
        for op in ops {
            match op {
                Op::Append(_, meta) if skip_gap && meta.base_offset != expected => {}
                Op::Append(batch, meta) => {
                    if let Err(reason) = check_append(expected, &batch, &meta) {
                        self.set_offline(partition, route, &reason, events);
                        return None;
                    }
                    if skip_gap {
                        skip_gap = false;
                        if let Some(part) = self.book().parts.get_mut(&partition) {
                            part.skip_gap = false;
                        }
                    }
                    expected = meta.next_offset();
                    prepared.part.batches.push(batch);
                    prepared.part.run.batches.push(meta);
                }
                mark => self.prepare_mark(&mut prepared, mark, expected, events),
            }
        }
        Some(prepared)
    }

    fn prepare_mark(&self, prepared: &mut Prepared, op: Op, end: Offset, events: &mut Events) {
        let partition = prepared.part.partition;
        let moved = match op {
            Op::MoveStart(to) => {
                prepared.start_asked = true;
                Ok(Some(to))
            }
            Op::Retain {
                older_than,
                bytes_max,
                below,
            } => self.retained_start(partition, older_than, bytes_max, below),
            Op::Truncate(to) => {
                match self.truncation_end(partition, to, end, &prepared.part.run.batches) {
                    Ok(to) => prepared.part.run.truncate = Some(to),
                    Err(error) => {
                        let reason = format!("its index cannot be read: {error}");
                        self.set_offline(partition, prepared.route, &reason, events);
                    }
                }
                return;
            }
            Op::Expire(oldest) => {
                if let Some(part) = self.book().parts.get_mut(&partition) {
                    part.producers.expire(oldest);
                }
                return;
            }
            Op::Append(..) => return,
        };
        match moved {
            Ok(moved) => {
                let old = self.book().parts.get(&partition).map(|part| part.start);
                let moved = moved.filter(|to| old.is_some_and(|old| *to > old));
                // Several marks of one commit: the furthest counts.
                prepared.part.run.start = prepared.part.run.start.max(moved);
            }
            // Retention is asked for again; an unreadable index is told by reads.
            Err(error) => {
                tracing::warn!(partition = partition.0, %error, "retention cannot read an index");
            }
        }
    }

    /// Writes and syncs, taking a new file before or after as needed. An error says why nothing
    /// of it counts.
    fn write(&self, lane: &mut Lane, parts: &[lane::Part]) -> Result<(u32, u64, Blob), String> {
        if lane.file.is_none() {
            let spare = lock(&self.spare).take();
            let file = spare.map_or_else(|| self.new_lane_file(), Ok);
            lane.file = Some(file.map_err(|error| error.to_string())?);
        }
        let Some(file) = lane.file.as_mut() else {
            return Err("the lane has no file".to_owned());
        };
        let commit = self.next_commit.fetch_add(1, Ordering::Relaxed);
        lane.commits += 1;
        let skipped = self.config.mutants.skip_flush_every;
        let durable = skipped.is_none_or(|every| !lane.commits.is_multiple_of(every));
        let witness = lock(&self.flushed)
            .iter()
            .filter(|(id, _)| **id != file.id)
            .map(|(id, commit)| (*id, *commit))
            .collect();
        let result = if self.config.mutants.forget_start {
            file.commit(commit, witness, &without_starts(parts), durable)
        } else {
            file.commit(commit, witness, parts, durable)
        };
        let id = file.id;
        match result {
            Ok(blob) => {
                lock(&self.flushed).insert(id, commit);
                Counters::add(&self.counters.commits, 1);
                Counters::add(&self.counters.committed_bytes, u64::from(blob.len));
                Ok((id, commit, blob))
            }
            Err(error) => {
                self.break_off(lane, commit, &error);
                Err(error.to_string())
            }
        }
    }

    /// Enters a flushed commit into the books.
    fn enter(&self, file: u32, commit: u64, blob: Blob, parts: &[lane::Part]) {
        let mut truncated = Vec::new();
        {
            let mut book = self.book();
            // Before the marks of the same commit take dead bytes off again.
            count_batches(&mut book, file, parts);
            let mut position = 0u32;
            for part in parts {
                let place = (blob.first_key, blob.len, position);
                book.enter(part.partition, file, commit, place, &part.run);
                let bytes = u32::try_from(part.run.bytes()).unwrap_or(u32::MAX);
                position = position.saturating_add(bytes);
                if part.run.truncate.is_some() {
                    truncated.push(part.partition);
                }
            }
            if let Some(info) = book.files.get_mut(&file) {
                if info.first_commit == 0 {
                    info.first_commit = commit;
                }
                info.last_commit = commit;
            }
        }
        let batches: usize = parts.iter().map(|part| part.batches.len()).sum();
        Counters::add(&self.counters.committed_batches, batches as u64);
        let marked = parts
            .iter()
            .filter(|part| part.run.start.is_some() || part.run.truncate.is_some());
        for part in marked {
            self.settle(part.partition);
        }
        for partition in truncated {
            self.find_lost_producers(partition);
        }
    }

    fn tell(&self, part: &lane::Part, route: ShardId, start_asked: bool, events: &mut Events) {
        let partition = part.partition;
        if let Some(last) = part.run.batches.last() {
            let end = last.next_offset();
            events.push((route, LogEvent::Flushed { partition, end }));
        }
        if start_asked || part.run.start.is_some() {
            self.tell_start(partition, route, events);
        }
        if part.run.truncate.is_some() {
            let state = self.book().parts.get(&partition).map(Part::state);
            if let Some(state) = state {
                events.push((route, LogEvent::Truncated { partition, state }));
            }
        }
    }

    fn tell_start(&self, partition: StorePartition, route: ShardId, events: &mut Events) {
        let found = self
            .book()
            .parts
            .get(&partition)
            .map(|part| (part.start, part.size_bytes(), part.max_timestamp));
        if let Some((start, size_bytes, max_timestamp)) = found {
            events.push((
                route,
                LogEvent::StartMoved {
                    partition,
                    start,
                    size_bytes,
                    max_timestamp,
                },
            ));
        }
    }

    fn tell_failed(
        &self,
        partition: StorePartition,
        route: ShardId,
        reason: &str,
        events: &mut Events,
    ) {
        if let Some(reason) = self.dead() {
            self.set_offline(partition, route, &reason, events);
            return;
        }
        let mut book = self.book();
        if let Some(part) = book.parts.get_mut(&partition) {
            part.skip_gap = true;
            let failed = LogEvent::Failed {
                partition,
                state: part.state(),
                reason: reason.to_owned(),
            };
            events.push((route, failed));
        }
    }

    fn set_offline(
        &self,
        partition: StorePartition,
        route: ShardId,
        reason: &str,
        events: &mut Events,
    ) {
        if let Some(part) = self.book().parts.get_mut(&partition) {
            tracing::error!(
                topic = %part.topic, index = part.index.0, reason, "the partition is offline"
            );
            part.offline = Some(reason.to_owned());
            let reason = reason.to_owned();
            events.push((route, LogEvent::Offline { partition, reason }));
        }
    }

    /// Makes a lane file and enters it in the catalog: from then on it is part of the log.
    fn new_lane_file(&self) -> Result<LaneFile, KvError> {
        let needed = self
            .config
            .lane_file_bytes
            .saturating_mul(ROOM_FILES_RESERVED);
        let free = self.disk.make_room(needed)?;
        if free < needed {
            return Err(KvError::Io {
                reason: format!("the disk has {free} bytes left; {needed} are kept for rewriting"),
            });
        }
        let row = FileRow {
            role: FileRole::Lane,
            generation: 0,
            cut: None,
        };
        let mut catalog = self.catalog();
        let id = catalog.take_file();
        let cache_bytes = self.lane_cache_bytes();
        let made = LaneFile::create(&self.disk, self.store, id, row, cache_bytes);
        let file = made.inspect_err(|_| self.remove_unused(&file_name(id, &row)))?;
        let mut edit = Edit::default();
        edit.files.insert(id, Some(row));
        if let Err(error) = catalog.commit(&edit) {
            self.die(&format!("the catalog cannot be written: {error}"));
            return Err(error);
        }
        drop(catalog);
        self.files.pin(id, std::sync::Arc::clone(&file.file));
        let info = FileInfo::new(row, FileState::Active);
        self.book().files.insert(id, info);
        Ok(file)
    }

    /// Whether a lane will soon take a new file and none is ready.
    pub(crate) fn wants_spare(&self, lane: &Lane) -> bool {
        lane.file.as_ref().is_some_and(|file| {
            file.bytes >= self.config.lane_file_bytes / 2
                || file.batches >= self.config.lane_entries_max / 2
        }) && lock(&self.spare).is_none()
    }

    /// Makes a lane file ahead.
    pub(crate) fn make_spare(&self) -> Result<(), KvError> {
        if lock(&self.spare).is_some() {
            return Ok(());
        }
        let file = self.new_lane_file()?;
        let kept = lock(&self.spare).replace(file);
        if let Some(kept) = kept {
            self.give_up(&kept);
        }
        Ok(())
    }

    /// A file that no lane will write (any more) is the rewriter's.
    fn give_up(&self, file: &LaneFile) {
        lock(&self.flushed).remove(&file.id);
        if let Some(info) = self.book().files.get_mut(&file.id) {
            info.state = FileState::Rolled;
        }
    }

    /// Gives the spare file up: the store closes.
    pub(crate) fn drop_spare(&self) {
        if let Some(file) = lock(&self.spare).take() {
            self.give_up(&file);
        }
    }

    pub(crate) fn lane_cache_bytes(&self) -> usize {
        // Half of it buffers a commit, which is about two files' worth at most in small tests.
        let file = usize::try_from(self.config.lane_file_bytes).unwrap_or(usize::MAX);
        LANE_CACHE_BYTES
            .min(file.saturating_mul(4))
            .max(READ_CACHE_BYTES)
    }

    fn roll_if_full(&self, lane: &mut Lane) {
        let full = lane.file.as_ref().is_some_and(|file| {
            file.bytes >= self.config.lane_file_bytes
                || file.batches >= self.config.lane_entries_max
        });
        if full {
            self.roll(lane);
        }
    }

    /// The lane is done with its file; index and clean close come later, off the ack path.
    pub(crate) fn roll(&self, lane: &mut Lane) {
        if let Some(file) = lane.file.take() {
            Counters::add(&self.counters.rolls, 1);
            self.give_up(&file);
        }
    }

    /// A write or sync failed: the file is never written again, and what the failed commit may
    /// have left in it is declared void before anything else is written (design rule 6).
    fn break_off(&self, lane: &mut Lane, commit: u64, error: &KvError) {
        let Some(file) = lane.file.take() else { return };
        tracing::error!(file = file.id, commit, %error, "a commit failed; the lane takes a new file");
        lock(&self.flushed).remove(&file.id);
        let row = FileRow {
            cut: Some(commit),
            ..file.row
        };
        let head = file.file.kv.front().freeze();
        self.files.abandon(file.id);
        let id = file.id;
        drop(file);
        let mut edit = Edit::default();
        edit.files.insert(id, Some(row));
        if let Err(error) = self.catalog().commit(&edit) {
            self.die(&format!("the catalog cannot be written: {error}"));
        }
        if let Some(info) = self.book().files.get_mut(&id) {
            info.row = row;
            info.state = FileState::Broken;
        }
        self.read_durable(id, &row, head);
    }

    /// Reads a file whose handle failed through the root that was durable then; the repair that
    /// needs stays in memory.
    fn read_durable(&self, id: u32, row: &FileRow, head: Vec<u8>) {
        let reopened = self
            .disk
            .open(&file_name(id, row))
            .map_err(KvError::from)
            .and_then(|file| Kv::open_overlaid(file, READ_CACHE_BYTES, Some(head)));
        match reopened {
            Ok(kv) => self.files.pin(id, OpenFile::new(kv)),
            Err(error) => {
                tracing::error!(file = id, %error, "the file cannot be read until a restart");
                self.files.release(id);
            }
        }
    }

    /// Writes the index of rolled files and closes them. Answers whether it did anything.
    pub(crate) fn seal_rolled(&self) -> Result<bool, KvError> {
        let rolled: Vec<(u32, FileInfo)> = self
            .book()
            .files
            .iter()
            .filter(|(_, info)| info.state == FileState::Rolled)
            .map(|(id, info)| (*id, *info))
            .collect();
        let mut worked = false;
        let mut edit = Edit::default();
        for (id, info) in rolled {
            let front = match self.files.lease(id, &info.row) {
                Ok(lease) => lease.kv.front(),
                Err(error) => {
                    tracing::error!(file = id, %error, "a file cannot be sealed now");
                    continue;
                }
            };
            let state = match self.seal(id, &info) {
                Ok(Some(row)) => {
                    edit.sealed.insert(id, row);
                    FileState::Sealed
                }
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(file = id, %error, "a file cannot be sealed; it is read as it was");
                    // Closing syncs more than once: only now is it known which root was last.
                    let head = front.freeze();
                    self.files.abandon(id);
                    self.read_durable(id, &info.row, head);
                    FileState::Broken
                }
            };
            if let Some(info) = self.book().files.get_mut(&id) {
                info.state = state;
            }
            worked = true;
        }
        if !edit.sealed.is_empty()
            && let Err(error) = self.catalog().commit(&edit)
        {
            self.die(&format!("the catalog cannot be written: {error}"));
            return Err(error);
        }
        Ok(worked)
    }

    /// Writes a rolled file's index and closes it, if nobody reads it right now; answers what it
    /// holds once it is closed.
    fn seal(&self, id: u32, info: &FileInfo) -> Result<Option<SealedRow>, KvError> {
        let row = {
            let file = self.files.lease(id, &info.row)?;
            let contents = match LaneContents::from_index(&file.kv)? {
                Some(contents) => contents,
                None => {
                    let contents = LaneContents::from_entries(&file.kv, info.row.cut)?;
                    contents.write_index(&file.kv)?;
                    contents
                }
            };
            contents.sealed()
        };
        Ok(self.files.close(id)?.then_some(row))
    }
}

fn count_batches(book: &mut Book, file: u32, parts: &[lane::Part]) {
    let bytes: u64 = parts.iter().map(|part| part.run.bytes()).sum();
    // Batches of partitions that were deleted meanwhile are dead from the start.
    let live: u64 = parts
        .iter()
        .filter(|part| book.parts.contains_key(&part.partition))
        .map(|part| part.run.bytes())
        .sum();
    let batches: usize = parts.iter().map(|part| part.batches.len()).sum();
    if let Some(info) = book.files.get_mut(&file) {
        info.bytes += bytes;
        info.live_bytes += live;
        info.batches += batches as u64;
    }
}

/// A batch that does not continue the log would make one offset mean two records.
fn check_append(expected: Offset, batch: &Batch, meta: &BatchMeta) -> Result<(), String> {
    let header = batch.header();
    if meta.base_offset != expected {
        return Err(format!(
            "a batch at offset {} was appended where the log ends at {expected}",
            meta.base_offset
        ));
    }
    let same = header.base_offset == meta.base_offset
        && header.last_offset() == meta.last_offset
        && header.size_bytes as u64 == u64::from(meta.size_bytes)
        && meta.last_offset >= meta.base_offset;
    if same {
        Ok(())
    } else {
        Err(format!(
            "the batch at offset {} is not what is said of it",
            meta.base_offset
        ))
    }
}

/// A seeded bug: the entry lacks the moved starts.
fn without_starts(parts: &[lane::Part]) -> Vec<lane::Part> {
    parts
        .iter()
        .map(|part| lane::Part {
            partition: part.partition,
            batches: part.batches.clone(),
            run: Run {
                start: None,
                ..part.run.clone()
            },
        })
        .collect()
}
