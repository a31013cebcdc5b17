//! The headers in front of every request and response body.
//!
//! Which version of a header goes with which body is decided here and nowhere else.

use crate::{
    codec::{DecodeError, EncodeError, Form, Reader, Wire, Writer},
    text::Text,
};

/// What stands in front of a request body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API is called.
    pub api_key: i16,
    /// In which of its versions.
    pub api_version: i16,
    /// Returned in the answer; the caller chooses it.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Text>,
}

/// How a header's own fields are written: the client id keeps its old form in every version.
const PLAIN: Form = Form {
    version: 0,
    flexible: false,
};

impl RequestHeader {
    /// Reads the three numbers every version of the header begins with.
    ///
    /// # Errors
    /// Where the bytes are cut short.
    pub fn read_start(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut read = || -> Result<Self, DecodeError> {
            Ok(Self {
                api_key: i16::read(reader, PLAIN)?,
                api_version: i16::read(reader, PLAIN)?,
                correlation_id: i32::read(reader, PLAIN)?,
                client_id: None,
            })
        };
        read().map_err(|error| error.at("RequestHeader", "start"))
    }

    /// Reads what follows [`Self::read_start`]: version 1, or 2 where the body is flexible.
    ///
    /// # Errors
    /// Where the bytes are cut short or the client id is not UTF-8.
    pub fn read_rest(&mut self, reader: &mut Reader, flexible: bool) -> Result<(), DecodeError> {
        self.client_id = <Option<Text>>::read(reader, PLAIN)
            .map_err(|error| error.at("RequestHeader", "client_id"))?;
        if flexible {
            reader
                .tagged(|_, _| Ok(false))
                .map_err(|error| error.at("RequestHeader", "tagged fields"))?;
        }
        Ok(())
    }

    /// Writes version 0, 1 or 2.
    ///
    /// # Errors
    /// Where the client id is too long.
    pub fn write(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        self.api_key.write(writer, PLAIN)?;
        self.api_version.write(writer, PLAIN)?;
        self.correlation_id.write(writer, PLAIN)?;
        if version >= 1 {
            self.client_id
                .write(writer, PLAIN)
                .map_err(|error| error.at("RequestHeader", "client_id"))?;
        }
        if version >= 2 {
            writer.put_uvarint(0);
        }
        Ok(())
    }
}

/// What stands in front of a response body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The request's.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads version 0, or 1 where `tagged`.
    ///
    /// # Errors
    /// Where the bytes are cut short.
    pub fn read(reader: &mut Reader, tagged: bool) -> Result<Self, DecodeError> {
        let correlation_id = i32::read(reader, PLAIN)
            .map_err(|error| error.at("ResponseHeader", "correlation_id"))?;
        if tagged {
            reader
                .tagged(|_, _| Ok(false))
                .map_err(|error| error.at("ResponseHeader", "tagged fields"))?;
        }
        Ok(Self { correlation_id })
    }

    /// Writes version 0, or 1 where `tagged`.
    ///
    /// # Errors
    /// None: a header always fits.
    pub fn write(self, writer: &mut Writer, tagged: bool) -> Result<(), EncodeError> {
        self.correlation_id.write(writer, PLAIN)?;
        if tagged {
            writer.put_uvarint(0);
        }
        Ok(())
    }
}
