//! Fetch: which partitions are wanted (with or without a session), who may read them, and how the
//! shards share the limits.

use super::{
    Call, Front, Plan,
    fetch_session::{FetchSession, SessionPartition, Told, TopicKey, Want},
    join::{FetchJoin, Join, Kind},
    split::Split,
};
use crate::{
    authorizer::{Operation, Resource},
    limits::FETCH_SESSION_PARTITIONS_MAX,
    request::{Ask, FetchAsk, FetchPart, PartitionKey},
};
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use weir_meta::Topic;
use weir_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};
use weir_wire::{
    Records,
    messages::{FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, PartitionData},
};

/// Sessionless: the request says everything and nothing is remembered.
const FINAL_EPOCH: i32 = -1;
/// Begins a session.
const INITIAL_EPOCH: i32 = 0;
/// Not part of a session.
const NO_SESSION: i32 = 0;

/// Where the partitions of an answer come from.
#[derive(Clone, Copy)]
enum Source {
    /// The request names them, and nothing is remembered.
    Request,
    /// The session that the request has just begun.
    NewSession,
    /// The session; the number says where the answer begins.
    Session(usize),
}

impl Front {
    pub(super) fn fetch(&mut self, call: &mut Call<'_>, request: &FetchRequest) -> Plan {
        let replica = request.replica_id.0.max(request.replica_state.replica_id.0);
        if replica >= 0
            && !call
                .context
                .may(Operation::ClusterAction, Resource::Cluster)
        {
            return whole_error(ErrorCode::ClusterAuthorizationFailed);
        }
        let source = match self.source(call, request) {
            Ok(source) => source,
            Err(error) => return whole_error(error),
        };
        let mut builder = Builder::new(self.config.shards);
        match (source, &self.session) {
            (Source::Session(first), Some(session)) => builder.add_session(call, session, first),
            (Source::NewSession, Some(session)) => {
                builder.add_request(call, request, Some(session));
            }
            _ => builder.add_request(call, request, None),
        }
        let session_id = match (source, &self.session) {
            (Source::NewSession | Source::Session(_), Some(session)) => session.id,
            _ => NO_SESSION,
        };
        let incremental = matches!(source, Source::Session(_));
        let join = FetchJoin {
            response: FetchResponse {
                session_id,
                responses: builder.responses,
                ..Default::default()
            },
            told: builder.told,
            ids: builder.ids,
            views: builder.views,
            incremental,
        };
        let shards = builder.split.len();
        if shards == 0 {
            let (response, _none) = join.finish(call.image, call.context, call.version);
            return Plan::answer(response);
        }
        let bytes = |value: i32| usize::try_from(value).unwrap_or(0);
        // Each shard gets its share; the first that has something makes the others hurry.
        let min_bytes = bytes(request.min_bytes).div_ceil(shards);
        let max_bytes = bytes(request.max_bytes) / shards;
        let max_wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
        let read_committed = request.isolation_level == 1;
        let (parts, places) = builder
            .split
            .into_parts(call.image.applied(), |partitions| {
                Ask::Fetch(FetchAsk {
                    max_wait_ms,
                    min_bytes,
                    max_bytes,
                    read_committed,
                    partitions,
                })
            });
        Plan::Parts {
            parts,
            join: Join::new(Kind::Fetch(join), places, call),
        }
    }

    /// Where the partitions come from; begins, changes or ends the session.
    fn source(&mut self, call: &mut Call<'_>, request: &FetchRequest) -> Result<Source, ErrorCode> {
        let uses_ids = call.version >= 13;
        match (request.session_id, request.session_epoch) {
            (id, FINAL_EPOCH) => {
                self.close_session(id);
                Ok(Source::Request)
            }
            (id, INITIAL_EPOCH) => {
                self.close_session(id);
                Ok(self.begin_session(call, request, uses_ids))
            }
            (id, epoch) => {
                let session = self.session.as_mut().filter(|session| session.id == id);
                let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?;
                if session.epoch != epoch {
                    return Err(ErrorCode::InvalidFetchSessionEpoch);
                }
                if session.uses_ids != uses_ids {
                    return Err(ErrorCode::FetchSessionTopicIdError);
                }
                session.epoch = FetchSession::next_epoch(epoch);
                change(session, request);
                if !session.count() {
                    // The client begins anew, and without a session.
                    self.session = None;
                    return Err(ErrorCode::FetchSessionIdNotFound);
                }
                // The answer begins elsewhere each time: the first partitions would otherwise
                // fill every answer that reaches its limit.
                let count = session.partitions.len().max(1);
                Ok(Source::Session(usize::try_from(epoch).unwrap_or(0) % count))
            }
        }
    }

    fn close_session(&mut self, id: i32) {
        let closes = |session: &FetchSession| session.id == id;
        if self.session.as_ref().is_some_and(closes) {
            self.session = None;
        }
    }

    /// Remembers what is fetched, unless it is too much.
    fn begin_session(
        &mut self,
        call: &mut Call<'_>,
        request: &FetchRequest,
        uses_ids: bool,
    ) -> Source {
        let count: usize = request.topics.iter().map(|t| t.partitions.len()).sum();
        if count == 0 || count > FETCH_SESSION_PARTITIONS_MAX {
            return Source::Request;
        }
        let random = (call.random)();
        let id = i32::from_be_bytes([random[0], random[1], random[2], random[3]]);
        let mut session = FetchSession::new(
            (id & i32::MAX).max(1),
            FetchSession::next_epoch(INITIAL_EPOCH),
            uses_ids,
            self.config.fetch_sessions.clone(),
        );
        change(&mut session, request);
        if !session.count() {
            return Source::Request;
        }
        self.session = Some(session);
        Source::NewSession
    }
}

fn key(topic: &FetchTopic) -> TopicKey {
    (topic.topic_id, topic.topic.clone())
}

/// Changes what a session fetches.
fn change(session: &mut FetchSession, request: &FetchRequest) {
    for topic in &request.forgotten_topics_data {
        for index in &topic.partitions {
            let key = (topic.topic_id, topic.topic.clone());
            session.partitions.remove(&(key, *index));
        }
    }
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = (key(topic), partition.partition);
            if let Some(known) = session.partitions.get_mut(&key) {
                known.want = Want::from(partition);
            } else if session.partitions.len() <= FETCH_SESSION_PARTITIONS_MAX {
                // One more than may be, so that counting sees it.
                let part = SessionPartition::new(partition);
                session.partitions.insert(key, part);
            }
        }
    }
}

/// Collects what is wanted into the response's shape and the shards' questions.
struct Builder {
    split: Split<FetchPart>,
    responses: Vec<FetchableTopicResponse>,
    /// The places of topics in `responses`; a topic may come twice in rotated order.
    topics: BTreeMap<TopicKey, usize>,
    ids: Vec<TopicId>,
    /// Which topics are views.
    views: Vec<bool>,
    told: Vec<Vec<Option<Arc<Told>>>>,
    /// The topic of the partition before, which nearly always is that of the next, too.
    last: Option<(TopicKey, usize, Result<Arc<Topic>, ErrorCode>)>,
}

impl Builder {
    const fn new(shards: u16) -> Self {
        Self {
            split: Split::new(shards),
            responses: Vec::new(),
            topics: BTreeMap::new(),
            ids: Vec::new(),
            views: Vec::new(),
            told: Vec::new(),
            last: None,
        }
    }

    /// Adds what a request names; with the session it has begun, if it has.
    fn add_request(
        &mut self,
        call: &Call<'_>,
        request: &FetchRequest,
        session: Option<&FetchSession>,
    ) {
        for topic in &request.topics {
            let topic_key = key(topic);
            for partition in &topic.partitions {
                let index = partition.partition;
                let told = session.and_then(|session| {
                    let known = session.partitions.get(&(topic_key.clone(), index))?;
                    Some(known.told.clone())
                });
                self.add(call, &topic_key, index, Want::from(partition), told);
            }
        }
    }

    /// Adds a session's partitions, beginning with the one at `first`.
    fn add_session(&mut self, call: &Call<'_>, session: &FetchSession, first: usize) {
        let all = session.partitions.iter();
        for ((topic, index), part) in all.clone().skip(first).chain(all.take(first)) {
            self.add(call, topic, *index, part.want, Some(part.told.clone()));
        }
    }

    fn add(
        &mut self,
        call: &Call<'_>,
        topic: &TopicKey,
        index: PartitionIndex,
        want: Want,
        told: Option<Arc<Told>>,
    ) {
        if self.last.as_ref().is_none_or(|(last, ..)| last != topic) {
            let found = readable(call, topic);
            let at = match self.topics.get(topic) {
                Some(at) => *at,
                None => self.add_topic(topic, found.as_ref().ok()),
            };
            self.last = Some((topic.clone(), at, found));
        }
        let Some((_, at, found)) = &self.last else {
            return;
        };
        let at = *at;
        let place = self.responses[at].partitions.len();
        let mut data = PartitionData {
            partition_index: index,
            high_watermark: Offset(-1),
            records: Some(Records::EMPTY),
            ..Default::default()
        };
        match found {
            Ok(topic) if topic.partition(index).is_some() => {
                let key = PartitionKey {
                    topic: topic.log(),
                    index,
                };
                self.split.push(key, (at, place), fetch_part(key, want));
            }
            Ok(_) => data.error_code = ErrorCode::UnknownTopicOrPartition,
            Err(error) => data.error_code = *error,
        }
        self.responses[at].partitions.push(data);
        self.told[at].push(told);
    }

    fn add_topic(&mut self, topic: &TopicKey, found: Option<&Arc<Topic>>) -> usize {
        let at = self.responses.len();
        self.responses.push(FetchableTopicResponse {
            topic: topic.1.clone(),
            topic_id: topic.0,
            partitions: Vec::new(),
        });
        self.ids.push(found.map_or(TopicId::ZERO, |found| found.id));
        self.views
            .push(found.is_some_and(|found| found.view.is_some()));
        self.told.push(Vec::new());
        self.topics.insert(topic.clone(), at);
        at
    }
}

/// The topic, if the caller may read it.
fn readable(call: &Call<'_>, (id, name): &TopicKey) -> Result<Arc<Topic>, ErrorCode> {
    let by_id = call.version >= 13;
    let topic = if by_id {
        call.image.topic(*id)
    } else {
        call.image.topic_named(name)
    };
    let named = topic.map_or(name.as_str(), |topic| &topic.name);
    let may = call.context.may(Operation::Read, Resource::Topic(named));
    if !may || topic.is_some_and(|topic| !call.context.may_read(topic)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    topic.cloned().ok_or(if by_id {
        ErrorCode::UnknownTopicId
    } else {
        ErrorCode::UnknownTopicOrPartition
    })
}

fn fetch_part(key: PartitionKey, want: Want) -> FetchPart {
    let known = |epoch: LeaderEpoch| Some(epoch).filter(|epoch| epoch.0 >= 0);
    FetchPart {
        key,
        fetch_offset: want.fetch_offset,
        current_leader_epoch: known(want.current_leader_epoch),
        last_fetched_epoch: known(want.last_fetched_epoch),
        max_bytes: usize::try_from(want.max_bytes).unwrap_or(0),
    }
}

fn whole_error(error_code: ErrorCode) -> Plan {
    Plan::answer(FetchResponse {
        error_code,
        ..Default::default()
    })
}
