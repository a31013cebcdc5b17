//! Connects over TCP: with TLS where there is a profile, in the clear only on loopback.
//!
//! As over QUIC, a connection counts only once the broker has accepted our certificate.

use super::{
    Connection, Connector, Established,
    channel::{Channel, Link},
    error::{self, ConnectError},
    nobody,
};
use crate::{
    crypto::{ALPN_PROBE, ClientIdentity},
    io::{Inbound, Outbound, tune},
    limits::VERDICT_MS,
    listen::HostPort,
    quic::is_loopback,
    service::Transport,
};
use rustls::{Error as TlsError, ProtocolVersion, pki_types::ServerName};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};
use tokio_rustls::{TlsConnector, TlsStream, client};

pub(super) async fn connect(
    connector: &Connector,
    address: &HostPort,
    remote: SocketAddr,
) -> Result<Connection, ConnectError> {
    let loopback = is_loopback(remote.ip());
    let has_profile = connector.inner.identity.is_some();
    let (transport, first) = if has_profile {
        match channel(connector, address, remote, true).await {
            Ok(first) => (Transport::Tls, first),
            // On loopback a broker's TCP listener is plaintext unless it was told otherwise.
            Err(ConnectError::NotTheProtocol { .. }) if loopback => {
                let first = channel(connector, address, remote, false).await?;
                (Transport::Plain, first)
            }
            Err(error) => return Err(error),
        }
    } else {
        let first = channel(connector, address, remote, false).await?;
        (Transport::Plain, first)
    };
    Ok(Connection {
        inner: Arc::new(Established {
            connector: connector.clone(),
            address: address.clone(),
            remote,
            transport,
            quic: None,
            first: Mutex::new(Some(first)),
        }),
    })
}

/// A TCP connection of its own.
pub(super) async fn channel(
    connector: &Connector,
    address: &HostPort,
    remote: SocketAddr,
    tls: bool,
) -> Result<Channel, ConnectError> {
    if !tls && !is_loopback(remote.ip()) {
        return Err(ConnectError::PlainNotOnLoopback {
            address: address.clone(),
        });
    }
    let stream = TcpStream::connect(remote)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::ConnectionRefused => nobody(address),
            _ => ConnectError::Io {
                address: address.clone(),
                source,
            },
        })?;
    tune(&stream);
    let (inbound, outbound) = match (&connector.inner.identity, tls) {
        (Some(identity), true) => {
            let stream = secure(identity, address, stream, is_loopback(remote.ip())).await?;
            let (read, write) = tokio::io::split(TlsStream::from(stream));
            (Inbound::Tls(read), Outbound::Tls(write))
        }
        _ => {
            let (read, write) = stream.into_split();
            (Inbound::Plain(read), Outbound::Plain(write))
        }
    };
    let link = Link {
        address: address.clone(),
        quic: None,
    };
    let bytes_max = connector.inner.options.frame_bytes_max;
    Ok(Channel::new(
        inbound,
        outbound,
        link,
        bytes_max,
        Connector::stall(),
    ))
}

async fn secure(
    identity: &ClientIdentity,
    address: &HostPort,
    stream: TcpStream,
    loopback: bool,
) -> Result<client::TlsStream<TcpStream>, ConnectError> {
    let (mut config, verdict) = identity
        .tls(false)
        .map_err(|why| ConnectError::Profile { why })?;
    if loopback {
        // A broker that speaks no TLS there need not complain: this client goes on without.
        config.alpn_protocols = vec![ALPN_PROBE.to_vec()];
    }
    let name = ServerName::try_from(address.host.clone()).map_err(|error| ConnectError::Name {
        address: address.clone(),
        source: io::Error::other(error),
    })?;
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    let explain = |error: io::Error| {
        if let Some(why) = verdict.refused() {
            return error::server_refused(address, &why);
        }
        failed(address, &error).unwrap_or_else(|| not_tls(address, &error))
    };
    let mut stream = connected.map_err(explain)?;
    if stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
        let time = Duration::from_millis(VERDICT_MS);
        // No word in time: a broker that is not ours. The first request will tell.
        if let Ok(Err(error)) = timeout(time, wait_for_verdict(&mut stream)).await {
            return Err(explain(error));
        }
    }
    Ok(stream)
}

/// With TLS 1.3 the client is done before the broker has seen its certificate. The session ticket
/// that follows, or an alert in its place, is the broker's word on it.
async fn wait_for_verdict(stream: &mut client::TlsStream<TcpStream>) -> io::Result<()> {
    loop {
        let (tcp, tls) = stream.get_mut();
        if tls.tls13_tickets_received() > 0 {
            return Ok(());
        }
        tcp.readable().await?;
        match tls.read_tls(&mut Ready(tcp)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                tls.process_new_packets().map_err(io::Error::other)?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads what is there and never waits.
struct Ready<'a>(&'a TcpStream);

impl io::Read for Ready<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

fn not_tls(address: &HostPort, error: &io::Error) -> ConnectError {
    ConnectError::NotTheProtocol {
        address: address.clone(),
        wanted: "TLS",
        why: error.to_string(),
    }
}

/// What TLS says about the end of a connection; `None`: nothing.
pub(super) fn failed(address: &HostPort, error: &io::Error) -> Option<ConnectError> {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>())?;
    match tls {
        TlsError::InvalidCertificate(why) => Some(error::server_refused(address, why)),
        TlsError::AlertReceived(alert) => {
            error::client_refused(*alert).map(|why| ConnectError::ClientRefused {
                address: address.clone(),
                why,
            })
        }
        _ => None,
    }
}
