//! Produce: every batch is validated here, then goes to its shard. InitProducerId.

use super::{
    Call, Front, Part, Plan,
    join::{Join, Kind},
    place::{ANY, Partitioner, Producing, wanted},
    split::Split,
};
use crate::{
    authorizer::{Operation, Resource},
    request::{Acks, Ask, META_SHARD, PartitionKey, ProducePart},
    validate::{Invalid, Validated, validate_batch},
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

/// What is done with a batch that may be written.
enum Checked {
    /// It goes to its partition.
    Part(ProducePart),
    /// Its topic's partitioner is asked first.
    Wanted(Partitioner, Arc<Topic>, Validated),
}

impl Front {
    pub(super) fn produce(&mut self, call: &mut Call<'_>, request: ProduceRequest) -> Plan {
        let whole = whole_request_error(&request, call.version);
        let mut producing = Producing {
            acks: Acks::from_wire(request.acks).unwrap_or(Acks::Leader),
            timeout_ms: u64::try_from(request.timeout_ms).unwrap_or(0),
            silent: request.acks == 0,
            split: Split::new(self.config.shards),
            response: ProduceResponse::default(),
            ids: Vec::with_capacity(request.topic_data.len()),
            failure: None,
        };
        let mut asked = Vec::new();
        for (at, data) in request.topic_data.into_iter().enumerate() {
            let topic = match &whole {
                Some(invalid) => Err(invalid.clone()),
                None => writable(call, &data),
            };
            let id = topic.as_ref().map_or(TopicId::ZERO, |topic| topic.id);
            producing.ids.push(id);
            let response = |part: &PartitionProduceData| PartitionProduceResponse {
                index: part.index,
                base_offset: Offset(-1),
                ..Default::default()
            };
            producing.response.responses.push(TopicProduceResponse {
                name: data.name,
                topic_id: data.topic_id,
                partition_responses: data.partition_data.iter().map(response).collect(),
            });
            for (place, part) in data.partition_data.into_iter().enumerate() {
                let place = (at, place);
                let index = part.index;
                match self.check(call, &topic, part) {
                    Ok(Checked::Part(part)) => producing.split.push(part.key, place, part),
                    Ok(Checked::Wanted(partitioner, topic, validated)) => {
                        asked.push(wanted(&topic, partitioner, index, validated, place));
                    }
                    Err(invalid) => producing.refuse(place, invalid),
                }
            }
        }
        producing.plan_with(call, asked)
    }

    /// The validated batch for one partition.
    fn check(
        &mut self,
        call: &mut Call<'_>,
        topic: &Result<Arc<Topic>, Invalid>,
        part: PartitionProduceData,
    ) -> Result<Checked, Invalid> {
        let topic = topic.as_ref().map_err(Clone::clone)?;
        let index: PartitionIndex = part.index;
        let config = self.configs.get(call.image, &self.config.statics, topic);
        let partitioner = Self::partitioner(call, topic, &config, &part)?;
        let is_there = topic.partition(index).is_some();
        if !(is_there || (index == ANY && partitioner.is_some())) {
            return Err(invalid(
                ErrorCode::UnknownTopicOrPartition,
                format!("topic '{}' has no partition {index}", topic.name),
            ));
        }
        let Some(records) = part.records.filter(|records: &Records| !records.is_empty()) else {
            let text = "there is no record batch for the partition".to_string();
            return Err(invalid(ErrorCode::InvalidRecord, text));
        };
        let bytes = records.to_bytes();
        let wall = call.now.wall;
        let validated = validate_batch(&bytes, &config, call.version, wall, call.inflate)?;
        if let Some(partitioner) = partitioner {
            return Ok(Checked::Wanted(partitioner, topic.clone(), validated));
        }
        Ok(Checked::Part(ProducePart {
            key: PartitionKey {
                topic: topic.id,
                index,
            },
            batch: validated.batch,
            header: validated.header,
            sequences: Sequences::Contiguous,
        }))
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
    if topic.is_some_and(|topic| topic.view.is_some()) {
        let text = format!("'{name}' is a view and takes no records");
        return Err(invalid(ErrorCode::InvalidTopicException, text));
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

pub(super) const fn invalid(error: ErrorCode, message: String) -> Invalid {
    Invalid {
        error,
        message,
        record: None,
    }
}

pub(super) fn set_invalid(response: &mut PartitionProduceResponse, invalid: Invalid) {
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
