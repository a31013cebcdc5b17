//! One line of a trace for each kind of thing: short for people, and with a digest of whatever
//! bytes it carries, so that two runs that differ anywhere have different traces.

use crate::trace::digest;
use weir_node::{Answer, Ask, Effect, Event};
use weir_types::log::{LogCommand, LogEvent, StoredBatch};
use weir_wire::Response;

pub(super) fn event(event: &Event) -> String {
    match event {
        Event::Ask { id, seen, ask } => format!("{id:?} seen {seen} {}", show_ask(ask)),
        Event::Log(log) => log_event(log),
        Event::Agreed { image, proposal } => {
            format!("agreed {} {proposal:?}", image.applied())
        }
        other => format!("{other:?}"),
    }
}

fn show_ask(ask: &Ask) -> String {
    match ask {
        Ask::Produce(produce) => {
            let mut text = format!("produce {:?}", produce.acks);
            for part in &produce.partitions {
                let header = &part.header;
                text.push_str(&format!(
                    " {}/{} pid {} seq {}+{} crc {:08x}",
                    part.key.topic,
                    part.key.index,
                    header.producer_id,
                    header.base_sequence,
                    header.record_count,
                    header.crc
                ));
            }
            text
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Answer { id, answer } => format!("{id:?} {}", show_answer(answer)),
        Effect::Log(command) => log_command(command),
        other => format!("{other:?}"),
    }
}

fn show_answer(answer: &Answer) -> String {
    match answer {
        Answer::Fetch(results) => {
            let mut text = String::from("fetched");
            for result in results {
                text.push_str(&format!(
                    " [{} start {} hw {} {}]",
                    result.error.name(),
                    result.log_start,
                    result.high_watermark,
                    stored(&result.batches)
                ));
            }
            text
        }
        other => format!("{other:?}"),
    }
}

fn log_command(command: &LogCommand) -> String {
    match command {
        LogCommand::Append {
            partition, meta, ..
        } => format!(
            "append {partition} {}..={} pid {} seq {}",
            meta.base_offset, meta.last_offset, meta.producer_id, meta.base_sequence
        ),
        other => format!("{other:?}"),
    }
}

pub(super) fn log_event(event: &LogEvent) -> String {
    match event {
        LogEvent::ReadDone {
            token,
            batches: Ok(batches),
        } => format!("read {token:?} {}", stored(batches)),
        LogEvent::TimeFound {
            token,
            batch: Ok(batch),
        } => format!("time {token:?} {}", stored(batch.as_slice())),
        LogEvent::Opened {
            topic,
            index,
            partition,
            state,
        } => format!(
            "opened {topic}/{index} as {partition}: {}..{} {} bytes, epochs {:?}, {} producers",
            state.start,
            state.end,
            state.size_bytes,
            state.epochs,
            state.producers.len()
        ),
        other => format!("{other:?}"),
    }
}

fn stored(batches: &[StoredBatch]) -> String {
    let mut hash = 0;
    let mut bytes = 0;
    for batch in batches {
        bytes += batch.size_bytes();
        match batch {
            StoredBatch::Cached(batch) => {
                hash = digest(digest(hash, batch.head()), batch.body());
            }
            StoredBatch::Read(read) => hash = digest(hash, read),
        }
    }
    format!("{bytes} bytes {hash:016x}")
}

pub(super) fn response(response: &Response) -> String {
    match response {
        Response::Fetch(fetch) => {
            let mut text = format!(
                "Fetch {} session {}",
                fetch.error_code.name(),
                fetch.session_id
            );
            for topic in &fetch.responses {
                for part in &topic.partitions {
                    let bytes = part.records.as_ref().map(weir_wire::Records::to_bytes);
                    let bytes = bytes.unwrap_or_default();
                    text.push_str(&format!(
                        " [{} {} {} start {} hw {} {} bytes {:016x}]",
                        topic.topic_id,
                        part.partition_index,
                        part.error_code.name(),
                        part.log_start_offset,
                        part.high_watermark,
                        bytes.len(),
                        digest(0, &bytes)
                    ));
                }
            }
            text
        }
        Response::Metadata(metadata) => {
            let mut text = String::from("Metadata");
            for topic in &metadata.topics {
                text.push_str(&format!(" {}x{}", topic.topic_id, topic.partitions.len()));
            }
            text
        }
        other => format!("{other:?}"),
    }
}
