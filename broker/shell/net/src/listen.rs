//! Listener addresses as people write them: `quic://`, `tls://`, `plain://` and the bare
//! `HOST:PORT` (design decision D14).
//!
//! Only parsing and its rules; nothing here opens a socket, and no rule may let a plaintext
//! listener leave loopback.

use crate::service::Transport;
use std::{fmt, net::IpAddr, str::FromStr};
use thiserror::Error;

/// A host (name or IP address) and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name or an IP address, an IPv6 address without brackets.
    pub host: String,
    /// The port; 0 lets the system choose one when listening.
    pub port: u16,
}

impl HostPort {
    /// Whether the host is this machine's loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Whether the host stands for every address of this machine.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_unspecified())
    }
}

/// Whether a host, as written, is this machine's loopback.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An address that cannot be understood or must not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListenError {
    /// Not `HOST:PORT`.
    #[error(
        "`{text}` is not an address: {why}; write HOST:PORT, quic://HOST:PORT, tls://HOST:PORT \
         or plain://HOST:PORT"
    )]
    NotAnAddress {
        /// As it was written.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Plaintext somewhere else than on loopback.
    #[error(
        "`plain://{address}` is refused: without TLS everybody on the network could read and \
         write as an admin, so plain:// is for loopback (127.0.0.1, ::1, localhost) only; use \
         tls://{address} and a client certificate"
    )]
    PlainNotOnLoopback {
        /// The address.
        address: HostPort,
    },
    /// A wildcard or port 0 where others must be able to connect.
    #[error("clients cannot connect to `{address}`: advertise a name or address of this machine")]
    NotAdvertisable {
        /// The address.
        address: HostPort,
    },
    /// The same address twice.
    #[error("two listeners want {transport}://{address}")]
    Twice {
        /// The address.
        address: HostPort,
        /// Its transport.
        transport: Transport,
    },
    /// Too many or none.
    #[error("{count} listeners were given; 1 to {} are possible", u16::MAX)]
    Count {
        /// How many.
        count: usize,
    },
}

impl FromStr for HostPort {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let wrong = |why| ListenError::NotAnAddress {
            text: text.to_owned(),
            why,
        };
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| wrong("it has no port"))?;
        let host = match host.strip_prefix('[') {
            Some(inner) => {
                let inner = inner
                    .strip_suffix(']')
                    .ok_or_else(|| wrong("its bracket is not closed"))?;
                inner
                    .parse::<std::net::Ipv6Addr>()
                    .map_err(|_| wrong("what stands in brackets is no IPv6 address"))?;
                inner
            }
            None if host.contains(':') => {
                return Err(wrong("an IPv6 address needs brackets, as in [::1]:9092"));
            }
            None => host,
        };
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        if !host.chars().all(|c| c == ':' || is_host_letter(c)) {
            return Err(wrong("its host has a character that no host name has"));
        }
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong("its port is not a number"));
        }
        let port = port.parse().map_err(|_| wrong("its port is above 65535"))?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// One listener: a transport at an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenSpec {
    /// How peers are connected.
    pub transport: Transport,
    /// Where it listens.
    pub address: HostPort,
}

impl ListenSpec {
    /// Reads what stands for one listener (`quic://…`, `tls://…`, `plain://…`) or, bare, for two.
    ///
    /// A bare `HOST:PORT` is QUIC there, with plain TCP beside it on loopback and TLS elsewhere.
    ///
    /// # Errors
    /// [`ListenError`] says what is wrong with the text, or why it is refused.
    pub fn parse(text: &str) -> Result<Vec<Self>, ListenError> {
        let text = text.trim();
        let (transports, rest): (&[Transport], &str) = match text.split_once("://") {
            Some(("quic", rest)) => (&[Transport::Quic], rest),
            Some(("tls", rest)) => (&[Transport::Tls], rest),
            Some(("plain", rest)) => (&[Transport::Plain], rest),
            Some(_) => {
                return Err(ListenError::NotAnAddress {
                    text: text.to_owned(),
                    why: "its scheme is none of quic, tls and plain",
                });
            }
            None => (&[], text),
        };
        let address: HostPort = rest.parse().map_err(|error| match error {
            ListenError::NotAnAddress { why, .. } => ListenError::NotAnAddress {
                text: text.to_owned(),
                why,
            },
            other => other,
        })?;
        let transports = match transports {
            [] if address.is_loopback() => &[Transport::Quic, Transport::Plain],
            [] => &[Transport::Quic, Transport::Tls],
            given => given,
        };
        if transports.contains(&Transport::Plain) && !address.is_loopback() {
            return Err(ListenError::PlainNotOnLoopback { address });
        }
        let spec = |transport: &Transport| Self {
            transport: *transport,
            address: address.clone(),
        };
        Ok(transports.iter().map(spec).collect())
    }
}

impl fmt::Display for ListenSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport, self.address)
    }
}

/// A listener with the address that clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub spec: ListenSpec,
    /// What Metadata answers through it; `None`: where it listens, or, if that is a wildcard, the
    /// name of the host.
    pub advertise: Option<HostPort>,
}

impl Listener {
    /// Reads pairs of `listen` and `advertise` as a configuration has them. The index of a
    /// listener in the result is its [`ListenerId`](crate::ListenerId).
    ///
    /// # Errors
    /// [`ListenError`] for the first pair that is wrong.
    pub fn parse_all<'a>(
        pairs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Vec<Self>, ListenError> {
        let mut all: Vec<Self> = Vec::new();
        for (listen, advertise) in pairs {
            let advertise = advertise.map(advertised).transpose()?;
            for spec in ListenSpec::parse(listen)? {
                if spec.address.port != 0 && all.iter().any(|other| clash(&other.spec, &spec)) {
                    return Err(ListenError::Twice {
                        transport: spec.transport,
                        address: spec.address,
                    });
                }
                all.push(Self {
                    spec,
                    advertise: advertise.clone(),
                });
            }
        }
        if all.is_empty() || all.len() > usize::from(u16::MAX) {
            return Err(ListenError::Count { count: all.len() });
        }
        Ok(all)
    }

    /// The address clients are told once the listener is bound to `port`.
    #[must_use]
    pub fn advertised(&self, port: u16) -> HostPort {
        if let Some(given) = &self.advertise {
            let port = if given.port == 0 { port } else { given.port };
            return HostPort {
                host: given.host.clone(),
                port,
            };
        }
        let host = if self.spec.address.is_wildcard() {
            host_name()
        } else {
            self.spec.address.host.clone()
        };
        HostPort { host, port }
    }
}

fn clash(left: &ListenSpec, right: &ListenSpec) -> bool {
    left.address == right.address && left.transport.is_tcp() == right.transport.is_tcp()
}

fn advertised(text: &str) -> Result<HostPort, ListenError> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let address: HostPort = rest.parse()?;
    if address.is_wildcard() {
        return Err(ListenError::NotAdvertisable { address });
    }
    Ok(address)
}

/// This machine's name, or `localhost` where it has none.
#[must_use]
pub fn host_name() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .map(|name| name.trim().to_owned());
    match named {
        // What no certificate can carry is of no use to clients either.
        Some(name) if !name.is_empty() && name.chars().all(is_host_letter) => name,
        _ => "localhost".to_owned(),
    }
}

fn is_host_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_')
}

/// Every name that a certificate of these listeners must carry, sorted, each once.
#[must_use]
pub fn certificate_names(listeners: &[Listener]) -> Vec<String> {
    let mut names: Vec<String> = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
        host_name(),
    ];
    for listener in listeners {
        if !listener.spec.address.is_wildcard() {
            names.push(listener.spec.address.host.clone());
        }
        names.extend(listener.advertise.iter().map(|given| given.host.clone()));
    }
    for name in &mut names {
        // One spelling for each address, as certificates have no spelling at all.
        match name.parse::<IpAddr>() {
            Ok(ip) => *name = ip.to_string(),
            Err(_) => name.make_ascii_lowercase(),
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match ListenSpec::parse(text) {
            Ok(specs) => specs
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_bare_address_stands_for_two_listeners() {
        assert_eq!(
            shown("127.0.0.1:9092"),
            "quic://127.0.0.1:9092 plain://127.0.0.1:9092"
        );
        assert_eq!(
            shown("localhost:1"),
            "quic://localhost:1 plain://localhost:1"
        );
        assert_eq!(shown("[::1]:9092"), "quic://[::1]:9092 plain://[::1]:9092");
        assert_eq!(
            shown("0.0.0.0:9092"),
            "quic://0.0.0.0:9092 tls://0.0.0.0:9092"
        );
        assert_eq!(shown("b.example:7"), "quic://b.example:7 tls://b.example:7");
    }

    #[test]
    fn plaintext_stays_on_loopback() {
        assert_eq!(shown("plain://127.0.0.2:1"), "plain://127.0.0.2:1");
        assert!(shown("plain://0.0.0.0:1").contains("is refused"));
        assert!(shown("plain://10.0.0.1:1").contains("use tls://10.0.0.1:1"));
        assert!(shown("plain://[::]:1").contains("is refused"));
    }

    #[test]
    fn wrong_addresses_say_what_is_wrong() {
        for (text, why) in [
            ("9092", "it has no port"),
            (":9092", "it has no host"),
            ("a:", "not a number"),
            ("a:+1", "not a number"),
            ("a:70000", "above 65535"),
            ("::1:9092", "needs brackets"),
            ("[::1:9092", "not closed"),
            ("[x]:1", "no IPv6"),
            ("http://a:1", "scheme"),
            ("a b:1", "character"),
        ] {
            assert!(shown(text).contains(why), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn pairs_are_expanded_in_order_and_told_apart() {
        let all = Listener::parse_all([
            ("0.0.0.0:9092", Some("b1.example:9092")),
            ("plain://127.0.0.1:9093", None),
        ])
        .unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all[1].advertised(9092).to_string(), "b1.example:9092");
        assert_eq!(all[2].advertised(9093).to_string(), "127.0.0.1:9093");
        let names = certificate_names(&all);
        assert!(names.contains(&"b1.example".to_owned()));
        assert!(!names.contains(&"0.0.0.0".to_owned()));

        let twice = Listener::parse_all([("tls://a:1", None), ("a:1", None)]);
        assert!(matches!(twice, Err(ListenError::Twice { .. })));
        assert!(Listener::parse_all([("a:1", Some("0.0.0.0:1"))]).is_err());
        assert!(Listener::parse_all([]).is_err());
    }
}
