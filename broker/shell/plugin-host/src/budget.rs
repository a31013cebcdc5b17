//! What a call may use, and what it has used.

use crate::limits::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use std::time::Duration;
use wasmtime::ResourceLimiter;
use weir_plugin::limits::{
    CALL_MS_MAX, FUEL_PER_BATCH, FUEL_PER_RECORD, MEMORY_BYTES_MAX, OUTPUT_BYTES_SPARE,
    OUTPUT_FACTOR_MAX, RUNTIME_FUEL_PER_BATCH, RUNTIME_FUEL_PER_RECORD, RUNTIME_MEMORY_BYTES_MAX,
};

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Fuel of a call, whatever it is given.
    pub fuel_per_batch: u64,
    /// Fuel that each record adds.
    pub fuel_per_record: u64,
    /// All linear memory of one instance.
    pub memory_bytes: usize,
    /// What may come back beyond `output_factor` times what was given.
    pub output_spare_bytes: usize,
    /// How much larger than its input an output may be.
    pub output_factor: usize,
    /// How long a call may take by the clock.
    pub call: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            fuel_per_batch: FUEL_PER_BATCH,
            fuel_per_record: FUEL_PER_RECORD,
            memory_bytes: MEMORY_BYTES_MAX,
            output_spare_bytes: OUTPUT_BYTES_SPARE,
            output_factor: OUTPUT_FACTOR_MAX,
            call: Duration::from_millis(CALL_MS_MAX),
        }
    }
}

impl Budget {
    /// The budget of a guest that brings a language runtime.
    #[must_use]
    pub fn runtime() -> Self {
        Self {
            fuel_per_batch: RUNTIME_FUEL_PER_BATCH,
            fuel_per_record: RUNTIME_FUEL_PER_RECORD,
            memory_bytes: RUNTIME_MEMORY_BYTES_MAX,
            ..Self::default()
        }
    }

    /// The fuel of a call with so many records.
    #[must_use]
    pub fn fuel(&self, records: usize) -> u64 {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.fuel_per_batch
            .saturating_add(self.fuel_per_record.saturating_mul(records))
    }

    /// How many bytes may come back for so many.
    #[must_use]
    pub const fn output(&self, input: usize) -> usize {
        self.output_spare_bytes
            .saturating_add(self.output_factor.saturating_mul(input))
    }
}

/// What calls have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel; an instruction each, about.
    pub fuel: u64,
    /// By the clock.
    pub time: Duration,
    /// The most linear memory that the instance has had since it began, in bytes.
    pub memory_peak: usize,
}

impl Usage {
    /// Adds what another call has used.
    pub fn add(&mut self, other: Self) {
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.time = self.time.saturating_add(other.time);
        self.memory_peak = self.memory_peak.max(other.memory_peak);
    }
}

/// Counts and limits the memory of one store.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    now: usize,
    /// The most there was.
    pub(crate) peak: usize,
    /// Whether more was asked for than there may be.
    pub(crate) exceeded: bool,
}

impl Memory {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit,
            now: 0,
            peak: 0,
            exceeded: false,
        }
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Another call begins: it answers for what it asks for itself.
    pub(crate) const fn begin(&mut self) {
        self.exceeded = false;
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.now.saturating_add(desired.saturating_sub(current));
        if total > self.limit {
            self.exceeded = true;
            return Ok(false);
        }
        self.now = total;
        self.peak = self.peak.max(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
