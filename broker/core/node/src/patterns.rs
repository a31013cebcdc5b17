//! Regular expressions over the names of topics (KIP-848): in time linear in the name, in bounded
//! memory, and the whole name must match, as with RE2. The client matches by itself for the classic
//! protocol, in the same way: an expression must mean the same topics there.

use alloc::{format, string::ToString, vec::Vec};
use regex::bytes::{Regex, RegexBuilder};
use weir_group::{Name, TopicTable};
use weir_meta::name::is_internal;
use weir_types::limits::{PATTERN_COMPILED_BYTES_MAX, PATTERN_DEPTH_MAX};

/// Why an expression cannot be used, in one sentence.
pub(crate) fn check(pattern: &str) -> Result<(), alloc::string::String> {
    // By itself first: `a)(b` must not pass for what it becomes inside the brackets.
    let compiled = build(pattern).and_then(|_| compile(pattern));
    compiled.map(drop).map_err(|error| match error {
        regex::Error::CompiledTooBig(bytes) => {
            format!("the expression would take more than {bytes} bytes of memory")
        }
        error => {
            // The library draws a picture of several lines; its last one says what is wrong.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!(
                "the expression is not valid: {}",
                last.trim_start_matches("error: ")
            )
        }
    })
}

/// The topics whose names match; the broker's own topics match nothing but their names.
pub(crate) fn matching(pattern: &str, topics: &TopicTable) -> Vec<Name> {
    // It was checked before it was taken; a group from another release may have others.
    let Ok(regex) = compile(pattern) else {
        return Vec::new();
    };
    let names = topics.names().filter(|name| !is_internal(name));
    names
        .filter(|name| regex.is_match(name.as_bytes()))
        .cloned()
        .collect()
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    build(&format!("^(?:{pattern})$"))
}

fn build(expression: &str) -> Result<Regex, regex::Error> {
    // Names of topics are ASCII: no tables of Unicode are needed.
    RegexBuilder::new(expression)
        .unicode(false)
        .size_limit(PATTERN_COMPILED_BYTES_MAX)
        .nest_limit(PATTERN_DEPTH_MAX)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use weir_group::TopicInfo;
    use weir_types::TopicId;

    fn matched(pattern: &str) -> alloc::string::String {
        let names = ["orders", "orders-eu", "payments", "__consumer_offsets"];
        let info = |at| TopicInfo {
            id: TopicId([at; 16]),
            partitions: 1,
        };
        let table = TopicTable::new((0u8..).zip(names).map(|(at, name)| (name.into(), info(at))));
        matching(pattern, &table).join(" ")
    }

    #[test]
    fn the_whole_name_must_match() {
        expect!["orders"].assert_eq(&matched("orders"));
        expect!["orders orders-eu"].assert_eq(&matched("orders.*"));
        expect!["orders payments"].assert_eq(&matched("orders|payments"));
        expect!["orders orders-eu payments"].assert_eq(&matched(".*"));
        expect!["orders"].assert_eq(&matched(r"\w+rders"));
    }

    #[test]
    fn what_explodes_or_is_none_is_refused() {
        assert_eq!(check("(a*)*b"), Ok(()));
        expect!["the expression would take more than 262144 bytes of memory"]
            .assert_eq(&check("((a{1000}){1000}){1000}").unwrap_err());
        expect!["the expression is not valid: unclosed character class"]
            .assert_eq(&check("orders[").unwrap_err());
        expect!["the expression is not valid: unopened group"]
            .assert_eq(&check("a)(b").unwrap_err());
        expect!["the expression is not valid: backreferences are not supported"]
            .assert_eq(&check(r"(.)\1").unwrap_err());
        assert!(check(&"(".repeat(1000)).is_err());
    }
}
