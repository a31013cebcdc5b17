//! Tests of the producer against brokers in memory.
