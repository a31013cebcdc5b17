//! The UDP socket under QUIC: large buffers, and sends cut to what one system call can carry.
//!
//! Segmentation offload hands the kernel several datagrams as one buffer of at most 65,507 bytes.
//! quinn asks for ten datagrams whatever their size, and what is too large vanishes without an
//! error; so this socket splits such a buffer, which is what allows datagrams above 6,550 bytes.
//! It must never hand the kernel a longer one.

use crate::limits::{UDP_BUFFER_BYTES, UDP_PAYLOAD_BYTES_MAX};
use quinn::{
    AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Binds a UDP socket with buffers of [`UDP_BUFFER_BYTES`], and says so where the system gives
/// less.
///
/// # Errors
/// Those of the system.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // One family a socket, so that 0.0.0.0 and :: can be listened to side by side.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Refused or clamped requests show in the sizes read back below.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
    socket.bind(&address.into())?;
    warn_if_clamped(&socket);
    Ok(socket.into())
}

fn warn_if_clamped(socket: &Socket) {
    static SAID: std::sync::Once = std::sync::Once::new();
    // Linux answers with twice what it was asked for, to cover its own bookkeeping.
    let factor = if cfg!(target_os = "linux") { 2 } else { 1 };
    let sizes = (socket.recv_buffer_size(), socket.send_buffer_size());
    let (Ok(receive), Ok(send)) = sizes else {
        return;
    };
    let (receive, send) = (receive / factor, send / factor);
    if receive < UDP_BUFFER_BYTES || send < UDP_BUFFER_BYTES {
        SAID.call_once(|| {
            tracing::warn!(
                receive_bytes = receive,
                send_bytes = send,
                wanted_bytes = UDP_BUFFER_BYTES,
                "the system clamps the UDP buffers, so busy QUIC connections will lose datagrams; \
                 on Linux: sysctl -w net.core.rmem_max={UDP_BUFFER_BYTES} \
                 net.core.wmem_max={UDP_BUFFER_BYTES}"
            );
        });
    }
}

/// Told of each datagram that cannot be QUIC, with where it says it comes from.
pub(crate) type OnGarbage = Box<dyn Fn(SocketAddr) + Send + Sync>;

/// See the module's text.
pub(crate) struct SplittingSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    on_garbage: OnGarbage,
}

impl fmt::Debug for SplittingSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplittingSocket")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl SplittingSocket {
    /// Wraps a bound socket. Must be called inside a tokio runtime, which drives it from then on.
    pub(crate) fn new(socket: std::net::UdpSocket, on_garbage: OnGarbage) -> io::Result<Arc<Self>> {
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Self { inner, on_garbage }))
    }
}

impl AsyncUdpSocket for SplittingSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let whole = transmit.contents;
        let limit = usize::from(UDP_PAYLOAD_BYTES_MAX);
        let Some(segment) = transmit.segment_size.filter(|_| whole.len() > limit) else {
            return self.inner.try_send(transmit);
        };
        let piece_bytes = (limit / segment).max(1) * segment;
        for piece in whole.chunks(piece_bytes) {
            // Where a later piece finds no room the whole buffer is sent again; the peer drops
            // what it has already.
            self.inner.try_send(&Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn,
                contents: piece,
                segment_size: (piece.len() > segment).then_some(segment),
                src_ip: transmit.src_ip,
            })?;
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = &polled {
            for (buf, meta) in bufs.iter().zip(meta.iter()).take(*count) {
                if is_garbage(buf.get(..meta.len).unwrap_or_default()) {
                    (self.on_garbage)(meta.addr);
                }
            }
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        // quinn makes its buffers this many times as large as the largest datagram. That is the
        // largest there can be, and the kernel never joins datagrams beyond it.
        1
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Whether a datagram cannot be QUIC: the fixed bit is off (RFC 9000, 17.2) or a long header names
/// a version that is neither 1 nor one for negotiation.
fn is_garbage(datagram: &[u8]) -> bool {
    match datagram {
        [] => true,
        // A single byte is our own clients' way to ask whether anybody listens.
        [_] => false,
        [first, ..] if first & 0x40 == 0 => true,
        [first, a, b, c, d, ..] if first & 0x80 != 0 => {
            let version = u32::from_be_bytes([*a, *b, *c, *d]);
            version > 1 && version & 0x0f0f_0f0f != 0x0a0a_0a0a
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Writes down what it is given to send.
    #[derive(Debug, Default)]
    struct Written(Mutex<Vec<(usize, Option<usize>)>>);

    impl AsyncUdpSocket for Written {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            unreachable!("nothing waits for room here")
        }
        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            let sent = (transmit.contents.len(), transmit.segment_size);
            self.0.lock().unwrap().push(sent);
            Ok(())
        }
        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn sent(bytes: usize, segment_size: Option<usize>) -> Vec<(usize, Option<usize>)> {
        let written = Arc::new(Written::default());
        let socket = SplittingSocket {
            inner: written.clone(),
            on_garbage: Box::new(|_| {}),
        };
        socket
            .try_send(&Transmit {
                destination: SocketAddr::from(([127, 0, 0, 1], 1)),
                ecn: None,
                contents: &vec![0; bytes],
                segment_size,
                src_ip: None,
            })
            .unwrap();
        written.0.lock().unwrap().clone()
    }

    #[test]
    fn sends_are_cut_at_datagrams_and_to_what_the_kernel_takes() {
        assert_eq!(sent(1_200, None), [(1_200, None)]);
        assert_eq!(sent(14_520, Some(1_452)), [(14_520, Some(1_452))]);
        // Seven jumbo datagrams fit, the last of ten is short.
        let jumbo = sent(9 * 8_952 + 100, Some(8_952));
        assert_eq!(
            jumbo,
            [(62_664, Some(8_952)), (2 * 8_952 + 100, Some(8_952))]
        );
        let loopback = sent(2 * 65_000 + 7, Some(65_000));
        assert_eq!(loopback, [(65_000, None), (65_000, None), (7, None)]);
    }

    #[test]
    fn garbage_is_told_from_quic() {
        assert!(is_garbage(b""));
        assert!(is_garbage(b"\x16\x03\x01 hello"));
        assert!(is_garbage(b"GET / HTTP/1.1") == (b'G' & 0x40 == 0));
        assert!(!is_garbage(&[0xc3, 0, 0, 0, 1, 8]));
        assert!(!is_garbage(&[0xc3, 0x1a, 0x2a, 0x3a, 0x4a]));
        assert!(is_garbage(&[0xc3, 1, 2, 3, 4]));
        assert!(!is_garbage(&[0x40, 1, 2]));
    }
}
