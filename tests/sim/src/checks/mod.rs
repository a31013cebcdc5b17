//! What the broker promises, one file a promise: the number by which ARCHITECTURE.md cites it and
//! the check that can see it broken. Checks only look; they never change the world.

pub mod commits;
pub mod configs;
pub mod corruption;
pub mod duplicates;
pub mod durability;
pub mod history;
pub mod liveness;
pub mod loss;
pub mod metadata;
pub mod offsets;
pub mod order;
pub mod ownership;
pub mod panics;
pub mod polls;
pub mod producer_ids;
pub mod producers;
pub mod protocol;
pub mod recovery;
pub mod retention;
pub mod routing;
pub mod settling;
pub mod skips;
pub mod starts;
pub mod topics;
pub mod watermarks;
pub mod zombies;

use crate::violation::Promise;

/// Every promise that is checked.
pub const ALL: &[&Promise] = &[
    &order::PROMISE,
    &loss::PROMISE,
    &duplicates::PROMISE,
    &offsets::PROMISE,
    &durability::PROMISE,
    &producers::PROMISE,
    &starts::PROMISE,
    &retention::PROMISE,
    &topics::PROMISE,
    &configs::PROMISE,
    &corruption::PROMISE,
    &liveness::PROMISE,
    &polls::PROMISE,
    &recovery::PROMISE,
    &producer_ids::PROMISE,
    &metadata::PROMISE,
    &watermarks::PROMISE,
    &protocol::PROMISE,
    &panics::PROMISE,
    &ownership::PROMISE,
    &commits::PROMISE,
    &zombies::PROMISE,
    &skips::PROMISE,
    &settling::PROMISE,
    &history::PROMISE,
    &routing::PROMISE,
    &routing::ORDER,
];
