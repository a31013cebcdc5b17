//! QUIC's settings (design decision D16 and the measurements behind it).
//!
//! Datagrams of the application are off on both sides, only the client sends keep-alives, and a
//! stranger gets no stream and next to no window before its certificate was accepted.

use crate::{
    certs::TransportKeys,
    crypto,
    limits::{
        CONNECTION_WINDOW_BEFORE_AUTH_BYTES, CONNECTION_WINDOW_BYTES, HANDSHAKES_MAX,
        INCOMING_BYTES, INCOMING_BYTES_TOTAL, KEEP_ALIVE_MS, MTU_LOOPBACK_MAX, MTU_NETWORK_MAX,
        SEND_WINDOW_BYTES, STREAM_WINDOW_BYTES, UDP_PAYLOAD_BYTES_MAX,
    },
};
use quinn::{
    EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt,
    crypto::rustls::QuicServerConfig,
};
use quinn_proto::HashedConnectionIdGenerator;
use std::{net::IpAddr, sync::Arc, time::Duration};

/// A connection ended as it should.
pub(crate) const CODE_DONE: u32 = 0;
/// The broker goes down.
pub(crate) const CODE_SHUTDOWN: u32 = 1;
/// The peer broke the protocol, or a limit of its own.
pub(crate) const CODE_MISUSE: u32 = 2;
/// A limit of the broker was reached.
pub(crate) const CODE_BUSY: u32 = 3;
/// The certificate is good, but names no principal.
pub(crate) const CODE_NOBODY: u32 = 4;

/// The settings of an endpoint that both sides share.
fn endpoint(reset: Arc<dyn quinn_proto::crypto::HmacKey>) -> EndpointConfig {
    let mut config = EndpointConfig::new(reset);
    // Out of range is impossible for this constant; the default would only be slower.
    let _ = config.max_udp_payload_size(UDP_PAYLOAD_BYTES_MAX);
    // With it, any first byte could be QUIC, and garbage could not be told.
    config.grease_quic_bit(false);
    config
}

/// A broker's endpoint: its kept keys let it reset what an earlier process left behind.
pub(crate) fn server_endpoint(keys: &TransportKeys) -> EndpointConfig {
    let mut config = endpoint(crypto::reset_key(&keys.reset));
    let id = keys.connection_id;
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id)));
    config
}

/// A client's endpoint.
pub(crate) fn client_endpoint() -> Result<EndpointConfig, String> {
    let mut key = [0; 64];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| "the system gives no randomness".to_owned())?;
    Ok(endpoint(crypto::reset_key(&key)))
}

/// A broker's settings for peers on loopback or on a network.
pub(crate) fn server(
    tls: Arc<QuicServerConfig>,
    keys: &TransportKeys,
    loopback: bool,
    idle: Duration,
) -> quinn::ServerConfig {
    let mut transport = transport(loopback, idle);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BEFORE_AUTH_BYTES));
    let mut config = quinn::ServerConfig::new(tls, crypto::token_key(&keys.token));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    config
}

/// A client's settings.
pub(crate) fn client_transport(loopback: bool, idle: Duration) -> Arc<TransportConfig> {
    let mut transport = transport(loopback, idle);
    let keep_alive = Duration::from_millis(KEEP_ALIVE_MS).min(idle / 3);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .keep_alive_interval(Some(keep_alive));
    Arc::new(transport)
}

fn transport(loopback: bool, idle: Duration) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(if loopback {
        MTU_LOOPBACK_MAX
    } else {
        MTU_NETWORK_MAX
    });
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(Some(mtu))
        // An idle time above what the protocol can say is as good as none.
        .max_idle_timeout(IdleTimeout::try_from(idle).ok());
    transport
}

/// Whether an address is this machine's loopback, also as IPv6 wraps it.
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
