//! Members' ids for people: as short as they can be told apart. Only the text; machines get whole
//! ids by `--json`.

use crate::human;
use std::collections::{BTreeMap, BTreeSet};

/// The fewest letters of an id that are shown; longer ones where these do not tell two apart.
const SHORT_MIN: usize = 8;

/// The length of a UUID in letters.
const UUID_LETTERS: usize = 36;

/// The members of a group, or all that a list names, by their short ids.
#[derive(Debug, Default)]
pub(super) struct Names {
    short: BTreeMap<String, String>,
}

impl Names {
    /// Short ids for these members.
    pub(super) fn new<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let ids: BTreeSet<&str> = ids.into_iter().collect();
        let stems: BTreeSet<&str> = ids.iter().map(|id| stem(id)).collect();
        let mut lengths: BTreeMap<&str, usize> = BTreeMap::new();
        for (one, next) in stems.iter().zip(stems.iter().skip(1)) {
            // In order, whatever shares most with an id stands beside it.
            let apart = shared(one, next) + 1;
            for stem in [one, next] {
                let length = lengths.entry(stem).or_insert(SHORT_MIN);
                *length = apart.max(*length);
            }
        }
        let short = |id: &&str| {
            let stem = stem(id);
            let length = lengths.get(stem).copied().unwrap_or(SHORT_MIN);
            let text: String = stem.chars().take(length).collect();
            ((*id).to_owned(), human::name(&text))
        };
        Self {
            short: ids.iter().map(short).collect(),
        }
    }

    /// The short id; the whole one of a member that was not among those given.
    pub(super) fn short(&self, id: &str) -> String {
        self.short
            .get(id)
            .cloned()
            .unwrap_or_else(|| human::name(id))
    }

    /// `weir-cli 3f2a91bc`; without the client's name where the broker no longer knows it.
    pub(super) fn with_client(&self, client: &str, id: &str) -> String {
        if client.is_empty() {
            return self.short(id);
        }
        format!("{} {}", human::name(client), self.short(id))
    }
}

/// The part of an id that tells it apart: brokers put a client's name before a UUID.
fn stem(id: &str) -> &str {
    let Some(at) = id.len().checked_sub(UUID_LETTERS) else {
        return id;
    };
    match id.split_at_checked(at) {
        Some((_, uuid)) if is_uuid(uuid) => uuid,
        _ => id,
    }
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// How many letters two ids begin with alike.
fn shared(one: &str, other: &str) -> usize {
    let pairs = one.chars().zip(other.chars());
    pairs.take_while(|(a, b)| a == b).count()
}

/// Whether somebody may mean this id by what they wrote: its beginning, or that of its UUID.
pub(super) fn is_meant(id: &str, written: &str) -> bool {
    !written.is_empty() && (id.starts_with(written) || stem(id).starts_with(written))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3f2a91bc-0000-4000-8000-00000000000a";

    #[test]
    fn ids_are_as_short_as_they_can_be_told_apart() {
        let java = format!("consumer-g-1-{UUID}");
        let names = Names::new([java.as_str(), "Ug0cMKZzQkKj8ZoQ3L4rEA", "short"]);
        assert_eq!(names.short(&java), "3f2a91bc");
        assert_eq!(names.short("Ug0cMKZzQkKj8ZoQ3L4rEA"), "Ug0cMKZz");
        assert_eq!(names.short("short"), "short");
        assert_eq!(names.short("a stranger's id"), "a stranger's id");
        let alike = Names::new(["member-0000-1", "member-0000-2", "member-0000-21"]);
        assert_eq!(alike.short("member-0000-1"), "member-0000-1");
        assert_eq!(alike.short("member-0000-2"), "member-0000-2");
        assert_eq!(alike.short("member-0000-21"), "member-0000-21");
        let ümlaut = Names::new(["üüüüüüüüüa", "üüüüüüüüüb", "\n"]);
        assert_eq!(ümlaut.short("üüüüüüüüüb"), "üüüüüüüüüb");
        assert_eq!(ümlaut.short("\n"), "\\u{a}");
    }

    #[test]
    fn what_is_shown_can_be_written() {
        let java = format!("consumer-g-1-{UUID}");
        for written in ["3f2a91bc", "consumer-g-1-3f", UUID, java.as_str()] {
            assert!(is_meant(&java, written), "{written}");
        }
        for written in ["", "0000", "consumer-g-2"] {
            assert!(!is_meant(&java, written), "{written}");
        }
    }
}
