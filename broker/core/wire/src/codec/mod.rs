//! Reading and writing the protocol's basic types: numbers, strings, arrays, varints, the compact
//! forms of flexible versions and tagged fields (KIP-482).
//!
//! A [`Reader`] never trusts a count: a vector is made only for as many elements as the bytes
//! that are left can hold. A [`Writer`] never copies records: it notes where they go in between.

mod error;
mod reader;
#[cfg(test)]
mod tests;
mod types;
mod writer;

pub use error::{DecodeError, DecodeFault, EncodeError, EncodeFault};
pub use reader::Reader;
pub use writer::Writer;

use core::fmt;

/// In which of its forms a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The API version.
    pub version: i16,
    /// Whether that version is flexible: compact lengths, and tagged fields behind each struct.
    pub flexible: bool,
}

/// The versions of an API, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub min: i16,
    /// The newest.
    pub max: i16,
}

impl Versions {
    /// Whether `version` is one of them.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The newest version that both have, if there is one.
    #[must_use]
    pub fn newest_common(self, other: Self) -> Option<i16> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// A type the protocol can carry.
pub trait Wire: Sized {
    /// The fewest bytes a value takes; no array may claim more elements than fit by this.
    fn min_bytes(form: Form) -> usize;

    /// Reads a value.
    ///
    /// # Errors
    /// Where the bytes hold none.
    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError>;

    /// Writes a value.
    ///
    /// # Errors
    /// Where this version cannot carry it.
    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError>;
}

/// A request or a response body.
pub trait Message: Wire + Default + fmt::Debug {
    /// The number of its API.
    const KEY: i16;
    /// Kafka's name of it.
    const NAME: &'static str;
    /// The versions that can be read and written.
    const VERSIONS: Versions;
    /// The first flexible version (KIP-482); one above the newest where none is.
    const FLEXIBLE_FROM: i16;

    /// How a version is written.
    #[must_use]
    fn form(version: i16) -> Form {
        Form {
            version,
            flexible: version >= Self::FLEXIBLE_FROM,
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Where the version does not exist or the bytes are wrong.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(version) {
            return Err(DecodeError::from(DecodeFault::Version { version }).at(Self::NAME, "*"));
        }
        Self::read(reader, Self::form(version))
    }

    /// Writes a body.
    ///
    /// # Errors
    /// Where the version does not exist or cannot carry what is set.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(version) {
            return Err(EncodeError::from(EncodeFault::Version { version }).at(Self::NAME, "*"));
        }
        self.write(writer, Self::form(version))
    }
}
