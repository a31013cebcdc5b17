//! What is pinned by a commit of progress: everything that decides which row goes where and with
//! which sequence, so that a replay after a crash does the same again.
//!
//! The text is for people too: it is what tools show as the metadata of a committed offset.

use crate::limits::{OUTPUTS_MAX, PINS_BYTES_MAX, SEQUENCES_PER_PRODUCER};
use alloc::{format, string::String, string::ToString, vec::Vec};
use core::fmt::{self, Write};
use thiserror::Error;
use weir_types::{Offset, ProducerEpoch, ProducerId, Sequence, TopicId};

/// A run of a job: the job's age, so that one that is deleted and made again is another, and the
/// number of its restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation {
    /// When the job was made, in milliseconds since 1970.
    pub created_at: i64,
    /// How often it was restarted.
    pub restarts: u64,
}

/// How records are made and placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// The plugins of the chain in order, each `NAME@VERSION`.
    pub versions: Vec<String>,
    /// Where records go.
    pub outputs: Vec<Output>,
}

/// A topic that a job writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The topic.
    pub topic: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
    /// The plugin that chooses the partition, `NAME@VERSION`; nothing: the key's hash.
    pub partitioner: Option<String>,
}

/// What is committed with the progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Which run of the job.
    pub generation: Generation,
    /// Whose sequences the outputs carry.
    pub producer: (ProducerId, ProducerEpoch),
    /// The offset of the source that has sequence 0.
    pub base: Offset,
    /// How records are made and placed.
    pub recipe: Recipe,
}

/// A text that no job committed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the text committed with the progress, '{text}', is none that this version of Weir writes")]
pub struct PinsError {
    /// Its beginning.
    pub text: String,
}

impl Pins {
    /// The sequence of a row, if it is not too far from the base.
    #[must_use]
    pub fn sequence(&self, offset: Offset) -> Option<Sequence> {
        let distance = offset.0.checked_sub(self.base.0)?;
        let sequence = i32::try_from(distance).ok()?;
        (sequence >= 0).then_some(Sequence(sequence))
    }

    /// The offset of the row that has this sequence.
    #[must_use]
    pub const fn offset(&self, sequence: Sequence) -> Offset {
        self.base.plus(sequence.0 as i64)
    }

    /// Whether another producer must be taken before this offset.
    #[must_use]
    pub const fn is_used_up(&self, position: Offset) -> bool {
        position.0 - self.base.0 >= SEQUENCES_PER_PRODUCER
    }

    /// Reads the text.
    ///
    /// # Errors
    /// [`PinsError`] for anything but what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Result<Self, PinsError> {
        let pins = Self::read(text).filter(|pins| pins.to_string() == text);
        pins.ok_or_else(|| PinsError {
            text: text.chars().take(80).collect(),
        })
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("weir-job/1 ")?.split(' ');
        let mut word = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let (created_at, restarts) = word("run")?.split_once(':')?;
        let (id, epoch) = word("producer")?.split_once(':')?;
        let base = word("base")?;
        let versions = word("with")?;
        let outputs = word("to")?;
        let pins = Self {
            generation: Generation {
                created_at: created_at.parse().ok()?,
                restarts: restarts.parse().ok()?,
            },
            producer: (
                ProducerId(id.parse().ok()?),
                ProducerEpoch(epoch.parse().ok()?),
            ),
            base: Offset(base.parse().ok()?),
            recipe: Recipe {
                versions: split(versions, '|').map(ToString::to_string).collect(),
                outputs: split(outputs, ',')
                    .map(Output::read)
                    .collect::<Option<_>>()?,
            },
        };
        words.next().is_none().then_some(pins)
    }
}

impl Recipe {
    /// Why it cannot be pinned, if it cannot.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if self.outputs.is_empty() {
            return Some("the job has no topic to write to".to_string());
        }
        if self.outputs.len() > OUTPUTS_MAX {
            return Some(format!(
                "the job writes to {} topics, but may write to {OUTPUTS_MAX}",
                self.outputs.len()
            ));
        }
        if self.outputs.iter().any(|output| output.partitions == 0) {
            return Some("a topic that the job writes to has no partitions".to_string());
        }
        let mut topics: Vec<TopicId> = self.outputs.iter().map(|output| output.topic).collect();
        topics.sort();
        topics.dedup();
        if topics.len() < self.outputs.len() {
            return Some("the job writes to a topic twice".to_string());
        }
        let largest = Pins {
            generation: Generation {
                created_at: i64::MIN,
                restarts: u64::MAX,
            },
            producer: (ProducerId(i64::MAX), ProducerEpoch(i16::MAX)),
            base: Offset(i64::MAX),
            recipe: self.clone(),
        };
        let bytes = largest.to_string().len();
        (bytes > PINS_BYTES_MAX).then(|| {
            format!(
                "the names of the job's plugins and topics take {bytes} bytes, but may take {PINS_BYTES_MAX}"
            )
        })
    }
}

impl Output {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ':');
        let output = Self {
            topic: read_id(words.next()?)?,
            partitions: words.next()?.parse().ok()?,
            partitioner: words.next().map(ToString::to_string),
        };
        Some(output)
    }
}

/// The pieces of a list that may be empty.
fn split(text: &str, between: char) -> impl Iterator<Item = &str> {
    text.split(between).filter(|piece| !piece.is_empty())
}

fn read_id(text: &str) -> Option<TopicId> {
    let mut id = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(TopicId(id))
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            generation,
            producer: (id, epoch),
            base,
            recipe,
        } = self;
        write!(
            f,
            "weir-job/1 run={}:{} producer={id}:{epoch} base={base} with={} to=",
            generation.created_at,
            generation.restarts,
            recipe.versions.join("|"),
        )?;
        for (place, output) in recipe.outputs.iter().enumerate() {
            if place > 0 {
                f.write_char(',')?;
            }
            for byte in output.topic.0 {
                write!(f, "{byte:02x}")?;
            }
            write!(f, ":{}", output.partitions)?;
            if let Some(partitioner) = &output.partitioner {
                write!(f, ":{partitioner}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use expect_test::expect;

    fn pins() -> Pins {
        Pins {
            generation: Generation {
                created_at: 1_700_000_000_000,
                restarts: 2,
            },
            producer: (ProducerId(4711), ProducerEpoch(0)),
            base: Offset(1000),
            recipe: Recipe {
                versions: vec!["route-by-field@1.2.0".into(), "drop-nulls@0.1.0".into()],
                outputs: vec![
                    Output {
                        topic: TopicId([7; 16]),
                        partitions: 12,
                        partitioner: Some("region@1.0.0".into()),
                    },
                    Output {
                        topic: TopicId([0xab; 16]),
                        partitions: 1,
                        partitioner: None,
                    },
                ],
            },
        }
    }

    #[test]
    fn the_text_tells_the_pins() {
        let text = pins().to_string();
        expect!["weir-job/1 run=1700000000000:2 producer=4711:0 base=1000 with=route-by-field@1.2.0|drop-nulls@0.1.0 to=07070707070707070707070707070707:12:region@1.0.0,abababababababababababababababab:1"]
            .assert_eq(&text);
        assert_eq!(Pins::parse(&text), Ok(pins()));
        let none = Pins {
            recipe: Recipe::default(),
            ..pins()
        };
        assert_eq!(Pins::parse(&none.to_string()), Ok(none));
    }

    #[test]
    fn no_other_text_is_taken() {
        let text = pins().to_string();
        for cut in 0..text.len() {
            let part = &text[..cut];
            assert_ne!(Pins::parse(part), Ok(pins()), "{part}");
        }
        for wrong in ["", "set by hand", "weir-job/2 run=1:2"] {
            assert!(Pins::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Pins::parse(&text.replace("12", "+12")).is_err());
    }

    #[test]
    fn sequences_count_from_the_base() {
        let pins = pins();
        assert_eq!(pins.sequence(Offset(999)), None);
        assert_eq!(pins.sequence(Offset(1000)), Some(Sequence(0)));
        assert_eq!(pins.sequence(Offset(1000 + (1 << 31))), None);
        assert_eq!(pins.offset(Sequence(5)), Offset(1005));
        assert!(!pins.is_used_up(Offset(1000)));
        assert!(pins.is_used_up(Offset(1000 + SEQUENCES_PER_PRODUCER)));
    }

    #[test]
    fn what_cannot_be_pinned_is_refused() {
        let recipe = |outputs| Recipe {
            versions: Vec::new(),
            outputs,
        };
        let output = Output {
            topic: TopicId([1; 16]),
            partitions: 1,
            partitioner: Some("a".repeat(128)),
        };
        let many = |count| {
            let output = |topic| Output {
                topic: TopicId([topic; 16]),
                ..output.clone()
            };
            (0..count).map(output).collect::<Vec<_>>()
        };
        let most = u8::try_from(OUTPUTS_MAX).unwrap();
        assert_eq!(recipe(many(most)).fault(), None);
        let faults = [
            recipe(vec![]).fault(),
            recipe(many(most + 1)).fault(),
            recipe(vec![output.clone(); 2]).fault(),
            recipe(vec![Output {
                partitions: 0,
                ..output.clone()
            }])
            .fault(),
            recipe(vec![Output {
                partitioner: Some("a".repeat(4000)),
                ..output
            }])
            .fault(),
        ];
        expect![[r#"
            [
                Some(
                    "the job has no topic to write to",
                ),
                Some(
                    "the job writes to 17 topics, but may write to 16",
                ),
                Some(
                    "the job writes to a topic twice",
                ),
                Some(
                    "a topic that the job writes to has no partitions",
                ),
                Some(
                    "the names of the job's plugins and topics take 4161 bytes, but may take 4096",
                ),
            ]
        "#]]
        .assert_debug_eq(&faults);
    }
}
