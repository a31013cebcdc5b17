//! Why bytes cannot be read and why values cannot be written, each with the place.
//!
//! Only values: no error here is turned into an answer.

use thiserror::Error;

/// What is wrong with the bytes of a message, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}.{field}: {fault}")]
pub struct DecodeError {
    /// The message, or the innermost struct of it, that was being read.
    pub message: &'static str,
    /// Its field.
    pub field: &'static str,
    /// What is wrong.
    pub fault: DecodeFault,
}

/// What is wrong with the bytes of a field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeFault {
    /// The bytes end before the field does.
    #[error("cut short: {needed} bytes needed, {available} left")]
    Truncated {
        /// Bytes the field needs.
        needed: usize,
        /// Bytes that are left.
        available: usize,
    },
    /// An array claims more elements than the bytes that are left can hold.
    #[error("{count} elements cannot be in the {available} bytes left")]
    Count {
        /// Elements claimed.
        count: usize,
        /// Bytes that are left.
        available: usize,
    },
    /// A length below -1.
    #[error("length {length} is impossible")]
    Length {
        /// As sent.
        length: i64,
    },
    /// A varint longer than 32 bits.
    #[error("a varint does not end within 32 bits")]
    Varint,
    /// A string that is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// Null where this version allows none.
    #[error("null, which version {version} does not allow")]
    Null {
        /// The version being read.
        version: i16,
    },
    /// Bytes behind the end.
    #[error("{count} bytes are left over behind it")]
    LeftOver {
        /// How many.
        count: usize,
    },
    /// A version the message does not have.
    #[error("version {version} does not exist")]
    Version {
        /// As asked for.
        version: i16,
    },
}

impl From<DecodeFault> for DecodeError {
    fn from(fault: DecodeFault) -> Self {
        Self {
            message: "",
            field: "",
            fault,
        }
    }
}

impl DecodeError {
    /// Names the place, unless a deeper one is named already.
    #[must_use]
    #[cold]
    pub fn at(mut self, message: &'static str, field: &'static str) -> Self {
        if self.message.is_empty() {
            self.message = message;
            self.field = field;
        }
        self
    }
}

/// Why a value cannot be written in a version, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}.{field}: {fault}")]
pub struct EncodeError {
    /// The message, or the innermost struct of it, that was being written.
    pub message: &'static str,
    /// Its field.
    pub field: &'static str,
    /// What is wrong.
    pub fault: EncodeFault,
}

/// Why a field cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeFault {
    /// The field is set, does not exist in this version and may not be left out silently.
    #[error("it is set, but version {version} does not have it")]
    Absent {
        /// The version being written.
        version: i16,
    },
    /// Null where this version allows none.
    #[error("null, which version {version} does not allow")]
    Null {
        /// The version being written.
        version: i16,
    },
    /// Longer than its length field can say.
    #[error("{size} is more than the protocol can carry")]
    TooLong {
        /// Bytes or elements.
        size: usize,
    },
    /// A version the message does not have.
    #[error("version {version} does not exist")]
    Version {
        /// As asked for.
        version: i16,
    },
}

impl From<EncodeFault> for EncodeError {
    fn from(fault: EncodeFault) -> Self {
        Self {
            message: "",
            field: "",
            fault,
        }
    }
}

impl EncodeError {
    /// Names the place, unless a deeper one is named already.
    #[must_use]
    #[cold]
    pub fn at(mut self, message: &'static str, field: &'static str) -> Self {
        if self.message.is_empty() {
            self.message = message;
            self.field = field;
        }
        self
    }
}
