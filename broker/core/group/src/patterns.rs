//! The patterns that members subscribe to, who does, and the topics that match. A pattern is known
//! as long as somebody uses it; matching is the driver's part.

use crate::Name;
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// The patterns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(BTreeMap<Name, Pattern>);

/// One of them.
#[derive(Clone, Debug, Default)]
struct Pattern {
    /// The topics that match; nothing: asked for, not yet resolved.
    topics: Option<BTreeSet<Name>>,
    /// The members that use it, by group.
    users: BTreeSet<(Name, Name)>,
}

/// What a resolution changed.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Whether the pattern was not resolved before.
    pub(crate) first: bool,
    /// The groups of which members use it.
    pub(crate) groups: Vec<Name>,
}

impl Patterns {
    /// All of them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    /// The topics that match one, once it is resolved.
    pub(crate) fn topics(&self, pattern: &Name) -> Option<&BTreeSet<Name>> {
        self.0.get(pattern)?.topics.as_ref()
    }

    /// A member uses a pattern; whether nobody did before, so that it must be asked for.
    pub(crate) fn put(&mut self, group: &Name, member: &Name, pattern: &Name) -> bool {
        let known = self.0.entry(pattern.clone()).or_default();
        let fresh = known.users.is_empty();
        known.users.insert((group.clone(), member.clone()));
        fresh
    }

    /// A member uses a pattern no more.
    pub(crate) fn remove(&mut self, group: &Name, member: &Name, pattern: &Name) {
        if let Some(known) = self.0.get_mut(pattern) {
            known.users.remove(&(group.clone(), member.clone()));
            if known.users.is_empty() {
                self.0.remove(pattern);
            }
        }
    }

    /// A pattern was resolved; nothing if nobody uses it any more or it matches what it did.
    pub(crate) fn resolved(&mut self, pattern: &Name, topics: Vec<Name>) -> Option<Resolved> {
        let known = self.0.get_mut(pattern)?;
        let topics = Some(topics.into_iter().collect());
        if known.topics == topics {
            return None;
        }
        let before = core::mem::replace(&mut known.topics, topics);
        let mut groups: Vec<Name> = known.users.iter().map(|(group, _)| group.clone()).collect();
        groups.dedup();
        Some(Resolved {
            first: before.is_none(),
            groups,
        })
    }

    /// Asserts that exactly the members that say so use patterns.
    pub(crate) fn check(&self, mut used: BTreeSet<(Name, Name, Name)>) {
        for (pattern, known) in &self.0 {
            assert!(
                !known.users.is_empty(),
                "I-GRP-20: the pattern {pattern} is used"
            );
            for (group, member) in &known.users {
                let use_of = (pattern.clone(), group.clone(), member.clone());
                assert!(
                    used.remove(&use_of),
                    "I-GRP-20: {member} of {group} uses {pattern}"
                );
            }
        }
        assert!(
            used.is_empty(),
            "I-GRP-20: every pattern is known: {used:?}"
        );
    }
}
