//! Refuses records that are not what they should be:
//! `dead-letter(require="id:number,user.email")`. With the policy `dead-letter:TOPIC` they go to
//! that topic, with the reason in their headers; the others stay byte for byte.

use weir_expr::json::{self, Json};
use weir_expr::path::Path;
use weir_plugin_sdk::{
    Batch, Changes, Description, Output, Parameter, Parameters, Plugin, Transform,
};

/// The plugin.
#[derive(Debug)]
pub struct DeadLetter {
    paths: Vec<Path>,
    kinds: Vec<Kind>,
    nulls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    String,
    Number,
    Bool,
    Array,
    Object,
}

const KINDS: [(&str, Kind); 6] = [
    ("any", Kind::Any),
    ("string", Kind::String),
    ("number", Kind::Number),
    ("bool", Kind::Bool),
    ("array", Kind::Array),
    ("object", Kind::Object),
];

impl Plugin for DeadLetter {
    fn describe() -> Description {
        Description::new(
            "dead-letter",
            env!("CARGO_PKG_VERSION"),
            "Refuses records whose value is no valid JSON or lacks a field.",
        )
        .parameter(Parameter::with_default(
            "require",
            "Fields that must be there and not null: PATH or PATH:KIND between commas; a kind is \
             one of string, number, bool, array, object.",
            "",
        ))
        .parameter(Parameter::with_default(
            "nulls",
            "Whether records without a value (tombstones) pass.",
            "true",
        ))
    }

    fn configure(parameters: &Parameters) -> Result<Self, String> {
        let wanted: Vec<(Path, Kind)> = parameters
            .list("require")
            .into_iter()
            .map(|text| {
                required(text)
                    .map_err(|what| format!("the parameter 'require' has '{text}': {what}"))
            })
            .collect::<Result<_, _>>()?;
        let most = weir_expr::limits::PATHS_MAX;
        if wanted.len() > most {
            return Err(format!(
                "the parameter 'require' names at most {most} fields"
            ));
        }
        let (paths, kinds) = wanted.into_iter().unzip();
        Ok(Self {
            paths,
            kinds,
            nulls: parameters.parse("nulls")?,
        })
    }
}

fn required(text: &str) -> Result<(Path, Kind), String> {
    let (path, kind) = match text.rsplit_once(':') {
        Some((path, name)) if !name.contains(['"', ']']) => {
            let kind = KINDS.iter().find(|(kind, _)| *kind == name.trim());
            let (_, kind) = kind.ok_or_else(|| format!("there is no kind '{name}'"))?;
            (path, *kind)
        }
        _ => (text, Kind::Any),
    };
    let path = path.trim().parse().map_err(|error| format!("{error}"))?;
    Ok((path, kind))
}

impl Transform for DeadLetter {
    fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
        let mut changes = Changes::of(batch);
        for row in batch {
            let wrong = match row.value() {
                None if self.nulls => None,
                None => Some("there is no value".to_owned()),
                Some(value) => self.wrong(value),
            };
            match wrong {
                None => drop(changes.keep(row)),
                Some(reason) => changes.refuse(row, reason),
            }
        }
        changes.finish()
    }
}

impl DeadLetter {
    fn wrong(&self, value: &[u8]) -> Option<String> {
        let Ok(text) = std::str::from_utf8(value) else {
            return Some("the value is not UTF-8".to_owned());
        };
        // A field inside one that is required too is looked for by itself: a walk does not enter
        // what it has found.
        if let Err(error) = json::check(text) {
            return Some(format!("the value is {error}"));
        }
        self.paths.iter().zip(&self.kinds).find_map(|(path, kind)| {
            let found = json::find(text, path).ok().flatten();
            let what = match (found.and_then(Json::read), kind) {
                (None, _) => "is missing",
                (Some(Json::Null), _) => "is null",
                (Some(Json::String(_)), Kind::String | Kind::Any)
                | (Some(Json::Number(_)), Kind::Number | Kind::Any)
                | (Some(Json::Bool(_)), Kind::Bool | Kind::Any)
                | (Some(Json::Array(_)), Kind::Array | Kind::Any)
                | (Some(Json::Object(_)), Kind::Object | Kind::Any) => return None,
                (Some(_), Kind::String) => "is no string",
                (Some(_), Kind::Number) => "is no number",
                (Some(_), Kind::Bool) => "is neither true nor false",
                (Some(_), Kind::Array) => "is no array",
                (Some(_), Kind::Object) => "is no object",
            };
            Some(format!("the field '{path}' {what}"))
        })
    }
}

weir_plugin_sdk::transform!(DeadLetter);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{Record, configure, transform};

    #[test]
    fn what_is_wrong_is_refused_with_its_reason() {
        let records = [
            Record::value(r#"{"id":1,"user":{"email":"a@b"},"tags":[]}"#),
            Record::value(r#"{"id":"1","user":{"email":"a@b"},"tags":[]}"#),
            Record::value(r#"{"id":1,"user":{},"tags":[]}"#),
            Record::value(r#"{"id":1,"user":{"email":null},"tags":[]}"#),
            Record::value(r#"{"id":1,"user":{"email":""},"tags":{}}"#),
            Record::value(r#"{"id":1"#),
            Record::value(vec![0xff]),
            Record::tombstone("k"),
        ];
        let require = [("require", "id:number, user, user.email:string, tags:array")];
        let done = transform::<DeadLetter>(&require, &records).unwrap();
        assert_eq!(done.rows, [0, 7]);
        assert_eq!(done.records, [records[0].clone(), records[7].clone()]);
        let reasons: Vec<_> = done.refusals.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "the field 'id' is no number",
                "the field 'user.email' is missing",
                "the field 'user.email' is null",
                "the field 'tags' is no array",
                "the value is not valid JSON at line 1, column 7",
                "the value is not UTF-8",
            ]
        );
    }

    #[test]
    fn tombstones_pass_unless_they_may_not() {
        let done = transform::<DeadLetter>(&[("nulls", "false")], &[Record::tombstone("k")]);
        assert_eq!(
            done.unwrap().refusals,
            [(0, "there is no value".to_owned())]
        );
    }

    #[test]
    fn wrong_parameters_are_named() {
        let error = |parameters: &[(&str, &str)]| configure::<DeadLetter>(parameters).unwrap_err();
        assert!(error(&[("require", "a:text")]).contains("no kind 'text'"));
        assert!(error(&[("require", "a..b")]).contains("'a..b': at byte 2"));
        assert!(error(&[("nulls", "maybe")]).contains("'nulls' is 'maybe'"));
    }
}
