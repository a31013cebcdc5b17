//! Chooses the partition by what stands before a separator in the key, so that all keys with the
//! same beginning share one: `@NAME@(separator=":")`. Change it into what you need; the tests below
//! run without a broker.

use weir_plugin_sdk::{Description, Parameter, Parameters, Partitioner, Plugin};

struct @TYPE@ {
    separator: String,
}

impl Plugin for @TYPE@ {
    fn describe() -> Description {
        // `weir plugin dev` gives every build a version of its own.
        let version = option_env!("WEIR_PLUGIN_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"));
        Description::new("@NAME@", version, "Chooses partitions by the beginning of keys.")
            .parameter(Parameter::with_default("separator", "What ends it.", ":"))
    }

    fn configure(parameters: &Parameters) -> Result<Self, String> {
        let separator = parameters.text("separator").to_owned();
        if separator.is_empty() {
            return Err("the parameter 'separator' is empty".to_owned());
        }
        Ok(Self { separator })
    }
}

impl Partitioner for @TYPE@ {
    fn partition(&mut self, key: Option<&[u8]>, partitions: u32) -> Result<u32, String> {
        let key = key.unwrap_or_default();
        let separator = self.separator.as_bytes();
        let end = key
            .windows(separator.len())
            .position(|window| window == separator);
        let beginning = &key[..end.unwrap_or(key.len())];
        // FNV-1a: the same beginning must always give the same partition.
        let hash = beginning.iter().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
        Ok(hash % partitions)
    }
}

weir_plugin_sdk::partitioner!(@TYPE@);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{configure, partition};

    #[test]
    fn the_same_beginning_has_the_same_partition() {
        let keys: [Option<&[u8]>; 3] = [Some(b"eu:1"), Some(b"eu:2"), None];
        let chosen = partition::<@TYPE@>(&[], &keys, 7).unwrap();
        assert_eq!(chosen[0], chosen[1]);
        assert!(chosen.iter().all(|partition| *partition < 7));
    }

    #[test]
    fn a_separator_is_not_empty() {
        assert!(configure::<@TYPE@>(&[("separator", "")]).is_err());
    }
}
