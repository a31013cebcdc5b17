//! When a high watermark was where: few points that answer "since when is there more than up to
//! this offset". It never answers with a time to come.
//!
//! Points are thinned as they age: between two of them lie at most the gap (a second or a minute)
//! or a share of their age, an eighth as a rule. That is the error of an answer; the bound on the
//! number of points may make it a quarter, where traffic stops and starts over and over.

use crate::limits::{MARK_MS, RECENT_TRACK_MS_MAX, TRACK_MS_MAX, TRACK_POINTS_MAX, WINDOW_MS};
use alloc::vec::Vec;
use weir_types::Offset;

/// Milliseconds of [`LagClock`](crate::LagClock): close to the wall clock, and never going back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LagTime(pub i64);

/// At a time the high watermark was here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: LagTime,
    /// Where.
    pub high: Offset,
}

/// How a track is thinned.
#[derive(Clone, Copy, Debug)]
pub struct Grain {
    /// Points closer together than this need not be told apart, in milliseconds.
    pub gap_ms: i64,
    /// How long points are kept, in milliseconds.
    pub keep_ms: i64,
}

/// By the second, for some minutes.
pub const RECENT: Grain = Grain {
    gap_ms: WINDOW_MS / 10,
    keep_ms: RECENT_TRACK_MS_MAX,
};

/// By the minute, for a week; this is what is written down.
pub const MARKS: Grain = Grain {
    gap_ms: MARK_MS,
    keep_ms: TRACK_MS_MAX,
};

/// The points of one partition, ascending in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    points: Vec<Point>,
}

impl Track {
    /// A track of points that were written down; what does not ascend is left out.
    #[must_use]
    pub fn of(points: impl IntoIterator<Item = Point>) -> Self {
        let mut track = Self::default();
        for point in points {
            let last = track.points.last();
            if last.is_none_or(|last| last.at <= point.at && last.high <= point.high) {
                track.points.push(point);
            }
        }
        track
    }

    /// Its points.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The newest point.
    #[must_use]
    pub fn last(&self) -> Option<Point> {
        self.points.last().copied()
    }

    /// The watermark is at `high` since some moment between `since` and `at`. One that went back
    /// takes with it what was higher; a time that went back counts as the newest known.
    pub fn push(&mut self, since: LagTime, at: LagTime, high: Offset, grain: &Grain) {
        while self.points.last().is_some_and(|last| last.high > high) {
            self.points.pop();
        }
        let at = self.last().map_or(at, |last| at.max(last.at));
        if let Some(last) = self.last() {
            if last.high == high {
                return;
            }
            // It stood still until then.
            if since > last.at && since < at {
                let high = last.high;
                self.points.push(Point { at: since, high });
            }
        }
        self.points.push(Point { at, high });
        if self.points.len() > TRACK_POINTS_MAX {
            self.thin(at, grain);
        }
    }

    /// Whether the moment is known at which the watermark passed an offset.
    #[must_use]
    pub fn covers(&self, offset: Offset) -> bool {
        let first = self.points.first();
        first.is_some_and(|first| first.high <= offset)
    }

    /// The last point at which the record at `offset` was not there, and the first at which it
    /// was.
    #[must_use]
    pub fn around(&self, offset: Offset) -> (Option<Point>, Option<Point>) {
        let behind = self.points.partition_point(|point| point.high <= offset);
        let before = behind.checked_sub(1);
        let before = before.and_then(|before| self.points.get(before));
        (before.copied(), self.points.get(behind).copied())
    }

    fn thin(&mut self, now: LagTime, grain: &Grain) {
        let mut share = 8;
        // Leaves room, so that not every push has to thin.
        while self.points.len() > TRACK_POINTS_MAX * 3 / 4 {
            self.thin_by(now, grain, share);
            assert!(share > 0, "I-LAG-1: a track is bounded");
            share /= 2;
        }
    }

    fn thin_by(&mut self, now: LagTime, grain: &Grain, share: i64) {
        let oldest = now.0 - grain.keep_ms;
        let old = self.points.partition_point(|point| point.at.0 < oldest);
        self.points.drain(..old.saturating_sub(1));
        let mut kept: Vec<Point> = Vec::with_capacity(self.points.len());
        for (place, point) in self.points.iter().enumerate() {
            let next = self.points.get(place + 1);
            let redundant = kept.last().zip(next).is_some_and(|(before, next)| {
                let age = now.0 - next.at.0;
                // A share of nothing: whatever is old may go.
                let apart = age.checked_div(share).unwrap_or(i64::MAX);
                next.at.0 - before.at.0 <= apart.max(grain.gap_ms)
            });
            if !redundant {
                kept.push(*point);
            }
        }
        self.points = kept;
    }

    /// Asserts what must always hold.
    pub fn check(&self) {
        assert!(
            self.points.len() <= TRACK_POINTS_MAX,
            "I-LAG-1: a track is bounded"
        );
        for pair in self.points.windows(2) {
            assert!(
                pair[0].at <= pair[1].at && pair[0].high <= pair[1].high,
                "I-LAG-2: a track ascends in time and in offsets"
            );
        }
    }
}

/// Since when there is more than up to `offset`, by what is known by the second and by the minute;
/// nothing where that was before anything is known of.
#[must_use]
pub fn passed(recent: &Track, marks: Option<&Track>, offset: Offset) -> Option<LagTime> {
    if recent.covers(offset) {
        let (before, after) = recent.around(offset);
        return Some(between(before?, after?, offset));
    }
    let (before, after) = marks?.around(offset);
    let (_, first_recent) = recent.around(offset);
    let first = [after, first_recent].into_iter().flatten();
    let after = first.min_by_key(|point| point.at)?;
    Some(between(before?, after, offset))
}

/// The moment between two points, as if the watermark had moved evenly.
fn between(before: Point, after: Point, offset: Offset) -> LagTime {
    let span = i128::from((after.at.0 - before.at.0).max(0));
    let records = i128::from((after.high.0 - before.high.0).max(1));
    let part = i128::from(offset.0 - before.high.0 + 1).clamp(0, records);
    let into = i64::try_from(span * part / records).unwrap_or(0);
    LagTime(before.at.0 + into)
}
