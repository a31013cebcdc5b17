//! One broker: its connection, the channels on it by purpose, and the versions it speaks.
//!
//! A broker is only reached, never chosen, here; and nothing is retried.

use super::{
    channel::{Channel, Lost},
    shared::Shared,
    transport::{Address, Link, Pipe},
};
use crate::error::RequestError;
use bytes::Bytes;
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use weir_net::Transport;
use weir_types::ErrorCode;
use weir_wire::{
    ApiKey, Message, RequestBody, Text, Versions, decode_response, encode_request,
    messages::{ApiVersionsRequest, ApiVersionsResponse},
};

/// What a channel is for. Each has a channel of its own, so that a long poll or a lost packet in
/// one holds up no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Metadata and administration.
    Control,
    /// One of the lanes of one producer.
    Produce { producer: u64, lane: u16 },
    /// The fetch session of one consumer.
    Fetch { consumer: u64 },
    /// The membership of one group consumer: a join may wait for minutes.
    Group { consumer: u64 },
    /// The offsets of one group consumer.
    Offsets { consumer: u64 },
}

/// A broker and what is open to it.
pub(crate) struct Broker {
    address: Address,
    name: Arc<str>,
    shared: Weak<Shared>,
    open: Mutex<Open>,
    /// Held while connecting, so that callers wait for one attempt instead of making their own.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Open {
    link: Option<Arc<dyn Link>>,
    versions: Option<Arc<SpokenVersions>>,
    channels: HashMap<Purpose, Arc<Channel>>,
}

/// The versions a broker speaks, by API.
#[derive(Debug, Default)]
pub(crate) struct SpokenVersions {
    by_key: HashMap<i16, Versions>,
}

impl SpokenVersions {
    fn of(response: &ApiVersionsResponse) -> Self {
        let rows = response.api_keys.iter().map(|api| {
            let versions = Versions {
                min: api.min_version,
                max: api.max_version,
            };
            (api.api_key, versions)
        });
        Self {
            by_key: rows.collect(),
        }
    }

    /// Every API with its versions, in order of its number.
    pub(crate) fn rows(&self) -> Vec<(i16, Versions)> {
        let mut rows: Vec<_> = self.by_key.iter().map(|(key, v)| (*key, *v)).collect();
        rows.sort_unstable_by_key(|(key, _)| *key);
        rows
    }
}

impl Broker {
    pub(crate) fn new(address: Address, shared: Weak<Shared>) -> Self {
        Self {
            name: Arc::from(address.to_string()),
            address,
            shared,
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether a connection stands.
    pub(crate) fn is_connected(&self) -> bool {
        let open = self.lock();
        open.link.as_ref().is_some_and(|link| !link.is_closed())
    }

    /// What carries the connection, if one stands.
    pub(crate) fn transport(&self) -> Option<Transport> {
        let open = self.lock();
        let standing = open.link.as_ref().filter(|link| !link.is_closed());
        standing.map(|link| link.transport())
    }

    /// Closes everything.
    pub(crate) fn close(&self) {
        let open = std::mem::take(&mut *self.lock());
        open.channels.values().for_each(|channel| channel.close());
    }

    /// Forgets the channel of one purpose; it closes when its answers are in.
    pub(crate) fn drop_channel(&self, purpose: Purpose) {
        self.lock().channels.remove(&purpose);
    }

    /// A channel for `purpose`, opened now if there is none.
    pub(crate) async fn session(&self, purpose: Purpose) -> Result<Session, RequestError> {
        if let Some(session) = self.opened(purpose) {
            return Ok(session);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(session) = self.opened(purpose) {
            return Ok(session);
        }
        let shared = self.shared.upgrade().ok_or(RequestError::Closed)?;
        let opened = self.open_channel(purpose, &shared).await;
        if opened.is_err() {
            // The next attempt begins with the host's name.
            self.lock().link = None;
        }
        opened
    }

    /// A pipe of its own, beside a session that knows the versions, and what carries it.
    pub(crate) async fn pipe(&self) -> Result<(Pipe, Session, Transport), RequestError> {
        let session = self.session(Purpose::Control).await?;
        let link = self.lock().link.clone();
        // Another's attempt may have failed this moment.
        let link = link.ok_or_else(|| lost(&self.name, &Lost::from("the connection was lost")))?;
        Ok((link.open().await?, session, link.transport()))
    }

    fn opened(&self, purpose: Purpose) -> Option<Session> {
        let open = self.lock();
        let channel = open.channels.get(&purpose)?;
        let versions = open.versions.as_ref()?;
        if channel.is_closed() {
            return None;
        }
        Some(self.wrap(Arc::clone(channel), Arc::clone(versions)))
    }

    async fn open_channel(
        &self,
        purpose: Purpose,
        shared: &Arc<Shared>,
    ) -> Result<Session, RequestError> {
        let standing = self.lock().link.clone().filter(|link| !link.is_closed());
        let link = match standing {
            Some(link) => link,
            None => shared.dial.dial(&self.address).await?,
        };
        let channel = Arc::new(Channel::start(link.open().await?));
        // Without any channel left the broker may be another one by now.
        let known = {
            let open = self.lock();
            let is_standing = open.channels.values().any(|channel| !channel.is_closed());
            open.versions.clone().filter(|_| is_standing)
        };
        let versions = match known {
            Some(versions) => versions,
            None => Arc::new(self.ask_versions(&channel, shared).await?),
        };
        let mut open = self.lock();
        open.link = Some(link);
        open.versions = Some(Arc::clone(&versions));
        open.channels.retain(|_, channel| !channel.is_closed());
        open.channels.insert(purpose, Arc::clone(&channel));
        drop(open);
        Ok(self.wrap(channel, versions))
    }

    /// Asks in the newest version, and in an older one where the broker says so (KIP-511).
    async fn ask_versions(
        &self,
        channel: &Arc<Channel>,
        shared: &Shared,
    ) -> Result<SpokenVersions, RequestError> {
        let session = self.wrap(Arc::clone(channel), Arc::default());
        let request = ApiVersionsRequest {
            client_software_name: Text::from_static("weir"),
            client_software_version: Text::from_static(env!("CARGO_PKG_VERSION")),
        };
        let mut version = ApiVersionsRequest::VERSIONS.max;
        loop {
            let answer = session
                .submit_frame(version, &request, &shared.client_id)
                .await?;
            let answer = tokio::time::timeout(shared.config.connect_timeout, answer).await;
            let frame = match answer {
                Ok(Ok(frame)) => frame,
                Ok(Err(reason)) => return Err(lost(&self.name, &reason)),
                // A broker under load may be as silent as something else that listens there.
                Err(_) => {
                    return Err(RequestError::Timeout {
                        address: Arc::clone(&self.name),
                        api: ApiKey::ApiVersions.name(),
                        timeout_ms: u64::try_from(shared.config.connect_timeout.as_millis())
                            .unwrap_or(u64::MAX),
                    });
                }
            };
            let refused =
                frame.get(4..6) == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes());
            let body_version = if refused { 0 } else { version };
            let (_, response) = decode_response::<ApiVersionsRequest>(frame, body_version)
                .map_err(|error| self.not_a_broker(&error.to_string()))?;
            let spoken = SpokenVersions::of(&response);
            if !refused {
                return Ok(spoken);
            }
            let common = spoken.by_key.get(&ApiVersionsRequest::KEY).copied();
            let common =
                common.and_then(|theirs| ApiVersionsRequest::VERSIONS.newest_common(theirs));
            match common {
                Some(older) if older < version => version = older,
                _ if version > 0 => version = 0,
                _ => {
                    return Err(RequestError::Unsupported {
                        address: Arc::clone(&self.name),
                        api: ApiKey::ApiVersions.name(),
                    });
                }
            }
        }
    }

    fn not_a_broker(&self, reason: &str) -> RequestError {
        RequestError::NotABroker {
            address: Arc::clone(&self.name),
            reason: reason.to_owned(),
        }
    }

    fn wrap(&self, channel: Arc<Channel>, versions: Arc<SpokenVersions>) -> Session {
        Session {
            channel,
            versions,
            address: Arc::clone(&self.name),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel to a broker whose versions are known.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    channel: Arc<Channel>,
    pub(crate) versions: Arc<SpokenVersions>,
    address: Arc<str>,
}

impl Session {
    /// The newest version of an API that both speak and that is not above `cap`.
    pub(crate) fn version<B: RequestBody>(&self, cap: i16) -> Result<i16, RequestError> {
        let ours = Versions {
            max: B::VERSIONS.max.min(cap),
            ..B::VERSIONS
        };
        let theirs = self.versions.by_key.get(&B::KEY).copied();
        theirs
            .and_then(|theirs| ours.newest_common(theirs))
            .ok_or_else(|| RequestError::Unsupported {
                address: Arc::clone(&self.address),
                api: B::API.name(),
            })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call<B: RequestBody>(
        &self,
        version: i16,
        body: &B,
        client_id: &Text,
        timeout: Duration,
    ) -> Result<B::Response, RequestError> {
        self.submit(version, body, client_id, timeout).await?.await
    }

    /// Sends a request; the future it gives is the answer. Requests go out in the order in which
    /// these calls return.
    pub(crate) async fn submit<B: RequestBody>(
        &self,
        version: i16,
        body: &B,
        client_id: &Text,
        timeout: Duration,
    ) -> Result<impl Future<Output = Result<B::Response, RequestError>> + Send + use<B>, RequestError>
    {
        let answer = self.submit_frame(version, body, client_id).await?;
        let address = Arc::clone(&self.address);
        let channel = Arc::clone(&self.channel);
        Ok(async move {
            let api = B::API.name();
            let Ok(frame) = tokio::time::timeout(timeout, answer).await else {
                // Answers come in order, so whatever is behind this one is overdue too.
                channel.close();
                return Err(RequestError::Timeout {
                    address,
                    api,
                    timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
                });
            };
            let frame = frame.map_err(|reason| lost(&address, &reason))?;
            match decode_response::<B>(frame, version) {
                Ok((_, response)) => Ok(response),
                Err(error) => Err(RequestError::Decode {
                    address,
                    api,
                    reason: error.to_string(),
                }),
            }
        })
    }

    /// Sends a request that is not answered.
    pub(crate) async fn tell<B: RequestBody>(
        &self,
        version: i16,
        body: &B,
        client_id: &Text,
    ) -> Result<(), RequestError> {
        let segments = encode(self.channel.next_id(), version, body, client_id)?;
        let told = self.channel.tell(segments).await;
        told.map_err(|reason| lost(&self.address, &reason))
    }

    async fn submit_frame<B: RequestBody>(
        &self,
        version: i16,
        body: &B,
        client_id: &Text,
    ) -> Result<impl Future<Output = Result<Bytes, Lost>> + Send + use<B>, RequestError> {
        let id = self.channel.next_id();
        let segments = encode(id, version, body, client_id)?;
        let called = self.channel.call(id, segments).await;
        called.map_err(|reason| lost(&self.address, &reason))
    }
}

fn encode<B: RequestBody>(
    id: i32,
    version: i16,
    body: &B,
    client_id: &Text,
) -> Result<Vec<Bytes>, RequestError> {
    encode_request(id, Some(client_id), version, body).map_err(|error| RequestError::Encode {
        api: B::API.name(),
        reason: error.to_string(),
    })
}

fn lost(address: &Arc<str>, reason: &Lost) -> RequestError {
    RequestError::Lost {
        address: Arc::clone(address),
        reason: reason.to_string(),
    }
}
