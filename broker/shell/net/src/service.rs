//! What a server of this transport must offer: a [`Service`] that opens a [`Session`] for each
//! QUIC stream and each TCP connection.
//!
//! Only traits and plain values. Nothing here may know what a frame means.

use bytes::Bytes;
use std::{borrow::Cow, fmt, future::Future, net::SocketAddr, pin::Pin};
use weir_types::Principal;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// QUIC over UDP with mutual TLS; `quic://`.
    Quic,
    /// TCP with mutual TLS, for Kafka clients; `tls://`.
    Tls,
    /// Plain TCP, on loopback only; `plain://`.
    Plain,
}

impl Transport {
    /// The name that addresses begin with.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tls => "tls",
            Self::Plain => "plain",
        }
    }

    /// Whether it is carried by TCP.
    #[must_use]
    pub const fn is_tcp(self) -> bool {
        !matches!(self, Self::Quic)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())
    }
}

/// The index of a listener in the server's configuration; Metadata answers with the advertised
/// address of the listener that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// Who is at the other end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// From the client's certificate, or `local` on a plaintext listener.
    pub principal: Principal,
    /// The listener it came in by.
    pub listener: ListenerId,
    /// How it is connected.
    pub transport: Transport,
    /// Its address. On QUIC it can move; this is the one it had when the session was opened.
    pub remote: SocketAddr,
}

/// A session's wish to end its connection, with the reason that is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// One line for the log: what the peer did wrong.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// Ends the connection because of `reason`.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// The segments of an answer, its 4-byte size included; `None` where the request wants no answer
/// (Produce with `acks=0`).
pub type Answer = Option<Vec<Bytes>>;

/// The next answer to a request that is answered several times. It is polled only once the one
/// before it is written, so that a peer that reads slowly is asked for slowly.
pub type NextAnswer = Pin<Box<dyn Future<Output = Result<Answered, Close>> + Send>>;

/// What a request is answered, and whether more follows.
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// Where answers keep coming, the next one. They end, half-way if need be, as soon as the peer
    /// sends another request on the same stream or connection, finishes or breaks it, or the
    /// server stops: answers of a stream keep the order of its requests.
    pub next: Option<NextAnswer>,
}

impl Answered {
    /// One answer and no more.
    #[must_use]
    pub const fn once(answer: Answer) -> Self {
        Self { answer, next: None }
    }
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered")
            .field("answer", &self.answer)
            .field("next", &self.next.is_some())
            .finish()
    }
}

/// Opens sessions; shared by all listeners and threads.
pub trait Service: Send + Sync + 'static {
    /// What serves one QUIC stream or one TCP connection.
    type Session: Session;

    /// A peer whose certificate was accepted (or a local one) begins a session.
    fn open(&self, peer: Peer) -> Self::Session;
}

/// One QUIC stream or one TCP connection: requests in, answers out in the same order.
pub trait Session: Send + 'static {
    /// Waits until the service has room for what the frame brings. Nothing further is read from
    /// the peer meanwhile, so that the transport slows it down. Called before each
    /// [`Session::call`] with the same frame; may be dropped half-way when the server stops.
    fn admit(&mut self, frame: &Bytes) -> impl Future<Output = ()> + Send {
        let _ = frame;
        std::future::ready(())
    }

    /// Takes one request frame, without its size prefix.
    ///
    /// Called in the order of arrival; what must happen in that order must happen before the
    /// future is returned or be kept in order by the session. The futures run side by side and
    /// may complete in any order; answers are written in order. While a peer does not take its
    /// answers, futures are not polled; when its connection breaks, they are dropped.
    ///
    /// # Errors
    /// [`Close`] logs one line and ends the connection.
    fn call(
        &mut self,
        frame: Bytes,
    ) -> impl Future<Output = Result<Answered, Close>> + Send + 'static;
}
