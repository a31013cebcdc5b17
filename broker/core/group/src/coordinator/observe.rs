//! A group as those see it who measure it: its state, its members and what they own. It changes
//! nothing and writes nothing.

use super::Coordinator;
use crate::{
    Assignment, Kind, Name, TopicTable,
    classic::ClassicState,
    embedded::{self, CONSUMER},
    reply::{Observed, ObservedMember},
};
use alloc::collections::{BTreeMap, BTreeSet};
use weir_types::PartitionIndex;

impl Coordinator {
    /// The group as it is now; nothing where there is none.
    #[must_use]
    pub fn observe(&self, id: &str) -> Option<Observed> {
        if let Some(classic) = self.classic_of(id) {
            let stable = classic.state == ClassicState::Stable;
            let consumers = classic.protocol_type.as_deref() == Some(CONSUMER);
            let members = classic.members.iter().map(|(id, member)| ObservedMember {
                id: id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client.id.clone(),
                client_host: member.client.host.clone(),
                owned: if stable && consumers {
                    embedded::assignment(&member.assignment).unwrap_or_default()
                } else {
                    BTreeMap::new()
                },
            });
            return Some(Observed {
                state: classic.state.name(),
                group_type: "classic",
                epoch: classic.generation,
                members: members.collect(),
            });
        }
        match &self.groups.get(id)?.kind {
            Kind::Simple | Kind::Classic(_) => Some(Observed {
                state: "Empty",
                group_type: "classic",
                epoch: 0,
                members: alloc::vec::Vec::new(),
            }),
            Kind::Consumer(group) => {
                let members = group.members.iter().map(|(id, member)| ObservedMember {
                    id: id.clone(),
                    instance_id: member.meta.instance_id.clone(),
                    client_id: member.meta.client_id.clone(),
                    client_host: member.meta.client_host.clone(),
                    owned: by_name(&member.current.assigned, &self.topics),
                });
                Some(Observed {
                    state: group.state(),
                    group_type: "consumer",
                    epoch: group.meta.epoch,
                    members: members.collect(),
                })
            }
        }
    }
}

/// Topics that are gone have no name, and nobody reads them.
fn by_name(
    assignment: &Assignment,
    topics: &TopicTable,
) -> BTreeMap<Name, BTreeSet<PartitionIndex>> {
    let named = assignment.iter();
    let named = named.filter_map(|(id, owned)| Some((topics.name(*id)?.clone(), owned.clone())));
    named.collect()
}
