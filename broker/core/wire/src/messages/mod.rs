//! Every message Weir speaks, one file an area, named as Kafka names them; parts whose names
//! collide have their message's name in front. Weir's own are in `history.rs` and `lag.rs`.
//!
//! Only declarations: no file here may hold a rule about what a message means.

mod api_versions;
mod cluster;
mod configs;
mod consumer_groups;
mod consumer_protocol;
mod fetch;
mod group_admin;
mod group_offsets;
mod groups;
mod history;
mod lag;
mod metadata;
mod offsets;
mod plugins;
mod produce;
mod producers;
#[cfg(test)]
pub(crate) mod sample;
mod streams;
#[cfg(test)]
mod tests;
mod topics;

pub use api_versions::*;
pub use cluster::*;
pub use configs::*;
pub use consumer_groups::*;
pub use consumer_protocol::*;
pub use fetch::*;
pub use group_admin::*;
pub use group_offsets::*;
pub use groups::*;
pub use history::*;
pub use lag::*;
pub use metadata::*;
pub use offsets::*;
pub use plugins::*;
pub use produce::*;
pub use producers::*;
pub use streams::*;
pub use topics::*;

messages! {
    /// Which leader a partition has now, for a client that asked the wrong broker (KIP-951).
    part LeaderIdAndEpoch {
        /// The leader, or -1 where none is known.
        leader_id: BrokerId = BrokerId(-1);
        /// The newest leader epoch this broker knows, or -1.
        leader_epoch: LeaderEpoch = LeaderEpoch(-1);
    }

    /// Where a broker named in the same answer can be reached (KIP-951).
    part NodeEndpoint {
        /// The broker.
        node_id: BrokerId;
        /// Host name or address for the listener that was asked.
        host: Text;
        /// Port for the listener that was asked.
        port: i32;
        /// The broker's rack, if it has one.
        rack: Option<Text>, null(0..);
    }
}

use crate::text::Text;
use weir_types::{BrokerId, LeaderEpoch};
