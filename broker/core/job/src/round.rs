//! One round: what was read and transformed, cut into batches for the outputs' partitions.

use crate::{
    event::{Part, Place, Policy, Row, Target, Transformed},
    limits::PART_BYTES_MAX,
    pins::Pins,
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::String,
    vec::Vec,
};
use weir_types::{Offset, PartitionIndex};

/// A record on its way, with what is needed to cut it off from its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    place: Place,
    offset: Offset,
    bytes: usize,
}

/// The records of one batch.
type Piece = Vec<Item>;

/// What is left to be produced before the round is done.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// The first offset behind it.
    pub(crate) next: Offset,
    /// Batches for each partition, in order.
    queues: BTreeMap<Target, VecDeque<Piece>>,
    /// The parts that were handed out last, in order.
    out: Vec<Target>,
}

/// What came of cutting.
pub(crate) struct Cut {
    pub(crate) round: Round,
    /// Rows that their outputs have already.
    pub(crate) left_out: u64,
    /// Rows that are left out by the policy.
    pub(crate) skipped: u64,
    /// Rows that go to the dead letters.
    pub(crate) dead_letters: u64,
}

/// The bounds of a round.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: Offset,
    pub(crate) next: Offset,
}

impl Round {
    /// Cuts what came back into batches; what an output has is left out.
    ///
    /// # Errors
    /// Why the job must stop: a record that was refused, or rows that make no sense.
    pub(crate) fn cut(
        span: Span,
        transformed: &Transformed,
        pins: &Pins,
        policy: Policy,
        source: PartitionIndex,
        lasts: &BTreeMap<Target, Offset>,
    ) -> Result<Cut, String> {
        let mut cut = Cut {
            round: Self {
                next: span.next,
                queues: BTreeMap::new(),
                out: Vec::new(),
            },
            left_out: 0,
            skipped: 0,
            dead_letters: 0,
        };
        check_rows(span, &transformed.rows, pins)?;
        let mut all: Vec<(Target, Item)> = Vec::with_capacity(transformed.rows.len());
        for (index, row) in transformed.rows.iter().enumerate() {
            let item = Item {
                place: Place::Row(index),
                offset: row.offset,
                bytes: row.bytes,
            };
            all.push((row.target, item));
        }
        for (index, refused) in transformed.refused.iter().enumerate() {
            if refused.offset < span.from || refused.offset >= span.next {
                return Err(format!(
                    "offset {} was refused, but not asked",
                    refused.offset
                ));
            }
            match policy {
                Policy::Stop => {
                    return Err(format!(
                        "the record at offset {} was refused: {}",
                        refused.offset, refused.reason
                    ));
                }
                Policy::Skip => cut.skipped += 1,
                Policy::DeadLetter(output) => {
                    let target = dead_letters(pins, output, source)?;
                    let item = Item {
                        place: Place::Refused(index),
                        offset: refused.offset,
                        bytes: refused.bytes,
                    };
                    let known = lasts
                        .get(&target)
                        .is_some_and(|last| refused.offset <= *last);
                    cut.dead_letters += u64::from(!known);
                    all.push((target, item));
                }
            }
        }
        // The chain's own rows may go to the topic of dead letters as well.
        all.sort_by_key(|(_, item)| item.offset);
        for (target, item) in all {
            if lasts.get(&target).is_some_and(|last| item.offset <= *last) {
                cut.left_out += 1;
            } else {
                cut.round.push(target, item)?;
            }
        }
        Ok(cut)
    }

    fn push(&mut self, target: Target, item: Item) -> Result<(), String> {
        let queue = self.queues.entry(target).or_default();
        let last = queue.back().and_then(|piece| piece.last());
        if last.is_some_and(|last| last.offset >= item.offset) {
            return Err(format!("offset {} came back twice", item.offset));
        }
        match queue.back_mut() {
            Some(piece) if bytes_of(piece) + item.bytes <= PART_BYTES_MAX => piece.push(item),
            _ => queue.push_back(Vec::from([item])),
        }
        Ok(())
    }

    /// The next batch for every partition that lacks one; none: the round is produced.
    pub(crate) fn parts(&mut self, pins: &Pins) -> Vec<Part> {
        self.queues.retain(|_, queue| !queue.is_empty());
        self.out = self.queues.keys().copied().collect();
        let part = |(target, queue): (&Target, &VecDeque<Piece>)| {
            let piece = queue.front()?;
            Some(Part {
                target: *target,
                places: piece.iter().map(|item| item.place).collect(),
                first: pins.sequence(piece.first()?.offset)?,
                last: pins.sequence(piece.last()?.offset)?,
            })
        };
        self.queues.iter().filter_map(part).collect()
    }

    /// The partitions of the parts that were handed out last.
    pub(crate) fn out(&self) -> Vec<Target> {
        self.out.clone()
    }

    /// The first part of a partition is in its output; how many records, and the offset of the
    /// last.
    pub(crate) fn done(&mut self, target: Target) -> Option<(u64, Offset)> {
        let piece = self.queues.get_mut(&target)?.pop_front()?;
        let last = piece.last()?.offset;
        Some((u64::try_from(piece.len()).unwrap_or(u64::MAX), last))
    }

    /// The first part of a partition is too large: it is halved. Whether it could be.
    pub(crate) fn halve(&mut self, target: Target) -> bool {
        let Some(queue) = self.queues.get_mut(&target) else {
            return false;
        };
        match queue.front_mut() {
            Some(piece) if piece.len() > 1 => {
                let rest = piece.split_off(piece.len() / 2);
                queue.insert(1, rest);
                true
            }
            _ => false,
        }
    }

    /// I-JOB-2 and I-JOB-6: what is left lies behind what the outputs have, ascends, and is a part
    /// of the round.
    pub(crate) fn check(&self, from: Offset, lasts: &BTreeMap<Target, Offset>) {
        for (target, queue) in &self.queues {
            let mut last = lasts.get(target).copied();
            for item in queue.iter().flatten() {
                assert!(
                    last.is_none_or(|last| last < item.offset),
                    "I-JOB-2: {target:?} gets offset {} behind {last:?}",
                    item.offset
                );
                assert!(
                    from <= item.offset && item.offset < self.next,
                    "I-JOB-6: offset {} is not of the round {from} to {}",
                    item.offset,
                    self.next
                );
                last = Some(item.offset);
            }
        }
    }
}

fn bytes_of(piece: &[Item]) -> usize {
    piece.iter().map(|item| item.bytes).sum()
}

/// Where records go that were refused: in order of the source, so that they ascend.
fn dead_letters(pins: &Pins, output: u32, source: PartitionIndex) -> Result<Target, String> {
    let place = usize::try_from(output).ok();
    let topic = place.and_then(|place| pins.recipe.outputs.get(place));
    let count = topic.and_then(|topic| i32::try_from(topic.partitions).ok());
    let partition = count.and_then(|count| source.0.checked_rem(count));
    match partition.map(PartitionIndex) {
        Some(partition) => Ok(Target { output, partition }),
        None => Err(String::from("there is no topic for dead letters")),
    }
}

/// What comes from outside must make sense: offsets of the round, in order, and targets that are.
fn check_rows(span: Span, rows: &[Row], pins: &Pins) -> Result<(), String> {
    let mut least = span.from;
    for row in rows {
        let Row { offset, target, .. } = row;
        if *offset < least || *offset >= span.next || pins.sequence(*offset).is_none() {
            return Err(format!(
                "offset {offset} came back where {least} to {} would be right",
                span.next
            ));
        }
        least = offset.next();
        let output = usize::try_from(target.output).ok();
        let output = output.and_then(|place| pins.recipe.outputs.get(place));
        let partition = u32::try_from(target.partition.0).ok();
        if output
            .zip(partition)
            .is_none_or(|(output, partition)| partition >= output.partitions)
        {
            return Err(format!(
                "the record at offset {offset} was sent to partition {} of output {}, which is not there",
                target.partition, target.output
            ));
        }
    }
    Ok(())
}
