//! Topics' own partitioners (`weir.partitioner`), run here: the component is fetched from the
//! broker, and every record that names no partition gets the one that the broker would choose.
//!
//! Which plugin a topic has, and in which version, is asked again now and then; it never changes
//! in the middle of a record.

use crate::{
    Client,
    admin::AttachPlace,
    cluster::shared::Shared,
    error::{AdminError, ProduceError},
    limits::PARTITIONER_ASKED_MS,
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use weir_plugin::{BytesColumn, World};
use weir_plugin_host::{Component, Host, HostConfig, Instance, NoLog};
use weir_types::ErrorCode;

/// How long an answer counts.
const ASKED_EVERY: Duration = Duration::from_millis(PARTITIONER_ASKED_MS);

/// The partitioners of topics.
#[derive(Default)]
pub(crate) struct Placing {
    host: Mutex<Option<Host>>,
    topics: Mutex<HashMap<Arc<str>, Topic>>,
}

struct Topic {
    asked: Instant,
    /// Somebody asks again at the moment.
    asking: bool,
    /// Nothing: the topic has no partitioner.
    placer: Option<Placer>,
}

struct Placer {
    /// The setting's text.
    link: String,
    digest: Bytes,
    instance: Instance,
}

impl Placing {
    /// Asks for a topic's partitioner, and fetches it where it is not the one that is here.
    pub(crate) async fn learn(
        &self,
        shared: &Arc<Shared>,
        topic: &Arc<str>,
    ) -> Result<(), ProduceError> {
        let failed = |error: AdminError| failure(topic, error.to_string());
        let client = Client {
            shared: Arc::clone(shared),
        };
        let admin = client.admin();
        let chain = match admin.attached(topic, AttachPlace::Partitioner).await {
            Ok(chain) => chain,
            // Kafka's brokers have no such setting.
            Err(AdminError::NotThere { .. } | AdminError::Missing { .. }) => Default::default(),
            Err(AdminError::Broker(error)) if error.code == ErrorCode::InvalidConfig => {
                Default::default()
            }
            Err(error) => return Err(failed(error)),
        };
        let Some(link) = chain.links.first() else {
            self.set(topic, None);
            return Ok(());
        };
        let text = link.to_string();
        let known = self.known(topic, &text);
        let (name, version) = (&link.plugin.name, link.plugin.version.as_deref());
        let got = admin
            .get_plugin(name, version, known)
            .await
            .map_err(failed)?;
        let Some(component) = got.component else {
            self.keep(topic);
            return Ok(());
        };
        let host = self.host().map_err(|reason| failure(topic, reason))?;
        let compiling = tokio::task::spawn_blocking(move || host.compile(&component));
        let component = compiling
            .await
            .map_err(|error| failure(topic, error.to_string()))?
            .map_err(|error| failure(topic, error.to_string()))?;
        let instance = instance(&component, &link.parameters);
        let instance = instance.map_err(|reason| failure(topic, reason))?;
        self.set(
            topic,
            Some(Placer {
                link: text,
                digest: got.digest,
                instance,
            }),
        );
        Ok(())
    }

    /// The partition that a topic's partitioner chooses; nothing where it has none.
    pub(crate) fn choose(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        partitions: u32,
    ) -> Option<Result<i32, ProduceError>> {
        let mut topics = self.topics();
        let placer = topics.get_mut(topic)?.placer.as_mut()?;
        let mut keys = BytesColumn::default();
        keys.push(key);
        keys.finish();
        let report = placer.instance.partition(&keys, partitions);
        let chosen = report
            .result
            .map_err(|failure| failure.message)
            .and_then(|chosen| {
                let chosen = chosen
                    .first()
                    .and_then(|chosen| i32::try_from(*chosen).ok());
                chosen.ok_or_else(|| "it chose no partition".to_owned())
            });
        Some(chosen.map_err(|reason| failure(&Arc::from(topic), reason)))
    }

    /// Whether it is time to ask again; only one is told so.
    pub(crate) fn is_due(&self, topic: &str) -> bool {
        let mut topics = self.topics();
        let Some(topic) = topics.get_mut(topic) else {
            return false;
        };
        let is_due = !topic.asking && topic.asked.elapsed() >= ASKED_EVERY;
        topic.asking |= is_due;
        is_due
    }

    /// What is here stays for now.
    pub(crate) fn keep(&self, topic: &str) {
        if let Some(topic) = self.topics().get_mut(topic) {
            topic.asked = Instant::now();
            topic.asking = false;
        }
    }

    fn set(&self, topic: &Arc<str>, placer: Option<Placer>) {
        let known = Topic {
            asked: Instant::now(),
            asking: false,
            placer,
        };
        self.topics().insert(Arc::clone(topic), known);
    }

    /// The digest of the component that is here, if it is for this setting.
    fn known(&self, topic: &str, link: &str) -> Option<Bytes> {
        let topics = self.topics();
        let placer = topics.get(topic)?.placer.as_ref()?;
        (placer.link == link).then(|| placer.digest.clone())
    }

    fn host(&self) -> Result<Host, String> {
        let mut kept = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = &*kept {
            return Ok(host.clone());
        }
        let host = Host::new(HostConfig::default()).map_err(|error| error.to_string())?;
        Ok(kept.insert(host).clone())
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Arc<str>, Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn instance(
    component: &Component,
    parameters: &std::collections::BTreeMap<String, String>,
) -> Result<Instance, String> {
    if component.world() != World::Partitioner {
        let name = &component.description().name;
        return Err(format!("plugin '{name}' is no partitioner"));
    }
    let configured = component.configure(parameters);
    let configured = configured.map_err(|error| error.to_string())?;
    Ok(configured.instance(Arc::new(NoLog)))
}

fn failure(topic: &Arc<str>, reason: String) -> ProduceError {
    ProduceError::Partitioner {
        topic: Arc::clone(topic),
        reason,
    }
}
