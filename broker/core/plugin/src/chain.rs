//! Chains of plugins as people write them: `mask-fields@1.2.0(fields="card,email")|drop-nulls`.
//!
//! A text that reads as a chain is written back in one form only, so that equal chains have equal
//! texts.

use crate::limits::{
    CHAIN_BYTES_MAX, CHAIN_LINKS_MAX, NAME_BYTES_MAX, PARAMETERS_MAX, VERSION_BYTES_MAX,
};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::{fmt, str::FromStr};
use thiserror::Error;

/// A plugin, in one version or in the one that is active.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginRef {
    /// Its name: a lower-case letter, then lower-case letters, digits and hyphens.
    pub name: String,
    /// Its version; nothing: whichever is active.
    pub version: Option<String>,
}

/// One plugin of a chain, with what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which plugin.
    pub plugin: PluginRef,
    /// Its parameters, by name.
    pub parameters: BTreeMap<String, String>,
}

/// Plugins one after the other; the first is given the records, each further one what the one
/// before gave back. Empty: nothing is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// In order.
    pub links: Vec<Link>,
}

/// A chain that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// It is too long.
    #[error("the chain has {bytes} bytes, but may have {CHAIN_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Too many plugins.
    #[error("the chain has {links} plugins, but may have {CHAIN_LINKS_MAX}")]
    TooManyLinks {
        /// How many there are.
        links: usize,
    },
    /// Too many parameters.
    #[error("plugin '{plugin}' is given more than {PARAMETERS_MAX} parameters")]
    TooManyParameters {
        /// Whose.
        plugin: String,
    },
    /// No name.
    #[error(
        "'{text}' is no plugin name: a lower-case letter, then up to 62 lower-case letters, digits or hyphens"
    )]
    BadName {
        /// What stands there.
        text: String,
    },
    /// No version.
    #[error("'{text}' is no version: write three numbers, such as 1.2.0")]
    BadVersion {
        /// What stands there.
        text: String,
    },
    /// Something else was expected.
    #[error("at character {at} of the chain there should be {wanted}")]
    Expected {
        /// Where, counted in bytes from 0.
        at: usize,
        /// What should be there.
        wanted: &'static str,
    },
    /// A parameter twice.
    #[error("plugin '{plugin}' is given the parameter '{parameter}' twice")]
    Twice {
        /// Whose.
        plugin: String,
        /// Which.
        parameter: String,
    },
}

impl Chain {
    /// Whether nothing is attached.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}

impl FromStr for PluginRef {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let mut bytes = name.bytes();
        let starts = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let goes_on = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !starts || !bytes.all(goes_on) || name.len() > NAME_BYTES_MAX {
            return Err(ChainError::BadName { text: name.into() });
        }
        if let Some(version) = version.filter(|version| !is_version(version)) {
            return Err(ChainError::BadVersion {
                text: version.into(),
            });
        }
        Ok(Self {
            name: name.into(),
            version: version.map(Into::into),
        })
    }
}

/// Whether a text is a version: three numbers, perhaps with a pre-release or build behind.
#[must_use]
pub fn is_version(text: &str) -> bool {
    let (numbers, rest) = match text.find(['-', '+']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, "x"),
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.len() <= VERSION_BYTES_MAX
        && numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && !rest.is_empty()
        && rest.bytes().all(word)
}

impl FromStr for Chain {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        if text.len() > CHAIN_BYTES_MAX {
            return Err(ChainError::TooLong { bytes: text.len() });
        }
        let mut reader = Reader { text, at: 0 };
        let mut links = Vec::new();
        reader.spaces();
        while reader.at < text.len() {
            links.push(reader.link()?);
            if reader.at < text.len() {
                reader.expect(b'|', "'|' and another plugin, or the end")?;
                if reader.at == text.len() {
                    return Err(reader.wanted("a plugin's name"));
                }
            }
        }
        if links.len() > CHAIN_LINKS_MAX {
            return Err(ChainError::TooManyLinks { links: links.len() });
        }
        Ok(Self { links })
    }
}

/// A place in a chain's text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    const fn wanted(&self, wanted: &'static str) -> ChainError {
        ChainError::Expected {
            at: self.at,
            wanted,
        }
    }

    fn expect(&mut self, byte: u8, wanted: &'static str) -> Result<(), ChainError> {
        if self.peek() != Some(byte) {
            return Err(self.wanted(wanted));
        }
        self.at += 1;
        self.spaces();
        Ok(())
    }

    /// Everything up to one of these bytes or the end, without spaces around it.
    fn until(&mut self, ends: &[u8]) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|b| ends.contains(&b));
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        word.trim_matches(' ')
    }

    fn link(&mut self) -> Result<Link, ChainError> {
        let plugin: PluginRef = self.until(b"(|").parse()?;
        let mut parameters = BTreeMap::new();
        if self.peek() == Some(b'(') {
            self.expect(b'(', "'('")?;
            while self.peek() != Some(b')') {
                let name = self.until(b"=,)\"|");
                if name.is_empty() {
                    return Err(self.wanted("a parameter's name"));
                }
                self.expect(b'=', "'=' and a value")?;
                let value = self.value()?;
                if parameters.insert(name.into(), value).is_some() {
                    return Err(ChainError::Twice {
                        plugin: plugin.name,
                        parameter: name.into(),
                    });
                }
                if parameters.len() > PARAMETERS_MAX {
                    return Err(ChainError::TooManyParameters {
                        plugin: plugin.name,
                    });
                }
                if self.peek() != Some(b')') {
                    self.expect(b',', "',' and another parameter, or ')'")?;
                }
            }
            self.expect(b')', "')'")?;
        }
        Ok(Link { plugin, parameters })
    }

    /// A value: in quotes (a backslash keeps the next character), or up to `,` or `)`.
    fn value(&mut self) -> Result<String, ChainError> {
        if self.peek() != Some(b'"') {
            return Ok(self.until(b",)").into());
        }
        let mut value = String::new();
        let mut kept = false;
        for (at, character) in self.text[self.at + 1..].char_indices() {
            match character {
                '\\' if !kept => kept = true,
                '"' if !kept => {
                    self.at += at + 2;
                    self.spaces();
                    return Ok(value);
                }
                character => {
                    value.push(character);
                    kept = false;
                }
            }
        }
        Err(self.wanted("a value whose quotes are closed"))
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.plugin)?;
        for (place, (name, value)) in self.parameters.iter().enumerate() {
            write!(f, "{}{name}=\"", if place == 0 { "(" } else { "," })?;
            for character in value.chars() {
                if matches!(character, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{character}")?;
            }
            f.write_str("\"")?;
        }
        if self.parameters.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, link) in self.links.iter().enumerate() {
            write!(f, "{}{link}", if place == 0 { "" } else { "|" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn again(text: &str) -> String {
        match text.parse::<Chain>() {
            Ok(chain) => {
                let written = chain.to_string();
                assert_eq!(written.parse(), Ok(chain), "{written}");
                written
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn chains_are_written_in_one_form() {
        assert_eq!(again(""), "");
        assert_eq!(again(" mask-fields "), "mask-fields");
        assert_eq!(
            again("mask@1.2.0( b = \"x, y\" , a=1)| drop"),
            "mask@1.2.0(a=\"1\",b=\"x, y\")|drop"
        );
        assert_eq!(again(r#"a(x="\"\\")"#), r#"a(x="\"\\")"#);
    }

    #[test]
    fn what_is_no_chain_says_what_it_lacks() {
        assert!(again("Mask").contains("no plugin name"));
        assert!(again("a@1").contains("no version"));
        assert!(again("a|").contains("a plugin's name"));
        assert!(again("a(x=\"1").contains("quotes are closed"));
        assert!(again("a(x=1,x=2)").contains("twice"));
        assert!(again("a(=1)").contains("a parameter's name"));
        assert!(again("a(x=1)b").contains("another plugin"));
    }
}
