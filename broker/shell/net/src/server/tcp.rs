//! TCP listeners: plaintext on loopback, TLS with a client certificate elsewhere.
//!
//! A connection is one session.

use super::{Shared, places};
use crate::{
    certs,
    counters::{Gauge, Rejected, add},
    frame::Frames,
    io::{Inbound, Outbound, drain_from, tune},
    limits::TCP_LINGER_MS,
    service::{ListenerId, Peer, Service, Transport},
    session,
};
use bytes::BytesMut;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsStream, server};
use weir_types::Principal;

/// How long to wait before the next attempt when the system can give no further connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A peer to turn away: why, and what the log says; `None`: it just went away.
type TurnedAway = Option<(Rejected, String)>;

/// Serves a bound socket.
pub(super) fn start<S: Service>(
    shared: &Arc<Shared<S>>,
    id: ListenerId,
    socket: std::net::TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> io::Result<()> {
    let worker = shared.worker().ok_or(io::ErrorKind::NotFound)?;
    let listener = {
        let _inside = worker.enter();
        TcpListener::from_std(socket)?
    };
    let shared = shared.clone();
    let task = accept_all(shared.clone(), id, listener, tls.map(TlsAcceptor::from));
    worker.spawn(shared.tracker.track_future(task));
    Ok(())
}

async fn accept_all<S: Service>(
    shared: Arc<Shared<S>>,
    id: ListenerId,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.core.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let handed_over = match accepted {
            // Out of this thread's runtime, for the thread whose turn it is.
            Ok((stream, remote)) => stream.into_std().map(|stream| (stream, remote)),
            Err(error) => {
                tracing::warn!(%error, "the system gives no further TCP connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (Ok((stream, remote)), Some(worker)) = (handed_over, shared.worker()) else {
            continue;
        };
        let task = connection(shared.clone(), id, stream, remote, tls.clone());
        worker.spawn(shared.tracker.track_future(task));
    }
}

async fn connection<S: Service>(
    shared: Arc<Shared<S>>,
    id: ListenerId,
    stream: std::net::TcpStream,
    remote: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    let transport = if tls.is_some() {
        Transport::Tls
    } else {
        Transport::Plain
    };
    let counters = &shared.core.counters;
    let _place = match shared.places.take(remote.ip()) {
        Ok(place) => place,
        Err(reason) => {
            counters.reject(reason, transport, remote, &places::no_place(reason));
            return;
        }
    };
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    tune(&stream);
    let (principal, inbound, outbound) = match tls {
        None => {
            let (read, write) = stream.into_split();
            let halves = (Inbound::Plain(read), Outbound::Plain(write));
            (shared.local.clone(), halves.0, halves.1)
        }
        Some(acceptor) => {
            let accepted = tokio::select! {
                biased;
                () = shared.core.stop.cancelled() => return,
                accepted = secure(&acceptor, stream, shared.core.limits.handshake) => accepted,
            };
            match accepted {
                Ok((principal, stream)) => {
                    let (read, write) = tokio::io::split(TlsStream::from(*stream));
                    (principal, Inbound::Tls(read), Outbound::Tls(write))
                }
                Err(turned_away) => {
                    if let Some((reason, detail)) = turned_away {
                        counters.reject(reason, transport, remote, &detail);
                    }
                    return;
                }
            }
        }
    };
    let counts = counters.transport(transport);
    add(&counts.connections, 1);
    let _open = Gauge::up(&counts.connections_open);
    let peer = Peer {
        principal,
        listener: id,
        transport,
        remote,
    };
    let frames = Frames::new(
        inbound,
        shared.core.limits.frame_bytes_max,
        shared.core.limits.frame_stall,
    );
    let opened = shared.service.open(peer.clone());
    session::run(&shared.core, &peer, opened, frames, outbound).await;
}

async fn secure(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    time: Duration,
) -> Result<(Principal, Box<server::TlsStream<TcpStream>>), TurnedAway> {
    let accepting = acceptor.accept(stream).into_fallible();
    let accepted = timeout(time, accepting).await.map_err(|_| {
        let text = format!("no TLS handshake within {} s", time.as_secs());
        Some((Rejected::HandshakeTime, text))
    })?;
    let stream = match accepted {
        Ok(stream) => stream,
        Err((error, stream)) => {
            // The alert has been written; let the peer read it before the socket is gone.
            linger(stream).await;
            return Err(why(&error));
        }
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let first = certificates.first().map(AsRef::as_ref).unwrap_or_default();
    match certs::principal(first) {
        Ok(principal) => Ok((principal, Box::new(stream))),
        Err(error) => Err(Some((Rejected::NoPrincipal, error.to_string()))),
    }
}

async fn linger(mut stream: TcpStream) {
    let all = async {
        // A peer that has gone needs no goodbye.
        let _ = stream.shutdown().await;
        drain_from(&mut stream, &mut BytesMut::new()).await;
    };
    let _ = timeout(Duration::from_millis(TCP_LINGER_MS), all).await;
}

fn why(error: &io::Error) -> TurnedAway {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>());
    let reason = match tls {
        Some(TlsError::NoCertificatesPresented) => Rejected::NoCertificate,
        Some(TlsError::InvalidCertificate(why)) => certificate_reason(why),
        Some(TlsError::AlertReceived(alert)) => {
            let text = match alert {
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown => {
                    "the peer does not trust this broker's certificate; it needs ca.pem"
                }
                _ => "the peer ended the handshake",
            };
            return Some((Rejected::Handshake, format!("{text} ({alert:?})")));
        }
        Some(TlsError::InvalidMessage(_)) => {
            let text = "what came is not TLS; a client needs security.protocol=SSL here";
            return Some((Rejected::Foreign, text.to_owned()));
        }
        Some(_) => Rejected::Handshake,
        // Whoever only looks whether the port is open needs no line in the log.
        None => return None,
    };
    Some((reason, words(reason, error)))
}

/// Why a client's certificate was refused.
pub(super) fn certificate_reason(why: &CertificateError) -> Rejected {
    match why {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Rejected::ExpiredCertificate,
        _ => Rejected::UntrustedCertificate,
    }
}

/// What the log says about a failed handshake.
pub(super) fn words(reason: Rejected, error: &dyn std::fmt::Display) -> String {
    match reason {
        Rejected::NoCertificate => {
            "it shows no certificate; issue one with `weir certs issue`".to_owned()
        }
        Rejected::UntrustedCertificate => {
            format!("its certificate was not issued by this broker's CA ({error})")
        }
        Rejected::ExpiredCertificate => {
            format!("its certificate's time is over or has not begun ({error})")
        }
        _ => format!("the handshake failed: {error}"),
    }
}
