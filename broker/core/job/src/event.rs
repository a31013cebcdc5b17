//! What a router is told and what it wants done.

use crate::pins::{Generation, Output, Recipe};
use alloc::{string::String, vec::Vec};
use weir_types::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Tick};

/// What the cluster's metadata says of a job, as far as one of its source partitions is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which run of the job: a restart begins another.
    pub generation: Generation,
    /// Where that run begins.
    pub start: Start,
    /// What is wanted from now on; or why it cannot be, such as an output topic that is gone.
    pub recipe: Result<Recipe, String>,
    /// What becomes of records that a plugin refuses.
    pub policy: Policy,
    /// Whether it is to rest.
    pub paused: bool,
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record.
    Earliest,
    /// At this offset, or at the end of the log that comes before it.
    At(Offset),
}

/// What becomes of a record that a plugin refuses or fails on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The job stops.
    Stop,
    /// It is left out and counted.
    Skip,
    /// It goes to this output, by its place in the recipe.
    DeadLetter(u32),
}

/// A partition of an output: the output's place in the recipe, and the partition's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Which output.
    pub output: u32,
    /// Which partition of it.
    pub partition: PartitionIndex,
}

/// Names an order and its answer; what answers an older order is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Something happens to a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The metadata says this from now on. A job that stopped tries again.
    Changed(Settings),
    /// An order was carried out, or not.
    Answered {
        /// Which.
        ticket: Ticket,
        /// How it went.
        answer: Answer,
    },
    /// Time has passed.
    Wake,
}

/// The answer to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `Load`.
    Loaded(Result<Loaded, Trouble>),
    /// To `Describe`: the last sequence of the producer wherever it has written.
    Described(Result<Vec<(Target, Sequence)>, Trouble>),
    /// To `NewProducer`.
    Producer(Result<(ProducerId, ProducerEpoch), Trouble>),
    /// To `Fetch`.
    Fetched(Result<Fetched, Trouble>),
    /// To `Transform`.
    Transformed(Result<Transformed, Trouble>),
    /// To `Produce`: what became of each part, in order.
    Produced(Vec<PartResult>),
    /// To `Commit`.
    Committed(Result<(), Trouble>),
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may go away by itself.
    Passing(String),
    /// It will not.
    Lasting(String),
}

impl Trouble {
    /// What an error code of the protocol means to a job.
    #[must_use]
    pub fn of(error: ErrorCode, what: &str) -> Self {
        let text = alloc::format!("{what}: {}", error.text());
        let passing = error.is_retriable()
            || matches!(
                error,
                ErrorCode::BrokerNotAvailable | ErrorCode::UnknownServerError
            );
        // A topic that is not there is said to come back by clients; the metadata tells a job.
        if passing {
            Self::Passing(text)
        } else {
            Self::Lasting(text)
        }
    }

    /// What happened.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Passing(text) | Self::Lasting(text) => text,
        }
    }
}

/// What is known of a source partition when a router begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The committed progress.
    pub saved: Option<Saved>,
    /// Where the source partition starts.
    pub log_start: Offset,
    /// Where it ends.
    pub log_end: Offset,
}

/// Committed progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The first offset that is not done.
    pub offset: Offset,
    /// The text that was committed with it.
    pub metadata: String,
}

/// What a fetch brought; the driver keeps the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Whole batches.
    Batches {
        /// The offset behind the last of them.
        next: Offset,
    },
    /// Nothing new.
    Nothing,
    /// The records from there on are gone; the log begins here.
    Gone {
        /// Where.
        log_start: Offset,
    },
    /// The log ends before that.
    Beyond {
        /// Where.
        log_end: Offset,
    },
}

/// A record that stays, by its place in what the driver holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its offset in the source.
    pub offset: Offset,
    /// Where it goes.
    pub target: Target,
    /// About how many bytes it takes.
    pub bytes: usize,
}

/// A record that a plugin refused or failed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its offset in the source.
    pub offset: Offset,
    /// About how many bytes it takes.
    pub bytes: usize,
    /// What was wrong with it.
    pub reason: String,
}

/// What the plugins made of the batches that were fetched last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transformed {
    /// What stays, in order of offsets.
    pub rows: Vec<Row>,
    /// What was refused, in order of offsets; none of them is in `rows`.
    pub refused: Vec<Refused>,
}

/// What became of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartResult {
    /// It is in the output: written now, or found there.
    Done,
    /// It is too large for the topic.
    TooLarge(String),
    /// The output has other sequences than it should.
    OutOfOrder(String),
    /// It was not written, as far as is known.
    Failed(Trouble),
}

/// Where the driver finds a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In `Transformed::rows`.
    Row(usize),
    /// In `Transformed::refused`: it goes to the dead letters, with its reason and origin.
    Refused(usize),
}

/// One batch for one partition of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it goes.
    pub target: Target,
    /// Its records.
    pub places: Vec<Place>,
    /// The sequence of its first record. The batch is appended only if it is larger than any
    /// that the partition has of the producer.
    pub first: Sequence,
    /// The sequence of its last record; those between first and last ascend but have gaps.
    pub last: Sequence,
}

/// What a router wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Carry this out and answer; there is one at a time, and a newer one takes its place.
    Order {
        /// Goes into the answer.
        ticket: Ticket,
        /// What.
        order: Order,
    },
    /// Wake the router at this tick.
    WakeAt(Tick),
}

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Read the progress, and where the source starts and ends.
    Load,
    /// Find the producer's last sequences in these outputs.
    Describe {
        /// The producer.
        producer: ProducerId,
        /// The outputs, in the recipe's order.
        outputs: Vec<Output>,
    },
    /// Get a new producer id.
    NewProducer,
    /// Read whole batches from this offset on, at most so many bytes but one batch at least; wait
    /// a while if there is nothing.
    Fetch {
        /// From where.
        from: Offset,
        /// The most bytes.
        bytes_max: usize,
    },
    /// Run the plugins on what was fetched last, a batch of the source after the other, so that a
    /// replay gives the same; records below this offset are left out.
    Transform {
        /// The first offset that counts.
        from: Offset,
        /// With which versions, to which outputs.
        recipe: Recipe,
    },
    /// Write these batches, and answer once they are replicated.
    Produce {
        /// As this producer.
        producer: (ProducerId, ProducerEpoch),
        /// One for each partition at most.
        parts: Vec<Part>,
    },
    /// Commit the progress, never to expire.
    Commit {
        /// The first offset that is not done.
        offset: Offset,
        /// The text that goes with it.
        metadata: String,
    },
}
