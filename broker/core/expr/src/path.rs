//! Paths into JSON: `customer.card`, `items[0].price`, `items[*].price`, `"odd name".x`.

use crate::limits::STEPS_MAX;
use alloc::{string::String, vec::Vec};
use core::fmt;
use core::str::FromStr;

/// A path into a JSON text. The empty path is the text itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The field of an object.
    Field(String),
    /// One element of an array.
    Index(usize),
    /// Every element of an array.
    Each,
}

/// Why a text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {what}")]
pub struct PathError {
    /// Where, in bytes from the start of the text.
    pub at: usize,
    /// What was expected there.
    pub what: &'static str,
}

impl Path {
    /// Whether it is the text itself.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The path to a field of an object, whatever its name contains.
    #[must_use]
    pub fn field(name: &str) -> Self {
        Self {
            steps: alloc::vec![Step::Field(name.into())],
        }
    }

    /// The path to every element of an array.
    pub(crate) fn each() -> Self {
        Self {
            steps: alloc::vec![Step::Each],
        }
    }

    /// Whether it may lead to several values.
    pub(crate) fn has_each(&self) -> bool {
        self.steps.contains(&Step::Each)
    }

    /// The name, if the path is one field.
    pub(crate) fn only_field(&self) -> Option<String> {
        match self.steps.as_slice() {
            [Step::Field(name)] => Some(name.clone()),
            _ => None,
        }
    }

    /// Reads as many steps as there are at `at`; each begins with `.` or `[`. Returns where it
    /// stopped.
    pub(crate) fn parse_steps(&mut self, text: &str, mut at: usize) -> Result<usize, PathError> {
        loop {
            match text.as_bytes().get(at) {
                Some(b'.') => at = self.name(text, at + 1)?,
                Some(b'[') => at = self.bracket(text, at + 1)?,
                _ => return Ok(at),
            }
            if self.steps.len() > STEPS_MAX {
                let what = "a path has 16 steps at most";
                return Err(PathError { at, what });
            }
        }
    }

    fn name(&mut self, text: &str, at: usize) -> Result<usize, PathError> {
        if matches!(text.as_bytes().get(at), Some(b'"' | b'\'')) {
            let (name, end) = quoted(text, at)?;
            self.steps.push(Step::Field(name));
            return Ok(end);
        }
        let end = word_end(text, at);
        if end == at {
            let what = "the name of a field is expected; in quotes if it is no plain word";
            return Err(PathError { at, what });
        }
        self.steps.push(Step::Field(text[at..end].into()));
        Ok(end)
    }

    fn bracket(&mut self, text: &str, at: usize) -> Result<usize, PathError> {
        let bytes = text.as_bytes();
        let (step, end) = match bytes.get(at) {
            Some(b'*') => (Step::Each, at + 1),
            Some(b'"' | b'\'') => {
                let (name, end) = quoted(text, at)?;
                (Step::Field(name), end)
            }
            _ => {
                let digits = bytes[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                let what = "a number, * or a name in quotes is expected";
                let index = text[at..at + digits]
                    .parse()
                    .map_err(|_| PathError { at, what })?;
                (Step::Index(index), at + digits)
            }
        };
        if bytes.get(end) != Some(&b']') {
            let what = "] is expected";
            return Err(PathError { at: end, what });
        }
        self.steps.push(step);
        Ok(end + 1)
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut path = Self::default();
        let mut at = 0;
        if !text.starts_with('[') {
            at = path.name(text, 0)?;
        }
        at = path.parse_steps(text, at)?;
        if at < text.len() {
            let what = "a path goes on with . or [";
            return Err(PathError { at, what });
        }
        Ok(path)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.steps.iter().enumerate() {
            match step {
                Step::Field(name) if !name.is_empty() && word_end(name, 0) == name.len() => {
                    let dot = if place > 0 { "." } else { "" };
                    write!(f, "{dot}{name}")?;
                }
                Step::Field(name) => write!(f, "[{name:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Each => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

/// Where a plain word ends: letters, digits, `_`, and `-` inside.
pub(crate) fn word_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or("");
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let starts = rest.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if !starts {
        return at;
    }
    at + rest.find(|c: char| !plain(c)).unwrap_or(rest.len())
}

/// A text in single or double quotes that begins at `at`: what it says, and where it ends.
pub(crate) fn quoted(text: &str, at: usize) -> Result<(String, usize), PathError> {
    let mut chars = text[at..].char_indices();
    let Some((_, quote)) = chars.next() else {
        let what = "a quote is expected";
        return Err(PathError { at, what });
    };
    let mut said = String::new();
    while let Some((place, c)) = chars.next() {
        if c == quote {
            return Ok((said, at + place + c.len_utf8()));
        }
        if c != '\\' {
            said.push(c);
            continue;
        }
        let escaped = match chars.next() {
            Some((_, 'n')) => '\n',
            Some((_, 't')) => '\t',
            Some((_, 'r')) => '\r',
            Some((_, same @ ('\\' | '"' | '\''))) => same,
            _ => {
                let what = "after a backslash comes one of \\ \" ' n t r";
                return Err(PathError {
                    at: at + place,
                    what,
                });
            }
        };
        said.push(escaped);
    }
    let what = "the quote that begins here has no end";
    Err(PathError { at, what })
}
