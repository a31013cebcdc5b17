//! `TOPIC[:PARTITIONS]`: some of a topic's partitions, as people write them. Only the reading of the
//! text; whether there are such partitions is asked elsewhere.

use crate::failure::{Failure, Outcome};
use crate::names::PARTITIONS_MAX;

/// Cuts `TOPIC[:PARTITIONS]`; no partitions mean all.
pub(super) fn topic(text: &str) -> Outcome<(String, Vec<i32>)> {
    let Some((topic, list)) = text.split_once(':') else {
        return Ok((text.to_owned(), Vec::new()));
    };
    let wrong = || {
        Failure::usage(format!("`{text}` names no partitions"))
            .advise("write TOPIC:0, TOPIC:0,2 or TOPIC:0-3")
    };
    let number = |text: &str| {
        let number: Option<i32> = text.trim().parse().ok();
        number.filter(|n| (0..=PARTITIONS_MAX).contains(&i64::from(*n)))
    };
    let mut partitions = Vec::new();
    for piece in list.split(',') {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let (first, last) = number(first).zip(number(last)).ok_or_else(wrong)?;
        if last < first {
            return Err(wrong());
        }
        partitions.extend(first..=last);
    }
    Ok((topic.to_owned(), partitions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_name_partitions() {
        let of = |text: &str| topic(text).unwrap();
        assert_eq!(of("orders"), ("orders".to_owned(), vec![]));
        assert_eq!(of("orders:0,2-4"), ("orders".to_owned(), vec![0, 2, 3, 4]));
        for wrong in [
            "orders:",
            "orders:x",
            "orders:3-1",
            "orders:-1",
            "o:0-99999999",
        ] {
            assert!(topic(wrong).is_err(), "{wrong}");
        }
    }
}
