//! Produce: every batch is validated here, then goes to its shard. InitProducerId.

use super::{
    Call, Front, Part, Plan,
    join::{Join, Kind},
    split::Split,
};
use crate::{
    authorizer::{Operation, Resource},
    request::{Acks, Ask, META_SHARD, PartitionKey, ProduceAsk, ProducePart},
    validate::{Invalid, validate_batch},
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};
use weir_meta::Topic;
use weir_replica::Sequences;
use weir_types::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicId};
use weir_wire::{
    Records, Text,
    messages::{
        BatchIndexAndErrorMessage, InitProducerIdRequest, InitProducerIdResponse,
        PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
        TopicProduceData, TopicProduceResponse,
    },
};

impl Front {
    pub(super) fn produce(&mut self, call: &mut Call<'_>, request: ProduceRequest) -> Plan {
        let whole = whole_request_error(&request, call.version);
        let acks = Acks::from_wire(request.acks).unwrap_or(Acks::Leader);
        let timeout_ms = u64::try_from(request.timeout_ms).unwrap_or(0);
        let mut split = Split::new(self.config.shards);
        let mut responses = Vec::with_capacity(request.topic_data.len());
        let mut ids = Vec::with_capacity(request.topic_data.len());
        let mut failure = None;
        for (at, data) in request.topic_data.into_iter().enumerate() {
            let topic = match &whole {
                Some(invalid) => Err(invalid.clone()),
                None => writable(call, &data),
            };
            ids.push(topic.as_ref().map_or(TopicId::ZERO, |topic| topic.id));
            let mut partitions = Vec::with_capacity(data.partition_data.len());
            for (place, part) in data.partition_data.into_iter().enumerate() {
                let mut response = PartitionProduceResponse {
                    index: part.index,
                    base_offset: Offset(-1),
                    ..Default::default()
                };
                match self.check(call, &topic, part) {
                    Ok(part) => split.push(part.key, (at, place), part),
                    Err(invalid) => {
                        failure.get_or_insert_with(|| invalid.message.clone());
                        set_invalid(&mut response, invalid);
                    }
                }
                partitions.push(response);
            }
            responses.push(TopicProduceResponse {
                name: data.name,
                topic_id: data.topic_id,
                partition_responses: partitions,
            });
        }
        let silent = request.acks == 0;
        if let (true, Some(reason)) = (silent, failure) {
            let reason = format!("a batch sent with acks=0 was refused: {reason}");
            return Plan::Close { reason };
        }
        let response = ProduceResponse {
            responses,
            ..Default::default()
        };
        if split.is_empty() {
            return if silent {
                Plan::Silent
            } else {
                Plan::answer(response)
            };
        }
        let (parts, places) = split.into_parts(call.image.applied(), |partitions| {
            Ask::Produce(ProduceAsk {
                acks,
                timeout_ms,
                partitions,
            })
        });
        let kind = Kind::Produce {
            response,
            ids,
            silent,
        };
        Plan::Parts {
            parts,
            join: Join::new(kind, places, call),
        }
    }

    /// The validated batch for one partition.
    fn check(
        &mut self,
        call: &mut Call<'_>,
        topic: &Result<Arc<Topic>, Invalid>,
        part: PartitionProduceData,
    ) -> Result<ProducePart, Invalid> {
        let topic = topic.as_ref().map_err(Clone::clone)?;
        let index: PartitionIndex = part.index;
        if topic.partition(index).is_none() {
            return Err(invalid(
                ErrorCode::UnknownTopicOrPartition,
                format!("topic '{}' has no partition {index}", topic.name),
            ));
        }
        let Some(records) = part.records.filter(|records: &Records| !records.is_empty()) else {
            let text = "there is no record batch for the partition".to_string();
            return Err(invalid(ErrorCode::InvalidRecord, text));
        };
        let config = self.configs.get(call.image, &self.config.statics, topic);
        let bytes = records.to_bytes();
        let wall = call.now.wall;
        let validated = validate_batch(&bytes, &config, call.version, wall, call.inflate)?;
        Ok(ProducePart {
            key: PartitionKey {
                topic: topic.id,
                index,
            },
            batch: validated.batch,
            header: validated.header,
            sequences: Sequences::Contiguous,
        })
    }
}

pub(super) fn init_producer_id(call: &Call<'_>, request: &InitProducerIdRequest) -> Plan {
    let may = Operation::IdempotentWrite;
    let error = if request.transactional_id.is_some() {
        ErrorCode::InvalidRequest
    } else if !call.context.may(may, Resource::Cluster) {
        ErrorCode::ClusterAuthorizationFailed
    } else {
        // A producer without transactions always begins anew, whatever id it had before.
        let part = Part {
            shard: META_SHARD,
            seen: call.image.applied(),
            ask: Ask::ProducerId,
        };
        return Plan::Parts {
            parts: vec![part],
            join: Join::new(Kind::ProducerId(None), Vec::new(), call),
        };
    };
    Plan::answer(init_producer_id_response(Err(error)))
}

/// The answer to InitProducerId.
pub(super) fn init_producer_id_response(
    id: Result<ProducerId, ErrorCode>,
) -> InitProducerIdResponse {
    InitProducerIdResponse {
        throttle_time_ms: 0,
        error_code: id.err().unwrap_or(ErrorCode::None),
        producer_id: id.unwrap_or(ProducerId::NONE),
        producer_epoch: ProducerEpoch(if id.is_ok() { 0 } else { -1 }),
    }
}

/// What is wrong with the request as a whole; every partition gets it.
fn whole_request_error(request: &ProduceRequest, version: i16) -> Option<Invalid> {
    if version < 3 {
        let text =
            "Produce needs version 3 or later: older ones carry message sets of before Kafka 0.11";
        return Some(invalid(ErrorCode::UnsupportedVersion, text.to_string()));
    }
    if request.transactional_id.is_some() {
        let text = "transactions are not there yet".to_string();
        return Some(invalid(ErrorCode::InvalidRequest, text));
    }
    if Acks::from_wire(request.acks).is_none() {
        let text = format!("acks must be 0, 1 or -1 (all), not {}", request.acks);
        return Some(invalid(ErrorCode::InvalidRequiredAcks, text));
    }
    None
}

/// The topic, if the caller may write to it.
fn writable(call: &Call<'_>, data: &TopicProduceData) -> Result<Arc<Topic>, Invalid> {
    let by_id = call.version >= 13;
    let topic = if by_id {
        call.image.topic(data.topic_id)
    } else {
        call.image.topic_named(&data.name)
    };
    // Whoever may not write to a topic is not told whether it is there.
    let name = topic.map_or(data.name.as_str(), |topic| &topic.name);
    if !call.context.may(Operation::Write, Resource::Topic(name)) {
        let who = &call.context.principal.name;
        let text = format!("'{who}' may not do this");
        return Err(invalid(ErrorCode::TopicAuthorizationFailed, text));
    }
    topic.cloned().ok_or_else(|| {
        if by_id {
            let text = format!("there is no topic of id {}", data.topic_id);
            invalid(ErrorCode::UnknownTopicId, text)
        } else {
            let text = format!("there is no topic '{}'", data.name);
            invalid(ErrorCode::UnknownTopicOrPartition, text)
        }
    })
}

const fn invalid(error: ErrorCode, message: String) -> Invalid {
    Invalid {
        error,
        message,
        record: None,
    }
}

fn set_invalid(response: &mut PartitionProduceResponse, invalid: Invalid) {
    response.error_code = invalid.error;
    let message = Text::from(invalid.message);
    if let Some(record) = invalid.record {
        response.record_errors = vec![BatchIndexAndErrorMessage {
            batch_index: i32::try_from(record).unwrap_or(i32::MAX),
            batch_index_error_message: Some(message.clone()),
        }];
    }
    response.error_message = Some(message);
}
