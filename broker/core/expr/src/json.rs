//! Finding paths in a JSON text: one walk, no copies, nothing kept but places in the text.
//!
//! The reading is serde_json's; what no path leads to is skipped without a look at its meaning.
//! The walk recurses only along paths, so a text cannot make it deep.

use crate::limits::PATHS_MAX;
use crate::path::{Path, Step};
use alloc::borrow::Cow;
use core::fmt;
use core::ops::Range;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text could not be read as JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid JSON at line {line}, column {column}")]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// Whether a text is one JSON value and nothing else.
///
/// # Errors
/// Where it is not.
pub fn check(json: &str) -> Result<(), JsonError> {
    serde_json::from_str::<IgnoredAny>(json)?;
    Ok(())
}

/// Calls `found` with each value that a path leads to: the place of the path in `paths`, and the
/// bytes of the value in `json`. Values come in the order of the text and never overlap: what
/// lies inside a value that was found is not looked at. A field that comes twice is found twice.
/// Of more than 64 paths only the first 64 are looked for.
///
/// # Errors
/// Where the text is not JSON; what was found before was reported.
pub fn walk(
    json: &str,
    paths: &[Path],
    mut found: impl FnMut(usize, Range<usize>),
) -> Result<(), JsonError> {
    let paths = &paths[..paths.len().min(PATHS_MAX)];
    let active = if paths.len() == PATHS_MAX {
        u64::MAX
    } else {
        (1 << paths.len()) - 1
    };
    let mut walk = Walk {
        base: json.as_ptr().addr(),
        paths,
        found: &mut found,
    };
    let mut reader = serde_json::Deserializer::from_str(json);
    let here = Here {
        walk: &mut walk,
        active,
        depth: 0,
    };
    here.deserialize(&mut reader)?;
    reader.end()?;
    Ok(())
}

/// The value that a path leads to, as it stands in the text; of several the last, as most
/// readers of JSON choose.
///
/// # Errors
/// Where the text is not JSON.
pub fn find<'j>(json: &'j str, path: &Path) -> Result<Option<&'j str>, JsonError> {
    let mut last = None;
    walk(json, core::slice::from_ref(path), |_, place| {
        last = json.get(place)
    })?;
    Ok(last)
}

/// What a piece of JSON is.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'j> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string, without quotes and escapes.
    String(Cow<'j, str>),
    /// An array, as it stands in the text.
    Array(&'j str),
    /// An object, as it stands in the text.
    Object(&'j str),
}

impl<'j> Json<'j> {
    /// Reads one value as [`find`] returns it. Nothing where the text is no JSON value.
    #[must_use]
    pub fn read(text: &'j str) -> Option<Self> {
        let text = text.trim_ascii();
        Some(match text.as_bytes().first()? {
            b'n' if text == "null" => Self::Null,
            b't' if text == "true" => Self::Bool(true),
            b'f' if text == "false" => Self::Bool(false),
            b'[' => Self::Array(text),
            b'{' => Self::Object(text),
            b'"' => Self::String(string(text)?),
            _ => Self::Number(Number::read(text)?),
        })
    }
}

fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(text).ok().map(Cow::Owned)
}

/// A number: whole numbers are compared exactly, others as IEEE 754 doubles.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A whole number.
    Whole(i128),
    /// Any other.
    Float(f64),
}

impl Number {
    /// Reads a number. Nothing where the text is none, or one that is not finite.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let digit = |b: u8| b.is_ascii_digit();
        let numeric = |b: u8| digit(b) || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
        if !text.bytes().any(digit) || !text.bytes().all(numeric) {
            return None;
        }
        if let Ok(whole) = text.parse() {
            return Some(Self::Whole(whole));
        }
        let float: f64 = text.parse().ok()?;
        float.is_finite().then_some(Self::Float(float))
    }

    #[allow(clippy::cast_precision_loss)]
    const fn float(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(core::cmp::Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(b)),
            (a, b) => a.float().partial_cmp(&b.float()),
        }
    }
}

struct Walk<'w> {
    /// Where the text begins.
    base: usize,
    paths: &'w [Path],
    found: &'w mut dyn FnMut(usize, Range<usize>),
}

/// A value, reached by the first `depth` steps of the active paths (one bit each).
struct Here<'a, 'w> {
    walk: &'a mut Walk<'w>,
    active: u64,
    depth: usize,
}

impl Walk<'_> {
    fn each(&self, active: u64) -> impl Iterator<Item = (u64, &Path)> {
        let bits = (0..self.paths.len()).map(|place| 1 << place);
        bits.zip(self.paths)
            .filter(move |(bit, _)| active & bit != 0)
    }

    /// The active paths whose next step is one of these.
    fn next(&self, active: u64, depth: usize, is: impl Fn(&Step) -> bool) -> u64 {
        self.each(active)
            .filter(|(_, path)| path.steps.get(depth).is_some_and(&is))
            .fold(0, |bits, (bit, _)| bits | bit)
    }
}

impl<'de> DeserializeSeed<'de> for Here<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        if self.active == 0 {
            return IgnoredAny::deserialize(reader).map(|_| ());
        }
        let ending = self
            .walk
            .each(self.active)
            .filter(|(_, path)| path.steps.len() == self.depth)
            .fold(0_u64, |bits, (bit, _)| bits | bit);
        if ending == 0 {
            return reader.deserialize_any(self);
        }
        let text = <&RawValue>::deserialize(reader)?.get();
        let start = text.as_ptr().addr() - self.walk.base;
        let place = ending.trailing_zeros() as usize;
        (self.walk.found)(place, start..start + text.len());
        Ok(())
    }
}

impl<'de> Visitor<'de> for Here<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self {
            walk,
            active,
            depth,
        } = self;
        loop {
            let key = Key {
                walk,
                active,
                depth,
            };
            let Some(matching) = map.next_key_seed(key)? else {
                return Ok(());
            };
            map.next_value_seed(Here {
                walk,
                active: matching,
                depth: depth + 1,
            })?;
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self {
            walk,
            active,
            depth,
        } = self;
        let mut index = 0;
        loop {
            let matching = walk.next(active, depth, |step| match step {
                Step::Index(wanted) => *wanted == index,
                Step::Each => true,
                Step::Field(_) => false,
            });
            let here = Here {
                walk,
                active: matching,
                depth: depth + 1,
            };
            if seq.next_element_seed(here)?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// The name of a field: which of the active paths go on with it.
struct Key<'a, 'w> {
    walk: &'a Walk<'w>,
    active: u64,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<u64, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<u64, E> {
        let is = |step: &Step| matches!(step, Step::Field(wanted) if wanted == name);
        Ok(self.walk.next(self.active, self.depth, is))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    fn found<'j>(json: &'j str, paths: &[&str]) -> Vec<(usize, &'j str)> {
        let paths: Vec<Path> = paths.iter().map(|path| path.parse().unwrap()).collect();
        let mut all = vec![];
        walk(json, &paths, |path, place| all.push((path, &json[place]))).unwrap();
        all
    }

    #[test]
    fn values_are_found_as_they_stand() {
        let json = r#" {"a": {"b" : [1, {"c":"x\"y"}], "d":null}, "a.b": 2.50} "#;
        assert_eq!(found(json, &["a.b[1].c"]), [(0, r#""x\"y""#)]);
        assert_eq!(found(json, &["a.d", "\"a.b\""]), [(0, "null"), (1, "2.50")]);
        assert_eq!(found(json, &["a.b"]), [(0, r#"[1, {"c":"x\"y"}]"#)]);
        assert_eq!(found(json, &["a.b[*]"]), [(0, "1"), (0, r#"{"c":"x\"y"}"#)]);
        assert_eq!(found(json, &["a.b[7]", "b", "a.d.e"]), []);
    }

    #[test]
    fn what_lies_inside_a_found_value_is_not_found_again() {
        assert_eq!(
            found(r#"{"a":{"b":1}}"#, &["a.b", "a"]),
            [(1, r#"{"b":1}"#)]
        );
    }

    #[test]
    fn a_field_that_comes_twice_is_found_twice_and_read_last() {
        let json = r#"{"a":1,"\u0061":2}"#;
        assert_eq!(found(json, &["a"]), [(0, "1"), (0, "2")]);
        assert_eq!(find(json, &Path::field("a")).unwrap(), Some("2"));
    }

    #[test]
    fn a_deep_text_is_skipped_or_refused_but_never_followed() {
        let deep = alloc::format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(check(&deep), Ok(()));
        let inside = alloc::format!("{{\"a\":{deep},\"b\":1}}");
        assert_eq!(found(&inside, &["b"]), [(0, "1")]);
    }

    #[test]
    fn what_follows_the_value_is_no_json() {
        let error = check("{} x").unwrap_err();
        assert_eq!((error.line, error.column), (1, 4));
        assert!(walk("{\"a\":1", &[Path::field("a")], |_, _| ()).is_err());
    }

    #[test]
    fn whole_numbers_are_exact() {
        let a = Number::read("9007199254740993").unwrap();
        let b = Number::read("9007199254740992").unwrap();
        assert!(a > b);
        assert!(Number::read("1.5e3").unwrap() == Number::read("1500").unwrap());
        for bad in ["", "-", "nan", "inf", "1x", "1e999"] {
            assert!(Number::read(bad).is_none(), "{bad}");
        }
    }
}
