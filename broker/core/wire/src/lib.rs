//! Kafka's wire protocol: frames, headers, messages in every version, declared once.
//!
//! Bytes in, typed values out, and back. Nothing here does IO, keeps state between calls or
//! decides what an answer says; and nothing decoded may ask for more memory than the bytes that
//! came with it justify.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
mod declare;

pub mod api;
pub mod build;
pub mod codec;
pub mod embedded;
pub mod frame;
pub mod header;
pub mod limits;
pub mod messages;
pub mod records;
pub mod text;

pub use api::{
    ApiKey, Request, RequestBody, RequestError, Response, decode_any_response, decode_request,
    decode_response, encode_request, encode_response,
};
pub use codec::{DecodeError, EncodeError, Form, Message, Reader, Versions, Wire, Writer};
pub use embedded::Embedded;
pub use frame::FrameError;
pub use header::{RequestHeader, ResponseHeader};
pub use records::Records;
pub use text::Text;
