//! FindCoordinator: the broker that leads the group's partition of `__consumer_offsets`, which is
//! made when somebody asks for the first time.

use crate::{
    authorizer::{Operation, Resource},
    front::{Call, Context, Front, Plan, join::Kind, leaders::endpoint, topics::command_plan},
    groups::key_of,
    limits::GROUP_BATCH_BYTES_MAX,
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use weir_meta::{
    Command, Image, Reply,
    command::{CreateTopics, NewTopic},
    name::CONSUMER_OFFSETS,
};
use weir_types::{BrokerId, ErrorCode, TopicId};
use weir_wire::{
    Response, Text,
    messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse},
};

/// How long a client waits for `__consumer_offsets` to be made, in milliseconds.
const CREATE_MS: i32 = 10_000;

/// Kafka's numbers of what a key is.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// A FindCoordinator request, perhaps while the topic is being made.
#[derive(Debug)]
pub(in super::super) struct CoordinatorJoin {
    request: FindCoordinatorRequest,
    /// Why the topic could not be made.
    failed: Option<String>,
}

/// Where a coordinator is, or why there is none.
type Found = Result<(BrokerId, Text, i32), (ErrorCode, String)>;

impl Front {
    pub(in super::super) fn find_coordinator(
        &self,
        call: &mut Call<'_>,
        request: FindCoordinatorRequest,
    ) -> Plan {
        let of_groups = request.key_type == GROUP;
        let join = CoordinatorJoin {
            request,
            failed: None,
        };
        if !of_groups || call.image.topic_named(CONSUMER_OFFSETS).is_some() {
            return Plan::Answer(join.finish(call.image, call.context, call.version));
        }
        let settings = [
            ("retention.ms", "-1".to_string()),
            ("retention.bytes", "-1".to_string()),
            ("max.message.bytes", GROUP_BATCH_BYTES_MAX.to_string()),
        ];
        let topic = NewTopic {
            id: TopicId((call.random)()),
            name: CONSUMER_OFFSETS.to_string(),
            num_partitions: self.config.offsets_partitions,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: settings
                .map(|(name, value)| (name.to_string(), Some(value)))
                .into(),
        };
        let command = Command::CreateInternalTopics(CreateTopics {
            topics: Vec::from([topic]),
            validate_only: false,
            num_partitions_default: self.config.offsets_partitions,
            replication_factor_default: self.config.replication_factor,
        });
        command_plan(call, command, CREATE_MS, Kind::Coordinator(join))
    }
}

impl CoordinatorJoin {
    pub(in super::super) fn absorb(&mut self, reply: Result<Reply, (ErrorCode, String)>) {
        self.failed = match reply {
            Ok(Reply::Created(topics)) => {
                let failed = topics.into_iter().find(|topic| {
                    // Somebody else may have been quicker.
                    let error = topic.outcome.error;
                    error.is_err() && error != ErrorCode::TopicAlreadyExists
                });
                failed.and_then(|topic| topic.outcome.message)
            }
            Ok(_) => None,
            Err((_, text)) => Some(text),
        };
    }

    pub(in super::super) fn finish(
        self,
        image: &Image,
        context: &Context,
        version: i16,
    ) -> Response {
        let keys = if version >= 4 {
            self.request.coordinator_keys.clone()
        } else {
            Vec::from([self.request.key.clone()])
        };
        let row = |key: Text| match self.find(image, context, &key) {
            Ok((node_id, host, port)) => Coordinator {
                key,
                node_id,
                host,
                port,
                error_code: ErrorCode::None,
                error_message: None,
            },
            Err((error_code, text)) => Coordinator {
                key,
                node_id: BrokerId(-1),
                host: Text::EMPTY,
                port: -1,
                error_code,
                error_message: Some(Text::from(text)),
            },
        };
        let mut coordinators: Vec<Coordinator> = keys.into_iter().map(row).collect();
        if version >= 4 {
            return FindCoordinatorResponse {
                coordinators,
                ..Default::default()
            }
            .into();
        }
        let only = coordinators.pop().unwrap_or_default();
        FindCoordinatorResponse {
            throttle_time_ms: 0,
            error_code: only.error_code,
            error_message: only.error_message,
            node_id: only.node_id,
            host: only.host,
            port: only.port,
            coordinators: Vec::new(),
        }
        .into()
    }

    fn find(&self, image: &Image, context: &Context, key: &str) -> Found {
        let unavailable = |text: &str| {
            let error = ErrorCode::CoordinatorNotAvailable;
            Err((error, text.to_string()))
        };
        match self.request.key_type {
            GROUP => {}
            TRANSACTION => return unavailable("transactions are not there yet"),
            other => {
                let text = alloc::format!("keys of type {other} have no coordinator here");
                return Err((ErrorCode::InvalidRequest, text));
            }
        }
        if !context.may(Operation::Describe, Resource::Group(key)) {
            let text = alloc::format!("not allowed to look at group '{key}'");
            return Err((ErrorCode::GroupAuthorizationFailed, text));
        }
        let Some(place) = key_of(image, key) else {
            let text = self.failed.as_deref();
            return unavailable(text.unwrap_or("the topic of groups is being made"));
        };
        let topic = image.topic(place.topic);
        let leader = topic
            .and_then(|topic| topic.partition(place.index)?.leader)
            .and_then(|leader| image.broker(leader));
        let reached = leader.and_then(|broker| Some((broker.id, endpoint(broker, context)?)));
        match reached {
            Some((id, (host, port))) => Ok((id, host, port)),
            None => unavailable("the coordinator cannot be reached over this listener"),
        }
    }
}
