//! Questions about lag: answered by the keeper at once, or when something changed.

use super::Node;
use crate::{
    event::{Effect, RequestId},
    gate::Gate,
    limits::{WATCH_WAIT_MS_MAX, WATCHES_MAX},
    request::{Answer, LagAsk, META_SHARD},
};
use alloc::{boxed::Box, vec::Vec};
use weir_lag::view::{HistoryQuery, LagPage, LagQuery};
use weir_types::{ErrorCode, Now, Tick};

/// A question that waits for a change.
#[derive(Debug)]
pub(super) struct Waiting {
    query: LagQuery,
    pub(super) deadline: Tick,
}

impl Node {
    pub(in super::super) fn ask_lag(
        &mut self,
        now: Now,
        id: RequestId,
        ask: LagAsk,
        effects: &mut Vec<Effect>,
    ) {
        let page = match self.keeper() {
            Some(keeper) => keeper.lag(now, &ask.query),
            None => {
                let error = self.no_keeper(now);
                return Gate::answer_now(id, Answer::Lag(Err(error)), effects);
            }
        };
        let waits = ask.wait_ms > 0 && says_nothing(&ask.query, &page);
        if !waits {
            return Gate::answer_now(id, Answer::Lag(Ok(Box::new(page))), effects);
        }
        if self.lag.waiting.len() >= WATCHES_MAX {
            let refused = Answer::Refused(ErrorCode::RequestTimedOut);
            return Gate::answer_now(id, refused, effects);
        }
        let waiting = Waiting {
            query: ask.query,
            deadline: now.tick + ask.wait_ms.min(WATCH_WAIT_MS_MAX),
        };
        self.lag.waiting.insert(id, waiting);
    }

    pub(in super::super) fn ask_lag_history(
        &mut self,
        now: Now,
        id: RequestId,
        query: &HistoryQuery,
        effects: &mut Vec<Effect>,
    ) {
        let page = match self.keeper() {
            Some(keeper) => Ok(Box::new(keeper.history(now, query))),
            None => Err(self.no_keeper(now)),
        };
        Gate::answer_now(id, Answer::LagHistory(page), effects);
    }

    /// Why nobody can answer here; where nothing is kept yet, that begins.
    fn no_keeper(&mut self, now: Now) -> ErrorCode {
        if self.keeper_loads() {
            return ErrorCode::CoordinatorLoadInProgress;
        }
        let unmade = self.lag.home.is_none() && !self.lag.made;
        if unmade && self.config.lag_topic.is_some() && self.config.shard == META_SHARD {
            self.lag.make_at = Some(now.tick);
        }
        match self.lag.home {
            Some((_, shard)) if shard != self.config.shard => ErrorCode::NotCoordinator,
            _ => ErrorCode::CoordinatorNotAvailable,
        }
    }

    /// Something changed: whoever waits for it is told.
    pub(super) fn tell_lag_polls(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let ids: Vec<RequestId> = self.lag.waiting.keys().copied().collect();
        for id in ids {
            let (Some(waiting), Some(keeper)) = (self.lag.waiting.get(&id), self.keeper()) else {
                return;
            };
            let page = keeper.lag(now, &waiting.query);
            if !says_nothing(&waiting.query, &page) {
                self.lag.waiting.remove(&id);
                Gate::answer_now(id, Answer::Lag(Ok(Box::new(page))), effects);
            }
        }
    }

    /// Answers those whose time is up.
    pub(super) fn expire_lag(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let due = self.lag.waiting.iter();
        let due: Vec<RequestId> = due
            .filter(|(_, waiting)| waiting.deadline <= now.tick)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.hurry_lag(now, id, effects);
        }
    }

    /// Whoever asked does not want to wait any longer; returns whether it was about lag.
    pub(in super::super) fn hurry_lag(
        &mut self,
        now: Now,
        id: RequestId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(waiting) = self.lag.waiting.remove(&id) else {
            return false;
        };
        let page = self.keeper().map(|keeper| keeper.lag(now, &waiting.query));
        let page = page.map(Box::new).ok_or(ErrorCode::NotCoordinator);
        Gate::answer_now(id, Answer::Lag(page), effects);
        true
    }

    /// The keeper is no more.
    pub(super) fn end_lag_polls(&mut self, effects: &mut Vec<Effect>) {
        for (id, _) in core::mem::take(&mut self.lag.waiting) {
            let answer = Answer::Lag(Err(ErrorCode::NotCoordinator));
            Gate::answer_now(id, answer, effects);
        }
    }
}

/// Whether changes were asked for and there are none.
fn says_nothing(query: &LagQuery, page: &LagPage) -> bool {
    query.cursor.is_none()
        && !page.complete
        && page.groups.is_empty()
        && page.topics.is_empty()
        && page.groups_gone.is_empty()
        && page.topics_gone.is_empty()
}
