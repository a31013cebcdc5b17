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
    /// The coordinator takes commits of members that were fenced.
    ZombieMember,
    /// The node acks a commit before the disk has it.
    LostCommit,
    /// A snapshot of a group leaves a committed offset out.
    LostInSnapshot,
    /// Members commit what they fetched before they have processed it.
    PollSkip,
    /// A job that begins again takes itself for another producer.
    DoubledReplay,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::SkipFlush,
        Self::AckEarly,
        Self::ForgetSequence,
        Self::ForgetStart,
        Self::PublishTwice,
        Self::ZombieMember,
        Self::LostCommit,
        Self::LostInSnapshot,
        Self::PollSkip,
        Self::DoubledReplay,
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
            Self::ZombieMember => "zombie member",
            Self::LostCommit => "lost committed offset",
            Self::LostInSnapshot => "lost committed offset (by a snapshot)",
            Self::PollSkip => "poll skip",
            Self::DoubledReplay => "doubled by a replayed job",
        }
    }

    /// A seed that catches it must be found among so many.
    #[must_use]
    pub const fn seeds_max(self) -> u64 {
        match self {
            Self::AckEarly => 2,
            _ => 20,
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
            ack_commits_early: self.on == Some(Mutant::LostCommit),
        }
    }

    /// What the coordinators are told.
    #[must_use]
    pub fn groups(self) -> weir_group::Mutants {
        weir_group::Mutants {
            take_zombies: self.on == Some(Mutant::ZombieMember),
            forget_in_snapshots: self.on == Some(Mutant::LostInSnapshot),
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
            Some(Mutant::ZombieMember) => shape_groups(params),
            Some(Mutant::LostCommit) => {
                shape_groups(params);
                params.crash_every_ms = params.crash_every_ms.clamp(300, 1_000);
                params.process_percent = 0;
            }
            Some(Mutant::LostInSnapshot) => {
                shape_groups(params);
                params.crash_every_ms = params.crash_every_ms.clamp(500, 2_000);
                params.group_snapshot_records = 20;
            }
            Some(Mutant::PollSkip) => {
                shape_groups(params);
                params.commit_unprocessed = true;
                params.member_process_percent = 10;
            }
            Some(Mutant::DoubledReplay) => {
                params.jobs = 1;
                params.job_forgets_producer = true;
                params.producer_expiration_ms = 0;
                params.crash_every_ms = params.crash_every_ms.clamp(300, 1_000);
            }
            Some(Mutant::AckEarly) | None => {}
        }
    }
}

/// A group whose members come and go.
fn shape_groups(params: &mut Params) {
    params.reuse_names = false;
    params.groups = params.groups.max(1);
    params.members_max = params.members_max.max(3);
    params.member_every_ms = params.member_every_ms.clamp(300, 1_000);
    params.member_session_ms = params.member_session_ms.min(400);
    params.member_commit_ms_max = params.member_commit_ms_max.min(100);
}
