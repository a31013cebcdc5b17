//! Before and after, for people and as JSON.

use super::Input;
use super::run::{Fate, Ran};
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::plugin::local::kind_name;
use crate::plugin::sample::{self, Sample};
use crate::{human, output};
use serde_json::{Value, json};

/// Shows what became of each record, what was logged, and what it took.
pub(crate) fn show(ran: &Ran, input: &Input, only_changed: bool, json: JsonArg) -> Outcome {
    let rows = || input.samples.iter().zip(&ran.rows);
    let is_shown = |(before, fate): &(&Sample, &Fate)| {
        !only_changed || !matches!(fate, Fate::Stays(after, None) if after == *before)
    };
    if json.json {
        let rows = rows().filter(is_shown);
        let rows = rows.map(|(before, fate)| row_json(before, fate, &input.topic));
        return output::json(&json!({
            "records": rows.collect::<Vec<_>>(),
            "summary": summary_json(ran, input),
            "log": ran.log.iter().map(|(level, text)| json!([level.name(), text])).collect::<Vec<_>>(),
        }));
    }
    for (before, fate) in rows().filter(is_shown) {
        show_row(before, fate)?;
    }
    for (level, text) in &ran.log {
        output::line(format_args!("log {}: {}", level.name(), human::name(text)))?;
    }
    output::line(summary(ran, input))
}

fn show_row(before: &Sample, fate: &Fate) -> Outcome {
    let name = format!("{}:{}", before.partition, before.offset);
    let text = |sample: &Sample| sample::bytes(sample.value.as_deref());
    match fate {
        Fate::Stays(after, output) => {
            let to = output.map_or_else(String::new, |output| format!(" to topic {output}"));
            let differences = before.differences(after);
            if differences.is_empty() {
                return output::line(format_args!("{name} as it was{to}: {}", text(after)));
            }
            output::line(format_args!("{name} changed{to}"))?;
            for (part, was, is) in differences {
                output::line(format_args!("  - {part} {was}"))?;
                output::line(format_args!("  + {part} {is}"))?;
            }
            Ok(())
        }
        Fate::Dropped => output::line(format_args!("{name} dropped: {}", text(before))),
        Fate::Refused(reason) => {
            let reason = human::name(reason);
            output::line(format_args!("{name} refused ({reason}): {}", text(before)))
        }
        Fate::Failed(failure) => {
            let (kind, message) = (kind_name(failure.kind), human::name(&failure.message));
            output::line(format_args!("{name} {kind} ({message}): {}", text(before)))
        }
        Fate::Placed(partition) => {
            let key = sample::bytes(before.key.as_deref());
            output::line(format_args!("{name} to partition {partition}: {key}"))
        }
        Fate::Read(Ok(json)) => output::line(format_args!("{name} {}", human::name(json))),
        Fate::Read(Err(reason)) => {
            let reason = human::name(reason);
            output::line(format_args!(
                "{name} cannot be read ({reason}): {}",
                text(before)
            ))
        }
    }
}

/// How many records had which fate.
fn counts(ran: &Ran, input: &Input) -> Vec<(&'static str, usize)> {
    let name = |(before, fate): (&Sample, &Fate)| match fate {
        Fate::Stays(after, _) if after == before => "as they were",
        Fate::Stays(..) => "changed",
        Fate::Dropped => "dropped",
        Fate::Refused(_) => "refused",
        Fate::Failed(_) => "failed on",
        Fate::Placed(_) => "placed",
        Fate::Read(Ok(_)) => "read",
        Fate::Read(Err(_)) => "not read",
    };
    let names = [
        "as they were",
        "changed",
        "dropped",
        "refused",
        "failed on",
        "placed",
        "read",
        "not read",
    ];
    let all: Vec<_> = input.samples.iter().zip(&ran.rows).map(name).collect();
    let count = |name: &'static str| (name, all.iter().filter(|one| **one == name).count());
    names
        .into_iter()
        .map(count)
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn summary(ran: &Ran, input: &Input) -> String {
    let rows = ran.rows.len();
    let told = counts(ran, input);
    let told = told.iter().map(|(name, count)| format!("{count} {name}"));
    let told: Vec<String> = told.collect();
    let per_record = ran.usage.fuel.checked_div(rows as u64).unwrap_or(0);
    format!(
        "{}: {}; {} calls, {} fuel a record, {}, {} of memory",
        human::counted(rows, "record"),
        if told.is_empty() {
            "nothing".to_owned()
        } else {
            told.join(", ")
        },
        ran.calls,
        human::count(i128::from(per_record)),
        human::duration(ran.usage.time),
        human::bytes(ran.usage.memory_peak as u64)
    )
}

fn summary_json(ran: &Ran, input: &Input) -> Value {
    let fates: serde_json::Map<String, Value> = counts(ran, input)
        .into_iter()
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .collect();
    json!({
        "records": ran.rows.len(),
        "fates": fates,
        "calls": ran.calls,
        "fuel": ran.usage.fuel,
        "timeUs": u64::try_from(ran.usage.time.as_micros()).unwrap_or(u64::MAX),
        "memoryBytes": ran.usage.memory_peak,
    })
}

fn row_json(before: &Sample, fate: &Fate, topic: &str) -> Value {
    let record = |sample: &Sample| -> Value {
        // What was written a moment ago can be read.
        serde_json::from_str(&sample.json(topic)).unwrap_or(Value::Null)
    };
    let mut row = match fate {
        Fate::Stays(after, output) => {
            let fate = if after == before { "same" } else { "changed" };
            json!({ "fate": fate, "after": record(after), "output": output })
        }
        Fate::Dropped => json!({ "fate": "dropped" }),
        Fate::Refused(reason) => json!({ "fate": "refused", "reason": reason }),
        Fate::Failed(failure) => json!({
            "fate": "failed",
            "kind": kind_name(failure.kind),
            "reason": failure.message,
        }),
        Fate::Placed(partition) => json!({ "fate": "placed", "partition": partition }),
        Fate::Read(Ok(text)) => {
            let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
            json!({ "fate": "read", "json": value })
        }
        Fate::Read(Err(reason)) => json!({ "fate": "not read", "reason": reason }),
    };
    if let Some(fields) = row.as_object_mut() {
        fields.insert("before".into(), record(before));
    }
    row
}
