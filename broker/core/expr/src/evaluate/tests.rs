//! The language by examples: expressions that hold for one record, and ones that do not.

use super::*;
use alloc::{format, string::String, vec};
use proptest::prelude::*;

struct Record {
    key: Option<&'static [u8]>,
    value: Option<String>,
}

impl Fields for Record {
    fn key(&self) -> Option<&[u8]> {
        self.key
    }
    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref().map(str::as_bytes)
    }
    fn header(&self, name: &str) -> Option<Option<&[u8]>> {
        match name {
            "region" => Some(Some(b"eu")),
            "retry" => Some(Some(b"3")),
            "none" => Some(None),
            "odd name" => Some(Some(b"\xff")),
            _ => None,
        }
    }
    fn topic(&self) -> &str {
        "orders"
    }
    fn partition(&self) -> u32 {
        7
    }
    fn offset(&self) -> i64 {
        100
    }
    fn timestamp(&self) -> i64 {
        1_700_000_000_000
    }
}

const VALUE: &str = r#"{"age":18,"big":9007199254740993,"name":"Ann \"A\"","ok":true,
    "gone":null,"tags":["a","b",3],"items":[{"sku":"x","n":1},{"sku":"y","n":5}],
    "odd name":{"x":"1"},"age":19}"#;

fn check(expression: &str) -> bool {
    let record = Record {
        key: Some(b"order-17"),
        value: Some(VALUE.into()),
    };
    Expr::parse(expression).unwrap().matches(&record)
}

#[test]
fn what_holds() {
    for expression in [
        "value.age == 19",
        "value.age >= 19 and value.age < 19.5",
        "value.big == 9007199254740993 and value.big != 9007199254740992",
        r#"value.name == "Ann \"A\"" and value.name contains 'A"'"#,
        "value.ok",
        "value.ok == true",
        "not value.age",
        "value.gone == null and value.nothing == null",
        "exists(value.gone) and not exists(value.nothing)",
        "value.nothing != 1",
        "value.tags contains 'a' and value.tags contains 3 and not value.tags contains '3'",
        "value.items[*].sku == 'y'",
        "value.items[*].n > 4 and not value.items[*].n > 5",
        "value.items[1].n == 5 and value.items[2] == null",
        "value['odd name'].x == '1' and value.\"odd name\".x != 1",
        "key starts-with 'order-' and key ends-with '17' and key contains 'der'",
        "headers.region == 'eu' and headers.retry > 2 and headers.retry == '3'",
        "headers.none == null and exists(headers.none) and not exists(headers.missing)",
        "headers['odd name'] == null",
        "topic == 'orders' and partition == 7 and offset >= 100 and timestamp < 1.8e12",
        "false or not (true and false)",
        "value contains 'odd name'",
        "5 < 6 and 'a' < 'b' and -1 < 0",
        "value.items != value.items",
        "true or false and false",
        "not false and true",
    ] {
        assert!(check(expression), "{expression}");
    }
}

#[test]
fn what_does_not_hold() {
    for expression in [
        "value.age == '19'",
        "value.nothing < 1 or value.nothing >= 1 or null <= null",
        "value.name",
        "value.name.first == 'Ann'",
        "value.tags == 'a'",
        "value.items[*].sku == 'z'",
        "key.id == 17",
        "headers.region > 2",
        "true == 1",
        "value.ok > false",
    ] {
        assert!(!check(expression), "{expression}");
    }
}

#[test]
fn a_record_without_key_and_value_has_no_fields() {
    let nothing = Record {
        key: None,
        value: None,
    };
    let expression = "key == null and value == null and value.a == null and not exists(value)";
    assert!(Expr::parse(expression).unwrap().matches(&nothing));
    let broken = Record {
        key: None,
        value: Some("{\"a\":[1,".into()),
    };
    let expression = "value.a[*] == null and not exists(value.a) and value contains '1'";
    assert!(Expr::parse(expression).unwrap().matches(&broken));
}

#[test]
fn wrong_expressions_are_told_where() {
    for (expression, at, what) in [
        ("", 0, "ends where an operand"),
        ("value.age = 1", 10, "`==` is expected"),
        ("value.age == ", 13, "ends where an operand"),
        ("value..a", 6, "name of a field"),
        ("valu == 1", 0, "key, value, headers.NAME"),
        ("key == 'a", 7, "has no end"),
        ("(key == 'a'", 11, "`)` is expected"),
        ("key == 'a' key", 11, "`and`, `or` or the end"),
        ("headers == 1", 7, "name of one header"),
        ("exists(1)", 7, "field or header"),
        ("value.x == 12x", 11, "no number"),
        ("'a'", 3, "comparison is expected"),
        ("value[x] == 1", 6, "a number, * or a name"),
        ("key == '\\q'", 8, "after a backslash"),
    ] {
        let error = Expr::parse(expression).unwrap_err();
        assert_eq!(error.at, at, "{expression}: {error}");
        assert!(error.what.contains(what), "{expression}: {error}");
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let deep = format!("{}true{}", "(".repeat(40), ")".repeat(40));
    assert!(Expr::parse(&deep).unwrap_err().what.contains("32 deep"));
    let nots = format!("{}true", "not ".repeat(40));
    assert!(Expr::parse(&nots).unwrap_err().what.contains("32 deep"));
    let many = format!("true{}", " or true".repeat(300));
    assert!(
        Expr::parse(&many)
            .unwrap_err()
            .what
            .contains("256 operands")
    );
    let long = format!("key == '{}'", "a".repeat(5_000));
    assert!(Expr::parse(&long).unwrap_err().what.contains("4,096"));
    let steps = format!("value{} == 1", ".a".repeat(17));
    assert!(Expr::parse(&steps).unwrap_err().what.contains("16 steps"));
}

proptest! {
    /// Whatever is written, and whatever the record holds, nothing panics.
    #[test]
    fn nothing_panics(
        words in proptest::collection::vec(prop_oneof![
            Just("value"), Just(".a"), Just("[*]"), Just("[0]"), Just("=="), Just("<"), Just("and"),
            Just("not"), Just("("), Just(")"), Just("'é'"), Just("1e3"), Just("contains"), Just("or"),
            Just("exists("), Just("headers.region"), Just(" "), Just("\u{3000}"), Just("ü"), Just("\""),
        ], 0..12),
        value in ".{0,40}",
    ) {
        let spaced = words.join(" ");
        let tight = words.concat();
        let record = Record { key: Some(b"{\"a\":[1]}"), value: Some(value) };
        for text in [spaced, tight] {
            if let Ok(expression) = Expr::parse(&text) {
                let negated = Expr::parse(&format!("not ({text})")).unwrap();
                prop_assert_ne!(expression.matches(&record), negated.matches(&record));
            }
        }
    }
}
