//! How things are now: watermarks, what groups keep and who owns what, and which of it changed
//! when. All of it comes from reports and is gone with a restart.

use crate::{
    Name,
    ledger::Ledger,
    limits::{GONE_MAX, WINDOW_MS},
    record::{Behind, Since, Traffic},
    report::{GroupMeta, GroupReport, PartitionReport, Report, Sender, Topics},
    track::{LagTime, Point, RECENT, Track, passed},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use weir_types::{Offset, PartitionIndex, TopicId};

/// A partition as its leader tells of it.
#[derive(Clone, Debug)]
pub(crate) struct PartitionState {
    /// Who leads it; nothing: nobody told.
    sender: Option<Sender>,
    pub(crate) high: Offset,
    pub(crate) start: Offset,
    recent: Track,
}

impl Default for PartitionState {
    fn default() -> Self {
        Self {
            sender: None,
            high: Offset(-1),
            start: Offset(-1),
            recent: Track::default(),
        }
    }
}

/// A topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicState {
    pub(crate) id: TopicId,
    pub(crate) partitions: Vec<PartitionState>,
    /// Its traffic by the second; those that have gone by leave.
    window: VecDeque<(i64, Traffic)>,
    /// Its traffic since the last sample.
    since_sample: Traffic,
    /// The generation in which it changed last.
    pub(crate) changed: u64,
}

/// A partition of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) committed: Option<Offset>,
    /// Which of the group's members owns it.
    pub(crate) member: Option<usize>,
}

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct GroupState {
    sender: Sender,
    pub(crate) meta: GroupMeta,
    pub(crate) topics: BTreeMap<Name, BTreeMap<PartitionIndex, Place>>,
    pub(crate) changed: u64,
}

/// What is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Group(Name),
    Topic(Name),
}

/// Everything, now.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    topics: BTreeMap<Name, TopicState>,
    names: BTreeMap<TopicId, Name>,
    groups: BTreeMap<Name, GroupState>,
    /// Which groups have to do with a topic.
    readers: BTreeMap<Name, BTreeSet<Name>>,
    /// Grows with every change; the first is one that no earlier board has told.
    generation: u64,
    /// Changes from here on are known.
    known_from: u64,
    gone: VecDeque<(u64, Gone)>,
    /// Topics with traffic in their window.
    flowing: BTreeSet<Name>,
    /// Partitions of which the watermark moved since the last marks.
    moved: BTreeSet<(TopicId, PartitionIndex)>,
}

impl Board {
    /// An empty board; generations that were told before `first` are not known to it.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            topics: BTreeMap::new(),
            names: BTreeMap::new(),
            groups: BTreeMap::new(),
            readers: BTreeMap::new(),
            generation: first,
            known_from: first,
            gone: VecDeque::new(),
            flowing: BTreeSet::new(),
            moved: BTreeSet::new(),
        }
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) const fn known_from(&self) -> u64 {
        self.known_from
    }

    pub(crate) const fn groups(&self) -> &BTreeMap<Name, GroupState> {
        &self.groups
    }

    pub(crate) const fn topics(&self) -> &BTreeMap<Name, TopicState> {
        &self.topics
    }

    pub(crate) fn is_flowing(&self) -> bool {
        !self.flowing.is_empty()
    }

    pub(crate) fn gone_since(&self, generation: u64) -> impl Iterator<Item = &Gone> {
        let gone = self.gone.iter();
        gone.filter(move |(at, _)| *at > generation)
            .map(|(_, gone)| gone)
    }

    /// The metadata image moved on.
    pub(crate) fn take_topics(&mut self, topics: &Topics) {
        self.generation += 1;
        let gone: Vec<Name> = self
            .topics
            .iter()
            .filter(|(name, state)| topics.id(name) != Some(state.id))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(state) = self.topics.remove(&name) {
                self.names.remove(&state.id);
            }
            self.flowing.remove(&name);
            self.touch_readers(&name);
            if topics.id(&name).is_none() {
                self.note_gone(Gone::Topic(name));
            }
        }
        let names = &self.names;
        self.moved.retain(|(id, _)| names.contains_key(id));
        for (name, id, count) in topics.iter() {
            let count = usize::try_from(count).unwrap_or(0);
            let state = self.topics.entry(name.clone()).or_default();
            if state.partitions.len() != count || state.id != id {
                state.id = id;
                state.partitions.resize_with(count, PartitionState::default);
                state.changed = self.generation;
                self.names.insert(id, name.clone());
                self.touch_readers(name);
            }
        }
    }

    /// A report came.
    pub(crate) fn take_report(&mut self, now: LagTime, report: &Report) {
        if report.is_empty() {
            return;
        }
        self.generation += 1;
        if report.full {
            self.forget_unnamed(report);
        }
        let since = match report.within_ms {
            Some(ms) => LagTime(now.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX))),
            None => LagTime(i64::MIN),
        };
        for partition in &report.partitions {
            self.take_partition(since, now, report.sender, partition);
        }
        for (topic, index) in &report.partitions_gone {
            self.lose_partition(report.sender, *topic, *index);
        }
        for group in &report.groups {
            self.take_group(report.sender, group);
        }
        for group in &report.groups_gone {
            if self
                .groups
                .get(group)
                .is_some_and(|g| g.sender == report.sender)
            {
                self.lose_group(group);
            }
        }
    }

    /// What the sender told before and does not name any more is gone.
    fn forget_unnamed(&mut self, report: &Report) {
        let named: BTreeSet<&Name> = report.groups.iter().map(|group| &group.group).collect();
        let lost = self.groups.iter();
        let lost =
            lost.filter(|(name, state)| state.sender == report.sender && !named.contains(name));
        let lost: Vec<Name> = lost.map(|(name, _)| name.clone()).collect();
        for group in lost {
            self.lose_group(&group);
        }
        let named: BTreeSet<(TopicId, PartitionIndex)> = report
            .partitions
            .iter()
            .map(|p| (p.topic, p.index))
            .collect();
        let mut lost = Vec::new();
        for state in self.topics.values() {
            for (index, partition) in (0..).map(PartitionIndex).zip(&state.partitions) {
                let key = (state.id, index);
                if partition.sender == Some(report.sender) && !named.contains(&key) {
                    lost.push(key);
                }
            }
        }
        for (topic, index) in lost {
            self.lose_partition(report.sender, topic, index);
        }
    }

    fn take_partition(
        &mut self,
        since: LagTime,
        now: LagTime,
        sender: Sender,
        report: &PartitionReport,
    ) {
        let Some(name) = self.names.get(&report.topic).cloned() else {
            return;
        };
        let Some(topic) = self.topics.get_mut(&name) else {
            return;
        };
        let index = usize::try_from(report.index.0).unwrap_or(usize::MAX);
        let Some(partition) = topic.partitions.get_mut(index) else {
            return;
        };
        partition.sender = Some(sender);
        partition.start = report.log_start;
        if let (Some(ms), None) = (report.empty_ms_ago, partition.recent.last()) {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            let then = LagTime(now.0.saturating_sub(ms));
            partition.recent.push(then, then, Offset::ZERO, &RECENT);
        }
        if partition.high != report.high_watermark {
            partition.high = report.high_watermark;
            partition
                .recent
                .push(since, now, report.high_watermark, &RECENT);
            self.moved.insert((report.topic, report.index));
        }
        topic.changed = self.generation;
        if !report.traffic.is_none() {
            topic.since_sample.add(report.traffic);
            let second = now.0.div_euclid(1000);
            match topic.window.back_mut() {
                Some((of, traffic)) if *of == second => traffic.add(report.traffic),
                _ => topic.window.push_back((second, report.traffic)),
            }
            self.flowing.insert(name.clone());
        }
        self.touch_readers(&name);
    }

    fn lose_partition(&mut self, sender: Sender, topic: TopicId, index: PartitionIndex) {
        let Some(name) = self.names.get(&topic).cloned() else {
            return;
        };
        let place = usize::try_from(index.0).unwrap_or(usize::MAX);
        let state = self.topics.get_mut(&name);
        let partition = state.and_then(|state| state.partitions.get_mut(place));
        if let Some(partition) = partition.filter(|p| p.sender == Some(sender)) {
            // Its track stays: whoever leads it next goes on with it.
            partition.sender = None;
            partition.high = Offset(-1);
            partition.start = Offset(-1);
            self.touch_readers(&name);
        }
    }

    fn take_group(&mut self, sender: Sender, report: &GroupReport) {
        let generation = self.generation;
        if !self.groups.contains_key(&report.group) && report.meta.is_none() {
            return;
        }
        let state = self
            .groups
            .entry(report.group.clone())
            .or_insert_with(|| GroupState {
                sender,
                meta: GroupMeta {
                    state: Name::from(""),
                    kind: Name::from(""),
                    epoch: 0,
                    members: Vec::new(),
                },
                topics: BTreeMap::new(),
                changed: generation,
            });
        state.sender = sender;
        state.changed = generation;
        let before: BTreeSet<Name> = state.topics.keys().cloned().collect();
        if report.whole {
            state.topics.clear();
        }
        for (topic, index, offset) in &report.offsets {
            let topic = state.topics.entry(topic.clone()).or_default();
            topic.entry(*index).or_default().committed = *offset;
        }
        if let Some(meta) = &report.meta {
            state.meta = meta.clone();
        }
        state.own();
        let after: BTreeSet<Name> = state.topics.keys().cloned().collect();
        for topic in before.difference(&after) {
            if let Some(readers) = self.readers.get_mut(topic) {
                readers.remove(&report.group);
                if readers.is_empty() {
                    self.readers.remove(topic);
                }
            }
        }
        for topic in after.difference(&before) {
            let readers = self.readers.entry(topic.clone()).or_default();
            readers.insert(report.group.clone());
        }
    }

    fn lose_group(&mut self, group: &Name) {
        let Some(state) = self.groups.remove(group) else {
            return;
        };
        for topic in state.topics.keys() {
            if let Some(readers) = self.readers.get_mut(topic) {
                readers.remove(group);
                if readers.is_empty() {
                    self.readers.remove(topic);
                }
            }
        }
        self.note_gone(Gone::Group(group.clone()));
    }

    fn note_gone(&mut self, gone: Gone) {
        self.gone.push_back((self.generation, gone));
        if self.gone.len() > GONE_MAX
            && let Some((at, _)) = self.gone.pop_front()
        {
            self.known_from = self.known_from.max(at);
        }
    }

    fn touch_readers(&mut self, topic: &Name) {
        for group in self.readers.get(topic).into_iter().flatten() {
            if let Some(state) = self.groups.get_mut(group) {
                state.changed = self.generation;
            }
        }
    }

    /// Time went by: what flowed too long ago counts no more. Returns whether anything changed.
    pub(crate) fn pass(&mut self, now: LagTime) -> bool {
        let oldest = (now.0 - WINDOW_MS).div_euclid(1000);
        let mut changed = Vec::new();
        for name in &self.flowing {
            let window = self.topics.get(name).map(|topic| &topic.window);
            if window
                .and_then(VecDeque::front)
                .is_none_or(|(of, _)| *of <= oldest)
            {
                changed.push(name.clone());
            }
        }
        if changed.is_empty() {
            return false;
        }
        self.generation += 1;
        for name in changed {
            let Some(topic) = self.topics.get_mut(&name) else {
                self.flowing.remove(&name);
                continue;
            };
            while topic.window.front().is_some_and(|(of, _)| *of <= oldest) {
                topic.window.pop_front();
            }
            topic.changed = self.generation;
            if topic.window.is_empty() {
                self.flowing.remove(&name);
            }
        }
        true
    }

    /// The traffic of each topic since this was asked last.
    pub(crate) fn take_traffic(&mut self) -> Vec<(Name, Traffic)> {
        let flowed = self.topics.iter_mut();
        let flowed = flowed.filter(|(_, topic)| !topic.since_sample.is_none());
        flowed
            .map(|(name, topic)| (name.clone(), core::mem::take(&mut topic.since_sample)))
            .collect()
    }

    /// The watermarks that moved since this was asked last, by topic.
    pub(crate) fn take_marks(&mut self) -> Vec<(TopicId, Vec<(PartitionIndex, Offset)>)> {
        let mut marks: Vec<(TopicId, Vec<(PartitionIndex, Offset)>)> = Vec::new();
        for (topic, index) in core::mem::take(&mut self.moved) {
            let name = self.names.get(&topic);
            let state = name.and_then(|name| self.topics.get(name));
            let place = usize::try_from(index.0).unwrap_or(usize::MAX);
            let partition = state.and_then(|state| state.partitions.get(place));
            let Some(high) = partition.map(|p| p.high).filter(|high| high.0 >= 0) else {
                continue;
            };
            match marks.last_mut() {
                Some((of, marks)) if *of == topic => marks.push((index, high)),
                _ => marks.push((topic, Vec::from([(index, high)]))),
            }
        }
        marks
    }

    /// What is known by the second of where a watermark was.
    pub(crate) fn recent(&self, topic: TopicId, index: PartitionIndex) -> Option<&[Point]> {
        let topic = self.topics.get(self.names.get(&topic)?)?;
        let partition = topic.partitions.get(usize::try_from(index.0).ok()?)?;
        Some(partition.recent.points())
    }

    /// Since when a partition is watched at least: what is behind without anybody knowing since
    /// when is so at least since then.
    pub(crate) fn watched_since(
        &self,
        ledger: &Ledger,
        topic: &Name,
        index: PartitionIndex,
    ) -> Option<LagTime> {
        let topic = self.topics.get(topic)?;
        let partition = topic.partitions.get(usize::try_from(index.0).ok()?)?;
        let marks = ledger.marks(topic.id, index).into_iter();
        let tracks = marks.chain([&partition.recent]);
        let first = tracks.filter_map(|track| track.points().first());
        first.map(|point| point.at).min()
    }

    /// How far a group is behind on a partition.
    pub(crate) fn behind(
        &self,
        ledger: &Ledger,
        topic: &Name,
        index: PartitionIndex,
        place: Place,
    ) -> Behind {
        let state = self.topics.get(topic);
        let at = usize::try_from(index.0).unwrap_or(usize::MAX);
        let partition = state.and_then(|state| Some((state.id, state.partitions.get(at)?)));
        let (Some((id, partition)), Some(committed)) = (partition, place.committed) else {
            return Behind::default();
        };
        if partition.high.0 < 0 {
            return Behind::default();
        }
        let records = (partition.high.0 - committed.0).max(0);
        let since = if records == 0 {
            Since::Never
        } else {
            let marks = ledger.marks(id, index);
            passed(&partition.recent, marks, committed).map_or(Since::Unknown, Since::At)
        };
        let records = Some(records);
        Behind { records, since }
    }
}

impl GroupState {
    /// Writes the members' shares into the partitions; what is neither owned nor kept goes.
    fn own(&mut self) {
        for place in self.topics.values_mut().flat_map(BTreeMap::values_mut) {
            place.member = None;
        }
        for (number, member) in self.meta.members.iter().enumerate() {
            for (topic, owned) in &member.owned {
                let topic = self.topics.entry(topic.clone()).or_default();
                for index in owned {
                    topic.entry(*index).or_default().member = Some(number);
                }
            }
        }
        self.topics.retain(|_, partitions| {
            partitions.retain(|_, place| *place != Place::default());
            !partitions.is_empty()
        });
    }
}

impl TopicState {
    /// The traffic within the window.
    pub(crate) fn flow(&self, now: LagTime) -> Traffic {
        let oldest = (now.0 - WINDOW_MS).div_euclid(1000);
        let mut sum = Traffic::default();
        for (_, traffic) in self.window.iter().filter(|(of, _)| *of > oldest) {
            sum.add(*traffic);
        }
        sum
    }
}

/// The sum of what is known, and since when the one furthest behind is: where that is not known of
/// one that is behind, it is not known at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Total(Behind);

impl Default for Total {
    fn default() -> Self {
        Self(Behind {
            records: None,
            since: Since::Never,
        })
    }
}

impl Total {
    pub(crate) fn add(&mut self, behind: Behind) {
        let Some(records) = behind.records else {
            return;
        };
        let sum = self.0.records.unwrap_or(0).saturating_add(records);
        self.0.records = Some(sum);
        self.0.since = match (self.0.since, behind.since) {
            (Since::Unknown, _) | (_, Since::Unknown) => Since::Unknown,
            (Since::At(one), Since::At(other)) => Since::At(one.min(other)),
            (Since::Never, since) | (since, Since::Never) => since,
        };
    }

    pub(crate) fn sum(self) -> Behind {
        match self.0.records {
            Some(_) => self.0,
            None => Behind::default(),
        }
    }
}

/// How far something is behind, and since when at least.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AtLeast {
    pub(crate) behind: Behind,
    pub(crate) since: Option<LagTime>,
}

/// The sum of several.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    total: Total,
    since: Option<LagTime>,
}

impl Sum {
    pub(crate) fn add(&mut self, part: AtLeast) {
        self.total.add(part.behind);
        let both = [self.since, part.since].into_iter().flatten();
        self.since = both.min();
    }

    pub(crate) fn sum(self) -> AtLeast {
        AtLeast {
            behind: self.total.sum(),
            since: self.since,
        }
    }
}
