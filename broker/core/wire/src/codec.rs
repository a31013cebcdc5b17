//! Reading and writing the protocol's basic types: numbers, strings, arrays, varints, the compact
//! forms of flexible versions and tagged fields (KIP-482).
//!
//! A [`Reader`] never trusts a count: a vector is made only for as many elements as the bytes
//! that are left can hold. A [`Writer`] never copies records: it notes where they go in between.

use crate::{
    limits::{SPLICE_COPIED_BYTES_MAX, TEXT_BYTES_MAX, VARINT_BYTES_MAX, WRITER_BYTES_START},
    text::Text,
};
use alloc::vec::Vec;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use core::fmt;
use thiserror::Error;
use weir_types::{
    BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    TimestampMs, TopicId,
};

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

/// Takes values off the front of a frame; strings and bytes share the frame's memory.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
}

impl Reader {
    /// Reads `bytes` from their start.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// Bytes that are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The next `size` bytes, shared.
    ///
    /// # Errors
    /// [`DecodeFault::Truncated`].
    pub fn take(&mut self, size: usize) -> Result<Bytes, DecodeError> {
        self.need(size)?;
        Ok(self.bytes.split_to(size))
    }

    /// An unsigned varint of at most 32 bits.
    ///
    /// # Errors
    /// [`DecodeFault::Truncated`] or [`DecodeFault::Varint`].
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u64;
        for (index, byte) in self.bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let value = u32::try_from(value).map_err(|_| DecodeFault::Varint)?;
                self.bytes.advance(index + 1);
                return Ok(value);
            }
        }
        if self.remaining() < VARINT_BYTES_MAX {
            let available = self.remaining();
            return Err(DecodeFault::Truncated {
                needed: available + 1,
                available,
            }
            .into());
        }
        Err(DecodeFault::Varint.into())
    }

    /// A length as arrays, bytes and (flexible) strings have it; nothing is null.
    ///
    /// # Errors
    /// [`DecodeFault::Truncated`], [`DecodeFault::Varint`] or [`DecodeFault::Length`].
    pub fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            let raised = self.uvarint()?;
            Ok((raised as usize).checked_sub(1))
        } else {
            self.need(4)?;
            Self::plain_length(i64::from(self.bytes.get_i32()))
        }
    }

    /// A length of an inflexible string; nothing is null.
    fn short_length(&mut self) -> Result<Option<usize>, DecodeError> {
        self.need(2)?;
        Self::plain_length(i64::from(self.bytes.get_i16()))
    }

    fn plain_length(length: i64) -> Result<Option<usize>, DecodeError> {
        if length == -1 {
            return Ok(None);
        }
        usize::try_from(length)
            .map(Some)
            .map_err(|_| DecodeFault::Length { length }.into())
    }

    /// Reads the tagged fields behind a struct of a flexible version: `known` is given each tag
    /// and a reader over its bytes and says whether it knows the tag; others are skipped.
    ///
    /// # Errors
    /// Where the bytes are cut short, or a known field has bytes left over.
    pub fn tagged(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let mut field = Self::new(self.take(size)?);
            if known(tag, &mut field)? {
                field.end()?;
            }
        }
        Ok(())
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeFault::LeftOver`].
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeFault::LeftOver { count }.into()),
        }
    }

    #[inline]
    fn need(&self, needed: usize) -> Result<(), DecodeError> {
        let available = self.remaining();
        if needed <= available {
            Ok(())
        } else {
            Err(DecodeFault::Truncated { needed, available }.into())
        }
    }
}

/// Collects a message: small values in one buffer, large ones spliced in by reference.
#[derive(Clone, Debug)]
pub struct Writer {
    buffer: BytesMut,
    /// Where in the buffer foreign bytes go in between, in order.
    splices: Vec<(usize, Bytes)>,
    spliced: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: BytesMut::with_capacity(WRITER_BYTES_START),
            splices: Vec::new(),
            spliced: 0,
        }
    }

    /// Bytes written so far, spliced ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes in.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Puts bytes in by reference (few are copied, see the limit).
    pub fn splice(&mut self, bytes: Bytes) {
        if bytes.len() <= SPLICE_COPIED_BYTES_MAX {
            self.buffer.put_slice(&bytes);
        } else {
            self.spliced += bytes.len();
            self.splices.push((self.buffer.len(), bytes));
        }
    }

    /// Appends what another writer holds.
    pub fn append(&mut self, other: Self) {
        let base = self.buffer.len();
        self.buffer.put_slice(&other.buffer);
        self.spliced += other.spliced;
        let moved = other
            .splices
            .into_iter()
            .map(|(at, bytes)| (base + at, bytes));
        self.splices.extend(moved);
    }

    /// An unsigned varint.
    pub fn put_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    /// A length as arrays, bytes and (flexible) strings have it.
    ///
    /// # Errors
    /// [`EncodeFault::TooLong`] above what 31 bits can say.
    pub fn put_length(&mut self, size: usize, flexible: bool) -> Result<(), EncodeError> {
        let length = i32::try_from(size).map_err(|_| EncodeFault::TooLong { size })?;
        if flexible {
            self.put_uvarint(length.cast_unsigned() + 1);
        } else {
            self.buffer.put_i32(length);
        }
        Ok(())
    }

    /// The null of arrays, bytes and (flexible) strings.
    pub fn put_null(&mut self, flexible: bool) {
        if flexible {
            self.buffer.put_u8(0);
        } else {
            self.buffer.put_i32(-1);
        }
    }

    /// One tagged field.
    ///
    /// # Errors
    /// As the value's own.
    pub fn put_tagged<T: Wire>(
        &mut self,
        tag: u32,
        value: &T,
        form: Form,
    ) -> Result<(), EncodeError> {
        let mut inner = Self::new();
        value.write(&mut inner, form)?;
        let size = inner.len();
        self.put_uvarint(tag);
        self.put_uvarint(u32::try_from(size).map_err(|_| EncodeFault::TooLong { size })?);
        self.append(inner);
        Ok(())
    }

    /// Overwrites bytes of the buffer; they must have been put there before the first splice.
    pub(crate) fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        self.buffer[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The message as segments to be sent one after the other; none is empty.
    #[must_use]
    pub fn finish(self) -> Vec<Bytes> {
        let buffer = self.buffer.freeze();
        if self.splices.is_empty() {
            return alloc::vec![buffer];
        }
        let mut segments = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut from = 0;
        for (at, bytes) in self.splices {
            if at > from {
                segments.push(buffer.slice(from..at));
            }
            segments.push(bytes);
            from = at;
        }
        if from < buffer.len() {
            segments.push(buffer.slice(from..));
        }
        segments
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

macro_rules! numbers {
    ($($ty:ty, $bytes:literal, $get:ident, $put:ident;)*) => {$(
        impl Wire for $ty {
            #[inline]
            fn min_bytes(_form: Form) -> usize {
                $bytes
            }

            #[inline]
            fn read(reader: &mut Reader, _form: Form) -> Result<Self, DecodeError> {
                reader.need($bytes)?;
                Ok(reader.bytes.$get())
            }

            #[inline]
            fn write(&self, writer: &mut Writer, _form: Form) -> Result<(), EncodeError> {
                writer.buffer.$put(*self);
                Ok(())
            }
        }
    )*};
}

numbers! {
    i8, 1, get_i8, put_i8;
    i16, 2, get_i16, put_i16;
    i32, 4, get_i32, put_i32;
    i64, 8, get_i64, put_i64;
}

macro_rules! newtypes {
    ($($ty:ident: $inner:ty;)*) => {$(
        impl Wire for $ty {
            #[inline]
            fn min_bytes(form: Form) -> usize {
                <$inner>::min_bytes(form)
            }

            #[inline]
            fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
                Ok(Self(<$inner>::read(reader, form)?))
            }

            #[inline]
            fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
                self.0.write(writer, form)
            }
        }
    )*};
}

newtypes! {
    BrokerId: i32;
    LeaderEpoch: i32;
    Offset: i64;
    PartitionIndex: i32;
    ProducerEpoch: i16;
    ProducerId: i64;
    TimestampMs: i64;
}

impl Wire for bool {
    fn min_bytes(_form: Form) -> usize {
        1
    }

    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        Ok(i8::read(reader, form)? != 0)
    }

    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
        i8::from(*self).write(writer, form)
    }
}

impl Wire for ErrorCode {
    fn min_bytes(_form: Form) -> usize {
        2
    }

    /// Codes of a later Kafka read as `UnknownServerError`.
    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        Ok(Self::from_code(i16::read(reader, form)?))
    }

    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
        self.code().write(writer, form)
    }
}

impl Wire for TopicId {
    fn min_bytes(_form: Form) -> usize {
        16
    }

    fn read(reader: &mut Reader, _form: Form) -> Result<Self, DecodeError> {
        let mut id = [0; 16];
        reader.need(id.len())?;
        reader.bytes.copy_to_slice(&mut id);
        Ok(Self(id))
    }

    fn write(&self, writer: &mut Writer, _form: Form) -> Result<(), EncodeError> {
        writer.put_slice(&self.0);
        Ok(())
    }
}

impl Wire for Option<Text> {
    fn min_bytes(form: Form) -> usize {
        if form.flexible { 1 } else { 2 }
    }

    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        let length = if form.flexible {
            reader.length(true)?
        } else {
            reader.short_length()?
        };
        let Some(length) = length else {
            return Ok(None);
        };
        if length > TEXT_BYTES_MAX {
            return Err(DecodeFault::Length {
                length: i64::try_from(length).unwrap_or(i64::MAX),
            }
            .into());
        }
        let bytes = reader.take(length)?;
        let text = Text::from_utf8(bytes).map_err(|_| DecodeFault::Utf8)?;
        Ok(Some(text))
    }

    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
        match self {
            Some(text) => text.write(writer, form),
            None if form.flexible => {
                writer.put_null(true);
                Ok(())
            }
            None => (-1i16).write(writer, form),
        }
    }
}

impl Wire for Text {
    fn min_bytes(form: Form) -> usize {
        <Option<Self>>::min_bytes(form)
    }

    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        not_null(<Option<Self>>::read(reader, form)?, form)
    }

    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
        let size = self.len();
        let length = i16::try_from(size).map_err(|_| EncodeFault::TooLong { size })?;
        if form.flexible {
            writer.put_length(size, true)?;
        } else {
            length.write(writer, form)?;
        }
        writer.put_slice(self.as_bytes());
        Ok(())
    }
}

impl Wire for Option<Bytes> {
    fn min_bytes(form: Form) -> usize {
        if form.flexible { 1 } else { 4 }
    }

    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        match reader.length(form.flexible)? {
            Some(length) => reader.take(length).map(Some),
            None => Ok(None),
        }
    }

    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
        match self {
            Some(bytes) => bytes.write(writer, form),
            None => {
                writer.put_null(form.flexible);
                Ok(())
            }
        }
    }
}

impl Wire for Bytes {
    fn min_bytes(form: Form) -> usize {
        <Option<Self>>::min_bytes(form)
    }

    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        not_null(<Option<Self>>::read(reader, form)?, form)
    }

    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
        writer.put_length(self.len(), form.flexible)?;
        writer.splice(self.clone());
        Ok(())
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    fn min_bytes(form: Form) -> usize {
        if form.flexible { 1 } else { 4 }
    }

    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        let Some(count) = reader.length(form.flexible)? else {
            return Ok(None);
        };
        let available = reader.remaining();
        if count > available / T::min_bytes(form).max(1) {
            return Err(DecodeFault::Count { count, available }.into());
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(T::read(reader, form)?);
        }
        Ok(Some(items))
    }

    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
        match self {
            Some(items) => items.write(writer, form),
            None => {
                writer.put_null(form.flexible);
                Ok(())
            }
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn min_bytes(form: Form) -> usize {
        <Option<Self>>::min_bytes(form)
    }

    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        not_null(<Option<Self>>::read(reader, form)?, form)
    }

    fn write(&self, writer: &mut Writer, form: Form) -> Result<(), EncodeError> {
        writer.put_length(self.len(), form.flexible)?;
        self.iter().try_for_each(|item| item.write(writer, form))
    }
}

fn not_null<T>(value: Option<T>, form: Form) -> Result<T, DecodeError> {
    let version = form.version;
    value.ok_or_else(|| DecodeFault::Null { version }.into())
}
