//! Limits of the host that are not a matter of an attachment. Every number has its unit in its
//! name; what a plugin may use stands in `weir_plugin::limits`.

/// How often the engine's clock ticks; calls end by it up to one tick late.
pub const EPOCH_TICK_MS: u64 = 100;
/// Stack of a plugin; beyond it a call traps.
pub const STACK_BYTES: usize = 512 << 10;
/// Stack of the thread that compiles; Cranelift recurses.
pub const COMPILE_STACK_BYTES: usize = 16 << 20;
/// Fuel of a `describe`, of an instantiation and of a `configure`, each. A language runtime
/// prepares itself in it.
pub const FUEL_TO_BEGIN: u64 = 2_000_000_000;
/// Elements of all tables of one instance.
pub const TABLE_ELEMENTS_MAX: usize = 200_000;
/// Core instances in one component.
pub const CORE_INSTANCES_MAX: usize = 64;
/// Tables in one component.
pub const TABLES_MAX: usize = 64;
/// Memories in one component.
pub const MEMORIES_MAX: usize = 8;
/// Lines that one instance may log in a second.
pub const LOG_LINES_PER_SECOND: u32 = 100;
/// Bytes of one line of the log.
pub const LOG_LINE_BYTES_MAX: usize = 1 << 10;
/// Bytes of all that a plugin says about itself.
pub const DESCRIPTION_BYTES_MAX: usize = 64 << 10;
/// Bytes that a guest may ask of WASI's randomness at once.
pub const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// How many functions of a trap's backtrace are named.
pub const FRAMES_MAX: usize = 6;
