//! A source file as the checks see it: its text, and the same text with comments and literals
//! blanked out, so that a word in a string is not taken for code. It is no parser and must never
//! be asked for more than where a token stands.

use crate::workspace::Workspace;
use anyhow::Result;
use std::collections::BTreeSet;

/// One source file of the tree.
#[derive(Debug)]
pub(super) struct Source {
    /// Its path from the root.
    pub(super) file: String,
    /// Its text.
    pub(super) text: String,
    /// The text with comments, strings and characters blanked; lines stay where they are.
    pub(super) code: String,
    /// The line (from 1) from which on it is a test module, or one past its last line.
    pub(super) tests_from: usize,
    /// Whether another file declares it as a module of its tests.
    declared_as_test: bool,
}

impl Source {
    /// Every Rust, Python and Java file of the tree.
    pub(super) fn load_all(workspace: &Workspace) -> Result<Vec<Self>> {
        let is_source = |file: &&String| {
            [".rs", ".py", ".java"]
                .iter()
                .any(|end| file.ends_with(end))
        };
        let sources: Result<Vec<Self>> = workspace
            .files
            .iter()
            .filter(is_source)
            .map(|file| Ok(Self::new(file, workspace.read(file)?)))
            .collect();
        let mut sources = sources?;
        let tests: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
        for source in &mut sources {
            source.declared_as_test = tests.contains(&source.file);
        }
        Ok(sources)
    }

    pub(super) fn new(file: &str, text: String) -> Self {
        let code = if file.ends_with(".rs") {
            blank(&text)
        } else {
            text.clone()
        };
        let tests_from = tests_from(&code);
        Self {
            file: file.to_owned(),
            text,
            code,
            tests_from,
            declared_as_test: false,
        }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.file.ends_with(".rs")
    }

    /// Whether the whole file is a test: in a crate's `tests` folder, or a `tests.rs` beside the
    /// code. The folder `tests/` at the root holds tools that are held to the rules of code.
    pub(super) fn is_test_file(&self) -> bool {
        if self.declared_as_test {
            return true;
        }
        let inner = self.file.strip_prefix("tests/").unwrap_or(&self.file);
        inner.contains("/tests/") || inner.ends_with("/tests.rs")
    }

    /// Whether that line (from 1) is test code.
    pub(super) fn is_test_line(&self, line: usize) -> bool {
        self.is_test_file() || line >= self.tests_from
    }

    /// Lines outside tests.
    pub(super) fn lines_outside_tests(&self) -> usize {
        if self.is_test_file() {
            0
        } else {
            self.tests_from - 1
        }
    }

    /// Lines of code, with their numbers from 1.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// Lines of text, with their numbers from 1.
    pub(super) fn text_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

/// The files that a file declares as modules of its tests: `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<String> {
    let (folder, name) = source.file.rsplit_once('/').unwrap_or(("", &source.file));
    let stem = name.trim_end_matches(".rs");
    let inside = match stem {
        "lib" | "main" | "mod" => folder.to_owned(),
        other => format!("{folder}/{other}"),
    };
    let lines: Vec<&str> = source.code.lines().collect();
    let declared = lines
        .windows(2)
        .filter(|pair| pair[0].starts_with("#[cfg(test)]"));
    declared
        .filter_map(|pair| {
            let item = pair[1].trim_start_matches("pub(crate) ");
            let module = item.strip_prefix("mod ")?.strip_suffix(';')?;
            Some([
                format!("{inside}/{module}.rs"),
                format!("{inside}/{module}/mod.rs"),
            ])
        })
        .flatten()
        .collect()
}

/// The line of the `#[cfg(test)]` that opens the last module of a file.
fn tests_from(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if !line.starts_with("#[cfg(test)]") {
            continue;
        }
        let opens_module = lines[index + 1..]
            .iter()
            .find(|next| !next.trim().is_empty() && !next.starts_with("#["))
            .is_some_and(|next| {
                let item = next
                    .trim_start_matches("pub(crate) ")
                    .trim_start_matches("pub ");
                item.starts_with("mod ") && item.trim_end().ends_with('{')
            });
        if opens_module {
            return index + 1;
        }
    }
    lines.len() + 1
}

/// What the scanner is inside of.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Code,
    LineComment,
    /// Nested this deep.
    BlockComment(usize),
    Str,
    /// A raw string that ends with so many hashes.
    RawStr(usize),
}

/// The text with everything that is not code turned into spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut inside = Inside::Code;
    let mut at = 0;
    while at < chars.len() {
        let (next, taken) = match inside {
            Inside::Code => in_code(&chars, at, &mut out),
            other => in_other(&chars, at, other, &mut out),
        };
        inside = next;
        at += taken;
    }
    out
}

fn in_code(chars: &[char], at: usize, out: &mut String) -> (Inside, usize) {
    let follows = |text: &str| {
        text.chars()
            .enumerate()
            .all(|(i, c)| chars.get(at + i) == Some(&c))
    };
    if follows("//") {
        return blanked(out, chars, at, 2, Inside::LineComment);
    }
    if follows("/*") {
        return blanked(out, chars, at, 2, Inside::BlockComment(1));
    }
    if follows("\"") {
        return blanked(out, chars, at, 1, Inside::Str);
    }
    let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if !word_before && (follows("r\"") || follows("r#") || follows("br\"") || follows("br#")) {
        let start = at + usize::from(chars[at] == 'b') + 1;
        let hashes = chars[start..].iter().take_while(|c| **c == '#').count();
        if chars.get(start + hashes) == Some(&'"') {
            let taken = start + hashes + 1 - at;
            return blanked(out, chars, at, taken, Inside::RawStr(hashes));
        }
    }
    if follows("'") {
        // A character has its closing quote near; a lifetime has none.
        let length = match chars.get(at + 1) {
            Some('\\') => chars[at + 2..]
                .iter()
                .skip(1)
                .position(|c| *c == '\'')
                .map(|n| n + 4),
            Some(_) if chars.get(at + 2) == Some(&'\'') => Some(3),
            _ => None,
        };
        if let Some(length) = length {
            return blanked(out, chars, at, length, Inside::Code);
        }
    }
    out.push(chars[at]);
    (Inside::Code, 1)
}

fn in_other(chars: &[char], at: usize, inside: Inside, out: &mut String) -> (Inside, usize) {
    let follows = |text: &str| {
        text.chars()
            .enumerate()
            .all(|(i, c)| chars.get(at + i) == Some(&c))
    };
    match inside {
        Inside::LineComment if chars[at] == '\n' => blanked(out, chars, at, 1, Inside::Code),
        Inside::BlockComment(depth) if follows("/*") => {
            blanked(out, chars, at, 2, Inside::BlockComment(depth + 1))
        }
        Inside::BlockComment(1) if follows("*/") => blanked(out, chars, at, 2, Inside::Code),
        Inside::BlockComment(depth) if follows("*/") => {
            blanked(out, chars, at, 2, Inside::BlockComment(depth - 1))
        }
        Inside::Str if chars[at] == '\\' => blanked(out, chars, at, 2, inside),
        Inside::Str if chars[at] == '"' => blanked(out, chars, at, 1, Inside::Code),
        Inside::RawStr(hashes)
            if chars[at] == '"'
                && chars[at + 1..]
                    .iter()
                    .take(hashes)
                    .filter(|c| **c == '#')
                    .count()
                    == hashes =>
        {
            blanked(out, chars, at, 1 + hashes, Inside::Code)
        }
        _ => blanked(out, chars, at, 1, inside),
    }
}

/// Writes spaces for `taken` characters, keeping the line breaks.
fn blanked(
    out: &mut String,
    chars: &[char],
    at: usize,
    taken: usize,
    next: Inside,
) -> (Inside, usize) {
    for c in chars.iter().skip(at).take(taken) {
        out.push(if *c == '\n' { '\n' } else { ' ' });
    }
    (next, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let text = "let a = \"x // y\"; // z\nlet b = r#\"q\"# + '\"' /* c /* d */ e */ + 'x';\n";
        let code = blank(text);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(
            words,
            ["let", "a", "=", ";", "let", "b", "=", "+", "+", ";"]
        );
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn a_lifetime_is_not_a_character() {
        assert_eq!(blank("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(blank("a('\\n', '\\'', b)").replace(' ', ""), "a(,,b)");
    }

    #[test]
    fn a_module_may_be_declared_as_a_test() {
        let found = |file: &str| {
            let text = "#[cfg(test)]\nmod fake;\nmod real;\n";
            test_modules(&Source::new(file, text.into()))
        };
        assert_eq!(
            found("a/src/lib.rs"),
            ["a/src/fake.rs", "a/src/fake/mod.rs"]
        );
        assert_eq!(
            found("a/src/b.rs"),
            ["a/src/b/fake.rs", "a/src/b/fake/mod.rs"]
        );
    }

    #[test]
    fn tests_begin_at_their_module() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(
            Source::new("x/src/a.rs", text.into()).lines_outside_tests(),
            2
        );
        let text = "#[cfg(test)]\nextern crate std;\n#[cfg(test)]\nmod tests;\nfn a() {}\n";
        assert_eq!(
            Source::new("x/src/a.rs", text.into()).lines_outside_tests(),
            5
        );
        assert_eq!(
            Source::new("x/tests/a.rs", text.into()).lines_outside_tests(),
            0
        );
        assert_eq!(
            Source::new("tests/sim/src/a.rs", text.into()).lines_outside_tests(),
            5
        );
    }
}
