//! Arguments of the commands: flags that exist, values that are there, and the near word for one
//! that is not. It must never guess silently: an unknown word is always an error.

use crate::UsageError;
use anyhow::{Result, bail};

/// The edit distance up to which a word counts as a slip of the hand.
const DISTANCE_MAX: usize = 3;

/// " (did you mean 'x'?)" for the nearest of `known`, or nothing where none is near.
pub(crate) fn nearest(word: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= DISTANCE_MAX && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| format!(" (did you mean '{candidate}'?)"))
        .unwrap_or_default()
}

/// Refuses every argument that is not one of `known`.
pub(crate) fn only_flags(args: &[String], known: &[&str]) -> Result<()> {
    for arg in args {
        if !known.contains(&arg.as_str()) {
            bail!(unknown(arg, known));
        }
    }
    Ok(())
}

/// The error for an argument that is not one of `known`.
pub(crate) fn unknown(arg: &str, known: &[&str]) -> UsageError {
    UsageError(format!("unknown option '{arg}'{}", nearest(arg, known)))
}

/// The value that follows `flag`.
pub(crate) fn value<'a>(flag: &str, args: &mut impl Iterator<Item = &'a String>) -> Result<String> {
    match args.next() {
        Some(value) => Ok(value.clone()),
        None => bail!(UsageError(format!("{flag} needs a value"))),
    }
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            let changed = diagonal + usize::from(ca != *cb);
            row[j + 1] = changed.min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_understood() {
        let known = ["verify", "fix", "tidy"];
        assert_eq!(nearest("verfiy", &known), " (did you mean 'verify'?)");
        assert_eq!(nearest("tydy", &known), " (did you mean 'tidy'?)");
        assert_eq!(nearest("elephant", &known), "");
    }

    #[test]
    fn an_unknown_flag_is_an_error() {
        let error = only_flags(&["--ful".into()], &["--full"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown option '--ful' (did you mean '--full'?)"
        );
    }
}
