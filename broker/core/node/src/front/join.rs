//! Joining the shards' answers into one response.
//!
//! A join belongs to one request and lives apart from its front, so that a session can go on
//! while a long poll waits.

use super::{
    Call, Context, configs, fetch_session::Told, groups, lag, leaders::Leaders,
    metadata::MetadataJoin, offsets, place::ANY, produce::init_producer_id_response, split::Place,
    topics,
};
use crate::{
    pieces,
    request::{Answer, FetchResult, FoundOffset, MetaError, OffsetResult, ProduceResult},
    validate::Inflate,
};
use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use weir_meta::{Image, Reply};
use weir_types::{
    ErrorCode, LeaderEpoch, Offset, ProducerId, TimestampMs, TopicId, batch::Compression,
};
use weir_wire::{
    Records, Response, Text,
    messages::{
        DeleteRecordsResponse, DescribeProducersResponse, FetchResponse,
        OffsetForLeaderEpochResponse, ProduceResponse,
    },
};

/// Takes the answers of a request's parts and makes the response.
#[derive(Debug)]
pub struct Join {
    kind: Kind,
    /// For each part, where its pieces belong.
    places: Vec<Vec<Place>>,
    context: Context,
    version: i16,
}

/// What is being joined.
#[derive(Debug)]
pub(super) enum Kind {
    Produce {
        response: ProduceResponse,
        ids: Vec<TopicId>,
        silent: bool,
    },
    Fetch(FetchJoin),
    Offsets(offsets::OffsetsJoin),
    EpochEnds(OffsetForLeaderEpochResponse),
    DeleteRecords(DeleteRecordsResponse),
    Producers(DescribeProducersResponse),
    LogDirs(offsets::LogDirsJoin),
    ProducerId(Option<Result<ProducerId, ErrorCode>>),
    Metadata(MetadataJoin),
    Coordinator(groups::CoordinatorJoin),
    Groups(groups::GroupsJoin),
    History(groups::HistoryJoin),
    Watch(groups::WatchJoin),
    Lag(lag::LagJoin),
    LagHistory(lag::LagJoin),
    Topics(topics::TopicsJoin),
    Configs(configs::ConfigsJoin),
}

/// What becomes of a request once all its parts are answered.
#[allow(
    clippy::large_enum_variant,
    reason = "it is looked at once, where it is made"
)]
#[derive(Debug)]
pub enum Finish {
    /// This is the answer.
    Answer(Response),
    /// This is the answer to a fetch, once the records of views went through their plugins.
    Views {
        /// The answer, with the records of the views' sources.
        response: FetchResponse,
        /// Which records are not to be seen as they are.
        views: Vec<ViewRecords>,
    },
    /// It wants no answer.
    Silent,
    /// It wants no answer but failed: closing the session is the only way to tell.
    Close {
        /// Why, in one sentence, for the log.
        reason: String,
    },
}

/// Records of a view's source in the answer to a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewRecords {
    /// The topic's place in the answer.
    pub topic: usize,
    /// The partition's place in it.
    pub partition: usize,
    /// The view.
    pub view: TopicId,
}

impl ViewRecords {
    /// Takes the records out of the answer and answers with an error, as they could not be taken
    /// through the view's plugins.
    pub fn fail(&self, response: &mut FetchResponse, error: ErrorCode) {
        let topic = response.responses.get_mut(self.topic);
        if let Some(data) = topic.and_then(|topic| topic.partitions.get_mut(self.partition)) {
            data.error_code = error;
            data.records = Some(Records::EMPTY);
        }
    }
}

impl Join {
    pub(super) fn new(kind: Kind, places: Vec<Vec<Place>>, call: &Call<'_>) -> Self {
        Self::of(kind, places, call.context.clone(), call.version)
    }

    pub(super) const fn of(
        kind: Kind,
        places: Vec<Vec<Place>>,
        context: Context,
        version: i16,
    ) -> Self {
        Self {
            kind,
            places,
            context,
            version,
        }
    }

    /// Takes the answer of the part with that place in the plan. Returns whether the other parts
    /// should hurry, because a long poll has something to tell.
    pub fn absorb(&mut self, part: usize, answer: Answer) -> bool {
        let places = self.places.get(part).map_or(&[][..], Vec::as_slice);
        match &mut self.kind {
            Kind::Fetch(join) => return join.absorb(places, answer, self.version),
            Kind::Produce { response, .. } => absorb_produce(response, places, answer),
            Kind::Offsets(join) => join.absorb(places, answer),
            Kind::EpochEnds(response) => offsets::absorb_epoch_ends(response, places, answer),
            Kind::DeleteRecords(response) => {
                offsets::absorb_delete_records(response, places, answer);
            }
            Kind::Producers(response) => offsets::absorb_producers(response, places, answer),
            Kind::LogDirs(join) => join.absorb(answer),
            Kind::ProducerId(id) => {
                *id = Some(match answer {
                    Answer::ProducerId(answer) => answer,
                    Answer::Refused(error) => Err(error),
                    other => misfit(&other),
                });
            }
            Kind::Metadata(join) => join.absorb(meta_reply(answer)),
            Kind::Coordinator(join) => join.absorb(meta_reply(answer)),
            Kind::Groups(join) => join.absorb(places, answer),
            Kind::History(join) => join.absorb(answer),
            Kind::Watch(join) => return join.absorb(answer),
            Kind::Lag(join) | Kind::LagHistory(join) => join.absorb(answer),
            Kind::Topics(join) => join.absorb(meta_reply(answer)),
            Kind::Configs(join) => join.absorb(meta_reply(answer)),
        }
        false
    }

    /// Makes the response, once every part is answered. `image` is the newest: what a command has
    /// just changed must be in it.
    #[must_use]
    pub fn finish(self, image: &Arc<Image>, inflate: &mut dyn Inflate) -> Finish {
        let response: Response = match self.kind {
            Kind::Produce {
                response,
                silent: true,
                ..
            } => return silent_finish(&response),
            Kind::Produce { response, ids, .. } => {
                finish_produce(response, &ids, image, &self.context, self.version).into()
            }
            Kind::Fetch(join) => {
                let (response, views) = join.finish(image, &self.context, self.version);
                if !views.is_empty() {
                    return Finish::Views { response, views };
                }
                response.into()
            }
            Kind::Offsets(join) => join.finish(inflate),
            Kind::EpochEnds(response) => response.into(),
            Kind::DeleteRecords(response) => response.into(),
            Kind::Producers(response) => response.into(),
            Kind::LogDirs(join) => join.finish(image, &self.context),
            Kind::ProducerId(id) => {
                init_producer_id_response(id.unwrap_or(Err(ErrorCode::UnknownServerError))).into()
            }
            Kind::Metadata(join) => join.finish(image, &self.context, self.version),
            Kind::Coordinator(join) => join.finish(image, &self.context, self.version),
            Kind::Groups(join) => join.finish(image, &self.context, self.version),
            Kind::History(join) => join.finish(&self.context),
            Kind::Watch(join) => join.finish(&self.context),
            Kind::Lag(join) => join.finish(image, &self.context),
            Kind::LagHistory(join) => join.finish_history(image, &self.context),
            Kind::Topics(join) => join.finish(image),
            Kind::Configs(join) => join.finish(),
        };
        Finish::Answer(response)
    }
}

/// A driver that gives an answer to the wrong join is broken.
pub(super) fn misfit(answer: &Answer) -> ! {
    panic!("I-NODE-12: an answer fits its question, this does not: {answer:?}")
}

/// What a metadata command came to.
fn meta_reply(answer: Answer) -> Result<Reply, (ErrorCode, String)> {
    match answer {
        Answer::Meta(reply) => reply.map_err(|error: MetaError| (error.code(), error.to_string())),
        Answer::Refused(error) => Err((error, error.text().to_string())),
        other => misfit(&other),
    }
}

/// The results of an answer with their places; a refusal counts for each of them.
pub(super) fn pairs<T>(
    places: &[Place],
    answer: Answer,
    refused: impl Fn(ErrorCode) -> T,
    results: impl FnOnce(Answer) -> Vec<T>,
) -> Vec<(Place, T)> {
    let results = match answer {
        Answer::Refused(error) => places.iter().map(|_| refused(error)).collect(),
        answer => results(answer),
    };
    assert_eq!(
        results.len(),
        places.len(),
        "I-NODE-13: an answer lists what was asked"
    );
    places.iter().copied().zip(results).collect()
}

/// The result of an offset look-up that was refused.
pub(super) const fn refused_offset(error: ErrorCode) -> OffsetResult {
    OffsetResult {
        error,
        leader_epoch: LeaderEpoch::NONE,
        found: FoundOffset::Nothing,
    }
}

/// A request that names topics by id hears that the id is gone, not the name.
fn by_id(error: ErrorCode, version: i16, image: &Image, id: TopicId) -> ErrorCode {
    let gone = error == ErrorCode::UnknownTopicOrPartition && image.topic(id).is_none();
    if version >= 13 && gone {
        ErrorCode::UnknownTopicId
    } else {
        error
    }
}

fn silent_finish(response: &ProduceResponse) -> Finish {
    let failed = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
        .find(|partition| partition.error_code.is_err());
    match failed {
        None => Finish::Silent,
        Some(partition) => Finish::Close {
            reason: alloc::format!(
                "a batch sent with acks=0 was refused: {}",
                partition.error_code
            ),
        },
    }
}

fn absorb_produce(response: &mut ProduceResponse, places: &[Place], answer: Answer) {
    let refused = |error| ProduceResult {
        error,
        message: None,
        base_offset: Offset(-1),
        log_append_time: TimestampMs::NONE,
        log_start: Offset(-1),
        leader_epoch: LeaderEpoch::NONE,
    };
    let results = |answer| match answer {
        Answer::Produce(results) => results,
        other => misfit(&other),
    };
    for (place, result) in pairs(places, answer, refused, results) {
        let partition = &mut response.responses[place.0].partition_responses[place.1];
        if partition.index == ANY {
            // Pieces of one batch went to several partitions: the first error counts for all, as
            // the batch is sent again as a whole.
            if result.error.is_err() && !partition.error_code.is_err() {
                partition.error_code = result.error;
                partition.error_message = result.message.as_deref().map(Text::from);
            }
            continue;
        }
        partition.error_code = result.error;
        partition.error_message = result.message.as_deref().map(Text::from);
        partition.base_offset = result.base_offset;
        partition.log_append_time_ms = result.log_append_time;
        partition.log_start_offset = result.log_start;
    }
}

fn finish_produce(
    mut response: ProduceResponse,
    ids: &[TopicId],
    image: &Image,
    context: &Context,
    version: i16,
) -> ProduceResponse {
    let mut leaders = Leaders::default();
    for (topic, id) in response.responses.iter_mut().zip(ids) {
        for partition in &mut topic.partition_responses {
            let error = by_id(partition.error_code, version, image, *id);
            partition.error_code = error;
            partition.current_leader = leaders.name(image, context, error, *id, partition.index);
        }
    }
    response.node_endpoints = leaders.into_endpoints();
    response
}

/// A fetch that is being joined.
#[derive(Debug)]
pub(super) struct FetchJoin {
    pub(super) response: FetchResponse,
    /// What the client was told before, in the response's shape, where there is a session.
    pub(super) told: Vec<Vec<Option<Arc<Told>>>>,
    pub(super) ids: Vec<TopicId>,
    /// Which topics are views; said when the fetch was split, as their records are their sources'.
    pub(super) views: Vec<bool>,
    pub(super) incremental: bool,
}

impl FetchJoin {
    fn absorb(&mut self, places: &[Place], answer: Answer, version: i16) -> bool {
        let refused = |error| FetchResult {
            error,
            high_watermark: Offset(-1),
            last_stable_offset: Offset(-1),
            log_start: Offset(-1),
            leader_epoch: LeaderEpoch::NONE,
            diverging: None,
            batches: Vec::new(),
        };
        let results = |answer| match answer {
            Answer::Fetch(results) => results,
            other => misfit(&other),
        };
        let mut hurry = false;
        for (place, result) in pairs(places, answer, refused, results) {
            hurry |=
                !result.batches.is_empty() || result.error.is_err() || result.diverging.is_some();
            let data = &mut self.response.responses[place.0].partitions[place.1];
            data.error_code = result.error;
            data.high_watermark = result.high_watermark;
            data.last_stable_offset = result.last_stable_offset;
            data.log_start_offset = result.log_start;
            if let Some((epoch, end)) = result.diverging {
                data.diverging_epoch.epoch = epoch;
                data.diverging_epoch.end_offset = end;
            }
            let zstd = |piece| pieces::any(piece, |h| h.compression() == Some(Compression::Zstd));
            if version < 10 && result.batches.iter().any(zstd) {
                // Such a client cannot open zstd (KIP-110).
                data.error_code = ErrorCode::UnsupportedCompressionType;
            } else {
                data.records = Some(Records::from(result.batches));
            }
        }
        hurry
    }

    pub(super) fn finish(
        mut self,
        image: &Image,
        context: &Context,
        version: i16,
    ) -> (FetchResponse, Vec<ViewRecords>) {
        self.forget_views(image);
        let mut leaders = Leaders::default();
        let incremental = self.incremental;
        let topics = self.response.responses.iter_mut().zip(&self.ids);
        for ((topic, id), told) in topics.zip(&self.told) {
            let mut told = told.iter();
            topic.partitions.retain_mut(|data| {
                let error = by_id(data.error_code, version, image, *id);
                data.error_code = error;
                let index = data.partition_index;
                data.current_leader = leaders.name(image, context, error, *id, index);
                let told = told.next().expect("as many as partitions");
                let mut changed = true;
                if let Some(told) = told {
                    changed = told.update(data.high_watermark, data.log_start_offset);
                    if error.is_err() {
                        told.forget();
                    }
                }
                let records = data.records.as_ref().is_some_and(|r| !r.is_empty());
                let diverges = data.diverging_epoch.end_offset.0 >= 0;
                !incremental || changed || error.is_err() || records || diverges
            });
        }
        let views = self.views.iter().zip(&self.ids);
        let mut views = views.map(|(is_view, id)| is_view.then_some(*id));
        let mut kept = Vec::with_capacity(self.ids.len());
        self.response.responses.retain(|topic| {
            let view = views.next().flatten();
            let stays = !(incremental && topic.partitions.is_empty());
            kept.extend(stays.then_some(view));
            stays
        });
        if version >= 16 {
            self.response.node_endpoints = leaders.into_endpoints();
        }
        let views = view_records(&self.response, &kept);
        (self.response, views)
    }

    /// A view that is gone by now has nobody who would take its source's records through it.
    fn forget_views(&mut self, image: &Image) {
        let topics = self.response.responses.iter_mut().zip(&self.ids);
        for ((topic, id), is_view) in topics.zip(&self.views) {
            if !is_view || image.topic(*id).is_some() {
                continue;
            }
            for data in &mut topic.partitions {
                data.error_code = ErrorCode::UnknownTopicOrPartition;
                data.high_watermark = Offset(-1);
                data.last_stable_offset = Offset(-1);
                data.log_start_offset = Offset(-1);
                data.records = Some(Records::EMPTY);
            }
        }
    }
}

/// Where in an answer there are records of views.
fn view_records(response: &FetchResponse, views: &[Option<TopicId>]) -> Vec<ViewRecords> {
    let mut found = Vec::new();
    for (topic, (data, view)) in response.responses.iter().zip(views).enumerate() {
        let Some(view) = *view else {
            continue;
        };
        for (partition, data) in data.partitions.iter().enumerate() {
            if data.records.as_ref().is_some_and(|r| !r.is_empty()) {
                found.push(ViewRecords {
                    topic,
                    partition,
                    view,
                });
            }
        }
    }
    found
}
