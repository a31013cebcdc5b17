//! `weir group`: what there is to do with consumer groups. Asks and tells; every rule about groups
//! is the coordinator's.

pub(crate) mod refusal;
