//! Options of the command line, and the client they describe. No command knows how they are
//! written.

use anyhow::{Context, Result, bail};
use std::{fmt::Display, str::FromStr, time::Duration};
use weir_client::{Client, ClientConfig, Profile};

/// Pairs of `--name value`.
pub(crate) struct Options {
    pairs: Vec<(String, String)>,
}

impl Options {
    pub(crate) fn new(words: Vec<String>) -> Result<Self> {
        let mut pairs = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else {
                bail!("`{word}` is no option");
            };
            let value = words
                .next()
                .with_context(|| format!("{word} takes a value"))?;
            pairs.push((name.to_owned(), value));
        }
        Ok(Self { pairs })
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        self.find(name)
            .with_context(|| format!("--{name} is missing"))
    }

    /// The option's value, or what holds without it.
    pub(crate) fn value<T>(&self, name: &str, default: T) -> Result<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(text) = self.find(name) else {
            return Ok(default);
        };
        let parsed = text.parse();
        parsed.map_err(|error| anyhow::anyhow!("--{name} {text}: {error}"))
    }

    /// Milliseconds.
    pub(crate) fn millis(&self, name: &str, default: u64) -> Result<Duration> {
        Ok(Duration::from_millis(self.value(name, default)?))
    }

    /// A connected client that calls itself so.
    pub(crate) async fn client(&self, client_id: &str) -> Result<Client> {
        let transport = self
            .text("transport")?
            .parse()
            .map_err(anyhow::Error::msg)?;
        let mut config = ClientConfig::new([self.text("bootstrap")?.to_owned()])
            .with_client_id(client_id)
            .with_transport(transport);
        if let Some(file) = self.find("profile") {
            let profile = Profile::read(file.as_ref()).context("cannot read the profile")?;
            config = config.with_profile(profile);
        }
        Ok(Client::connect(config).await?)
    }
}
