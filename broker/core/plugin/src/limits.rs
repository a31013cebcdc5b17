//! How much a plugin may use. Every number has its unit in its name.

/// Fuel of one call, whatever it is given; about an instruction each.
pub const FUEL_PER_BATCH: u64 = 10_000_000;
/// Fuel that each record adds.
pub const FUEL_PER_RECORD: u64 = 200_000;
/// Fuel of one call of a guest that brings a language runtime (imports WASI), whatever it is given.
pub const RUNTIME_FUEL_PER_BATCH: u64 = 100_000_000;
/// Fuel that each record adds there: JavaScript that goes through a record of 1 KB byte by byte
/// takes 1,800,000.
pub const RUNTIME_FUEL_PER_RECORD: u64 = 5_000_000;
/// Linear memory of one instance.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;
/// Linear memory of one instance of a guest that brings a language runtime (imports WASI).
pub const RUNTIME_MEMORY_BYTES_MAX: usize = 256 << 20;
/// What may come back beyond `OUTPUT_FACTOR_MAX` times what was given.
pub const OUTPUT_BYTES_SPARE: usize = 1 << 20;
/// How much larger than its input an output may be.
pub const OUTPUT_FACTOR_MAX: usize = 4;
/// How long one call may take by the clock; fuel ends it before, unless the machine stands still.
pub const CALL_MS_MAX: u64 = 2_000;
/// How long one batch may take, bisection included.
pub const BATCH_MS_MAX: u64 = 5_000;
/// The largest component.
pub const COMPONENT_BYTES_MAX: usize = 48 << 20;
/// How long compiling may take.
pub const COMPILE_MS_MAX: u64 = 60_000;
/// How long it may take for a guest that brings a language runtime; a JavaScript engine takes 40
/// seconds of one busy core.
pub const RUNTIME_COMPILE_MS_MAX: u64 = 240_000;
/// Plugins in one chain.
pub const CHAIN_LINKS_MAX: usize = 8;
/// Bytes of a chain's text.
pub const CHAIN_BYTES_MAX: usize = 8 << 10;
/// Parameters of one plugin of a chain.
pub const PARAMETERS_MAX: usize = 64;
/// Bytes of a plugin's name.
pub const NAME_BYTES_MAX: usize = 63;
/// Bytes of a version.
pub const VERSION_BYTES_MAX: usize = 64;
/// Bytes of what a plugin says about a refusal or a failure.
pub const REASON_BYTES_MAX: usize = 1 << 10;
/// Runs of a plugin that look for the records it fails on: eight culprits among a thousand records
/// are told apart.
pub const BISECTION_RUNS_MAX: u32 = 128;
