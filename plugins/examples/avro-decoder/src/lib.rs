//! Reads Avro as JSON, and writes it: `avro-decoder(value-schema='{"type":"record",..}')`. In
//! Confluent's framing a zero byte and the schema's number come before the data; the schema is the
//! one given, whatever the number. Avro itself is the library apache-avro's.

use apache_avro::types::Value;
use apache_avro::{Schema, from_avro_datum, to_avro_datum, to_value};
use weir_plugin_sdk::{Decoder, Description, Parameter, Parameters, Part, Plugin};

/// The plugin.
#[derive(Debug)]
pub struct AvroDecoder {
    key: Option<Schema>,
    value: Option<Schema>,
    framed: bool,
    id: u32,
}

const HEAD_BYTES: usize = 5;

impl Plugin for AvroDecoder {
    fn describe() -> Description {
        Description::new(
            "avro-decoder",
            env!("CARGO_PKG_VERSION"),
            "Reads Avro as JSON, and writes it.",
        )
        .parameter(Parameter::optional(
            "value-schema",
            "The schema of values, in Avro's JSON; without it values are text.",
        ))
        .parameter(Parameter::optional(
            "key-schema",
            "The schema of keys, in Avro's JSON; without it keys are text.",
        ))
        .parameter(Parameter::with_default(
            "framing",
            "confluent: a zero byte and the schema's number come first; none: only the data.",
            "confluent",
        ))
        .parameter(Parameter::with_default(
            "schema-id",
            "The schema's number in what is written.",
            "1",
        ))
    }

    fn configure(parameters: &Parameters) -> Result<Self, String> {
        let schema = |name: &str| match parameters.get(name) {
            None => Ok(None),
            Some(text) => match Schema::parse_str(text) {
                Ok(schema) => Ok(Some(schema)),
                Err(error) => Err(format!("the parameter '{name}' is no schema: {error}")),
            },
        };
        let framed = match parameters.text("framing") {
            "confluent" => true,
            "none" => false,
            other => {
                return Err(format!(
                    "the parameter 'framing' is '{other}'; confluent or none is expected"
                ));
            }
        };
        Ok(Self {
            key: schema("key-schema")?,
            value: schema("value-schema")?,
            framed,
            id: parameters.parse("schema-id")?,
        })
    }
}

impl AvroDecoder {
    const fn schema(&self, part: Part) -> Option<&Schema> {
        match part {
            Part::Key => self.key.as_ref(),
            Part::Value => self.value.as_ref(),
        }
    }
}

impl Decoder for AvroDecoder {
    fn decode(&mut self, part: Part, bytes: &[u8]) -> Result<String, String> {
        let Some(schema) = self.schema(part) else {
            let text = std::str::from_utf8(bytes).map_err(|_| "this is not UTF-8")?;
            return Ok(serde_json::Value::from(text).to_string());
        };
        let mut data = bytes;
        if self.framed {
            match bytes {
                [0, ..] if bytes.len() >= HEAD_BYTES => data = &bytes[HEAD_BYTES..],
                [0, ..] | [] => return Err("the frame of 5 bytes is cut off".to_owned()),
                [magic, ..] => {
                    return Err(format!(
                        "the first byte is {magic}, not 0: this is not framed"
                    ));
                }
            }
        }
        let value = from_avro_datum(schema, &mut data, None)
            .map_err(|error| format!("this does not fit the schema: {error}"))?;
        if !data.is_empty() {
            return Err(format!("{} bytes are left after the data", data.len()));
        }
        let json = serde_json::Value::try_from(value);
        Ok(json.map_err(|error| error.to_string())?.to_string())
    }

    fn encode(&mut self, part: Part, json: &str) -> Result<Vec<u8>, String> {
        let parsed: serde_json::Value =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        let Some(schema) = self.schema(part) else {
            let text = parsed
                .as_str()
                .ok_or("without a schema only a text can be written")?;
            return Ok(text.as_bytes().to_vec());
        };
        let value: Value = to_value(parsed).map_err(|error| error.to_string())?;
        let datum = value
            .resolve(schema)
            .and_then(|value| to_avro_datum(schema, value))
            .map_err(|error| format!("this does not fit the schema: {error}"))?;
        if !self.framed {
            return Ok(datum);
        }
        let mut bytes = Vec::with_capacity(HEAD_BYTES + datum.len());
        bytes.push(0);
        bytes.extend_from_slice(&self.id.to_be_bytes());
        bytes.extend_from_slice(&datum);
        Ok(bytes)
    }
}

weir_plugin_sdk::decoder!(AvroDecoder);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{configure, decode, encode};

    const SCHEMA: &str = r#"{"type":"record","name":"Order","fields":[
        {"name":"id","type":"long"},
        {"name":"who","type":"string"},
        {"name":"note","type":["null","string"],"default":null},
        {"name":"tags","type":{"type":"array","items":"string"}}]}"#;

    #[test]
    fn what_another_writer_wrote_is_read() {
        // Avro's specification: longs are zigzag varints, a text has its length before it, a
        // union its branch, an array blocks with counts up to an empty one.
        let mut bytes = vec![0, 0, 0, 0, 42];
        bytes.extend([2, 6, b'A', b'n', b'n', 2, 4, b'h', b'i', 2, 2, b'x', 0]);
        let json = decode::<AvroDecoder>(&[("value-schema", SCHEMA)], Part::Value, &bytes);
        let expected = serde_json::json!({"id":1,"who":"Ann","note":"hi","tags":["x"]});
        let is: serde_json::Value = serde_json::from_str(&json.unwrap()).unwrap();
        assert_eq!(is, expected);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let parameters = [("value-schema", SCHEMA), ("schema-id", "258")];
        let json = r#"{"id":-3,"note":null,"tags":[],"who":"é"}"#;
        let bytes = encode::<AvroDecoder>(&parameters, Part::Value, json).unwrap();
        assert_eq!(bytes, [0, 0, 0, 1, 2, 5, 4, 0xc3, 0xa9, 0, 0]);
        let back = decode::<AvroDecoder>(&parameters, Part::Value, &bytes).unwrap();
        let back: serde_json::Value = serde_json::from_str(&back).unwrap();
        assert_eq!(
            back,
            serde_json::from_str::<serde_json::Value>(json).unwrap()
        );
    }

    #[test]
    fn a_part_without_a_schema_is_text() {
        assert_eq!(
            decode::<AvroDecoder>(&[], Part::Key, b"a\"b").unwrap(),
            r#""a\"b""#
        );
        assert_eq!(
            encode::<AvroDecoder>(&[], Part::Key, r#""a\"b""#).unwrap(),
            b"a\"b"
        );
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let parameters = [("value-schema", SCHEMA)];
        let error =
            |bytes: &[u8]| decode::<AvroDecoder>(&parameters, Part::Value, bytes).unwrap_err();
        assert!(error(b"{}").contains("the first byte is 123"));
        assert!(error(&[0, 1]).contains("cut off"));
        assert!(error(&[0, 0, 0, 0, 1, 2, 200]).contains("does not fit the schema"));
        assert!(error(&[0, 0, 0, 0, 1, 2, 0, 0, 0, 9]).contains("1 bytes are left"));
        let wrong = configure::<AvroDecoder>(&[("value-schema", "{}")]).unwrap_err();
        assert!(wrong.contains("'value-schema' is no schema"), "{wrong}");
        let wrong = encode::<AvroDecoder>(&parameters, Part::Value, "{\"id\":\"x\"}").unwrap_err();
        assert!(wrong.contains("does not fit the schema"), "{wrong}");
    }
}
