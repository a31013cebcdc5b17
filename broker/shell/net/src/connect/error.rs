//! Why a client cannot reach its broker, told apart so that the text can say what to do.
//!
//! Every variant must say whether trying again can help.

use crate::listen::HostPort;
use rustls::{AlertDescription, CertificateError};
use std::io;
use thiserror::Error;

/// Why there is no connection, or no longer one.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The host's name leads nowhere.
    #[error("the name of {address} cannot be resolved: {source}; check its spelling")]
    Name {
        /// As it was asked for.
        address: HostPort,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// The machine is there, but nobody listens.
    #[error(
        "nobody listens at {address}: start the broker (`weir serve`) or name another address \
         with --bootstrap"
    )]
    NobodyListens {
        /// As it was asked for.
        address: HostPort,
    },
    /// TCP gets through and UDP does not.
    #[error(
        "{address} answers on TCP but not on UDP: QUIC is blocked on the way, or the broker has \
         no quic:// listener there; use --transport tcp, or let UDP port {port} through",
        port = address.port
    )]
    UdpBlocked {
        /// As it was asked for.
        address: HostPort,
    },
    /// No answer at all.
    #[error(
        "{address} does not answer within {seconds} s: the machine is down or a firewall drops everything"
    )]
    Timeout {
        /// As it was asked for.
        address: HostPort,
        /// How long was waited.
        seconds: u64,
    },
    /// The broker's certificate is not from the profile's CA.
    #[error(
        "the certificate of {address} is not from the CA of this profile: another broker listens \
         there, or its certificates were made anew; take a profile of that broker \
         (`weir certs issue`, or DATA/certs/admin.weir beside it)"
    )]
    ServerUntrusted {
        /// As it was asked for.
        address: HostPort,
        /// What the check found.
        why: String,
    },
    /// The broker's certificate is too old, or not valid yet.
    #[error(
        "the certificate of {address} has expired or is not valid yet ({why}): check both \
         machines' clocks and restart the broker, which renews it"
    )]
    ServerExpired {
        /// As it was asked for.
        address: HostPort,
        /// What the check found.
        why: String,
    },
    /// The broker's certificate is for other names.
    #[error(
        "the certificate of {address} is not for `{host}` ({why}): use a name it carries, or let \
         the broker advertise this one (--advertise), which puts it into the certificate",
        host = address.host
    )]
    ServerName {
        /// As it was asked for.
        address: HostPort,
        /// What the check found.
        why: String,
    },
    /// The broker refuses the profile's certificate.
    #[error(
        "{address} refuses this profile's certificate: {why}; have a new one issued (`weir certs issue`)"
    )]
    ClientRefused {
        /// As it was asked for.
        address: HostPort,
        /// Why, as far as the broker says.
        why: ClientRefusal,
    },
    /// The broker wants a certificate and none was given.
    #[error("{address} speaks TLS and wants a certificate: give a profile with --profile FILE")]
    NoProfile {
        /// As it was asked for.
        address: HostPort,
    },
    /// Without TLS only loopback is reached.
    #[error(
        "{address} is not on loopback, and nothing is sent in the clear over a network: give a profile with --profile FILE"
    )]
    PlainNotOnLoopback {
        /// As it was asked for.
        address: HostPort,
    },
    /// What listens there is something else.
    #[error("what listens at {address} is not a broker's {wanted} port: {why}")]
    NotTheProtocol {
        /// As it was asked for.
        address: HostPort,
        /// `QUIC` or `TLS`.
        wanted: &'static str,
        /// What shows it.
        why: String,
    },
    /// The broker has no room.
    #[error("{address} turns connections away: it has as many as it allows, or shuts down")]
    Busy {
        /// As it was asked for.
        address: HostPort,
    },
    /// The profile itself cannot be used.
    #[error("the profile cannot be used: {why}")]
    Profile {
        /// What is wrong with it.
        why: String,
    },
    /// The connection is over.
    #[error("the connection to {address} is lost: {why}")]
    Lost {
        /// As it was asked for.
        address: HostPort,
        /// How it ended.
        why: String,
    },
    /// Anything else that the system says.
    #[error("cannot connect to {address}: {source}")]
    Io {
        /// As it was asked for.
        address: HostPort,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Why a broker refuses a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClientRefusal {
    /// None was shown.
    #[error("it saw none")]
    Missing,
    /// Another CA made it.
    #[error("another CA made it")]
    Untrusted,
    /// Its time is over, or has not begun.
    #[error("it has expired or is not valid yet")]
    Expired,
    /// It names no principal or role.
    #[error("it names no principal and role")]
    Nobody,
    /// Something else.
    #[error("the handshake failed")]
    Other,
}

impl ConnectError {
    /// Whether trying again, without changing anything here, can help.
    #[must_use]
    pub const fn can_retry(&self) -> bool {
        match self {
            Self::Name { .. }
            | Self::NobodyListens { .. }
            | Self::UdpBlocked { .. }
            | Self::Timeout { .. }
            | Self::Busy { .. }
            | Self::Lost { .. }
            | Self::Io { .. } => true,
            Self::ServerUntrusted { .. }
            | Self::ServerExpired { .. }
            | Self::ServerName { .. }
            | Self::ClientRefused { .. }
            | Self::NoProfile { .. }
            | Self::PlainNotOnLoopback { .. }
            | Self::NotTheProtocol { .. }
            | Self::Profile { .. } => false,
        }
    }

    /// Whether another transport may fare better.
    pub(super) const fn is_about_the_way(&self) -> bool {
        matches!(
            self,
            Self::NobodyListens { .. }
                | Self::Timeout { .. }
                | Self::UdpBlocked { .. }
                | Self::Io { .. }
        )
    }
}

/// What a refused certificate of the broker means.
pub(super) fn server_refused(address: &HostPort, why: &CertificateError) -> ConnectError {
    let address = address.clone();
    let text = why.to_string();
    match why {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            ConnectError::ServerExpired { address, why: text }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ConnectError::ServerName { address, why: text }
        }
        _ => ConnectError::ServerUntrusted { address, why: text },
    }
}

/// What an alert from the broker says about our certificate; `None`: nothing.
pub(super) fn client_refused(alert: AlertDescription) -> Option<ClientRefusal> {
    Some(match alert {
        AlertDescription::CertificateRequired => ClientRefusal::Missing,
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::DecryptError
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => ClientRefusal::Untrusted,
        AlertDescription::CertificateExpired => ClientRefusal::Expired,
        AlertDescription::AccessDenied | AlertDescription::CertificateRevoked => {
            ClientRefusal::Other
        }
        _ => return None,
    })
}
