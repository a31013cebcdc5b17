//! Attaching plugins to topics and detaching them: edits of the topic's settings, which alone say
//! what works where.
//!
//! The broker checks a setting before it takes it: the plugins exist and take their parameters.
//! Between reading a setting and writing it somebody else may write it; the later one counts.

use super::{Admin, AlterConfig, ConfigResource, missing};
use crate::error::AdminError;
use weir_plugin::{Chain, Link, Policy};

/// The setting that says which plugins a topic's records go through.
const INGEST: &str = "weir.ingest";
/// The setting that says what becomes of records that they fail on.
const POLICY: &str = "weir.ingest.policy";
/// The setting that says which plugins run beside them.
const SHADOW: &str = "weir.ingest.shadow";
/// The setting that says who chooses partitions.
const PARTITIONER: &str = "weir.partitioner";

/// Where on a topic a plugin is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachPlace {
    /// Records go through it before they are appended.
    Ingest,
    /// It runs beside, and differences are counted.
    Shadow,
    /// It chooses partitions.
    Partitioner,
}

impl AttachPlace {
    /// The topic setting that it is an edit of.
    #[must_use]
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Ingest => INGEST,
            Self::Shadow => SHADOW,
            Self::Partitioner => PARTITIONER,
        }
    }
}

/// What is attached to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// The plugin and its parameters.
    pub link: Link,
    /// Where.
    pub place: AttachPlace,
    /// What becomes of records that it fails on; nothing leaves it as it is.
    pub policy: Option<Policy>,
    /// Whether it comes before what is attached already; else it comes behind. One of the same
    /// name is replaced where it stands.
    pub first: bool,
}

/// A setting before and after an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The setting's name.
    pub setting: &'static str,
    /// Before.
    pub before: Chain,
    /// After.
    pub after: Chain,
}

impl Admin {
    /// What is attached at a place of a topic.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn attached(&self, topic: &str, place: AttachPlace) -> Result<Chain, AdminError> {
        let resource = ConfigResource::topic(topic);
        let name = [place.setting().to_owned()];
        let entries = self.describe_configs(&resource, Some(&name)).await?;
        let entry = entries
            .into_iter()
            .find(|entry| entry.name == place.setting());
        let entry = entry.ok_or_else(|| missing(format_args!("setting {}", place.setting())))?;
        let text = entry.value.unwrap_or_default();
        text.parse().map_err(|error| AdminError::Unreadable {
            what: format!("{} of topic '{topic}'", place.setting()),
            reason: format!("{error}"),
        })
    }

    /// Attaches a plugin to a topic.
    ///
    /// # Errors
    /// [`AdminError`], with the plugin's own words where it refuses a parameter.
    pub async fn attach(
        &self,
        topic: &str,
        attach: &Attach,
        validate_only: bool,
    ) -> Result<Edited, AdminError> {
        let before = self.attached(topic, attach.place).await?;
        let after = match attach.place {
            AttachPlace::Partitioner => Chain {
                links: vec![attach.link.clone()],
            },
            _ => with_link(&before, &attach.link, attach.first),
        };
        let mut changes = vec![AlterConfig::set(attach.place.setting(), after.to_string())];
        if let Some(policy) = &attach.policy {
            changes.push(AlterConfig::set(POLICY, policy.to_string()));
        }
        let resource = ConfigResource::topic(topic);
        self.incremental_alter_configs(&resource, &changes, validate_only)
            .await?;
        Ok(Edited {
            setting: attach.place.setting(),
            before,
            after,
        })
    }

    /// Detaches a plugin from a topic.
    ///
    /// # Errors
    /// [`AdminError::NotThere`] where it is not attached there, else as [`Self::attach`].
    pub async fn detach(
        &self,
        topic: &str,
        plugin: &str,
        place: AttachPlace,
        validate_only: bool,
    ) -> Result<Edited, AdminError> {
        let before = self.attached(topic, place).await?;
        let after = without_link(&before, plugin).ok_or_else(|| AdminError::NotThere {
            what: format!(
                "plugin '{plugin}' in {} of topic '{topic}'",
                place.setting()
            ),
        })?;
        let change = if after.is_empty() {
            AlterConfig::delete(place.setting())
        } else {
            AlterConfig::set(place.setting(), after.to_string())
        };
        let resource = ConfigResource::topic(topic);
        self.incremental_alter_configs(&resource, &[change], validate_only)
            .await?;
        Ok(Edited {
            setting: place.setting(),
            before,
            after,
        })
    }
}

/// The chain with the link: in the place of the one of that name, else at one of its ends.
#[must_use]
pub fn with_link(chain: &Chain, link: &Link, first: bool) -> Chain {
    let mut after = chain.clone();
    let same = |other: &&mut Link| other.plugin.name == link.plugin.name;
    match after.links.iter_mut().find(same) {
        Some(there) => *there = link.clone(),
        None if first => after.links.insert(0, link.clone()),
        None => after.links.push(link.clone()),
    }
    after
}

/// The chain without the links of that name; nothing where there is none.
#[must_use]
pub fn without_link(chain: &Chain, plugin: &str) -> Option<Chain> {
    let mut after = chain.clone();
    after.links.retain(|link| link.plugin.name != plugin);
    (after.links.len() < chain.links.len()).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(chain: &str, link: &str, first: bool) -> String {
        let chain: Chain = chain.parse().unwrap();
        let link: Chain = link.parse().unwrap();
        with_link(&chain, &link.links[0], first).to_string()
    }

    #[test]
    fn a_plugin_of_the_same_name_is_replaced_where_it_stands() {
        assert_eq!(edited("", "a@1.0.0(x=1)", false), r#"a@1.0.0(x="1")"#);
        assert_eq!(edited("a|b", "c", false), "a|b|c");
        assert_eq!(edited("a|b", "c", true), "c|a|b");
        assert_eq!(edited("a|b|c", "b@2.0.0", true), "a|b@2.0.0|c");
    }

    #[test]
    fn what_is_not_there_cannot_be_taken_out() {
        let chain: Chain = "a|b@1.0.0(x=1)|c".parse().unwrap();
        let after = without_link(&chain, "b").map(|chain| chain.to_string());
        assert_eq!(after.as_deref(), Some("a|c"));
        assert_eq!(without_link(&chain, "d"), None);
    }
}
