//! QUIC listeners: a connection carries many sessions, one a bidirectional stream.
//!
//! A stranger's datagram costs as little as possible: no state before its address is proven once
//! handshakes pile up, no stream before its certificate is accepted.

use super::{
    Shared, places,
    tcp::{self},
};
use crate::{
    certs::{self, Certs},
    counters::{Gauge, Rejected, add},
    frame::Frames,
    io::{Inbound, Outbound},
    limits::CONNECTION_WINDOW_BYTES,
    quic::{self, CODE_NOBODY, CODE_SHUTDOWN},
    service::{ListenerId, Peer, Service, Transport},
    session,
    udp::SplittingSocket,
};
use quinn::{
    Connection, ConnectionError, Endpoint, Incoming, TokioRuntime, VarInt,
    crypto::rustls::QuicServerConfig,
};
use rustls::{CertificateError, pki_types::CertificateDer};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use weir_types::Principal;

/// Settings by where the peer is, and the handshakes under way.
struct Listening {
    id: ListenerId,
    loopback: Arc<quinn::ServerConfig>,
    network: Arc<quinn::ServerConfig>,
    handshakes: AtomicUsize,
}

/// One handshake under way.
struct Handshake(Arc<Listening>);

impl Handshake {
    fn begin(listening: &Arc<Listening>) -> Self {
        listening.handshakes.fetch_add(1, Ordering::Relaxed);
        Self(listening.clone())
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a bound socket.
pub(super) fn start<S: Service>(
    shared: &Arc<Shared<S>>,
    id: ListenerId,
    socket: UdpSocket,
    tls: &Arc<QuicServerConfig>,
    certs: &Certs,
) -> io::Result<Endpoint> {
    let keys = certs.transport_keys();
    let idle = shared.core.limits.quic_idle;
    let config = |loopback| quic::server(tls.clone(), keys, loopback, idle);
    let listening = Arc::new(Listening {
        id,
        loopback: Arc::new(config(true)),
        network: Arc::new(config(false)),
        handshakes: AtomicUsize::new(0),
    });
    let counters = shared.core.counters.clone();
    let on_garbage = move |remote: SocketAddr| {
        let detail = "a datagram came that is not QUIC";
        counters.reject(Rejected::Foreign, Transport::Quic, remote, &detail);
    };
    let worker = shared.worker().ok_or(io::ErrorKind::NotFound)?;
    let endpoint = {
        let _inside = worker.enter();
        let socket = SplittingSocket::new(socket, Box::new(on_garbage))?;
        Endpoint::new_with_abstract_socket(
            quic::server_endpoint(keys),
            Some(config(false)),
            socket,
            Arc::new(TokioRuntime),
        )?
    };
    let task = accept_all(shared.clone(), listening, endpoint.clone());
    worker.spawn(shared.tracker.track_future(task));
    Ok(endpoint)
}

async fn accept_all<S: Service>(
    shared: Arc<Shared<S>>,
    listening: Arc<Listening>,
    endpoint: Endpoint,
) {
    loop {
        let incoming = tokio::select! {
            biased;
            () = shared.core.stop.cancelled() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else {
            return;
        };
        admit(&shared, &listening, incoming);
    }
}

fn admit<S: Service>(shared: &Arc<Shared<S>>, listening: &Arc<Listening>, incoming: Incoming) {
    let limits = &shared.core.limits;
    let remote = incoming.remote_address();
    let under_way = listening.handshakes.load(Ordering::Relaxed);
    let reject = |incoming: Incoming, reason| {
        let detail = places::no_place(reason);
        let counters = &shared.core.counters;
        counters.reject(reason, Transport::Quic, remote, &detail);
        incoming.refuse();
    };
    if under_way >= limits.handshakes_max {
        return reject(incoming, Rejected::Handshakes);
    }
    if under_way >= limits.handshakes_before_retry && incoming.may_retry() {
        // Refused only where it may not be asked, which was just checked.
        let _ = incoming.retry();
        return;
    }
    let place = match shared.places.take(remote.ip()) {
        Ok(place) => place,
        Err(reason) => return reject(incoming, reason),
    };
    let Some(worker) = shared.worker() else {
        return;
    };
    let handshake = Handshake::begin(listening);
    let task = {
        let shared = shared.clone();
        async move {
            let _place = place;
            connection(shared, handshake, incoming, remote).await;
        }
    };
    worker.spawn(shared.tracker.track_future(task));
}

async fn connection<S: Service>(
    shared: Arc<Shared<S>>,
    handshake: Handshake,
    incoming: Incoming,
    remote: SocketAddr,
) {
    let listening = handshake.0.clone();
    let config = if quic::is_loopback(remote.ip()) {
        listening.loopback.clone()
    } else {
        listening.network.clone()
    };
    // Accepting here gives the connection's driver to this thread.
    let time = shared.core.limits.handshake;
    let connected = async { incoming.accept_with(config)?.await };
    let connected = tokio::select! {
        biased;
        () = shared.core.stop.cancelled() => return,
        connected = timeout(time, connected) => connected,
    };
    let counters = &shared.core.counters;
    let reject = |reason, detail: String| {
        counters.reject(reason, Transport::Quic, remote, &detail);
    };
    let connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            if let Some((reason, detail)) = why(&error) {
                reject(reason, detail);
            }
            return;
        }
        Err(_) => {
            let text = format!("no QUIC handshake within {} s", time.as_secs());
            return reject(Rejected::HandshakeTime, text);
        }
    };
    drop(handshake);
    match principal(&connection) {
        Ok(principal) => streams(&shared, listening.id, &connection, principal).await,
        Err(error) => {
            connection.close(CODE_NOBODY.into(), error.to_string().as_bytes());
            reject(Rejected::NoPrincipal, error.to_string());
        }
    }
}

fn principal(connection: &Connection) -> Result<Principal, certs::PrincipalError> {
    let identity = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let first = identity
        .as_ref()
        .and_then(|chain| chain.first())
        .map(AsRef::as_ref)
        .unwrap_or_default();
    certs::principal(first)
}

async fn streams<S: Service>(
    shared: &Arc<Shared<S>>,
    id: ListenerId,
    connection: &Connection,
    principal: Principal,
) {
    let limits = &shared.core.limits;
    let counts = shared.core.counters.transport(Transport::Quic);
    add(&counts.connections, 1);
    let _open = Gauge::up(&counts.connections_open);
    // The first stream that a client may open is also the word that it was accepted.
    connection.set_receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES));
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(limits.streams_per_connection_max));
    let sessions = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.core.stop.cancelled() => break,
            accepted = connection.accept_bi() => accepted,
        };
        let Ok((send, receive)) = accepted else {
            break;
        };
        let peer = Peer {
            principal: principal.clone(),
            listener: id,
            transport: Transport::Quic,
            remote: connection.remote_address(),
        };
        let shared = shared.clone();
        sessions.spawn(async move {
            let limits = &shared.core.limits;
            let frames = Frames::new(
                Inbound::Quic(receive),
                limits.frame_bytes_max,
                limits.frame_stall,
            );
            let opened = shared.service.open(peer.clone());
            let outbound = Outbound::Quic(send);
            session::run(&shared.core, &peer, opened, frames, outbound).await;
        });
    }
    sessions.close();
    sessions.wait().await;
    connection.close(CODE_SHUTDOWN.into(), b"the broker shuts down");
}

/// What a failed handshake says about the peer; `None` where it just went away.
fn why(error: &ConnectionError) -> Option<(Rejected, String)> {
    let text = match error {
        ConnectionError::TransportError(error) => {
            let alert = u64::from(error.code).checked_sub(0x100);
            let reason = match alert {
                Some(116) => Rejected::NoCertificate,
                Some(45) => tcp::certificate_reason(&CertificateError::Expired),
                Some(42 | 43 | 46 | 48) => Rejected::UntrustedCertificate,
                _ => Rejected::Handshake,
            };
            return Some((reason, tcp::words(reason, error)));
        }
        ConnectionError::ConnectionClosed(close) => {
            let alert = u64::from(close.error_code).checked_sub(0x100);
            match alert {
                Some(42 | 46 | 48) => {
                    "the peer does not trust this broker's certificate".to_owned()
                }
                _ => format!("the peer ended the handshake: {close}"),
            }
        }
        ConnectionError::VersionMismatch => "the peer speaks another version of QUIC".to_owned(),
        ConnectionError::TimedOut => return Some((Rejected::HandshakeTime, error.to_string())),
        _ => return None,
    };
    Some((Rejected::Handshake, text))
}
