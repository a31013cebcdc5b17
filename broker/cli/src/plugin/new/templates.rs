//! The files of a new project, by language and world.

use super::{File, bindings};
use crate::failure::Outcome;
use crate::plugin::project::Lang;
use weir_plugin::World;

/// The WIT package and the SDK's sources, by their paths in the repository.
pub(super) const EMBEDDED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The version of wit-bindgen that the SDK is written for; a test holds it against ours.
const BINDGEN: &str = "0.61";

/// A project's files.
pub(super) fn project(name: &str, world: World, lang: Lang) -> Outcome<Vec<File>> {
    let mut files = match lang {
        Lang::Rust => rust(world),
        Lang::C => c(world)?,
        Lang::Python => vec![text("app.py", python(world))],
        Lang::Js => vec![
            text("plugin.js", js(world)),
            text("build.mjs", include_str!("../templates/js/build.mjs")),
            text(
                "package.json",
                include_str!("../templates/js/package.json.txt"),
            ),
        ],
    };
    files.push(text("pairs.jsonl", pairs(world, lang)));
    files.push(text(
        "README.md",
        include_str!("../templates/README.md.txt"),
    ));
    files.push(text(
        ".gitignore",
        "target/\nbuild/\nnode_modules/\n__pycache__/\n*.wasm\n",
    ));
    for (path, bytes) in &mut files {
        if let Ok(text) = std::str::from_utf8(bytes) {
            *bytes = filled(text, name, world, lang).into_bytes();
        }
        debug_assert!(!path.starts_with('/'));
    }
    files.extend(embedded("wit/weir-plugin/"));
    if lang == Lang::Rust {
        files.extend(embedded("plugins/sdk/src/"));
    }
    Ok(files)
}

fn text(path: &str, text: &str) -> File {
    (path.to_owned(), text.as_bytes().to_vec())
}

/// Files of the repository, below `weir/`.
fn embedded(prefix: &str) -> impl Iterator<Item = File> {
    let below = move |(path, _): &&(&str, &str)| path.starts_with(prefix);
    let files = EMBEDDED.iter().filter(below);
    files.map(|(path, contents)| (format!("weir/{path}"), contents.as_bytes().to_vec()))
}

fn filled(text: &str, name: &str, world: World, lang: Lang) -> String {
    let camel = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    let set = match (world, lang) {
        (World::Transform, Lang::C) | (World::Partitioner | World::Decoder, _) => "",
        (World::Transform, _) => "--set word=book",
    };
    let tests = match lang {
        Lang::Rust => "`cargo test` runs its tests, without Wasm and without a broker.\n\n",
        Lang::C => "",
        Lang::Python => "`pip install componentize-py==0.25.1` installs what builds it.\n\n",
        Lang::Js => "`npm install` installs what builds it.\n\n",
    };
    text.replace("@NAME@", name)
        .replace("@TYPE@", &camel.collect::<String>())
        .replace("@WORLD@", world.name())
        .replace(
            " @SET@",
            &if set.is_empty() {
                String::new()
            } else {
                format!(" {set}")
            },
        )
        .replace("@TESTS@\n", tests)
        .replace("@BINDGEN@", BINDGEN)
        .replace("@SDK@", env!("CARGO_PKG_VERSION"))
}

fn rust(world: World) -> Vec<File> {
    let lib = match world {
        World::Transform => include_str!("../templates/rust/transform.rs"),
        World::Partitioner => include_str!("../templates/rust/partitioner.rs"),
        World::Decoder => include_str!("../templates/rust/decoder.rs"),
    };
    vec![
        text("src/lib.rs", lib),
        text(
            "Cargo.toml",
            include_str!("../templates/rust/Cargo.toml.txt"),
        ),
        text(
            "weir/plugins/sdk/Cargo.toml",
            include_str!("../templates/rust/sdk.toml.txt"),
        ),
    ]
}

const fn python(world: World) -> &'static str {
    match world {
        World::Transform => include_str!("../templates/python/transform.py"),
        World::Partitioner => include_str!("../templates/python/partitioner.py"),
        World::Decoder => include_str!("../templates/python/decoder.py"),
    }
}

const fn js(world: World) -> &'static str {
    match world {
        World::Transform => include_str!("../templates/js/transform.js"),
        World::Partitioner => include_str!("../templates/js/partitioner.js"),
        World::Decoder => include_str!("../templates/js/decoder.js"),
    }
}

fn c(world: World) -> Outcome<Vec<File>> {
    let plugin = match world {
        World::Transform => include_str!("../templates/c/transform.c"),
        World::Partitioner => include_str!("../templates/c/partitioner.c"),
        World::Decoder => include_str!("../templates/c/decoder.c"),
    };
    let mut files = vec![
        text("plugin.c", plugin),
        text("weir/libc.c", include_str!("../templates/c/libc.c")),
        text(
            "weir/include/stdlib.h",
            include_str!("../templates/c/stdlib.h"),
        ),
        text(
            "weir/include/string.h",
            include_str!("../templates/c/string.h"),
        ),
    ];
    let made = bindings::c(world)?;
    files.extend(
        made.into_iter()
            .map(|(name, bytes)| (format!("weir/{name}"), bytes)),
    );
    Ok(files)
}

/// What the template does with a few records.
const fn pairs(world: World, lang: Lang) -> &'static str {
    match (world, lang) {
        (World::Transform, Lang::C) => {
            "{\"in\": {\"value\": \"a book\"}, \"out\": {\"value\": \"a book\"}}\n\
             {\"in\": {\"value\": \"\"}, \"out\": null}\n"
        }
        (World::Transform, _) => {
            "{\"in\": {\"value\": \"a book\"}, \"out\": {\"value\": \"a book\"}}\n\
             {\"in\": {\"value\": \"a pen\"}, \"out\": null}\n"
        }
        (World::Partitioner, Lang::Rust) => {
            "{\"in\": {\"key\": \"eu:1\"}, \"partition\": 2}\n\
             {\"in\": {\"key\": \"eu:2\"}, \"partition\": 2}\n"
        }
        (World::Partitioner, Lang::C | Lang::Js) => "{\"in\": {\"key\": \"\"}, \"partition\": 1}\n",
        (World::Partitioner, Lang::Python) => "{\"in\": {\"key\": \"\"}, \"partition\": 0}\n",
        (World::Decoder, _) => "{\"in\": {\"value\": \"hi\"}, \"json\": \"6869\"}\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in() {
        for world in [World::Transform, World::Partitioner, World::Decoder] {
            for lang in [Lang::Rust, Lang::C, Lang::Python, Lang::Js] {
                let files = project("mask-cards", world, lang).unwrap();
                assert!(files.iter().any(|(path, _)| path == lang.mark()));
                assert!(files.iter().any(|(path, _)| path.ends_with(".wit")));
                let own = files.iter().filter(|(path, _)| !path.starts_with("weir/"));
                for (path, bytes) in own {
                    let text = String::from_utf8_lossy(bytes);
                    let left = [
                        "@NAME", "@TYPE", "@WORLD", "@SET", "@TESTS", "@BINDGEN", "@SDK",
                    ];
                    let left = left.iter().find(|word| text.contains(**word));
                    assert_eq!(left, None, "{path}: {text}");
                }
            }
        }
    }

    #[test]
    fn the_sdk_is_whole_and_for_this_wit_bindgen() {
        let manifest = include_str!("../../../../../Cargo.toml");
        assert!(manifest.contains(&format!("wit-bindgen = {{ version = \"{BINDGEN}\"")));
        let files = project("a", World::Transform, Lang::Rust).unwrap();
        let has = |path: &str| files.iter().any(|(at, _)| at == path);
        assert!(has("weir/plugins/sdk/src/lib.rs") && has("weir/plugins/sdk/Cargo.toml"));
    }
}
