//! Adds fields to JSON values, and headers:
//! `json-enrich(fields="source=web, origin.topic={topic}", headers="stage=clean")`. A field that
//! is there is replaced. A value that is no JSON object is refused.

use std::fmt::Write as _;
use weir_expr::json::{self, Json};
use weir_expr::path::Path;
use weir_plugin_sdk::{
    Batch, Changes, Description, Output, Parameter, Parameters, Plugin, Row, Transform,
};

/// The plugin.
#[derive(Debug)]
pub struct JsonEnrich {
    names: Vec<String>,
    paths: Vec<Path>,
    fields: Vec<Template>,
    headers: Vec<(String, Template)>,
}

impl Plugin for JsonEnrich {
    fn describe() -> Description {
        Description::new(
            "json-enrich",
            env!("CARGO_PKG_VERSION"),
            "Adds fields to JSON values, and headers.",
        )
        .parameter(Parameter::with_default(
            "fields",
            "NAME=TEXT between commas. {topic}, {partition}, {offset}, {timestamp}, {key} and \
             {headers.NAME} in a text stand for what the record has; a text that is JSON then is \
             put in as such.",
            "",
        ))
        .parameter(Parameter::with_default(
            "headers",
            "NAME=TEXT between commas, added after the headers that are there.",
            "",
        ))
    }

    fn configure(parameters: &Parameters) -> Result<Self, String> {
        let fields = assignments(parameters, "fields")?;
        let headers = assignments(parameters, "headers")?;
        if fields.is_empty() && headers.is_empty() {
            return Err("one of the parameters 'fields' and 'headers' is needed".to_owned());
        }
        let most = weir_expr::limits::PATHS_MAX;
        if fields.len() > most {
            return Err(format!(
                "the parameter 'fields' names at most {most} fields"
            ));
        }
        let (names, fields): (Vec<String>, Vec<Template>) = fields.into_iter().unzip();
        Ok(Self {
            paths: names.iter().map(|name| Path::field(name)).collect(),
            names,
            fields,
            headers,
        })
    }
}

fn assignments(parameters: &Parameters, name: &str) -> Result<Vec<(String, Template)>, String> {
    let parts = parameters.list(name).into_iter();
    parts
        .map(|part| {
            let (field, text) = part.split_once('=').ok_or_else(|| {
                format!("the parameter '{name}' has '{part}'; NAME=TEXT is expected")
            })?;
            let template = Template::parse(text.trim())
                .map_err(|what| format!("the parameter '{name}' has '{part}': {what}"))?;
            Ok((field.trim().to_owned(), template))
        })
        .collect()
}

/// A text with places for what a record has.
#[derive(Debug)]
struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Header(String),
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            pieces.push(Piece::Text(rest[..open].to_owned()));
            let close = rest[open..].find('}').ok_or("a { has no }")?;
            let name = &rest[open + 1..open + close];
            pieces.push(match name {
                "topic" => Piece::Topic,
                "partition" => Piece::Partition,
                "offset" => Piece::Offset,
                "timestamp" => Piece::Timestamp,
                "key" => Piece::Key,
                _ => match name.strip_prefix("headers.") {
                    Some(header) => Piece::Header(header.to_owned()),
                    None => return Err(format!("nothing is called {{{name}}}")),
                },
            });
            rest = &rest[open + close + 1..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }

    fn fill(&self, row: Row<'_>, batch: &Batch, into: &mut String) {
        for piece in &self.pieces {
            let done = match piece {
                Piece::Text(text) => into.write_str(text),
                Piece::Topic => into.write_str(batch.topic()),
                Piece::Partition => write!(into, "{}", batch.partition()),
                Piece::Offset => write!(into, "{}", row.offset()),
                Piece::Timestamp => write!(into, "{}", row.timestamp()),
                Piece::Key => into.write_str(&text(row.key())),
                Piece::Header(name) => {
                    let value = row.header(name).and_then(|header| header.value);
                    into.write_str(&text(value))
                }
            };
            // Writing into a String cannot fail.
            debug_assert!(done.is_ok());
        }
    }
}

fn text(bytes: Option<&[u8]>) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes.unwrap_or_default())
}

impl Transform for JsonEnrich {
    fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
        let mut changes = Changes::of(batch);
        let mut scratch = String::new();
        for row in batch {
            let value = match row.value() {
                Some(value) if !self.fields.is_empty() => match self.enrich(row, batch, value) {
                    Ok(value) => Some(value),
                    Err(reason) => {
                        changes.refuse(row, reason);
                        continue;
                    }
                },
                _ => None,
            };
            let mut kept = changes.keep(row);
            if let Some(value) = value {
                kept.value(Some(value.as_bytes()));
            }
            for (name, template) in &self.headers {
                scratch.clear();
                template.fill(row, batch, &mut scratch);
                kept.add_header(name, Some(scratch.as_bytes()));
            }
        }
        changes.finish()
    }
}

impl JsonEnrich {
    fn enrich(&self, row: Row<'_>, batch: &Batch, value: &[u8]) -> Result<String, String> {
        let value = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8")?;
        let mut places = Vec::new();
        json::walk(value, &self.paths, |field, place| {
            places.push((field, place))
        })
        .map_err(|error| format!("the value is {error}"))?;
        let end = value.trim_ascii_end();
        let Some(body) = end.strip_suffix('}') else {
            return Err("the value is no JSON object".to_owned());
        };
        let mut out = String::with_capacity(value.len() + 64);
        let mut done = 0;
        for (field, place) in &places {
            out.push_str(&value[done..place.start]);
            self.literal(*field, row, batch, &mut out);
            done = place.end;
        }
        out.push_str(&body[done..]);
        let mut first = body.trim_ascii().len() == 1;
        for (field, name) in self.names.iter().enumerate() {
            if places.iter().any(|(there, _)| *there == field) {
                continue;
            }
            if !first {
                out.push(',');
            }
            first = false;
            quote(name, &mut out);
            out.push(':');
            self.literal(field, row, batch, &mut out);
        }
        out.push('}');
        Ok(out)
    }

    /// The text of a field: as it is where it is JSON, else as a JSON string.
    fn literal(&self, field: usize, row: Row<'_>, batch: &Batch, out: &mut String) {
        let mut text = String::new();
        self.fields[field].fill(row, batch, &mut text);
        match Json::read(&text) {
            Some(Json::Null | Json::Bool(_)) => out.push_str(&text),
            Some(_) if json::check(&text).is_ok() => out.push_str(&text),
            _ => quote(&text, out),
        }
    }
}

/// Writes a text as a JSON string.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..'\u{20}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}

weir_plugin_sdk::transform!(JsonEnrich);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{Record, configure, transform};

    #[test]
    fn fields_are_added_or_replaced() {
        let fields = "source=web, at={timestamp}, from={topic}-{partition}, k={key}, h={headers.h}";
        let records = [
            Record::value("{ }").at(5),
            Record::new("k\"1", r#"{"source": "old", "x":[1]} "#).header("h", "true"),
        ];
        let done = transform::<JsonEnrich>(&[("fields", fields)], &records).unwrap();
        assert_eq!(
            done.values(),
            [
                r#"{ "source":"web","at":5,"from":"test-0","k":"","h":""}"#,
                r#"{"source": "web", "x":[1],"at":0,"from":"test-0","k":"k\"1","h":true}"#,
            ]
        );
    }

    #[test]
    fn headers_are_added_and_values_stay() {
        let records = [
            Record::value("no JSON").header("a", "1"),
            Record::tombstone("k"),
        ];
        let done = transform::<JsonEnrich>(&[("headers", "stage=clean,n={offset}")], &records);
        let done = done.unwrap();
        let expected = [
            records[0].clone().header("stage", "clean").header("n", "0"),
            records[1].clone().header("stage", "clean").header("n", "1"),
        ];
        assert_eq!(done.records, expected);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let records = [
            Record::value("[1]"),
            Record::value("{"),
            Record::tombstone("k"),
        ];
        let done = transform::<JsonEnrich>(&[("fields", "a=1")], &records).unwrap();
        assert_eq!(done.rows, [2]);
        assert_eq!(done.refusals[0].1, "the value is no JSON object");
        assert!(done.refusals[1].1.contains("not valid JSON"));
    }

    #[test]
    fn wrong_parameters_are_named() {
        let error = |parameters: &[(&str, &str)]| configure::<JsonEnrich>(parameters).unwrap_err();
        assert!(error(&[]).contains("'fields' and 'headers'"));
        assert!(error(&[("fields", "a")]).contains("'a'; NAME=TEXT"));
        assert!(error(&[("headers", "a={b}")]).contains("nothing is called {b}"));
    }
}
