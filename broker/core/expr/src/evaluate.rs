//! From expression and record to true or false. It cannot fail: what cannot be read is not there.

use crate::json::{self, Json, Number};
use crate::path::Path;
use crate::syntax::{Comparison, Expr, Node, Operand};
use alloc::borrow::Cow;
use core::cmp::Ordering;

/// What an expression may ask of a record.
pub trait Fields {
    /// The key; nothing where it is null.
    fn key(&self) -> Option<&[u8]>;
    /// The value; nothing where it is null.
    fn value(&self) -> Option<&[u8]>;
    /// The last header of that name; nothing where there is none, and in it nothing where its
    /// value is null.
    fn header(&self, name: &str) -> Option<Option<&[u8]>>;
    /// The topic.
    fn topic(&self) -> &str;
    /// The partition.
    fn partition(&self) -> u32;
    /// The offset.
    fn offset(&self) -> i64;
    /// The timestamp, in milliseconds since 1970.
    fn timestamp(&self) -> i64;
}

impl Expr {
    /// Whether the expression is true for a record.
    #[must_use]
    pub fn matches(&self, record: &dyn Fields) -> bool {
        self.root.is_true(record)
    }
}

/// A value of a record, or of the expression.
#[derive(Clone, Debug)]
enum Is<'v> {
    Json(Json<'v>),
    /// A whole key or value, or a header: text that counts as a number beside one.
    Text(&'v str),
}

impl Node {
    fn is_true(&self, record: &dyn Fields) -> bool {
        match self {
            Self::Or(nodes) => nodes.iter().any(|node| node.is_true(record)),
            Self::And(nodes) => nodes.iter().all(|node| node.is_true(record)),
            Self::Not(node) => !node.is_true(record),
            Self::Exists(operand) => operand.exists(record),
            Self::True(operand) => {
                operand.any(record, &mut |is| matches!(is, Is::Json(Json::Bool(true))))
            }
            Self::Compare(left, Comparison::NotEqual, right) => {
                !compare(left, Comparison::Equal, right, record)
            }
            Self::Compare(left, comparison, right) => compare(left, *comparison, right, record),
        }
    }
}

fn compare(left: &Operand, comparison: Comparison, right: &Operand, record: &dyn Fields) -> bool {
    left.any(record, &mut |a| {
        right.any(record, &mut |b| holds(a, comparison, b))
    })
}

impl Operand {
    /// Whether something is there.
    fn exists(&self, record: &dyn Fields) -> bool {
        match self {
            Self::Key(path) => present(record.key(), path),
            Self::Value(path) => present(record.value(), path),
            Self::Header(name) => record.header(name).is_some(),
            _ => true,
        }
    }

    /// Whether `holds` is true for one of the values that this stands for; there is always one.
    fn any(&self, record: &dyn Fields, holds: &mut dyn FnMut(&Is<'_>) -> bool) -> bool {
        let whole = |number: i128| Is::Json(Json::Number(Number::Whole(number)));
        match self {
            Self::Key(path) => any_at(record.key(), path, holds),
            Self::Value(path) => any_at(record.value(), path, holds),
            Self::Null => holds(&Is::Json(Json::Null)),
            Self::Bool(bool) => holds(&Is::Json(Json::Bool(*bool))),
            Self::Number(number) => holds(&Is::Json(Json::Number(*number))),
            Self::Text(text) => holds(&Is::Json(Json::String(Cow::Borrowed(text)))),
            Self::Header(name) => holds(&text(record.header(name).flatten())),
            Self::Topic => holds(&Is::Text(record.topic())),
            Self::Partition => holds(&whole(record.partition().into())),
            Self::Offset => holds(&whole(record.offset().into())),
            Self::Timestamp => holds(&whole(record.timestamp().into())),
        }
    }
}

/// Bytes as text; what is not UTF-8 is as if it were not there.
fn text(bytes: Option<&[u8]>) -> Is<'_> {
    let text = bytes.and_then(|bytes| core::str::from_utf8(bytes).ok());
    text.map_or(Is::Json(Json::Null), Is::Text)
}

fn present(bytes: Option<&[u8]>, path: &Path) -> bool {
    if path.is_empty() {
        return bytes.is_some();
    }
    let text = bytes.and_then(|bytes| core::str::from_utf8(bytes).ok());
    text.is_some_and(|text| matches!(json::find(text, path), Ok(Some(_))))
}

fn any_at(bytes: Option<&[u8]>, path: &Path, holds: &mut dyn FnMut(&Is<'_>) -> bool) -> bool {
    let whole = match text(bytes) {
        Is::Text(whole) if !path.is_empty() => whole,
        Is::Text(whole) => return holds(&Is::Text(whole)),
        null @ Is::Json(_) => return holds(&null),
    };
    let read = |text| Is::Json(Json::read(text).unwrap_or(Json::Null));
    if path.has_each() {
        let mut any = false;
        let mut found = false;
        let walked = json::walk(whole, core::slice::from_ref(path), |_, place| {
            found = true;
            any = any || whole.get(place).is_some_and(|text| holds(&read(text)));
        });
        // Half a text is no text: what it began with does not count.
        if walked.is_ok() && found {
            return any;
        }
        return holds(&Is::Json(Json::Null));
    }
    match json::find(whole, path) {
        Ok(Some(text)) => holds(&read(text)),
        _ => holds(&Is::Json(Json::Null)),
    }
}

fn holds(a: &Is<'_>, comparison: Comparison, b: &Is<'_>) -> bool {
    use Comparison as C;
    let about_texts = |ask: fn(&str, &str) -> bool| match (a.as_text(), b.as_text()) {
        (Some(a), Some(b)) => ask(a, b),
        _ => false,
    };
    match comparison {
        C::Equal => order(a, b) == Some(Ordering::Equal),
        C::NotEqual => order(a, b) != Some(Ordering::Equal),
        C::Less => order(a, b) == Some(Ordering::Less),
        C::Greater => order(a, b) == Some(Ordering::Greater),
        C::LessOrEqual => !a.is_null() && order(a, b).is_some_and(Ordering::is_le),
        C::GreaterOrEqual => !a.is_null() && order(a, b).is_some_and(Ordering::is_ge),
        C::StartsWith => about_texts(|a, b| a.starts_with(b)),
        C::EndsWith => about_texts(|a, b| a.ends_with(b)),
        C::Contains => match a {
            Is::Json(Json::Array(array)) => has_element(array, b),
            _ => about_texts(|a, b| a.contains(b)),
        },
    }
}

fn has_element(array: &str, wanted: &Is<'_>) -> bool {
    let mut any = false;
    let elements = [Path::each()];
    let walked = json::walk(array, &elements, |_, place| {
        let element = array.get(place).and_then(Json::read);
        any = any
            || element
                .is_some_and(|element| order(&Is::Json(element), wanted) == Some(Ordering::Equal));
    });
    walked.is_ok() && any
}

/// How two values lie; nothing where they do not compare.
fn order(a: &Is<'_>, b: &Is<'_>) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (a.as_text(), b.as_text()) {
        return Some(a.cmp(b));
    }
    match (a, b) {
        (Is::Json(Json::Null), Is::Json(Json::Null)) => Some(Ordering::Equal),
        (Is::Json(Json::Bool(a)), Is::Json(Json::Bool(b))) => (a == b).then_some(Ordering::Equal),
        (Is::Json(Json::Number(a)), Is::Json(Json::Number(b))) => a.partial_cmp(b),
        (Is::Text(a), Is::Json(Json::Number(b))) => Number::read(a)?.partial_cmp(b),
        (Is::Json(Json::Number(a)), Is::Text(b)) => a.partial_cmp(&Number::read(b)?),
        _ => None,
    }
}

impl Is<'_> {
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(Json::String(text)) => Some(text),
            Self::Json(_) => None,
        }
    }

    const fn is_null(&self) -> bool {
        matches!(self, Self::Json(Json::Null))
    }
}

#[cfg(test)]
mod tests;
