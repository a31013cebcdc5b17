//! What a plugin says about itself, and the parameters it is given.

use crate::bindings::transform::weir::plugin::description as wit;
use std::str::FromStr;

/// A plugin's name, version, purpose and parameters.
#[derive(Clone, Debug)]
pub struct Description {
    pub(crate) wit: wit::Description,
}

impl Description {
    /// A plugin without parameters. The name is `[a-z][a-z0-9-]{0,62}`, the version as in
    /// semantic versioning; the summary says in one sentence what the plugin does.
    #[must_use]
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        Self {
            wit: wit::Description {
                name: name.to_owned(),
                version: version.to_owned(),
                summary: summary.to_owned(),
                parameters: Vec::new(),
            },
        }
    }

    /// One parameter more.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.wit.parameters.push(parameter.wit);
        self
    }

    /// The plugin's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.wit.name
    }

    /// The plugin's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.wit.version
    }
}

/// A parameter that a plugin takes.
#[derive(Clone, Debug)]
pub struct Parameter {
    wit: wit::Parameter,
}

impl Parameter {
    fn new(name: &str, summary: &str, required: bool, default: Option<&str>) -> Self {
        Self {
            wit: wit::Parameter {
                name: name.to_owned(),
                summary: summary.to_owned(),
                required,
                default: default.map(str::to_owned),
            },
        }
    }

    /// One that must be given.
    #[must_use]
    pub fn required(name: &str, summary: &str) -> Self {
        Self::new(name, summary, true, None)
    }

    /// One that need not be given.
    #[must_use]
    pub fn optional(name: &str, summary: &str) -> Self {
        Self::new(name, summary, false, None)
    }

    /// One that is `default` where it is not given.
    #[must_use]
    pub fn with_default(name: &str, summary: &str, default: &str) -> Self {
        Self::new(name, summary, false, Some(default))
    }
}

/// The parameters that somebody gave.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Holds what was given against the description and fills in defaults.
    ///
    /// # Errors
    /// Unknown, doubled and missing parameters, in words for people.
    pub fn check(
        mut pairs: Vec<(String, String)>,
        description: &Description,
    ) -> Result<Self, String> {
        let known = &description.wit.parameters;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.iter().any(|parameter| parameter.name == *name) {
                let names: Vec<&str> = known.iter().map(|p| p.name.as_str()).collect();
                return Err(match names.as_slice() {
                    [] => format!("there is no parameter '{name}'; this plugin takes none"),
                    _ => format!(
                        "there is no parameter '{name}'; this plugin takes {}",
                        names.join(", ")
                    ),
                });
            }
            if pairs[..at].iter().any(|(before, _)| before == name) {
                return Err(format!("the parameter '{name}' is given twice"));
            }
        }
        for parameter in known {
            if pairs.iter().any(|(name, _)| *name == parameter.name) {
                continue;
            }
            if parameter.required {
                return Err(format!(
                    "the parameter '{}' is missing: {}",
                    parameter.name, parameter.summary
                ));
            }
            if let Some(default) = &parameter.default {
                pairs.push((parameter.name.clone(), default.clone()));
            }
        }
        Ok(Self { pairs })
    }

    /// A parameter's text; nothing where it was not given and has no default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(given, _)| given == name);
        found.map(|(_, text)| text.as_str())
    }

    /// A parameter's text; empty where it was not given and has no default.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// A parameter as a number, a truth value or whatever else can be read from text.
    ///
    /// # Errors
    /// If it cannot be read so, or is not there.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<T, String>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.text(name);
        text.parse().map_err(|error| {
            format!("the parameter '{name}' is '{text}', which cannot be read: {error}")
        })
    }

    /// A parameter as a list: its parts between commas, without spaces around them. Commas in
    /// double quotes do not part.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<&str> {
        let mut quoted = false;
        self.text(name)
            .split(move |c: char| {
                quoted ^= c == '"';
                c == ',' && !quoted
            })
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
    }
}
