//! Members of the consumer protocol that behave as Kafka's client does: they heartbeat, give up
//! what they are told to, and remember their epoch.

use super::{World, client};
use std::collections::{BTreeMap, BTreeSet};
use weir_group::{Assignment, Name, Reply, Request, request::ConsumerHeartbeat};
use weir_types::ErrorCode;

/// One member.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) group: Name,
    pub(crate) id: Name,
    pub(crate) epoch: i32,
    pub(crate) owned: Assignment,
    pub(crate) topics: BTreeSet<Name>,
    /// When it last heard from its coordinator.
    pub(crate) heard: u64,
}

impl Consumer {
    pub(crate) fn new(group: &str, id: &str, topics: &[&str]) -> Self {
        Self {
            group: group.into(),
            id: id.into(),
            epoch: 0,
            owned: Assignment::new(),
            topics: topics.iter().map(|topic| Name::from(*topic)).collect(),
            heard: 0,
        }
    }

    fn beat(&self, epoch: i32) -> ConsumerHeartbeat {
        let joins = epoch == 0;
        ConsumerHeartbeat {
            group: self.group.clone(),
            member_id: self.id.clone(),
            new_member_id: self.id.clone(),
            member_epoch: epoch,
            instance_id: None,
            rack: None,
            client: client(&self.id),
            rebalance_timeout_ms: if joins { 30_000 } else { -1 },
            topics: Some(self.topics.clone()).filter(|_| joins || epoch > 0),
            pattern: None,
            assignor: None,
            owned: Some(self.owned.clone()),
        }
    }

    /// A heartbeat whose answer comes, or is lost on the way.
    pub(crate) fn live(&mut self, world: &mut World, lost: bool) {
        let beat = self.beat(self.epoch);
        let asked = world.ask(&self.id.clone(), Request::ConsumerHeartbeat(beat));
        let mut answers = world.answers.iter();
        let Some((_, reply)) = answers.find(|(id, _)| *id == asked).cloned() else {
            panic!("a heartbeat is answered at once");
        };
        match reply {
            Reply::Heartbeat(_) if lost => {}
            Reply::Heartbeat(reply) => {
                self.heard = world.tick;
                assert!(
                    reply.member_epoch >= self.epoch,
                    "I-GRP-2: epochs of a member ascend"
                );
                self.epoch = reply.member_epoch;
                if let Some(assignment) = reply.assignment {
                    self.owned = assignment;
                }
            }
            Reply::Refused { error, text } => {
                let again = [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId];
                assert!(again.contains(&error), "{error:?} {text}");
                self.epoch = 0;
                self.owned.clear();
            }
            other => panic!("no answer to a heartbeat: {other:?}"),
        }
    }

    /// Goodbye.
    pub(crate) fn leave(&mut self, world: &mut World) {
        if self.epoch > 0 {
            let beat = ConsumerHeartbeat {
                topics: None,
                owned: None,
                ..self.beat(-1)
            };
            world.ask(&self.id.clone(), Request::ConsumerHeartbeat(beat));
        }
        self.epoch = 0;
        self.owned.clear();
    }
}

/// That no partition is read by two members of a group, by what they themselves believe.
/// Who has not heard from its coordinator for so long that it may be fenced stops reading.
pub(crate) fn no_two_owners<'a>(tick: u64, members: impl Iterator<Item = &'a Consumer>) {
    let mut owners = BTreeMap::new();
    for member in members.filter(|member| tick - member.heard < 30_000) {
        for (topic, partitions) in &member.owned {
            for index in partitions {
                let place = (member.group.clone(), *topic, *index);
                if let Some(other) = owners.insert(place, member.id.clone()) {
                    panic!("I-GRP-1: {other} and {} own {topic}-{index}", member.id);
                }
            }
        }
    }
}

/// How many partitions a member owns.
pub(crate) fn load(member: &Consumer) -> usize {
    member.owned.values().map(BTreeSet::len).sum()
}

/// Everybody heartbeats every `interval` ms, until `until`.
pub(crate) fn run(world: &mut World, members: &mut [Consumer], interval: u64, until: u64) {
    while world.tick < until {
        let next = (world.tick + interval).min(until);
        world.until(next);
        for member in members.iter_mut() {
            member.live(world, false);
        }
        no_two_owners(world.tick, members.iter());
    }
}
