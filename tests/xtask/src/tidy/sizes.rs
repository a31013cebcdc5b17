//! Sizes: files of at most 700 lines outside tests, functions of at most 70 lines (counted by
//! clippy; here only who is let off). The exceptions are numbers that may only fall.

use super::Finding;
use super::config::{EXCEPTIONS, Exceptions};
use super::source::Source;
use std::collections::BTreeMap;

const FILE_LINES_MAX: usize = 700;

/// Checks the sizes of all sources against the limit and the exceptions.
pub(super) fn check(sources: &[Source], exceptions: &Exceptions, findings: &mut Vec<Finding>) {
    let mut lines = BTreeMap::new();
    let mut functions = BTreeMap::new();
    for source in sources {
        let count = source.lines_outside_tests();
        if count > FILE_LINES_MAX {
            lines.insert(source.file.clone(), count);
        }
        let let_off = source.code.matches("clippy::too_many_lines").count();
        if let_off > 0 {
            functions.insert(source.file.clone(), let_off);
        }
    }
    let split = "split it by responsibility, with its tests in a `tests.rs`";
    compare(
        "lines outside tests",
        split,
        &lines,
        &exceptions.file_lines,
        findings,
    );
    let shorten = "shorten the function: keep the branching, move pure leaves below";
    compare(
        "functions over 70 lines",
        shorten,
        &functions,
        &exceptions.long_functions,
        findings,
    );
}

fn compare(
    what: &str,
    mend: &str,
    actual: &BTreeMap<String, usize>,
    allowed: &BTreeMap<String, usize>,
    findings: &mut Vec<Finding>,
) {
    for (file, count) in actual {
        let limit = allowed.get(file).copied().unwrap_or(0);
        if *count > limit {
            findings.push(Finding::new(file, 1, format!("{count} {what}"), mend));
        }
    }
    for (file, limit) in allowed {
        let count = actual.get(file).copied().unwrap_or(0);
        if count < *limit {
            let text = format!("{file} is let off for {limit} {what} but has {count}");
            findings.push(Finding::new(
                EXCEPTIONS,
                1,
                text,
                "lower the number, or drop the line",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_must_be_exact() {
        let counts = |n: usize| BTreeMap::from([("a.rs".to_owned(), n)]);
        let found = |actual, allowed| {
            let mut findings = Vec::new();
            compare("lines", "mend", &actual, &allowed, &mut findings);
            findings.len()
        };
        assert_eq!(found(counts(800), counts(800)), 0);
        assert_eq!(found(counts(801), counts(800)), 1);
        assert_eq!(found(counts(799), counts(800)), 1);
        assert_eq!(found(BTreeMap::new(), counts(800)), 1);
        assert_eq!(found(counts(800), BTreeMap::new()), 1);
    }
}
