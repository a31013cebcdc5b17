//! The client: the door to producer, consumer and admin, which share its connections.

use crate::{
    admin::Admin,
    cluster::{shared::Shared, transport::Dial},
    config::ClientConfig,
    consumer::ConsumerBuilder,
    error::RequestError,
    group::GroupConsumerBuilder,
    producer::ProducerBuilder,
};
use std::{collections::BTreeSet, sync::Arc};
use weir_net::Transport;

/// A connection to a cluster; clones share it.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use weir_client::{Client, ClientConfig, Record};
///
/// let client = Client::connect(ClientConfig::new(["127.0.0.1:9092"])).await?;
/// let producer = client.producer().build()?;
/// let delivery = producer.send(Record::new("greetings", b"hello")).await?;
/// println!("written at offset {}", delivery.await?.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("client_id", &self.shared.config.client_id)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Reaches the first broker that answers. There is one attempt at each: a program that starts
    /// before its broker tries again while [`RequestError::can_retry`] says so.
    ///
    /// # Errors
    /// [`RequestError::Connect`] keeps apart why nothing was reached.
    pub async fn connect(config: ClientConfig) -> Result<Self, RequestError> {
        let dial = crate::net::dialer(&config)?;
        Self::connect_by(config, dial).await
    }

    pub(crate) async fn connect_by(
        config: ClientConfig,
        dial: Arc<dyn Dial>,
    ) -> Result<Self, RequestError> {
        let seeds = config.seeds()?;
        let shared = Shared::new(config, dial, seeds);
        shared.start().await?;
        Ok(Self { shared })
    }

    /// Begins a producer.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self)
    }

    /// Begins a consumer.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self)
    }

    /// Begins a consumer that shares topics with the other members of `group`.
    pub fn group(&self, group: &str) -> GroupConsumerBuilder {
        GroupConsumerBuilder::new(self, group)
    }

    /// Administers the cluster.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self)
    }

    /// What carries the connections that stand now, one entry a kind. With
    /// [`TransportChoice::Auto`](crate::TransportChoice::Auto) this tells what was chosen.
    #[must_use]
    pub fn transports(&self) -> BTreeSet<Transport> {
        self.shared.transports()
    }

    /// Ends every connection at once. Close producers first: what they hold is not flushed here.
    pub fn close(&self) {
        self.shared.close();
    }
}
