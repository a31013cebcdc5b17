//! What must be true, kept apart from the broker: what clients were told ([`truth`]), what passed
//! between node and log ([`log`]), and what was agreed about topics ([`cluster`]).

pub mod cluster;
pub mod log;
pub mod recovered;
pub mod truth;
