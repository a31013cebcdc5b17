//! Generated values for the tests: every field of a version filled from a seed, and every value as
//! a tree of field names so that it can be held against another implementation's.
//!
//! Only for tests; the same seed always makes the same value.

use crate::{
    codec::{Form, Wire},
    records::Records,
    text::Text,
};
use bytes::Bytes;
use std::{format, string::String, vec::Vec};
use weir_types::{
    BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    TimestampMs, TopicId,
};

/// A small generator of numbers (SplitMix64).
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// A value without its types.
#[derive(Debug, PartialEq)]
pub(crate) enum Tree {
    /// Fields by name.
    Struct(Vec<(String, Tree)>),
    /// Elements in order.
    List(Vec<Tree>),
    /// As `Debug` writes it.
    Leaf(String),
}

pub(crate) trait Sample: Sized {
    /// Any value the version can carry.
    fn sample(seed: &mut Seed, version: i16) -> Self;

    /// As `sample`, but never null.
    fn present(seed: &mut Seed, version: i16) -> Self {
        Self::sample(seed, version)
    }

    /// The value's fields, as far as the version has them.
    fn tree(&self, version: i16) -> Tree;

    /// The most bytes of memory one byte of it can ask for.
    fn growth(_form: Form) -> usize {
        0
    }
}

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl Sample for $ty {
            fn sample(seed: &mut Seed, _version: i16) -> Self {
                match seed.below(6) {
                    0 => 0,
                    1 => -1,
                    2 => Self::MAX,
                    3 => Self::MIN,
                    _ => seed.next() as Self,
                }
            }

            fn tree(&self, _version: i16) -> Tree {
                Tree::Leaf(format!("{self}"))
            }
        }
    )*};
}

numbers!(i8, i16, i32, i64);

macro_rules! newtypes {
    ($($ty:ident),*) => {$(
        impl Sample for $ty {
            fn sample(seed: &mut Seed, version: i16) -> Self {
                Self(Sample::sample(seed, version))
            }

            fn tree(&self, version: i16) -> Tree {
                self.0.tree(version)
            }
        }
    )*};
}

newtypes!(
    BrokerId,
    LeaderEpoch,
    Offset,
    PartitionIndex,
    ProducerEpoch,
    ProducerId,
    TimestampMs
);

impl Sample for bool {
    fn sample(seed: &mut Seed, _version: i16) -> Self {
        seed.below(2) == 1
    }

    fn tree(&self, _version: i16) -> Tree {
        Tree::Leaf(format!("{self}"))
    }
}

impl Sample for ErrorCode {
    fn sample(seed: &mut Seed, _version: i16) -> Self {
        Self::ALL[seed.below(Self::ALL.len())]
    }

    fn tree(&self, _version: i16) -> Tree {
        Tree::Leaf(format!("{}", self.code()))
    }
}

impl Sample for TopicId {
    fn sample(seed: &mut Seed, _version: i16) -> Self {
        if seed.below(4) == 0 {
            return Self::ZERO;
        }
        let bits = (u128::from(seed.next()) << 64) | u128::from(seed.next());
        Self(bits.to_be_bytes())
    }

    fn tree(&self, _version: i16) -> Tree {
        let hex = format!("{:032x}", u128::from_be_bytes(self.0));
        let groups = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        Tree::Leaf(groups.join("-"))
    }
}

impl Sample for Text {
    fn sample(seed: &mut Seed, _version: i16) -> Self {
        const WORDS: [&str; 6] = ["", "a", "orders", "größe", "with \"quotes\" \\", "日本"];
        match seed.below(8) {
            6 => Self::from("x".repeat(127)),
            7 => Self::from("y".repeat(seed.below(600))),
            word => Self::from(WORDS[word]),
        }
    }

    fn tree(&self, _version: i16) -> Tree {
        Tree::Leaf(format!("{self:?}"))
    }
}

impl Sample for Bytes {
    fn sample(seed: &mut Seed, _version: i16) -> Self {
        let length = match seed.below(3) {
            0 => 0,
            1 => seed.below(20),
            _ => seed.below(1000),
        };
        (0..length).map(|_| seed.next() as u8).collect()
    }

    fn tree(&self, _version: i16) -> Tree {
        Tree::Leaf(format!("{self:?}"))
    }
}

impl Sample for Records {
    fn sample(seed: &mut Seed, version: i16) -> Self {
        Self::Slice(Sample::sample(seed, version))
    }

    fn tree(&self, version: i16) -> Tree {
        self.to_bytes().tree(version)
    }
}

impl<T: Sample + Wire> Sample for Vec<T> {
    fn growth(form: Form) -> usize {
        size_of::<T>()
            .div_ceil(T::min_bytes(form))
            .max(T::growth(form))
    }

    fn sample(seed: &mut Seed, version: i16) -> Self {
        let count = seed.below(4);
        (0..count).map(|_| T::sample(seed, version)).collect()
    }

    fn tree(&self, version: i16) -> Tree {
        Tree::List(self.iter().map(|item| item.tree(version)).collect())
    }
}

impl<T: Sample> Sample for Option<T> {
    fn growth(form: Form) -> usize {
        T::growth(form)
    }

    fn sample(seed: &mut Seed, version: i16) -> Self {
        (seed.below(4) != 0).then(|| T::sample(seed, version))
    }

    fn present(seed: &mut Seed, version: i16) -> Self {
        Some(T::sample(seed, version))
    }

    fn tree(&self, version: i16) -> Tree {
        self.as_ref().map_or_else(
            || Tree::Leaf(String::from("None")),
            |value| value.tree(version),
        )
    }
}

/// Reads the tree back out of what `derive(Debug)` writes; `Some(x)` and newtypes are their inside.
pub(crate) fn parse_debug(text: &str) -> Tree {
    let mut parser = Parser { rest: text };
    let tree = parser.value();
    assert_eq!(parser.rest, "", "left over");
    tree
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn value(&mut self) -> Tree {
        if self.eat("[") {
            return Tree::List(self.until("]", Self::value));
        }
        if self.eat("{") {
            // Tagged fields that the other side knows nothing of, by number.
            self.until("}", |parser| {
                parser.word();
                assert!(parser.eat(": "), "a tag's bytes in {}", parser.rest);
                parser.quoted()
            });
            return Tree::Leaf(String::from("{}"));
        }
        if self.rest.starts_with('"') || self.rest.starts_with("b\"") {
            return Tree::Leaf(self.quoted());
        }
        let word = self.word();
        if self.eat(" { ") {
            return Tree::Struct(self.until(" }", |parser| {
                let name = parser.word();
                assert!(parser.eat(": "), "a field's value in {}", parser.rest);
                (name, parser.value())
            }));
        }
        if self.eat("(") {
            let inner = self.value();
            assert!(self.eat(")"), "a closing bracket in {}", self.rest);
            return inner;
        }
        Tree::Leaf(word)
    }

    fn until<T>(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        while !self.eat(end) {
            items.push(item(self));
            self.eat(", ");
        }
        items
    }

    fn quoted(&mut self) -> String {
        let mut escaped = false;
        let start = self.rest.find('"').unwrap() + 1;
        for (at, letter) in self.rest[start..].char_indices() {
            if letter == '"' && !escaped {
                let (taken, rest) = self.rest.split_at(start + at + 1);
                self.rest = rest;
                return taken.into();
            }
            escaped = letter == '\\' && !escaped;
        }
        panic!("a string does not end");
    }

    fn word(&mut self) -> String {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
        let end = self
            .rest
            .find(|letter| !is_word(letter))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.into()
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}
