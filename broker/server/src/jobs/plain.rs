//! A broker without plugins: jobs whose chain is empty pass records on as they are.

use super::{Chains, Made, Origin};
use weir_job::{Recipe, Trouble};
use weir_plugin::{Chain, Columns};
use weir_types::{PartitionIndex, TopicId};

/// Runs no plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

impl Chains for Plain {
    fn run(
        &self,
        _: &Origin,
        _: &Chain,
        recipe: &Recipe,
        columns: Columns,
    ) -> Result<Made, Trouble> {
        match recipe.versions.first() {
            None => Ok(Made {
                rows: columns,
                ..Made::default()
            }),
            Some(plugin) => Err(Trouble::Lasting(format!("{plugin} cannot be run"))),
        }
    }

    fn partition(
        &self,
        _: TopicId,
        plugin: &str,
        _: &[Option<&[u8]>],
        _: u32,
    ) -> Result<Vec<PartitionIndex>, Trouble> {
        Err(Trouble::Lasting(format!("{plugin} cannot be run")))
    }
}
