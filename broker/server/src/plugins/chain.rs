//! A chain that is ready to run at one place: every plugin in the version that counts, with its
//! parameters taken, and instances that are used again.

use super::counters::{LinkCounters, Spot, add};
use super::logs::{Failed, Failures, Speaker};
use crate::clock::Clock;
use crate::limits::IDLE_RUNNERS_MAX;
use bytes::Bytes;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use weir_plugin::{Author, BytesColumn, Columns, Output, Place, Staying, Trouble, compose};
use weir_plugin_host::{Configured, Context, LogSink, Ruling, Runner};
use weir_types::{Batch, Offset, PartitionIndex, TimestampMs};

/// A chain at a place. Several threads may run it at a time, each with instances of its own.
#[derive(Debug)]
pub(crate) struct Prepared {
    links: Vec<ReadyLink>,
    /// What makes two chains the same: digests, parameters and policy. Part of the key of what is
    /// kept of a view.
    pub(crate) mark: u64,
}

/// One plugin of a chain, configured.
pub(crate) struct ReadyLink {
    pub(crate) speaker: Speaker,
    /// `NAME@VERSION`.
    pub(crate) label: String,
    /// The link as people write it.
    pub(crate) text: Arc<str>,
    pub(crate) configured: Configured,
    pub(crate) rule: Place,
    pub(crate) sink: Arc<dyn LogSink>,
    pub(crate) counters: Arc<LinkCounters>,
    pub(crate) idle: Mutex<Vec<Runner>>,
}

impl std::fmt::Debug for ReadyLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadyLink")
            .field("label", &self.label)
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

/// The records that a chain is run over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batchwise<'a> {
    pub(crate) topic: &'a Arc<str>,
    pub(crate) partition: PartitionIndex,
    /// The greatest timestamp of the batch.
    pub(crate) stream_time: TimestampMs,
    /// The offset of the first record, or -1 before the append.
    pub(crate) base_offset: Offset,
    /// The batch as it came, for failures that are kept; nothing: it is made of the columns.
    pub(crate) batch: Option<&'a Batch>,
}

/// What came of a batch.
#[derive(Debug)]
pub(crate) struct Ran {
    /// What the last plugin was given.
    pub(crate) columns: Columns,
    /// What the last plugin made of it.
    pub(crate) output: Output,
    /// Records that a plugin refused or failed on, by offset.
    pub(crate) troubles: Vec<Trouble>,
}

impl Prepared {
    pub(crate) const fn new(links: Vec<ReadyLink>, mark: u64) -> Self {
        Self { links, mark }
    }

    /// The plugins, in order.
    pub(crate) fn links(&self) -> &[ReadyLink] {
        &self.links
    }

    /// Runs the chain.
    pub(crate) fn run(
        &self,
        of: Batchwise<'_>,
        columns: Columns,
        failures: &Failures,
        clock: Clock,
    ) -> Ran {
        let mut ran = Ran {
            columns,
            output: Output::default(),
            troubles: Vec::new(),
        };
        for link in &self.links {
            let output = std::mem::take(&mut ran.output);
            ran.columns = ran.columns.apply(output);
            if ran.columns.rows() == 0 {
                continue;
            }
            let ruling = link.run(of, &ran.columns);
            link.count(&ruling, &ran.columns, clock);
            link.keep_failures(&ruling, of, &ran.columns, failures);
            let troubles = ruling.verdict.troubles(&ran.columns, &link.label);
            ran.troubles.extend(troubles);
            ran.output = ruling.verdict.output;
        }
        ran.troubles.sort_by_key(|trouble| trouble.offset);
        ran
    }

    /// Has a partitioner choose a partition for each key.
    pub(crate) fn choose(
        &self,
        keys: &BytesColumn,
        partitions: u32,
        clock: Clock,
    ) -> Result<Vec<u32>, String> {
        let [link] = &self.links[..] else {
            return Err("a topic has one partitioner".to_owned());
        };
        let mut runner = link.take();
        let report = runner.instance_mut().partition(keys, partitions);
        link.put(runner);
        let counters = &link.counters;
        add(&counters.batches, 1);
        add(&counters.records_in, keys.len());
        add(&counters.records_out, keys.len());
        add(&counters.bytes_in, keys.size_bytes());
        counters.used(&report.usage);
        report.result.map_err(|failure| {
            counters.failed(failure.kind, clock.now().wall, &failure.message);
            format!("partitioner {}: {}", link.label, failure.message)
        })
    }

    /// Counts what the policy did with records in trouble.
    pub(crate) fn dealt_with(&self, troubles: &[Trouble], dead_letters: bool) {
        for trouble in troubles {
            let link = self.links.iter().find(|link| link.label == trouble.plugin);
            if let Some(link) = link {
                let figure = if dead_letters {
                    &link.counters.dead_lettered
                } else {
                    &link.counters.skipped
                };
                add(figure, 1);
            }
        }
    }
}

impl ReadyLink {
    fn run(&self, of: Batchwise<'_>, columns: &Columns) -> Ruling {
        let mut runner = self.take();
        let context = Context {
            topic: of.topic,
            partition: u32::try_from(of.partition.0).unwrap_or(0),
            stream_time: of.stream_time.0,
        };
        let ruling = runner.run(context, columns);
        self.put(runner);
        ruling
    }

    fn take(&self) -> Runner {
        let idle = self.idle().pop();
        idle.unwrap_or_else(|| {
            let instance = self.configured.instance(Arc::clone(&self.sink));
            Runner::new(instance, self.rule)
        })
    }

    fn put(&self, runner: Runner) {
        let mut idle = self.idle();
        if idle.len() < IDLE_RUNNERS_MAX {
            idle.push(runner);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Runner>> {
        // Runners in the list are whole: one that panicked was not put back.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, ruling: &Ruling, given: &Columns, clock: Clock) {
        let output = &ruling.verdict.output;
        let out = output.rows.as_ref().map_or(given.rows(), Vec::len);
        let counters = &self.counters;
        add(&counters.batches, 1);
        add(&counters.records_in, given.rows());
        add(&counters.records_out, out);
        add(&counters.bytes_in, given.size_bytes());
        add(&counters.bytes_out, output.size_bytes());
        counters.used(&ruling.usage);
        let now = clock.now().wall;
        for refusal in &output.refusals {
            counters.failed(weir_plugin::FailureKind::Refused, now, &refusal.reason);
        }
        for failed in &ruling.verdict.failures {
            counters.failed(failed.failure.kind, now, &failed.failure.message);
        }
    }

    /// Keeps what the plugin failed on, with the batch, so that it can be run again. What it
    /// refuses by itself is no failure.
    fn keep_failures(
        &self,
        ruling: &Ruling,
        of: Batchwise<'_>,
        given: &Columns,
        failures: &Failures,
    ) {
        if ruling.verdict.failures.is_empty() {
            return;
        }
        let whole = Bytes::from(whole(of.batch, given));
        for failed in &ruling.verdict.failures {
            let Range { start, end } = failed.rows;
            let base = of.base_offset.0.max(0);
            let row = usize::try_from(start)
                .ok()
                .filter(|_| start + 1 == end)
                .and_then(|start| given.offsets.get(start))
                .and_then(|offset| i32::try_from(offset - base).ok());
            failures.keep(Failed {
                speaker: self.speaker.clone(),
                text: Arc::clone(&self.text),
                topic: Arc::clone(of.topic),
                partition: of.partition,
                base_offset: of.base_offset,
                record_count: i32::try_from(given.rows()).unwrap_or(i32::MAX),
                row: row.unwrap_or(-1),
                kind: failed.failure.kind,
                message: failed.failure.message.clone(),
                batch: whole.clone(),
            });
        }
    }
}

/// A batch in one piece.
fn whole(batch: Option<&Batch>, columns: &Columns) -> Vec<u8> {
    if let Some(batch) = batch {
        let mut whole = Vec::with_capacity(batch.size_bytes());
        batch.write_to(&mut whole);
        return whole;
    }
    let same = Output::default();
    let rows = u32::try_from(columns.rows()).unwrap_or(u32::MAX);
    let places: Vec<u32> = (0..rows).collect();
    compose(&Staying::new(columns, &same), &places, Author::NOBODY).finish()
}

/// The place as the counters and the protocol know it.
impl From<&weir_meta::Place> for Spot {
    fn from(place: &weir_meta::Place) -> Self {
        use super::counters::PlaceKind;
        let (place, name) = match place {
            weir_meta::Place::Ingest(topic) => (PlaceKind::Ingest, &topic.name),
            weir_meta::Place::Shadow(topic) => (PlaceKind::Shadow, &topic.name),
            weir_meta::Place::Partitioner(topic) => (PlaceKind::Partitioner, &topic.name),
            weir_meta::Place::View(topic) => (PlaceKind::View, &topic.name),
            weir_meta::Place::Job(job) => (PlaceKind::Job, &job.name),
        };
        Self {
            place,
            name: Arc::clone(name),
        }
    }
}
