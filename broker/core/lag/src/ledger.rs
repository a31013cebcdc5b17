//! What is kept: the samples and the marks of watermarks. `Ledger::apply` is the only thing that
//! changes it; it cannot fail, and the same records give the same ledger.

use crate::{
    Name,
    codec::{DecodeError, decode},
    limits::{RESOLUTIONS_MS, SNAPSHOT_BYTES_MIN, SNAPSHOT_GROWTH_FACTOR, STEPS_FILLED_MAX},
    record::{Behind, LagRecord, SeriesTold, Subject, Traffic},
    series::{Merge, Series},
    track::{LagTime, MARKS, Track},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use weir_types::{PartitionIndex, TopicId};

/// The samples of a series.
#[expect(
    clippy::large_enum_variant,
    reason = "most are of lag; what they hold lies elsewhere"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Samples {
    /// Records and milliseconds behind.
    Lag(Series<2>),
    /// Records and bytes in, records and bytes out.
    Traffic(Series<4>),
}

/// A series and what it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is of.
    pub subject: Subject,
    /// What was told of it last, where it is of lag.
    pub behind: Behind,
    /// Its samples.
    pub samples: Samples,
}

/// All samples and marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    series: BTreeMap<u32, Entry>,
    by_subject: BTreeMap<Subject, u32>,
    marks: BTreeMap<(TopicId, PartitionIndex), Track>,
    last_step: Option<i64>,
    last_time: LagTime,
    /// The number of the last snapshot that began.
    snapshot: u64,
    /// Bytes of records since then.
    since_snapshot: u64,
}

impl Ledger {
    /// Makes the record of a log true.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing has changed then.
    pub fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        let record = decode(key, value)?;
        self.apply(&record, key.len() + value.map_or(0, <[u8]>::len));
        Ok(())
    }

    /// Makes a record true that takes so many bytes.
    pub(crate) fn apply(&mut self, record: &LagRecord, bytes: usize) {
        match record {
            LagRecord::Series { number, series } => self.put_series(*number, series),
            LagRecord::Ended { number } => {
                if let Some(entry) = self.series.remove(number) {
                    self.by_subject.remove(&entry.subject);
                }
            }
            LagRecord::Step {
                step,
                at,
                behind,
                traffic,
            } => self.step(*step, *at, behind, traffic),
            LagRecord::Marks { since, at, topics } => {
                self.last_time = self.last_time.max(*at);
                for (topic, marks) in topics {
                    for (index, high) in marks {
                        let track = self.marks.entry((*topic, *index)).or_default();
                        track.push(*since, *at, *high, &MARKS);
                    }
                }
            }
            LagRecord::Track {
                topic,
                index,
                points,
            } => {
                let track = Track::of(points.iter().copied());
                self.last_time = track
                    .last()
                    .map_or(self.last_time, |last| self.last_time.max(last.at));
                self.marks.insert((*topic, *index), track);
            }
            LagRecord::TopicGone { topic } => self.marks.retain(|(of, _), _| of != topic),
            LagRecord::SnapshotBegin {
                id,
                last_step,
                last_time,
            } => {
                self.snapshot = self.snapshot.max(*id);
                self.since_snapshot = 0;
                self.last_step = *last_step;
                self.last_time = *last_time;
            }
            LagRecord::SnapshotEnd { .. } => {}
        }
        self.since_snapshot = self.since_snapshot.saturating_add(bytes as u64);
    }

    /// A series that cannot be read is begun anew: its samples are lost, not those of others.
    fn put_series(&mut self, number: u32, told: &SeriesTold) {
        let (rings, growing) = (&told.rings, &told.growing);
        let samples = match told.subject {
            Subject::Topic(_) => {
                Samples::Traffic(Series::from_told(rings, growing).unwrap_or_default())
            }
            Subject::Group(_) | Subject::GroupTopic(..) => {
                Samples::Lag(Series::from_told(rings, growing).unwrap_or_default())
            }
        };
        self.by_subject.insert(told.subject.clone(), number);
        let entry = Entry {
            subject: told.subject.clone(),
            behind: told.behind,
            samples,
        };
        self.series.insert(number, entry);
    }

    fn step(
        &mut self,
        step: i64,
        at: LagTime,
        behind: &[(u32, Behind)],
        traffic: &[(u32, Traffic)],
    ) {
        let missed = self.last_step.map_or(0, |last| step - last - 1);
        let filled = if missed <= STEPS_FILLED_MAX {
            missed.max(0)
        } else {
            0
        };
        let behind: BTreeMap<u32, Behind> = behind.iter().copied().collect();
        let traffic: BTreeMap<u32, Traffic> = traffic.iter().copied().collect();
        for (number, entry) in &mut self.series {
            let before = entry.behind;
            if let Some(behind) = behind.get(number) {
                entry.behind = *behind;
            }
            let flowed = traffic.get(number).copied().unwrap_or_default();
            entry.push(step, at, filled, before, flowed);
        }
        self.last_step = Some(step);
        self.last_time = self.last_time.max(at);
    }

    /// The series by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.series.iter().map(|(number, entry)| (*number, entry))
    }

    /// The series of a subject.
    #[must_use]
    pub fn get(&self, subject: &Subject) -> Option<(u32, &Entry)> {
        let number = self.by_subject.get(subject)?;
        Some((*number, self.series.get(number)?))
    }

    /// The subjects from one on, in order.
    pub fn subjects(&self, from: &Subject) -> impl Iterator<Item = &Subject> {
        self.by_subject.range(from..).map(|(subject, _)| subject)
    }

    /// A number for a new series, none of those `taken`.
    pub(crate) fn free_number(&self, taken: &BTreeSet<u32>) -> u32 {
        let next = self.series.last_key_value().map_or(0, |(last, _)| last + 1);
        taken.last().map_or(next, |last| next.max(last + 1))
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The marks of a partition.
    #[must_use]
    pub fn marks(&self, topic: TopicId, index: PartitionIndex) -> Option<&Track> {
        self.marks.get(&(topic, index))
    }

    /// The topics of which there are marks.
    pub(crate) fn marked_topics(&self) -> BTreeSet<TopicId> {
        self.marks.keys().map(|(topic, _)| *topic).collect()
    }

    /// The last step that was taken.
    #[must_use]
    pub const fn last_step(&self) -> Option<i64> {
        self.last_step
    }

    /// The newest time that was told.
    #[must_use]
    pub const fn last_time(&self) -> LagTime {
        self.last_time
    }

    /// The number of the last snapshot that began; 0: none.
    #[must_use]
    pub const fn snapshot_id(&self) -> u64 {
        self.snapshot
    }

    /// Bytes of memory of all samples.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.series.values().map(Entry::bytes).sum()
    }

    /// Whether the records since the last snapshot are worth another: many bytes, and many times
    /// those of a snapshot.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        // Looks at all series only where there may be reason to.
        self.since_snapshot >= SNAPSHOT_BYTES_MIN
            && self.since_snapshot >= SNAPSHOT_GROWTH_FACTOR.saturating_mul(self.bytes() as u64)
    }

    /// The mark at the beginning of the next snapshot.
    pub(crate) const fn snapshot_begin(&self) -> LagRecord {
        LagRecord::SnapshotBegin {
            id: self.snapshot + 1,
            last_step: self.last_step,
            last_time: self.last_time,
        }
    }

    /// The series behind a number, to be written down.
    pub(crate) fn series_after(&self, after: Option<u32>) -> Option<(u32, LagRecord)> {
        let from = after.map_or(Some(0), |after| after.checked_add(1))?;
        let (number, entry) = self.series.range(from..).next()?;
        let record = LagRecord::Series {
            number: *number,
            series: entry.told(),
        };
        Some((*number, record))
    }

    /// The marks behind a partition, to be written down.
    pub(crate) fn track_after(
        &self,
        after: Option<(TopicId, PartitionIndex)>,
    ) -> Option<((TopicId, PartitionIndex), LagRecord)> {
        use core::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let (key, track) = self.marks.range((from, Unbounded)).next()?;
        let record = LagRecord::Track {
            topic: key.0,
            index: key.1,
            points: track.points().to_vec(),
        };
        Some((*key, record))
    }

    /// All records that tell this ledger, without the marks around a snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Vec<LagRecord> {
        let mut records = Vec::new();
        let mut after = None;
        while let Some((number, record)) = self.series_after(after) {
            after = Some(number);
            records.push(record);
        }
        let mut after = None;
        while let Some((key, record)) = self.track_after(after) {
            after = Some(key);
            records.push(record);
        }
        records
    }

    /// Asserts what must always hold.
    pub fn check(&self) {
        assert_eq!(
            self.series.len(),
            self.by_subject.len(),
            "I-LAG-4: a subject has one series"
        );
        for (number, entry) in &self.series {
            let found = self.by_subject.get(&entry.subject);
            assert_eq!(
                found,
                Some(number),
                "I-LAG-4: a series is found by its subject"
            );
            match &entry.samples {
                Samples::Lag(series) => series.check(),
                Samples::Traffic(series) => series.check(),
            }
        }
        self.marks.values().for_each(Track::check);
    }
}

impl Entry {
    /// Adds the samples of the steps that were left out, which were as before, and of this one.
    fn push(&mut self, step: i64, at: LagTime, filled: i64, before: Behind, flowed: Traffic) {
        match &mut self.samples {
            Samples::Lag(series) => {
                let filled = if series.last_step().is_some() {
                    filled
                } else {
                    0
                };
                let point =
                    |behind: Behind, at| [behind.records.unwrap_or(-1), behind.since.ms(at)];
                for ago in (1..=filled).rev() {
                    let then = LagTime(at.0 - ago * RESOLUTIONS_MS[0]);
                    series.push(step - ago, point(before, then), Merge::Last);
                }
                series.push(step, point(self.behind, at), Merge::Last);
            }
            Samples::Traffic(series) => {
                let filled = if series.last_step().is_some() {
                    filled
                } else {
                    0
                };
                for ago in (1..=filled).rev() {
                    series.push(step - ago, [0; 4], Merge::Sum);
                }
                series.push(step, flowed.values(), Merge::Sum);
            }
        }
    }

    fn bytes(&self) -> usize {
        let names = [self.subject.group(), self.subject.topic()];
        let names: usize = names
            .into_iter()
            .flatten()
            .map(|name: &Name| name.len())
            .sum();
        let samples = match &self.samples {
            Samples::Lag(series) => series.bytes(),
            Samples::Traffic(series) => series.bytes(),
        };
        size_of::<Self>() + names + samples
    }

    fn told(&self) -> SeriesTold {
        let (rings, growing) = match &self.samples {
            Samples::Lag(series) => series.told(),
            Samples::Traffic(series) => series.told(),
        };
        SeriesTold {
            subject: self.subject.clone(),
            behind: self.behind,
            rings,
            growing,
        }
    }
}
