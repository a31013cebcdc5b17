//! Requests about consumer groups: each goes to the coordinator of its group, by the partition of
//! `__consumer_offsets` that keeps it, and requests that name several groups are split and joined
//! again.
//!
//! Here requests are routed and authorized; the other files of this folder translate between the
//! wire's messages and the words of `weir-group`. No rule of groups may live here.

mod admin;
mod coordinator;
mod history;
mod member;
mod offsets;
mod watch;

pub(super) use coordinator::CoordinatorJoin;
pub(super) use history::HistoryJoin;
pub(super) use watch::WatchJoin;

use super::{
    Call, Context, Front, Plan,
    join::{Join, Kind, misfit, pairs},
    split::{Place, Split},
};
use crate::{
    authorizer::{Operation, Resource},
    groups,
    request::{Answer, Ask, GroupAsk, PartitionKey},
};
use alloc::vec::Vec;
use weir_group::{Name, Reply, Request};
use weir_meta::Image;
use weir_types::ErrorCode;
use weir_wire::{Response, Text};

/// A request about groups that is being joined: one reply for each coordinator asked, or group.
#[derive(Debug)]
pub(super) struct GroupsJoin {
    replies: Vec<Reply>,
    shape: Shape,
}

/// What the response is, and what is known of it already.
#[derive(Debug)]
enum Shape {
    Join { member_id: Text },
    Sync,
    Heartbeat,
    Leave,
    ConsumerHeartbeat { member_id: Text },
    Commit(offsets::CommitJoin),
    Fetch(offsets::FetchJoin),
    DeleteOffsets(offsets::DeleteJoin),
    List,
    Describe(admin::Described),
    DescribeConsumers(admin::Described),
    Delete(Vec<Text>),
}

/// A question to the coordinator of one group, or why it cannot be asked.
type Asked = Result<GroupAsk, ErrorCode>;

impl Front {
    /// The plan for a request of which each part goes to one group's coordinator.
    fn ask_groups(&self, call: &Call<'_>, asks: Vec<Asked>, shape: Shape) -> Plan {
        let mut split = Split::new(self.config.shards);
        let mut replies = Vec::with_capacity(asks.len());
        for (place, ask) in asks.into_iter().enumerate() {
            match ask {
                Ok(ask) => {
                    replies.push(Reply::error(ErrorCode::CoordinatorNotAvailable));
                    split.push(ask.key, (place, 0), ask);
                }
                Err(error) => replies.push(Reply::error(error)),
            }
        }
        let join = GroupsJoin { replies, shape };
        if split.is_empty() {
            return Plan::Answer(join.finish(call.image, call.context, call.version));
        }
        let (parts, places) = split.into_parts(call.image.applied(), Ask::Groups);
        let join = Join::new(Kind::Groups(join), places, call);
        Plan::Parts { parts, join }
    }
}

impl GroupsJoin {
    pub(super) fn absorb(&mut self, places: &[Place], answer: Answer) {
        let results = |answer| match answer {
            Answer::Groups(replies) => replies,
            other => misfit(&other),
        };
        // A shard that is too busy or leaves says so with an error that groups do not know.
        let refused = |_| Reply::error(ErrorCode::CoordinatorNotAvailable);
        for ((place, _), reply) in pairs(places, answer, refused, results) {
            self.replies[place] = reply;
        }
    }

    pub(super) fn finish(self, image: &Image, context: &Context, version: i16) -> Response {
        let replies = self.replies;
        match self.shape {
            Shape::Join { member_id } => member::joined(one(replies), member_id, version),
            Shape::Sync => member::synced(one(replies)),
            Shape::Heartbeat => member::alive(&one(replies)),
            Shape::Leave => member::left(one(replies), version),
            Shape::ConsumerHeartbeat { member_id } => {
                member::consumer_alive(one(replies), member_id)
            }
            Shape::Commit(join) => join.finish(&one(replies)),
            Shape::Fetch(join) => join.finish(replies, image, context, version),
            Shape::DeleteOffsets(join) => join.finish(&one(replies)),
            Shape::List => admin::listed(replies, context),
            Shape::Describe(described) => admin::described(replies, described, context, version),
            Shape::DescribeConsumers(described) => {
                admin::consumers_described(replies, described, image, context)
            }
            Shape::Delete(groups) => admin::deleted(replies, groups),
        }
    }
}

/// The reply to a request of one part.
fn one(replies: Vec<Reply>) -> Reply {
    let reply = replies.into_iter().next();
    reply.unwrap_or_else(|| Reply::error(ErrorCode::UnknownServerError))
}

/// The error of a reply that refuses; of any other that is not what was asked for, the error that
/// nobody expects.
fn refusal(reply: &Reply) -> (ErrorCode, Option<Text>) {
    match reply {
        Reply::Refused { error, text } => {
            let text = Some(*text).filter(|text| !text.is_empty());
            (*error, text.map(Text::from_static))
        }
        other => panic!("I-NODE-12: a reply fits its question, this does not: {other:?}"),
    }
}

/// Where a group's coordinator is, if the caller may do that with the group.
fn coordinator_of(
    call: &Call<'_>,
    operation: Operation,
    group: &str,
) -> Result<PartitionKey, ErrorCode> {
    if !call.context.may(operation, Resource::Group(group)) {
        return Err(ErrorCode::GroupAuthorizationFailed);
    }
    // Whoever asks looks for the coordinator first, and that makes the topic.
    groups::key_of(call.image, group).ok_or(ErrorCode::NotCoordinator)
}

/// A question to the coordinator of one group.
fn asked(call: &Call<'_>, operation: Operation, group: &str, request: Request) -> Asked {
    let key = coordinator_of(call, operation, group)?;
    Ok(GroupAsk { key, request })
}

/// A name that outlives its request.
fn name(text: &Text) -> Name {
    Name::from(text.as_str())
}

fn maybe_name(text: Option<&Text>) -> Option<Name> {
    text.map(name)
}

fn text(name: &Name) -> Text {
    Text::from(&**name)
}

fn maybe_text(name: Option<&Name>) -> Option<Text> {
    name.map(text)
}
