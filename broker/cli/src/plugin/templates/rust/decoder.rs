//! Shows bytes as hexadecimal digits, and reads them back. Change it into what you need; the tests
//! below run without a broker.

use weir_plugin_sdk::{Decoder, Description, Parameters, Part, Plugin};

struct @TYPE@;

impl Plugin for @TYPE@ {
    fn describe() -> Description {
        // `weir plugin dev` gives every build a version of its own.
        let version = option_env!("WEIR_PLUGIN_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"));
        Description::new("@NAME@", version, "Shows bytes as hexadecimal digits.")
    }

    fn configure(_: &Parameters) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Decoder for @TYPE@ {
    fn decode(&mut self, _: Part, bytes: &[u8]) -> Result<String, String> {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("\"{digits}\""))
    }

    fn encode(&mut self, _: Part, json: &str) -> Result<Vec<u8>, String> {
        let digits = json.trim().trim_matches('"');
        if digits.len() % 2 != 0 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err("there should be an even number of hexadecimal digits".to_owned());
        }
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|error| error.to_string());
        (0..digits.len()).step_by(2).map(byte).collect()
    }
}

weir_plugin_sdk::decoder!(@TYPE@);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{decode, encode};

    #[test]
    fn bytes_come_back() {
        let json = decode::<@TYPE@>(&[], Part::Value, &[0, 255]).unwrap();
        assert_eq!(json, "\"00ff\"");
        assert_eq!(encode::<@TYPE@>(&[], Part::Value, &json).unwrap(), [0, 255]);
        assert!(encode::<@TYPE@>(&[], Part::Value, "\"0g\"").is_err());
    }
}
