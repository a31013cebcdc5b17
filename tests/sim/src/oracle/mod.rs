//! What must be true, kept apart from the broker: what clients were told ([`truth`]), what passed
//! between node and log ([`log`]), what was agreed about topics ([`cluster`]), and what members of
//! groups were told ([`groups`]).

pub mod cluster;
pub mod groups;
pub mod jobs;
pub mod log;
pub mod recovered;
pub mod truth;
