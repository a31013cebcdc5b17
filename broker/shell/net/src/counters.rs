//! What the transport counts for metrics, and the log lines about bad peers.
//!
//! Counting never fails and never waits; a flood of bad peers must not become a flood of lines.

use crate::{
    limits::{COMPLAINT_EVERY_MS, COMPLAINTS_AT_ONCE},
    service::Transport,
};
use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Why a peer, or something it sent, was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It showed no certificate.
    NoCertificate,
    /// Its certificate was made by another CA.
    UntrustedCertificate,
    /// Its certificate's time is over or has not begun.
    ExpiredCertificate,
    /// Its certificate names no principal or role.
    NoPrincipal,
    /// The handshake failed otherwise.
    Handshake,
    /// The handshake took too long.
    HandshakeTime,
    /// Something that is not the protocol: TLS on a plaintext port, a datagram that is not QUIC.
    Foreign,
    /// A frame was too large.
    FrameTooLarge,
    /// The stream ended in the middle of a frame.
    FrameCut,
    /// A frame stood still.
    FrameStalled,
    /// The session ended it.
    Session,
    /// There were too many connections.
    Connections,
    /// There were too many connections from its address.
    ConnectionsPerIp,
    /// There were too many handshakes.
    Handshakes,
}

impl Rejected {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::NoCertificate,
        Self::UntrustedCertificate,
        Self::ExpiredCertificate,
        Self::NoPrincipal,
        Self::Handshake,
        Self::HandshakeTime,
        Self::Foreign,
        Self::FrameTooLarge,
        Self::FrameCut,
        Self::FrameStalled,
        Self::Session,
        Self::Connections,
        Self::ConnectionsPerIp,
        Self::Handshakes,
    ];

    /// The reason as a metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::UntrustedCertificate => "untrusted_certificate",
            Self::ExpiredCertificate => "expired_certificate",
            Self::NoPrincipal => "no_principal",
            Self::Handshake => "handshake",
            Self::HandshakeTime => "handshake_time",
            Self::Foreign => "foreign_protocol",
            Self::FrameTooLarge => "frame_too_large",
            Self::FrameCut => "frame_cut",
            Self::FrameStalled => "frame_stalled",
            Self::Session => "session",
            Self::Connections => "connections",
            Self::ConnectionsPerIp => "connections_per_ip",
            Self::Handshakes => "handshakes",
        }
    }
}

/// Counts of one transport.
#[derive(Debug, Default)]
pub struct TransportCounters {
    /// Connections ever accepted, their handshake included.
    pub connections: AtomicU64,
    /// Connections now.
    pub connections_open: AtomicU64,
    /// Sessions now: streams on QUIC, connections on TCP.
    pub sessions_open: AtomicU64,
    /// Request frames.
    pub requests: AtomicU64,
    /// Their bytes, sizes included.
    pub request_bytes: AtomicU64,
    /// Answers.
    pub answers: AtomicU64,
    /// Their bytes, sizes included.
    pub answer_bytes: AtomicU64,
}

/// All counts of a server.
#[derive(Debug, Default)]
pub struct Counters {
    transports: [TransportCounters; 3],
    rejected: [AtomicU64; Rejected::ALL.len()],
    complaints: Mutex<[Complaints; Rejected::ALL.len()]>,
}

#[derive(Debug, Default)]
struct Complaints {
    spent: u32,
    since: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    /// Whether a line may be written now, and how many were left out before it.
    fn may_say(&mut self, now: Instant) -> Option<u64> {
        let every = Duration::from_millis(COMPLAINT_EVERY_MS);
        let since = *self.since.get_or_insert(now);
        let given_back = now.saturating_duration_since(since).as_millis() / every.as_millis();
        if let Ok(given_back @ 1..) = u32::try_from(given_back) {
            self.spent = self.spent.saturating_sub(given_back);
            self.since = Some(since + every * given_back);
        }
        if self.spent >= COMPLAINTS_AT_ONCE {
            self.unsaid += 1;
            return None;
        }
        self.spent += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl Counters {
    /// The counts of one transport.
    #[must_use]
    pub fn transport(&self, transport: Transport) -> &TransportCounters {
        let [quic, tls, plain] = &self.transports;
        match transport {
            Transport::Quic => quic,
            Transport::Tls => tls,
            Transport::Plain => plain,
        }
    }

    /// How many were turned away for each reason.
    pub fn rejected(&self) -> impl Iterator<Item = (Rejected, u64)> + '_ {
        Rejected::ALL
            .into_iter()
            .zip(&self.rejected)
            .map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
    }

    /// How many were turned away for one reason.
    #[must_use]
    pub fn rejected_for(&self, wanted: Rejected) -> u64 {
        self.rejected()
            .find(|(reason, _)| *reason == wanted)
            .map_or(0, |(_, count)| count)
    }

    /// Counts a bad peer and writes a line about it, unless there are too many such lines.
    pub(crate) fn reject(
        &self,
        reason: Rejected,
        transport: Transport,
        remote: SocketAddr,
        detail: &dyn fmt::Display,
    ) {
        let index = reason as usize;
        if let Some(count) = self.rejected.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let said = {
            let mut all = self
                .complaints
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.get_mut(index)
                .and_then(|complaints| complaints.may_say(Instant::now()))
        };
        match said {
            Some(0) => tracing::warn!(%remote, %transport, reason = reason.label(), "{detail}"),
            Some(unsaid) => {
                tracing::warn!(%remote, %transport, reason = reason.label(), unsaid, "{detail}");
            }
            None => {}
        }
    }
}

/// Adds one now and takes it away when dropped.
pub(crate) struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    pub(crate) fn up(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds to a count.
pub(crate) fn add(count: &AtomicU64, by: usize) {
    count.fetch_add(u64::try_from(by).unwrap_or(u64::MAX), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_few_and_the_rest_is_counted() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        let said = (0..100)
            .filter(|_| complaints.may_say(start).is_some())
            .count();
        assert_eq!(said, 10);
        let later = start + Duration::from_millis(COMPLAINT_EVERY_MS);
        assert_eq!(complaints.may_say(later), Some(90));
        assert_eq!(complaints.may_say(later), None);
        for (index, reason) in Rejected::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
