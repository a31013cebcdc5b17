//! Runs Wasm components that change, drop, route, place and decode records, under budgets.
//!
//! It must never know topics' logs, connections or requests: columns go in, columns or a failure
//! come out.
#![deny(unsafe_code)]
