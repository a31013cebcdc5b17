//! A service for tests: it does what the first byte of a frame says, on real sockets of loopback.
#![allow(dead_code, reason = "each test file uses its part")]

use bytes::{BufMut, Bytes, BytesMut};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use weir_net::{
    Answered, Certs, Channel, Close, ConnectOptions, Connector, HostPort, Limits, Listener, Peer,
    Profile, ServerConfig, ServerHandle, Service, Session, Transport, TransportChoice,
    certificate_names, serve,
};
use weir_types::Role;

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Echo {
    /// A `w` frame takes one permit before it is answered.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) peers: Mutex<Vec<Peer>>,
}

pub(crate) struct EchoSession(Arc<Semaphore>);

impl Service for Echo {
    type Session = EchoSession;
    fn open(&self, peer: Peer) -> EchoSession {
        self.peers.lock().unwrap().push(peer);
        EchoSession(self.gate.clone())
    }
}

impl Session for EchoSession {
    fn call(
        &mut self,
        frame: Bytes,
    ) -> impl Future<Output = Result<Answered, Close>> + Send + 'static {
        let gate = self.0.clone();
        async move {
            match frame.first() {
                Some(b'0') => return Ok(Answered::once(None)),
                Some(b'k') => return Ok(followed(gate, frame, 0)),
                Some(b'x') => return Err(Close::new("it asked for it")),
                Some(b'w') => gate.acquire().await.unwrap().forget(),
                // Answered in the next turn of the runtime, behind those that came later.
                Some(b'l') => tokio::task::yield_now().await,
                _ => {}
            }
            Ok(Answered::once(Some(answer(frame))))
        }
    }
}

fn answer(frame: Bytes) -> Vec<Bytes> {
    let size = u32::try_from(frame.len()).unwrap().to_be_bytes();
    vec![Bytes::copy_from_slice(&size), frame]
}

/// A `k` frame comes back again and again, with a count, each time after taking one permit.
fn followed(gate: Arc<Semaphore>, frame: Bytes, count: u32) -> Answered {
    let mut told = BytesMut::from(&frame[..]);
    told.put_u32(count);
    let next = async move {
        gate.acquire().await.unwrap().forget();
        Ok(followed(gate, frame, count + 1))
    };
    Answered {
        answer: Some(answer(told.freeze())),
        next: Some(Box::pin(next)),
    }
}

pub(crate) struct World {
    pub(crate) data: TempDir,
    pub(crate) certs: Certs,
    pub(crate) echo: Arc<Echo>,
    pub(crate) server: ServerHandle,
}

/// All three transports on ports that the system chooses.
pub(crate) const ALL: [&str; 3] = [
    "quic://127.0.0.1:0",
    "tls://127.0.0.1:0",
    "plain://127.0.0.1:0",
];

pub(crate) fn start(listen: &[&str], limits: Limits) -> World {
    let data = tempfile::tempdir().unwrap();
    let listeners = Listener::parse_all(listen.iter().map(|text| (*text, None))).unwrap();
    let certs = Certs::open(data.path(), &certificate_names(&listeners), &any()).unwrap();
    start_with(data, certs, listeners, limits)
}

pub(crate) fn start_with(
    data: TempDir,
    certs: Certs,
    listeners: Vec<Listener>,
    limits: Limits,
) -> World {
    let echo = Arc::new(Echo {
        gate: Arc::new(Semaphore::new(0)),
        peers: Mutex::default(),
    });
    let mut config = ServerConfig::new(listeners);
    config.limits = limits;
    let server = serve(config, &certs, echo.clone()).unwrap();
    World {
        data,
        certs,
        echo,
        server,
    }
}

pub(crate) fn any() -> HostPort {
    "127.0.0.1:9092".parse().unwrap()
}

impl World {
    pub(crate) fn address(&self, transport: Transport) -> SocketAddr {
        let mut all = self.server.listeners().iter();
        all.find(|bound| bound.transport == transport)
            .unwrap()
            .local
    }

    pub(crate) fn profile(&self, name: &str, role: Role) -> Profile {
        self.certs.issue(name, role, 1, &[any()]).unwrap()
    }

    /// A connector that can only take this transport.
    pub(crate) fn connector(&self, transport: Transport) -> Connector {
        let profile = transport != Transport::Plain;
        let profile = profile.then(|| self.profile("alice", Role::Client));
        connector(profile, transport)
    }

    pub(crate) async fn channel(&self, transport: Transport) -> Channel {
        let port = self.address(transport).port();
        let connector = self.connector(transport);
        let connection = connector.connect("127.0.0.1", port).await.unwrap();
        assert_eq!(connection.transport(), transport);
        connection.channel().await.unwrap()
    }
}

pub(crate) fn connector(profile: Option<Profile>, transport: Transport) -> Connector {
    let mut options = ConnectOptions::new(profile);
    options.transport = match transport {
        Transport::Quic => TransportChoice::Quic,
        _ => TransportChoice::Tcp,
    };
    Connector::new(options).unwrap()
}

/// A whole frame: size and body.
pub(crate) fn frame(body: &[u8]) -> Vec<Bytes> {
    let mut bytes = BytesMut::new();
    bytes.put_u32(u32::try_from(body.len()).unwrap());
    bytes.extend_from_slice(body);
    vec![bytes.freeze()]
}

/// A frame that begins with `kind` and counts on from there.
pub(crate) fn body(kind: u8, bytes: usize) -> Vec<u8> {
    let counting = (1..bytes).map(|index| u8::try_from(index % 251).unwrap());
    std::iter::once(kind).chain(counting).collect()
}

/// Lets others run until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

/// What `future` gives, within a long time.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("in time")
}
