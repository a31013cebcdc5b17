//! A Weir broker as a library: configuration, wiring, the shard loop, metrics.
