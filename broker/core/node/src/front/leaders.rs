//! Which leader a partition has and where it is reached, for clients that asked the wrong broker
//! (KIP-951).

use super::Context;
use alloc::vec::Vec;
use weir_meta::{Broker, Image};
use weir_types::{BrokerId, ErrorCode, PartitionIndex, TopicId};
use weir_wire::{
    Text,
    messages::{LeaderIdAndEpoch, NodeEndpoint},
};

/// Collects the leaders that an answer names.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    endpoints: Vec<NodeEndpoint>,
}

impl Leaders {
    /// The leader to name beside an error about leadership; else none.
    pub(super) fn name(
        &mut self,
        image: &Image,
        context: &Context,
        error: ErrorCode,
        topic: TopicId,
        index: PartitionIndex,
    ) -> LeaderIdAndEpoch {
        if !matches!(
            error,
            ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
        ) {
            return LeaderIdAndEpoch::default();
        }
        let Some(partition) = image.topic(topic).and_then(|t| t.partition(index)) else {
            return LeaderIdAndEpoch::default();
        };
        if let Some(leader) = partition.leader {
            self.add(image, context, leader);
        }
        LeaderIdAndEpoch {
            leader_id: partition.leader.unwrap_or(BrokerId(-1)),
            leader_epoch: partition.leader_epoch,
        }
    }

    fn add(&mut self, image: &Image, context: &Context, leader: BrokerId) {
        if self.endpoints.iter().any(|known| known.node_id == leader) {
            return;
        }
        let Some(broker) = image.broker(leader) else {
            return;
        };
        if let Some((host, port)) = endpoint(broker, context) {
            self.endpoints.push(NodeEndpoint {
                node_id: leader,
                host,
                port,
                rack: broker.rack.as_deref().map(Text::from),
            });
        }
    }

    pub(super) fn into_endpoints(self) -> Vec<NodeEndpoint> {
        self.endpoints
    }
}

/// Where a broker is reached over the listener that was asked.
pub(super) fn endpoint(broker: &Broker, context: &Context) -> Option<(Text, i32)> {
    let listener = broker.listener(&context.listener)?;
    Some((Text::from(&*listener.host), i32::from(listener.port)))
}
