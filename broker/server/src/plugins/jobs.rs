//! Runs the chains and partitioners of router jobs, in the versions that a job has pinned: a job
//! changes them by a commit of its own, whatever is active meanwhile.

use super::chain::Batchwise;
use super::counters::{PlaceKind, Spot};
use super::{Plugins, spot};
use crate::jobs::{Chains, Made, Origin};
use std::sync::Arc;
use weir_job::{Recipe, Trouble};
use weir_plugin::{BytesColumn, Chain, Columns, Place, PluginRef};
use weir_types::{PartitionIndex, TimestampMs, TopicId};

impl Chains for Plugins {
    fn run(
        &self,
        origin: &Origin,
        chain: &Chain,
        recipe: &Recipe,
        columns: Columns,
    ) -> Result<Made, Trouble> {
        let chain = pinned(chain, recipe)?;
        if chain.is_empty() {
            return Ok(Made {
                rows: columns,
                ..Made::default()
            });
        }
        let rule = Place::Router {
            outputs: origin.outputs,
        };
        let image = self.image.load_full();
        let spot = spot(PlaceKind::Job, &origin.job);
        let ready = self
            .prepare(&image, &spot, &chain, rule)
            .map_err(Trouble::Lasting)?;
        let of = Batchwise {
            topic: &origin.topic,
            partition: origin.partition,
            stream_time: TimestampMs(columns.timestamps.iter().copied().max().unwrap_or(-1)),
            base_offset: weir_types::Offset(columns.offsets.first().copied().unwrap_or(-1)),
            batch: None,
        };
        let before = columns.clone();
        let ran = ready.run(of, columns, &self.failures, self.clock);
        let place = |trouble: &weir_plugin::Trouble| {
            let row = before.offsets.binary_search(&trouble.offset.0);
            u32::try_from(row.ok()?).ok()
        };
        let (rows, troubles): (Vec<u32>, Vec<weir_plugin::Trouble>) = ran
            .troubles
            .into_iter()
            .filter_map(|trouble| Some((place(&trouble)?, trouble)))
            .unzip();
        let mut output = ran.output;
        Ok(Made {
            outputs: output.outputs.take(),
            rows: ran.columns.apply(output),
            refused: before.pick(&rows),
            troubles,
        })
    }

    fn partition(
        &self,
        topic: TopicId,
        plugin: &str,
        keys: &[Option<&[u8]>],
        partitions: u32,
    ) -> Result<Vec<PartitionIndex>, Trouble> {
        let image = self.image.load_full();
        let gone = || Trouble::Passing("a topic of the job is gone".to_owned());
        let topic = image.topic(topic).ok_or_else(gone)?;
        let mut chain = topic.chain("weir.partitioner").unwrap_or_default();
        let wanted: PluginRef = plugin
            .parse()
            .map_err(|error: weir_plugin::ChainError| Trouble::Lasting(error.to_string()))?;
        let link = chain
            .links
            .first_mut()
            .filter(|link| link.plugin.name == wanted.name);
        let link = link.ok_or_else(|| {
            let text = format!("{plugin} is no longer the partitioner of '{}'", topic.name);
            Trouble::Passing(text)
        })?;
        link.plugin = wanted;
        let spot = Spot {
            place: PlaceKind::Partitioner,
            name: Arc::clone(&topic.name),
        };
        let ready = self
            .prepare(&image, &spot, &chain, Place::Batch)
            .map_err(Trouble::Lasting)?;
        let mut column = BytesColumn::default();
        for key in keys {
            column.push(*key);
        }
        let chosen = ready
            .choose(&column, partitions, self.clock)
            .map_err(Trouble::Lasting)?;
        let index = |chosen| PartitionIndex(i32::try_from(chosen).unwrap_or(i32::MAX));
        Ok(chosen.into_iter().map(index).collect())
    }
}

/// The chain in the versions that the job has pinned.
fn pinned(chain: &Chain, recipe: &Recipe) -> Result<Chain, Trouble> {
    let mut chain = chain.clone();
    if chain.links.len() != recipe.versions.len() {
        let text = "the job's chain is another one than it has pinned".to_owned();
        return Err(Trouble::Passing(text));
    }
    for (link, version) in chain.links.iter_mut().zip(&recipe.versions) {
        link.plugin = version
            .parse()
            .map_err(|error: weir_plugin::ChainError| Trouble::Lasting(error.to_string()))?;
    }
    Ok(chain)
}
