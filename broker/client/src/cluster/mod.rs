//! What producer, consumer and admin stand on: connections, requests in flight, the versions each
//! broker speaks, and metadata.
//!
//! Nothing here knows what a record is.

pub(crate) mod backoff;
pub(crate) mod broker;
pub(crate) mod by_leader;
pub(crate) mod channel;
pub(crate) mod coordinator;
pub(crate) mod follow;
pub(crate) mod metadata;
pub(crate) mod shared;
pub(crate) mod transport;
