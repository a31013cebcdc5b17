//! The records of one round of a job: read from the source's batches, run through its chain, and
//! made into batches for its outputs.
//!
//! It takes as long as plugins and compression do: never on the runtime's own threads.

use super::Chains;
use crate::inflate::Inflater;
use bytes::Bytes;
use std::sync::Arc;
use weir_codec::compress;
use weir_job::{
    Order, Part, Place, Recipe, Refused, Row, Target, Transformed, Trouble, partition_of,
};
use weir_node::jobs::{PartRecords, batches, stamp};
use weir_node::validate::Inflate;
use weir_plugin::{Chain, Columns, trouble};
use weir_types::batch::{Compression, RecordHeader, payload};
use weir_types::limits::BATCH_DECOMPRESSED_BYTES_MAX;
use weir_types::{BatchHeader, Offset, PartitionIndex, ProducerEpoch, ProducerId, TimestampMs};
use weir_wire::build::BatchBuilder;

/// What a chain made of one batch of the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    /// The records that stay, with their offsets in the source.
    pub(crate) rows: Columns,
    /// To which of the job's topics each goes; nothing: to the first.
    pub(crate) outputs: Option<Vec<u32>>,
    /// The records it refused or failed on, as they came.
    pub(crate) refused: Columns,
    /// Why, for each of `refused`.
    pub(crate) troubles: Vec<trouble::Trouble>,
}

/// The place of a record in what is held: the batch, and the row in it.
type At = (usize, usize);

/// What is held of a round.
#[derive(Debug, Default)]
pub(crate) struct Held {
    fetched: Bytes,
    made: Vec<Made>,
    rows: Vec<At>,
    refused: Vec<At>,
    /// The codec that the source's batches came in last.
    codec: Option<Compression>,
    targets: Vec<weir_types::TopicId>,
}

/// Whose records they are.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) job: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: PartitionIndex,
    /// How many of the recipe's outputs the chain may choose among.
    pub(crate) outputs: u32,
    /// The chain, whose versions the recipe says.
    pub(crate) chain: Chain,
}

impl Held {
    /// Keeps what was fetched.
    pub(crate) fn fetched(bytes: Bytes) -> Self {
        Self {
            fetched: bytes,
            ..Self::default()
        }
    }

    /// Runs the chain over what was fetched; records below `from` are left out.
    pub(crate) fn transform(
        mut self,
        chains: &dyn Chains,
        origin: &Origin,
        from: Offset,
        recipe: &Recipe,
    ) -> (Self, Result<Transformed, Trouble>) {
        let result = self.run(chains, origin, from, recipe);
        (self, result)
    }

    fn run(
        &mut self,
        chains: &dyn Chains,
        origin: &Origin,
        from: Offset,
        recipe: &Recipe,
    ) -> Result<Transformed, Trouble> {
        self.made.clear();
        self.rows.clear();
        self.refused.clear();
        self.targets = recipe.outputs.iter().map(|output| output.topic).collect();
        let mut inflater = Inflater::default();
        let mut transformed = Transformed::default();
        let fetched = self.fetched.clone();
        for (header, batch) in batches(&fetched) {
            if header.is_control() || header.record_count == 0 {
                continue;
            }
            self.codec = header.compression();
            let columns = read(&batch, &header, &mut inflater)?;
            let made = chains.run(origin, &origin.chain, recipe, columns)?;
            self.note(made, chains, origin, from, recipe, &mut transformed)?;
        }
        Ok(transformed)
    }

    /// Keeps what was made, and tells it row by row.
    fn note(
        &mut self,
        made: Made,
        chains: &dyn Chains,
        origin: &Origin,
        from: Offset,
        recipe: &Recipe,
        transformed: &mut Transformed,
    ) -> Result<(), Trouble> {
        let targets = targets(&made, chains, origin, recipe)?;
        let batch = self.made.len();
        for (row, (offset, target)) in made.rows.offsets.iter().zip(targets).enumerate() {
            if Offset(*offset) >= from {
                self.rows.push((batch, row));
                transformed.rows.push(Row {
                    offset: Offset(*offset),
                    target,
                    bytes: bytes_of(&made.rows, row),
                });
            }
        }
        let troubles = made.troubles.iter();
        for (row, (offset, trouble)) in made.refused.offsets.iter().zip(troubles).enumerate() {
            if Offset(*offset) >= from {
                self.refused.push((batch, row));
                transformed.refused.push(Refused {
                    offset: Offset(*offset),
                    bytes: bytes_of(&made.refused, row),
                    reason: format!("plugin {}: {}", trouble.plugin, trouble.message),
                });
            }
        }
        self.made.push(made);
        Ok(())
    }

    /// The batches of the parts.
    pub(crate) fn batches(
        &self,
        origin: &Origin,
        producer: (ProducerId, ProducerEpoch),
        parts: &[Part],
    ) -> Result<Vec<PartRecords>, Trouble> {
        parts
            .iter()
            .map(|part| self.batch(origin, producer, part))
            .collect()
    }

    fn batch(
        &self,
        origin: &Origin,
        producer: (ProducerId, ProducerEpoch),
        part: &Part,
    ) -> Result<PartRecords, Trouble> {
        let unknown = || Trouble::Lasting("a record is asked for that is not held".to_owned());
        let output = usize::try_from(part.target.output).ok();
        let topic = output.and_then(|output| self.targets.get(output));
        let mut builder: Option<BatchBuilder> = None;
        for place in &part.places {
            let (rows, row, trouble) = self.find(*place).ok_or_else(unknown)?;
            let time = TimestampMs(rows.timestamps.get(row).copied().unwrap_or(-1));
            let mut headers: Vec<RecordHeader<'_>> = headers_of(rows, row).collect();
            let about = trouble.map(|trouble| about(origin, trouble));
            for (name, value) in about.iter().flatten() {
                headers.push(RecordHeader {
                    key: name.as_bytes(),
                    value: Some(value.as_bytes()),
                });
            }
            let builder = builder.get_or_insert_with(|| BatchBuilder::new(time));
            builder.push(time, rows.keys.get(row), rows.values.get(row), &headers);
        }
        let (topic, builder) = topic.zip(builder).ok_or_else(unknown)?;
        let stamp = stamp(producer, part);
        let batch = match self.codec {
            None | Some(Compression::None) => builder.finish(stamp),
            Some(codec) => {
                let packed = compress(codec, builder.payload(), None)
                    .map_err(|error| Trouble::Lasting(error.to_string()))?;
                builder.finish_compressed(codec, &packed, stamp)
            }
        };
        Ok(PartRecords {
            topic: *topic,
            partition: part.target.partition,
            batch,
        })
    }

    fn find(&self, place: Place) -> Option<(&Columns, usize, Option<&trouble::Trouble>)> {
        match place {
            Place::Row(at) => {
                let (batch, row) = *self.rows.get(at)?;
                Some((&self.made.get(batch)?.rows, row, None))
            }
            Place::Refused(at) => {
                let (batch, row) = *self.refused.get(at)?;
                let made = self.made.get(batch)?;
                Some((&made.refused, row, Some(made.troubles.get(row)?)))
            }
        }
    }
}

/// What the headers of a dead letter say: what those of an ingest chain do, and the job.
fn about(origin: &Origin, about: &trouble::Trouble) -> [(&'static str, String); 7] {
    [
        (trouble::ERROR, about.message.clone()),
        (trouble::ERROR_KIND, about.kind.to_string()),
        (trouble::PLUGIN, about.plugin.clone()),
        (trouble::ORIGIN_TOPIC, origin.topic.to_string()),
        (trouble::ORIGIN_PARTITION, origin.partition.to_string()),
        (trouble::ORIGIN_OFFSET, about.offset.to_string()),
        (trouble::JOB, origin.job.to_string()),
    ]
}

fn read(batch: &Bytes, header: &BatchHeader, inflater: &mut Inflater) -> Result<Columns, Trouble> {
    let bad = |what: String| {
        let at = header.base_offset;
        Trouble::Lasting(format!("the batch at offset {at} cannot be read: {what}"))
    };
    let codec = header
        .compression()
        .ok_or_else(|| bad("its codec is unknown".to_owned()))?;
    let packed = payload(batch, header);
    let records = match codec {
        Compression::None => packed,
        codec => inflater
            .inflate(codec, packed, BATCH_DECOMPRESSED_BYTES_MAX)
            .map_err(bad)?,
    };
    Columns::read(records, header, header.base_offset).map_err(|error| bad(error.to_string()))
}

/// Where each row goes.
fn targets(
    made: &Made,
    chains: &dyn Chains,
    origin: &Origin,
    recipe: &Recipe,
) -> Result<Vec<Target>, Trouble> {
    let rows = made.rows.rows();
    let chosen = |row: usize| {
        let outputs = made.outputs.as_ref();
        outputs.map_or(Some(0), |outputs| outputs.get(row).copied())
    };
    let mut targets = vec![None; rows];
    for (place, output) in (0..origin.outputs).zip(&recipe.outputs) {
        let mine: Vec<usize> = (0..rows)
            .filter(|row| chosen(*row) == Some(place))
            .collect();
        let keys = mine.iter().map(|row| made.rows.keys.get(*row));
        let partitions = match &output.partitioner {
            Some(plugin) => {
                let keys: Vec<Option<&[u8]>> = keys.collect();
                chains.partition(output.topic, plugin, &keys, output.partitions)?
            }
            None => keys
                .map(|key| match key {
                    Some(key) => partition_of(key, output.partitions),
                    // Records without a key stay in the order they have.
                    None => beside(origin.partition, output.partitions),
                })
                .collect(),
        };
        if partitions.len() != mine.len() {
            let text = format!("{} keys got {} partitions", mine.len(), partitions.len());
            return Err(Trouble::Lasting(text));
        }
        for (row, partition) in mine.into_iter().zip(partitions) {
            if let Some(target) = targets.get_mut(row) {
                *target = Some(Target {
                    output: place,
                    partition,
                });
            }
        }
    }
    let wrong = targets.iter().position(Option::is_none);
    match wrong {
        None => Ok(targets.into_iter().flatten().collect()),
        Some(row) => {
            let offset = made.rows.offsets.get(row).copied().unwrap_or(-1);
            Err(Trouble::Lasting(format!(
                "the record at offset {offset} was sent to an output that the job does not have"
            )))
        }
    }
}

fn beside(partition: PartitionIndex, partitions: u32) -> PartitionIndex {
    let count = i32::try_from(partitions).unwrap_or(i32::MAX);
    PartitionIndex(partition.0.checked_rem(count).unwrap_or(0))
}

fn headers_of(rows: &Columns, row: usize) -> impl Iterator<Item = RecordHeader<'_>> {
    rows.headers.row(row).map(|at| RecordHeader {
        key: rows.headers.names.get(at).unwrap_or_default(),
        value: rows.headers.values.get(at),
    })
}

/// About how many bytes a record takes in a batch.
fn bytes_of(rows: &Columns, row: usize) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = headers_of(rows, row).map(|header| header.key.len() + length(header.value) + 8);
    24 + length(rows.keys.get(row)) + length(rows.values.get(row)) + headers.sum::<usize>()
}

/// The recipe of an order that has one.
pub(crate) const fn recipe_of(order: &Order) -> Option<(Offset, &Recipe)> {
    match order {
        Order::Transform { from, recipe } => Some((*from, recipe)),
        _ => None,
    }
}
