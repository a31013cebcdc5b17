//! One shard of a broker as a pure state machine: requests, timers, waiting replies.
