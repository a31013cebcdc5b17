//! The rewriter: rolled lane files, and history files that are mostly dead, become history files
//! sorted by (partition, offset); files with nothing alive leave the log.
//!
//! It works in steps of bounded memory. One catalog commit publishes its outputs and retires its
//! inputs (design rule 1); until then outputs are nobody's. It must never drop a batch that can
//! still be read, and never blocks a lane: the book is locked only to look and to swap.

use crate::book::{FileInfo, FileState, Segment};
use crate::catalog::file_name;
use crate::core::Core;
use crate::history::{Group, HistoryBatch, HistoryWriter, read_block};
use crate::kv::{Kv, KvError};
use crate::layout::{FileHeader, FileRole, piece_at, piece_data};
use crate::limits::{
    REWRITE_ALIVE_PERCENT_MIN, REWRITE_INPUTS_MAX, REWRITE_ROOM_BYTES_MIN, REWRITE_ROOM_PERCENT,
    REWRITE_RUN_BYTES, WRITER_CACHE_BYTES,
};
use crate::publish::Output;
use crate::read::{Located, check_batches, located};
use crate::rows::FileRow;
use crate::stats::Counters;
use std::collections::{BTreeMap, BTreeSet};
use weir_types::{Offset, StorePartition};

/// What a step of the rewriter did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewriteStep {
    /// There is nothing to do.
    Idle,
    /// It sealed, sorted or wrote something; there may be more.
    Worked,
    /// It published history, or took dead files out of the log.
    Published,
}

/// Why a step was given up; the log is as it was.
#[derive(Debug)]
struct StepError {
    /// The input that cannot be read, where it was one.
    input: Option<u32>,
    error: KvError,
}

impl From<KvError> for StepError {
    fn from(error: KvError) -> Self {
        Self { input: None, error }
    }
}

/// The rewriter between two steps.
#[derive(Debug, Default)]
pub(crate) struct Rewriter {
    job: Option<Job>,
    /// Inputs that could not be read; left alone until the store is opened again.
    stuck: BTreeSet<u32>,
    /// The last job was given up: the next takes one input, which needs the least room, and all
    /// the room there is.
    cautious: bool,
}

#[derive(Debug)]
struct Job {
    inputs: BTreeMap<u32, FileRow>,
    /// Where the next step begins.
    at: (StorePartition, Offset),
    writer: Option<HistoryWriter>,
    /// The file it writes, from before it is made until it is an output: if the job is given up,
    /// it is removed.
    writing: Option<(u32, FileRow)>,
    outputs: Vec<Output>,
    /// Bytes on the disk that what is still to be written may take.
    room_bytes: u64,
    /// For each partition: the last commit that was flushed when its batches were collected.
    seen: BTreeMap<StorePartition, u64>,
    /// Room for what one step sorts, used again by the next.
    sorted: Vec<u8>,
}

/// A batch on its way, and the file it lies in.
#[derive(Clone, Copy, Debug)]
struct Source {
    partition: StorePartition,
    file: u32,
    located: Located,
}

/// Something to be collected, found without IO.
enum Item {
    Slot(Source),
    Segment(StorePartition, Segment, Offset),
}

impl Rewriter {
    /// Does a bounded piece of work. Without `sorting` only what is quick and gives something
    /// back: sealing (a kill then finds less to repair) and letting dead files go.
    pub(crate) fn step(&mut self, core: &Core, sorting: bool) -> RewriteStep {
        if core.dead().is_some() {
            // What is sorted now could not be published.
            return RewriteStep::Idle;
        }
        match self.try_step(core, sorting) {
            Ok(step) => step,
            Err(StepError { input, error }) => {
                tracing::error!(?input, %error, "rewriting was given up; nothing is lost");
                self.stuck.extend(input);
                self.cautious = self.job.is_some();
                self.abandon(core);
                RewriteStep::Idle
            }
        }
    }

    fn try_step(&mut self, core: &Core, sorting: bool) -> Result<RewriteStep, StepError> {
        if core.seal_rolled()? {
            return Ok(RewriteStep::Worked);
        }
        let dead = self.dead_files(core);
        if !dead.is_empty() {
            core.publish(&dead, Vec::new(), &BTreeMap::new())?;
            core.sweep()?;
            return Ok(RewriteStep::Published);
        }
        core.sweep()?;
        if !sorting {
            if let Some(job) = &mut self.job {
                // It may take long before it goes on.
                job.sorted = Vec::new();
            }
            return Ok(RewriteStep::Idle);
        }
        if self.job.is_none() {
            self.job = self.choose(core)?;
        }
        let Some(job) = self.job.as_mut() else {
            return Ok(RewriteStep::Idle);
        };
        if job.write_next(core)? {
            return Ok(RewriteStep::Worked);
        }
        job.finish_file()?;
        if !job.outputs.is_empty() {
            // The outputs' names must outlive a loss of power before the catalog uses them.
            core.disk.sync_dir().map_err(KvError::from)?;
        }
        if let Some(job) = self.job.take() {
            core.publish(&job.inputs, job.outputs, &job.seen)?;
            self.cautious = false;
            core.sweep()?;
        }
        Ok(RewriteStep::Published)
    }

    /// Throws the outputs of the current job away.
    fn abandon(&mut self, core: &Core) {
        let Some(job) = self.job.take() else { return };
        drop(job.writer);
        let done = job.outputs.iter().map(|output| (output.id, output.row));
        for (id, row) in done.chain(job.writing) {
            core.remove_unused(&file_name(id, &row));
        }
    }

    /// Files the rewriter may take: nobody writes them and no partition in them is offline.
    fn free_files(&self, core: &Core) -> BTreeMap<u32, FileInfo> {
        let book = core.book();
        let mut files = book.files.clone();
        files.retain(|id, info| {
            matches!(info.state, FileState::Sealed | FileState::Broken) && !self.stuck.contains(id)
        });
        for part in book.parts.values().filter(|part| part.offline.is_some()) {
            for slot in &part.slots {
                files.remove(&slot.file);
            }
            for segment in &part.segments {
                files.remove(&segment.file);
            }
        }
        files
    }

    fn dead_files(&self, core: &Core) -> BTreeMap<u32, FileRow> {
        let files = self.free_files(core).into_iter();
        let mine = |id: &u32| {
            let job = self.job.as_ref();
            job.is_some_and(|job| job.inputs.contains_key(id))
        };
        let dead = files.filter(|(id, info)| info.live_bytes == 0 && !mine(id));
        dead.map(|(id, info)| (id, info.row)).collect()
    }

    /// The inputs of the next job: as many as there is room for what is alive in them, since
    /// nothing is given back before all of it is written.
    fn choose(&self, core: &Core) -> Result<Option<Job>, KvError> {
        let files = self.free_files(core);
        let mostly_dead = |info: &FileInfo| {
            info.live_bytes.saturating_mul(100)
                < info.bytes.saturating_mul(REWRITE_ALIVE_PERCENT_MIN)
        };
        let mut lane_bytes = 0u64;
        let lane_bytes_wanted = lane_bytes_wanted(core);
        let lanes = files
            .iter()
            .filter(|(_, info)| info.row.role == FileRole::Lane)
            .take(REWRITE_INPUTS_MAX)
            .take_while(|(_, info)| {
                let before = lane_bytes;
                lane_bytes += info.live_bytes;
                before == 0 || before < lane_bytes_wanted
            });
        let history = files
            .iter()
            .filter(|(_, info)| info.row.role == FileRole::History && mostly_dead(info))
            .take(REWRITE_INPUTS_MAX);
        let wanted: Vec<(u32, FileInfo)> = lanes
            .chain(history)
            .map(|(id, info)| (*id, *info))
            .collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let needed = wanted.iter().map(|(_, info)| room_for(info.live_bytes));
        let needed = if self.cautious {
            u64::MAX
        } else {
            REWRITE_ROOM_BYTES_MIN + needed.sum::<u64>()
        };
        let free = core.disk.make_room(needed)?;
        let mut room_bytes = REWRITE_ROOM_BYTES_MIN;
        let mut inputs: BTreeMap<u32, FileRow> = BTreeMap::new();
        for (id, info) in &wanted {
            let with = room_bytes + room_for(info.live_bytes);
            if with <= free && !self.cautious {
                room_bytes = with;
                inputs.insert(*id, info.row);
            }
        }
        if inputs.is_empty()
            && let Some((id, info)) = wanted.iter().min_by_key(|(_, info)| info.live_bytes)
        {
            // It may fit all the same; if not, it is tried again when there is more room.
            room_bytes += room_for(info.live_bytes);
            inputs.insert(*id, info.row);
        }
        Ok(Some(Job {
            inputs,
            at: (StorePartition(0), Offset(i64::MIN)),
            writer: None,
            writing: None,
            outputs: Vec::new(),
            room_bytes,
            seen: BTreeMap::new(),
            sorted: Vec::new(),
        }))
    }
}

/// How many bytes of lane files are worth being sorted together: each step goes through all of
/// them for its share of the partitions, so that more than long runs need is read for nothing.
fn lane_bytes_wanted(core: &Core) -> u64 {
    let book = core.book();
    let waiting = book.parts.values().filter(|part| !part.slots.is_empty());
    REWRITE_RUN_BYTES.saturating_mul(waiting.count() as u64)
}

/// Bytes on the disk that sorted batches of so many bytes may take.
fn room_for(live_bytes: u64) -> u64 {
    (live_bytes / 100).saturating_mul(REWRITE_ROOM_PERCENT) + REWRITE_ROOM_PERCENT
}

impl Job {
    /// Sorts and writes the next bounded group; false when nothing is left.
    fn write_next(&mut self, core: &Core) -> Result<bool, StepError> {
        let budget = core.config.rewrite_memory_bytes;
        let items = self.collect(core, budget);
        let sources = self.expand(core, items, budget)?;
        let Some(last) = sources.last() else {
            return Ok(false);
        };
        let next = (last.partition, last.located.meta.next_offset());
        copy_out(core, &self.inputs, &sources, &mut self.sorted)?;
        let len = self.sorted.len() as u64;
        self.write_groups(core, &sources)?;
        self.room_bytes = self.room_bytes.saturating_sub(room_for(len));
        Counters::add(&core.counters.rewritten_bytes, len);
        self.at = next;
        Ok(true)
    }

    /// Writes the sorted bytes of `sources` to the file that is being written, or to a new one.
    fn write_groups(&mut self, core: &Core, sources: &[Source]) -> Result<(), StepError> {
        let full = self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.bytes() >= core.config.history_file_bytes);
        if full {
            self.finish_file()?;
        }
        if self.writer.is_none() {
            // Lanes may have taken room meanwhile.
            core.disk
                .make_room(self.room_bytes)
                .map_err(KvError::from)?;
            let (id, row) = self.writing.insert(core.next_history_file());
            self.writer = Some(core.new_history_file(*id, row)?);
        }
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut rest = self.sorted.as_slice();
        for same in sources.chunk_by(|a, b| a.partition == b.partition) {
            let len: usize = same
                .iter()
                .map(|s| s.located.meta.size_bytes as usize)
                .sum();
            let (mine, later) = rest.split_at(len);
            rest = later;
            groups.push(Group {
                partition: same.first().map_or(StorePartition(0), |s| s.partition),
                batches: same.iter().map(|s| HistoryBatch::of(&s.located)).collect(),
                bytes: mine,
            });
        }
        if let Some(writer) = self.writer.as_mut() {
            writer.add(&groups)?;
        }
        Ok(())
    }

    fn finish_file(&mut self) -> Result<(), KvError> {
        if let Some(writer) = self.writer.take() {
            let segments = writer.finish()?;
            let written = self.writing.take();
            self.outputs
                .extend(written.map(|(id, row)| Output { id, row, segments }));
        }
        Ok(())
    }

    /// What comes next in the inputs, in order, a little more than `budget` bytes of it.
    fn collect(&mut self, core: &Core, budget: usize) -> Vec<Item> {
        let book = core.book();
        let mut items = Vec::new();
        let mut bytes = 0u64;
        for (partition, part) in book.parts.range(self.at.0..) {
            let from = if *partition == self.at.0 {
                self.at.1
            } else {
                Offset(i64::MIN)
            };
            let first = part
                .slots
                .partition_point(|slot| slot.meta.base_offset < from);
            let mut slots = part
                .slots
                .range(first..)
                .filter(|slot| self.inputs.contains_key(&slot.file))
                .peekable();
            let mut segments = part
                .segments
                .iter()
                .filter(|s| self.inputs.contains_key(&s.file) && s.row.end > from)
                .peekable();
            if slots.peek().is_none() && segments.peek().is_none() {
                continue;
            }
            self.seen.entry(*partition).or_insert(part.as_of);
            loop {
                let slot_first = match (slots.peek(), segments.peek()) {
                    (None, None) => break,
                    (Some(slot), Some(segment)) => slot.meta.base_offset < segment.row.base,
                    (Some(_), None) => true,
                    (None, Some(_)) => false,
                };
                if slot_first {
                    if let Some(slot) = slots.next() {
                        bytes += u64::from(slot.meta.size_bytes);
                        items.push(Item::Slot(Source {
                            partition: *partition,
                            file: slot.file,
                            located: Located {
                                meta: slot.meta,
                                commit: slot.commit,
                                place: slot.place(),
                            },
                        }));
                    }
                } else if let Some(segment) = segments.next() {
                    bytes += segment.row.bytes;
                    let from = from.max(part.start);
                    items.push(Item::Segment(*partition, *segment, from));
                }
                if bytes >= budget as u64 {
                    return items;
                }
            }
        }
        items
    }

    /// Reads the indexes of segments; stops when `budget` bytes of batches are found.
    fn expand(
        &self,
        core: &Core,
        items: Vec<Item>,
        budget: usize,
    ) -> Result<Vec<Source>, StepError> {
        let mut sources: Vec<Source> = Vec::new();
        let mut bytes = 0usize;
        let mut add = |source: Source| {
            let size = source.located.meta.size_bytes as usize;
            if bytes > 0 && bytes + size > budget {
                return false;
            }
            bytes += size;
            sources.push(source);
            true
        };
        'items: for item in items {
            match item {
                Item::Slot(source) => {
                    if !add(source) {
                        break 'items;
                    }
                }
                Item::Segment(partition, segment, from) => {
                    let file = segment.file;
                    let fail = |error| StepError {
                        input: Some(file),
                        error,
                    };
                    let row = self.inputs.get(&file).copied();
                    let row = row.ok_or_else(|| fail(KvError::damaged("no such input")))?;
                    let lease = core.files.lease(file, &row).map_err(fail)?;
                    let directory = lease.directory(segment.row.ordinal).map_err(fail)?;
                    let first = directory.partition_point(|block| block.end <= from);
                    for reference in directory.get(first..).unwrap_or_default() {
                        let block = read_block(&lease.kv, reference.key).map_err(fail)?;
                        for located in located(&block) {
                            let meta = &located.meta;
                            if meta.last_offset < from {
                                continue;
                            }
                            if meta.next_offset() > segment.row.end {
                                break;
                            }
                            let source = Source {
                                partition,
                                file,
                                located,
                            };
                            if !add(source) {
                                break 'items;
                            }
                        }
                    }
                }
            }
        }
        Ok(sources)
    }
}

impl HistoryBatch {
    fn of(located: &Located) -> Self {
        Self {
            meta: located.meta,
            commit: located.commit,
        }
    }
}

/// A part of a value that goes to one place of the sorted bytes.
struct Fragment {
    key: u64,
    from: usize,
    len: usize,
    to: usize,
}

/// Copies batches out of their files into `out`, each value read once, in the order of `sources`;
/// checks every batch.
fn copy_out(
    core: &Core,
    inputs: &BTreeMap<u32, FileRow>,
    sources: &[Source],
    out: &mut Vec<u8>,
) -> Result<(), StepError> {
    let mut fragments: BTreeMap<u32, Vec<Fragment>> = BTreeMap::new();
    let mut total = 0usize;
    for source in sources {
        let place = source.located.place;
        let mine = fragments.entry(source.file).or_default();
        let mut at = place.position as usize;
        let mut left = place.len as usize;
        while left > 0 {
            let (number, start, piece) = piece_at(place.blob_len as usize, at);
            let len = left.min((start + piece).saturating_sub(at));
            if len == 0 {
                return Err(StepError {
                    input: Some(source.file),
                    error: KvError::damaged("a batch lies outside of its blob"),
                });
            }
            mine.push(Fragment {
                key: place.first_key + number,
                from: at - start,
                len,
                to: total,
            });
            total += len;
            at += len;
            left -= len;
        }
    }
    // The fragments cover all of it, so that nothing is left of the step before.
    out.resize(total, 0);
    for (file, mut mine) in fragments {
        mine.sort_unstable_by_key(|fragment| (fragment.key, fragment.from));
        let row = inputs.get(&file).copied();
        let copied = row
            .ok_or_else(|| KvError::damaged("no such input"))
            .and_then(|row| core.files.lease(file, &row))
            .and_then(|lease| copy_fragments(&lease.kv, &mine, out));
        copied.map_err(|error| StepError {
            input: Some(file),
            error,
        })?;
    }
    let mut rest = out.as_slice();
    for source in sources {
        let (mine, later) = rest.split_at(source.located.meta.size_bytes as usize);
        rest = later;
        check_batches(mine, std::slice::from_ref(&source.located)).map_err(|error| StepError {
            input: Some(source.file),
            error: KvError::damaged(error.to_string()),
        })?;
    }
    Ok(())
}

fn copy_fragments(kv: &Kv, fragments: &[Fragment], out: &mut [u8]) -> Result<(), KvError> {
    kv.read(|view| {
        for same in fragments.chunk_by(|a, b| a.key == b.key) {
            let Some(first) = same.first() else { continue };
            let copied = view.need(first.key, |value| {
                let data = piece_data(value)?;
                for fragment in same {
                    let from = data.get(fragment.from..fragment.from + fragment.len)?;
                    out.get_mut(fragment.to..fragment.to + fragment.len)?
                        .copy_from_slice(from);
                }
                Some(())
            })?;
            if copied.is_none() {
                let key = first.key;
                return Err(KvError::damaged(format!(
                    "value {key:#x} is not what was written"
                )));
            }
        }
        Ok(())
    })
}

impl Core {
    fn next_history_file(&self) -> (u32, FileRow) {
        let row = FileRow {
            role: FileRole::History,
            generation: 0,
            cut: None,
        };
        (self.catalog().take_file(), row)
    }

    fn new_history_file(&self, id: u32, row: &FileRow) -> Result<HistoryWriter, KvError> {
        let name = file_name(id, row);
        let kv = Kv::open(self.disk.create(&name)?, WRITER_CACHE_BYTES)?;
        let header = FileHeader {
            store: self.store,
            file: id,
            role: FileRole::History,
        };
        HistoryWriter::new(kv, header)
    }

    /// Removes a file that did not become part of the log.
    pub(crate) fn remove_unused(&self, name: &str) {
        match self.disk.remove(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(name, %error, "a file that is not used is left until a restart");
            }
            _ => {}
        }
    }
}
