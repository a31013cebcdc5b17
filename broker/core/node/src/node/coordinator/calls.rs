//! Questions about groups and their answers: a question names several coordinators, and is
//! answered when each of them has answered.

use super::super::Node;
use crate::{
    event::{Effect, RequestId},
    gate::When,
    limits::GROUP_WRITE_MS_MAX,
    request::{Answer, GroupAsk},
};
use alloc::{vec, vec::Vec};
use weir_group::{GroupEvent, Reply};
use weir_types::Now;

/// A question of which parts are not answered yet.
#[derive(Debug)]
pub(super) struct Call {
    replies: Vec<Option<Reply>>,
    conditions: Vec<(When, usize)>,
}

impl Call {
    pub(super) fn check(&self, part: usize) {
        let open = self.replies.get(part).is_some_and(Option::is_none);
        assert!(open, "I-NODE-14: a part is answered once");
    }
}

impl Node {
    pub(in super::super) fn groups(
        &mut self,
        now: Now,
        id: RequestId,
        asks: Vec<GroupAsk>,
        effects: &mut Vec<Effect>,
    ) {
        let call = Call {
            replies: vec![None; asks.len()],
            conditions: Vec::new(),
        };
        let before = self.coordinators.calls.insert(id, call);
        assert!(before.is_none(), "I-NODE-1: a request is asked once");
        for (part, ask) in asks.into_iter().enumerate() {
            let request = weir_group::RequestId(self.coordinators.next_ask);
            self.coordinators.next_ask += 1;
            self.coordinators.asked.insert(request, (id, part));
            match self.coordinators.ready(ask.key) {
                Ok(()) => {
                    self.note_request(now, ask.key, &ask.request);
                    let event = GroupEvent::Request {
                        id: request,
                        request: ask.request,
                    };
                    self.group_event(now, ask.key, event, effects);
                }
                Err(error) => self.group_reply(now, request, Reply::error(error), None, effects),
            }
        }
    }

    /// A part of a question is answered; the last one lets the answer go, as soon as what it tells
    /// is replicated.
    pub(super) fn group_reply(
        &mut self,
        now: Now,
        request: weir_group::RequestId,
        reply: Reply,
        when: Option<When>,
        effects: &mut Vec<Effect>,
    ) {
        let Some((id, part)) = self.coordinators.asked.remove(&request) else {
            return;
        };
        let call = self.coordinators.calls.get_mut(&id);
        let call = call.expect("I-NODE-14: what is asked for belongs to a call");
        call.replies[part] = Some(reply);
        call.conditions.extend(when.map(|when| (when, part)));
        if call.replies.iter().any(Option::is_none) {
            return;
        }
        if let Some(call) = self.coordinators.calls.remove(&id) {
            let replies = call.replies.into_iter().flatten().collect();
            let deadline = Some(now.tick + GROUP_WRITE_MS_MAX);
            self.answer(
                id,
                Answer::Groups(replies),
                call.conditions,
                deadline,
                effects,
            );
        }
    }
}
