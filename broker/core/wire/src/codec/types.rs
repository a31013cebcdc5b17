//! How each basic type of the protocol is read and written.
//!
//! Structs are not here: they come from their declarations.

use super::{DecodeError, DecodeFault, EncodeError, EncodeFault, Form, Reader, Wire, Writer};
use crate::{limits::TEXT_BYTES_MAX, text::Text};
use alloc::vec::Vec;
use bytes::{Buf, BufMut, Bytes};
use weir_types::{
    BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    TimestampMs, TopicId,
};

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
