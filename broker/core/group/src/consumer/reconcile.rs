//! How a member is led to its target: first it gives up what it shall not keep, then it takes
//! over what others have given up. What it keeps, it never stops reading.

use super::holds;
use crate::{
    Assignment, Name,
    desk::Desk,
    group::ConsumerGroup,
    record::{Current, MemberState},
};

impl Desk<'_> {
    /// Takes the member as far as it can go at this moment; whether what it shall own is other than
    /// before. `owned` is what it says it owns; nothing: as before.
    pub(crate) fn reconcile(&mut self, id: &Name, owned: Option<&Assignment>, joins: bool) -> bool {
        let rejoined = self.live.sessions.get(id).is_some_and(|s| s.rejoined);
        let mut now_rejoined = rejoined;
        let group = self.the_consumer();
        let current = &group.members[id].current;
        // Who was told its epoch when it joined again owns what it was told then, if anything.
        let owned = owned.or_else(|| rejoined.then_some(&current.assigned));
        let next = if joins && current.epoch <= 0 {
            // It owns nothing, whatever one of that instance had.
            next(group, id, 0, Some(&Assignment::new()))
        } else if joins {
            let next = rejoin(group, id);
            now_rejoined |= next.state == MemberState::Unrevoked && next.epoch > current.epoch;
            next
        } else {
            match current.state {
                MemberState::Stable if current.epoch == group.target_epoch => return false,
                MemberState::Unrevoked if owns_any(owned, &current.revoking) => return false,
                // It has done what its next epoch asked for.
                MemberState::Unrevoked => {
                    let epoch = group.target_epoch.min(current.epoch + 1);
                    next(group, id, epoch, owned)
                }
                MemberState::Stable | MemberState::Unreleased => {
                    next(group, id, current.epoch, owned)
                }
            }
        };
        let revokes = next.state == MemberState::Unrevoked;
        let gets_on = next != *current;
        let moved = next.assigned != current.assigned;
        if gets_on {
            self.write_current(id, next);
        }
        self.live.sessions.change(id, |session| {
            session.rejoined = joins && now_rejoined && revokes;
            if gets_on && !joins {
                // Whoever gives something up is given its time anew.
                session.revoke_by = None;
            }
        });
        moved
    }
}

/// A member that is inside joins again. It says that it owns nothing, but its request may be an old
/// one that was on its way for long, while the member goes on reading: what it has to give up is
/// free only once it is heard of under an epoch that the answer tells.
fn rejoin(group: &ConsumerGroup, id: &Name) -> Current {
    let current = &group.members[id].current;
    let next = match current.state {
        MemberState::Unrevoked => current.clone(),
        MemberState::Stable | MemberState::Unreleased => next(group, id, current.epoch, None),
    };
    if next.state != MemberState::Unrevoked || current.epoch >= group.target_epoch {
        return next;
    }
    Current {
        epoch: current.epoch + 1,
        previous_epoch: current.epoch,
        ..next
    }
}

/// Whether the member may still own some of these; silence means that nothing changed.
fn owns_any(owned: Option<&Assignment>, revoking: &Assignment) -> bool {
    let Some(owned) = owned else {
        return !revoking.is_empty();
    };
    revoking
        .iter()
        .any(|(topic, partitions)| partitions.iter().any(|index| holds(owned, *topic, *index)))
}

fn next(group: &ConsumerGroup, id: &Name, epoch: i32, owned: Option<&Assignment>) -> Current {
    let member = &group.members[id];
    let current = &member.current;
    let mut kept = Assignment::new();
    let mut revoking = Assignment::new();
    for (topic, partitions) in &current.assigned {
        for index in partitions {
            let side = if holds(&member.target, *topic, *index) {
                &mut kept
            } else {
                &mut revoking
            };
            side.entry(*topic).or_default().insert(*index);
        }
    }
    if owns_any(owned, &revoking) {
        return step(current, epoch, MemberState::Unrevoked, kept, revoking);
    }
    let mut waits = false;
    for (topic, partitions) in &member.target {
        for index in partitions {
            match group.owner(*topic, *index) {
                Some(owner) if owner != id => waits = true,
                _ => {
                    kept.entry(*topic).or_default().insert(*index);
                }
            }
        }
    }
    let state = if waits {
        MemberState::Unreleased
    } else {
        MemberState::Stable
    };
    step(current, group.target_epoch, state, kept, Assignment::new())
}

fn step(
    current: &Current,
    epoch: i32,
    state: MemberState,
    assigned: Assignment,
    revoking: Assignment,
) -> Current {
    let previous_epoch = if epoch == current.epoch {
        current.previous_epoch
    } else {
        current.epoch
    };
    Current {
        epoch,
        previous_epoch,
        state,
        assigned,
        revoking,
    }
}
