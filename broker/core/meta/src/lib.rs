//! Cluster metadata by decide and apply: brokers, topics, partitions, configs.
