//! The workers that take batches through their topics' `weir.ingest`: one thread for each shard,
//! so that neither a shard nor the network ever waits for a plugin.
//!
//! A batch that cannot go through its chain is refused, whatever the reason: none is ever handed
//! back as it came while its topic has a chain. Which batch comes next, and when its sequences are
//! judged, is the node's to say.

use super::chain::{Batchwise, Prepared, Ran};
use super::counters::{PlaceKind, add};
use super::letters::{self, is_letter};
use super::{Plugins, spot};
use crate::clock::Clock;
use crate::shard::{ShardSender, ToShard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use weir_codec::{Decompressor, compress};
use weir_meta::{Image, StaticDefaults, Topic, TopicConfig};
use weir_node::{PartitionKey, TransformId, TransformRefusal};
use weir_plugin::{
    Chain, Columns, Origin, Output, Place, Policy, Rebuilt, Staying, Trouble, dead_letters, rebuild,
};
use weir_types::batch::{BatchError, Compression};
use weir_types::{Batch, BatchHeader, ErrorCode, Offset, limits::BATCH_DECOMPRESSED_BYTES_MAX};

/// The setting that attaches a chain to a topic's ingest.
const INGEST: &str = "weir.ingest";
/// The setting that attaches one beside it.
const SHADOW: &str = "weir.ingest.shadow";
/// The setting that says what becomes of records in trouble.
const POLICY: &str = "weir.ingest.policy";
/// Records in trouble that a refusal names.
const TROUBLES_TOLD: usize = 3;

/// A batch to take through its topic's chain.
#[derive(Debug)]
pub(crate) struct IngestJob {
    /// For the answer.
    pub(crate) ticket: TransformId,
    /// Where it goes.
    pub(crate) key: PartitionKey,
    /// The batch as it came.
    pub(crate) batch: Batch,
    /// Its header.
    pub(crate) header: BatchHeader,
}

/// A topic and its chain.
type Attached = (Arc<Topic>, Arc<Prepared>);

type Transformed = Result<(Batch, BatchHeader), TransformRefusal>;

/// What a batch came to.
enum Came {
    /// The answer.
    To(Transformed),
    /// The answer, once these records are in that topic.
    Letters {
        topic: String,
        letters: Box<Columns>,
        then: Box<(Batch, BatchHeader)>,
    },
}

/// One worker.
struct Worker {
    plugins: Arc<Plugins>,
    statics: Arc<StaticDefaults>,
    shard: ShardSender,
    clock: Clock,
    inflate: Decompressor,
    /// Room for columns, kept from batch to batch.
    columns: Columns,
}

/// Starts the worker of a shard; it ends when the sender is gone. `vital` lives as long as it does.
pub(crate) fn start(
    plugins: Arc<Plugins>,
    statics: Arc<StaticDefaults>,
    shard: ShardSender,
    index: usize,
    vital: impl Send + 'static,
) -> std::io::Result<(Sender<IngestJob>, JoinHandle<()>)> {
    let (sender, inbox) = channel();
    let worker = Worker {
        clock: plugins.clock,
        plugins,
        statics,
        shard,
        inflate: Decompressor::new(),
        columns: Columns::default(),
    };
    let thread = std::thread::Builder::new()
        .name(format!("weir-plugin-{index}"))
        .spawn(move || {
            let _vital = vital;
            worker.run(&inbox);
        })?;
    Ok((sender, thread))
}

impl Worker {
    fn run(mut self, inbox: &Receiver<IngestJob>) {
        while let Ok(job) = inbox.recv() {
            let image = self.plugins.image.load_full();
            let (came, ran) = self.take(&image, &job);
            let ticket = job.ticket;
            match came {
                Came::To(result) => {
                    let result = Box::new(result);
                    self.shard.deliver(ToShard::Transformed { ticket, result });
                }
                Came::Letters {
                    topic,
                    letters,
                    then,
                } => self.send_letters(ticket, job.key, topic, *letters, *then),
            }
            if let Some(ran) = ran {
                self.shadow(&image, &job, &ran);
                self.columns = ran.columns;
            }
        }
    }

    /// Writes dead letters, and answers once they are flushed. Another thread waits for that: the
    /// topic they go to may need this worker.
    fn send_letters(
        &self,
        ticket: TransformId,
        key: PartitionKey,
        topic: String,
        letters: Columns,
        then: (Batch, BatchHeader),
    ) {
        let plugins = Arc::clone(&self.plugins);
        let shard = self.shard.clone();
        self.plugins.runtime.spawn(async move {
            let sent = letters::send(&plugins, &topic, letters, key.index).await;
            let result = sent.map(|()| then).map_err(|(error, reason)| {
                let message =
                    format!("the dead letters of the batch cannot be written to '{topic}': {reason}");
                TransformRefusal { error, message }
            });
            let result = Box::new(result);
            let deliver = move || shard.deliver(ToShard::Transformed { ticket, result });
            // The shard's queue may be full for a moment, for which no thread of the network waits.
            if let Err(error) = tokio::task::spawn_blocking(deliver).await {
                tracing::error!(%error, "a batch's dead letters were written, but its shard was not told");
            }
        });
    }

    /// What becomes of a batch, and what its chain made of it if it ran.
    fn take(&mut self, image: &Image, job: &IngestJob) -> (Came, Option<Ran>) {
        let ready = match self.ready(image, job) {
            Ok(Some(ready)) => ready,
            // The chain was detached while the batch waited for its turn.
            Ok(None) => return (Came::To(Ok((job.batch.clone(), job.header))), None),
            Err(refusal) => return (Came::To(Err(refusal)), None),
        };
        let columns = match self.read(job) {
            Ok(columns) => columns,
            Err(refusal) => return (Came::To(Err(refusal)), None),
        };
        let (topic, chain) = &ready;
        let ran = self.run_chain(chain, topic, job, columns);
        let came = policy(topic).and_then(|policy| self.settle(chain, topic, job, &policy, &ran));
        (
            came.unwrap_or_else(|refusal| Came::To(Err(refusal))),
            Some(ran),
        )
    }

    /// The topic and its chain; nothing where it has none.
    fn ready(&self, image: &Image, job: &IngestJob) -> Result<Option<Attached>, TransformRefusal> {
        let Some(topic) = image.topic(job.key.topic) else {
            let text = "the topic is gone".to_owned();
            return Err(refuse(ErrorCode::UnknownTopicOrPartition, text));
        };
        let Some(setting) = topic.overrides.get(INGEST).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let chain: Chain = setting.parse().map_err(|error: weir_plugin::ChainError| {
            refuse(ErrorCode::UnknownServerError, format!("{INGEST}: {error}"))
        })?;
        let ready = self.prepare(image, topic, PlaceKind::Ingest, &chain)?;
        Ok(Some((Arc::clone(topic), ready)))
    }

    fn prepare(
        &self,
        image: &Image,
        topic: &Topic,
        kind: PlaceKind,
        chain: &Chain,
    ) -> Result<Arc<Prepared>, TransformRefusal> {
        let spot = spot(kind, &topic.name);
        self.plugins
            .prepare(image, &spot, chain, Place::Batch)
            .map_err(|text| refuse(ErrorCode::UnknownServerError, text))
    }

    fn run_chain(&self, ready: &Prepared, topic: &Topic, job: &IngestJob, columns: Columns) -> Ran {
        let of = Batchwise {
            topic: &topic.name,
            partition: job.key.index,
            stream_time: job.header.max_timestamp,
            base_offset: Offset(-1),
            batch: Some(&job.batch),
        };
        ready.run(of, columns, &self.plugins.failures, self.clock)
    }

    /// The batch's records as columns, whose offsets are places in it.
    fn read(&mut self, job: &IngestJob) -> Result<Columns, TransformRefusal> {
        let mut columns = std::mem::take(&mut self.columns);
        read_batch(
            &mut self.inflate,
            &job.batch,
            &job.header,
            Offset(0),
            &mut columns,
        )
        .map_err(|text| refuse(ErrorCode::CorruptMessage, text))?;
        Ok(columns)
    }

    /// What the policy makes of it.
    fn settle(
        &mut self,
        ready: &Prepared,
        topic: &Topic,
        job: &IngestJob,
        policy: &Policy,
        ran: &Ran,
    ) -> Result<Came, TransformRefusal> {
        let unchanged = ran.output == Output::default()
            && ran.troubles.is_empty()
            && ran.columns.rows() == usize::try_from(job.header.record_count).unwrap_or(0)
            && ready.links().len() == 1;
        if unchanged {
            return Ok(Came::To(Ok((job.batch.clone(), job.header))));
        }
        let stop = || Err(refuse(ErrorCode::InvalidRecord, tell(&ran.troubles)));
        if *policy == Policy::Stop && !ran.troubles.is_empty() {
            return stop();
        }
        let batch = self.rebuild(topic, job, ran)?;
        let Policy::DeadLetter(to) = policy else {
            ready.dealt_with(&ran.troubles, false);
            return Ok(Came::To(Ok(batch)));
        };
        if ran.troubles.is_empty() {
            return Ok(Came::To(Ok(batch)));
        }
        let before = self.read(job)?;
        let troubled = ran.troubles.iter();
        let mut rows =
            troubled.filter_map(|trouble| before.offsets.binary_search(&trouble.offset.0).ok());
        if rows.any(|row| is_letter(&before, row)) {
            // Two topics that are each other's dead-letter topics would send it round for ever.
            return stop();
        }
        let origin = Origin {
            topic: &topic.name,
            partition: u32::try_from(job.key.index.0).unwrap_or(0),
            appended: false,
        };
        let letters = dead_letters(&before, &ran.troubles, origin);
        ready.dealt_with(&ran.troubles, true);
        Ok(Came::Letters {
            topic: to.clone(),
            letters: Box::new(letters),
            then: Box::new(batch),
        })
    }

    /// The batch that is left, in the codec in which it came.
    fn rebuild(
        &self,
        topic: &Topic,
        job: &IngestJob,
        ran: &Ran,
    ) -> Result<(Batch, BatchHeader), TransformRefusal> {
        let rebuilt = rebuild(&job.header, Offset(0), &ran.columns, &ran.output);
        let bytes = pack(rebuilt).map_err(|text| refuse(ErrorCode::UnknownServerError, text))?;
        let image = self.plugins.image.load();
        let most = TopicConfig::resolve(&self.statics, &image, topic).batch_bytes_max;
        if bytes.len() > most && bytes.len() > job.header.size_bytes {
            let text = format!(
                "{INGEST} makes a batch of {} bytes, but max.message.bytes is {most}",
                bytes.len()
            );
            return Err(refuse(ErrorCode::MessageTooLarge, text));
        }
        let batch = Batch::parse(&bytes.into())
            .map_err(|error| refuse(ErrorCode::UnknownServerError, error.to_string()))?;
        let header = batch.header();
        Ok((batch, header))
    }

    /// Runs what is attached beside, after the answer: nothing depends on it but figures.
    fn shadow(&mut self, image: &Image, job: &IngestJob, main: &Ran) {
        let Some(topic) = image.topic(job.key.topic) else {
            return;
        };
        let Some(chain) = topic.chain(SHADOW) else {
            return;
        };
        let shadow = match self.prepare(image, topic, PlaceKind::Shadow, &chain) {
            Ok(shadow) => shadow,
            Err(refusal) => {
                let reason = refusal.message;
                tracing::warn!(topic = %topic.name, reason, "a shadow does not run");
                return;
            }
        };
        // It was read before, so that it can be read.
        let Ok(columns) = self.read(job) else { return };
        let beside = self.run_chain(&shadow, topic, job, columns);
        if let Some(link) = shadow.links().first() {
            add(&link.counters.differences, differences(main, &beside));
        }
    }
}

/// Reads a batch's records into columns whose offsets begin at `first`.
pub(crate) fn read_batch(
    inflate: &mut Decompressor,
    batch: &Batch,
    header: &BatchHeader,
    first: Offset,
    columns: &mut Columns,
) -> Result<(), String> {
    let codec = header.compression().unwrap_or(Compression::None);
    let payload = inflate
        .decompress(codec, batch.body(), BATCH_DECOMPRESSED_BYTES_MAX)
        .map_err(|error| error.to_string())?;
    columns
        .fill(payload, header, first)
        .map_err(|error: BatchError| error.to_string())
}

/// The whole batch, in the codec in which its records came.
pub(crate) fn pack(rebuilt: Rebuilt) -> Result<Vec<u8>, String> {
    let codec = rebuilt.codec();
    if codec == Compression::None {
        return Ok(rebuilt.finish());
    }
    let packed = compress(codec, rebuilt.payload(), None).map_err(|error| error.to_string())?;
    Ok(rebuilt.finish_compressed(&packed))
}

const fn refuse(error: ErrorCode, message: String) -> TransformRefusal {
    TransformRefusal { error, message }
}

fn policy(topic: &Topic) -> Result<Policy, TransformRefusal> {
    match topic.overrides.get(POLICY).map(|text| text.trim()) {
        None | Some("") => Ok(Policy::Stop),
        Some(text) => text.parse().map_err(|error: weir_plugin::PolicyError| {
            refuse(ErrorCode::UnknownServerError, format!("{POLICY}: {error}"))
        }),
    }
}

/// Records in trouble, in one sentence.
pub(crate) fn tell(troubles: &[Trouble]) -> String {
    let one = |trouble: &Trouble| {
        let Trouble {
            offset,
            plugin,
            message,
            ..
        } = trouble;
        format!("record {offset}: plugin {plugin}: {message}")
    };
    let told: Vec<String> = troubles.iter().take(TROUBLES_TOLD).map(one).collect();
    let told = told.join("; ");
    match troubles.len().checked_sub(TROUBLES_TOLD) {
        None | Some(0) => told,
        Some(more) => format!("{told}; and {more} more"),
    }
}

/// How many records have another result in the one than in the other.
fn differences(main: &Ran, beside: &Ran) -> usize {
    let (one, other) = (rows(main), rows(beside));
    let missing = other.keys().filter(|offset| !one.contains_key(offset));
    let (a, b) = (
        Staying::new(&main.columns, &main.output),
        Staying::new(&beside.columns, &beside.output),
    );
    let differs = |(offset, left): (&i64, &usize)| {
        other.get(offset).is_none_or(|right| {
            a.timestamp(*left) != b.timestamp(*right)
                || a.key(*left) != b.key(*right)
                || a.value(*left) != b.value(*right)
                || !a.headers(*left).eq(b.headers(*right))
        })
    };
    missing.count() + one.iter().filter(|row| differs(*row)).count()
}

/// The records that stay, by offset, with their places among those that do.
fn rows(ran: &Ran) -> BTreeMap<i64, usize> {
    let staying = Staying::new(&ran.columns, &ran.output);
    (0..staying.len())
        .filter_map(|place| {
            let offset = ran.columns.offsets.get(staying.row(place))?;
            Some((*offset, place))
        })
        .collect()
}
