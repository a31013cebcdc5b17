//! Benchmarks: Weir against the machine's limits and its peers.
