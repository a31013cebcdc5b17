//! A channel to a broker: frames out, frames in, like one Kafka TCP connection.
//!
//! The two halves are independent; neither may wait for the other.

use super::error::ConnectError;
use super::lost;
use crate::{
    frame::{FrameError, Frames, TLS},
    io::{Inbound, Outbound},
    listen::HostPort,
    quic::CODE_DONE,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use thiserror::Error;

/// Why a channel can carry no more.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The connection is gone; the reason is the same for all its channels.
    #[error(transparent)]
    Connection(#[from] ConnectError),
    /// The broker sent what is no frame of this protocol.
    #[error("the answer of {address} cannot be read: {why}")]
    Frame {
        /// The broker.
        address: HostPort,
        /// What is wrong with it.
        why: String,
    },
}

impl ChannelError {
    /// Whether a new connection can help.
    #[must_use]
    pub const fn can_retry(&self) -> bool {
        match self {
            Self::Connection(error) => error.can_retry(),
            Self::Frame { .. } => false,
        }
    }
}

/// What both halves know of their connection.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) address: HostPort,
    pub(super) quic: Option<Arc<quinn::Connection>>,
}

/// Frames to and from a broker.
pub struct Channel {
    send: SendHalf,
    receive: RecvHalf,
}

/// The half that sends.
pub struct SendHalf {
    outbound: Outbound,
    link: Link,
}

/// The half that receives.
pub struct RecvHalf {
    frames: Frames,
    link: Link,
}

impl Channel {
    pub(super) fn new(
        inbound: Inbound,
        outbound: Outbound,
        link: Link,
        frame_bytes_max: usize,
        stall: Duration,
    ) -> Self {
        Self {
            send: SendHalf {
                outbound,
                link: link.clone(),
            },
            receive: RecvHalf {
                frames: Frames::new(inbound, frame_bytes_max, stall),
                link,
            },
        }
    }

    /// The two halves, to be used side by side.
    #[must_use]
    pub fn split(self) -> (SendHalf, RecvHalf) {
        (self.send, self.receive)
    }

    /// See [`SendHalf::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, segments: Vec<Bytes>) -> Result<(), ChannelError> {
        self.send.send(segments).await
    }

    /// See [`RecvHalf::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, ChannelError> {
        self.receive.recv().await
    }
}

impl SendHalf {
    /// Sends segments that together are whole frames, their 4-byte sizes included. Waits while the
    /// broker does not read; dropped half-way, it leaves the channel useless.
    ///
    /// # Errors
    /// [`ChannelError::Connection`] once the connection is lost.
    pub async fn send(&mut self, mut segments: Vec<Bytes>) -> Result<(), ChannelError> {
        match self.outbound.write(&mut segments).await {
            Ok(()) => Ok(()),
            Err(error) => Err(lost(&self.link, &error).into()),
        }
    }

    /// Says that nothing more will be sent; answers can still come.
    pub async fn finish(mut self) {
        self.outbound.finish().await;
    }
}

impl RecvHalf {
    /// Waits for the next frame and returns it without its size. `None`: the broker has finished
    /// and closed the channel. Dropped half-way, it loses nothing.
    ///
    /// # Errors
    /// [`ChannelError`] once the connection is lost or an answer cannot be read.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, ChannelError> {
        let read = async {
            match self.frames.size().await? {
                Some(size) => self.frames.body(size).await.map(Some),
                None => Ok(None),
            }
        };
        match read.await {
            Ok(frame) => Ok(frame),
            Err(FrameError::Broken(error)) => Err(lost(&self.link, &error).into()),
            Err(error @ (FrameError::Cut { .. } | FrameError::Stalled { .. })) => {
                Err(ConnectError::Lost {
                    address: self.link.address.clone(),
                    why: error.to_string(),
                }
                .into())
            }
            // Somebody who got here without TLS came without a profile.
            Err(FrameError::Foreign { what: TLS }) => Err(ConnectError::NoProfile {
                address: self.link.address.clone(),
            }
            .into()),
            Err(error) => Err(ChannelError::Frame {
                address: self.link.address.clone(),
                why: error.to_string(),
            }),
        }
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        self.frames.inbound().stop(CODE_DONE);
    }
}
