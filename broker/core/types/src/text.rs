//! Help for people who mistype a name.

use alloc::vec::Vec;

/// The candidate that is nearest to `text`, if one is near enough to be what was meant: at most a
/// third of its letters have to change.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(text, candidate), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(text.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, delete or replace to turn one text into the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["retention.ms", "retention.bytes", "max.message.bytes"];
        assert_eq!(
            nearest("retention.msec", names.into_iter()),
            Some("retention.ms")
        );
        assert_eq!(
            nearest("retenton.bytes", names.into_iter()),
            Some("retention.bytes")
        );
        assert_eq!(nearest("colour", names.into_iter()), None);
    }
}
