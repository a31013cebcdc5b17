//! The simulator: the real nodes and the real store of one broker, from one seed, with simulated
//! clients, network, clock and disk, and checks of every promise after everything that happens.
//!
//! Nothing in a run comes from outside its seed: no clock, no thread, no file, no randomness.
#![forbid(unsafe_code)]

pub mod checks;
pub mod client;
pub mod clock;
pub mod mutants;
pub mod oracle;
pub mod params;
pub mod random;
pub mod run;
pub mod trace;
pub mod violation;
pub mod world;
