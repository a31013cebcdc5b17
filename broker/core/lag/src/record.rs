//! The records of `__weir_lag`: the only thing that changes a [`Ledger`](crate::Ledger).
//!
//! A record states a fact, so that applying it needs no rule and cannot fail, and each but a step
//! and marks may be stated again at any time: that is what a snapshot is.

use crate::{
    Name,
    series::{Growing, Told},
    track::{LagTime, Point},
};
use alloc::vec::Vec;
use weir_types::{Offset, PartitionIndex, TopicId};

/// What a series is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The lag of a group on all its topics together.
    Group(Name),
    /// The lag of a group (the first) on one topic.
    GroupTopic(Name, Name),
    /// The traffic of a topic.
    Topic(Name),
}

impl Subject {
    /// Its group, if it has one.
    #[must_use]
    pub const fn group(&self) -> Option<&Name> {
        match self {
            Self::Group(group) | Self::GroupTopic(group, _) => Some(group),
            Self::Topic(_) => None,
        }
    }

    /// Its topic, if it has one.
    #[must_use]
    pub const fn topic(&self) -> Option<&Name> {
        match self {
            Self::Topic(topic) | Self::GroupTopic(_, topic) => Some(topic),
            Self::Group(_) => None,
        }
    }
}

/// How far something is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// How many records; nothing where that is not known.
    pub records: Option<i64>,
    /// Since when.
    pub since: Since,
}

/// Since when something is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// Nobody knows.
    #[default]
    Unknown,
    /// It is not behind.
    Never,
    /// Since then.
    At(LagTime),
}

impl Since {
    /// How long that is, in milliseconds; -1 where it is not known.
    #[must_use]
    pub fn ms(self, now: LagTime) -> i64 {
        match self {
            Self::Unknown => -1,
            Self::Never => 0,
            Self::At(time) => (now.0 - time.0).max(0),
        }
    }
}

/// Records and bytes that went in and out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Records appended.
    pub records_in: u64,
    /// Bytes appended.
    pub bytes_in: u64,
    /// Records sent to consumers.
    pub records_out: u64,
    /// Bytes sent to consumers.
    pub bytes_out: u64,
}

impl Traffic {
    /// Whether nothing went.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Adds to it.
    pub const fn add(&mut self, other: Self) {
        self.records_in = self.records_in.saturating_add(other.records_in);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.records_out = self.records_out.saturating_add(other.records_out);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
    }

    /// As the columns of a series.
    #[must_use]
    pub fn values(&self) -> [i64; 4] {
        let all = [
            self.records_in,
            self.bytes_in,
            self.records_out,
            self.bytes_out,
        ];
        all.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// A series with all its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesTold {
    /// What it is of.
    pub subject: Subject,
    /// What was told of it last, where it is of lag.
    pub behind: Behind,
    /// Its samples by resolution.
    pub rings: [Told; 3],
    /// The steps of the coarser resolutions that are under way.
    pub growing: [Growing; 2],
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LagRecord {
    /// A series; when it begins it has no samples.
    Series {
        /// Its number.
        number: u32,
        /// All of it.
        series: SeriesTold,
    },
    /// A series has ended.
    Ended {
        /// Its number.
        number: u32,
    },
    /// The samples of one step. What is not named is as far behind as it was, and had no traffic.
    Step {
        /// The step's number: its time in units of the finest resolution.
        step: i64,
        /// When it was taken.
        at: LagTime,
        /// What changed.
        behind: Vec<(u32, Behind)>,
        /// What had traffic.
        traffic: Vec<(u32, Traffic)>,
    },
    /// The watermarks that moved after `since`.
    Marks {
        /// After this time.
        since: LagTime,
        /// They are there now.
        at: LagTime,
        /// Where, by topic.
        topics: Vec<(TopicId, Vec<(PartitionIndex, Offset)>)>,
    },
    /// When the watermark of a partition was where.
    Track {
        /// The topic.
        topic: TopicId,
        /// The partition.
        index: PartitionIndex,
        /// The points.
        points: Vec<Point>,
    },
    /// A topic is gone.
    TopicGone {
        /// Which.
        topic: TopicId,
    },
    /// A snapshot begins: what follows up to its end, with what else is written meanwhile, is all
    /// there is to know.
    SnapshotBegin {
        /// Its running number.
        id: u64,
        /// The last step that was taken, if any was.
        last_step: Option<i64>,
        /// The newest time that was told.
        last_time: LagTime,
    },
    /// A snapshot is complete.
    SnapshotEnd {
        /// Its running number.
        id: u64,
    },
}
