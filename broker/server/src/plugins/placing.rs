//! Asks topics' partitioners about batches: those that leave the choice to the broker, and those
//! that are taken only where the partitioner puts them. What is done with the answers is the
//! front's to say.

use super::Plugins;
use super::counters::PlaceKind;
use super::ingest::{pack, read_batch};
use super::spot;
use crate::room::OnWay;
use crate::session::{Reply, Shared, ask};
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_codec::Decompressor;
use weir_net::Close;
use weir_node::TransformRefusal;
use weir_node::front::{Chosen, Piece, Placement, Plan, Wanted};
use weir_plugin::place::{Part, place};
use weir_plugin::{Chain, Columns, Link, Place, PluginRef};
use weir_types::{Batch, ErrorCode, Offset, PartitionIndex};

impl Plugins {
    /// What the partitioners say about these batches, in order. The caller waits for it.
    pub(crate) fn place(&self, wanted: &[Wanted]) -> Vec<Result<Chosen, TransformRefusal>> {
        let mut inflate = Decompressor::new();
        wanted
            .iter()
            .map(|wanted| self.choose(wanted, &mut inflate))
            .collect()
    }

    fn choose(
        &self,
        wanted: &Wanted,
        inflate: &mut Decompressor,
    ) -> Result<Chosen, TransformRefusal> {
        let refused = |message: String| TransformRefusal {
            error: ErrorCode::UnknownServerError,
            message,
        };
        let link = &wanted.partitioner.link;
        // The version that the front has found and told, whatever is active by now.
        let plugin = PluginRef {
            name: link.plugin.name.clone(),
            version: Some(wanted.partitioner.version.as_ref().to_owned()),
        };
        let chain = Chain {
            links: vec![Link {
                plugin,
                parameters: link.parameters.clone(),
            }],
        };
        let image = self.image.load_full();
        let spot = spot(PlaceKind::Partitioner, &wanted.topic.name);
        let ready = self
            .prepare(&image, &spot, &chain, Place::Batch)
            .map_err(refused)?;
        let mut columns = Columns::default();
        read_batch(
            inflate,
            &wanted.batch,
            &wanted.header,
            Offset(0),
            &mut columns,
        )
        .map_err(refused)?;
        let chosen = ready
            .choose(&columns.keys, wanted.partitions, self.clock)
            .map_err(refused)?;
        let index = |partition| PartitionIndex(i32::try_from(partition).unwrap_or(i32::MAX));
        let Some(by_client) = wanted.chosen else {
            let parts = place(&wanted.header, &columns, &chosen);
            let piece = |part: Part| {
                let bytes = pack(part.batch)?;
                let batch = Batch::parse(&bytes.into()).map_err(|error| error.to_string())?;
                Ok(Piece {
                    partition: index(part.partition),
                    header: batch.header(),
                    batch,
                })
            };
            let pieces: Result<Vec<Piece>, String> = parts.into_iter().map(piece).collect();
            return Ok(Chosen::Pieces(pieces.map_err(refused)?));
        };
        let elsewhere = chosen.iter().map(|partition| index(*partition));
        let found = elsewhere
            .enumerate()
            .find(|(_, partition)| *partition != by_client);
        Ok(match found {
            None => Chosen::There,
            Some((record, partition)) => Chosen::Elsewhere { record, partition },
        })
    }
}

/// A Produce request that waits for a partitioner, or behind one that does: batches of a session
/// reach the shards in the order in which they came.
pub(crate) struct Placing {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reply: Reply,
    pub(crate) plan: Plan,
    pub(crate) on_way: Option<Arc<OnWay>>,
    /// The request before this one, until it is with the shards.
    pub(crate) before: Option<CancellationToken>,
    /// Ends when this one is with the shards, or is given up.
    pub(crate) done: DropGuard,
}

impl Placing {
    /// The answer.
    pub(crate) async fn finish(self: Box<Self>) -> Result<weir_net::Answer, Close> {
        let Self {
            shared,
            reply,
            plan,
            on_way,
            before,
            done,
        } = *self;
        if let Some(before) = before {
            before.cancelled().await;
        }
        let plan = match plan {
            Plan::Place(placement) => shared.plugins.placed(placement).await?,
            plan => plan,
        };
        match plan {
            Plan::Answer(response) => reply.encode(&response),
            Plan::Silent | Plan::Place(_) => Ok(None),
            Plan::Close { reason } => {
                reply.failed();
                Err(Close::new(reason))
            }
            Plan::Parts { parts, join } => {
                let waiting = ask(&shared, reply, parts, join, on_way);
                drop(done);
                Ok(waiting.finish().await?.0)
            }
        }
    }
}

impl Plugins {
    /// What is to be done with a Produce request once its partitioners were asked.
    pub(crate) async fn placed(self: &Arc<Self>, placement: Box<Placement>) -> Result<Plan, Close> {
        let plugins = Arc::clone(self);
        let placed = tokio::task::spawn_blocking(move || {
            let said = plugins.place(placement.wanted());
            placement.placed(said)
        });
        let failed = |error| Close::new(format!("a partitioner was not asked: {error}"));
        placed.await.map_err(failed)
    }
}
