//! [`Embedded`]: values that travel as bytes inside other messages, each with its version in front.
//!
//! Nothing here knows which message the bytes came from or says what they mean.

use crate::{
    codec::{
        DecodeError, DecodeFault, EncodeError, EncodeFault, Form, Reader, Versions, Wire, Writer,
    },
    messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription},
};
use bytes::Bytes;

/// A value of Kafka's consumer protocol: an `i16` version, then the value in that version, which
/// is never flexible.
pub trait Embedded: Wire {
    /// Kafka's name of it.
    const NAME: &'static str;
    /// The versions that can be written; newer ones can be read as well.
    const VERSIONS: Versions;

    /// The value in a version, with the version in front.
    ///
    /// # Errors
    /// Where the version does not exist or cannot carry what is set.
    fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        if !Self::VERSIONS.contains(version) {
            return Err(
                EncodeError::from(EncodeFault::Version { version }).at(Self::NAME, "version")
            );
        }
        let mut writer = Writer::new();
        version.write(&mut writer, form(version))?;
        self.write(&mut writer, form(version))?;
        Ok(writer.finish().concat().into())
    }

    /// Reads a value, and the version it was written in. A newer version than Weir knows is read
    /// as the newest one it knows, and bytes behind the value are left alone: Kafka promises that
    /// newer versions only add fields at the end.
    ///
    /// # Errors
    /// Where the bytes hold no such value. No bytes at all are an error too: where they mean that
    /// there is nothing (a member without an assignment), the caller looks first.
    fn from_bytes(bytes: Bytes) -> Result<(i16, Self), DecodeError> {
        let mut reader = Reader::new(bytes);
        let version =
            i16::read(&mut reader, form(0)).map_err(|error| error.at(Self::NAME, "version"))?;
        if version < Self::VERSIONS.min {
            return Err(
                DecodeError::from(DecodeFault::Version { version }).at(Self::NAME, "version")
            );
        }
        let value = Self::read(&mut reader, form(version.min(Self::VERSIONS.max)))?;
        Ok((version, value))
    }
}

impl Embedded for ConsumerProtocolSubscription {
    const NAME: &'static str = "ConsumerProtocolSubscription";
    const VERSIONS: Versions = Versions { min: 0, max: 3 };
}

impl Embedded for ConsumerProtocolAssignment {
    const NAME: &'static str = "ConsumerProtocolAssignment";
    const VERSIONS: Versions = Versions { min: 0, max: 3 };
}

const fn form(version: i16) -> Form {
    Form {
        version,
        flexible: false,
    }
}
