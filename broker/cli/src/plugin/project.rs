//! A plugin's folder, told by the files in it: what language it is in,
//! what its component is called, and which files are its source.

use crate::failure::{Failure, Outcome};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The language of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Lang {
    /// Rust
    Rust,
    /// C
    C,
    /// Python, with componentize-py
    Python,
    /// JavaScript, with ComponentizeJS
    Js,
}

impl Lang {
    /// The file that tells the language.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::C => "plugin.c",
            Self::Python => "app.py",
            Self::Js => "plugin.js",
        }
    }
}

/// A plugin's folder.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) folder: PathBuf,
    pub(crate) lang: Lang,
    /// The folder's name, which the component's file takes.
    pub(crate) name: String,
}

impl Project {
    /// Looks at a folder.
    pub(crate) fn open(folder: &Path) -> Outcome<Self> {
        let what = || format!("cannot look into {}", folder.display());
        let folder = std::fs::canonicalize(folder).map_err(|error| Failure::io(what(), &error))?;
        let langs = [Lang::Rust, Lang::C, Lang::Python, Lang::Js];
        let lang = langs
            .into_iter()
            .find(|lang| folder.join(lang.mark()).is_file());
        let marks = langs.map(Lang::mark).join(", ");
        let lang = lang.ok_or_else(|| {
            Failure::usage(format!(
                "{} holds no plugin: it has none of {marks}",
                folder.display()
            ))
            .advise("`weir plugin new` writes one")
        })?;
        let name = folder.file_name().map_or_else(
            || "plugin".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        Ok(Self { folder, lang, name })
    }

    /// Where its component is written.
    pub(crate) fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// The world that its files name, in languages whose tools want it.
    pub(crate) fn world(&self) -> Outcome<String> {
        let file = self.folder.join(self.lang.mark());
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::io(format_args!("cannot read {}", file.display()), &error))?;
        let world = text
            .lines()
            .find_map(|line| line.split_once("weir-world: "));
        let world = world.map(|(_, world)| world.trim_end_matches(['*', '/', ' ']).to_owned());
        world.ok_or_else(|| {
            Failure::usage(format!(
                "{} does not say which world it is for",
                file.display()
            ))
            .advise("write `weir-world: transform` (partitioner, decoder) in a comment of it")
        })
    }

    /// When its source was changed last.
    pub(crate) fn changed(&self) -> SystemTime {
        let mut latest = SystemTime::UNIX_EPOCH;
        visit(&self.folder, &mut |file, changed| {
            if is_source(file) {
                latest = latest.max(changed);
            }
        });
        latest
    }
}

/// Whether a file is written by a person; what is built is not.
fn is_source(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    matches!(
        extension,
        Some("rs" | "toml" | "c" | "h" | "py" | "js" | "mjs" | "wit")
    )
}

/// Visits all files but those that tools make. What cannot be looked into is left out: it cannot
/// be built either, and building says why.
fn visit(folder: &Path, file: &mut impl FnMut(&Path, SystemTime)) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            let is_made = ["target", "node_modules", "__pycache__", "build"];
            let name = name.to_string_lossy();
            if !name.starts_with('.') && !is_made.contains(&&*name) {
                visit(&path, file);
            }
        } else if let Ok(changed) = metadata.modified() {
            file(&path, changed);
        }
    }
}
