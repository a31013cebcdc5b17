//! Offsets as lines of CSV, in the form of Kafka's `kafka-consumer-groups`: `topic,partition,offset`,
//! or with the group before it. Only the text; nothing is asked of a broker.

use crate::failure::{Failure, Outcome};
use std::collections::BTreeMap;
use weir_client::TopicPartition;

/// What each line has to look like.
const FORM: &str = "write topic,partition,offset (or group,topic,partition,offset)";

/// One line of a file.
pub(super) fn line(partition: &TopicPartition, offset: i64) -> String {
    format!("{},{},{offset}", partition.topic, partition.partition)
}

/// The offsets of this group in a file; lines that name another group are passed over.
pub(super) fn read(text: &str, group: &str) -> Outcome<BTreeMap<TopicPartition, i64>> {
    let mut offsets = BTreeMap::new();
    let mut is_of_others = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            continue;
        }
        let wrong = |what: &str| {
            let text = format!("{what}: `{line}`");
            Failure::usage(text).advise(FORM).on_line(number)
        };
        let cells = cells(line).ok_or_else(|| wrong("a quotation mark is left open"))?;
        let (topic, partition, offset) = match cells.as_slice() {
            [topic, partition, offset] => (topic, partition, offset),
            [of, topic, partition, offset] => {
                if of != group {
                    is_of_others = true;
                    continue;
                }
                (topic, partition, offset)
            }
            _ => return Err(wrong("there are not three or four values")),
        };
        if topic.is_empty() {
            return Err(wrong("the topic is empty"));
        }
        let partition: i32 = partition
            .parse()
            .ok()
            .filter(|partition| *partition >= 0)
            .ok_or_else(|| wrong("the partition is no number"))?;
        let offset: i64 = offset
            .parse()
            .ok()
            .filter(|offset| *offset >= 0)
            .ok_or_else(|| wrong("the offset is no number"))?;
        let place = TopicPartition::new(topic.as_str(), partition);
        if offsets.insert(place, offset).is_some() {
            return Err(wrong("the partition was named before"));
        }
    }
    if offsets.is_empty() {
        return Err(Failure::usage(if is_of_others {
            "the file has offsets of other groups only"
        } else {
            "the file has no offsets"
        })
        .advise(FORM));
    }
    Ok(offsets)
}

/// The values of a line; quotation marks may surround them, and two stand for one inside.
fn cells(line: &str) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut letters = line.chars().peekable();
    loop {
        let mut cell = String::new();
        if letters.next_if_eq(&'"').is_some() {
            loop {
                match letters.next()? {
                    '"' if letters.next_if_eq(&'"').is_some() => cell.push('"'),
                    '"' => break,
                    letter => cell.push(letter),
                }
            }
        }
        while let Some(letter) = letters.next_if(|letter| *letter != ',') {
            cell.push(letter);
        }
        cells.push(cell.trim().to_owned());
        if letters.next().is_none() {
            return Some(cells);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let offsets = read(text, "g").unwrap();
        offsets.iter().map(|(p, offset)| line(p, *offset)).collect()
    }

    #[test]
    fn both_forms_of_kafka_are_read() {
        let text = "\u{feff}orders,0,5\r\n\norders,1,0\n";
        assert_eq!(told(text), ["orders,0,5", "orders,1,0"]);
        let text = "\"g\",\"orders\",0,7\nother,orders,0,9\ng, orders , 1 , 8 \n";
        assert_eq!(told(text), ["orders,0,7", "orders,1,8"]);
        let cells = cells("\"a,\"\"b\",1").unwrap();
        assert_eq!(cells, ["a,\"b", "1"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, what) in [
            ("", "no offsets"),
            ("other,t,0,1", "other groups"),
            ("t,0,1\nt,0,2", "line 2: the partition was named before"),
            ("t,0", "line 1: there are not three"),
            ("t,x,1", "line 1: the partition"),
            ("t,-1,1", "line 1: the partition"),
            ("t,0,-1", "line 1: the offset"),
            ("t,0,99999999999999999999", "line 1: the offset"),
            (",0,1", "line 1: the topic"),
            ("\"t,0,1", "line 1: a quotation mark"),
        ] {
            let error = read(text, "g").unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
            assert!(error.ends_with(FORM), "{error}");
        }
    }
}
