//! Rules of single source files: every file opens with its purpose, words that must not stay,
//! no sleeping in tests, `anyhow` only where a person reads it, cores without std.

use super::Finding;
use super::config::Layers;
use super::source::Source;
use crate::workspace::Workspace;

/// What must not stand in code, and what to do instead. The words are put together from halves
/// so that this file does not find itself.
const BANNED_CODE: [(&str, &str); 7] = [
    (
        concat!("to", "do!("),
        "write it, or leave it out and say so in the issue",
    ),
    (
        concat!("unimple", "mented!("),
        "write it, or leave it out and say so in the issue",
    ),
    (concat!("dbg", "!("), "use tracing, or take it out"),
    (concat!("#[ign", "ore"), "mend the test or remove it"),
    (
        concat!("should_", "panic"),
        "check the condition with an assertion on a value",
    ),
    (
        concat!("Other(Str", "ing)"),
        "name the case, with fields that say what was wrong",
    ),
    (
        UNBOUNDED,
        "every queue has a named limit: use a bounded channel",
    ),
];

const UNBOUNDED: &str = concat!("unbounded_", "channel");

const BANNED_TEXT: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X:")];

const SLEEPS: [&str; 3] = ["thread::sleep", "time::sleep", "sleep_until"];

/// Checks every source file by itself.
pub(super) fn check(
    workspace: &Workspace,
    layers: &Layers,
    sources: &[Source],
    findings: &mut Vec<Finding>,
) {
    for source in sources {
        opening(source, findings);
        banned(source, findings);
        sleeping(source, findings);
    }
    anyhow_in_libraries(workspace, findings);
    for name in &layers.core.crates {
        no_std(workspace, name, sources, findings);
    }
}

fn opening(source: &Source, findings: &mut Vec<Finding>) {
    let first = source
        .text
        .lines()
        .find(|line| !line.starts_with("#!"))
        .unwrap_or("");
    let opens = if source.is_rust() {
        source.text.starts_with("//! ")
    } else if source.file.ends_with(".py") {
        first.starts_with("\"\"\"")
    } else {
        first.starts_with("/**") || first.starts_with("//")
    };
    if !opens {
        let mend = "open it with a comment that says what it is and what it must never do";
        findings.push(Finding::new(
            &source.file,
            1,
            "the file does not say what it is",
            mend,
        ));
    }
}

fn banned(source: &Source, findings: &mut Vec<Finding>) {
    if source.is_rust() {
        for (line, code) in source.code_lines() {
            for (word, mend) in BANNED_CODE {
                // What only a test queues, only a test can fill.
                let excused = word == UNBOUNDED && source.is_test_line(line);
                if code.contains(word) && !excused {
                    findings.push(Finding::new(&source.file, line, format!("`{word}`"), mend));
                }
            }
        }
    }
    for (line, text) in source.text_lines() {
        for word in BANNED_TEXT {
            if text.contains(word) {
                let mend = "do it now, or file an issue and take the note out";
                findings.push(Finding::new(&source.file, line, format!("`{word}`"), mend));
            }
        }
    }
}

/// A test that sleeps is slow on a fast machine and wrong on a slow one.
fn sleeping(source: &Source, findings: &mut Vec<Finding>) {
    let whole = source.file.starts_with("tests/sim/");
    if !source.is_rust() || source.file.starts_with("tests/e2e/") {
        return;
    }
    // A helper of tests has the clock of the tests that call it.
    let is_helper = !source.code.contains("#[test]") && !source.code.contains("#[tokio::test");
    let paused = is_helper
        || source.code.contains("start_paused = true")
        || source.code.contains("time::pause()");
    for (line, code) in source.code_lines() {
        // On a paused clock tokio's sleeps take no time.
        let sleeps = SLEEPS
            .iter()
            .any(|word| code.contains(word) && !(paused && *word != SLEEPS[0]));
        if sleeps && (whole || source.is_test_line(line)) {
            let mend = "wait for the event itself, or pause tokio's clock";
            findings.push(Finding::new(&source.file, line, "a test that sleeps", mend));
        }
    }
}

fn anyhow_in_libraries(workspace: &Workspace, findings: &mut Vec<Finding>) {
    for package in &workspace.packages {
        let manifest = workspace.relative(&package.manifest_path);
        if manifest.starts_with("tests/") || !package.is_library_only() {
            continue;
        }
        for dependency in &package.dependencies {
            if dependency.name == "anyhow" && dependency.kind.is_none() {
                let mend = "a `thiserror` enum for each operation, with named fields";
                let what = format!("the library {} names anyhow", package.name);
                findings.push(Finding::new(&manifest, 1, what, mend));
            }
        }
    }
}

/// A core is `no_std` outside its tests: then it cannot read a clock, lock, or do IO.
fn no_std(workspace: &Workspace, name: &str, sources: &[Source], findings: &mut Vec<Finding>) {
    let Some(package) = workspace.package(name) else {
        return;
    };
    let lib = package
        .targets
        .iter()
        .find(|target| target.kind.iter().any(|k| k == "lib"));
    let Some(lib) = lib.map(|target| workspace.relative(&target.src_path)) else {
        return;
    };
    let Some(source) = sources.iter().find(|source| source.file == lib) else {
        return;
    };
    if !source.code.contains("#![no_std]") {
        let mend = "write `#![no_std]` and `extern crate alloc;`";
        findings.push(Finding::new(
            &lib,
            1,
            format!("the core {name} is not no_std"),
            mend,
        ));
    }
    let mut before = "";
    for (line, code) in source.code_lines() {
        if code.contains("extern crate std") && !before.contains("#[cfg(test)]") {
            let what = format!("the core {name} names std outside its tests");
            findings.push(Finding::new(
                &lib,
                line,
                what,
                "put `#[cfg(test)]` before it",
            ));
        }
        if !code.trim().is_empty() {
            before = code;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn found(file: &str, text: &str) -> Vec<usize> {
        let source = Source::new(file, text.into());
        let mut findings = Vec::new();
        opening(&source, &mut findings);
        banned(&source, &mut findings);
        sleeping(&source, &mut findings);
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert_eq!(found("a/src/x.rs", "//! What it is.\n"), NONE);
        assert_eq!(found("a/src/x.rs", "// What it is.\n"), [1]);
        assert_eq!(
            found(
                "a/x.py",
                "#!/usr/bin/env python3\n\"\"\"What it is.\"\"\"\n"
            ),
            NONE
        );
        assert_eq!(found("a/x.py", "import os\n"), [1]);
    }

    #[test]
    fn words_that_must_not_stay_are_found_in_code_only() {
        let text = format!("//! X.\nfn f() {{ {}1); }}\n", concat!("dbg", "!("));
        assert_eq!(found("a/src/x.rs", &text), [2]);
        let text = format!("//! X.\n// never {}1)\n", concat!("dbg", "!("));
        assert_eq!(found("a/src/x.rs", &text), NONE);
        let text = format!("//! X.\n// {}\n", concat!("FIX", "ME later"));
        assert_eq!(found("a/src/x.rs", &text), [2]);
    }

    #[test]
    fn tests_do_not_sleep() {
        let body = "fn f() { std::thread::sleep(d); }\n";
        assert_eq!(found("a/src/x.rs", &format!("//! X.\n{body}")), NONE);
        assert_eq!(found("a/tests/x.rs", &format!("//! X.\n{body}")), [2]);
        let tokio = "#[tokio::test]\nasync fn f() { tokio::time::sleep(d).await; }\n";
        assert_eq!(found("a/tests/x.rs", &format!("//! X.\n{tokio}")), [3]);
        let paused = tokio.replace("test]", "test(start_paused = true)]");
        assert_eq!(found("a/tests/x.rs", &format!("//! X.\n{paused}")), NONE);
        let text = format!("//! X.\n#[cfg(test)]\nmod tests {{\n{body}}}\n");
        assert_eq!(found("a/src/x.rs", &text), [4]);
    }
}
