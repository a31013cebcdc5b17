//! How a client is set up.
//!
//! Only values and their checks; nothing here connects.

use crate::{
    cluster::transport::Address,
    error::RequestError,
    limits::{CONNECT_TIMEOUT_MS, METADATA_MAX_AGE_MS, OPERATION_TIMEOUT_MS, REQUEST_TIMEOUT_MS},
};
use std::{sync::Arc, time::Duration};
use weir_net::{HostPort, Profile, TransportChoice};

/// What [`crate::Client::connect`] needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// `HOST:PORT` of some brokers; the others are found through them. Where it is empty, the
    /// profile's are used.
    pub bootstrap: Vec<String>,
    /// Who one is and whom to trust; nothing means plain TCP, which only loopback allows.
    pub profile: Option<Profile>,
    /// How to reach them: QUIC needs a profile, TCP is TLS with one and plain without.
    pub transport: TransportChoice,
    /// What the client calls itself in requests (Kafka's `client.id`).
    pub client_id: String,
    /// How long one attempt to reach a broker may take.
    pub connect_timeout: Duration,
    /// How long a broker may take to answer (Kafka's `request.timeout.ms`).
    pub request_timeout: Duration,
    /// How long an operation may go on trying (Kafka's `default.api.timeout.ms`).
    pub operation_timeout: Duration,
    /// After how long metadata is asked for again without a cause
    /// (Kafka's `metadata.max.age.ms`).
    pub metadata_max_age: Duration,
    /// Whether producing to or consuming from a topic that does not exist may make it, if the
    /// broker allows that too (Kafka's `allow.auto.create.topics`).
    pub allow_auto_create_topics: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            profile: None,
            transport: TransportChoice::Auto,
            client_id: String::from("weir"),
            connect_timeout: Duration::from_millis(CONNECT_TIMEOUT_MS),
            request_timeout: Duration::from_millis(REQUEST_TIMEOUT_MS),
            operation_timeout: Duration::from_millis(OPERATION_TIMEOUT_MS),
            metadata_max_age: Duration::from_millis(METADATA_MAX_AGE_MS),
            allow_auto_create_topics: true,
        }
    }
}

impl ClientConfig {
    /// The brokers to begin with, as `HOST:PORT`.
    pub fn new<S: Into<String>>(bootstrap: impl IntoIterator<Item = S>) -> Self {
        Self {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Everything from a profile.
    #[must_use]
    pub fn from_profile(profile: Profile) -> Self {
        Self::default().with_profile(profile)
    }

    /// As somebody.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// By this transport.
    #[must_use]
    pub const fn with_transport(mut self, transport: TransportChoice) -> Self {
        self.transport = transport;
        self
    }

    /// Under this name.
    #[must_use]
    pub fn with_client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Giving up on an operation after this long.
    #[must_use]
    pub const fn with_operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// Without making topics that do not exist.
    #[must_use]
    pub const fn without_auto_create(mut self) -> Self {
        self.allow_auto_create_topics = false;
        self
    }

    /// The addresses to begin with.
    pub(crate) fn seeds(&self) -> Result<Vec<Address>, RequestError> {
        let from_profile = self.profile.iter().flat_map(|profile| &profile.bootstrap);
        let texts: Vec<String> = if self.bootstrap.is_empty() {
            from_profile.map(ToString::to_string).collect()
        } else {
            self.bootstrap.clone()
        };
        if texts.is_empty() {
            return Err(RequestError::Config {
                reason: String::from("no broker is named: give a bootstrap address or a profile"),
            });
        }
        let split = texts.iter().flat_map(|text| text.split(','));
        split.map(|text| parse(text.trim())).collect()
    }
}

fn parse(text: &str) -> Result<Address, RequestError> {
    let parsed: Result<HostPort, _> = text.parse();
    match parsed {
        Ok(address) if address.port > 0 => Ok(Address {
            host: Arc::from(address.host),
            port: address.port,
        }),
        _ => Err(RequestError::Config {
            reason: format!("`{text}` is no address of a broker; write HOST:PORT"),
        }),
    }
}
