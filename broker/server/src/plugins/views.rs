//! Views: the records of a fetch's answer go through the view's chain on their way out.
//!
//! What became of a batch is kept under a budget, by view, chain and batch, so that ten readers cost
//! one transform; who asks for one that is being made waits for it. Offsets stay, so a batch of
//! which nothing is left goes out as an empty one, and its reader advances. An answer that would
//! hold empty ones only holds a stepping stone instead.

use super::chain::{Batchwise, Prepared};
use super::counters::{PlaceKind, add};
use super::ingest::{pack, read_batch, tell};
use super::{Plugins, lock, spot};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::Semaphore;
use weir_codec::Decompressor;
use weir_meta::Topic;
use weir_node::front::ViewRecords;
use weir_plugin::{Columns, Place, Policy, rebuild, stepping_stone};
use weir_types::log::StoredBatch;
use weir_types::{Batch, ErrorCode, Offset, PartitionIndex, TopicId};
use weir_wire::Records;
use weir_wire::messages::FetchResponse;

/// A batch as a view shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    view: TopicId,
    /// The chain and its policy.
    mark: u64,
    partition: PartitionIndex,
    base_offset: Offset,
    /// Of the source's bytes: what was truncated and written again is another batch.
    crc: u32,
    /// Whether records in trouble are left out.
    skips: bool,
}

/// What a batch became, or why the view stops at it.
type Shown = Result<Bytes, Arc<str>>;
type Cell = Arc<OnceLock<Shown>>;

#[derive(Debug, Default)]
struct Kept {
    cells: HashMap<Key, Cell>,
    /// What is made, oldest first, with its bytes.
    made: VecDeque<(Key, usize)>,
    bytes: usize,
}

/// What views made of recent batches.
#[derive(Debug)]
pub(crate) struct ViewCache {
    bytes_max: usize,
    kept: Mutex<Kept>,
    /// So many batches are made at a time.
    turns: Semaphore,
}

impl ViewCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            bytes_max,
            kept: Mutex::default(),
            turns: Semaphore::new(cores),
        }
    }

    /// What a batch became; made by `make` unless it is kept. Says whether it was.
    fn get(&self, key: Key, make: impl FnOnce() -> Shown) -> (Shown, bool) {
        let cell = Arc::clone(lock(&self.kept).cells.entry(key).or_default());
        let mut was_kept = true;
        let shown = cell.get_or_init(|| {
            was_kept = false;
            make()
        });
        if !was_kept {
            self.account(key, shown);
        }
        (shown.clone(), was_kept)
    }

    /// Counts what was just made; the oldest goes where it is too much. A view that stops is tried
    /// again by the next reader.
    fn account(&self, key: Key, shown: &Shown) {
        let mut kept = lock(&self.kept);
        let Ok(bytes) = shown else {
            kept.cells.remove(&key);
            return;
        };
        let bytes = bytes.len() + size_of::<(Key, Cell)>() * 2;
        kept.made.push_back((key, bytes));
        kept.bytes += bytes;
        while kept.bytes > self.bytes_max {
            let Some((oldest, bytes)) = kept.made.pop_front() else {
                break;
            };
            kept.cells.remove(&oldest);
            kept.bytes -= bytes;
        }
    }
}

impl Plugins {
    /// Puts what the views make of them in the place of their sources' records.
    pub(crate) async fn show(
        self: &Arc<Self>,
        mut response: FetchResponse,
        views: Vec<ViewRecords>,
    ) -> FetchResponse {
        for of in views {
            let data = response
                .responses
                .get_mut(of.topic)
                .and_then(|topic| topic.partitions.get_mut(of.partition));
            let Some(data) = data else { continue };
            let records = data.records.take().unwrap_or_default();
            let index = data.partition_index;
            match self.shown(of.view, index, records).await {
                Ok(records) => data.records = Some(records),
                Err(error) => of.fail(&mut response, error),
            }
        }
        response
    }

    async fn shown(
        self: &Arc<Self>,
        view: TopicId,
        partition: PartitionIndex,
        records: Records,
    ) -> Result<Records, ErrorCode> {
        // Nobody closes the semaphore.
        let _turn = self.views.turns.acquire().await.ok();
        let plugins = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || plugins.make(view, partition, &records));
        match made.await {
            Ok(shown) => shown,
            Err(error) => {
                tracing::error!(%error, "a view was not made");
                Err(ErrorCode::UnknownServerError)
            }
        }
    }

    fn make(
        &self,
        view: TopicId,
        partition: PartitionIndex,
        records: &Records,
    ) -> Result<Records, ErrorCode> {
        let image = self.image.load_full();
        let topic = image
            .topic(view)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let stops = |reason: &str| {
            tracing::warn!(view = %topic.name, partition = partition.0, reason, "a view stops");
            ErrorCode::UnknownServerError
        };
        let Some(of) = &topic.view else {
            return Err(ErrorCode::UnknownTopicOrPartition);
        };
        let place = spot(PlaceKind::View, &topic.name);
        let ready = self.prepare(&image, &place, &of.chain, Place::Batch);
        let ready = ready.map_err(|reason| stops(&reason))?;
        let mut maker = Maker {
            plugins: self,
            topic,
            partition,
            ready: &ready,
            policy: &of.policy,
            inflate: Decompressor::new(),
        };
        let mut shown = Vec::new();
        for batch in batches(records) {
            match maker.show(&batch) {
                Ok(bytes) => shown.push(bytes),
                // What comes before it can be read; the reader hears of it when it comes there.
                Err(_) if !shown.is_empty() => break,
                Err(reason) => return Err(stops(&reason)),
            }
        }
        let shown = past_empty(shown).into_iter().map(StoredBatch::Read);
        Ok(Records::Chunks(shown.collect()))
    }
}

/// The batches, or a stepping stone where nothing is left in any of them.
fn past_empty(shown: Vec<Bytes>) -> Vec<Bytes> {
    let read = |bytes: &Bytes| Batch::parse(bytes).map(|batch| batch.header());
    let Ok(headers) = shown.iter().map(read).collect::<Result<Vec<_>, _>>() else {
        return shown;
    };
    match (headers.first(), headers.last()) {
        (Some(first), Some(last)) if headers.iter().all(|header| header.record_count == 0) => {
            vec![stepping_stone(first, last).into()]
        }
        _ => shown,
    }
}

/// Makes what a view shows of one partition.
struct Maker<'a> {
    plugins: &'a Plugins,
    topic: &'a Arc<Topic>,
    partition: PartitionIndex,
    ready: &'a Prepared,
    policy: &'a Policy,
    inflate: Decompressor,
}

impl Maker<'_> {
    fn show(&mut self, source: &Bytes) -> Shown {
        let batch = Batch::parse(source).map_err(|error| Arc::from(error.to_string()))?;
        let header = batch.header();
        if header.is_control() {
            return Ok(source.clone());
        }
        let key = Key {
            view: self.topic.id,
            mark: self.ready.mark,
            partition: self.partition,
            base_offset: header.base_offset,
            crc: header.crc,
            skips: *self.policy == Policy::Skip,
        };
        let (shown, was_kept) = self.plugins.views.get(key, || self.make(&batch));
        if was_kept {
            for link in self.ready.links() {
                add(&link.counters.cached, 1);
            }
        }
        shown
    }

    fn make(&mut self, batch: &Batch) -> Shown {
        let header = batch.header();
        let first = header.base_offset;
        let mut columns = Columns::default();
        read_batch(&mut self.inflate, batch, &header, first, &mut columns)?;
        let of = Batchwise {
            topic: &self.topic.name,
            partition: self.partition,
            stream_time: header.max_timestamp,
            base_offset: first,
            batch: Some(batch),
        };
        let failures = &self.plugins.failures;
        let ran = self.ready.run(of, columns, failures, self.plugins.clock);
        if !ran.troubles.is_empty() {
            if *self.policy != Policy::Skip {
                return Err(tell(&ran.troubles).into());
            }
            self.ready.dealt_with(&ran.troubles, false);
        }
        let rebuilt = rebuild(&header, first, &ran.columns, &ran.output);
        Ok(pack(rebuilt)?.into())
    }
}

/// The batches of a fetched partition, each in one piece.
fn batches(records: &Records) -> Vec<Bytes> {
    let mut all = Vec::new();
    let mut cut = |bytes: &Bytes| {
        let mut rest = bytes.clone();
        while let Ok(batch) = Batch::parse(&rest) {
            let size = batch.size_bytes().min(rest.len());
            all.push(rest.split_to(size));
        }
    };
    match records {
        Records::Slice(bytes) => cut(bytes),
        Records::Chunks(chunks) => {
            for chunk in chunks {
                match chunk {
                    StoredBatch::Read(bytes) => cut(bytes),
                    StoredBatch::Cached(batch) => {
                        let mut whole = Vec::with_capacity(batch.size_bytes());
                        batch.write_to(&mut whole);
                        cut(&whole.into());
                    }
                }
            }
        }
    }
    all
}
