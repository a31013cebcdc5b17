//! `weir plugin new`: writes a project that builds outside this repository, with a test in it. What
//! the language needs of Weir (the WIT package, the Rust SDK, bindings for C) is in this binary.

mod bindings;
mod templates;

use super::project::Lang;
use crate::args::JsonArg;
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use weir_plugin::{PluginRef, World};

/// `weir plugin new`.
#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    /// Its name: a lower-case letter, then lower-case letters, digits and hyphens
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is for
    #[arg(
        long,
        value_name = "transform|partitioner|decoder",
        default_value = "transform"
    )]
    #[arg(value_parser = world)]
    world: World,
    /// What it is written in
    #[arg(
        long,
        value_enum,
        value_name = "rust|c|python|js",
        default_value = "rust"
    )]
    lang: Lang,
    /// Where to write it [default: ./NAME]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

fn world(text: &str) -> Result<World, String> {
    World::named(text).ok_or_else(|| {
        format!("`{text}` is no world; there are transform, partitioner and decoder")
    })
}

/// A file of a project: where it goes, and what is in it.
pub(super) type File = (String, Vec<u8>);

/// Runs the command.
pub(super) fn run(args: &NewArgs) -> Outcome {
    let name = args.name.parse::<PluginRef>();
    let name = name
        .map_err(|error| Failure::usage(error.to_string()))?
        .name;
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(&name));
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(
            Failure::usage(format!("{} is there already", folder.display()))
                .advise("choose another name, or --folder"),
        );
    }
    let files = templates::project(&name, args.world, args.lang)?;
    for (path, bytes) in &files {
        write(&folder.join(path), bytes)?;
    }
    if args.json.json {
        let paths: Vec<&String> = files.iter().map(|(path, _)| path).collect();
        return output::json(&json!({
            "name": name,
            "world": args.world.name(),
            "folder": folder,
            "files": paths,
        }));
    }
    let folder = crate::human::shell_quoted(&folder.display().to_string());
    output::line(format_args!(
        "made {folder}: a plugin of world {}, in {} files",
        args.world.name(),
        files.len()
    ))?;
    output::line(format_args!("next: weir plugin build {folder}"))
}

fn write(file: &Path, bytes: &[u8]) -> Outcome {
    let what = || format!("cannot write {}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Failure::io(what(), &error))?;
    }
    std::fs::write(file, bytes).map_err(|error| Failure::io(what(), &error))
}
