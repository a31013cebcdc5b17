//! A broker registers: at start-up it takes its partitions with a new leader epoch, so that
//! nothing from before the restart is mistaken for something after it.

use super::{DecideError, Decision, at_most};
use crate::{
    command::{RegisterBroker, Reply},
    image::{Image, Partition, partition_record},
    limits::LISTENERS_MAX,
    record::MetaRecord,
};
use alloc::vec::Vec;
use weir_types::{LeaderEpoch, Now};

pub(super) fn register(
    image: &Image,
    now: Now,
    broker: &RegisterBroker,
) -> Result<Decision, DecideError> {
    let refuse = |what| {
        Err(DecideError::Registration {
            id: broker.id,
            what,
        })
    };
    if broker.id.0 < 0 {
        return refuse("a broker id is 0 or more");
    }
    at_most(broker.listeners.len(), LISTENERS_MAX, "listeners")?;
    for (index, listener) in broker.listeners.iter().enumerate() {
        if broker.listeners[..index]
            .iter()
            .any(|l| l.name == listener.name)
        {
            return refuse("two of its listeners have the same name");
        }
    }
    let mut records = Vec::new();
    if !image.has_cluster_id() {
        records.push(MetaRecord::Cluster {
            id: broker.new_cluster_id.clone(),
        });
    }
    records.push(MetaRecord::Broker {
        id: broker.id,
        listeners: broker.listeners.clone(),
        rack: broker.rack.clone(),
        registered_at: now.wall,
    });
    // Views follow their sources.
    for topic in image.topics().filter(|topic| topic.view.is_none()) {
        for (index, partition) in topic.partitions.iter().enumerate() {
            let leads = partition.leader == Some(broker.id);
            let can_lead = partition.leader.is_none() && partition.isr.contains(&broker.id);
            if leads || can_lead {
                let led = Partition {
                    leader: Some(broker.id),
                    leader_epoch: LeaderEpoch(partition.leader_epoch.0 + 1),
                    ..partition.clone()
                };
                records.push(partition_record(topic.id, index, &led));
            }
        }
    }
    Ok(Decision {
        records,
        reply: Reply::Registered,
    })
}
