//! What is volatile about a group: who waits for an answer, whose time runs out when, and the
//! rebalance that is under way. A restart loses it, and clients come again.

use crate::{Name, WriteId, classic::ClassicGroup, history::Notebook};
use alloc::collections::BTreeMap;
use weir_types::Tick;

/// The volatile side of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// The classic group, where it is one; ahead of its record while a rebalance is under way.
    pub(crate) classic: Option<ClassicGroup>,
    /// The timers of the members of a consumer group.
    pub(crate) sessions: BTreeMap<Name, Session>,
    /// When the last target was computed.
    pub(crate) assigned_at: Option<Tick>,
    /// When the target that is still to be computed was wanted first.
    pub(crate) wanted_at: Option<Tick>,
    /// The rebalance under way.
    pub(crate) notebook: Option<Notebook>,
    /// The last write that concerns this group.
    pub(crate) last_write: Option<WriteId>,
    /// Whether the turn only put a deadline off: then the timer may stay, early as it is.
    pub(crate) is_quiet: bool,
    /// The time under which it stands in the coordinator's timers.
    pub(crate) timer: Option<Tick>,
}

/// The timers of a member of a consumer group.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// When its silence becomes too long.
    pub(crate) deadline: Tick,
    /// Until when it has to give partitions up.
    pub(crate) revoke_by: Option<Tick>,
    /// Whether it joined again while it had partitions to give up, and was told a new epoch.
    pub(crate) rejoined: bool,
    /// A classic member: until when it has to join again.
    pub(crate) join_by: Option<Tick>,
    /// A classic member: until when it has to ask for its assignment.
    pub(crate) sync_by: Option<Tick>,
}

impl Session {
    pub(crate) const fn new(deadline: Tick) -> Self {
        Self {
            deadline,
            revoke_by: None,
            rejoined: false,
            join_by: None,
            sync_by: None,
        }
    }

    /// The first of its times.
    pub(crate) fn first(&self) -> Tick {
        [self.revoke_by, self.join_by, self.sync_by]
            .into_iter()
            .flatten()
            .fold(self.deadline, Tick::min)
    }
}

impl Live {
    /// Whether nothing would be lost without it.
    pub(crate) fn is_idle(&self) -> bool {
        self.classic.as_ref().is_none_or(ClassicGroup::is_void) && self.sessions.is_empty()
    }
}
