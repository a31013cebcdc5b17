//! One produce request: batches out, and each batch's fate read from the answer.
//!
//! What a fate means for the batches behind it is decided by the accumulator, not here.

use super::{
    accumulator::{Attempt, BatchData, Drained, Slot},
    batch::FinishedBatch,
    builder::Acks,
};
use crate::{
    cluster::{
        broker::{Purpose, Session},
        shared::Shared,
        transport::BoxFuture,
    },
    error::{BrokerError, ProduceError, RequestError},
    record::TopicPartition,
};
use std::sync::Arc;
use weir_codec::Compression;
use weir_types::{BrokerId, ErrorCode, Offset, TimestampMs, TopicId};
use weir_wire::{
    Text,
    messages::{
        PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
        TopicProduceData, TopicProduceResponse,
    },
    records::Records,
};

/// The first version that names topics by id (KIP-516).
const TOPIC_ID_VERSION: i16 = 13;

/// What a request needs to be made.
pub(crate) struct Exchange<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) acks: Acks,
    pub(crate) compression: Compression,
    pub(crate) compression_level: Option<i32>,
}

/// A request under way.
pub(crate) type Flight = BoxFuture<'static, Landed>;

/// How the batches of a request ended.
pub(crate) struct Landed {
    pub(crate) attempts: Vec<(Slot, u64, Attempt)>,
    pub(crate) metadata_is_stale: bool,
}

/// A batch that was sent.
struct Sent {
    slot: Slot,
    id: u64,
    partition: TopicPartition,
    topic_id: TopicId,
    batch: FinishedBatch,
}

impl Exchange<'_> {
    /// Sends batches in one request. What cannot be sent has landed already.
    pub(crate) async fn send(
        &self,
        broker: BrokerId,
        purpose: Purpose,
        mut drained: Vec<Drained>,
    ) -> Result<Flight, Landed> {
        // Batches of one topic stand together in the request.
        drained.sort_by(|a, b| a.partition.cmp(&b.partition));
        let (sent, mut failed) = self.finish(drained);
        let session = match self.session(broker, purpose).await {
            Ok(session) => session,
            Err(error) => {
                let mut landed = all_retried(sent, &error);
                landed.attempts.append(&mut failed);
                return Err(landed);
            }
        };
        match self.submit(&session, sent).await {
            Ok(flight) if failed.is_empty() => Ok(flight),
            Ok(flight) => Ok(Box::pin(async move {
                let mut landed = flight.await;
                landed.attempts.append(&mut failed);
                landed
            })),
            Err(mut landed) => {
                landed.attempts.append(&mut failed);
                Err(landed)
            }
        }
    }

    async fn session(&self, broker: BrokerId, purpose: Purpose) -> Result<Session, RequestError> {
        self.shared.broker(broker)?.session(purpose).await
    }

    /// Compresses what is new and renumbers what was sent before.
    fn finish(&self, drained: Vec<Drained>) -> (Vec<Sent>, Vec<(Slot, u64, Attempt)>) {
        let (mut sent, mut failed) = (Vec::with_capacity(drained.len()), Vec::new());
        for drained in drained {
            let (slot, id) = (drained.slot, drained.id);
            let built = match drained.data {
                BatchData::Built(batch) => Ok(batch.renumber(drained.stamp)),
                BatchData::Raw(builder) => FinishedBatch::build(
                    builder,
                    self.compression,
                    self.compression_level,
                    drained.stamp,
                ),
            };
            match built {
                Ok(batch) => sent.push(Sent {
                    slot,
                    id,
                    partition: drained.partition,
                    topic_id: drained.topic_id,
                    batch,
                }),
                Err(error) => {
                    let error = ProduceError::Compression {
                        reason: error.to_string(),
                    };
                    failed.push((slot, id, fatal(error)));
                }
            }
        }
        (sent, failed)
    }

    async fn submit(&self, session: &Session, sent: Vec<Sent>) -> Result<Flight, Landed> {
        let by_id = sent.iter().all(|sent| sent.topic_id != TopicId::ZERO);
        let cap = if by_id {
            i16::MAX
        } else {
            TOPIC_ID_VERSION - 1
        };
        let timeout = self.shared.config.request_timeout;
        let request = ProduceRequest {
            acks: self.acks.number(),
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data: topics(&sent),
            ..ProduceRequest::default()
        };
        let version = match session.version::<ProduceRequest>(cap) {
            Ok(version) => version,
            Err(error) => return Err(all_failed(sent, &error)),
        };
        let client_id = &self.shared.client_id;
        if self.acks == Acks::None {
            return match session.tell(version, &request, client_id).await {
                Ok(()) => Err(all_unanswered(sent)),
                Err(error) => Err(all_retried(sent, &error)),
            };
        }
        let (compression, level) = (self.compression, self.compression_level);
        match session.submit(version, &request, client_id, timeout).await {
            Ok(answer) => Ok(Box::pin(async move {
                match answer.await {
                    Ok(response) => land(sent, &response, compression, level),
                    Err(error) => all_retried(sent, &error),
                }
            })),
            Err(error) => Err(all_retried(sent, &error)),
        }
    }
}

fn topics(sent: &[Sent]) -> Vec<TopicProduceData> {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for sent in sent {
        let data = PartitionProduceData {
            index: sent.partition.partition,
            records: Some(Records::Slice(sent.batch.bytes.clone())),
            ..PartitionProduceData::default()
        };
        match topics.last_mut() {
            Some(last) if last.name == *sent.partition.topic => last.partition_data.push(data),
            _ => topics.push(TopicProduceData {
                name: Text::from(&*sent.partition.topic),
                topic_id: sent.topic_id,
                partition_data: vec![data],
            }),
        }
    }
    topics
}

/// Matches an answer with its request.
fn land(
    sent: Vec<Sent>,
    response: &ProduceResponse,
    compression: Compression,
    level: Option<i32>,
) -> Landed {
    let answers: Vec<_> = response
        .responses
        .iter()
        .flat_map(|topic| topic.partition_responses.iter().map(move |p| (topic, p)))
        .collect();
    let mut landed = Landed {
        attempts: Vec::with_capacity(sent.len()),
        metadata_is_stale: false,
    };
    for (place, sent) in sent.into_iter().enumerate() {
        let fits = |(topic, answer): &&(&TopicProduceResponse, &PartitionProduceResponse)| {
            answer.index == sent.partition.partition
                && (topic.name == *sent.partition.topic
                    || (topic.topic_id == sent.topic_id && sent.topic_id != TopicId::ZERO))
        };
        // Nearly always answers come in the order of the request.
        let answer = answers.get(place).filter(fits);
        let answer = answer.or_else(|| answers.iter().find(fits));
        let (slot, id) = (sent.slot, sent.id);
        let attempt = match answer {
            Some((_, answer)) => {
                landed.metadata_is_stale |= shows_stale_metadata(answer.error_code);
                let too_large = answer.error_code == ErrorCode::MessageTooLarge;
                let halves = too_large.then(|| sent.batch.split(compression, level));
                match halves {
                    Some(Ok(Some(halves))) => Attempt::Split { halves },
                    Some(Err(reason)) => fatal(ProduceError::Compression { reason }),
                    _ => judge(sent, answer),
                }
            }
            None => Attempt::Retry {
                batch: sent.batch,
                cause: Arc::from("the broker's answer leaves the partition out"),
            },
        };
        landed.attempts.push((slot, id, attempt));
    }
    landed
}

fn shows_stale_metadata(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::KafkaStorageError
            | ErrorCode::NetworkException
    )
}

/// What one partition's answer means.
fn judge(sent: Sent, answer: &PartitionProduceResponse) -> Attempt {
    let message = answer.error_message.as_ref();
    let Err(error) = BrokerError::check(answer.error_code, message) else {
        return Attempt::Acked {
            base_offset: answer.base_offset,
            log_append_time: answer.log_append_time_ms,
        };
    };
    let cause = Arc::from(error.to_string());
    let batch = sent.batch;
    match error.code {
        // The broker has it and has forgotten where.
        ErrorCode::DuplicateSequenceNumber => Attempt::Acked {
            base_offset: Offset(-1),
            log_append_time: TimestampMs::NONE,
        },
        ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId => {
            Attempt::Gap { batch, cause }
        }
        ErrorCode::InvalidProducerEpoch | ErrorCode::InvalidProducerIdMapping => {
            Attempt::Fenced { batch, cause }
        }
        code if code.is_retriable() => Attempt::Retry { batch, cause },
        _ => Attempt::Failed {
            error: ProduceError::Refused {
                partition: sent.partition,
                error,
                culprit: false,
            },
            culprits: answer
                .record_errors
                .iter()
                .map(|record| record.batch_index)
                .collect(),
        },
    }
}

fn fatal(error: ProduceError) -> Attempt {
    Attempt::Failed {
        error,
        culprits: Arc::from([]),
    }
}

/// No answer: each batch is sent again if there is hope, and fails if there is none.
fn all_retried(sent: Vec<Sent>, error: &RequestError) -> Landed {
    if matches!(
        error,
        RequestError::Unsupported { .. } | RequestError::Encode { .. } | RequestError::Closed
    ) {
        return all_failed(sent, error);
    }
    let cause: Arc<str> = Arc::from(error.to_string());
    all(sent, true, |sent| Attempt::Retry {
        batch: sent.batch,
        cause: Arc::clone(&cause),
    })
}

fn all_failed(sent: Vec<Sent>, error: &RequestError) -> Landed {
    all(sent, false, |_| fatal(ProduceError::Request(error.clone())))
}

/// `acks=0`: nobody will ever know more.
fn all_unanswered(sent: Vec<Sent>) -> Landed {
    all(sent, false, |_| Attempt::Acked {
        base_offset: Offset(-1),
        log_append_time: TimestampMs::NONE,
    })
}

fn all(sent: Vec<Sent>, metadata_is_stale: bool, fate: impl Fn(Sent) -> Attempt) -> Landed {
    let attempts = sent
        .into_iter()
        .map(|sent| (sent.slot, sent.id, fate(sent)));
    Landed {
        attempts: attempts.collect(),
        metadata_is_stale,
    }
}
