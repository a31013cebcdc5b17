//! QUIC and TCP for Weir: listeners, certificates and profiles, limits and back-pressure, and the
//! client's way in.
//!
//! Frames go through unread: what a request means is the business of others. Types of quinn,
//! rustls and rcgen stay inside. Nothing that comes from a peer or a file may make it panic.
#![forbid(unsafe_code)]

pub mod certs;
mod connect;
mod counters;
mod crypto;
mod files;
mod frame;
mod io;
pub mod limits;
pub mod listen;
pub mod profile;
mod quic;
mod server;
mod service;
mod session;
mod udp;

pub use certs::{CertificateInfo, Certs, CertsError};
pub use connect::{
    Channel, ChannelError, ClientRefusal, ConnectError, ConnectOptions, Connection, Connector,
    RecvHalf, Security, SendHalf, TransportChoice, UnknownTransport,
};
pub use counters::{Counters, Rejected, TransportCounters};
pub use limits::Limits;
pub use listen::{HostPort, ListenError, ListenSpec, Listener, certificate_names};
pub use profile::{Profile, ProfileError};
pub use server::{Bound, ServeError, ServerConfig, ServerHandle, Shutdown, check_listeners, serve};
pub use service::{
    Answer, Answered, Close, ListenerId, NextAnswer, Peer, Service, Session, Transport,
};
