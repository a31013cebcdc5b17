//! How records of plugins, views and jobs change an image, and the records that state them.

use super::{Image, Topic};
use crate::{
    plugins::{Job, Plugin, PluginVersion, View},
    record::MetaRecord,
};
use alloc::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    vec::Vec,
};

impl Image {
    /// Applies a record of plugins, views or jobs.
    pub(super) fn apply_plugins(&mut self, record: &MetaRecord) {
        match record {
            MetaRecord::Plugin {
                name,
                version,
                digest,
                world,
                size_bytes,
                deployed_at,
            } => {
                let plugin = self.plugins.entry(name.clone()).or_insert_with(|| {
                    Arc::new(Plugin {
                        name: name.clone(),
                        world: *world,
                        versions: BTreeMap::new(),
                        active: None,
                        previous: None,
                    })
                });
                let state = PluginVersion {
                    digest: *digest,
                    size_bytes: *size_bytes,
                    deployed_at: *deployed_at,
                };
                let versions = &mut Arc::make_mut(plugin).versions;
                versions.insert(version.clone(), state);
            }
            MetaRecord::PluginActive { name, version } => self.apply_active(name, version),
            MetaRecord::PluginRemoved { name, version } => self.apply_removed(name, version),
            MetaRecord::View { .. } => self.apply_view(record),
            MetaRecord::Job {
                name,
                from,
                to,
                chain,
                policy,
                paused,
                generation,
                created_at,
            } => {
                let job = Job {
                    name: name.clone(),
                    from: from.clone(),
                    to: to.clone(),
                    chain: chain.clone(),
                    policy: policy.clone(),
                    paused: *paused,
                    generation: *generation,
                    created_at: *created_at,
                };
                self.jobs.insert(name.clone(), Arc::new(job));
            }
            MetaRecord::JobDeleted { name } => {
                self.jobs.remove(name);
            }
            other => unreachable!("applied elsewhere: {other:?}"),
        }
    }

    fn apply_active(&mut self, name: &Arc<str>, version: &Arc<str>) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        if !plugin.versions.contains_key(version) || plugin.active.as_ref() == Some(version) {
            return;
        }
        let plugin = Arc::make_mut(plugin);
        plugin.previous = plugin.active.replace(version.clone());
    }

    fn apply_removed(&mut self, name: &Arc<str>, version: &Arc<str>) {
        let Entry::Occupied(mut entry) = self.plugins.entry(name.clone()) else {
            return;
        };
        let plugin = Arc::make_mut(entry.get_mut());
        plugin.versions.remove(version);
        plugin.previous.take_if(|previous| previous == version);
        if plugin.active.as_ref() == Some(version) {
            plugin.active = None;
            plugin.previous = None;
        }
        if plugin.versions.is_empty() {
            entry.remove();
        }
    }

    fn apply_view(&mut self, record: &MetaRecord) {
        let MetaRecord::View {
            id,
            name,
            source,
            chain,
            policy,
            created_at,
        } = record
        else {
            return;
        };
        let view = View {
            source: *source,
            chain: chain.clone(),
            policy: policy.clone(),
        };
        if let Some(known) = self.topics.get_mut(id) {
            // Where it reads does not change, and a topic becomes no view.
            if known.log() == *source && known.view.is_some() {
                Arc::make_mut(known).view = Some(view);
            }
            return;
        }
        let Some(log) = self.topics.get(source).filter(|t| t.view.is_none()) else {
            return;
        };
        let topic = Topic {
            id: *id,
            name: name.clone(),
            created_at: *created_at,
            partitions: log.partitions.clone(),
            overrides: BTreeMap::new(),
            view: Some(view),
        };
        self.topics.insert(*id, Arc::new(topic));
        self.views.insert((*source, *id));
        if let Some(old) = self.names.insert(name.clone(), *id) {
            self.drop_topic(old);
        }
    }

    /// Checks a topic that may be a view.
    pub(super) fn check_view(&self, topic: &Topic) {
        let Some(view) = &topic.view else {
            return;
        };
        let source = self.topics.get(&view.source);
        let source = source.expect("I-META-6: a view has its source");
        assert!(
            source.view.is_none() && source.partitions == topic.partitions,
            "I-META-6: a view has the partitions of a topic that is none"
        );
        assert!(
            self.views.contains(&(view.source, topic.id)),
            "I-META-6: a source knows its views"
        );
    }

    /// Checks plugins and the index of views.
    pub(super) fn check_plugins(&self) {
        let views = self.topics.values().filter(|topic| topic.view.is_some());
        assert_eq!(
            views.count(),
            self.views.len(),
            "I-META-6: a source knows its views and no others"
        );
        for (name, plugin) in &self.plugins {
            assert!(
                *name == plugin.name && !plugin.versions.is_empty(),
                "I-META-7: a plugin has a version"
            );
            assert!(
                plugin.active.is_some() || plugin.previous.is_none(),
                "I-META-7: what was active made way for what is"
            );
            for version in plugin.active.iter().chain(&plugin.previous) {
                assert!(
                    plugin.versions.contains_key(version),
                    "I-META-7: what is or was active is deployed"
                );
            }
        }
    }
}

/// The record that states a view.
pub(crate) fn view_record(topic: &Topic, view: &View) -> MetaRecord {
    MetaRecord::View {
        id: topic.id,
        name: topic.name.clone(),
        source: view.source,
        chain: view.chain.clone(),
        policy: view.policy.clone(),
        created_at: topic.created_at,
    }
}

/// The record that states a job.
pub(crate) fn job_record(job: &Job) -> MetaRecord {
    MetaRecord::Job {
        name: job.name.clone(),
        from: job.from.clone(),
        to: job.to.clone(),
        chain: job.chain.clone(),
        policy: job.policy.clone(),
        paused: job.paused,
        generation: job.generation,
        created_at: job.created_at,
    }
}

/// The records that state a plugin.
pub(super) fn plugin_records(plugin: &Plugin, records: &mut Vec<MetaRecord>) {
    for (version, state) in &plugin.versions {
        records.push(MetaRecord::Plugin {
            name: plugin.name.clone(),
            version: version.clone(),
            digest: state.digest,
            world: plugin.world,
            size_bytes: state.size_bytes,
            deployed_at: state.deployed_at,
        });
    }
    for version in plugin.previous.iter().chain(&plugin.active) {
        records.push(MetaRecord::PluginActive {
            name: plugin.name.clone(),
            version: version.clone(),
        });
    }
}
