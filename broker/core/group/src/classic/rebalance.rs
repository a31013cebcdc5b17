//! How a classic group gets from one generation to the next, and whose time runs out on the way.

use super::ClassicState;
use crate::{Name, Reply, desk::Desk, reply::Joined};
use alloc::vec::Vec;
use weir_types::{CauseKind, ErrorCode};

impl Desk<'_> {
    /// Begins a rebalance, or goes on with the one under way.
    pub(crate) fn rebalance_or_complete(&mut self) {
        if self.classic().state == ClassicState::PreparingRebalance {
            self.complete_if_all_joined();
        } else {
            self.prepare_rebalance();
        }
    }

    /// Everybody has to join again.
    pub(crate) fn prepare_rebalance(&mut self) {
        let (tick, delay) = (self.now.tick, self.config.initial_rebalance_delay_ms);
        self.fail_syncs(ErrorCode::RebalanceInProgress);
        let group = self.classic();
        group.sync_by = None;
        group.unsynced.clear();
        let first = group.state == ClassicState::Empty;
        group.state = ClassicState::PreparingRebalance;
        let timeout = group.rebalance_timeout_ms();
        if first {
            // A crowd that comes to an empty group is waited for, so that it costs one rebalance.
            let delay = delay.min(timeout);
            group.initial_left_ms = Some(timeout - delay);
            group.newcomer = false;
            group.join_by = Some(tick + delay);
            if delay == 0 {
                self.complete_join();
            }
        } else {
            group.initial_left_ms = None;
            group.join_by = Some(tick + timeout);
            self.complete_if_all_joined();
        }
    }

    fn complete_if_all_joined(&mut self) {
        let group = self.classic();
        if group.initial_left_ms.is_none() && group.all_joined() {
            self.complete_join();
        }
    }

    /// Joining is over: who has not come is out, unless it is static, and a generation begins.
    fn complete_join(&mut self) {
        let absent: Vec<Name> = self
            .classic()
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && member.instance_id.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in absent {
            self.note(CauseKind::TimedOut, Some(&id), None);
            self.drop_member(&id);
        }
        let (tick, wall) = (self.now.tick, self.now.wall);
        let group = self.classic();
        let leads = |id: &Name| group.members.get(id).is_some_and(|m| m.joining.is_some());
        if !group.leader.as_ref().is_some_and(leads) {
            match group.eldest(|member| member.joining.is_some()) {
                Some(leader) => group.leader = Some(leader),
                None if group.members.is_empty() => group.leader = None,
                None => {
                    // Only static members, and none has come back yet: they are waited for.
                    group.initial_left_ms = None;
                    group.join_by = Some(tick + group.rebalance_timeout_ms().max(1));
                    return;
                }
            }
        }
        group.join_by = None;
        group.initial_left_ms = None;
        group.generation = group.generation.checked_add(1).unwrap_or(1);
        group.protocol = group.choose_protocol();
        if group.members.is_empty() {
            group.state = ClassicState::Empty;
            let meta = group.meta(wall);
            self.write_classic(meta);
            return;
        }
        group.state = ClassicState::CompletingRebalance;
        group.sync_by = Some(tick + group.rebalance_timeout_ms());
        group.unsynced = group.members.ids().cloned().collect();
        self.tell_all();
    }

    /// Answers every join that waits.
    fn tell_all(&mut self) {
        let tick = self.now.tick;
        let ids: Vec<Name> = self.classic().members.ids().cloned().collect();
        for id in ids {
            let group = self.classic();
            let request = group.members.change(&id, |member| {
                let request = member.joining.take()?;
                member.new_until = None;
                member.seen(tick);
                Some(request)
            });
            if let Some(request) = request.flatten() {
                let reply = group.told(&id);
                self.answer(request, Reply::Joined(reply));
            }
        }
    }

    /// Tells all who wait for their share that they must join again, or why they get none.
    pub(crate) fn fail_syncs(&mut self, error: ErrorCode) {
        let ids: Vec<Name> = self.classic().members.ids().cloned().collect();
        for id in ids {
            let members = &mut self.classic().members;
            let waiting = members.change(&id, |member| member.syncing.take());
            if let Some(request) = waiting.flatten() {
                self.answer(request, Reply::error(error));
            }
        }
    }

    /// Takes a member out, and no more.
    pub(crate) fn drop_member(&mut self, id: &Name) {
        let group = self.classic();
        let Some(member) = group.members.remove(id) else {
            return;
        };
        group.unsynced.remove(id);
        if group.leader.as_ref() == Some(id) {
            group.leader = group.eldest(|_| true);
        }
        if let Some(notebook) = &mut self.live.notebook {
            notebook.forget(id);
        }
        if let Some(request) = member.joining {
            let reply = Joined::failed(ErrorCode::UnknownMemberId, id.clone());
            self.answer(request, Reply::Joined(reply));
        }
        if let Some(request) = member.syncing {
            self.answer(request, Reply::error(ErrorCode::UnknownMemberId));
        }
    }

    /// What follows when members are gone.
    pub(crate) fn after_removal(&mut self) {
        match self.classic().state {
            ClassicState::Stable | ClassicState::CompletingRebalance => self.prepare_rebalance(),
            ClassicState::PreparingRebalance => {
                // In a first rebalance the clock decides, unless nobody is left to wait.
                if self.classic().members.is_empty() && self.classic().pending.is_empty() {
                    self.classic().initial_left_ms = None;
                }
                self.complete_if_all_joined();
            }
            ClassicState::Empty => {}
        }
    }

    /// Deals with whatever of a classic group has run out of time.
    pub(crate) fn expire_classic(&mut self) {
        let tick = self.now.tick;
        let group = self.classic();
        let unclaimed: Vec<Name> = group.pending.until(tick).cloned().collect();
        let mut gone = !unclaimed.is_empty();
        for id in unclaimed {
            group.pending.put(&id, None);
        }
        for id in group.members.silent(tick) {
            self.note(CauseKind::TimedOut, Some(&id), None);
            self.drop_member(&id);
            gone = true;
        }
        if gone {
            self.after_removal();
        }
        self.expire_join();
        self.expire_sync();
    }

    fn expire_join(&mut self) {
        let (tick, delay) = (self.now.tick, self.config.initial_rebalance_delay_ms);
        let group = self.classic();
        if group.join_by.is_none_or(|until| until > tick) {
            return;
        }
        if let Some(left) = group.initial_left_ms
            && group.newcomer
            && left > 0
        {
            let delay = delay.min(left);
            group.newcomer = false;
            group.initial_left_ms = Some(left - delay);
            group.join_by = Some(tick + delay);
            return;
        }
        self.complete_join();
    }

    fn expire_sync(&mut self) {
        let tick = self.now.tick;
        let group = self.classic();
        if group.sync_by.is_none_or(|until| until > tick) {
            return;
        }
        group.sync_by = None;
        let late: Vec<Name> = group.unsynced.iter().cloned().collect();
        for id in &late {
            self.note(CauseKind::TimedOut, Some(id), None);
            self.drop_member(id);
        }
        if late.is_empty() && self.classic().state == ClassicState::Stable {
            return;
        }
        self.prepare_rebalance();
    }

    /// Counts a classic member's time anew.
    pub(crate) fn seen(&mut self, id: &Name) {
        let tick = self.now.tick;
        self.classic()
            .members
            .change(id, |member| member.seen(tick));
    }
}
