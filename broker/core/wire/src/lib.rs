//! Kafka's wire protocol: frames, headers, messages in every version, declared once.
