//! Gathers what `weir plugin new` writes into projects: the WIT package and the Rust SDK, as they
//! are in this repository, so that a project builds without it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What is gathered, below the repository's root.
const FOLDERS: [&str; 2] = ["wit/weir-plugin", "plugins/sdk/src"];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.join("../..");
    let mut list = String::from("[\n");
    for folder in FOLDERS {
        let files = files(&root.join(folder));
        assert!(!files.is_empty(), "{folder} holds no files");
        for file in files {
            let name = file.strip_prefix(&root).expect("it lies below");
            let name = name.to_str().expect("its name is text").replace('\\', "/");
            let file = file.canonicalize().expect("it is there");
            writeln!(list, "    ({name:?}, include_str!({file:?})),").expect("to a string");
        }
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("embedded.rs"), list).expect("the build's folder can be written");
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}
