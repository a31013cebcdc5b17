//! The filter language of Weir: one expression over a record, true or false.
//!
//! The same language is taken by `weir consume --filter` and by the plugin
//! `filter-by-expression`.
//!
//! ```text
//! value.customer.age >= 18 and headers.region == "eu"
//! not exists(value.deleted) and (key starts-with "order-" or value.items[*].sku == "A-17")
//! ```
//!
//! # What can be named
//!
//! | words | what they are |
//! | --- | --- |
//! | `key`, `value` | the whole key or value, as text; null where there is none |
//! | `value.a.b`, `key.a`, `value.items[0].id`, `value["odd name"]` | a field of a key or value that is JSON |
//! | `value.items[*].id` | that field of every element: a comparison is true if it is for one of them |
//! | `headers.name`, `headers["odd name"]` | the last header of that name, as text |
//! | `timestamp` | milliseconds since 1970 |
//! | `offset`, `partition`, `topic` | where the record is |
//! | `"text"`, `'text'` | a text; `\\`, `\"`, `\'`, `\n`, `\t`, `\r` inside |
//! | `12`, `-0.5`, `1e6`, `true`, `false`, `null` | as in JSON |
//!
//! # What can be asked
//!
//! `==`, `!=`, `<`, `<=`, `>`, `>=`, `contains`, `starts-with`, `ends-with`, and `exists(..)`:
//! whether a field or header is there, be it null. `and`, `or`, `not` and parentheses put
//! questions together: `not` binds strongest, then `and`, then `or`. A name by itself is true
//! where it is the JSON value `true`.
//!
//! # How values compare
//!
//! - What is not there is null. Null equals null alone; nothing is less or greater than it.
//! - Numbers compare with numbers: whole ones exactly, others as IEEE 754 doubles. Where the
//!   other side is a number, a whole `key`, a whole `value` or a header is read as one. A JSON
//!   string is no number.
//! - Texts compare byte by byte. `contains`, `starts-with` and `ends-with` ask of texts; an array
//!   contains its elements.
//! - Values of different kinds are not equal, and none is less. Objects, and arrays but for
//!   `contains`, compare with nothing.
//! - `a != b` is always `not (a == b)`.
//! - A key or value that is not UTF-8, or no JSON where a field is asked for, has no fields.
//! - A field that comes twice counts as its last.
//!
//! # Limits
//!
//! An expression has 4 KB, nests 32 deep and has 256 operands at most; a path has 16 steps. To
//! evaluate it is linear in the record for each operand, recurses no deeper than it nests, and
//! cannot fail.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod evaluate;
pub mod json;
pub mod limits;
mod parse;
pub mod path;
mod syntax;

pub use evaluate::Fields;
pub use parse::ExprError;
pub use syntax::Expr;
