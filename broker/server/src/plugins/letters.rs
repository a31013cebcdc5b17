//! Writes dead letters, through the broker's own front door, and waits until they are flushed.

use super::Plugins;
use crate::inside::Inside;
use crate::limits::DEAD_LETTER_BATCH_BYTES;
use std::sync::Arc;
use weir_plugin::trouble::ORIGIN_TOPIC;
use weir_plugin::{Author, Columns, Output, Staying, compose};
use weir_types::{ErrorCode, PartitionIndex};
use weir_wire::messages::{PartitionProduceData, ProduceRequest, TopicProduceData};
use weir_wire::{Records, Response, Text};

/// How long the log may take for dead letters, in milliseconds.
const TIMEOUT_MS: i32 = 30_000;

/// Whether a record is a dead letter.
pub(crate) fn is_letter(columns: &Columns, row: usize) -> bool {
    let names = &columns.headers.names;
    let mut of_row = columns.headers.row(row);
    of_row.any(|at| names.get(at) == Some(ORIGIN_TOPIC.as_bytes()))
}

/// Writes records to a topic, into the partition of the index they come from if it has so many.
///
/// # Errors
/// The error of the first batch that was not written, with its reason. Those before it are.
pub(crate) async fn send(
    plugins: &Arc<Plugins>,
    topic: &str,
    letters: Columns,
    from: PartitionIndex,
) -> Result<(), (ErrorCode, String)> {
    let failed = |reason: &str| (ErrorCode::KafkaStorageError, reason.to_owned());
    let shared = plugins
        .shared()
        .ok_or_else(|| failed("the broker starts or stops"))?;
    let image = plugins.image.load_full();
    let known = image.topic_named(topic).ok_or_else(|| {
        let text = format!("there is no topic '{topic}'");
        (ErrorCode::InvalidConfig, text)
    })?;
    let count = i32::try_from(known.partitions.len()).unwrap_or(i32::MAX);
    let index = PartitionIndex(from.0.checked_rem(count).unwrap_or(0));
    let id = known.id;
    let mut inside = Inside::new(&shared, "dead-letters");
    for batch in batches(&letters) {
        let partition = PartitionProduceData {
            index,
            records: Some(Records::Slice(batch.into())),
            ..Default::default()
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![TopicProduceData {
                name: Text::from(topic),
                topic_id: id,
                partition_data: vec![partition],
            }],
            ..Default::default()
        };
        let response = inside
            .ask(request)
            .await
            .map_err(|error| failed(&error.to_string()))?;
        outcome(&response)?;
    }
    Ok(())
}

fn outcome(response: &Response) -> Result<(), (ErrorCode, String)> {
    let Response::Produce(response) = response else {
        let text = "the broker answered something else".to_owned();
        return Err((ErrorCode::UnknownServerError, text));
    };
    let mut parts = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    match parts.find(|part| part.error_code.is_err()) {
        None => Ok(()),
        Some(part) => {
            let text = part.error_message.as_ref();
            let text = text.map_or_else(|| part.error_code.text().to_owned(), |t| t.to_string());
            Err((part.error_code, text))
        }
    }
}

/// The records in batches that any topic takes.
fn batches(letters: &Columns) -> Vec<Vec<u8>> {
    let same = Output::default();
    let staying = Staying::new(letters, &same);
    let mut batches = Vec::new();
    let mut places: Vec<u32> = Vec::new();
    let mut bytes = 0;
    for (place, row) in (0..).zip(0..letters.rows()) {
        let value = letters.values.get(row).map_or(0, <[u8]>::len);
        let size = value + letters.keys.get(row).map_or(0, <[u8]>::len);
        if bytes + size > DEAD_LETTER_BATCH_BYTES && !places.is_empty() {
            batches.push(compose(&staying, &places, Author::NOBODY).finish());
            places.clear();
            bytes = 0;
        }
        places.push(place);
        bytes += size;
    }
    if !places.is_empty() {
        batches.push(compose(&staying, &places, Author::NOBODY).finish());
    }
    batches
}
