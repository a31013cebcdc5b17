//! How large an expression or a path may be.

/// Bytes of an expression's text.
pub const EXPRESSION_BYTES_MAX: usize = 4 << 10;
/// How deep parentheses and `not` may nest.
pub const DEPTH_MAX: usize = 32;
/// Comparisons and operands in one expression.
pub const NODES_MAX: usize = 256;
/// Steps of one path.
pub const STEPS_MAX: usize = 16;
/// Paths that are looked for in one walk.
pub const PATHS_MAX: usize = 64;
