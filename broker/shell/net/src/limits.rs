//! Every limit and setting of the transport, with its unit in its name and the reason for its size.
//!
//! Only numbers: what happens at a limit is written where it is enforced.

use std::time::Duration;
use weir_types::limits::FRAME_BYTES_MAX;

/// How often a client says that it is alive over QUIC, in milliseconds. Only the client sends
/// them: from both sides they would cost twice as much and tell nothing more.
pub const KEEP_ALIVE_MS: u64 = 1_000;

/// After how long without a word a client holds its broker for dead over QUIC, in milliseconds.
pub const IDLE_MS: u64 = 3_000;

/// The longest silence a broker allows a client to ask for over QUIC, in milliseconds. The shorter
/// of both sides' times counts, so clients far away need more here as well.
pub const SERVER_IDLE_MS: u64 = 3_000;

/// After how long without a request a TCP connection is closed, in milliseconds. Kafka's
/// `connections.max.idle.ms`.
pub const TCP_IDLE_MS: u64 = 10 * 60 * 1_000;

/// How long a frame that has begun may stand still, in milliseconds, before its connection is
/// closed: room is set aside for the whole frame, so a peer that stalls holds up others.
pub const FRAME_STALL_MS: u64 = 30_000;

/// How long a peer may take for its handshake, in milliseconds.
pub const HANDSHAKE_MS: u64 = 10_000;

/// How long a shutdown waits for requests that were accepted, in milliseconds.
pub const SHUTDOWN_GRACE_MS: u64 = 10_000;

/// How long a closing TCP connection waits for its peer to take the last bytes, in milliseconds.
pub const TCP_LINGER_MS: u64 = 1_000;

/// A TCP connection that is silent for this long is asked whether it lives, in milliseconds, ...
pub const TCP_KEEP_ALIVE_MS: u64 = 60_000;
/// ... and then again each time after so many milliseconds, until the system gives it up.
pub const TCP_KEEP_ALIVE_AGAIN_MS: u64 = 10_000;

/// The most connections of all listeners together.
pub const CONNECTIONS_MAX: usize = 10_000;

/// The most connections from one address.
pub const CONNECTIONS_PER_IP_MAX: usize = 10_000;

/// The most handshakes that may be under way; further ones are turned away.
pub const HANDSHAKES_MAX: usize = 1_024;

/// With this many QUIC handshakes under way, a client must first show that its address is its own
/// (a Retry packet), so that forged addresses cost nothing but a datagram.
pub const HANDSHAKES_BEFORE_RETRY: usize = 64;

/// The most streams that one QUIC connection may have open.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;

/// The most requests of one session that are being worked on; the next is read when one is done.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 32;

/// The bytes of request frames that all sessions together may hold. Past it nobody reads on, and
/// the transport's own flow control slows the senders.
pub const REQUEST_BYTES_IN_FLIGHT_MAX: usize = 256 * 1024 * 1024;

/// The most bytes of answers that are gathered for one write.
pub const ANSWER_BYTES_GATHERED: usize = 1024 * 1024;

/// Segments up to this size are copied together before they are handed to QUIC: below it the
/// bookkeeping of a segment costs more than the copy.
pub const SEGMENT_BYTES_COPIED: usize = 2 * 1024;

/// The smallest and the largest read from a TCP connection, in bytes.
pub const READ_BYTES_MIN: usize = 4 * 1024;
/// See [`READ_BYTES_MIN`].
pub const READ_BYTES_MAX: usize = 256 * 1024;

/// The largest read between two frames, in bytes: what an idle TCP connection may keep.
pub const READ_BYTES_IDLE: usize = 16 * 1024;

/// The most segments handed to the system in one vectored write.
pub const SEGMENTS_PER_WRITE: usize = 64;

/// Asked of the system for each UDP socket, in bytes, each way. With the usual default thousands
/// of datagrams are lost in a busy second.
pub const UDP_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The largest UDP payload that is accepted: all that fits in a datagram.
pub const UDP_PAYLOAD_BYTES_MAX: u16 = 65_507;

/// Up to here the path's MTU is sought on a network, in bytes: jumbo frames.
pub const MTU_NETWORK_MAX: u16 = 8_952;

/// Up to here the path's MTU is sought on loopback, in bytes.
pub const MTU_LOOPBACK_MAX: u16 = 65_000;

/// What a QUIC stream may send ahead of its reader, in bytes.
pub const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// What a QUIC connection may send ahead of its readers, in bytes, once its certificate is known.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// What a QUIC connection may send before its certificate is known, in bytes.
pub const CONNECTION_WINDOW_BEFORE_AUTH_BYTES: u32 = 16 * 1024;

/// What a QUIC stranger may have waiting before its connection is looked at, in bytes: one first
/// flight with room to spare.
pub const INCOMING_BYTES: u64 = 64 * 1024;
/// The same for all strangers together.
pub const INCOMING_BYTES_TOTAL: u64 = 8 * 1024 * 1024;

/// What may lie unacknowledged on the sending side of a QUIC connection, in bytes.
pub const SEND_WINDOW_BYTES: u64 = 16 * 1024 * 1024;

/// How long a client waits for a connection, in milliseconds.
pub const CONNECT_MS: u64 = 10_000;

/// How long a client waits for QUIC alone before it tries TCP as well, in milliseconds.
pub const QUIC_ALONE_MS: u64 = 2_000;

/// How long a client waits for a TLS broker's word on its certificate, in milliseconds. Brokers
/// that are not ours may never say it; then the first request finds out.
pub const VERDICT_MS: u64 = 1_000;

/// Log lines about bad peers: this many of one reason at once ...
pub const COMPLAINTS_AT_ONCE: u32 = 10;
/// ... and then one each time this many milliseconds have passed.
pub const COMPLAINT_EVERY_MS: u64 = 1_000;

/// A server certificate is made anew when it is good for fewer days than this.
pub const CERTIFICATE_RENEW_DAYS: i64 = 30;
/// How long the CA is good, in days.
pub const CA_DAYS: i64 = 3_650;
/// How long a server certificate is good, in days.
pub const SERVER_DAYS: i64 = 730;
/// How long the admin profile made on first start is good, in days.
pub const ADMIN_DAYS: i64 = 3_650;
/// The largest certificate, key or profile file that is read, in bytes.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 256 * 1024;
/// The longest principal name, in bytes (X.520's bound on a common name).
pub const PRINCIPAL_NAME_BYTES_MAX: usize = 64;

/// The limits of a server that can be set; each default is the constant of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request frame, in bytes. Kafka's `socket.request.max.bytes`.
    pub frame_bytes_max: usize,
    /// See [`CONNECTIONS_MAX`]. Kafka's `max.connections`.
    pub connections_max: usize,
    /// See [`CONNECTIONS_PER_IP_MAX`]. Kafka's `max.connections.per.ip`.
    pub connections_per_ip_max: usize,
    /// See [`HANDSHAKES_MAX`].
    pub handshakes_max: usize,
    /// See [`HANDSHAKES_BEFORE_RETRY`].
    pub handshakes_before_retry: usize,
    /// See [`STREAMS_PER_CONNECTION_MAX`].
    pub streams_per_connection_max: u32,
    /// See [`REQUESTS_IN_FLIGHT_MAX`].
    pub requests_in_flight_max: usize,
    /// See [`REQUEST_BYTES_IN_FLIGHT_MAX`]. Kafka's `queued.max.request.bytes`. Never less than
    /// `frame_bytes_max`, or the largest frame could never be read.
    pub request_bytes_in_flight_max: usize,
    /// See [`TCP_IDLE_MS`].
    pub tcp_idle: Duration,
    /// See [`SERVER_IDLE_MS`].
    pub quic_idle: Duration,
    /// See [`FRAME_STALL_MS`].
    pub frame_stall: Duration,
    /// See [`HANDSHAKE_MS`].
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX,
            connections_max: CONNECTIONS_MAX,
            connections_per_ip_max: CONNECTIONS_PER_IP_MAX,
            handshakes_max: HANDSHAKES_MAX,
            handshakes_before_retry: HANDSHAKES_BEFORE_RETRY,
            streams_per_connection_max: STREAMS_PER_CONNECTION_MAX,
            requests_in_flight_max: REQUESTS_IN_FLIGHT_MAX,
            request_bytes_in_flight_max: REQUEST_BYTES_IN_FLIGHT_MAX,
            tcp_idle: Duration::from_millis(TCP_IDLE_MS),
            quic_idle: Duration::from_millis(SERVER_IDLE_MS),
            frame_stall: Duration::from_millis(FRAME_STALL_MS),
            handshake: Duration::from_millis(HANDSHAKE_MS),
        }
    }
}

const _: () = assert!(KEEP_ALIVE_MS * 2 < IDLE_MS && IDLE_MS <= SERVER_IDLE_MS);
const _: () = assert!(FRAME_BYTES_MAX <= REQUEST_BYTES_IN_FLIGHT_MAX);
const _: () = assert!(MTU_LOOPBACK_MAX < UDP_PAYLOAD_BYTES_MAX);
