//! A consumer of every partition: long polls, fetch sessions (KIP-227), and a new start from where
//! it is told to when its position is out of range.

use super::{
    Client, Context, Input,
    directory::Directory,
    job::is_hidden,
    link::{Change, Link, version},
    records::open,
};
use crate::{
    checks::{corruption, durability, liveness, polls, protocol},
    oracle::{cluster::ClusterTruth, truth::Floor},
    params::Params,
    random::Random,
    violation::Checked,
};
use std::collections::{BTreeMap, BTreeSet};
use weir_node::request::PartitionKey;
use weir_types::{BatchHeader, ErrorCode, LeaderEpoch, Offset, TimestampMs, TopicId};
use weir_wire::{
    ApiKey, Response, Text,
    messages::{
        FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic,
        ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
        PartitionData,
    },
};

/// Fetch names topics by id from this version on (KIP-516).
const FETCH_IDS_FROM: i16 = 13;
/// Fetch knows sessions from this version on (KIP-227).
const FETCH_SESSIONS_FROM: i16 = 7;
/// The pause after an error, in milliseconds.
const BACKOFF_MS: u64 = 20;
/// Bytes a consumer asks for once everything is to be finished.
const HASTY_BYTES: i32 = 8 * 1024 * 1024;
const LATEST: TimestampMs = TimestampMs(-1);
const EARLIEST: TimestampMs = TimestampMs(-2);

/// A consumer.
#[derive(Debug)]
pub struct Consumer {
    name: String,
    version: i16,
    link: Link,
    directory: Directory,
    reset_to: TimestampMs,
    read_committed: bool,
    places: BTreeMap<PartitionKey, Place>,
    gone: BTreeSet<PartitionKey>,
    fetch: Option<Asked>,
    list: Option<Listed>,
    session: Option<Session>,
    with_session: bool,
    pause_until: u64,
}

/// Where it is in a partition.
#[derive(Debug)]
struct Place {
    /// Nothing: to be asked for.
    position: Option<i64>,
    reset_to: TimestampMs,
    watermark: i64,
}

/// A fetch under way: what was known of each partition when it was sent.
#[derive(Debug)]
struct Asked {
    correlation_id: i32,
    known: BTreeMap<PartitionKey, (i64, Floor)>,
    names: BTreeMap<String, TopicId>,
}

#[derive(Debug)]
struct Listed {
    correlation_id: i32,
    known: BTreeMap<PartitionKey, (TimestampMs, Floor)>,
    names: BTreeMap<String, TopicId>,
}

#[derive(Debug)]
struct Session {
    id: i32,
    epoch: i32,
    sent: BTreeMap<PartitionKey, i64>,
}

impl Consumer {
    /// A consumer; `from_beginning` or only of what comes from now on.
    pub fn new(name: &str, from_beginning: bool, params: &Params, random: &mut Random) -> Self {
        let least = if params.reuse_names {
            FETCH_IDS_FROM
        } else {
            4
        };
        let version = version(random, ApiKey::Fetch, least);
        Self {
            name: name.to_owned(),
            version,
            link: Link::new(name),
            directory: Directory::default(),
            reset_to: if from_beginning { EARLIEST } else { LATEST },
            read_committed: random.percent(30),
            places: BTreeMap::new(),
            gone: BTreeSet::new(),
            fetch: None,
            list: None,
            session: None,
            with_session: version >= FETCH_SESSIONS_FROM && random.percent(70),
            pause_until: 0,
        }
    }

    /// In the end it has read every partition from `start` to `end`.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<PartitionKey, i64> {
        let places = self.places.iter();
        places
            .filter_map(|(key, place)| Some((*key, place.position?)))
            .collect()
    }

    fn assign(&mut self) {
        let partitions: Vec<PartitionKey> =
            self.directory.partitions().map(|(key, _)| key).collect();
        for key in &partitions {
            self.places.entry(*key).or_insert(Place {
                position: None,
                reset_to: self.reset_to,
                watermark: 0,
            });
        }
        self.places.retain(|key, _| partitions.contains(key));
    }

    fn names(&self, keys: impl Iterator<Item = PartitionKey>) -> BTreeMap<String, TopicId> {
        let ids: BTreeSet<TopicId> = keys.map(|key| key.topic).collect();
        let named = ids
            .iter()
            .filter_map(|id| Some((self.directory.name_of(*id)?.to_owned(), *id)));
        named.collect()
    }

    fn ask_positions(&mut self, context: &mut Context<'_>) {
        let lost = self
            .places
            .iter()
            .filter(|(_, place)| place.position.is_none());
        let known: BTreeMap<PartitionKey, (TimestampMs, Floor)> = lost
            .map(|(key, place)| (*key, (place.reset_to, context.truth.floor(*key))))
            .collect();
        if known.is_empty() || self.list.is_some() {
            return;
        }
        let mut topics: BTreeMap<TopicId, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (key, (time, _)) in &known {
            topics
                .entry(key.topic)
                .or_default()
                .push(ListOffsetsPartition {
                    partition_index: key.index,
                    current_leader_epoch: LeaderEpoch::NONE,
                    timestamp: *time,
                });
        }
        let topics = topics.into_iter().map(|(id, partitions)| ListOffsetsTopic {
            name: Text::from(self.directory.name_of(id).unwrap_or_default()),
            partitions,
        });
        let body = ListOffsetsRequest {
            topics: topics.collect(),
            ..ListOffsetsRequest::default()
        };
        let version = version(context.random, ApiKey::ListOffsets, 1);
        let names = self.names(known.keys().copied());
        let correlation_id = self.link.send(context, version, &body, true, 0);
        self.list = Some(Listed {
            correlation_id,
            known,
            names,
        });
    }

    fn positions_told(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: &ListOffsetsResponse,
    ) -> Checked {
        let Some(asked) = self
            .list
            .take_if(|asked| asked.correlation_id == correlation_id)
        else {
            return protocol::unexpected("offsets that nobody asked for");
        };
        for topic in &response.topics {
            for part in &topic.partitions {
                let id = asked.names.get(topic.name.as_str());
                let Some(topic) = id.copied() else { continue };
                let index = part.partition_index;
                let key = PartitionKey { topic, index };
                let Some((time, floor)) = asked.known.get(&key) else {
                    return protocol::unexpected(format!("offsets of {key:?}, not asked for"));
                };
                if part.error_code != ErrorCode::None {
                    self.failed(context, key, part.error_code)?;
                    continue;
                }
                if context.params.reuse_names && context.cluster.may_be_gone(key.topic) {
                    continue;
                }
                if *time == EARLIEST {
                    context.truth.told(key, *floor, part.offset.0, -1)?;
                } else {
                    context.truth.told(key, *floor, -1, part.offset.0)?;
                }
                if let Some(place) = self.places.get_mut(&key) {
                    place.position = Some(part.offset.0);
                }
            }
        }
        Ok(())
    }

    fn fetch(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick.0;
        if self.fetch.is_some() || self.pause_until > now {
            return;
        }
        let places = self.places.iter();
        let wanted: BTreeMap<PartitionKey, i64> = places
            .filter_map(|(key, place)| Some((*key, place.position?)))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let floors = wanted
            .iter()
            .map(|(key, position)| (*key, (*position, context.truth.floor(*key))));
        let known = floors.collect();
        let names = self.names(wanted.keys().copied());
        let hasty = context.healing;
        let wait = context.random.between(0, if hasty { 50 } else { 400 });
        let mut body = FetchRequest {
            max_wait_ms: i32::try_from(wait).unwrap_or(0),
            min_bytes: i32::try_from(context.random.between(0, 2_000)).unwrap_or(1),
            max_bytes: if hasty {
                HASTY_BYTES
            } else {
                draw_bytes(context.random)
            },
            isolation_level: i8::from(self.read_committed),
            ..FetchRequest::default()
        };
        self.sessioned(&mut body, wanted, context.random, hasty);
        let correlation_id = self.link.send(context, self.version, &body, true, wait);
        self.fetch = Some(Asked {
            correlation_id,
            known,
            names,
        });
    }

    /// Names what to fetch: all of it, or what changed in the session.
    fn sessioned(
        &mut self,
        body: &mut FetchRequest,
        wanted: BTreeMap<PartitionKey, i64>,
        random: &mut Random,
        hasty: bool,
    ) {
        let mut named: BTreeMap<TopicId, Vec<FetchPartition>> = BTreeMap::new();
        let sent = self.session.as_ref().map(|session| &session.sent);
        for (key, position) in &wanted {
            if sent.is_some_and(|sent| sent.get(key) == Some(position)) {
                continue;
            }
            named.entry(key.topic).or_default().push(FetchPartition {
                partition: key.index,
                fetch_offset: Offset(*position),
                partition_max_bytes: if hasty {
                    HASTY_BYTES
                } else {
                    draw_bytes(random)
                },
                ..FetchPartition::default()
            });
        }
        let text = |id: TopicId| Text::from(self.directory.name_of(id).unwrap_or_default());
        body.topics = named
            .into_iter()
            .map(|(topic_id, partitions)| FetchTopic {
                topic: text(topic_id),
                topic_id,
                partitions,
            })
            .collect();
        if let Some(sent) = sent {
            for key in sent.keys().filter(|key| !wanted.contains_key(key)) {
                body.forgotten_topics_data.push(ForgottenTopic {
                    topic: text(key.topic),
                    topic_id: key.topic,
                    partitions: vec![key.index],
                });
            }
        }
        match &mut self.session {
            Some(session) => {
                body.session_id = session.id;
                body.session_epoch = session.epoch;
                session.sent = wanted;
            }
            None => body.session_epoch = if self.with_session { 0 } else { -1 },
        }
    }

    fn fetched(
        &mut self,
        context: &mut Context<'_>,
        correlation_id: i32,
        response: &FetchResponse,
    ) -> Checked {
        let Some(asked) = self
            .fetch
            .take_if(|asked| asked.correlation_id == correlation_id)
        else {
            return protocol::unexpected("a fetch that nobody asked for");
        };
        match response.error_code {
            ErrorCode::None => {}
            ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch
                if self.session.is_some() =>
            {
                self.session = None;
                return Ok(());
            }
            ErrorCode::UnknownTopicId | ErrorCode::FetchSessionTopicIdError => {
                self.session = None;
                self.directory.is_wrong();
                return Ok(());
            }
            error if error.is_retriable() => {
                self.session = None;
                self.pause_until = context.now.tick.0 + BACKOFF_MS;
                return Ok(());
            }
            error => return protocol::unexpected(format!("{}: fetch: {error}", self.name)),
        }
        self.session_goes_on(&asked, response)?;
        for topic in &response.responses {
            for part in &topic.partitions {
                let id = if self.version >= FETCH_IDS_FROM {
                    Some(topic.topic_id)
                } else {
                    asked.names.get(topic.topic.as_str()).copied()
                };
                let key = id.map(|topic| PartitionKey {
                    topic,
                    index: part.partition_index,
                });
                let known = key.and_then(|key| Some((key, asked.known.get(&key)?)));
                let Some((key, (position, floor))) = known else {
                    if self.session.is_some() || id.is_none() {
                        continue;
                    }
                    return protocol::unexpected(format!("{key:?} was not asked for"));
                };
                self.part_fetched(context, key, *position, *floor, part)?;
            }
        }
        Ok(())
    }

    fn session_goes_on(&mut self, asked: &Asked, response: &FetchResponse) -> Checked {
        match &mut self.session {
            Some(session) if response.session_id == session.id => {
                session.epoch = session.epoch.checked_add(1).unwrap_or(1);
            }
            Some(_) => return protocol::unexpected("another session answers"),
            None if self.with_session && response.session_id != 0 => {
                let sent = asked
                    .known
                    .iter()
                    .map(|(key, (position, _))| (*key, *position));
                self.session = Some(Session {
                    id: response.session_id,
                    epoch: 1,
                    sent: sent.collect(),
                });
            }
            None => {}
        }
        Ok(())
    }

    fn part_fetched(
        &mut self,
        context: &mut Context<'_>,
        key: PartitionKey,
        mut position: i64,
        floor: Floor,
        part: &PartitionData,
    ) -> Checked {
        match part.error_code {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let log = context.log.part(key);
                let start_max = log.map_or(0, |log| log.start_max.0);
                let what = || format!("{} {key:?}", self.name);
                polls::out_of_range(position, start_max, i64::MAX, what)?;
                if let Some(place) = self.places.get_mut(&key) {
                    place.position = None;
                    place.reset_to = EARLIEST;
                }
                return Ok(());
            }
            error => return self.failed(context, key, error),
        }
        let start = part.log_start_offset.0;
        context
            .truth
            .told(key, floor, start, part.high_watermark.0)?;
        let bytes = part
            .records
            .as_ref()
            .map(weir_wire::Records::to_bytes)
            .unwrap_or_default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let Ok(header) = BatchHeader::read(&rest) else {
                return corruption::PROMISE.broken("a client received half a batch");
            };
            let batch = rest.split_to(header.size_bytes);
            corruption::whole(&batch)?;
            let last = header.last_offset().0;
            polls::follows(position, header.base_offset.0, last, || {
                format!("{} {key:?}", self.name)
            })?;
            durability::PROMISE.holds(last < part.high_watermark.0, || {
                format!(
                    "{key:?}: {last} is served, the watermark is {}",
                    part.high_watermark
                )
            })?;
            for (offset, record) in open(&batch, &header)? {
                context.truth.read(key, offset, record)?;
            }
            position = last + 1;
        }
        if let Some(place) = self.places.get_mut(&key) {
            place.position = Some(position);
            place.watermark = part.high_watermark.0;
        }
        Ok(())
    }

    fn failed(&mut self, context: &Context<'_>, key: PartitionKey, error: ErrorCode) -> Checked {
        self.pause_until = context.now.tick.0 + BACKOFF_MS;
        match error {
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId => {
                self.directory.is_wrong();
                if context.cluster.may_be_gone(key.topic) {
                    self.places.remove(&key);
                    self.gone.insert(key);
                }
                Ok(())
            }
            ErrorCode::CorruptMessage => {
                protocol::unexpected(format!("{}: {key:?}: {error}", self.name))
            }
            error if error.is_retriable() => Ok(()),
            error => protocol::unexpected(format!("{}: {key:?}: {error}", self.name)),
        }
    }

    /// At times it begins again, so that old files are read too.
    fn rewind(&mut self, context: &mut Context<'_>) {
        if context.healing || !context.random.permille(3) || self.places.is_empty() {
            return;
        }
        let index = context.random.index(self.places.len());
        if let Some(place) = self.places.values_mut().nth(index) {
            place.position = None;
            place.reset_to = EARLIEST;
        }
    }
}

impl Client for Consumer {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&mut self, context: &mut Context<'_>, input: Input) -> Checked {
        if self.link.input(context, &input) == Change::Down {
            self.fetch = None;
            self.list = None;
            self.directory.down();
        }
        if let Input::Answer {
            correlation_id,
            response,
        } = input
        {
            match response {
                Response::Metadata(response) => {
                    self.directory
                        .answered(context, correlation_id, &response)?;
                    self.assign();
                }
                Response::ListOffsets(response) => {
                    self.positions_told(context, correlation_id, &response)?;
                }
                Response::Fetch(response) => self.fetched(context, correlation_id, &response)?,
                other => return protocol::unexpected(format!("{other:?}")),
            }
        }
        if self.link.is_up() {
            self.directory.refresh(&mut self.link, context, 300);
            self.rewind(context);
            self.ask_positions(context);
            self.fetch(context);
        }
        Ok(())
    }

    fn waiting_for(&self, cluster: &ClusterTruth) -> Option<String> {
        let topics = cluster.living();
        for (id, topic) in topics.filter(|(_, topic)| !is_hidden(&topic.name)) {
            for index in 0..topic.partitions.0 {
                let index = weir_types::PartitionIndex(index);
                let key = PartitionKey { topic: id, index };
                match self.places.get(&key) {
                    Some(place) if place.position.is_some_and(|at| at >= place.watermark) => {}
                    found => {
                        return Some(format!("{} waits for {key:?}: {found:?}", self.name));
                    }
                }
            }
        }
        None
    }
}

/// Any number of bytes, few as likely as many.
fn draw_bytes(random: &mut Random) -> i32 {
    i32::try_from(random.magnitude(1, 2_000_000)).unwrap_or(1)
}

/// Everybody is done; the consumer has read what there is.
///
/// # Errors
/// Where it stands behind what was told.
pub fn reached(positions: &BTreeMap<PartitionKey, i64>, key: PartitionKey, end: i64) -> Checked {
    let at = positions.get(&key).copied().unwrap_or(-1);
    liveness::PROMISE.holds(at >= end, || {
        format!("{key:?} was read up to {at} and ends at {end}")
    })
}
