//! An expression as a value.

use crate::json::Number;
use crate::path::Path;
use alloc::{boxed::Box, string::String, vec::Vec};

/// An expression that was read; see the [crate] for the language. It is made by `parse`.
#[derive(Clone, Debug)]
pub struct Expr {
    pub(crate) root: Node,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Or(Vec<Node>),
    And(Vec<Node>),
    Not(Box<Node>),
    Exists(Operand),
    /// A name by itself.
    True(Operand),
    Compare(Operand, Comparison, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// The key, or a field of it.
    Key(Path),
    /// The value, or a field of it.
    Value(Path),
    Header(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
}

impl Operand {
    /// Whether it is the same for every record.
    pub(crate) const fn is_literal(&self) -> bool {
        matches!(
            self,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_)
        )
    }
}
