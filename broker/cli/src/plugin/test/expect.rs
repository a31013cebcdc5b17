//! Pairs of what goes in and what should come out, one a line. Every line is a record for the
//! plugin; all of them go in together, in the order of the file.

use super::run::{Fate, Ran, run_samples};
use super::{How, Input};
use crate::args::JsonArg;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::plugin::local::kind_name;
use crate::plugin::sample::Sample;
use serde_json::{Map, Value, json};
use weir_plugin_host::Component;

/// What should become of a record.
#[derive(Debug, PartialEq)]
enum Wanted {
    /// It stays; of the record only what the pair names is compared.
    Out(Value),
    Dropped,
    Refused(String),
    Output(u64),
    Partition(u64),
    Json(Value),
    Error(String),
}

/// A pair.
#[derive(Debug)]
pub(super) struct Pair {
    line: usize,
    given: Sample,
    wanted: Vec<Wanted>,
}

const FORM: &str = r#"a pair is {"in": {"value": ".."}, "out": {"value": ".."}}"#;

/// Reads pairs.
pub(super) fn read(text: &[u8]) -> Outcome<Vec<Pair>> {
    let mut pairs = Vec::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let offset = i64::try_from(pairs.len()).unwrap_or(i64::MAX);
        let pair = pair(line, number + 1, offset).map_err(|error| {
            Failure::usage(error)
                .advise(FORM)
                .on_line(number as u64 + 1)
        })?;
        pairs.push(pair);
    }
    if pairs.is_empty() {
        return Err(Failure::usage("the file has no pairs").advise(FORM));
    }
    Ok(pairs)
}

fn pair(line: &[u8], number: usize, offset: i64) -> Result<Pair, String> {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let given = fields.remove("in").ok_or("it has no \"in\"")?;
    let given = Sample::of_json(offset, given.to_string().as_bytes())
        .map_err(|error| format!("its \"in\": {error}"))?;
    let mut wanted = Vec::new();
    for (name, value) in fields {
        let number = || {
            value
                .as_u64()
                .ok_or_else(|| format!("its \"{name}\" is no number"))
        };
        let text = || {
            let text = value.as_str().map(str::to_owned);
            text.ok_or_else(|| format!("its \"{name}\" is no text"))
        };
        wanted.push(match name.as_str() {
            "out" if value.is_null() => Wanted::Dropped,
            "out" => {
                let bytes = value.to_string();
                Sample::of_json(offset, bytes.as_bytes())
                    .map_err(|error| format!("its \"out\": {error}"))?;
                Wanted::Out(value)
            }
            "refused" => Wanted::Refused(text()?),
            "output" => Wanted::Output(number()?),
            "partition" => Wanted::Partition(number()?),
            "json" => Wanted::Json(value),
            "error" => Wanted::Error(text()?),
            other => return Err(format!("it has \"{other}\", which means nothing here")),
        });
    }
    if wanted.is_empty() {
        return Err("it does not say what should come out".to_owned());
    }
    Ok(Pair {
        line: number,
        given,
        wanted,
    })
}

/// Runs the plugin on all pairs and compares.
pub(super) fn run(component: &Component, pairs: &[Pair], how: &How, json: JsonArg) -> Outcome {
    let input = Input {
        topic: "test".to_owned(),
        samples: pairs.iter().map(|pair| pair.given.clone()).collect(),
        partitions: None,
    };
    let ran: Ran = tokio::task::block_in_place(|| run_samples(component, &input, how))?;
    let mut wrong = Vec::new();
    for (pair, fate) in pairs.iter().zip(&ran.rows) {
        for wanted in &pair.wanted {
            if let Err(difference) = compare(wanted, fate, &pair.given) {
                wrong.push((pair.line, difference));
            }
        }
    }
    if json.json {
        let wrong = wrong
            .iter()
            .map(|(line, text)| json!({ "line": line, "text": text }));
        output::json(&json!({ "pairs": pairs.len(), "wrong": wrong.collect::<Vec<_>>() }))?;
    } else {
        for (line, difference) in &wrong {
            output::line(format_args!("line {line}: {difference}"))?;
        }
    }
    if wrong.is_empty() {
        if !json.json {
            output::line(format_args!("all {} pairs are as expected", pairs.len()))?;
        }
        return Ok(());
    }
    Err(Failure::damaged(format!(
        "{} of {} pairs are not as expected",
        wrong.len(),
        pairs.len()
    )))
}

fn compare(wanted: &Wanted, fate: &Fate, given: &Sample) -> Result<(), String> {
    let differs = |what: String| Err(format!("{what}, but {}", told(fate)));
    match (wanted, fate) {
        (Wanted::Dropped, Fate::Dropped) => Ok(()),
        (Wanted::Out(out), Fate::Stays(after, _)) => compare_records(out, after, given),
        (Wanted::Refused(text), Fate::Refused(reason)) if reason.contains(text) => Ok(()),
        (Wanted::Output(output), Fate::Stays(_, Some(is))) if u64::from(*is) == *output => Ok(()),
        (Wanted::Partition(wanted), Fate::Placed(is)) if u64::from(*is) == *wanted => Ok(()),
        (Wanted::Error(text), Fate::Read(Err(reason))) if reason.contains(text) => Ok(()),
        (Wanted::Json(json), Fate::Read(Ok(text))) => match serde_json::from_str::<Value>(text) {
            Ok(is) if is == *json => Ok(()),
            _ => differs(format!("it should read as {json}")),
        },
        (Wanted::Dropped, _) => differs("it should be dropped".to_owned()),
        (Wanted::Out(_), _) => differs("it should stay".to_owned()),
        (Wanted::Refused(text), _) => differs(format!("it should be refused with \"{text}\"")),
        (Wanted::Output(output), _) => differs(format!("it should go to topic {output}")),
        (Wanted::Partition(wanted), _) => differs(format!("it should go to partition {wanted}")),
        (Wanted::Json(json), _) => differs(format!("it should read as {json}")),
        (Wanted::Error(text), _) => differs(format!("it should not be read, with \"{text}\"")),
    }
}

/// Compares what the wanted record names.
fn compare_records(out: &Value, after: &Sample, given: &Sample) -> Result<(), String> {
    let wanted = Sample::of_json(given.offset, out.to_string().as_bytes())?;
    let named = |name: &str| out.get(name).is_some();
    for (part, want, is) in wanted.differences(after) {
        if named(part) {
            return Err(format!("its {part} should be {want}, but is {is}"));
        }
    }
    Ok(())
}

/// A fate in a phrase.
fn told(fate: &Fate) -> String {
    match fate {
        Fate::Stays(_, None) => "it stays".to_owned(),
        Fate::Stays(_, Some(output)) => format!("it goes to topic {output}"),
        Fate::Dropped => "it is dropped".to_owned(),
        Fate::Refused(reason) => format!("it is refused: {reason}"),
        Fate::Failed(failure) => {
            format!(
                "the plugin failed ({}): {}",
                kind_name(failure.kind),
                failure.message
            )
        }
        Fate::Placed(partition) => format!("it goes to partition {partition}"),
        Fate::Read(Ok(json)) => format!("it reads as {json}"),
        Fate::Read(Err(reason)) => format!("it cannot be read: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Pair {
        pair(line.as_bytes(), 1, 0).unwrap()
    }

    #[test]
    fn only_what_a_pair_names_is_compared() {
        let pair = one(r#"{"in":{"key":"k","value":"a"},"out":{"value":"b"}}"#);
        let mut after = pair.given.clone();
        after.key = None;
        after.value = Some(b"b".to_vec());
        let fate = Fate::Stays(after.clone(), None);
        assert_eq!(compare(&pair.wanted[0], &fate, &pair.given), Ok(()));
        after.value = Some(b"c".to_vec());
        let wrong = compare(&pair.wanted[0], &Fate::Stays(after, None), &pair.given);
        assert_eq!(wrong.unwrap_err(), "its value should be b, but is c");
        let wrong = compare(&pair.wanted[0], &Fate::Dropped, &pair.given);
        assert_eq!(wrong.unwrap_err(), "it should stay, but it is dropped");
    }

    #[test]
    fn mistakes_in_pairs_are_named() {
        let error = |line: &str| pair(line.as_bytes(), 1, 0).unwrap_err();
        assert_eq!(error("{}"), "it has no \"in\"");
        assert_eq!(
            error(r#"{"in":{}}"#),
            "it does not say what should come out"
        );
        assert!(error(r#"{"in":{},"uot":null}"#).contains("\"uot\""));
        assert!(error(r#"{"in":{},"output":"x"}"#).contains("no number"));
        assert!(error(r#"{"in":{},"out":7}"#).contains("its \"out\""));
        assert!(read(b"\n").unwrap_err().to_string().contains("no pairs"));
    }
}
