//! The seeded faults by which the simulator proves that it would see them.

use crate::params::Params;

/// A known bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The store says that a commit is flushed without a sync.
    SkipFlush,
    /// The node acks before the disk has it.
    AckEarly,
    /// The node takes every sequence number.
    ForgetSequence,
    /// The store answers a moved start and does not write it down.
    ForgetStart,
    /// A history file is published and its inputs stay.
    PublishTwice,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SkipFlush,
        Self::AckEarly,
        Self::ForgetSequence,
        Self::ForgetStart,
        Self::PublishTwice,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipFlush => "skip a flush",
            Self::AckEarly => "ack early",
            Self::ForgetSequence => "forget a sequence check",
            Self::ForgetStart => "forget a start",
            Self::PublishTwice => "publish history twice",
        }
    }

    /// A seed that catches it must be found among so many.
    #[must_use]
    pub const fn seeds_max(self) -> u64 {
        match self {
            Self::AckEarly => 2,
            Self::SkipFlush | Self::ForgetSequence | Self::ForgetStart | Self::PublishTwice => 20,
        }
    }
}

/// The bugs that are switched on; none in a run that looks for real ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutants {
    on: Option<Mutant>,
}

impl Mutants {
    /// No bug.
    pub const NONE: Self = Self { on: None };

    /// This one.
    #[must_use]
    pub const fn only(mutant: Mutant) -> Self {
        Self { on: Some(mutant) }
    }

    /// What the node is told.
    #[must_use]
    pub fn node(self) -> weir_node::Mutants {
        weir_node::Mutants {
            answer_early: self.on == Some(Mutant::AckEarly),
            forget_sequences: self.on == Some(Mutant::ForgetSequence),
        }
    }

    /// What the store is told.
    #[must_use]
    pub fn store(self) -> weir_store::Mutants {
        weir_store::Mutants {
            skip_flush_every: (self.on == Some(Mutant::SkipFlush)).then_some(7),
            forget_start: self.on == Some(Mutant::ForgetStart),
            publish_twice: self.on == Some(Mutant::PublishTwice),
        }
    }

    /// Worlds in which nothing happens that the bug needs prove nothing: the seed's world gets
    /// what is needed, the rest stays as drawn.
    pub fn shape(self, params: &mut Params) {
        match self.on {
            Some(Mutant::SkipFlush | Mutant::ForgetStart) => {
                params.crash_every_ms = params.crash_every_ms.clamp(500, 2_000);
                params.process_percent = 0;
                params.admin = true;
            }
            Some(Mutant::ForgetSequence) => {
                params.cut_permille = params.cut_permille.max(10);
                params.producer_expiration_ms = 0;
            }
            Some(Mutant::PublishTwice) => {
                params.rewrite_ms_max = params.rewrite_ms_max.min(50);
                params.lane_entries_max = params.lane_entries_max.min(50);
            }
            Some(Mutant::AckEarly) | None => {}
        }
    }
}
