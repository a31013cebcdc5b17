//! Opening: from the catalog and the lane files' indexes to the books (design rules 1 to 7).
//!
//! It never reads a batch. Files the catalog does not name are unlinked; a gap or an overlap of
//! offsets that no mark explains takes that partition offline and nothing else; so does a lane
//! file that cannot be opened, where the catalog knows whose records it holds. It must never
//! serve a partition that may lack a record or a mark.

use crate::book::{Book, FileInfo, FileState, Part, Segment, Slot};
use crate::catalog::{
    CATALOG_FILE, CATALOG_NEW, Catalog, Contents, Edit, OpenError, SharedDisk, file_name,
    is_file_name,
};
use crate::config::StoreConfig;
use crate::core::{Core, lock};
use crate::entry::PlacedRun;
use crate::files::OpenFile;
use crate::kv::KvError;
use crate::lane::{self, LaneContents, OpenedLane, open_rolled};
use crate::layout::FileRole;
use crate::limits::REPAIR_CACHE_BYTES;
use crate::rows::FileRow;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};
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
#[derive(Default)]
struct Lanes {
    opened: BTreeMap<u32, OpenedLane>,
    /// Why files that were sealed cannot be opened.
    lost: BTreeMap<u32, String>,
}

impl Lanes {
    /// Takes the outcome of opening a file. One that was sealed and is damaged is lost, and the
    /// rest goes on; what one that was not sealed holds nobody knows, so that nothing could be
    /// served without it.
    fn add(
        &mut self,
        contents: &Contents,
        (id, outcome): OneLane,
        report: &mut OpenReport,
    ) -> Result<(), OpenError> {
        let row = contents.files.get(&id);
        let name = row.map_or_else(String::new, |row| file_name(id, row));
        let sealed = contents.sealed.get(&id);
        let outcome = outcome.and_then(|lane| match sealed {
            Some(row) if *row != lane.contents.sealed() => Err(KvError::damaged(format!(
                "it ends with commit {} where {} was its last",
                lane.contents.footer.last_commit, row.last_commit
            ))),
            _ => Ok(lane),
        });
        match (outcome, sealed) {
            (Ok(lane), _) => {
                self.opened.insert(id, lane);
            }
            (Err(KvError::Damaged { reason }), Some(sealed)) => {
                let mine = sealed.partitions.iter();
                let hurt = mine.filter(|number| contents.partitions.contains_key(number));
                report.warnings.push(format!(
                    "{name} is damaged: {reason}; partitions with records in it are offline ({}) \
                     until it is put back from a copy or their topics are deleted",
                    hurt.count()
                ));
                self.lost.insert(id, format!("{name} is damaged: {reason}"));
            }
            (Err(error), _) => return Err(OpenError::kv(&name, error)),
        }
        Ok(())
    }

    /// For each partition that a lost file takes offline: why.
    fn hurt(&self, contents: &Contents) -> BTreeMap<StorePartition, String> {
        let lost = self.lost.iter();
        let named = lost.filter_map(|(id, reason)| Some((contents.sealed.get(id)?, reason)));
        named
            .flat_map(|(row, reason)| row.partitions.iter().map(move |p| (*p, reason.clone())))
            .collect()
    }
}

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
    let (mut catalog, contents) = Catalog::open(&**disk, config.new_store_id)?;
    let mut report = OpenReport {
        partitions: contents.partitions.len(),
        files: contents.files.len(),
        unlinked: unlink_strangers(disk, &contents)?,
        ..OpenReport::default()
    };
    let mut lanes = read_lanes(disk, catalog.store(), &contents, open_lanes, &mut report)?;
    report.repaired = lanes.opened.values().filter(|lane| lane.repaired).count();
    if let Some((file, reason)) = lost_commits(&contents, &lanes).into_iter().next() {
        return Err(OpenError::Damaged { file, reason });
    }
    seal_lanes(&contents, &mut lanes, open_lanes)?;
    note_sealed(&mut catalog, &contents, &lanes)?;
    let opened = lanes.opened.values();
    let ends = opened.map(|lane| lane.contents.footer.last_commit);
    let sealed = contents.sealed.values().map(|row| row.last_commit);
    let cuts = contents.files.values().filter_map(|row| row.cut);
    let marks = contents.partitions.values().map(|row| row.as_of);
    let last_commit = ends
        .chain(sealed)
        .chain(cuts)
        .chain(marks)
        .fold(0, u64::max);
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
    let mut lanes = Lanes::default();
    let mut open = Vec::new();
    for (id, row) in &contents.files {
        if row.role == FileRole::Lane {
            let opened = lane::open_for_tools(disk, catalog.store(), *id, row);
            let outcome = opened.map(|(kv, found)| {
                open.push((*id, kv));
                OpenedLane {
                    contents: found,
                    repaired: false,
                    unsealed: None,
                }
            });
            lanes.add(&contents, (*id, outcome), &mut report)?;
        }
    }
    let lost = lost_commits(&contents, &lanes).into_iter();
    let warnings = lost.map(|(file, reason)| format!("{file} is damaged: {reason}"));
    report.warnings.extend(warnings);
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
    report: &mut OpenReport,
) -> Result<Lanes, OpenError> {
    let files: Vec<(u32, FileRow)> = contents
        .files
        .iter()
        .filter(|(_, row)| row.role == FileRole::Lane)
        .map(|(id, row)| (*id, *row))
        .collect();
    let cache_bytes = REPAIR_CACHE_BYTES;
    let open_one = |id: u32, row: &FileRow| (id, open_rolled(disk, store, id, row, cache_bytes));
    let mut lanes = Lanes::default();
    for outcome in open_lanes(&files, &open_one) {
        lanes.add(contents, outcome, report)?;
    }
    Ok(lanes)
}

/// Enters what repaired files hold: they are sealed now.
fn note_sealed(catalog: &mut Catalog, contents: &Contents, lanes: &Lanes) -> Result<(), OpenError> {
    let opened = lanes.opened.iter();
    let unknown = opened.filter(|(id, _)| !contents.sealed.contains_key(id));
    let edit = Edit {
        sealed: unknown
            .map(|(id, lane)| (*id, lane.contents.sealed()))
            .collect(),
        ..Edit::default()
    };
    if edit.sealed.is_empty() {
        return Ok(());
    }
    let done = catalog.commit(&edit);
    done.map_err(|error| OpenError::kv(CATALOG_FILE, error))
}

/// Writes the indexes of files that were repaired and closes them, several at once where opening
/// does so.
fn seal_lanes(
    contents: &Contents,
    lanes: &mut Lanes,
    open_lanes: OpenLanes<'_>,
) -> Result<(), OpenError> {
    let (waiting, whole): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut lanes.opened)
        .into_iter()
        .partition(|(_, lane)| lane.unsealed.is_some());
    lanes.opened = whole;
    let rows = waiting.keys();
    let rows: Vec<(u32, FileRow)> = rows
        .filter_map(|id| Some((*id, *contents.files.get(id)?)))
        .collect();
    let waiting = Mutex::new(waiting);
    let seal = |id: u32, _: &FileRow| {
        let lane = lock(&waiting).remove(&id);
        let lane = lane.ok_or_else(|| KvError::damaged("it was not opened"));
        (id, lane.and_then(OpenedLane::seal))
    };
    for (id, sealed) in open_lanes(&rows, &seal) {
        let row = contents.files.get(&id);
        let name = row.map_or_else(String::new, |row| file_name(id, row));
        let lane = sealed.map_err(|error| OpenError::kv(&name, error))?;
        lanes.opened.insert(id, lane);
    }
    Ok(())
}

/// Files that come back without a commit that another file saw flushed: they fell back to an
/// older root without a word (design rule 7). Served, their partitions would give offsets that
/// were told to somebody to other records.
fn lost_commits(contents: &Contents, lanes: &Lanes) -> Vec<(String, String)> {
    let mut seen: BTreeMap<u32, u64> = BTreeMap::new();
    for lane in lanes.opened.values() {
        for (file, commit) in &lane.contents.witness {
            let known = seen.entry(*file).or_default();
            *known = (*known).max(*commit);
        }
    }
    let mut lost = Vec::new();
    for (file, commit) in seen {
        let (Some(lane), Some(row)) = (lanes.opened.get(&file), contents.files.get(&file)) else {
            continue;
        };
        let last = lane.contents.footer.last_commit;
        if last < commit && row.cut.is_none_or(|cut| commit < cut) {
            let reason = format!(
                "it lost flushed commits: it ends with commit {last}, and commit {commit} was \
                 flushed there"
            );
            lost.push((file_name(file, row), reason));
        }
    }
    lost
}

fn write_book(contents: Contents, lanes: Lanes, report: &mut OpenReport) -> Book {
    let mut book = Book {
        files: list_files(&contents, &lanes),
        ..Book::default()
    };
    let hurt = lanes.hurt(&contents);
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
        let files: BTreeSet<u32> = mine.iter().map(|(file, _)| *file).collect();
        let rebuilt = rebuild(&mut book, &mut part, mine);
        let lost = hurt.get(&number);
        if let Err(reason) = lost.map_or(rebuilt, |reason| Err(reason.clone())) {
            let (topic, index) = (part.topic, part.index);
            report.warnings.push(format!(
                "partition {index} of topic {topic} is offline: {reason}"
            ));
            part.offline = Some(reason);
        }
        if lost.is_some() {
            // Marks that nobody knows may lie between its own: its row and what is left of it
            // stay as they are, so that a copy of the lost file makes it whole again.
            book.hold(&files);
        } else if part.row() != row {
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

fn list_files(contents: &Contents, lanes: &Lanes) -> BTreeMap<u32, FileInfo> {
    let mut files = BTreeMap::new();
    for (id, row) in &contents.files {
        let mut info = FileInfo::new(*row, FileState::Sealed);
        if let Some(lane) = lanes.opened.get(id) {
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
        let sealed = contents.sealed.get(id).map(|row| &row.partitions);
        let needed = sealed.into_iter().flatten();
        let mut needed = needed.filter(|number| contents.partitions.contains_key(number));
        if lanes.lost.contains_key(id) && needed.next().is_some() {
            // Once none of its partitions is left, it leaves the log like any dead file.
            info.state = FileState::Held;
        }
        files.insert(*id, info);
    }
    files
}

/// The runs of every partition with their files, in order of their commits.
fn sort_runs(lanes: Lanes) -> BTreeMap<StorePartition, Vec<(u32, PlacedRun)>> {
    let mut runs: BTreeMap<StorePartition, Vec<(u32, PlacedRun)>> = BTreeMap::new();
    for (file, lane) in lanes.opened {
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
    let known = part.as_of;
    let truncates = |run: &PlacedRun| run.commit > known && run.run.truncate.is_some();
    let truncated = runs.iter().any(|(_, run)| truncates(run));
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
    let start = part.start;
    let lost = |(_, offset)| offset < start || truncated;
    if part.max_timestamp.is_some_and(lost) {
        // Found again when the indexes of its segments were read.
        part.max_timestamp = None;
    }
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

impl Book {
    /// Keeps the rewriter from files.
    fn hold(&mut self, files: &BTreeSet<u32>) {
        for file in files {
            if let Some(info) = self.files.get_mut(file) {
                info.state = FileState::Held;
            }
        }
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
