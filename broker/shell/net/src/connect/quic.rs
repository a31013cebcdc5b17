//! Connects over QUIC.
//!
//! A connection counts only once the broker has accepted our certificate, which it says by letting
//! us open a stream.

use super::{
    Connection, Connector, Established,
    channel::{Channel, Link},
    error::{self, ConnectError},
    lost_quic, nobody, timed_out,
};
use crate::{
    io::{Inbound, Outbound},
    listen::HostPort,
    quic::{client_endpoint, client_transport, is_loopback},
    service::Transport,
    udp::{self, SplittingSocket},
};
use quinn::{ClientConfig, ConnectionError, Endpoint, TokioRuntime};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};
use tokio::{net::UdpSocket, sync::Mutex};

/// One UDP socket for each family, made when first needed.
#[derive(Default)]
pub(super) struct Endpoints {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

impl Endpoints {
    fn toward(&mut self, remote: SocketAddr) -> io::Result<Endpoint> {
        let (slot, local) = match remote {
            SocketAddr::V4(_) => (&mut self.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&mut self.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        if let Some(endpoint) = slot {
            return Ok(endpoint.clone());
        }
        // What strangers send to a client's port is of no interest to anybody.
        let socket = SplittingSocket::new(udp::bind(local)?, Box::new(|_| {}))?;
        let config = client_endpoint().map_err(io::Error::other)?;
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new_with_abstract_socket(config, None, socket, runtime)?;
        Ok(slot.insert(endpoint).clone())
    }
}

pub(super) async fn connect(
    connector: &Connector,
    address: &HostPort,
    remote: SocketAddr,
) -> Result<Connection, ConnectError> {
    let inner = &connector.inner;
    let io = |source| ConnectError::Io {
        address: address.clone(),
        source,
    };
    let Some(identity) = &inner.identity else {
        return Err(ConnectError::NoProfile {
            address: address.clone(),
        });
    };
    let (tls, verdict) = identity
        .quic()
        .map_err(|why| ConnectError::Profile { why })?;
    let mut config = ClientConfig::new(tls);
    let loopback = is_loopback(remote.ip());
    config.transport_config(client_transport(loopback, inner.options.idle_timeout));
    let endpoint = inner.endpoints.lock().await.toward(remote).map_err(io)?;
    let connecting = endpoint
        .connect_with(config, remote, &address.host)
        .map_err(|error| io(io::Error::other(error)))?;
    let accepted = async {
        let connection = connecting.await?;
        let streams = connection.open_bi().await?;
        Ok::<_, ConnectionError>((connection, streams))
    };
    let connected = tokio::select! {
        biased;
        connected = accepted => connected,
        () = refused(remote) => return Err(nobody(address)),
    };
    let (connection, (send, receive)) = connected.map_err(|ended| {
        if let Some(why) = verdict.refused() {
            return error::server_refused(address, &why);
        }
        match &ended {
            ConnectionError::TimedOut => timed_out(address, inner.options.idle_timeout),
            ended => lost_quic(address, ended),
        }
    })?;
    let connection = Arc::new(connection);
    let first = channel_of(connector, address, &connection, send, receive);
    Ok(Connection {
        inner: Arc::new(Established {
            connector: connector.clone(),
            address: address.clone(),
            remote,
            transport: Transport::Quic,
            quic: Some(connection),
            first: Mutex::new(Some(first)),
        }),
    })
}

pub(super) async fn channel(
    connector: &Connector,
    address: &HostPort,
    connection: &Arc<quinn::Connection>,
) -> Result<Channel, ConnectError> {
    let opened = connection.open_bi().await;
    let (send, receive) = opened.map_err(|ended| lost_quic(address, &ended))?;
    Ok(channel_of(connector, address, connection, send, receive))
}

fn channel_of(
    connector: &Connector,
    address: &HostPort,
    connection: &Arc<quinn::Connection>,
    send: quinn::SendStream,
    receive: quinn::RecvStream,
) -> Channel {
    let link = Link {
        address: address.clone(),
        quic: Some(connection.clone()),
    };
    Channel::new(
        Inbound::Quic(receive),
        Outbound::Quic(send),
        link,
        connector.inner.options.frame_bytes_max,
        Connector::stall(),
    )
}

/// Ends when the remote machine says that nobody listens (ICMP), which a QUIC socket, not being
/// connected, is never told; otherwise never.
async fn refused(remote: SocketAddr) {
    let asked = async {
        let local = match remote {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(local).await?;
        socket.connect(remote).await?;
        // One byte, too short for any packet: a QUIC listener drops it without a word.
        socket.send(&[0x40]).await?;
        socket.recv(&mut [0; 1]).await
    };
    match asked.await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => std::future::pending().await,
    }
}
