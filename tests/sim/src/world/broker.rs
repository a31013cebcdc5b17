//! One incarnation of the broker: the real nodes, the real store and the metadata log, between a
//! start and a crash. It holds no rule; whatever it knows beside them is for the checks.

use super::{ConnId, session::Session};
use std::{collections::BTreeMap, sync::Arc};
use weir_meta::{Image, Journal};
use weir_node::{Ask, Node, RequestId};
use weir_store::{InlineStore, MetaLog};

/// A running broker.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) nodes: Vec<Node>,
    /// The tick at which each node wants to be woken, as far as it is on the agenda.
    pub(super) wakes: Vec<u64>,
    /// Nothing reaches a shard before what came earlier from the same place.
    pub(super) arrivals: BTreeMap<(u16, Source), u64>,
    /// The image each shard was given last.
    pub(super) seen: Vec<Arc<Image>>,
    pub(super) store: InlineStore,
    pub(super) meta: MetaLog,
    /// What the metadata log says, and what goes into it next.
    pub(super) journal: Journal,
    /// The journal's image, as the shards are given it.
    pub(super) image: Arc<Image>,
    pub(super) sessions: BTreeMap<ConnId, Session>,
    /// Questions that were asked and not answered.
    pub(super) asks: BTreeMap<RequestId, Asked>,
    pub(super) commit_planned: bool,
    pub(super) read_planned: bool,
    /// Proposals in order of their arrival at the quorum.
    pub(super) agree_at: u64,
}

/// Where something that reaches a shard comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Sessions,
    Log,
    Quorum,
}

/// A question to a shard.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) conn: ConnId,
    pub(super) ask: Ask,
}

impl Broker {
    /// The metadata it goes by.
    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    /// How many partitions cannot be used.
    pub(super) fn offline(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| node.stats().partitions_offline)
            .sum()
    }
}
