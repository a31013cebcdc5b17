//! The two halves of a byte stream, whatever carries it: QUIC, TLS over TCP or plain TCP.
//!
//! Only moves bytes. It must not look into them, and each read must be safe to drop half-way.

use crate::limits::{
    SEGMENT_BYTES_COPIED, SEGMENTS_PER_WRITE, TCP_KEEP_ALIVE_AGAIN_MS, TCP_KEEP_ALIVE_MS,
    TCP_LINGER_MS,
};
use bytes::{Buf, Bytes, BytesMut};
use quinn::{RecvStream, SendStream, VarInt};
use std::{
    io::{self, IoSlice},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use tokio_rustls::TlsStream;

/// Small frames leave at once, and dead peers are noticed. Where the system refuses, the connection
/// works all the same.
pub(crate) fn tune(socket: &TcpStream) {
    let socket = socket2::SockRef::from(socket);
    let keep_alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_millis(TCP_KEEP_ALIVE_MS))
        .with_interval(Duration::from_millis(TCP_KEEP_ALIVE_AGAIN_MS));
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keep_alive);
}

/// Where bytes come from.
pub(crate) enum Inbound {
    Quic(RecvStream),
    Tls(ReadHalf<TlsStream<TcpStream>>),
    Plain(OwnedReadHalf),
}

/// What one read brought.
pub(crate) enum Pulled {
    /// Bytes as QUIC holds them.
    Chunk(Bytes),
    /// So many bytes, appended to the buffer.
    Appended(usize),
    /// The peer has finished.
    End,
}

impl Inbound {
    /// Waits for bytes: a chunk of QUIC's, or up to the spare room of `buffer`, which is made at
    /// least `room` bytes. Nothing is lost if the future is dropped.
    pub(crate) async fn pull(&mut self, buffer: &mut BytesMut, room: usize) -> io::Result<Pulled> {
        let read = match self {
            Self::Quic(stream) => {
                let chunk = stream.read_chunk(usize::MAX, true).await?;
                return Ok(chunk.map_or(Pulled::End, |chunk| Pulled::Chunk(chunk.bytes)));
            }
            Self::Tls(stream) => read_into(stream, buffer, room).await,
            Self::Plain(stream) => read_into(stream, buffer, room).await,
        };
        match read {
            Ok(0) => Ok(Pulled::End),
            Ok(count) => Ok(Pulled::Appended(count)),
            // Peers that just drop their TLS connection are the rule; frames show a cut anyway.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Pulled::End),
            Err(error) => Err(error),
        }
    }

    /// Tells a QUIC peer that nothing more is read.
    pub(crate) fn stop(&mut self, code: u32) {
        if let Self::Quic(stream) = self {
            // An error means that it has ended already.
            let _ = stream.stop(VarInt::from_u32(code));
        }
    }

    /// Reads and forgets what still comes, for a short while: closing a TCP socket with unread
    /// bytes in it throws away what the peer has not taken yet.
    pub(crate) async fn drain(&mut self) {
        let all = async {
            let mut buffer = BytesMut::new();
            match self {
                Self::Quic(_) => {}
                Self::Tls(stream) => drain_from(stream, &mut buffer).await,
                Self::Plain(stream) => drain_from(stream, &mut buffer).await,
            }
        };
        // Both outcomes are fine: it is a courtesy.
        let _ = timeout(Duration::from_millis(TCP_LINGER_MS), all).await;
    }
}

async fn read_into(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    room: usize,
) -> io::Result<usize> {
    buffer.reserve(room);
    stream.read_buf(buffer).await
}

pub(crate) async fn drain_from(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) {
    while let Ok(1..) = read_into(stream, buffer, 4096).await {
        buffer.clear();
    }
}

/// Where bytes go.
pub(crate) enum Outbound {
    Quic(SendStream),
    Tls(WriteHalf<TlsStream<TcpStream>>),
    Plain(OwnedWriteHalf),
}

impl Outbound {
    /// Writes all segments, in order. Leaves `segments` empty, or useless after an error.
    pub(crate) async fn write(&mut self, segments: &mut Vec<Bytes>) -> io::Result<()> {
        match self {
            Self::Quic(stream) => {
                let mut gathered = gather(segments);
                stream.write_all_chunks(&mut gathered).await?;
            }
            Self::Tls(stream) => {
                write_vectored(stream, segments).await?;
                stream.flush().await?;
            }
            Self::Plain(stream) => write_vectored(stream, segments).await?,
        }
        segments.clear();
        Ok(())
    }

    /// Tells the peer that nothing more comes, and waits a short while for it to take what is
    /// under way.
    pub(crate) async fn finish(&mut self) {
        let linger = Duration::from_millis(TCP_LINGER_MS);
        // A peer that has gone cannot be told; there is nobody left who would want to know.
        match self {
            Self::Quic(stream) => {
                if stream.finish().is_ok() {
                    let _ = timeout(linger, stream.stopped()).await;
                }
            }
            Self::Tls(stream) => {
                let _ = timeout(linger, stream.shutdown()).await;
            }
            Self::Plain(stream) => {
                let _ = timeout(linger, stream.shutdown()).await;
            }
        }
    }

    /// Throws away what was not sent and tells the peer so.
    pub(crate) fn reset(&mut self, code: u32) {
        if let Self::Quic(stream) = self {
            // An error means that it has ended already.
            let _ = stream.reset(VarInt::from_u32(code));
        }
    }
}

/// Copies runs of small segments together; leaves large ones as they are.
fn gather(segments: &mut Vec<Bytes>) -> Vec<Bytes> {
    if segments.len() < 2 {
        return std::mem::take(segments);
    }
    let mut all = Vec::with_capacity(segments.len());
    let mut run = BytesMut::new();
    for segment in segments.drain(..) {
        if segment.len() <= SEGMENT_BYTES_COPIED {
            run.extend_from_slice(&segment);
        } else {
            if !run.is_empty() {
                all.push(run.split().freeze());
            }
            all.push(segment);
        }
    }
    if !run.is_empty() {
        all.push(run.freeze());
    }
    all
}

async fn write_vectored(
    stream: &mut (impl AsyncWrite + Unpin),
    segments: &mut [Bytes],
) -> io::Result<()> {
    let mut done = 0;
    loop {
        while segments.get(done).is_some_and(Bytes::is_empty) {
            done += 1;
        }
        let rest = segments.get_mut(done..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let mut written = {
            let mut slices = [IoSlice::new(&[]); SEGMENTS_PER_WRITE];
            for (slice, segment) in slices.iter_mut().zip(rest.iter()) {
                *slice = IoSlice::new(segment);
            }
            let count = rest.len().min(SEGMENTS_PER_WRITE);
            stream
                .write_vectored(slices.get(..count).unwrap_or_default())
                .await?
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        for segment in rest {
            let part = written.min(segment.len());
            segment.advance(part);
            written -= part;
            if written == 0 {
                break;
            }
        }
    }
}
