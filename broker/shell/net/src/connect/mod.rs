//! The client's way in: connects to a broker over QUIC or TCP and opens channels.
//!
//! Every failure is told apart, for the user must know what to do; nothing is ever sent in the
//! clear over a network.

mod channel;
mod error;
mod quic;
mod tcp;

pub use channel::{Channel, ChannelError, RecvHalf, SendHalf};
pub use error::{ClientRefusal, ConnectError};

use crate::{
    crypto::ClientIdentity,
    limits::{CONNECT_MS, FRAME_STALL_MS, IDLE_MS, QUIC_ALONE_MS},
    listen::HostPort,
    profile::Profile,
    quic::{CODE_BUSY, CODE_NOBODY, CODE_SHUTDOWN},
    service::Transport,
};
use channel::Link;
use quinn::ConnectionError;
use rustls::{
    AlertDescription,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{fmt, io, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::timeout};
use weir_types::limits::FRAME_BYTES_MAX;

/// Which transport a client takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportChoice {
    /// QUIC, and TCP where QUIC does not get through or there is no profile.
    #[default]
    Auto,
    /// QUIC only.
    Quic,
    /// TCP only: with TLS, on loopback also without.
    Tcp,
}

impl TransportChoice {
    /// The name as commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Quic => "quic",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for TransportChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A transport's name that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such transport; use auto, quic or tcp")]
pub struct UnknownTransport;

impl FromStr for TransportChoice {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        [Self::Auto, Self::Quic, Self::Tcp]
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or(UnknownTransport)
    }
}

/// Who a client is and whom it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// As a profile says.
    Profile(Box<Profile>),
    /// No TLS; only loopback is reached, as the principal `local`.
    Plaintext,
}

/// How a client connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Who it is.
    pub security: Security,
    /// Which way it takes.
    pub transport: TransportChoice,
    /// How long it waits for a connection, all ways and addresses together.
    pub connect_timeout: Duration,
    /// After how long a silence it holds a QUIC broker for dead. Brokers allow up to
    /// [`SERVER_IDLE_MS`](crate::limits::SERVER_IDLE_MS).
    pub idle_timeout: Duration,
    /// The largest answer it accepts, in bytes.
    pub frame_bytes_max: usize,
}

impl ConnectOptions {
    /// The defaults for a profile, or without one for plaintext on loopback.
    #[must_use]
    pub fn new(profile: Option<Profile>) -> Self {
        Self {
            security: profile.map_or(Security::Plaintext, |profile| {
                Security::Profile(Box::new(profile))
            }),
            transport: TransportChoice::Auto,
            connect_timeout: Duration::from_millis(CONNECT_MS),
            idle_timeout: Duration::from_millis(IDLE_MS),
            // Answers may be larger than requests: a fetch returns at least one whole batch from
            // each of many partitions.
            frame_bytes_max: 4 * FRAME_BYTES_MAX,
        }
    }
}

/// Opens connections. Cheap to clone; to be used within one tokio runtime.
#[derive(Clone)]
pub struct Connector {
    inner: Arc<Inner>,
}

struct Inner {
    options: ConnectOptions,
    identity: Option<ClientIdentity>,
    endpoints: Mutex<quic::Endpoints>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}

/// A connection to a broker. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Established>,
}

struct Established {
    connector: Connector,
    address: HostPort,
    remote: SocketAddr,
    transport: Transport,
    quic: Option<Arc<quinn::Connection>>,
    /// The channel that came with the connection: QUIC's first stream, TCP's only one.
    first: Mutex<Option<Channel>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.inner.address)
            .field("transport", &self.inner.transport)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Makes a connector; opens nothing yet.
    ///
    /// # Errors
    /// [`ConnectError::Profile`] where the profile's certificates cannot be used.
    pub fn new(options: ConnectOptions) -> Result<Self, ConnectError> {
        let identity = match &options.security {
            Security::Profile(profile) => Some(identity(profile)?),
            Security::Plaintext => None,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                identity,
                endpoints: Mutex::default(),
            }),
        })
    }

    /// How it connects.
    #[must_use]
    pub fn options(&self) -> &ConnectOptions {
        &self.inner.options
    }

    /// Connects to a broker.
    ///
    /// # Errors
    /// [`ConnectError`], which says what to do.
    pub async fn connect(&self, host: &str, port: u16) -> Result<Connection, ConnectError> {
        let address = HostPort {
            host: host.to_owned(),
            port,
        };
        let time = self.inner.options.connect_timeout;
        let connecting = async {
            let remotes = resolve(&address).await?;
            self.connect_by_choice(&address, &remotes).await
        };
        match timeout(time, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(timed_out(&address, time)),
        }
    }

    async fn connect_by_choice(
        &self,
        address: &HostPort,
        remotes: &[SocketAddr],
    ) -> Result<Connection, ConnectError> {
        let has_profile = self.inner.identity.is_some();
        match self.inner.options.transport {
            TransportChoice::Quic if !has_profile => Err(ConnectError::NoProfile {
                address: address.clone(),
            }),
            TransportChoice::Quic => self.connect_quic_or_say_why(address, remotes).await,
            TransportChoice::Auto if has_profile => {
                let alone = Duration::from_millis(QUIC_ALONE_MS);
                let alone = alone.min(self.inner.options.connect_timeout / 2);
                match self.connect_quic(address, remotes, alone).await {
                    Err(error) if error.is_about_the_way() => {
                        tracing::info!(%address, %error, "no QUIC; trying TCP");
                        self.connect_tcp(address, remotes).await
                    }
                    other => other,
                }
            }
            TransportChoice::Auto | TransportChoice::Tcp => {
                self.connect_tcp(address, remotes).await
            }
        }
    }

    async fn connect_quic(
        &self,
        address: &HostPort,
        remotes: &[SocketAddr],
        time: Duration,
    ) -> Result<Connection, ConnectError> {
        let share = time / u32::try_from(remotes.len()).unwrap_or(1).max(1);
        let mut last = None;
        for remote in remotes {
            let attempt = quic::connect(self, address, *remote);
            match timeout(share, attempt).await {
                Ok(Err(error)) if error.is_about_the_way() => last = Some(error),
                Ok(done) => return done,
                Err(_) => last = Some(timed_out(address, share)),
            }
        }
        Err(last.unwrap_or_else(|| nobody(address)))
    }

    /// QUIC only: where it does not get through, TCP tells whether UDP is to blame.
    async fn connect_quic_or_say_why(
        &self,
        address: &HostPort,
        remotes: &[SocketAddr],
    ) -> Result<Connection, ConnectError> {
        let time = self.inner.options.connect_timeout;
        let error = match self.connect_quic(address, remotes, time * 2 / 3).await {
            Err(error) if error.is_about_the_way() => error,
            other => return other,
        };
        for remote in remotes {
            match timeout(time / 6, tokio::net::TcpStream::connect(remote)).await {
                Ok(Ok(_)) => {
                    return Err(ConnectError::UdpBlocked {
                        address: address.clone(),
                    });
                }
                Ok(Err(refused)) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(nobody(address));
                }
                _ => {}
            }
        }
        Err(error)
    }

    async fn connect_tcp(
        &self,
        address: &HostPort,
        remotes: &[SocketAddr],
    ) -> Result<Connection, ConnectError> {
        let mut last = None;
        for remote in remotes {
            match tcp::connect(self, address, *remote).await {
                Err(error) if error.is_about_the_way() => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| nobody(address)))
    }

    fn stall() -> Duration {
        Duration::from_millis(FRAME_STALL_MS)
    }
}

impl Connection {
    /// What carries it.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.inner.transport
    }

    /// The broker as it was asked for.
    #[must_use]
    pub fn address(&self) -> &HostPort {
        &self.inner.address
    }

    /// The broker's address.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.inner.remote
    }

    /// Opens a channel: on QUIC a further stream, on TCP a further connection (the first channel
    /// takes the one that is there).
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn channel(&self) -> Result<Channel, ConnectError> {
        let Established {
            connector,
            address,
            remote,
            ..
        } = &*self.inner;
        if let Some(first) = self.inner.first.lock().await.take() {
            return Ok(first);
        }
        let time = connector.inner.options.connect_timeout;
        let opening = async {
            match &self.inner.quic {
                Some(connection) => quic::channel(connector, address, connection).await,
                None => {
                    let tls = self.inner.transport == Transport::Tls;
                    tcp::channel(connector, address, *remote, tls).await
                }
            }
        };
        match timeout(time, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(timed_out(address, time)),
        }
    }

    /// Waits until a QUIC connection has ended, and says why. A TCP connection shows its end only
    /// on its channels: for it, this waits for ever.
    pub async fn closed(&self) -> ConnectError {
        match &self.inner.quic {
            Some(connection) => lost_quic(&self.inner.address, &connection.closed().await),
            None => std::future::pending().await,
        }
    }

    /// Ends the connection and all its channels. On TCP, channels end when they are dropped.
    pub fn close(&self) {
        if let Some(connection) = &self.inner.quic {
            connection.close(crate::quic::CODE_DONE.into(), b"");
        }
    }
}

fn identity(profile: &Profile) -> Result<ClientIdentity, ConnectError> {
    let unusable = |why: String| ConnectError::Profile { why };
    let certificates = |pem: &str| {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(error.to_string()))
    };
    let key = PrivateKeyDer::from_pem_slice(profile.key.as_bytes())
        .map_err(|error| unusable(error.to_string()))?;
    ClientIdentity::new(
        &certificates(&profile.ca)?,
        certificates(&profile.certificate)?,
        key,
    )
    .map_err(unusable)
}

async fn resolve(address: &HostPort) -> Result<Vec<SocketAddr>, ConnectError> {
    let failed = |source| ConnectError::Name {
        address: address.clone(),
        source,
    };
    let found = tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(failed)?;
    let mut all: Vec<_> = found.collect();
    // IPv4 first: brokers listen there unless told otherwise.
    all.sort_by_key(SocketAddr::is_ipv6);
    all.dedup();
    if all.is_empty() {
        let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(failed(source));
    }
    Ok(all)
}

fn nobody(address: &HostPort) -> ConnectError {
    ConnectError::NobodyListens {
        address: address.clone(),
    }
}

fn timed_out(address: &HostPort, time: Duration) -> ConnectError {
    ConnectError::Timeout {
        address: address.clone(),
        seconds: time.as_secs().max(1),
    }
}

/// What the end of a channel means for the connection it is on.
fn lost(link: &Link, error: &io::Error) -> ConnectError {
    if let Some(ended) = link.quic.as_ref().and_then(|quic| quic.close_reason()) {
        return lost_quic(&link.address, &ended);
    }
    tcp::failed(&link.address, error).unwrap_or_else(|| ConnectError::Lost {
        address: link.address.clone(),
        why: error.to_string(),
    })
}

/// What the end of a QUIC connection means.
fn lost_quic(address: &HostPort, ended: &ConnectionError) -> ConnectError {
    let address = address.clone();
    let lost = |why: &str| ConnectError::Lost {
        address: address.clone(),
        why: why.to_owned(),
    };
    match ended {
        ConnectionError::ConnectionClosed(close) => {
            let code = u64::from(close.error_code);
            let alert = code
                .checked_sub(0x100)
                .and_then(|alert| u8::try_from(alert).ok())
                .map(AlertDescription::from);
            if let Some(why) = alert.and_then(error::client_refused) {
                return ConnectError::ClientRefused { address, why };
            }
            if alert == Some(AlertDescription::NoApplicationProtocol) {
                return ConnectError::NotTheProtocol {
                    address,
                    wanted: "QUIC",
                    why: "it does not speak `weir`".to_owned(),
                };
            }
            if close.error_code == quinn_proto::TransportErrorCode::CONNECTION_REFUSED {
                return ConnectError::Busy { address };
            }
            lost(&close.to_string())
        }
        ConnectionError::ApplicationClosed(close) => {
            let code = u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX);
            match code {
                CODE_NOBODY => ConnectError::ClientRefused {
                    address,
                    why: ClientRefusal::Nobody,
                },
                CODE_BUSY => ConnectError::Busy { address },
                CODE_SHUTDOWN => lost("the broker shut down"),
                _ => lost(&close.to_string()),
            }
        }
        ConnectionError::Reset => lost("the broker was restarted"),
        ConnectionError::TimedOut => lost("the broker has fallen silent"),
        ConnectionError::VersionMismatch => ConnectError::NotTheProtocol {
            address,
            wanted: "QUIC",
            why: "it speaks another version of QUIC".to_owned(),
        },
        other => lost(&other.to_string()),
    }
}
