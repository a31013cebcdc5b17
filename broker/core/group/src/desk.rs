//! The desk at which one group is dealt with: everything a rule may look at, and the two ways out,
//! records and answers. A record is applied as it is written, so that what follows in the same
//! step builds on it; an answer waits for the group's last write.

use crate::{
    Group, GroupConfig, GroupRecord, Groups, Name, Reply, RequestId, TopicTable, WriteId,
    classic::{ClassicGroup, ClassicState},
    group::ConsumerGroup,
    history::{Notebook, Place, Shares, brief},
    live::Live,
    patterns::Patterns,
};
use alloc::{collections::BTreeSet, vec::Vec};
use weir_types::{CauseKind, Now};

/// What a step has to say so far.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// The number that the step's write will have.
    pub(crate) write: WriteId,
    /// Its records.
    pub(crate) records: Vec<GroupRecord>,
    /// Answers of the group at the desk.
    pub(crate) answers: Vec<(RequestId, Reply)>,
    /// Answers of groups that were at the desk before, with the write they wait for.
    pub(crate) sealed: Vec<(RequestId, Option<WriteId>, Reply)>,
    /// Groups whose history grew.
    pub(crate) grown: Vec<(Name, u64)>,
}

/// The desk.
pub(crate) struct Desk<'a> {
    /// The group's id.
    pub(crate) id: &'a Name,
    /// The time of the step.
    pub(crate) now: Now,
    /// The settings.
    pub(crate) config: &'a GroupConfig,
    /// The topics.
    pub(crate) topics: &'a TopicTable,
    /// The patterns that members use.
    pub(crate) patterns: &'a mut Patterns,
    /// Patterns to ask for.
    pub(crate) unresolved: &'a mut Vec<Name>,
    /// What the records tell.
    pub(crate) groups: &'a mut Groups,
    /// What they do not tell.
    pub(crate) live: &'a mut Live,
    /// The ways out.
    pub(crate) out: &'a mut Out,
}

impl Desk<'_> {
    /// The group, if any record tells of it.
    pub(crate) fn group(&self) -> Option<&Group> {
        self.groups.get(self.id)
    }

    /// The consumer group, if it is one.
    pub(crate) fn consumer(&self) -> Option<&ConsumerGroup> {
        self.group()?.consumer()
    }

    /// The consumer group, where it is known to be one.
    pub(crate) fn the_consumer(&self) -> &ConsumerGroup {
        self.consumer().expect("the caller made sure of its kind")
    }

    /// The classic group, where it is known to be one.
    pub(crate) fn classic(&mut self) -> &mut ClassicGroup {
        self.live
            .classic
            .as_mut()
            .expect("the caller made sure of its kind")
    }

    /// Writes a record: it counts at once, and answers wait for it.
    pub(crate) fn write(&mut self, record: GroupRecord) {
        if let GroupRecord::Member { member, value, .. } = &record {
            let pattern = value.as_ref().and_then(|meta| meta.pattern.as_ref());
            self.follow_pattern(member, pattern);
        }
        self.groups.apply(&record);
        self.out.records.push(record);
        self.live.last_write = Some(self.out.write);
    }

    /// A member is about to use this pattern and none else; asks for it if nobody used it before.
    fn follow_pattern(&mut self, member: &Name, pattern: Option<&Name>) {
        let before = self.consumer().and_then(|group| group.members.get(member));
        let before = before.and_then(|member| member.meta.pattern.clone());
        if before.as_ref() == pattern {
            return;
        }
        if let Some(pattern) = pattern {
            self.use_pattern(member, pattern);
        }
        if let Some(before) = &before {
            self.patterns.remove(self.id, member, before);
        }
    }

    /// A member uses a pattern; asks for it if nobody did before.
    pub(crate) fn use_pattern(&mut self, member: &Name, pattern: &Name) {
        if self.patterns.put(self.id, member, pattern) {
            self.unresolved.push(pattern.clone());
        }
    }

    /// Answers a request, once the group's last write is replicated.
    pub(crate) fn answer(&mut self, request: RequestId, reply: Reply) {
        self.out.answers.push((request, reply));
    }

    /// Notes a cause, before what it changes is changed; opens the notebook if it is closed.
    pub(crate) fn note(&mut self, kind: CauseKind, member: Option<&Name>, reason: Option<Name>) {
        if self.live.notebook.is_none() {
            self.live.notebook = Some(Notebook::new(self.now, self.shares()));
            self.note_clients();
        }
        let now = self.now;
        let client = member.and_then(|member| self.client_of(member));
        if let Some(notebook) = &mut self.live.notebook {
            if let (Some(member), Some(client)) = (member, client) {
                notebook.client(member, &client);
            }
            notebook.cause(now, kind, member.cloned(), reason);
        }
    }

    /// What a member's client calls itself, while it is there.
    fn client_of(&self, member: &Name) -> Option<Name> {
        if let Some(classic) = &self.live.classic {
            return Some(classic.members.get(member)?.client.id.clone());
        }
        let member = self.consumer()?.members.get(member)?;
        Some(member.meta.client_id.clone())
    }

    /// Notes who is there: whoever leaves takes the name of its client along.
    fn note_clients(&mut self) {
        let Some(mut notebook) = self.live.notebook.take() else {
            return;
        };
        if let Some(classic) = &self.live.classic {
            for (id, member) in classic.members.iter() {
                notebook.client(id, &member.client.id);
            }
        } else if let Some(consumer) = self.consumer() {
            for (id, member) in &consumer.members {
                notebook.client(id, &member.meta.client_id);
            }
        }
        self.live.notebook = Some(notebook);
    }

    /// The members that the history knows of: nothing if it does not name them all.
    pub(crate) fn members_told(&self) -> Option<BTreeSet<Name>> {
        let Some((_, last)) = self.group()?.history.last_key_value() else {
            return Some(BTreeSet::new());
        };
        let all = u32::try_from(last.members_after.len()) == Ok(last.members_after_count);
        all.then(|| last.members_after.iter().cloned().collect())
    }

    /// Notes that the coordinator came up anew. Of a rebalance that was under way the causes were
    /// written down: it goes on, with the members that the last one ended with.
    pub(crate) fn note_restored(&mut self) {
        let mut before = self.shares();
        let told = self.members_told();
        let told = told.unwrap_or_else(|| before.keys().cloned().collect());
        let joined: Vec<Name> = before
            .keys()
            .filter(|member| !told.contains(*member))
            .cloned()
            .collect();
        before.retain(|member, _| told.contains(member));
        for member in told {
            before.entry(member).or_default();
        }
        let group = self.group();
        let open = group.map_or(&[][..], |group| &group.open);
        let mut notebook = Notebook::resumed(self.now, before, open);
        let last = group.and_then(|group| group.history.last_key_value());
        for (member, client) in last.iter().flat_map(|(_, event)| &event.clients) {
            notebook.client(member, client);
        }
        let untold = joined.iter().filter(|member| !notebook.names(member));
        let untold: Vec<Name> = untold.cloned().collect();
        self.live.notebook = Some(notebook);
        self.note_clients();
        self.note(CauseKind::CoordinatorMoved, None, None);
        for member in &untold {
            self.note(CauseKind::Joined, Some(member), None);
        }
    }

    /// Writes down what a consumer group has acted upon while its rebalance is not over; a classic
    /// one has written nothing yet, and its members will do it all again.
    fn write_causes(&mut self) {
        let Some(group) = self.group().filter(|group| group.consumer().is_some()) else {
            return;
        };
        let known = group.open.len();
        let news = self.live.notebook.iter();
        let news: Vec<_> = news.flat_map(|book| book.causes_from(known)).collect();
        for (index, mut cause) in (known..).zip(news) {
            if let (Some(member), None) = (&cause.cause.member, &cause.client) {
                // Who joined is there now.
                cause.client = self.client_of(member).map(|client| brief(&client));
            }
            self.write(GroupRecord::Cause {
                group: self.id.clone(),
                index: u32::try_from(index).unwrap_or(u32::MAX),
                cause,
            });
        }
    }

    /// Who has what at this moment.
    pub(crate) fn shares(&self) -> Shares {
        if let Some(classic) = &self.live.classic {
            return classic.shares(self.topics);
        }
        self.consumer()
            .map(ConsumerGroup::shares)
            .unwrap_or_default()
    }

    /// The end of a turn: a rebalance that is over is written down.
    pub(crate) fn finish(&mut self) {
        if self.live.notebook.is_none() {
            return;
        }
        self.observe();
        let epoch = match (&self.live.classic, self.consumer()) {
            (Some(classic), _) => match classic.state {
                ClassicState::Stable | ClassicState::Empty => Some(classic.generation),
                ClassicState::PreparingRebalance | ClassicState::CompletingRebalance => None,
            },
            (None, Some(consumer)) => {
                // What a new pattern matches belongs to the rebalance that it caused.
                let is_over = consumer.is_settled() && !consumer.waits_for_patterns(self.patterns);
                is_over.then_some(consumer.meta.epoch)
            }
            (None, None) => Some(0),
        };
        let Some(epoch) = epoch else {
            self.write_causes();
            return;
        };
        // Who joined is there now.
        self.note_clients();
        let Some(notebook) = self.live.notebook.take() else {
            return;
        };
        // A group that is gone has no history, and one that never came to be needs none.
        let Some(group) = self.group() else { return };
        let place = Place {
            sequence: group.next_sequence(),
            number: self.groups.last_event() + 1,
            previous: group.last_event(),
        };
        let after = self.shares();
        let event = notebook.close(self.now, place, epoch, &after, self.topics);
        self.write(GroupRecord::History {
            group: self.id.clone(),
            event,
        });
        self.out.grown.push((self.id.clone(), place.sequence));
    }

    /// Who of a consumer group stands still, as of now.
    fn observe(&mut self) {
        let Some(mut notebook) = self.live.notebook.take() else {
            return;
        };
        if let Some(consumer) = self.consumer() {
            for (name, member) in &consumer.members {
                let idles = member.target.is_empty() && notebook.before().get(name).is_none();
                if !member.current.assigned.is_empty() {
                    notebook.moves(name, self.now);
                } else if member.target.is_empty() && !idles {
                    notebook.forget(name);
                } else {
                    notebook.stands(name, self.now);
                }
            }
            if consumer.is_settled() {
                for (name, member) in &consumer.members {
                    if member.current.assigned.is_empty() {
                        notebook.forget(name);
                    }
                }
            }
        }
        self.live.notebook = Some(notebook);
    }
}
