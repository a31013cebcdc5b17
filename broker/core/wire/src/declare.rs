//! The language in which messages are declared: one block a struct, one line a field. From it
//! come the struct, its default, and how each version of it is read and written.
//!
//! ```text
//! messages! {
//!     /// What it is.
//!     message NAME(key = 1, versions = 4..=18, flexible = 12) {
//!         /// One sentence.
//!         field: Type [versions], null(versions), tag(number), ignorable = default;
//!     }
//!     /// A struct inside it.
//!     part NAME { … }
//! }
//! ```
//!
//! Versions are Rust range patterns (`12..`, `0..=14`) and may be left out where every version has
//! the field. `null` says in which versions an `Option` may be empty. `tag` makes it a tagged
//! field. A field that is set in a version without it is an error unless it is `ignorable`
//! (Kafka's rule). The default is the type's own unless one is given. A part that may be null
//! itself needs a line of `nullable_parts!` as well.
//!
//! Only macros live here: what a message says belongs in its declaration, never in a special case
//! of this file.

/// Declares messages and their parts; see the module's text.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $kind:ident $name:ident
        $((key = $key:literal, versions = $min:literal ..= $max:literal, flexible = $flexible:literal))?
        {
            $(
                $(#[$field_doc:meta])*
                $field:ident : $ty:ty
                $([$($versions:tt)+])?
                $(, $flag:ident $(($($argument:tt)+))?)*
                $(= $default:expr)?
                ;
            )*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                pub $field: $ty,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: default_of!($ty $(, $default)?),)* }
            }
        }

        impl $crate::codec::Wire for $name {
            fn min_bytes(form: $crate::codec::Form) -> usize {
                let mut bytes = usize::from(form.flexible);
                $(
                    if tag_of!($($flag $(($($argument)+))?)*).is_none()
                        && exists!(form.version $(, $($versions)+)?)
                    {
                        bytes += <$ty as $crate::codec::Wire>::min_bytes(form);
                    }
                )*
                bytes
            }

            fn read(
                reader: &mut $crate::codec::Reader,
                form: $crate::codec::Form,
            ) -> Result<Self, $crate::codec::DecodeError> {
                let mut value = Self::default();
                $(
                    if tag_of!($($flag $(($($argument)+))?)*).is_none()
                        && exists!(form.version $(, $($versions)+)?)
                    {
                        value.$field = <$ty as $crate::codec::Wire>::read(reader, form)
                            .map_err(|error| error.at(stringify!($name), stringify!($field)))?;
                        if null_refused!(value.$field, form.version, $($flag $(($($argument)+))?)*) {
                            let version = form.version;
                            return Err($crate::codec::DecodeError::from(
                                $crate::codec::DecodeFault::Null { version },
                            )
                            .at(stringify!($name), stringify!($field)));
                        }
                    }
                )*
                if form.flexible {
                    reader.tagged(|tag, reader| {
                        $(
                            if tag_of!($($flag $(($($argument)+))?)*) == Some(tag)
                                && exists!(form.version $(, $($versions)+)?)
                            {
                                value.$field = <$ty as $crate::codec::Wire>::read(reader, form)
                                    .map_err(|error| error.at(stringify!($name), stringify!($field)))?;
                                return Ok(true);
                            }
                        )*
                        let _ = (tag, reader);
                        Ok(false)
                    })
                    .map_err(|error| error.at(stringify!($name), "tagged fields"))?;
                }
                Ok(value)
            }

            fn write(
                &self,
                writer: &mut $crate::codec::Writer,
                form: $crate::codec::Form,
            ) -> Result<(), $crate::codec::EncodeError> {
                let mut tagged = 0;
                $(
                    if !exists!(form.version $(, $($versions)+)?) {
                        if !ignorable!($($flag $(($($argument)+))?)*)
                            && self.$field != default_of!($ty $(, $default)?)
                        {
                            let version = form.version;
                            return Err($crate::codec::EncodeError::from(
                                $crate::codec::EncodeFault::Absent { version },
                            )
                            .at(stringify!($name), stringify!($field)));
                        }
                    } else if tag_of!($($flag $(($($argument)+))?)*).is_some() {
                        tagged += u32::from(self.$field != default_of!($ty $(, $default)?));
                    } else {
                        if null_refused!(self.$field, form.version, $($flag $(($($argument)+))?)*) {
                            let version = form.version;
                            return Err($crate::codec::EncodeError::from(
                                $crate::codec::EncodeFault::Null { version },
                            )
                            .at(stringify!($name), stringify!($field)));
                        }
                        $crate::codec::Wire::write(&self.$field, writer, form)
                            .map_err(|error| error.at(stringify!($name), stringify!($field)))?;
                    }
                )*
                if form.flexible {
                    writer.put_uvarint(tagged);
                    $(
                        if let Some(tag) = tag_of!($($flag $(($($argument)+))?)*)
                            && exists!(form.version $(, $($versions)+)?)
                            && self.$field != default_of!($ty $(, $default)?)
                        {
                            writer
                                .put_tagged(tag, &self.$field, form)
                                .map_err(|error| error.at(stringify!($name), stringify!($field)))?;
                        }
                    )*
                }
                Ok(())
            }
        }

        $(
            impl $crate::codec::Message for $name {
                const KEY: i16 = $key;
                const NAME: &'static str = stringify!($name);
                const VERSIONS: $crate::codec::Versions =
                    $crate::codec::Versions { min: $min, max: $max };
                const FLEXIBLE_FROM: i16 = $flexible;
            }
        )?

        #[cfg(test)]
        impl $crate::messages::sample::Sample for $name {
            fn sample(seed: &mut $crate::messages::sample::Seed, version: i16) -> Self {
                let mut value = Self::default();
                $(
                    if exists!(version $(, $($versions)+)?) {
                        value.$field = $crate::messages::sample::Sample::sample(seed, version);
                        if null_refused!(value.$field, version, $($flag $(($($argument)+))?)*) {
                            value.$field = $crate::messages::sample::Sample::present(seed, version);
                        }
                    }
                )*
                value
            }

            fn tree(&self, version: i16) -> $crate::messages::sample::Tree {
                let mut fields = std::vec::Vec::new();
                $(
                    if exists!(version $(, $($versions)+)?) {
                        fields.push((
                            std::string::String::from(stringify!($field)),
                            $crate::messages::sample::Sample::tree(&self.$field, version),
                        ));
                    }
                )*
                $crate::messages::sample::Tree::Struct(fields)
            }

            fn growth(form: $crate::codec::Form) -> usize {
                let mut growth = 0;
                $(
                    if exists!(form.version $(, $($versions)+)?) {
                        growth = growth.max(<$ty as $crate::messages::sample::Sample>::growth(form));
                    }
                )*
                growth
            }
        }
    )*};
}

/// A field's default: its type's, unless one is given.
macro_rules! default_of {
    ($ty:ty) => {
        <$ty as Default>::default()
    };
    ($ty:ty, $default:expr) => {
        $default
    };
}

/// Whether a version has a field.
macro_rules! exists {
    ($version:expr) => {
        true
    };
    ($version:expr, $($versions:tt)+) => {
        matches!($version, $($versions)+)
    };
}

/// The tag among a field's flags, if there is one.
macro_rules! tag_of {
    () => { None::<u32> };
    (tag($tag:literal) $($rest:tt)*) => { Some::<u32>($tag) };
    ($skipped:tt $($rest:tt)*) => { tag_of!($($rest)*) };
}

/// Whether a field's flags let it be left out.
macro_rules! ignorable {
    () => { false };
    (ignorable $($rest:tt)*) => { true };
    ($skipped:tt $($rest:tt)*) => { ignorable!($($rest)*) };
}

/// Whether a field is null in a version that allows none; only `null` fields can be.
macro_rules! null_refused {
    ($field:expr, $version:expr,) => { false };
    ($field:expr, $version:expr, null($($versions:tt)+) $($rest:tt)*) => {
        $field.is_none() && !matches!($version, $($versions)+)
    };
    ($field:expr, $version:expr, $skipped:tt $($rest:tt)*) => {
        null_refused!($field, $version, $($rest)*)
    };
}

/// Makes parts fields that may be null: a byte in front, -1 for null, 1 for what follows.
macro_rules! nullable_parts {
    ($($part:ty;)*) => {$(
        impl $crate::codec::Wire for Option<$part> {
            fn min_bytes(_form: $crate::codec::Form) -> usize {
                1
            }

            fn read(
                reader: &mut $crate::codec::Reader,
                form: $crate::codec::Form,
            ) -> Result<Self, $crate::codec::DecodeError> {
                match <i8 as $crate::codec::Wire>::read(reader, form)? {
                    -1 => Ok(None),
                    1 => <$part as $crate::codec::Wire>::read(reader, form).map(Some),
                    other => {
                        let length = i64::from(other);
                        Err($crate::codec::DecodeFault::Length { length }.into())
                    }
                }
            }

            fn write(
                &self,
                writer: &mut $crate::codec::Writer,
                form: $crate::codec::Form,
            ) -> Result<(), $crate::codec::EncodeError> {
                match self {
                    None => $crate::codec::Wire::write(&-1i8, writer, form),
                    Some(part) => {
                        $crate::codec::Wire::write(&1i8, writer, form)?;
                        $crate::codec::Wire::write(part, writer, form)
                    }
                }
            }
        }
    )*};
}
