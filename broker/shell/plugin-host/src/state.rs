//! What belongs to one store: the memory's count, the log, the parameters and the stream's time.

use crate::{
    budget::Memory,
    log::{Gate, LogSink},
    wasi::Wasi,
};
use std::sync::Arc;

/// Parameters by name, ascending.
pub(crate) type Parameters = Arc<[(String, String)]>;

/// The host's side of an instance.
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) log: Gate,
    pub(crate) parameters: Parameters,
    /// In milliseconds since the epoch.
    pub(crate) stream_time: i64,
    pub(crate) wasi: Wasi,
}

impl State {
    pub(crate) fn new(memory_bytes: usize, sink: Arc<dyn LogSink>, parameters: Parameters) -> Self {
        Self {
            memory: Memory::new(memory_bytes),
            log: Gate::new(sink),
            parameters,
            stream_time: 0,
            wasi: Wasi::default(),
        }
    }
}
