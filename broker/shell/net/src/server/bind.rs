//! Binds the sockets of all listeners before any of them serves, so that a start fails as a whole
//! and says which address is taken.
//!
//! Nothing here may serve.

use crate::{
    certs::CertsError,
    listen::{HostPort, Listener},
    udp,
};
use socket2::{Domain, Protocol, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket},
};
use thiserror::Error;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often a free pair of ports is looked for.
const PAIR_ATTEMPTS: usize = 32;

/// Why a server cannot start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Another program listens there.
    #[error(
        "{listener}: port {port}/{protocol} is taken by another program; listen elsewhere, as in \
         --listen {}:{}", host(listener), port.checked_add(1).unwrap_or(9092)
    )]
    Taken {
        /// The listener.
        listener: String,
        /// Its port.
        port: u16,
        /// `udp` or `tcp`.
        protocol: &'static str,
    },
    /// The host of a listener leads nowhere.
    #[error("{listener}: the name `{host}` cannot be resolved ({source}); check its spelling")]
    Name {
        /// The listener.
        listener: String,
        /// Its host.
        host: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The host of a listener is no address of this machine.
    #[error("{listener}: this machine has no such address ({source})")]
    NoAddress {
        /// The listener.
        listener: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The system refuses.
    #[error("{listener}: cannot listen: {source}")]
    Bind {
        /// The listener.
        listener: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The runtime refuses.
    #[error("{listener}: cannot serve: {source}")]
    Start {
        /// The listener.
        listener: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// No threads.
    #[error("cannot start a thread for connections: {source}")]
    Threads {
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The certificates.
    #[error(transparent)]
    Certs(#[from] CertsError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {why}")]
    Tls {
        /// What the library says.
        why: String,
    },
}

/// The host of a listener as it was written.
fn host(listener: &str) -> &str {
    let address = listener
        .split_once("://")
        .map_or(listener, |(_, rest)| rest);
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// A bound socket and its address.
pub(super) enum Socket {
    Udp(UdpSocket, SocketAddr),
    Tcp(TcpListener, SocketAddr),
}

impl Socket {
    pub(super) const fn local(&self) -> SocketAddr {
        match self {
            Self::Udp(_, local) | Self::Tcp(_, local) => *local,
        }
    }
}

/// Whether every listener could listen, asked before anything is made for it. Another program may
/// still be quicker.
///
/// # Errors
/// As those of [`serve`](super::serve) that come from the sockets.
pub fn check_listeners(listeners: &[Listener]) -> Result<(), ServeError> {
    bind_all(listeners).map(drop)
}

/// Binds every listener, in order.
pub(super) fn bind_all(listeners: &[Listener]) -> Result<Vec<Socket>, ServeError> {
    let mut sockets: Vec<Socket> = Vec::with_capacity(listeners.len());
    let mut index = 0;
    while let Some(listener) = listeners.get(index) {
        let partner = listeners
            .get(index + 1)
            .filter(|next| is_pair(listener, next));
        match partner {
            Some(partner) => {
                let (first, second) = bind_pair(listener, partner)?;
                sockets.extend([first, second]);
                index += 2;
            }
            None => {
                sockets.push(bind(listener, listener.spec.address.port)?);
                index += 1;
            }
        }
    }
    Ok(sockets)
}

/// UDP and TCP on one host, both with a port of the system's choice: they get the same.
fn is_pair(left: &Listener, right: &Listener) -> bool {
    let (left, right) = (&left.spec, &right.spec);
    left.address == right.address
        && left.address.port == 0
        && left.transport.is_tcp() != right.transport.is_tcp()
}

fn bind_pair(left: &Listener, right: &Listener) -> Result<(Socket, Socket), ServeError> {
    let mut attempts = 0;
    loop {
        let first = bind(left, 0)?;
        match bind(right, first.local().port()) {
            Ok(second) => return Ok((first, second)),
            Err(ServeError::Taken { .. }) if attempts < PAIR_ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
        }
    }
}

fn bind(listener: &Listener, port: u16) -> Result<Socket, ServeError> {
    let name = listener.spec.to_string();
    let tcp = listener.spec.transport.is_tcp();
    let address = resolve(&listener.spec.address, port).map_err(|source| ServeError::Name {
        listener: name.clone(),
        host: listener.spec.address.host.clone(),
        source,
    })?;
    let bound = if tcp {
        bind_tcp(address)
    } else {
        bind_udp(address)
    };
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::Taken {
            listener: name,
            port: address.port(),
            protocol: if tcp { "tcp" } else { "udp" },
        },
        io::ErrorKind::AddrNotAvailable => ServeError::NoAddress {
            listener: name,
            source,
        },
        _ => ServeError::Bind {
            listener: name,
            source,
        },
    })
}

/// The address to listen on; of several the first of IPv4, which every client tries.
fn resolve(address: &HostPort, port: u16) -> io::Result<SocketAddr> {
    let all: Vec<_> = (address.host.as_str(), port).to_socket_addrs()?.collect();
    all.iter()
        .find(|found| found.is_ipv4())
        .or_else(|| all.first())
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn bind_udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = udp::bind(address)?;
    let local = socket.local_addr()?;
    Ok(Socket::Udp(socket, local))
}

fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restarted broker must not wait for the old connections' last minute. On Windows the same
    // option would let two programs listen at once.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from(socket);
    let local = socket.local_addr()?;
    Ok(Socket::Tcp(socket, local))
}
