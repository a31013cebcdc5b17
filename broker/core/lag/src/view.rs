//! Questions about lag and traffic, and their answers page by page.

use crate::{
    Name,
    board::{AtLeast, Gone, GroupState, Place, Sum},
    keeper::Keeper,
    ledger::{Entry, Samples},
    limits::{HISTORY_POINTS_MAX, PAGE_ROWS_MAX, POINTS, RESOLUTIONS_MS},
    record::{Since, Subject, Traffic},
    report::MemberReport,
    series::Series,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_types::{Now, Offset, PartitionIndex, TimestampMs, TopicId};

/// Where a page ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageEnd {
    /// Behind a group as a whole.
    Group(Name),
    /// Behind a partition of a group, or behind a topic of it (every partition).
    Partition(Name, Name, PartitionIndex),
    /// Behind a topic.
    Topic(Name),
}

/// Where a page begins, and what the first one told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The generation of the first page.
    pub generation: u64,
    /// Whether the pages hold everything.
    pub complete: bool,
    /// Where the page before ended.
    pub end: PageEnd,
}

/// What is asked about lag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LagQuery {
    /// These groups; none: all.
    pub groups: BTreeSet<Name>,
    /// These topics; none: all.
    pub topics: BTreeSet<Name>,
    /// Members and partitions as well.
    pub partitions: bool,
    /// The most rows.
    pub rows_max: usize,
    /// Where to go on.
    pub cursor: Option<Cursor>,
    /// Only what changed since this generation.
    pub since: Option<u64>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagPage {
    /// What to ask for changes since.
    pub generation: u64,
    /// Whether the pages hold everything.
    pub complete: bool,
    /// When the lags were taken.
    pub time: TimestampMs,
    /// The groups.
    pub groups: Vec<GroupView>,
    /// The topics.
    pub topics: Vec<TopicView>,
    /// Groups that are gone.
    pub groups_gone: Vec<Name>,
    /// Topics that are gone.
    pub topics_gone: Vec<Name>,
    /// Where the next page begins.
    pub next: Option<Cursor>,
}

/// How far something is behind, as it is told: -1 where that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagView {
    /// In records.
    pub records: i64,
    /// In milliseconds.
    pub ms: i64,
    /// Where it is behind and that is not known: in milliseconds at least.
    pub least_ms: i64,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Its id.
    pub group: Name,
    /// Its state.
    pub state: Name,
    /// Its protocol.
    pub kind: Name,
    /// Its epoch or generation.
    pub epoch: i32,
    /// How many members it has.
    pub member_count: usize,
    /// Its lag on all partitions asked for.
    pub lag: LagView,
    /// The members that own partitions below.
    pub members: Vec<MemberReport>,
    /// Its topics.
    pub topics: Vec<GroupTopicView>,
}

/// One topic of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTopicView {
    /// Its name.
    pub topic: Name,
    /// Its id; zero where it is gone.
    pub id: TopicId,
    /// The group's lag on it.
    pub lag: LagView,
    /// Its partitions.
    pub partitions: Vec<PartitionView>,
}

/// One partition of a group; -1 where something is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Its index.
    pub index: PartitionIndex,
    /// What the group keeps.
    pub committed: Offset,
    /// Where it starts.
    pub start: Offset,
    /// Where its replicated records end.
    pub high: Offset,
    /// How far behind the group is.
    pub lag: LagView,
    /// Which of the members told owns it.
    pub member: Option<usize>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// Its name.
    pub topic: Name,
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: usize,
    /// What went in and out within the window.
    pub traffic: Traffic,
}

impl Keeper {
    /// Whether anything changed since a generation; true where that is not known any more.
    #[must_use]
    pub fn changed_since(&self, generation: u64) -> bool {
        generation < self.board.known_from() || generation != self.board.generation()
    }

    /// Answers a question about lag.
    #[must_use]
    pub fn lag(&self, now: Now, query: &LagQuery) -> LagPage {
        let known =
            |since: &u64| (self.board.known_from()..=self.board.generation()).contains(since);
        let since = query.since.filter(known);
        let (generation, complete) = match &query.cursor {
            Some(cursor) => (cursor.generation, cursor.complete),
            None => (self.board.generation(), since.is_none()),
        };
        let mut page = Page {
            keeper: self,
            now,
            query,
            // A page behind the first tells all there is where the first one did.
            since: since.filter(|_| !complete).unwrap_or(0),
            rows: query.rows_max.clamp(1, PAGE_ROWS_MAX),
            groups: Vec::new(),
            topics: Vec::new(),
        };
        let end = page.fill(query.cursor.as_ref().map(|cursor| &cursor.end));
        let (groups, topics) = (page.groups, page.topics);
        let (groups_gone, topics_gone) = match (&query.cursor, since) {
            (None, Some(since)) => self.gone(since, query),
            _ => (Vec::new(), Vec::new()),
        };
        LagPage {
            generation,
            complete,
            time: now.wall,
            groups,
            topics,
            groups_gone,
            topics_gone,
            next: end.map(|end| Cursor {
                generation,
                complete,
                end,
            }),
        }
    }

    fn gone(&self, since: u64, query: &LagQuery) -> (Vec<Name>, Vec<Name>) {
        let (mut groups, mut topics) = (BTreeSet::new(), BTreeSet::new());
        for gone in self.board.gone_since(since) {
            match gone {
                Gone::Group(group) => {
                    if wanted(&query.groups, group) && !self.board.groups().contains_key(group) {
                        groups.insert(group.clone());
                    }
                }
                Gone::Topic(topic) => {
                    if wanted(&query.topics, topic) && !self.board.topics().contains_key(topic) {
                        topics.insert(topic.clone());
                    }
                }
            }
        }
        (groups.into_iter().collect(), topics.into_iter().collect())
    }
}

fn wanted(names: &BTreeSet<Name>, name: &Name) -> bool {
    names.is_empty() || names.contains(name)
}

/// A page that is being filled.
struct Page<'a> {
    keeper: &'a Keeper,
    now: Now,
    query: &'a LagQuery,
    since: u64,
    rows: usize,
    groups: Vec<GroupView>,
    topics: Vec<TopicView>,
}

impl Page<'_> {
    /// Fills it from behind `after` on; returns where it ends if there is more.
    fn fill(&mut self, after: Option<&PageEnd>) -> Option<PageEnd> {
        use core::ops::Bound::{Excluded, Included, Unbounded};
        let board = &self.keeper.board;
        let (groups_from, topics_from) = match after {
            None => (Some(Unbounded), Unbounded),
            Some(PageEnd::Group(group)) => (Some(Excluded(group)), Unbounded),
            Some(PageEnd::Partition(group, ..)) => (Some(Included(group)), Unbounded),
            Some(PageEnd::Topic(topic)) => (None, Excluded(topic)),
        };
        let mut last = None;
        if let Some(from) = groups_from {
            for (name, group) in board.groups().range::<Name, _>((from, Unbounded)) {
                if !wanted(&self.query.groups, name) || group.changed <= self.since {
                    continue;
                }
                let resumed = match after {
                    Some(PageEnd::Partition(of, topic, index)) if of == name => {
                        Some((topic, *index))
                    }
                    _ => None,
                };
                if self.rows == 0 {
                    return last;
                }
                if let Some(end) = self.group(name, group, resumed) {
                    return Some(end);
                }
                last = Some(PageEnd::Group(name.clone()));
            }
        }
        for (name, topic) in board.topics().range::<Name, _>((topics_from, Unbounded)) {
            if !wanted(&self.query.topics, name) || topic.changed <= self.since {
                continue;
            }
            if self.rows == 0 {
                // A page of groups alone that is just full goes on with the first topic.
                return last.or_else(|| after.cloned());
            }
            self.topics.push(TopicView {
                topic: name.clone(),
                id: topic.id,
                partitions: topic.partitions.len(),
                traffic: topic.flow(self.keeper.clock.at(self.now)),
            });
            self.rows -= 1;
            last = Some(PageEnd::Topic(name.clone()));
        }
        None
    }

    /// Tells a group, from behind a partition on; returns where the page ends if it is full before
    /// the group is.
    fn group(
        &mut self,
        name: &Name,
        group: &GroupState,
        resumed: Option<(&Name, PartitionIndex)>,
    ) -> Option<PageEnd> {
        let mut view = self.head(name, group);
        let mut total = Sum::default();
        let mut end = None;
        let mut members = BTreeMap::new();
        let mut told = 0;
        for (topic, partitions) in &group.topics {
            if !wanted(&self.query.topics, topic) {
                continue;
            }
            let behind = self.sum(topic, partitions);
            total.add(behind);
            let before = resumed.is_some_and(|(at, _)| topic < at);
            if end.is_some() || before {
                continue;
            }
            let after = resumed
                .filter(|(at, _)| *at == topic)
                .map(|(_, index)| index);
            let mut row = GroupTopicView {
                topic: topic.clone(),
                id: self
                    .keeper
                    .board
                    .topics()
                    .get(topic)
                    .map_or(TopicId::ZERO, |t| t.id),
                lag: self.view(behind),
                partitions: Vec::new(),
            };
            if self.query.partitions {
                end = self.partitions(group, topic, after, &mut members, &mut row);
            } else if after.is_some() {
                continue;
            } else if self.rows == 0 {
                end = Some(());
            } else {
                self.rows -= 1;
            }
            if end.is_none() || !row.partitions.is_empty() {
                told += 1;
                view.topics.push(row);
            }
        }
        if told == 0 && end.is_none() {
            self.rows = self.rows.saturating_sub(1);
        }
        view.lag = self.view(total.sum());
        view.members = in_order(members, &group.meta.members);
        let stop = end.map(|()| match view.topics.last() {
            Some(topic) => {
                let last = topic.partitions.last().map(|partition| partition.index);
                let index = last.unwrap_or(PartitionIndex(i32::MAX));
                PageEnd::Partition(name.clone(), topic.topic.clone(), index)
            }
            None => PageEnd::Partition(name.clone(), Name::from(""), PartitionIndex(-1)),
        });
        if stop.is_none() || !view.topics.is_empty() {
            self.groups.push(view);
        }
        stop
    }

    /// A group without its lag, members and topics.
    fn head(&self, name: &Name, group: &GroupState) -> GroupView {
        GroupView {
            group: name.clone(),
            state: group.meta.state.clone(),
            kind: group.meta.kind.clone(),
            epoch: group.meta.epoch,
            member_count: group.meta.members.len(),
            lag: self.view(AtLeast::default()),
            members: Vec::new(),
            topics: Vec::new(),
        }
    }

    /// Tells the partitions of a topic of a group, while there is room.
    fn partitions(
        &mut self,
        group: &GroupState,
        topic: &Name,
        after: Option<PartitionIndex>,
        members: &mut BTreeMap<usize, usize>,
        row: &mut GroupTopicView,
    ) -> Option<()> {
        let board = &self.keeper.board;
        for (index, place) in group.topics.get(topic).into_iter().flatten() {
            if after.is_some_and(|after| *index <= after) {
                continue;
            }
            if self.rows == 0 {
                return Some(());
            }
            self.rows -= 1;
            let next = members.len();
            let member = place.member;
            let member = member.map(|member| *members.entry(member).or_insert(next));
            let at = usize::try_from(index.0).unwrap_or(usize::MAX);
            let state = board.topics().get(topic);
            let partition = state.and_then(|state| state.partitions.get(at));
            let behind = self.behind(topic, *index, *place);
            row.partitions.push(PartitionView {
                index: *index,
                committed: place.committed.unwrap_or(Offset(-1)),
                start: partition.map_or(Offset(-1), |partition| partition.start),
                high: partition.map_or(Offset(-1), |partition| partition.high),
                lag: self.view(behind),
                member,
            });
        }
        None
    }

    fn sum(&self, topic: &Name, partitions: &BTreeMap<PartitionIndex, Place>) -> AtLeast {
        let mut sum = Sum::default();
        for (index, place) in partitions {
            sum.add(self.behind(topic, *index, *place));
        }
        sum.sum()
    }

    fn behind(&self, topic: &Name, index: PartitionIndex, place: Place) -> AtLeast {
        let (board, ledger) = (&self.keeper.board, &self.keeper.ledger);
        let behind = board.behind(ledger, topic, index, place);
        let since = match behind.since {
            Since::At(since) => Some(since),
            Since::Never => None,
            Since::Unknown if behind.records.is_none() => None,
            Since::Unknown => board.watched_since(ledger, topic, index),
        };
        AtLeast { behind, since }
    }

    fn view(&self, part: AtLeast) -> LagView {
        let AtLeast { behind, since } = part;
        let now = self.keeper.clock.at(self.now);
        let is_unknown = behind.records.is_some() && behind.since == Since::Unknown;
        let since = since.filter(|_| is_unknown);
        LagView {
            records: behind.records.unwrap_or(-1),
            ms: behind.since.ms(now),
            least_ms: since.map_or(Since::Unknown, Since::At).ms(now),
        }
    }
}

/// The members with these places, by place.
fn in_order(places: BTreeMap<usize, usize>, members: &[MemberReport]) -> Vec<MemberReport> {
    let mut places: Vec<(usize, usize)> = places.into_iter().collect();
    places.sort_by_key(|(_, place)| *place);
    let told = places.iter().filter_map(|(member, _)| members.get(*member));
    told.cloned().collect()
}

/// What is asked about the past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The totals of groups.
    pub of_groups: bool,
    /// The topics of groups.
    pub of_group_topics: bool,
    /// The traffic of topics.
    pub of_topics: bool,
    /// These groups; none: all.
    pub groups: BTreeSet<Name>,
    /// These topics; none: all.
    pub topics: BTreeSet<Name>,
    /// From this time on; nothing: from the oldest.
    pub from: Option<TimestampMs>,
    /// Before this time; nothing: now.
    pub to: Option<TimestampMs>,
    /// How far apart the points are at least, in milliseconds; nothing: as fits.
    pub resolution_ms: Option<i64>,
    /// The most points.
    pub points_max: usize,
    /// Where to go on: the level of resolution and the last series that was told.
    pub after: Option<(usize, Subject)>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// How far apart the points are, in milliseconds.
    pub resolution_ms: i64,
    /// The series, in order.
    pub series: Vec<SeriesView>,
    /// Where the next page begins.
    pub next: Option<(usize, Subject)>,
}

/// One series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesView {
    /// What it is of.
    pub subject: Subject,
    /// When the step of the first point ended.
    pub start: TimestampMs,
    /// Its points.
    pub points: Points,
}

/// The points of a series; -1 where nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Points {
    /// Records and milliseconds behind, at the end of each step.
    Lag(Vec<[i64; 2]>),
    /// Records and bytes in and out, within each step.
    Traffic(Vec<[i64; 4]>),
}

impl Points {
    fn len(&self) -> usize {
        match self {
            Self::Lag(points) => points.len(),
            Self::Traffic(points) => points.len(),
        }
    }
}

impl Keeper {
    /// Answers a question about the past.
    #[must_use]
    pub fn history(&self, now: Now, query: &HistoryQuery) -> HistoryPage {
        let level = query.after.as_ref().map(|(level, _)| *level);
        let level = level
            .filter(|level| *level < 3)
            .unwrap_or_else(|| self.level(now, query));
        let mut page = HistoryPage {
            resolution_ms: RESOLUTIONS_MS[level],
            series: Vec::new(),
            next: None,
        };
        let first = Subject::Group(Name::from(""));
        let after = query.after.as_ref().map(|(_, subject)| subject);
        let mut room = query.points_max.clamp(1, HISTORY_POINTS_MAX);
        for subject in self.ledger.subjects(after.unwrap_or(&first)) {
            if after == Some(subject) || !query.wants(subject) {
                continue;
            }
            if room == 0 {
                let last = page.series.last();
                page.next = last.map(|last: &SeriesView| (level, last.subject.clone()));
                break;
            }
            let Some((start, points)) = self.points(subject, level, query) else {
                continue;
            };
            room = room.saturating_sub(points.len());
            page.series.push(SeriesView {
                subject: subject.clone(),
                start,
                points,
            });
        }
        page
    }

    /// The finest resolution that is wanted and reaches back as far.
    fn level(&self, now: Now, query: &HistoryQuery) -> usize {
        let fine = query.resolution_ms.unwrap_or(0);
        let fits = |level: &usize| RESOLUTIONS_MS[*level] >= fine;
        let reaches = |level: &usize| match query.from {
            Some(from) => from.0 >= now.wall.0 - POINTS[*level] as i64 * RESOLUTIONS_MS[*level],
            // Named: as far as that goes. Otherwise: whatever has lost nothing yet.
            None => query.resolution_ms.is_some() || self.has_all(*level),
        };
        (0..3)
            .find(|level| fits(level) && reaches(level))
            .unwrap_or(2)
    }

    /// Whether no series has lost samples of a resolution.
    fn has_all(&self, level: usize) -> bool {
        let lost = |(_, entry): (u32, &Entry)| {
            let (from, to) = match &entry.samples {
                Samples::Lag(series) => series.steps(level),
                Samples::Traffic(series) => series.steps(level),
            };
            to - from >= POINTS[level] as i64
        };
        !self.ledger.iter().any(lost)
    }

    fn points(
        &self,
        subject: &Subject,
        level: usize,
        query: &HistoryQuery,
    ) -> Option<(TimestampMs, Points)> {
        if let Subject::Group(group) = subject
            && !query.topics.is_empty()
        {
            return self.points_of(group, level, query);
        }
        let (_, entry) = self.ledger.get(subject)?;
        match &entry.samples {
            Samples::Lag(series) => {
                let (start, points) = within(series, level, query)?;
                Some((ends(start, level), Points::Lag(points)))
            }
            Samples::Traffic(series) => {
                let (start, points) = within(series, level, query)?;
                Some((ends(start, level), Points::Traffic(points)))
            }
        }
    }

    /// The lag of a group on some topics together.
    fn points_of(
        &self,
        group: &Name,
        level: usize,
        query: &HistoryQuery,
    ) -> Option<(TimestampMs, Points)> {
        let mut sums: BTreeMap<i64, [i64; 2]> = BTreeMap::new();
        for topic in &query.topics {
            let subject = Subject::GroupTopic(group.clone(), topic.clone());
            let Some((
                _,
                Entry {
                    samples: Samples::Lag(series),
                    ..
                },
            )) = self.ledger.get(&subject)
            else {
                continue;
            };
            let Some((start, points)) = within(series, level, query) else {
                continue;
            };
            for (step, [records, ms]) in (start..).zip(points) {
                let sum = sums.entry(step).or_insert([-1, 0]);
                if records >= 0 {
                    sum[0] = sum[0].max(0).saturating_add(records);
                    sum[1] = if ms < 0 || sum[1] < 0 {
                        -1
                    } else {
                        sum[1].max(ms)
                    };
                }
            }
        }
        let (first, last) = (*sums.first_key_value()?.0, *sums.last_key_value()?.0);
        let point = |step| match sums.get(&step) {
            Some([-1, _]) | None => [-1, -1],
            Some(point) => *point,
        };
        let points = (first..=last).map(point).collect();
        Some((ends(first, level), Points::Lag(points)))
    }
}

impl HistoryQuery {
    fn wants(&self, subject: &Subject) -> bool {
        let kind = match subject {
            Subject::Group(_) => self.of_groups,
            Subject::GroupTopic(..) => self.of_group_topics,
            Subject::Topic(_) => self.of_topics,
        };
        let group = subject
            .group()
            .is_none_or(|group| wanted(&self.groups, group));
        kind && group
            && subject
                .topic()
                .is_none_or(|topic| wanted(&self.topics, topic))
    }
}

/// When a step ends.
const fn ends(step: i64, level: usize) -> TimestampMs {
    TimestampMs((step + 1) * RESOLUTIONS_MS[level])
}

/// The points whose steps end within the times asked for; nothing where there are none.
fn within<const C: usize>(
    series: &Series<C>,
    level: usize,
    query: &HistoryQuery,
) -> Option<(i64, Vec<[i64; C]>)> {
    let (first, points) = series.points(level);
    let inside = |step: i64| {
        let end = ends(step, level);
        query.from.is_none_or(|from| end >= from) && query.to.is_none_or(|to| end < to)
    };
    let mut steps = (first..).zip(points).filter(|(step, _)| inside(*step));
    let (start, point) = steps.next()?;
    let mut kept = Vec::from([point]);
    kept.extend(steps.map(|(_, point)| point));
    Some((start, kept))
}
