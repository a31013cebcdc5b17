//! What becomes of a record that a plugin cannot deal with.

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};
use thiserror::Error;

/// What becomes of a record that a plugin refuses or fails on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing goes on: the batch is refused, the view or the job stops.
    #[default]
    Stop,
    /// The record is left out and counted.
    Skip,
    /// The record goes to this topic, with the error and its origin in headers.
    DeadLetter(String),
}

/// A policy that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{text}' is no policy: use stop, skip or dead-letter:TOPIC")]
pub struct PolicyError {
    /// What was written.
    pub text: String,
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        match text.split_once(':') {
            None if text == "stop" => Ok(Self::Stop),
            None if text == "skip" => Ok(Self::Skip),
            Some(("dead-letter", topic)) if !topic.is_empty() => {
                Ok(Self::DeadLetter(topic.to_owned()))
            }
            _ => Err(PolicyError {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => f.write_str("stop"),
            Self::Skip => f.write_str("skip"),
            Self::DeadLetter(topic) => write!(f, "dead-letter:{topic}"),
        }
    }
}
