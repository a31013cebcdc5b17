//! How `weir consume` shows records: which of them (`--filter`), made readable by which plugins
//! (`--decode`), laid out how. Everything is done here, on the reader's side; nothing is asked of
//! the broker but a decoder's component.

use super::ConsumeArgs;
use crate::failure::{Failure, Outcome};
use crate::format::Format;
use crate::plugin::{local, refusal, words};
use crate::record_json;
use crate::row::Row;
use std::sync::Arc;
use weir_client::{Client, FetchedBatch};
use weir_expr::{Expr, Fields};
use weir_plugin::{BytesColumn, Link, World};
use weir_plugin_host::{Host, Instance, NoLog, Part};

/// How each record is laid out.
enum Form {
    Format(Format),
    Json,
}

/// Shows records.
pub(super) struct Printer {
    form: Form,
    filter: Option<Expr>,
    wanted: Vec<(Part, Link)>,
    decoders: Vec<Decoder>,
    is_unread_said: bool,
}

/// A decoder of one part of the records.
struct Decoder {
    part: Part,
    instance: Instance,
}

/// What decoders made of a batch.
#[derive(Default)]
pub(super) struct Texts {
    keys: Option<Vec<Option<String>>>,
    values: Option<Vec<Option<String>>>,
}

impl Printer {
    /// What the flags say.
    pub(super) fn new(args: &ConsumeArgs) -> Outcome<Self> {
        let form = match (&args.format, args.json) {
            (_, true) => Form::Json,
            (Some(format), false) => Form::Format(Format::parse(format)?),
            (None, false) => Form::Format(Format::values()),
        };
        let filter = args.filter.as_deref().map(Expr::parse).transpose();
        let filter = filter.map_err(|error| {
            Failure::usage(format!("--filter, {error}"))
                .advise("such as 'value.age >= 18 and headers.region == \"eu\"'")
        })?;
        let mut wanted = Vec::new();
        for (part, text) in [(Part::Key, &args.decode_key), (Part::Value, &args.decode)] {
            if let Some(text) = text {
                wanted.push((part, words::link(text, &[])?));
            }
        }
        Ok(Self {
            form,
            filter,
            wanted,
            decoders: Vec::new(),
            is_unread_said: false,
        })
    }

    /// Fetches and starts the decoders.
    pub(super) async fn prepare(&mut self, client: &Client) -> Outcome {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let host = local::host()?;
        for (part, link) in std::mem::take(&mut self.wanted) {
            let instance = decoder(client, &host, &link).await?;
            self.decoders.push(Decoder { part, instance });
        }
        Ok(())
    }

    /// Has the decoders read a batch, a column at a time.
    pub(super) fn read(&mut self, batch: &FetchedBatch) -> Outcome<Texts> {
        let mut texts = Texts::default();
        for decoder in &mut self.decoders {
            let mut column = BytesColumn::default();
            for record in batch.raw_records() {
                let (_, _, record) = record?;
                column.push(match decoder.part {
                    Part::Key => record.key,
                    Part::Value => record.value,
                });
            }
            column.finish();
            let part = decoder.part;
            let report = tokio::task::block_in_place(|| decoder.instance.decode(part, &column));
            let rows = report.result.map_err(|failure| {
                let name = &decoder.instance.configured().component().description().name;
                Failure::failed(format!("the decoder `{name}` failed: {}", failure.message))
            })?;
            let mut first = None;
            let rows = rows.into_iter().enumerate().map(|(row, text)| match text {
                _ if column.is_null(row) => None,
                Ok(text) => Some(text),
                Err(reason) => {
                    first.get_or_insert(reason);
                    None
                }
            });
            let rows = rows.collect();
            match part {
                Part::Key => texts.keys = Some(rows),
                Part::Value => texts.values = Some(rows),
            }
            if let Some(reason) = first.filter(|_| !self.is_unread_said) {
                self.is_unread_said = true;
                let reason = crate::human::name(&reason);
                eprintln!(
                    "weir: records that cannot be decoded are shown as they are; the first: {reason}"
                );
            }
        }
        Ok(texts)
    }

    /// Whether a record is wanted.
    pub(super) fn wants(&self, row: &Row<'_>) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.matches(row))
    }

    /// Lays a record out.
    pub(super) fn write(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        match &self.form {
            Form::Format(format) => format.write(row, out),
            Form::Json => record_json::write(row, out),
        }
    }
}

impl Texts {
    /// The record at a place of the batch, with what was decoded instead of its bytes.
    pub(super) fn over<'a>(&'a self, place: usize, row: Row<'a>) -> Row<'a> {
        let text = |column: &'a Option<Vec<Option<String>>>| {
            let text = column.as_ref()?.get(place)?;
            text.as_ref().map(String::as_bytes)
        };
        Row {
            key: text(&self.keys).or(row.key),
            value: text(&self.values).or(row.value),
            ..row
        }
    }
}

async fn decoder(client: &Client, host: &Host, link: &Link) -> Outcome<Instance> {
    let (name, version) = (link.plugin.name.as_str(), link.plugin.version.as_deref());
    let got = match client.admin().get_plugin(name, version, None).await {
        Ok(got) => got,
        Err(error) => return Err(refusal::plugin(client, name, &error).await),
    };
    let bytes = got
        .component
        .ok_or_else(|| Failure::failed("the broker did not send the component"))?;
    let component = local::compile(host, &bytes)?;
    if component.world() != World::Decoder {
        let world = component.world().name();
        return Err(
            Failure::usage(format!("`{name}` is a plugin of world {world}"))
                .advise("--decode takes plugins of world decoder; `weir plugin list` shows them"),
        );
    }
    let configured = local::configure(&component, &link.parameters)?;
    Ok(configured.instance(Arc::new(NoLog)))
}

impl Fields for Row<'_> {
    fn key(&self) -> Option<&[u8]> {
        self.key
    }

    fn value(&self) -> Option<&[u8]> {
        self.value
    }

    fn header(&self, name: &str) -> Option<Option<&[u8]>> {
        let named = |header: &&weir_client::RecordHeader<'_>| header.key == name.as_bytes();
        self.headers
            .iter()
            .rev()
            .find(named)
            .map(|header| header.value)
    }

    fn topic(&self) -> &str {
        self.topic
    }

    fn partition(&self) -> u32 {
        u32::try_from(self.partition).unwrap_or(0)
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp(&self) -> i64 {
        self.timestamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_json::tests::row;

    #[test]
    fn filters_see_what_is_shown() {
        let texts = Texts {
            keys: None,
            values: Some(vec![None, Some(r#"{"age":18}"#.to_owned())]),
        };
        let filter = Expr::parse("value.age >= 18 and headers.a == \"2\"").unwrap();
        assert!(!filter.matches(&texts.over(0, row())));
        assert!(filter.matches(&texts.over(1, row())));
        assert_eq!(texts.over(1, row()).key, row().key);
    }
}
