//! What people write about plugins on the command line, and how plugins are told to them. It asks
//! nobody anything.

use crate::failure::{Failure, Outcome};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use weir_client::admin::{PluginParameter, PluginPlace, PluginVersion, world_name};
use weir_plugin::{Chain, Link, PluginRef};

/// `NAME` or `NAME@VERSION`.
pub(crate) fn plugin(text: &str) -> Outcome<PluginRef> {
    text.parse::<PluginRef>()
        .map_err(|error| Failure::usage(error.to_string()))
}

/// `NAME@VERSION`, with `NAME VERSION` in the advice where the version is missing.
pub(crate) fn version(text: &str) -> Outcome<(String, String)> {
    let plugin = plugin(text)?;
    match plugin.version {
        Some(version) => Ok((plugin.name, version)),
        None => Err(
            Failure::usage(format!("`{text}` names no version")).advise(format!(
                "write {text}@VERSION; `weir plugin list` shows them"
            )),
        ),
    }
}

/// A link: `NAME[@VERSION][(name="value",..)]` with further parameters as `NAME=VALUE`.
pub(crate) fn link(text: &str, set: &[String]) -> Outcome<Link> {
    let chain = chain(text)?;
    let [link] = chain.links.as_slice() else {
        return Err(Failure::usage(format!("`{text}` is more than one plugin"))
            .advise("name one plugin; a command for each further one adds it"));
    };
    let mut link = link.clone();
    for text in set {
        let (name, value) = parameter(text)?;
        if link
            .parameters
            .insert(name.to_owned(), value.to_owned())
            .is_some()
        {
            return Err(Failure::usage(format!(
                "the parameter `{name}` is given twice"
            )));
        }
    }
    Ok(link)
}

/// A chain: links with `|` between.
pub(crate) fn chain(text: &str) -> Outcome<Chain> {
    text.parse::<Chain>().map_err(|error| {
        Failure::usage(error.to_string())
            .advise("a chain is written NAME@VERSION(parameter=\"value\",..)|NAME|..")
    })
}

/// A chain, to whose only link further parameters may be given as `NAME=VALUE`.
pub(crate) fn chain_with(text: &str, set: &[String]) -> Outcome<Chain> {
    if set.is_empty() {
        return chain(text);
    }
    let link = link(text, set).map_err(|failure| {
        failure.and_advise("with several plugins each takes its own: NAME(parameter=\"value\")")
    })?;
    Ok(Chain { links: vec![link] })
}

/// Cuts `NAME=VALUE`.
pub(crate) fn parameter(text: &str) -> Outcome<(&str, &str)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => {
            Err(Failure::usage(format!("`{text}` is no parameter"))
                .advise("write --set NAME=VALUE"))
        }
    }
}

/// Parameters given with `--set`.
pub(crate) fn parameters(set: &[String]) -> Outcome<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for text in set {
        let (name, value) = parameter(text)?;
        if all.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::usage(format!(
                "the parameter `{name}` is given twice"
            )));
        }
    }
    Ok(all)
}

/// A parameter as a component itself describes it.
pub(crate) fn described(parameter: &weir_plugin_host::Parameter) -> PluginParameter {
    PluginParameter {
        name: parameter.name.clone(),
        summary: parameter.summary.clone(),
        required: parameter.required,
        default: parameter.default.clone(),
    }
}

/// A component's file.
pub(crate) fn component(file: &Path) -> Outcome<Vec<u8>> {
    let limit = weir_plugin::limits::COMPONENT_BYTES_MAX;
    let what = || format!("cannot read {}", file.display());
    let size = std::fs::metadata(file)
        .map_err(|error| Failure::io(what(), &error).advise("`weir plugin build` makes it"))?
        .len();
    if usize::try_from(size).is_ok_and(|size| size <= limit) {
        return std::fs::read(file).map_err(|error| Failure::io(what(), &error));
    }
    Err(Failure::usage(format!(
        "{} has {size} bytes, and a component may have {limit}",
        file.display()
    ))
    .advise("build it for release, without debug information"))
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Places in a sentence.
pub(crate) fn places(places: &[PluginPlace]) -> String {
    let mut names: Vec<String> = places.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}

/// A place as JSON.
pub(crate) fn place_json(place: &PluginPlace) -> Value {
    json!({ "kind": place.kind.name(), "name": place.name, "link": place.link })
}

/// A parameter in a line: its name, whether it must be given, what it is for.
pub(crate) fn parameter_line(parameter: &PluginParameter) -> String {
    let needed = match (&parameter.default, parameter.required) {
        (Some(default), _) => format!("default \"{default}\""),
        (None, true) => "required".to_owned(),
        (None, false) => "optional".to_owned(),
    };
    format!("{} ({needed}): {}", parameter.name, parameter.summary)
}

/// A version as JSON.
pub(crate) fn version_json(version: &PluginVersion) -> Value {
    let parameters = version.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "summary": parameter.summary,
            "required": parameter.required,
            "default": parameter.default,
        })
    });
    json!({
        "version": version.version,
        "world": world_name(version.world),
        "sha256": hex(&version.digest),
        "bytes": version.size_bytes,
        "deployedAt": version.deployed_at.map(|time| time.0),
        "summary": version.summary,
        "parameters": parameters.collect::<Vec<_>>(),
        "imports": version.imports,
        "failure": version.failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_from_the_link_and_from_flags() {
        let set = ["b=x=y".to_owned(), "c=".to_owned()];
        let both = link("mask@1.2.0(a=1)", &set).unwrap();
        assert_eq!(both.to_string(), r#"mask@1.2.0(a="1",b="x=y",c="")"#);
        let twice = link("mask(a=1)", &["a=2".to_owned()]).unwrap_err();
        assert!(twice.to_string().contains("given twice"), "{twice}");
        let two = link("a|b", &[]).unwrap_err();
        assert!(two.to_string().contains("more than one plugin"), "{two}");
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let text = |result: Outcome<(String, String)>| result.unwrap_err().to_string();
        assert!(text(version("mask")).contains("write mask@VERSION"));
        assert!(text(version("mask@1")).contains("no version: write three numbers"));
        assert!(
            parameter("=1")
                .unwrap_err()
                .to_string()
                .contains("--set NAME=VALUE")
        );
        let chained = chain("Mask").unwrap_err().to_string();
        assert!(chained.contains("no plugin name"), "{chained}");
    }
}
