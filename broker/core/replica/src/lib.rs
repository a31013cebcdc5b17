//! One partition as a pure state machine: append, high watermark, producer state, epochs.
