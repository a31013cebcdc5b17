//! Lag and LagHistory: one shard answers for the whole broker; here is only who may see what, and
//! the translation to the wire.

use super::{
    Call, Context, Front, Part, Plan,
    join::{Join, Kind, misfit},
};
use crate::{
    authorizer::{Operation, Resource},
    request::{Answer, Ask, LagAsk, META_SHARD, PartitionKey, shard_of},
};
use alloc::{
    boxed::Box,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use weir_lag::{
    Name, Subject,
    limits::{HISTORY_POINTS_MAX, PAGE_ROWS_MAX, WINDOW_MS},
    report::MemberReport,
    view::{
        Cursor, GroupTopicView, GroupView, HistoryPage, HistoryQuery, LagPage, LagQuery, PageEnd,
        Points, SeriesView, TopicView,
    },
};
use weir_meta::{Image, name::LAG};
use weir_types::{ErrorCode, PartitionIndex, ShardId, TimestampMs};
use weir_wire::{
    Response, Text,
    messages::{
        LagGroup, LagGroupTopic, LagHistoryGroup, LagHistoryRequest, LagHistoryResponse,
        LagHistoryTopic, LagMember, LagPartition, LagRequest, LagResponse, LagTopic,
    },
};

/// A page that is waited for.
#[derive(Debug, Default)]
pub(super) struct LagJoin(Option<Answer>);

/// Bits of LagHistory's `kinds`.
const KIND_GROUPS: i8 = 1;
const KIND_GROUP_TOPICS: i8 = 2;
const KIND_TOPICS: i8 = 4;

const NO_CURSOR: &str = "this is no page's cursor";

type Refused = (ErrorCode, String);

impl Front {
    pub(super) fn lag(&self, call: &Call<'_>, request: &LagRequest) -> Plan {
        let refuse = |(error_code, text): Refused| {
            Plan::answer(LagResponse {
                error_code,
                error_message: Some(Text::from(text)),
                ..Default::default()
            })
        };
        let wrong = |text: &str| refuse((ErrorCode::InvalidRequest, text.to_string()));
        if let Err(refused) = allowed(call, &request.groups, &request.topics) {
            return refuse(refused);
        }
        let cursor = match request.cursor.as_deref().map(read_cursor) {
            None => None,
            Some(Some(cursor)) => Some(cursor),
            Some(None) => return wrong(NO_CURSOR),
        };
        let query = LagQuery {
            groups: names(&request.groups),
            topics: names(&request.topics),
            partitions: request.include_partitions,
            rows_max: usize::try_from(request.page_size)
                .unwrap_or(0)
                .clamp(1, PAGE_ROWS_MAX),
            cursor,
            since: u64::try_from(request.changes_since).ok(),
        };
        let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
        let ask = Ask::Lag(Box::new(LagAsk { query, wait_ms }));
        self.ask_keeper(call, ask, Kind::Lag(LagJoin::default()))
    }

    pub(super) fn lag_history(&self, call: &Call<'_>, request: &LagHistoryRequest) -> Plan {
        let refuse = |(error_code, text): Refused| {
            Plan::answer(LagHistoryResponse {
                error_code,
                error_message: Some(Text::from(text)),
                ..Default::default()
            })
        };
        if let Err(refused) = allowed(call, &request.groups, &request.topics) {
            return refuse(refused);
        }
        let after = match request.cursor.as_deref().map(read_place) {
            None => None,
            Some(Some(after)) => Some(after),
            Some(None) => return refuse((ErrorCode::InvalidRequest, NO_CURSOR.to_string())),
        };
        let time = |time: TimestampMs| Some(time).filter(|time| time.0 >= 0);
        let query = HistoryQuery {
            of_groups: request.kinds & KIND_GROUPS != 0,
            of_group_topics: request.kinds & KIND_GROUP_TOPICS != 0,
            of_topics: request.kinds & KIND_TOPICS != 0,
            groups: names(&request.groups),
            topics: names(&request.topics),
            from: time(request.from_ms),
            to: time(request.to_ms),
            resolution_ms: Some(i64::from(request.resolution_ms)).filter(|ms| *ms > 0),
            points_max: usize::try_from(request.max_points)
                .unwrap_or(0)
                .clamp(1, HISTORY_POINTS_MAX),
            after,
        };
        let ask = Ask::LagHistory(Box::new(query));
        self.ask_keeper(call, ask, Kind::LagHistory(LagJoin::default()))
    }

    /// The shard that keeps lag; while there is none, the one that has it made.
    fn ask_keeper(&self, call: &Call<'_>, ask: Ask, kind: Kind) -> Plan {
        let topic = call.image.topic_named(LAG);
        let shard = topic.map_or(META_SHARD, |topic| -> ShardId {
            let (topic, index) = (topic.id, PartitionIndex(0));
            shard_of(PartitionKey { topic, index }, self.config.shards)
        });
        let part = Part {
            shard,
            seen: call.image.applied(),
            ask,
        };
        Plan::Parts {
            parts: Vec::from([part]),
            join: Join::new(kind, Vec::new(), call),
        }
    }
}

/// Whether the caller may look at everything that is named.
fn allowed(call: &Call<'_>, groups: &[Text], topics: &[Text]) -> Result<(), Refused> {
    let may = |resource| call.context.may(Operation::Describe, resource);
    let may_topic = |topic: &Text| may_topic(call.context, call.image, topic);
    if let Some(group) = groups.iter().find(|group| !may(Resource::Group(group))) {
        let text = format!("not allowed to look at group '{group}'");
        return Err((ErrorCode::GroupAuthorizationFailed, text));
    }
    if let Some(topic) = topics.iter().find(|topic| !may_topic(topic)) {
        let text = format!("not allowed to look at topic '{topic}'");
        return Err((ErrorCode::TopicAuthorizationFailed, text));
    }
    Ok(())
}

impl LagJoin {
    pub(super) fn absorb(&mut self, answer: Answer) {
        self.0 = Some(answer);
    }

    pub(super) fn finish(self, image: &Image, context: &Context) -> Response {
        let failed = |error_code: ErrorCode| LagResponse {
            error_code,
            error_message: Some(Text::from_static(error_code.text())),
            ..Default::default()
        };
        match self.0 {
            Some(Answer::Lag(Ok(page))) => told(*page, image, context).into(),
            Some(Answer::Lag(Err(error))) => failed(error).into(),
            Some(Answer::Refused(_)) | None => failed(ErrorCode::CoordinatorNotAvailable).into(),
            Some(other) => misfit(&other),
        }
    }

    pub(super) fn finish_history(self, image: &Image, context: &Context) -> Response {
        let failed = |error_code: ErrorCode| LagHistoryResponse {
            error_code,
            error_message: Some(Text::from_static(error_code.text())),
            ..Default::default()
        };
        match self.0 {
            Some(Answer::LagHistory(Ok(page))) => told_history(*page, image, context).into(),
            Some(Answer::LagHistory(Err(error))) => failed(error).into(),
            Some(Answer::Refused(_)) | None => failed(ErrorCode::CoordinatorNotAvailable).into(),
            Some(other) => misfit(&other),
        }
    }
}

fn may_group(context: &Context, group: &str) -> bool {
    context.may(Operation::Describe, Resource::Group(group))
}

/// Lag and traffic tell of records: whoever may not read those does not learn them.
fn may_topic(context: &Context, image: &Image, topic: &str) -> bool {
    context.may(Operation::Describe, Resource::Topic(topic)) && context.may_read_named(image, topic)
}

fn told(page: LagPage, image: &Image, context: &Context) -> LagResponse {
    let groups = page.groups.into_iter();
    let groups = groups.filter(|group| may_group(context, &group.group));
    let topics = page.topics.into_iter();
    let topics = topics.filter(|topic| may_topic(context, image, &topic.topic));
    let groups_gone = page.groups_gone.iter();
    let topics_gone = page.topics_gone.iter();
    LagResponse {
        error_code: ErrorCode::None,
        error_message: None,
        generation: i64::try_from(page.generation).unwrap_or(i64::MAX),
        complete: page.complete,
        time_ms: page.time,
        groups: groups
            .map(|group| told_group(group, image, context))
            .collect(),
        topics: topics.map(told_topic).collect(),
        window_ms: i32::try_from(WINDOW_MS).unwrap_or(i32::MAX),
        removed_groups: groups_gone
            .filter(|group| may_group(context, group))
            .map(text)
            .collect(),
        removed_topics: topics_gone
            .filter(|topic| may_topic(context, image, topic))
            .map(text)
            .collect(),
        next_cursor: page
            .next
            .as_ref()
            .map(|cursor| Text::from(write_cursor(cursor))),
    }
}

fn told_group(group: GroupView, image: &Image, context: &Context) -> LagGroup {
    let member = |member: MemberReport| LagMember {
        member_id: text(&member.id),
        instance_id: member.instance_id.as_ref().map(text),
        client_id: text(&member.client_id),
        client_host: text(&member.client_host),
    };
    let topics = group.topics.into_iter();
    LagGroup {
        group_id: text(&group.group),
        group_state: text(&group.state),
        group_type: text(&group.kind),
        group_epoch: group.epoch,
        member_count: count(group.member_count),
        lag: group.lag.records,
        lag_ms: group.lag.ms,
        lag_ms_at_least: group.lag.least_ms,
        members: group.members.into_iter().map(member).collect(),
        topics: topics
            .filter(|topic| may_topic(context, image, &topic.topic))
            .map(told_group_topic)
            .collect(),
    }
}

fn told_group_topic(topic: GroupTopicView) -> LagGroupTopic {
    let partitions = topic.partitions.into_iter().map(|partition| LagPartition {
        partition: partition.index,
        committed_offset: partition.committed,
        log_start_offset: partition.start,
        high_watermark: partition.high,
        lag: partition.lag.records,
        lag_ms: partition.lag.ms,
        lag_ms_at_least: partition.lag.least_ms,
        member: partition.member.map_or(-1, count),
    });
    LagGroupTopic {
        topic: text(&topic.topic),
        topic_id: topic.id,
        lag: topic.lag.records,
        lag_ms: topic.lag.ms,
        lag_ms_at_least: topic.lag.least_ms,
        partitions: partitions.collect(),
    }
}

fn told_topic(topic: TopicView) -> LagTopic {
    let [records_in, bytes_in, records_out, bytes_out] = topic.traffic.values();
    LagTopic {
        topic: text(&topic.topic),
        topic_id: topic.id,
        partition_count: count(topic.partitions),
        records_in,
        bytes_in,
        records_out,
        bytes_out,
    }
}

fn told_history(page: HistoryPage, image: &Image, context: &Context) -> LagHistoryResponse {
    let mut response = LagHistoryResponse {
        resolution_ms: i32::try_from(page.resolution_ms).unwrap_or(i32::MAX),
        next_cursor: page
            .next
            .as_ref()
            .map(|(level, last)| Text::from(write_place(*level, last))),
        ..Default::default()
    };
    for series in page.series {
        let group = series
            .subject
            .group()
            .is_none_or(|group| may_group(context, group));
        let topic = series
            .subject
            .topic()
            .is_none_or(|topic| may_topic(context, image, topic));
        if group && topic {
            tell_series(series, &mut response);
        }
    }
    response
}

fn tell_series(series: SeriesView, response: &mut LagHistoryResponse) {
    match (&series.subject, series.points) {
        (Subject::Group(group) | Subject::GroupTopic(group, _), Points::Lag(points)) => {
            let mut told = LagHistoryGroup {
                group_id: text(group),
                topic: series.subject.topic().map(text),
                start_ms: series.start,
                lag: Vec::with_capacity(points.len()),
                lag_ms: Vec::with_capacity(points.len()),
            };
            for [records, ms] in points {
                told.lag.push(records);
                told.lag_ms.push(ms);
            }
            response.groups.push(told);
        }
        (Subject::Topic(topic), Points::Traffic(points)) => {
            let column = |at: usize| points.iter().map(|point| point[at]).collect();
            response.topics.push(LagHistoryTopic {
                topic: text(topic),
                start_ms: series.start,
                records_in: column(0),
                bytes_in: column(1),
                records_out: column(2),
                bytes_out: column(3),
            });
        }
        (subject, _) => unreachable!("I-LAG-6: {subject:?} has the samples of its kind"),
    }
}

fn names(texts: &[Text]) -> BTreeSet<Name> {
    texts.iter().map(|text| Name::from(text.as_str())).collect()
}

fn text(name: &Name) -> Text {
    Text::from(&**name)
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A cursor: the generation, whether all is told, and where the page ended; names may hold
/// anything, so the length of the first stands before it.
fn write_cursor(cursor: &Cursor) -> String {
    let head = format!("{}:{}", cursor.generation, u8::from(cursor.complete));
    match &cursor.end {
        PageEnd::Group(group) => format!("{head}:g:0:{}:{group}", group.len()),
        PageEnd::Partition(group, topic, index) => {
            format!("{head}:p:{}:{}:{group}{topic}", index.0, group.len())
        }
        PageEnd::Topic(topic) => format!("{head}:t:0:{}:{topic}", topic.len()),
    }
}

fn read_cursor(cursor: &str) -> Option<Cursor> {
    let mut fields = cursor.splitn(6, ':');
    let generation = fields.next()?.parse().ok()?;
    let complete = fields.next()? == "1";
    let kind = fields.next()?;
    let index = PartitionIndex(fields.next()?.parse().ok()?);
    let length = fields.next()?.parse().ok()?;
    let (first, second) = fields.next()?.split_at_checked(length)?;
    let first = Name::from(first);
    Some(Cursor {
        generation,
        complete,
        end: match kind {
            "g" => PageEnd::Group(first),
            "p" => PageEnd::Partition(first, Name::from(second), index),
            "t" => PageEnd::Topic(first),
            _ => return None,
        },
    })
}

/// The same for history: the resolution, and the last series that was told.
fn write_place(level: usize, last: &Subject) -> String {
    match last {
        Subject::Group(group) => format!("{level}:g:{}:{group}", group.len()),
        Subject::GroupTopic(group, topic) => {
            format!("{level}:p:{}:{group}{topic}", group.len())
        }
        Subject::Topic(topic) => format!("{level}:t:{}:{topic}", topic.len()),
    }
}

fn read_place(cursor: &str) -> Option<(usize, Subject)> {
    let mut fields = cursor.splitn(4, ':');
    let level = fields.next()?.parse().ok()?;
    let kind = fields.next()?;
    let length = fields.next()?.parse().ok()?;
    let (first, second) = fields.next()?.split_at_checked(length)?;
    let first = Name::from(first);
    let subject = match kind {
        "g" => Subject::Group(first),
        "p" => Subject::GroupTopic(first, Name::from(second)),
        "t" => Subject::Topic(first),
        _ => return None,
    };
    Some((level, subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back() {
        let group = Name::from("odd:name:3:ü");
        let topic = Name::from("t:1");
        let ends = [
            PageEnd::Group(group.clone()),
            PageEnd::Partition(group.clone(), topic.clone(), PartitionIndex(-1)),
            PageEnd::Topic(topic.clone()),
        ];
        for end in ends {
            let cursor = Cursor {
                generation: 77,
                complete: true,
                end,
            };
            assert_eq!(read_cursor(&write_cursor(&cursor)), Some(cursor));
        }
        let subjects = [
            Subject::Group(group.clone()),
            Subject::GroupTopic(group, topic.clone()),
            Subject::Topic(topic),
        ];
        for subject in subjects {
            let place = read_place(&write_place(2, &subject));
            assert_eq!(place, Some((2, subject)));
        }
        for wrong in [
            "",
            "1",
            "1:1:g:0:9:short",
            "1:1:x:0:1:a",
            "::::",
            "1:1:p:0:1:ü",
        ] {
            assert_eq!(read_cursor(wrong), None, "{wrong}");
            assert_eq!(read_place(wrong), None, "{wrong}");
        }
    }
}
