//! Records of lag as bytes. Decoding never reserves by a count that it was told.

use crate::{
    Name,
    column::{Packed, put, take, unzigzag, zigzag},
    record::{Behind, LagRecord, SeriesTold, Since, Subject, Traffic},
    series::Told,
    track::{LagTime, Point},
};
use alloc::vec::Vec;
use thiserror::Error;
use weir_types::{Offset, PartitionIndex, TopicId};

/// The version of every value.
const VERSION: u8 = 0;

mod kind {
    pub(super) const SERIES: u8 = 1;
    pub(super) const ENDED: u8 = 2;
    pub(super) const STEP: u8 = 3;
    pub(super) const MARKS: u8 = 4;
    pub(super) const TRACK: u8 = 5;
    pub(super) const TOPIC_GONE: u8 = 6;
    pub(super) const SNAPSHOT_BEGIN: u8 = 7;
    pub(super) const SNAPSHOT_END: u8 = 8;
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A newer broker may know it.
    #[error("a record of lag of kind {kind:?} and version {version:?} is not known")]
    Unknown {
        /// The kind, if there is one.
        kind: Option<u8>,
        /// The version, if there is one.
        version: Option<u8>,
    },
    /// It ends too early, or says what cannot be.
    #[error("a record of lag of kind {kind} is damaged")]
    Damaged {
        /// The kind.
        kind: u8,
    },
}

/// A record as its key and value.
#[must_use]
pub fn encode(record: &LagRecord) -> (Vec<u8>, Vec<u8>) {
    let mut out = Writer(Vec::from([VERSION]));
    let kind = match record {
        LagRecord::Series { number, series } => {
            out.number(u64::from(*number));
            out.series(series);
            kind::SERIES
        }
        LagRecord::Ended { number } => {
            out.number(u64::from(*number));
            kind::ENDED
        }
        LagRecord::Step {
            step,
            at,
            behind,
            traffic,
        } => {
            out.signed(*step);
            out.signed(at.0);
            out.step(*at, behind, traffic);
            kind::STEP
        }
        LagRecord::Marks { since, at, topics } => {
            out.signed(since.0);
            out.signed(at.0);
            out.marks(topics);
            kind::MARKS
        }
        LagRecord::Track {
            topic,
            index,
            points,
        } => {
            out.0.extend_from_slice(&topic.0);
            out.signed(i64::from(index.0));
            out.points(points);
            kind::TRACK
        }
        LagRecord::TopicGone { topic } => {
            out.0.extend_from_slice(&topic.0);
            kind::TOPIC_GONE
        }
        LagRecord::SnapshotBegin {
            id,
            last_step,
            last_time,
        } => {
            out.number(*id);
            out.number(u64::from(last_step.is_some()));
            out.signed(last_step.unwrap_or(0));
            out.signed(last_time.0);
            kind::SNAPSHOT_BEGIN
        }
        LagRecord::SnapshotEnd { id } => {
            out.number(*id);
            kind::SNAPSHOT_END
        }
    };
    (Vec::from([kind]), out.0)
}

/// A record from its key and value.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<LagRecord, DecodeError> {
    let version = value.and_then(<[u8]>::first).copied();
    let (&[kind], Some(VERSION), Some([_, rest @ ..])) = (key, version, value) else {
        let kind = key.first().copied();
        return Err(DecodeError::Unknown { kind, version });
    };
    if !(kind::SERIES..=kind::SNAPSHOT_END).contains(&kind) {
        let kind = Some(kind);
        return Err(DecodeError::Unknown { kind, version });
    }
    let mut reader = Reader(rest);
    let record = reader.record(kind);
    record
        .filter(|_| reader.0.is_empty())
        .ok_or(DecodeError::Damaged { kind })
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, value: u64) {
        put(&mut self.0, value);
    }

    fn count(&mut self, value: usize) {
        put(&mut self.0, value as u64);
    }

    fn signed(&mut self, value: i64) {
        put(&mut self.0, zigzag(value));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn series(&mut self, series: &SeriesTold) {
        match &series.subject {
            Subject::Group(group) => {
                self.number(0);
                self.bytes(group.as_bytes());
            }
            Subject::GroupTopic(group, topic) => {
                self.number(1);
                self.bytes(group.as_bytes());
                self.bytes(topic.as_bytes());
            }
            Subject::Topic(topic) => {
                self.number(2);
                self.bytes(topic.as_bytes());
            }
        }
        self.behind(LagTime(0), &series.behind);
        for (first, blocks) in &series.rings {
            self.signed(*first);
            self.count(blocks.len());
            for block in blocks {
                self.bytes(&block.0);
            }
        }
        for growing in &series.growing {
            let (step, values) = match growing {
                Some((step, values)) => (*step, values.as_slice()),
                None => (0, &[][..]),
            };
            self.signed(step);
            self.count(values.len());
            for value in values {
                self.signed(*value);
            }
        }
    }

    /// Times are told by their distance to one that is near.
    fn behind(&mut self, at: LagTime, behind: &Behind) {
        self.signed(behind.records.unwrap_or(-1));
        match behind.since {
            Since::Unknown => self.number(0),
            Since::Never => self.number(1),
            Since::At(since) => {
                self.number(2);
                self.signed(at.0 - since.0);
            }
        }
    }

    fn step(&mut self, at: LagTime, behind: &[(u32, Behind)], traffic: &[(u32, Traffic)]) {
        self.count(behind.len());
        let mut last = 0;
        for (number, behind) in behind {
            self.number(u64::from(number.wrapping_sub(last)));
            last = *number;
            self.behind(at, behind);
        }
        self.count(traffic.len());
        last = 0;
        for (number, traffic) in traffic {
            self.number(u64::from(number.wrapping_sub(last)));
            last = *number;
            let all = [traffic.records_in, traffic.bytes_in];
            for value in all
                .into_iter()
                .chain([traffic.records_out, traffic.bytes_out])
            {
                self.number(value);
            }
        }
    }

    fn marks(&mut self, topics: &[(TopicId, Vec<(PartitionIndex, Offset)>)]) {
        self.count(topics.len());
        for (topic, marks) in topics {
            self.0.extend_from_slice(&topic.0);
            self.count(marks.len());
            for (index, high) in marks {
                self.signed(i64::from(index.0));
                self.signed(high.0);
            }
        }
    }

    fn points(&mut self, points: &[Point]) {
        self.count(points.len());
        let (mut at, mut high) = (0i64, 0i64);
        for point in points {
            self.signed(point.at.0.wrapping_sub(at));
            self.signed(point.high.0.wrapping_sub(high));
            (at, high) = (point.at.0, point.high.0);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        take(&mut self.0)
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// A count of things of at least one byte each.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    fn signed(&mut self) -> Option<i64> {
        self.number().map(unzigzag)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn name(&mut self) -> Option<Name> {
        core::str::from_utf8(self.bytes()?).ok().map(Name::from)
    }

    fn topic(&mut self) -> Option<TopicId> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(TopicId(*taken))
    }

    fn index(&mut self) -> Option<PartitionIndex> {
        i32::try_from(self.signed()?).ok().map(PartitionIndex)
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Some(items)
    }

    fn record(&mut self, kind: u8) -> Option<LagRecord> {
        Some(match kind {
            kind::SERIES => LagRecord::Series {
                number: self.small()?,
                series: self.series()?,
            },
            kind::ENDED => LagRecord::Ended {
                number: self.small()?,
            },
            kind::STEP => self.step()?,
            kind::MARKS => LagRecord::Marks {
                since: LagTime(self.signed()?),
                at: LagTime(self.signed()?),
                topics: self.list(|reader| {
                    let topic = reader.topic()?;
                    let mark =
                        |reader: &mut Self| Some((reader.index()?, Offset(reader.signed()?)));
                    Some((topic, reader.list(mark)?))
                })?,
            },
            kind::TRACK => LagRecord::Track {
                topic: self.topic()?,
                index: self.index()?,
                points: self.points()?,
            },
            kind::TOPIC_GONE => LagRecord::TopicGone {
                topic: self.topic()?,
            },
            kind::SNAPSHOT_BEGIN => {
                let id = self.number()?;
                let any = self.number()? == 1;
                let step = self.signed()?;
                LagRecord::SnapshotBegin {
                    id,
                    last_step: any.then_some(step),
                    last_time: LagTime(self.signed()?),
                }
            }
            _ => LagRecord::SnapshotEnd { id: self.number()? },
        })
    }

    fn series(&mut self) -> Option<SeriesTold> {
        let subject = match self.number()? {
            0 => Subject::Group(self.name()?),
            1 => Subject::GroupTopic(self.name()?, self.name()?),
            2 => Subject::Topic(self.name()?),
            _ => return None,
        };
        let behind = self.behind(LagTime(0))?;
        let mut rings = [const { (0, Vec::new()) }; 3];
        for ring in &mut rings {
            *ring = self.ring()?;
        }
        let mut growing = [None, None];
        for growing in &mut growing {
            let step = self.signed()?;
            let values = self.list(Self::signed)?;
            *growing = (!values.is_empty()).then_some((step, values));
        }
        Some(SeriesTold {
            subject,
            behind,
            rings,
            growing,
        })
    }

    fn ring(&mut self) -> Option<Told> {
        let first = self.signed()?;
        let block = |reader: &mut Self| reader.bytes().map(|bytes| Packed(bytes.into()));
        Some((first, self.list(block)?))
    }

    fn behind(&mut self, at: LagTime) -> Option<Behind> {
        let records = self.signed()?;
        let since = match self.number()? {
            0 => Since::Unknown,
            1 => Since::Never,
            2 => Since::At(LagTime(at.0.checked_sub(self.signed()?)?)),
            _ => return None,
        };
        let records = (records >= 0).then_some(records);
        Some(Behind { records, since })
    }

    fn step(&mut self) -> Option<LagRecord> {
        let step = self.signed()?;
        let at = LagTime(self.signed()?);
        let mut last = 0u32;
        let behind = self.list(|reader| {
            last = last.wrapping_add(reader.small()?);
            Some((last, reader.behind(at)?))
        })?;
        let mut last = 0u32;
        let traffic = self.list(|reader| {
            last = last.wrapping_add(reader.small()?);
            let traffic = Traffic {
                records_in: reader.number()?,
                bytes_in: reader.number()?,
                records_out: reader.number()?,
                bytes_out: reader.number()?,
            };
            Some((last, traffic))
        })?;
        Some(LagRecord::Step {
            step,
            at,
            behind,
            traffic,
        })
    }

    fn points(&mut self) -> Option<Vec<Point>> {
        let (mut at, mut high) = (0i64, 0i64);
        self.list(|reader| {
            at = at.wrapping_add(reader.signed()?);
            high = high.wrapping_add(reader.signed()?);
            let (at, high) = (LagTime(at), Offset(high));
            Some(Point { at, high })
        })
    }
}
