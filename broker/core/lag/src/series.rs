//! One series: the samples of one thing, in three resolutions. The finer ones make the coarser
//! ones, so that a sample is added once.

use crate::{
    column::{Open, Packed},
    limits::{BLOCK_POINTS, POINTS, RESOLUTIONS_MS, VALUE_MAX},
};
use alloc::{collections::VecDeque, vec::Vec};

/// What stands where nothing is known.
pub const UNKNOWN: i64 = -1;

/// How samples of a finer resolution become one of a coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The last one counts: what was true at the end of the step.
    Last,
    /// They are added up.
    Sum,
}

/// The samples of one resolution, evenly apart; step `n` ends at `(n + 1)` times the resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ring<const C: usize> {
    /// The step of the first point.
    first: i64,
    blocks: VecDeque<Packed>,
    open: Open<C>,
    len: usize,
}

impl<const C: usize> Ring<C> {
    const fn next(&self) -> i64 {
        self.first + self.len as i64
    }

    /// Adds the sample of a step behind the last one; steps between are unknown.
    fn push(&mut self, level: usize, step: i64, point: [i64; C]) {
        let missing = step - self.next();
        if self.len == 0 || missing >= POINTS[level] as i64 {
            *self = Self::empty(step);
        } else {
            for _ in 0..missing {
                self.add(level, [UNKNOWN; C]);
            }
        }
        self.add(level, point);
    }

    fn empty(first: i64) -> Self {
        Self {
            first,
            blocks: VecDeque::new(),
            open: Open::default(),
            len: 0,
        }
    }

    fn add(&mut self, level: usize, point: [i64; C]) {
        self.open.push(point);
        self.len += 1;
        if self.open.len() == BLOCK_POINTS[level] {
            self.blocks.push_back(self.open.pack());
            self.open = Open::default();
        }
        while let Some(block) = self.blocks.front()
            && self.len - block.len() >= POINTS[level]
        {
            self.len -= block.len();
            self.first += block.len() as i64;
            self.blocks.pop_front();
        }
    }

    /// Forgets the samples from a step on: they are of a time that is yet to come.
    fn cut(&mut self, level: usize, step: i64) {
        if step >= self.next() {
            return;
        }
        let kept = usize::try_from(step - self.first).unwrap_or(0);
        let points = self.points();
        let first = self.first;
        *self = Self::empty(first);
        for point in points.into_iter().take(kept) {
            self.add(level, point);
        }
    }

    fn points(&self) -> Vec<[i64; C]> {
        let packed = self.blocks.iter().map(Packed::clone);
        let blocks = packed.chain([self.open.pack()]);
        let points = blocks.filter_map(|block| block.unpack::<C>(self.len));
        points.flatten().collect()
    }

    fn bytes(&self) -> usize {
        let blocks = self
            .blocks
            .iter()
            .map(|block| size_of::<Packed>() + block.0.len());
        self.open.bytes() + blocks.sum::<usize>() + size_of::<Self>() - size_of::<Open<C>>()
    }
}

/// A ring as it is written down: the step of its first point, and its blocks.
pub type Told = (i64, Vec<Packed>);

/// A coarser step that is under way, as it is written down: its number and what it comes to.
pub type Growing = Option<(i64, Vec<i64>)>;

/// The samples of one thing, each of `C` values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series<const C: usize> {
    rings: [Ring<C>; 3],
    /// For the two coarser resolutions: the step under way, and what it comes to so far.
    growing: [Option<(i64, [i64; C])>; 2],
}

impl<const C: usize> Default for Series<C> {
    fn default() -> Self {
        Self {
            rings: core::array::from_fn(|_| Ring::empty(0)),
            growing: [None; 2],
        }
    }
}

impl<const C: usize> Series<C> {
    /// The last step of the finest resolution and its values.
    #[must_use]
    pub fn last_step(&self) -> Option<i64> {
        let ring = &self.rings[0];
        (ring.len > 0).then(|| ring.next() - 1)
    }

    /// Adds the sample of a step of the finest resolution. Those that were taken for it or for
    /// later ones go first: the clock went back.
    pub fn push(&mut self, step: i64, mut point: [i64; C], merge: Merge) {
        if self.last_step().is_some_and(|last| step <= last) {
            self.cut(step);
        }
        for value in &mut point {
            *value = (*value).clamp(UNKNOWN, VALUE_MAX);
        }
        self.rings[0].push(0, step, point);
        for (level, resolution) in RESOLUTIONS_MS.iter().enumerate().skip(1) {
            let ratio = resolution / RESOLUTIONS_MS[0];
            let coarse = step.div_euclid(ratio);
            let growing = &mut self.growing[level - 1];
            match growing {
                Some((of, value)) if *of == coarse => merge.into(value, point),
                _ => {
                    if let Some((of, value)) = growing.replace((coarse, point)) {
                        self.rings[level].push(level, of, value);
                    }
                }
            }
        }
    }

    fn cut(&mut self, step: i64) {
        self.rings[0].cut(0, step);
        for (level, resolution) in RESOLUTIONS_MS.iter().enumerate().skip(1) {
            let ratio = resolution / RESOLUTIONS_MS[0];
            let coarse = step.div_euclid(ratio);
            self.rings[level].cut(level, coarse);
            if self.growing[level - 1].is_some_and(|(of, _)| of >= coarse) {
                self.growing[level - 1] = None;
            }
        }
    }

    /// The points of a resolution (0 the finest), and the step of the first.
    #[must_use]
    pub fn points(&self, level: usize) -> (i64, Vec<[i64; C]>) {
        let ring = &self.rings[level];
        (ring.first, ring.points())
    }

    /// The steps of a resolution that are kept: the first, and the one behind the last.
    #[must_use]
    pub fn steps(&self, level: usize) -> (i64, i64) {
        (self.rings[level].first, self.rings[level].next())
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let rings = self.rings.iter().map(Ring::bytes);
        rings.sum::<usize>() + size_of_val(&self.growing)
    }

    /// All of it, to be written down.
    #[must_use]
    pub fn told(&self) -> ([Told; 3], [Growing; 2]) {
        let rings = self.rings.each_ref().map(|ring| {
            let mut blocks: Vec<Packed> = ring.blocks.iter().cloned().collect();
            if ring.open.len() > 0 {
                blocks.push(ring.open.pack());
            }
            (ring.first, blocks)
        });
        let growing = self.growing.each_ref();
        let growing = growing.map(|one| one.map(|(step, value)| (step, value.to_vec())));
        (rings, growing)
    }

    /// And back; nothing if it is damaged.
    #[must_use]
    pub fn from_told(rings: &[Told; 3], growing: &[Growing; 2]) -> Option<Self> {
        let mut series = Self::default();
        for (level, (first, blocks)) in rings.iter().enumerate() {
            let ring = &mut series.rings[level];
            ring.first = *first;
            for block in blocks {
                let points = block.unpack::<C>(BLOCK_POINTS[level])?;
                for point in points {
                    ring.add(level, point);
                }
            }
        }
        for (place, one) in growing.iter().enumerate() {
            if let Some((step, value)) = one {
                let value = <[i64; C]>::try_from(value.as_slice()).ok()?;
                series.growing[place] = Some((*step, value));
            }
        }
        Some(series)
    }

    /// Asserts what must always hold.
    pub fn check(&self) {
        for (level, ring) in self.rings.iter().enumerate() {
            let blocks: usize = ring.blocks.iter().map(Packed::len).sum();
            assert_eq!(
                ring.len,
                blocks + ring.open.len(),
                "I-LAG-3: a ring holds the points it says"
            );
            assert!(
                ring.len < POINTS[level] + BLOCK_POINTS[level],
                "I-LAG-3: a ring is bounded"
            );
        }
    }
}

impl Merge {
    fn into<const C: usize>(self, so_far: &mut [i64; C], point: [i64; C]) {
        for (so_far, value) in so_far.iter_mut().zip(point) {
            *so_far = match self {
                Self::Last => value,
                Self::Sum if *so_far == UNKNOWN => value,
                Self::Sum if value == UNKNOWN => *so_far,
                Self::Sum => so_far.saturating_add(value).min(VALUE_MAX),
            };
        }
    }
}
