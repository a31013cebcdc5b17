//! Async Kafka-protocol client over QUIC or TCP: producer, consumer, admin.
