//! Keeps the records whose values have a word in them: `@NAME@(word="..")`. Change it into what
//! you need; the tests below run without a broker.

use weir_plugin_sdk::{
    Batch, Changes, Description, Output, Parameter, Parameters, Plugin, Transform,
};

struct @TYPE@ {
    word: String,
}

impl Plugin for @TYPE@ {
    fn describe() -> Description {
        // `weir plugin dev` gives every build a version of its own.
        let version = option_env!("WEIR_PLUGIN_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"));
        Description::new("@NAME@", version, "Keeps records that have a word in them.")
            .parameter(Parameter::required("word", "The word."))
    }

    fn configure(parameters: &Parameters) -> Result<Self, String> {
        let word = parameters.text("word").to_owned();
        if word.is_empty() {
            return Err("the parameter 'word' is empty".to_owned());
        }
        Ok(Self { word })
    }
}

impl Transform for @TYPE@ {
    fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
        let mut changes = Changes::of(batch);
        for row in batch {
            let value = row.value().unwrap_or_default();
            match std::str::from_utf8(value) {
                // `keep` also changes keys, values, headers and timestamps.
                Ok(text) if text.contains(&self.word) => {
                    changes.keep(row);
                }
                Ok(_) => changes.drop(row),
                // What becomes of refused records is up to where the plugin is attached.
                Err(_) => changes.refuse(row, "the value is not UTF-8"),
            }
        }
        changes.finish()
    }
}

weir_plugin_sdk::transform!(@TYPE@);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{Record, configure, transform};

    #[test]
    fn records_with_the_word_stay() {
        let records = [
            Record::value("a book"),
            Record::value("a pen"),
            Record::value(vec![0xff]),
        ];
        let done = transform::<@TYPE@>(&[("word", "book")], &records).unwrap();
        assert_eq!(done.values(), ["a book"]);
        assert_eq!(done.refusals.len(), 1);
    }

    #[test]
    fn a_word_must_be_given() {
        assert!(configure::<@TYPE@>(&[("word", "")]).is_err());
        assert!(configure::<@TYPE@>(&[]).is_err());
    }
}
