//! Batches whose place a topic's partitioner decides (`weir.partitioner`): those that leave it to
//! the broker (partition -1), and those that are only taken where the partitioner puts them
//! (`weir.partitioner.enforce=reject`).
//!
//! The rules are here; the driver runs the plugin. Nothing here opens a batch.

use super::{
    Call, Context, Front, Plan,
    join::{Join, Kind},
    produce::{invalid, set_invalid},
    split::{Place, Split},
};
use crate::{
    event::TransformRefusal,
    request::{Acks, Ask, PartitionKey, ProduceAsk, ProducePart},
    validate::{Invalid, Validated},
};
use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use weir_meta::{Image, Topic, TopicConfig, plugins::Link};
use weir_replica::Sequences;
use weir_types::{Batch, BatchHeader, ErrorCode, PartitionIndex, Sequence, TopicId};
use weir_wire::messages::{PartitionProduceData, ProduceResponse};

/// The partition that leaves the choice to the broker.
pub(super) const ANY: PartitionIndex = PartitionIndex(-1);

/// What a client hears that counts on another partitioner, or on another count of partitions, than
/// there is: it looks again and places its records anew.
pub const OTHER_PARTITIONER: ErrorCode = ErrorCode::UnknownLeaderEpoch;

/// A partitioner as it counts for a topic now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitioner {
    /// The plugin and its parameters.
    pub link: Arc<Link>,
    /// The version that the link means now.
    pub version: Arc<str>,
    /// The digest of its component.
    pub digest: [u8; 32],
}

impl Partitioner {
    /// The partitioner of a topic, if it has one that is deployed.
    #[must_use]
    pub fn of(image: &Image, config: &TopicConfig) -> Option<Self> {
        let link = config.partitioner.clone()?;
        let plugin = image.plugin(&link.plugin.name)?;
        let (version, known) = plugin.version(link.plugin.version.as_deref())?;
        Some(Self {
            version: version.clone(),
            digest: known.digest,
            link,
        })
    }

    /// `NAME@VERSION`, as clients pin it.
    #[must_use]
    pub fn pin(&self) -> String {
        format!("{}@{}", self.link.plugin.name, self.version)
    }
}

/// A batch that a partitioner has to be asked about.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where it goes.
    pub topic: Arc<Topic>,
    /// Whom to ask.
    pub partitioner: Partitioner,
    /// How many partitions there are to choose from.
    pub partitions: u32,
    /// The batch as it came.
    pub batch: Batch,
    /// Its header.
    pub header: BatchHeader,
    /// The partition that the client chose; nothing: it left that to the broker.
    pub chosen: Option<PartitionIndex>,
    place: Place,
}

impl Wanted {
    /// The base sequence of the piece of a batch that holds these rows, which ascend: its last
    /// record keeps the sequence it has in the whole batch, as [`Sequences::Ascending`] counts.
    #[must_use]
    pub fn base_sequence(&self, rows: &[u32]) -> Sequence {
        let base = self.header.base_sequence;
        let Some(last) = rows.last().filter(|_| base.0 >= 0) else {
            return base;
        };
        let before = i32::try_from(rows.len() - 1).unwrap_or(i32::MAX);
        let last = i32::try_from(*last).unwrap_or(i32::MAX);
        // Rows ascend from 0, so none has fewer rows before it in the batch than in the piece.
        base.plus(last.saturating_sub(before))
    }
}

/// What a partitioner said about a batch.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// To one that was left to the broker: a piece for each partition that gets records of it, the
    /// records in order.
    Pieces(Vec<Piece>),
    /// To one whose partition the client chose: every record belongs there.
    There,
    /// The same: this record is the first that belongs elsewhere.
    Elsewhere {
        /// Its place in the batch.
        record: usize,
        /// Where it belongs.
        partition: PartitionIndex,
    },
}

/// A part of a batch for one partition.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Which.
    pub partition: PartitionIndex,
    /// The records, in a batch of the same producer with [`Wanted::base_sequence`].
    pub batch: Batch,
    /// Its header.
    pub header: BatchHeader,
}

/// A Produce request that goes on once partitioners were asked.
#[derive(Debug)]
pub struct Placement {
    producing: Producing,
    context: Context,
    version: i16,
    applied: u64,
    wanted: Vec<Wanted>,
}

impl Placement {
    /// The batches, in the order in which the answers are wanted.
    #[must_use]
    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// Goes on with what the partitioners said, one for each batch wanted, in order.
    #[must_use]
    pub fn placed(mut self, said: Vec<Result<Chosen, TransformRefusal>>) -> Plan {
        assert_eq!(
            said.len(),
            self.wanted.len(),
            "I-NODE-13: an answer lists what was asked"
        );
        for (wanted, said) in self.wanted.into_iter().zip(said) {
            let place = wanted.place;
            match parts(wanted, said) {
                Ok(parts) => {
                    for part in parts {
                        self.producing.split.push(part.key, place, part);
                    }
                }
                Err(invalid) => self.producing.refuse(place, invalid),
            }
        }
        self.producing
            .plan(self.applied, &self.context, self.version)
    }
}

/// What is appended of a batch.
fn parts(
    wanted: Wanted,
    said: Result<Chosen, TransformRefusal>,
) -> Result<Vec<ProducePart>, Invalid> {
    let topic = wanted.topic.id;
    let key = |index| PartitionKey { topic, index };
    match (said, wanted.chosen) {
        (Err(TransformRefusal { error, message }), _) => Err(invalid(error, message)),
        (Ok(Chosen::Pieces(pieces)), None) => {
            let records = pieces.iter().map(|piece| piece.header.record_count);
            assert_eq!(
                records.sum::<i32>(),
                wanted.header.record_count,
                "I-NODE-12: the pieces of a batch are all of it"
            );
            let part = |piece: Piece| ProducePart {
                key: key(piece.partition),
                batch: piece.batch,
                header: piece.header,
                sequences: Sequences::Ascending,
            };
            Ok(pieces.into_iter().map(part).collect())
        }
        (Ok(Chosen::There), Some(index)) => Ok(Vec::from([ProducePart {
            key: key(index),
            batch: wanted.batch,
            header: wanted.header,
            sequences: Sequences::Contiguous,
        }])),
        (Ok(Chosen::Elsewhere { record, partition }), Some(_)) => Err(Invalid {
            error: ErrorCode::InvalidRecord,
            message: format!(
                "record {record} belongs to partition {partition}, as {} says (weir.partitioner.enforce=reject)",
                wanted.partitioner.pin()
            ),
            record: Some(record),
        }),
        (Ok(other), _) => panic!("I-NODE-12: this fits no such question: {other:?}"),
    }
}

/// A Produce request that is being taken apart.
#[derive(Debug)]
pub(super) struct Producing {
    pub(super) acks: Acks,
    pub(super) timeout_ms: u64,
    /// It wants no answer.
    pub(super) silent: bool,
    pub(super) split: Split<ProducePart>,
    pub(super) response: ProduceResponse,
    pub(super) ids: Vec<TopicId>,
    /// Why the first batch that was refused was.
    pub(super) failure: Option<String>,
}

impl Producing {
    /// Answers for a batch with an error.
    pub(super) fn refuse(&mut self, place: Place, invalid: Invalid) {
        self.failure.get_or_insert_with(|| invalid.message.clone());
        let topic = &mut self.response.responses[place.0];
        set_invalid(&mut topic.partition_responses[place.1], invalid);
    }

    /// What is done with what is left of the request.
    pub(super) fn plan(self, applied: u64, context: &Context, version: i16) -> Plan {
        if let (true, Some(reason)) = (self.silent, self.failure) {
            let reason = format!("a batch sent with acks=0 was refused: {reason}");
            return Plan::Close { reason };
        }
        if self.split.is_empty() {
            return if self.silent {
                Plan::Silent
            } else {
                Plan::answer(self.response)
            };
        }
        let (acks, timeout_ms) = (self.acks, self.timeout_ms);
        let (parts, places) = self.split.into_parts(applied, |partitions| {
            Ask::Produce(ProduceAsk {
                acks,
                timeout_ms,
                partitions,
            })
        });
        let kind = Kind::Produce {
            response: self.response,
            ids: self.ids,
            silent: self.silent,
        };
        let join = Join::of(kind, places, context.clone(), version);
        Plan::Parts { parts, join }
    }

    /// The same once the partitioners of these batches were asked.
    pub(super) fn plan_with(self, call: &Call<'_>, wanted: Vec<Wanted>) -> Plan {
        let applied = call.image.applied();
        if wanted.is_empty() || (self.silent && self.failure.is_some()) {
            return self.plan(applied, call.context, call.version);
        }
        Plan::Place(Box::new(Placement {
            producing: self,
            context: call.context.clone(),
            version: call.version,
            applied,
            wanted,
        }))
    }
}

impl Front {
    /// Whether, and how, the topic's partitioner has to be asked about a batch: nothing where its
    /// partition stands.
    pub(super) fn partitioner(
        call: &Call<'_>,
        topic: &Topic,
        config: &TopicConfig,
        part: &PartitionProduceData,
    ) -> Result<Option<Partitioner>, Invalid> {
        let pinned = part.weir_partitioner.is_some() || part.weir_partition_count >= 0;
        if config.partitioner.is_none() && !pinned {
            return Ok(None);
        }
        let partitioner = Partitioner::of(call.image, config);
        let current = partitioner.as_ref().map(Partitioner::pin);
        let wanted = part.weir_partitioner.as_deref();
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let other = wanted.is_some_and(|wanted| current.as_deref() != Some(wanted))
            || (part.weir_partition_count >= 0 && part.weir_partition_count != count);
        if other {
            let current = current.as_deref().unwrap_or("no partitioner");
            let text = format!(
                "topic '{}' has {current} and {count} partitions now",
                topic.name
            );
            return Err(invalid(OTHER_PARTITIONER, text));
        }
        // Who pins the partitioner has asked it.
        let asked = part.index == ANY || (config.enforce_partitioner && wanted.is_none());
        if asked && config.partitioner.is_some() && partitioner.is_none() {
            let text = format!("the partitioner of topic '{}' is not there", topic.name);
            return Err(invalid(ErrorCode::LeaderNotAvailable, text));
        }
        Ok(partitioner.filter(|_| asked))
    }
}

/// A batch that a partitioner has to be asked about.
pub(super) fn wanted(
    topic: &Arc<Topic>,
    partitioner: Partitioner,
    index: PartitionIndex,
    validated: Validated,
    place: Place,
) -> Wanted {
    Wanted {
        topic: topic.clone(),
        partitioner,
        partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
        batch: validated.batch,
        header: validated.header,
        chosen: Some(index).filter(|index| *index != ANY),
        place,
    }
}
