//! CONFIG.md, written from the tables that the code itself uses, so that it cannot drift.

use crate::settings::{self, Kind, environment_name};
use std::fmt::Write;
use weir_meta::config::TOPIC_CONFIGS;

const HEAD: &str = "\
# Settings

This file is generated from the code (`weir docs config`); `cargo xtask verify` compares the two.

## The broker's settings

A value is taken from the last of these that gives one: the default, the configuration file
(`--config FILE`, TOML, names as below), the environment (`WEIR_` and the name in capitals with
underscores), the flags (`--data`, `--listen`, `--advertise`, `--set NAME=VALUE`).
`weir serve --print-config` prints every value and where it came from.

| setting | takes | default | what it does |
| --- | --- | --- | --- |
";

const TOPICS: &str = "
## Topic settings

Set with `weir topic create --config NAME=VALUE` and `weir topic alter --config NAME=VALUE`, or by any
Kafka client. The names are Kafka's; those that begin with `weir.` are Weir's own. Where a broker
setting is named, it gives the default.

| setting | type | default | broker setting | what it does |
| --- | --- | --- | --- | --- |
";

const IDLE: &str = "
## Topic settings that have nothing to do here

Kafka has them; Weir accepts and shows them, so that tools which set them go on working.

| setting | default | why it has nothing to do |
| --- | --- | --- |
";

/// The whole file.
#[must_use]
pub fn config_doc() -> String {
    let mut out = String::from(HEAD);
    for setting in settings::all() {
        let default = shown(setting.default);
        let doc = match setting.kind {
            Kind::TopicDefault(key) => format!("Default of the topics' `{}`.", key.name),
            _ => setting.doc.to_owned(),
        };
        let _infallible = writeln!(
            out,
            "| `{}`<br>`{}` | {} | {default} | {doc} |",
            setting.name,
            environment_name(setting.name),
            setting.kind,
        );
    }
    out.push_str(TOPICS);
    for key in TOPIC_CONFIGS.iter().filter(|key| key.idle.is_none()) {
        let broker = key
            .broker_name
            .map_or_else(String::new, |name| format!("`{name}`"));
        let default = shown(key.default);
        let _infallible = writeln!(
            out,
            "| `{}` | {} | {default} | {broker} | {} |",
            key.name,
            key.kind.name(),
            key.doc
        );
    }
    out.push_str(IDLE);
    for key in TOPIC_CONFIGS {
        if let Some(why) = key.idle {
            let default = shown(key.default);
            let _infallible = writeln!(out, "| `{}` | {default} | {why} |", key.name);
        }
    }
    out
}

fn shown(default: &str) -> String {
    if default.is_empty() {
        "(empty)".to_owned()
    } else {
        format!("`{default}`")
    }
}
