//! What is volatile about a group: who waits for an answer, whose time runs out when, and the
//! rebalance that is under way. A restart loses it, and clients come again.

use crate::{Name, WriteId, classic::ClassicGroup, deadlines::Deadlines, history::Notebook};
use alloc::collections::BTreeMap;
use weir_types::Tick;

/// The volatile side of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// The classic group, where it is one; ahead of its record while a rebalance is under way.
    pub(crate) classic: Option<ClassicGroup>,
    /// The timers of the members of a consumer group.
    pub(crate) sessions: Sessions,
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

/// The timers of all members of a consumer group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    sessions: BTreeMap<Name, Session>,
    /// The first time of each.
    deadlines: Deadlines,
}

impl Sessions {
    /// A member's.
    pub(crate) fn get(&self, member: &Name) -> Option<&Session> {
        self.sessions.get(member)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The first time of all.
    pub(crate) fn first(&self) -> Option<Tick> {
        self.deadlines.first()
    }

    /// Those of which the first time is that one or an earlier one.
    pub(crate) fn until(&self, time: Tick) -> impl Iterator<Item = (&Name, &Session)> {
        let due = self.deadlines.until(time);
        due.filter_map(|name| Some((name, self.sessions.get(name)?)))
    }

    pub(crate) fn put(&mut self, member: &Name, session: Session) {
        self.deadlines.put(member, Some(session.first()));
        self.sessions.insert(member.clone(), session);
    }

    /// Changes a member's, if it has one.
    pub(crate) fn change(&mut self, member: &Name, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(member) {
            change(session);
            self.deadlines.put(member, Some(session.first()));
        }
    }

    pub(crate) fn remove(&mut self, member: &Name) {
        self.sessions.remove(member);
        self.deadlines.put(member, None);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Asserts that exactly these members have one, and when its time is up.
    pub(crate) fn check<'a>(&self, members: impl Iterator<Item = &'a Name>) {
        assert!(
            members.eq(self.sessions.keys()),
            "I-GRP-12: every member has a session, and every session a member"
        );
        self.deadlines.check();
        let mut kept = Deadlines::default();
        for (member, session) in &self.sessions {
            kept.put(member, Some(session.first()));
        }
        assert!(
            kept == self.deadlines,
            "I-GRP-21: what is counted beside the members follows from them"
        );
    }
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
