//! The seam between the client and the network: whatever carries frames to a broker and back.
//! `weir-net` stands behind it in programs, queues in memory in tests.
//!
//! Only traits; nothing here may know what a frame means.

use crate::error::RequestError;
use bytes::Bytes;
use std::{fmt, future::Future, io, pin::Pin, sync::Arc};
use weir_net::Transport;

/// A boxed future; one a connection or a frame, never one a record.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Makes connections.
pub(crate) trait Dial: Send + Sync + 'static {
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Arc<dyn Link>, RequestError>>;
}

/// A connection to one broker, on which channels are opened.
pub(crate) trait Link: Send + Sync + 'static {
    /// A channel of its own: a QUIC stream or a TCP connection.
    fn open(&self) -> BoxFuture<'_, Result<Pipe, RequestError>>;

    /// What carries it.
    fn transport(&self) -> Transport;

    /// Whether nothing can be opened on it any more.
    fn is_closed(&self) -> bool;
}

/// Both directions of a channel.
pub(crate) struct Pipe {
    pub(crate) sink: Box<dyn FrameSink>,
    pub(crate) source: Box<dyn FrameSource>,
}

/// Requests go in here.
pub(crate) trait FrameSink: Send + 'static {
    /// Sends one frame; its size is in the first segment.
    fn send(&mut self, segments: Vec<Bytes>) -> BoxFuture<'_, io::Result<()>>;
}

/// Answers come out here.
pub(crate) trait FrameSource: Send + 'static {
    /// The next frame without its size; nothing where the broker has ended the channel.
    fn receive(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>>;
}
