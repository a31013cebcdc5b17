//! The lag of groups and the traffic of topics, now, as they change, and over time (design decision
//! D13; Weir's own APIs).
//!
//! Translation only: pages are put together, and nothing is worked out here. What a broker does not
//! know is `None`.

use super::{Admin, check};
use crate::{cluster::broker::Purpose, cluster::shared::Attempts, error::AdminError};
use std::{collections::BTreeMap, time::Duration};
use weir_types::{Offset, PartitionIndex, TimestampMs, TopicId};
use weir_wire::{
    Text,
    messages::{
        LagGroup, LagGroupTopic, LagHistoryGroup, LagHistoryRequest, LagHistoryTopic, LagMember,
        LagPartition, LagRequest, LagResponse, LagTopic,
    },
};

/// Which lags are wanted; the default asks for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagFilter {
    /// Of which groups; none means all that the caller may describe.
    pub groups: Vec<String>,
    /// Of which topics; none means all that the caller may describe.
    pub topics: Vec<String>,
    /// Whether members and partitions are told, or only totals.
    pub include_partitions: bool,
}

impl Default for LagFilter {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            topics: Vec::new(),
            include_partitions: true,
        }
    }
}

/// The lags of groups at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LagReport {
    /// What a later [`Admin::watch_lag`] goes on after.
    pub generation: i64,
    /// Whether it holds everything; otherwise only what changed since the generation asked for.
    pub is_complete: bool,
    /// When the lags were taken.
    pub time: Option<TimestampMs>,
    /// The groups, by name.
    pub groups: BTreeMap<String, GroupLag>,
    /// The topics, by name.
    pub topics: BTreeMap<String, TopicTraffic>,
    /// The time that the traffic of topics is counted over.
    pub window: Duration,
    /// Groups that are gone since the generation asked for.
    pub removed_groups: Vec<String>,
    /// Topics that are gone since the generation asked for.
    pub removed_topics: Vec<String>,
}

/// How far one group is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLag {
    /// Its state, such as `Stable`.
    pub state: String,
    /// `classic` or `consumer`.
    pub group_type: String,
    /// Its epoch (consumer protocol) or generation (classic protocol).
    pub epoch: i32,
    /// How many members it has.
    pub members: i32,
    /// Records it is behind on all partitions together.
    pub lag: Option<i64>,
    /// How long it is behind where it is furthest behind.
    pub time: Option<Duration>,
    /// Where it is behind and that is not known: how long at least.
    pub time_at_least: Option<Duration>,
    /// The topics it reads or keeps offsets of, by name.
    pub topics: BTreeMap<String, GroupTopicLag>,
}

/// How far one group is behind on one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupTopicLag {
    /// The topic's id; zero where the topic is gone and only offsets are left.
    pub id: TopicId,
    /// Records it is behind on all its partitions together.
    pub lag: Option<i64>,
    /// How long it is behind where it is furthest behind.
    pub time: Option<Duration>,
    /// Where it is behind and that is not known: how long at least.
    pub time_at_least: Option<Duration>,
    /// Its partitions; none where only totals were asked for.
    pub partitions: BTreeMap<PartitionIndex, PartitionLag>,
}

/// How far one group is behind on one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionLag {
    /// The offset the group keeps.
    pub committed: Option<Offset>,
    /// The partition's first offset.
    pub start: Option<Offset>,
    /// Its high watermark.
    pub end: Option<Offset>,
    /// Records the group is behind.
    pub lag: Option<i64>,
    /// Now minus the moment when the high watermark passed the committed offset; nothing at all
    /// where the group is not behind.
    pub time: Option<Duration>,
    /// Where it is behind and that is not known: how long at least.
    pub time_at_least: Option<Duration>,
    /// Who owns it.
    pub owner: Option<LagOwner>,
}

/// A member that owns a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagOwner {
    /// Its id.
    pub member_id: String,
    /// Its name, if it is a static member.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
}

/// What went through one topic within [`LagReport::window`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTraffic {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// Records appended.
    pub records_in: Option<i64>,
    /// Bytes appended.
    pub bytes_in: Option<i64>,
    /// Records sent to consumers.
    pub records_out: Option<i64>,
    /// Bytes sent to consumers.
    pub bytes_out: Option<i64>,
}

/// Which series of the past are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagHistoryQuery {
    /// The total of each group.
    pub group_totals: bool,
    /// Each topic of each group.
    pub group_topics: bool,
    /// The traffic of each topic.
    pub traffic: bool,
    /// Of which groups; none means all that the caller may describe.
    pub groups: Vec<String>,
    /// Of which topics; none means all that the caller may describe.
    pub topics: Vec<String>,
    /// The first time, in milliseconds since 1970; the oldest kept without.
    pub from: Option<TimestampMs>,
    /// The time behind the last; now without.
    pub to: Option<TimestampMs>,
    /// How far apart the points are to be; without, the broker chooses.
    pub resolution: Option<Duration>,
}

impl Default for LagHistoryQuery {
    fn default() -> Self {
        Self {
            group_totals: true,
            group_topics: true,
            traffic: true,
            groups: Vec::new(),
            topics: Vec::new(),
            from: None,
            to: None,
            resolution: None,
        }
    }
}

/// How lag and traffic went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LagHistory {
    /// How far apart the points are.
    pub resolution: Duration,
    /// The series of groups: by group, and by topic or `None` for all topics together.
    pub groups: BTreeMap<(String, Option<String>), LagSeries>,
    /// The series of topics.
    pub topics: BTreeMap<String, TrafficSeries>,
}

/// One series of a group: points by the time at which each step begins. Gaps have no point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LagSeries {
    /// Records behind at the end of each step.
    pub lag: BTreeMap<TimestampMs, i64>,
    /// How long behind then.
    pub time: BTreeMap<TimestampMs, Duration>,
}

/// One topic's series: points by the time at which each step begins. Gaps have no point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficSeries {
    /// Records appended in each step.
    pub records_in: BTreeMap<TimestampMs, i64>,
    /// Bytes appended.
    pub bytes_in: BTreeMap<TimestampMs, i64>,
    /// Records sent to consumers.
    pub records_out: BTreeMap<TimestampMs, i64>,
    /// Bytes sent to consumers.
    pub bytes_out: BTreeMap<TimestampMs, i64>,
}

impl Admin {
    /// The lag of groups and the traffic of topics, all pages of it (Lag).
    ///
    /// # Errors
    /// [`AdminError`]; `Unsupported` from every broker but Weir.
    pub async fn lag(&self, filter: &LagFilter) -> Result<LagReport, AdminError> {
        self.lag_since(filter, -1, Duration::ZERO).await
    }

    /// What changed after a report with this generation; waits for a change up to `max_wait`, and at
    /// most for half of the client's request timeout. A report that
    /// [is complete](LagReport::is_complete) takes the place of all before it.
    ///
    /// # Errors
    /// [`AdminError`]; `Unsupported` from every broker but Weir.
    pub async fn watch_lag(
        &self,
        filter: &LagFilter,
        generation: i64,
        max_wait: Duration,
    ) -> Result<LagReport, AdminError> {
        self.lag_since(filter, generation, max_wait).await
    }

    async fn lag_since(
        &self,
        filter: &LagFilter,
        generation: i64,
        max_wait: Duration,
    ) -> Result<LagReport, AdminError> {
        // A channel of its own: nothing else waits behind it.
        let purpose = Purpose::Group {
            consumer: self.shared.next_member(),
        };
        let mut request = LagRequest {
            groups: texts(&filter.groups),
            topics: texts(&filter.topics),
            include_partitions: filter.include_partitions,
            changes_since: generation,
            max_wait_ms: millis(max_wait.min(self.shared.config.request_timeout / 2)),
            ..LagRequest::default()
        };
        let mut attempts = Attempts::until(self.shared.deadline());
        let mut report = LagReport::default();
        let mut is_first = true;
        loop {
            let broker = self.shared.anybody().await?;
            let asked = async {
                let session = broker.session(purpose).await?;
                self.shared.ask_on(&session, i16::MAX, &request).await
            };
            let answer = match asked.await {
                Err(error) if error.can_retry() && attempts.again().await => continue,
                Err(error) => {
                    broker.drop_channel(purpose);
                    return Err(error.into());
                }
                Ok(answer) => answer,
            };
            if answer.error_code.is_retriable() && attempts.again().await {
                continue;
            }
            let next = answer.next_cursor.clone();
            let checked = check(answer.error_code, answer.error_message.as_ref());
            if let Err(error) = checked {
                broker.drop_channel(purpose);
                return Err(error);
            }
            if is_first {
                report.begin(&answer);
                is_first = false;
            }
            report.add(answer);
            // A cursor that stands still would never end.
            if next.is_none() || next == request.cursor {
                broker.drop_channel(purpose);
                return Ok(report);
            }
            request.cursor = next;
        }
    }

    /// How lag and traffic went, all pages of it (LagHistory).
    ///
    /// # Errors
    /// [`AdminError`]; `Unsupported` from every broker but Weir.
    pub async fn lag_history(&self, query: &LagHistoryQuery) -> Result<LagHistory, AdminError> {
        let bit = |is_wanted: bool, bit: i8| if is_wanted { bit } else { 0 };
        let mut request = LagHistoryRequest {
            kinds: bit(query.group_totals, 1) | bit(query.group_topics, 2) | bit(query.traffic, 4),
            groups: texts(&query.groups),
            topics: texts(&query.topics),
            from_ms: query.from.unwrap_or(TimestampMs(-1)),
            to_ms: query.to.unwrap_or(TimestampMs(-1)),
            resolution_ms: query.resolution.map_or(0, millis),
            ..LagHistoryRequest::default()
        };
        let mut history = LagHistory::default();
        loop {
            let answer = self.ask_any(&request).await?;
            check(answer.error_code, answer.error_message.as_ref())?;
            let step = i64::from(answer.resolution_ms);
            history.resolution = time(step).unwrap_or_default();
            for row in answer.groups {
                history.add_group(row, step);
            }
            for row in answer.topics {
                history.add_topic(&row, step);
            }
            if answer.next_cursor.is_none() || answer.next_cursor == request.cursor {
                return Ok(history);
            }
            request.cursor = answer.next_cursor;
        }
    }
}

fn texts(names: &[String]) -> Vec<Text> {
    names.iter().map(|name| Text::from(name.as_str())).collect()
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

fn time(ms: i64) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}

fn known(number: i64) -> Option<i64> {
    (number >= 0).then_some(number)
}

fn offset(offset: Offset) -> Option<Offset> {
    (offset.0 >= 0).then_some(offset)
}

impl LagReport {
    /// Every page tells the first one's generation.
    fn begin(&mut self, first: &LagResponse) {
        self.generation = first.generation;
        self.is_complete = first.complete;
        self.time = known(first.time_ms.0).map(TimestampMs);
        self.window = time(first.window_ms.into()).unwrap_or_default();
    }

    fn add(&mut self, page: LagResponse) {
        for group in page.groups {
            let place = self.groups.entry(group.group_id.to_string()).or_default();
            place.add(group);
        }
        for topic in page.topics {
            self.topics.insert(topic.topic.to_string(), traffic(&topic));
        }
        let names = |names: Vec<Text>| names.into_iter().map(|name| name.to_string());
        self.removed_groups.extend(names(page.removed_groups));
        self.removed_topics.extend(names(page.removed_topics));
    }
}

impl GroupLag {
    /// A group with many rows goes on in the next page, which tells its totals again.
    fn add(&mut self, group: LagGroup) {
        self.state = group.group_state.to_string();
        self.group_type = group.group_type.to_lowercase();
        self.epoch = group.group_epoch;
        self.members = group.member_count;
        self.lag = known(group.lag);
        self.time = time(group.lag_ms);
        self.time_at_least = time(group.lag_ms_at_least);
        for topic in group.topics {
            let place = self.topics.entry(topic.topic.to_string()).or_default();
            place.add(topic, &group.members);
        }
    }
}

impl GroupTopicLag {
    fn add(&mut self, topic: LagGroupTopic, members: &[LagMember]) {
        self.id = topic.topic_id;
        self.lag = known(topic.lag);
        self.time = time(topic.lag_ms);
        self.time_at_least = time(topic.lag_ms_at_least);
        let rows = topic.partitions.into_iter();
        self.partitions
            .extend(rows.map(|row| (row.partition, partition(&row, members))));
    }
}

fn partition(row: &LagPartition, members: &[LagMember]) -> PartitionLag {
    let owner = usize::try_from(row.member).ok();
    PartitionLag {
        committed: offset(row.committed_offset),
        start: offset(row.log_start_offset),
        end: offset(row.high_watermark),
        lag: known(row.lag),
        time: time(row.lag_ms),
        time_at_least: time(row.lag_ms_at_least),
        owner: owner.and_then(|at| members.get(at)).map(|member| LagOwner {
            member_id: member.member_id.to_string(),
            instance_id: member.instance_id.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
        }),
    }
}

fn traffic(topic: &LagTopic) -> TopicTraffic {
    TopicTraffic {
        id: topic.topic_id,
        partitions: topic.partition_count,
        records_in: known(topic.records_in),
        bytes_in: known(topic.bytes_in),
        records_out: known(topic.records_out),
        bytes_out: known(topic.bytes_out),
    }
}

impl LagHistory {
    fn add_group(&mut self, row: LagHistoryGroup, step: i64) {
        let topic = row.topic.map(|topic| topic.to_string());
        let place = self.groups.entry((row.group_id.to_string(), topic));
        let series = place.or_default();
        points(&mut series.lag, row.start_ms, step, &row.lag);
        let mut times = BTreeMap::new();
        points(&mut times, row.start_ms, step, &row.lag_ms);
        let times = times.into_iter();
        series
            .time
            .extend(times.filter_map(|(at, ms)| Some((at, time(ms)?))));
    }

    fn add_topic(&mut self, row: &LagHistoryTopic, step: i64) {
        let series = self.topics.entry(row.topic.to_string()).or_default();
        points(&mut series.records_in, row.start_ms, step, &row.records_in);
        points(&mut series.bytes_in, row.start_ms, step, &row.bytes_in);
        points(
            &mut series.records_out,
            row.start_ms,
            step,
            &row.records_out,
        );
        points(&mut series.bytes_out, row.start_ms, step, &row.bytes_out);
    }
}

/// Adds the values that are known, each at its time.
fn points(to: &mut BTreeMap<TimestampMs, i64>, start: TimestampMs, step: i64, values: &[i64]) {
    let mut at = start.0;
    for value in values {
        if let Some(value) = known(*value) {
            to.insert(TimestampMs(at), value);
        }
        at = at.saturating_add(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(index: i32, committed: i64, lag: i64, member: i32) -> LagPartition {
        LagPartition {
            partition: PartitionIndex(index),
            committed_offset: Offset(committed),
            log_start_offset: Offset(0),
            high_watermark: Offset(10),
            lag,
            lag_ms: if lag > 0 { 1500 } else { lag },
            lag_ms_at_least: -1,
            member,
        }
    }

    fn page(members: &[&str], rows: Vec<LagPartition>) -> LagResponse {
        let members = members.iter().map(|id| LagMember {
            member_id: Text::from(*id),
            ..LagMember::default()
        });
        LagResponse {
            generation: 7,
            complete: true,
            groups: vec![LagGroup {
                group_id: Text::from("g"),
                group_state: Text::from("Stable"),
                group_type: Text::from("Consumer"),
                lag: 6,
                members: members.collect(),
                topics: vec![LagGroupTopic {
                    topic: Text::from("t"),
                    partitions: rows,
                    ..LagGroupTopic::default()
                }],
                ..LagGroup::default()
            }],
            ..LagResponse::default()
        }
    }

    #[test]
    fn a_group_that_goes_on_in_the_next_page_is_put_together() {
        let mut report = LagReport::default();
        let first = page(&["a", "b"], vec![row(0, 4, 6, 1), row(1, -1, -1, -1)]);
        report.begin(&first);
        report.add(first);
        // Each page counts its own members, and a place beyond them is nobody.
        report.add(page(&["c"], vec![row(2, 10, 0, 0), row(3, 10, 0, 9)]));
        assert_eq!((report.generation, report.is_complete), (7, true));
        let group = &report.groups["g"];
        assert_eq!(
            (group.lag, group.group_type.as_str()),
            (Some(6), "consumer")
        );
        let partitions = &group.topics["t"].partitions;
        assert_eq!(partitions.len(), 4);
        let owner = |index| {
            let owner = partitions[&PartitionIndex(index)].owner.as_ref();
            owner.map(|owner| owner.member_id.as_str())
        };
        assert_eq!(
            [owner(0), owner(1), owner(2), owner(3)],
            [Some("b"), None, Some("c"), None]
        );
        let first = &partitions[&PartitionIndex(0)];
        assert_eq!(first.time, Some(Duration::from_millis(1500)));
        let second = &partitions[&PartitionIndex(1)];
        assert_eq!(
            (second.committed, second.lag, second.time),
            (None, None, None)
        );
        assert_eq!(partitions[&PartitionIndex(2)].time, Some(Duration::ZERO));
    }

    #[test]
    fn gaps_of_a_series_have_no_point() {
        let mut history = LagHistory::default();
        let row = |start, lag: &[i64], lag_ms: &[i64]| LagHistoryGroup {
            group_id: Text::from("g"),
            topic: None,
            start_ms: TimestampMs(start),
            lag: lag.to_vec(),
            lag_ms: lag_ms.to_vec(),
        };
        history.add_group(row(1000, &[5, -1, 7], &[20, -1, -1]), 10);
        history.add_group(row(1030, &[9], &[30]), 10);
        let series = &history.groups[&("g".to_owned(), None)];
        let points: Vec<_> = series.lag.iter().map(|(at, lag)| (at.0, *lag)).collect();
        assert_eq!(points, [(1000, 5), (1020, 7), (1030, 9)]);
        let times: Vec<_> = series
            .time
            .iter()
            .map(|(at, t)| (at.0, t.as_millis()))
            .collect();
        assert_eq!(times, [(1000, 20), (1030, 30)]);
    }
}
