//! Tests of the consumer against brokers in memory.
