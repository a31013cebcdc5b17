//! Opening: from the catalog and the lane files' indexes to the books (design rules 1 to 7).
//!
//! It never reads a batch. Files the catalog does not name are unlinked; a gap or an overlap of
//! offsets that no mark explains takes that partition offline and nothing else.

use crate::book::{Book, FileInfo, FileState, Part, Segment, Slot};
use crate::catalog::{
    CATALOG_NEW, Catalog, Contents, OpenError, SharedDisk, file_name, is_file_name,
};
use crate::config::StoreConfig;
use crate::core::Core;
use crate::entry::PlacedRun;
use crate::files::OpenFile;
use crate::kv::KvError;
use crate::lane::{self, LaneContents, OpenedLane, open_rolled};
use crate::layout::FileRole;
use crate::limits::{LANE_CACHE_BYTES, READ_CACHE_BYTES};
use crate::rows::FileRow;
use std::collections::{BTreeMap, BTreeSet};
use weir_types::{Offset, StorePartition};

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Partitions there are.
    pub partitions: usize,
    /// Files of the log.
    pub files: usize,
    /// Lane files that had not been closed and were repaired.
    pub repaired: usize,
    /// Files that no longer belonged to the log and were unlinked.
    pub unlinked: usize,
    /// Whatever a person should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Lane files by their number, as opening found them.
type Lanes = BTreeMap<u32, OpenedLane>;

/// How lane files are opened: one after another, or several at once.
pub(crate) type OpenLanes<'a> =
    &'a dyn Fn(&[(u32, FileRow)], &(dyn Fn(u32, &FileRow) -> OneLane + Sync)) -> Vec<OneLane>;

/// The outcome of opening one lane file.
pub(crate) type OneLane = (u32, Result<OpenedLane, KvError>);

/// Opens lane files one after another.
pub(crate) fn one_by_one(
    files: &[(u32, FileRow)],
    open: &(dyn Fn(u32, &FileRow) -> OneLane + Sync),
) -> Vec<OneLane> {
    files.iter().map(|(id, row)| open(*id, row)).collect()
}

/// Opens the store in `disk`, or makes one.
pub(crate) fn open(
    disk: &SharedDisk,
    config: StoreConfig,
    open_lanes: OpenLanes<'_>,
) -> Result<(Core, OpenReport), OpenError> {
    let (catalog, contents) = Catalog::open(&**disk, config.new_store_id)?;
    let mut report = OpenReport {
        partitions: contents.partitions.len(),
        files: contents.files.len(),
        unlinked: unlink_strangers(disk, &contents)?,
        ..OpenReport::default()
    };
    let lanes = read_lanes(disk, catalog.store(), &contents, open_lanes)?;
    report.repaired = lanes.values().filter(|lane| lane.repaired).count();
    check_witnesses(&contents, &lanes, &mut report);
    let mut last_commit = lanes
        .values()
        .map(|lane| lane.contents.footer.last_commit)
        .max()
        .unwrap_or(0);
    let cuts = contents.files.values().filter_map(|row| row.cut);
    let marks = contents.partitions.values().map(|row| row.as_of);
    last_commit = cuts.chain(marks).fold(last_commit, u64::max);
    let book = write_book(contents, lanes, &mut report);
    let core = Core::new(disk.clone(), config, catalog, book, last_commit);
    core.finish_open();
    Ok((core, report))
}

/// Opens the store without changing anything, for tools.
pub(crate) fn open_for_tools(
    disk: &SharedDisk,
    config: StoreConfig,
) -> Result<(Core, OpenReport), OpenError> {
    let (catalog, contents) = Catalog::open_overlaid(&**disk)?;
    let mut report = OpenReport {
        partitions: contents.partitions.len(),
        files: contents.files.len(),
        ..OpenReport::default()
    };
    let mut lanes = Lanes::new();
    let mut open = Vec::new();
    for (id, row) in &contents.files {
        if row.role == FileRole::Lane {
            let (kv, found) = lane::open_for_tools(disk, catalog.store(), *id, row)
                .map_err(|error| OpenError::kv(&file_name(*id, row), error))?;
            open.push((*id, kv));
            let opened = OpenedLane {
                contents: found,
                repaired: false,
            };
            lanes.insert(*id, opened);
        }
    }
    check_witnesses(&contents, &lanes, &mut report);
    let book = write_book(contents, lanes, &mut report);
    let core = Core::new(disk.clone(), config, catalog, book, 0);
    for (id, kv) in open {
        core.files.pin(id, OpenFile::new(kv));
    }
    core.finish_open();
    Ok((core, report))
}

fn unlink_strangers(disk: &SharedDisk, contents: &Contents) -> Result<usize, OpenError> {
    let known: BTreeSet<String> = contents
        .files
        .iter()
        .map(|(id, row)| file_name(*id, row))
        .collect();
    let names = disk
        .list()
        .map_err(|error| OpenError::io("the folder", &error))?;
    for name in &known {
        if !names.contains(name) {
            return Err(OpenError::Damaged {
                file: name.clone(),
                reason: "the catalog names it and it is not there".to_owned(),
            });
        }
    }
    let mut unlinked = 0;
    for name in names {
        let stranger = is_file_name(&name) && !known.contains(&name);
        if stranger || name == CATALOG_NEW {
            disk.remove(&name)
                .map_err(|error| OpenError::io(&name, &error))?;
            unlinked += 1;
        }
    }
    Ok(unlinked)
}

fn read_lanes(
    disk: &SharedDisk,
    store: u64,
    contents: &Contents,
    open_lanes: OpenLanes<'_>,
) -> Result<Lanes, OpenError> {
    let files: Vec<(u32, FileRow)> = contents
        .files
        .iter()
        .filter(|(_, row)| row.role == FileRole::Lane)
        .map(|(id, row)| (*id, *row))
        .collect();
    let cache_bytes = LANE_CACHE_BYTES.max(READ_CACHE_BYTES);
    let open_one = |id: u32, row: &FileRow| (id, open_rolled(disk, store, id, row, cache_bytes));
    let mut lanes = Lanes::new();
    for (id, result) in open_lanes(&files, &open_one) {
        let row = contents.files.get(&id);
        let name = row.map_or_else(String::new, |row| file_name(id, row));
        lanes.insert(id, result.map_err(|error| OpenError::kv(&name, error))?);
    }
    Ok(lanes)
}

/// A file that comes back without a commit that another file saw flushed has fallen back to an
/// older root without a word (design rule 7).
fn check_witnesses(contents: &Contents, lanes: &Lanes, report: &mut OpenReport) {
    let mut seen: BTreeMap<u32, u64> = BTreeMap::new();
    for lane in lanes.values() {
        for (file, commit) in &lane.contents.witness {
            let known = seen.entry(*file).or_default();
            *known = (*known).max(*commit);
        }
    }
    for (file, commit) in seen {
        let Some(lane) = lanes.get(&file) else {
            continue;
        };
        let cut = contents.files.get(&file).and_then(|row| row.cut);
        let last = lane.contents.footer.last_commit;
        if last < commit && cut.is_none_or(|cut| commit < cut) {
            report.warnings.push(format!(
                "lane file {file} lost flushed commits after {last}: {commit} was seen there"
            ));
        }
    }
}

fn write_book(contents: Contents, lanes: Lanes, report: &mut OpenReport) -> Book {
    let mut book = Book::default();
    for (id, row) in &contents.files {
        let mut info = FileInfo::new(*row, FileState::Sealed);
        if let Some(lane) = lanes.get(id) {
            let footer = lane.contents.footer;
            info.bytes = footer.bytes;
            info.batches = footer.batches;
            info.first_commit = footer.first_commit;
            info.last_commit = footer.last_commit;
        }
        if let Some(segments) = contents.segments.get(id) {
            info.bytes = segments.iter().map(|segment| segment.bytes).sum();
            info.batches = segments.iter().map(|segment| segment.batches).sum();
        }
        book.files.insert(*id, info);
    }
    let mut runs = sort_runs(lanes);
    let mut segments: BTreeMap<StorePartition, Vec<Segment>> = BTreeMap::new();
    for (file, rows) in contents.segments {
        for row in rows {
            segments.entry(row.partition).or_default().push(Segment {
                file,
                row,
                dead_bytes: 0,
                stale: false,
            });
        }
    }
    let mut producers = contents.producers;
    for (number, row) in contents.partitions {
        let snapshots = producers.remove(&number).unwrap_or_default();
        let mut part = Part::from_row(row.clone(), snapshots);
        part.segments = segments.remove(&number).unwrap_or_default();
        part.segments.sort_by_key(|segment| segment.row.base);
        let mine = runs.remove(&number).unwrap_or_default();
        if let Err(reason) = rebuild(&mut book, &mut part, mine) {
            let (topic, index) = (part.topic, part.index);
            report.warnings.push(format!(
                "partition {index} of topic {topic} is offline: {reason}"
            ));
            part.offline = Some(reason);
        }
        if part.row() != row {
            // What the lane files added must reach the catalog before they leave (rule 2).
            book.dirty.insert(number);
        }
        for slot in &part.slots {
            if let Some(info) = book.files.get_mut(&slot.file) {
                info.live_bytes += u64::from(slot.meta.size_bytes);
            }
        }
        for segment in &part.segments {
            if let Some(info) = book.files.get_mut(&segment.file) {
                info.live_bytes += segment.row.bytes;
            }
        }
        book.names.insert((part.topic, part.index), number);
        book.parts.insert(number, part);
    }
    book
}

/// The runs of every partition with their files, in order of their commits.
fn sort_runs(lanes: Lanes) -> BTreeMap<StorePartition, Vec<(u32, PlacedRun)>> {
    let mut runs: BTreeMap<StorePartition, Vec<(u32, PlacedRun)>> = BTreeMap::new();
    for (file, lane) in lanes {
        let LaneContents { runs: mine, .. } = lane.contents;
        for (partition, placed) in mine {
            let all = runs.entry(partition).or_default();
            all.extend(placed.into_iter().map(|run| (file, run)));
        }
    }
    for all in runs.values_mut() {
        all.sort_by_key(|(_, run)| run.commit);
    }
    runs
}

/// Plays a partition's runs over what the catalog knew of it.
fn rebuild(book: &mut Book, part: &mut Part, runs: Vec<(u32, PlacedRun)>) -> Result<(), String> {
    let old_marks = part.truncations.clone();
    let mut old_marks = old_marks.iter().peekable();
    let mut outcome = Ok(());
    for (file, placed) in runs {
        while let Some((commit, to)) = old_marks.peek()
            && *commit < placed.commit
        {
            drop_slots(part, *to);
            old_marks.next();
        }
        let done = play(part, file, &placed);
        outcome = outcome.and(done);
    }
    for (_, to) in old_marks {
        drop_slots(part, *to);
    }
    part.truncations.sort_unstable();
    part.truncations.dedup();
    trim_segments(book, part);
    let mut no_files = BTreeMap::new();
    Book::drop_before_start(&mut no_files, part);
    part.trim_epochs_front();
    outcome.and_then(|()| check_cover(part))
}

fn play(part: &mut Part, file: u32, placed: &PlacedRun) -> Result<(), String> {
    let new = placed.commit > part.as_of;
    let mut outcome = Ok(());
    let mut position = placed.position;
    for meta in &placed.run.batches {
        if new {
            if meta.base_offset != part.end && outcome.is_ok() {
                outcome = Err(format!(
                    "commit {} continues at offset {} where the log ends at {}",
                    placed.commit, meta.base_offset, part.end
                ));
            }
            part.note_batch(meta);
        }
        part.slots.push_back(Slot {
            meta: *meta,
            commit: placed.commit,
            file,
            first_key: placed.first_key,
            blob_len: placed.blob_len,
            position,
        });
        position = position.saturating_add(meta.size_bytes);
    }
    if let Some(start) = placed.run.start {
        part.start = part.start.max(start);
        if new {
            part.end = part.end.max(start);
            part.trim_epochs_front();
        }
    }
    if let Some(to) = placed.run.truncate {
        drop_slots(part, to);
        part.truncations.push((placed.commit, to));
        if new {
            part.end = to;
            part.epochs.retain(|(_, offset)| *offset < to);
            part.truncate_producers(to);
            if part.max_timestamp.is_some_and(|(_, offset)| offset >= to) {
                part.max_timestamp = None;
            }
        }
    }
    if new {
        part.as_of = placed.commit;
    }
    outcome
}

fn drop_slots(part: &mut Part, to: Offset) {
    while let Some(slot) = part.slots.back()
        && slot.meta.last_offset >= to
    {
        part.slots.pop_back();
    }
}

/// A truncation cuts the segments that were written from batches before it (design rule 4).
fn trim_segments(book: &mut Book, part: &mut Part) {
    let truncations = std::mem::take(&mut part.truncations);
    part.segments.retain_mut(|segment| {
        let newer = truncations
            .iter()
            .filter(|(commit, _)| *commit > segment.row.commit_max);
        let Some(to) = newer.map(|(_, to)| *to).min() else {
            return true;
        };
        if segment.row.end > to {
            segment.row.end = to.max(segment.row.base);
            segment.stale = true;
            book.dirty_files.insert(segment.file);
        }
        segment.row.base < segment.row.end
    });
    part.truncations = truncations;
}

/// Every offset from start to end lies in exactly one batch.
fn check_cover(part: &Part) -> Result<(), String> {
    let slots = part
        .slots
        .iter()
        .map(|slot| (slot.meta.base_offset, slot.meta.next_offset()));
    let segments = part.segments.iter().map(|s| (s.row.base, s.row.end));
    let mut ranges: Vec<(Offset, Offset)> = slots.chain(segments).collect();
    ranges.sort_unstable();
    let mut at = part.start;
    for (index, (base, end)) in ranges.into_iter().enumerate() {
        if base > at {
            return Err(format!("offsets {at} to {base} are missing"));
        }
        if base < at && index > 0 {
            return Err(format!("offsets {base} to {} are there twice", at.min(end)));
        }
        at = end;
    }
    if at == part.end {
        Ok(())
    } else {
        Err(format!("offsets {at} to {} are missing", part.end))
    }
}

impl Core {
    /// What opening still has to read: indexes at starts and cuts, producers.
    fn finish_open(&self) {
        let partitions: Vec<StorePartition> = self.book().parts.keys().copied().collect();
        for partition in partitions {
            self.settle(partition);
            self.find_lost_producers(partition);
            if let Some(part) = self.book().parts.get_mut(&partition)
                && part.max_timestamp.is_none()
            {
                part.find_max_timestamp();
            }
        }
    }
}
