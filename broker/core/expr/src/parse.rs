//! From text to expression: a descent with bounded depth and a bounded number of operands.

use crate::json::Number;
use crate::limits::{DEPTH_MAX, EXPRESSION_BYTES_MAX, NODES_MAX};
use crate::path::{Path, PathError, quoted, word_end};
use crate::syntax::{Comparison, Expr, Node, Operand};
use alloc::{boxed::Box, string::String, vec, vec::Vec};
use core::str::FromStr;

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {what}")]
pub struct ExprError {
    /// Where, in bytes from the start of the text.
    pub at: usize,
    /// What was expected there, or what is wrong.
    pub what: String,
}

impl From<PathError> for ExprError {
    fn from(error: PathError) -> Self {
        Self {
            at: error.at,
            what: error.what.into(),
        }
    }
}

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let mut parser = Parser {
            text,
            at: 0,
            nodes: 0,
        };
        if text.len() > EXPRESSION_BYTES_MAX {
            return parser.wrong("an expression has 4,096 bytes at most");
        }
        let root = parser.or(0)?;
        if !parser.rest().is_empty() {
            return parser.wrong("a comparison, `and`, `or` or the end is expected");
        }
        Ok(Self { root })
    }
}

impl FromStr for Expr {
    type Err = ExprError;

    fn from_str(text: &str) -> Result<Self, ExprError> {
        Self::parse(text)
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    nodes: usize,
}

const COMPARISONS: [(&str, Comparison); 9] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    ("<", Comparison::Less),
    (">=", Comparison::GreaterOrEqual),
    (">", Comparison::Greater),
    ("contains", Comparison::Contains),
    ("starts-with", Comparison::StartsWith),
    ("ends-with", Comparison::EndsWith),
];

impl<'t> Parser<'t> {
    fn wrong<T>(&self, what: &str) -> Result<T, ExprError> {
        Err(ExprError {
            at: self.at,
            what: what.into(),
        })
    }

    /// What is left, without spaces before it.
    fn rest(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_ascii_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    /// Goes past a word or sign if it comes next; a word must end there.
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest();
        let is_word = token.starts_with(|c: char| c.is_ascii_alphabetic());
        let comes = if is_word {
            &rest[..word_end(rest, 0)] == token
        } else {
            rest.starts_with(token)
        };
        if comes {
            self.at += token.len();
        }
        comes
    }

    fn expect(&mut self, token: &str, what: &str) -> Result<(), ExprError> {
        if self.take(token) {
            return Ok(());
        }
        self.wrong(what)
    }

    fn or(&mut self, depth: usize) -> Result<Node, ExprError> {
        let mut any = vec![self.and(depth)?];
        while self.take("or") {
            any.push(self.and(depth)?);
        }
        Ok(joined(any, Node::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Node, ExprError> {
        let mut all = vec![self.not(depth)?];
        while self.take("and") {
            all.push(self.not(depth)?);
        }
        Ok(joined(all, Node::And))
    }

    fn not(&mut self, depth: usize) -> Result<Node, ExprError> {
        if depth > DEPTH_MAX {
            return self.wrong("an expression nests 32 deep at most");
        }
        if self.take("not") {
            return Ok(Node::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.or(depth + 1)?;
            self.expect(")", "`)` is expected")?;
            return Ok(inner);
        }
        if self.take("exists") {
            self.expect("(", "`(` is expected")?;
            let start = self.at;
            let operand = self.operand()?;
            if operand.is_literal() {
                self.at = start;
                return self.wrong("a key, value, field or header is expected");
            }
            self.expect(")", "`)` is expected")?;
            return Ok(Node::Exists(operand));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, ExprError> {
        let left = self.operand()?;
        let found = COMPARISONS.iter().find(|(token, _)| self.take(token));
        if let Some((_, comparison)) = found {
            return Ok(Node::Compare(left, *comparison, self.operand()?));
        }
        if self.rest().starts_with('=') {
            return self.wrong("`==` is expected; a single `=` is no comparison");
        }
        if left.is_literal() && !matches!(left, Operand::Bool(_)) {
            return self.wrong("a comparison is expected");
        }
        Ok(Node::True(left))
    }

    fn operand(&mut self) -> Result<Operand, ExprError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return self.wrong("an expression has 256 operands at most");
        }
        let rest = self.rest();
        match rest.chars().next() {
            None => self.wrong("the expression ends where an operand is expected"),
            Some('"' | '\'') => {
                let (text, end) = quoted(self.text, self.at)?;
                self.at = end;
                Ok(Operand::Text(text))
            }
            Some(c) if c.is_ascii_digit() || c == '-' => self.number(rest),
            Some(_) => self.name(rest),
        }
    }

    fn number(&mut self, rest: &str) -> Result<Operand, ExprError> {
        let numeric = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let end = rest.find(|c| !numeric(c)).unwrap_or(rest.len());
        match Number::read(&rest[..end]) {
            Some(number) => {
                self.at += end;
                Ok(Operand::Number(number))
            }
            None => self.wrong("this is no number"),
        }
    }

    fn name(&mut self, rest: &str) -> Result<Operand, ExprError> {
        let word = &rest[..word_end(rest, 0)];
        let start = self.at;
        self.at += word.len();
        let plain = match word {
            "null" => Operand::Null,
            "true" => Operand::Bool(true),
            "false" => Operand::Bool(false),
            "topic" => Operand::Topic,
            "partition" => Operand::Partition,
            "offset" => Operand::Offset,
            "timestamp" => Operand::Timestamp,
            "key" => return Ok(Operand::Key(self.path()?)),
            "value" => return Ok(Operand::Value(self.path()?)),
            "headers" => return self.header(),
            _ => {
                self.at = start;
                return self.wrong(
                    "key, value, headers.NAME, timestamp, offset, partition, topic, a number, \
                     a text in quotes, true, false or null is expected",
                );
            }
        };
        Ok(plain)
    }

    fn path(&mut self) -> Result<Path, ExprError> {
        let mut path = Path::default();
        self.at = path.parse_steps(self.text, self.at)?;
        Ok(path)
    }

    fn header(&mut self) -> Result<Operand, ExprError> {
        let start = self.at;
        match self.path()?.only_field() {
            Some(name) => Ok(Operand::Header(name)),
            None => {
                self.at = start;
                self.wrong("the name of one header is expected: headers.NAME or headers[\"NAME\"]")
            }
        }
    }
}

fn joined(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        Some(last) => {
            nodes.push(last);
            join(nodes)
        }
        None => join(nodes),
    }
}
