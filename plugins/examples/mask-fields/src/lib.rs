//! Masks fields of JSON values: `mask-fields(fields="card,customer.email")`. Everything else in
//! the value stays byte for byte. A value that is no JSON is refused, never passed on: nobody
//! could say what stands in it.

use std::ops::Range;
use weir_expr::json;
use weir_expr::path::Path;
use weir_plugin_sdk::{
    Batch, Changes, Description, Kept, Output, Parameter, Parameters, Plugin, Row, Transform,
};

/// The plugin.
#[derive(Debug)]
pub struct MaskFields {
    fields: Vec<Path>,
    headers: Vec<String>,
    keep_last: usize,
    with: String,
}

impl Plugin for MaskFields {
    fn describe() -> Description {
        Description::new(
            "mask-fields",
            env!("CARGO_PKG_VERSION"),
            "Masks fields of JSON values, and headers.",
        )
        .parameter(Parameter::required(
            "fields",
            "Which fields: paths between commas, such as card,customer.email,items[*].serial.",
        ))
        .parameter(Parameter::with_default(
            "with",
            "What stands in their place.",
            "***",
        ))
        .parameter(Parameter::with_default(
            "keep-last",
            "How many characters at the end of a text stay readable.",
            "0",
        ))
        .parameter(Parameter::optional(
            "headers",
            "Which headers, between commas.",
        ))
    }

    fn configure(parameters: &Parameters) -> Result<Self, String> {
        let fields: Vec<Path> = parameters
            .list("fields")
            .into_iter()
            .map(|text| {
                let path = text.parse();
                path.map_err(|error| format!("the parameter 'fields' has '{text}': {error}"))
            })
            .collect::<Result<_, _>>()?;
        let most = weir_expr::limits::PATHS_MAX;
        if fields.is_empty() || fields.len() > most {
            return Err(format!("the parameter 'fields' names 1 to {most} paths"));
        }
        let headers = parameters.list("headers");
        Ok(Self {
            fields,
            headers: headers.into_iter().map(str::to_owned).collect(),
            keep_last: parameters.parse("keep-last")?,
            with: parameters.text("with").to_owned(),
        })
    }
}

impl Transform for MaskFields {
    fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
        let mut changes = Changes::of(batch);
        let mut places = Vec::new();
        let mut masked = Vec::new();
        for row in batch {
            let Some(value) = row.value() else {
                self.headers(row, &mut changes.keep(row));
                continue;
            };
            let Ok(text) = std::str::from_utf8(value) else {
                changes.refuse(row, "the value is not UTF-8");
                continue;
            };
            places.clear();
            let found = json::walk(text, &self.fields, |_, place| places.push(place));
            if let Err(error) = found {
                changes.refuse(row, format!("the value is {error}"));
                continue;
            }
            let mut kept = changes.keep(row);
            if !places.is_empty() {
                self.mask(text, &places, &mut masked);
                kept.value(Some(&masked));
            }
            self.headers(row, &mut kept);
        }
        changes.finish()
    }
}

impl MaskFields {
    /// Writes the text with the masks in their places, which ascend.
    fn mask(&self, text: &str, places: &[Range<usize>], masked: &mut Vec<u8>) {
        masked.clear();
        let mut done = 0;
        for place in places {
            masked.extend_from_slice(&text.as_bytes()[done..place.start]);
            masked.push(b'"');
            escape(&self.with, masked);
            escape(self.readable_end(&text[place.clone()]), masked);
            masked.push(b'"');
            done = place.end;
        }
        masked.extend_from_slice(&text.as_bytes()[done..]);
    }

    /// The end of a text or number that stays readable. Never all of it, and nothing of texts
    /// with escapes, where counting characters would be guessing.
    fn readable_end<'v>(&self, value: &'v str) -> &'v str {
        let inner = value.trim_matches('"');
        let plain = !inner.contains(['\\', '{', '[']);
        if self.keep_last == 0 || !plain || inner.chars().count() <= self.keep_last * 2 {
            return "";
        }
        let start = inner.char_indices().rev().nth(self.keep_last - 1);
        start.map_or("", |(at, _)| &inner[at..])
    }

    fn headers(&self, row: Row<'_>, kept: &mut Kept<'_, '_>) {
        let masks = |name: &[u8]| self.headers.iter().any(|h| h.as_bytes() == name);
        if self.headers.is_empty() || !row.headers().any(|header| masks(header.name)) {
            return;
        }
        let names: Vec<_> = row
            .headers()
            .map(|header| (String::from_utf8_lossy(header.name), header))
            .collect();
        kept.set_headers(names.iter().map(|(name, header)| {
            let value = if masks(header.name) {
                Some(self.with.as_bytes())
            } else {
                header.value
            };
            (name.as_ref(), value)
        }));
    }
}

/// Writes a text as the inside of a JSON string.
fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

weir_plugin_sdk::transform!(MaskFields);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{Record, configure, transform};

    fn masked(parameters: &[(&str, &str)], value: &str) -> String {
        let done = transform::<MaskFields>(parameters, &[Record::value(value)]).unwrap();
        done.values().remove(0)
    }

    #[test]
    fn fields_are_masked_and_the_rest_stays() {
        let fields = [("fields", "card, customer.email, items[*].serial")];
        let value = r#"{ "card":"4111 1111","n":1.0,"customer":{"email":{"a":1}},"items":[{"serial":7},{}] }"#;
        let expected =
            r#"{ "card":"***","n":1.0,"customer":{"email":"***"},"items":[{"serial":"***"},{}] }"#;
        assert_eq!(masked(&fields, value), expected);
        assert_eq!(masked(&fields, "[1]"), "[1]");
        assert_eq!(
            masked(&fields, r#"{"card":1,"card":2}"#),
            r#"{"card":"***","card":"***"}"#
        );
    }

    #[test]
    fn an_end_may_stay_readable() {
        let keep = [("fields", "card"), ("keep-last", "4"), ("with", "\"…")];
        assert_eq!(
            masked(&keep, r#"{"card":"4111111111111234"}"#),
            r#"{"card":"\"…1234"}"#
        );
        assert_eq!(masked(&keep, r#"{"card":"12345"}"#), r#"{"card":"\"…"}"#);
        assert_eq!(
            masked(&keep, r#"{"card":["secret-secret"]}"#),
            r#"{"card":"\"…"}"#
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_nulls_stay() {
        let records = [
            Record::value("{\"card\":"),
            Record::tombstone("k"),
            Record::value(vec![0xff]),
            Record::value("{\"card\":1}"),
        ];
        let done = transform::<MaskFields>(&[("fields", "card")], &records).unwrap();
        assert_eq!(done.rows, [1, 3]);
        assert_eq!(done.records[0], records[1]);
        assert_eq!(done.values()[1], "{\"card\":\"***\"}");
        let reasons: Vec<_> = done
            .refusals
            .iter()
            .map(|(row, why)| (*row, why.as_str()))
            .collect();
        assert_eq!(
            reasons,
            [
                (0, "the value is not valid JSON at line 1, column 8"),
                (2, "the value is not UTF-8")
            ]
        );
    }

    #[test]
    fn headers_are_masked_in_their_places() {
        let record = Record::value("{}")
            .header("a", "1")
            .header("token", "secret")
            .header("token", "secret2");
        let parameters = [("fields", "x"), ("headers", "token")];
        let plain = Record::value("{}").header("b", "2");
        let done = transform::<MaskFields>(&parameters, &[plain.clone(), record, plain.clone()]);
        let done = done.unwrap();
        let expected = Record::value("{}")
            .header("a", "1")
            .header("token", "***")
            .header("token", "***");
        assert_eq!(done.records, [plain.clone(), expected, plain]);
    }

    #[test]
    fn wrong_parameters_are_named() {
        let error = |parameters: &[(&str, &str)]| configure::<MaskFields>(parameters).unwrap_err();
        assert!(error(&[]).starts_with("the parameter 'fields' is missing"));
        assert!(error(&[("fields", "a..b")]).contains("'a..b': at byte 2"));
        assert!(error(&[("fields", "a"), ("feilds", "b")]).contains("no parameter 'feilds'"));
        assert!(error(&[("fields", "a"), ("keep-last", "x")]).contains("'keep-last' is 'x'"));
    }
}
