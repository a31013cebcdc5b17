//! QUIC and TCP transport, certificates and profiles, limits and back-pressure.
