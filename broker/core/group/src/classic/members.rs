//! The members of a classic group, and what is counted beside them so that a join costs no pass over
//! all: who waits, who speaks which protocol, whose time is up first. It changes only together with
//! them, and knows no rules.

use super::{ClassicMember, joined_bytes};
use crate::{Name, deadlines::Deadlines};
use alloc::collections::{BTreeMap, BTreeSet, btree_map};
use core::ops::Index;
use weir_types::Tick;

/// The members, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    members: BTreeMap<Name, ClassicMember>,
    counts: Counts,
}

/// What follows from the members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// How many speak each protocol.
    speakers: BTreeMap<Name, usize>,
    /// How many wait in a join.
    joining: usize,
    /// How many bytes their ids and subscriptions have.
    bytes: usize,
    /// The member of each instance.
    instances: BTreeMap<Name, Name>,
    /// When whose time runs out.
    deadlines: Deadlines,
}

impl Members {
    pub(crate) fn get(&self, id: &Name) -> Option<&ClassicMember> {
        self.members.get(id)
    }

    pub(crate) fn contains(&self, id: &Name) -> bool {
        self.members.contains_key(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All of them, by id.
    pub(crate) fn iter(&self) -> btree_map::Iter<'_, Name, ClassicMember> {
        self.members.iter()
    }

    /// All ids, in their order.
    pub(crate) fn ids(&self) -> btree_map::Keys<'_, Name, ClassicMember> {
        self.members.keys()
    }

    pub(crate) fn put(&mut self, id: &Name, member: ClassicMember) {
        self.remove(id);
        self.counts.add(id, &member);
        self.members.insert(id.clone(), member);
    }

    pub(crate) fn remove(&mut self, id: &Name) -> Option<ClassicMember> {
        let member = self.members.remove(id)?;
        self.counts.take(id, &member);
        Some(member)
    }

    /// Changes what a member waits for, its times or its share, if it is there; what it speaks and
    /// its instance stay.
    pub(crate) fn change<R>(
        &mut self,
        id: &Name,
        change: impl FnOnce(&mut ClassicMember) -> R,
    ) -> Option<R> {
        let member = self.members.get_mut(id)?;
        let waited = member.joining.is_some();
        let result = change(member);
        let waits = member.joining.is_some();
        self.counts.joining = self.counts.joining + usize::from(waits) - usize::from(waited);
        self.counts.deadlines.put(id, member.runs_out());
        Some(result)
    }

    /// How many wait in a join.
    pub(crate) fn joining(&self) -> usize {
        self.counts.joining
    }

    /// Whether all that are inside speak a protocol.
    pub(crate) fn all_speak(&self, protocol: &Name) -> bool {
        self.counts.speakers.get(protocol) == Some(&self.members.len())
    }

    /// How many bytes the ids and subscriptions have of all but one.
    pub(crate) fn bytes_without(&self, but: &Name) -> usize {
        let own = self.members.get(but);
        self.counts.bytes - own.map_or(0, |member| joined_bytes(but, member))
    }

    /// The member of an instance.
    pub(crate) fn instance(&self, instance: &Name) -> Option<&Name> {
        self.counts.instances.get(instance)
    }

    /// The first time at which a member's is up.
    pub(crate) fn first_deadline(&self) -> Option<Tick> {
        self.counts.deadlines.first()
    }

    /// Whose time is up then, by id.
    pub(crate) fn silent(&self, tick: Tick) -> BTreeSet<Name> {
        self.counts.deadlines.until(tick).cloned().collect()
    }

    /// Asserts that the counts follow from the members.
    pub(crate) fn check(&self) {
        let mut counts = Counts::default();
        for (id, member) in &self.members {
            counts.add(id, member);
        }
        assert!(
            counts == self.counts,
            "I-GRP-21: what is counted beside the members follows from them"
        );
        self.counts.deadlines.check();
    }
}

impl Index<&Name> for Members {
    type Output = ClassicMember;

    fn index(&self, id: &Name) -> &ClassicMember {
        &self.members[id]
    }
}

impl Counts {
    fn add(&mut self, id: &Name, member: &ClassicMember) {
        for protocol in spoken(member) {
            *self.speakers.entry(protocol.clone()).or_default() += 1;
        }
        self.joining += usize::from(member.joining.is_some());
        self.bytes += joined_bytes(id, member);
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.deadlines.put(id, member.runs_out());
    }

    fn take(&mut self, id: &Name, member: &ClassicMember) {
        for protocol in spoken(member) {
            if let Some(count) = self.speakers.get_mut(protocol) {
                *count -= 1;
                if *count == 0 {
                    self.speakers.remove(protocol);
                }
            }
        }
        self.joining -= usize::from(member.joining.is_some());
        self.bytes -= joined_bytes(id, member);
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance) == Some(id)
        {
            self.instances.remove(instance);
        }
        self.deadlines.put(id, None);
    }
}

/// The protocols a member offers, each once.
fn spoken(member: &ClassicMember) -> BTreeSet<&Name> {
    member.protocols.iter().map(|(name, _)| name).collect()
}
