//! Plugins in Rust and in C. Rust is built by rustup's toolchain where it has the target, else by
//! the one that Debian packages with the sources of the standard library.

use super::{componentize, on_path, printed, tool};
use crate::failure::{Failure, Outcome};
use crate::plugin::project::Project;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of guests: no WASI, nothing but what the WIT package grants.
const TARGET: &str = "wasm32-unknown-unknown";

/// What a build may know of the version that it is to have.
const VERSION: &str = "WEIR_PLUGIN_VERSION";

const RUST_MISSING: &str = "install one: `rustup target add wasm32-unknown-unknown`, or on Debian \
    `apt-get install rustc-web cargo-web rust-web-src lld-19`";

const C_MISSING: &str = "install clang and lld (on Debian `apt-get install clang-19 lld-19`)";

/// Flags for other targets, which would count instead of the ones set here.
const FLAGS: [&str; 3] = ["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"];

/// Builds a plugin in Rust.
pub(super) fn rust(project: &Project, version: Option<&str>) -> Outcome<Vec<u8>> {
    let mut cargo = cargo()?;
    let target = project.folder.join("target");
    cargo
        .current_dir(&project.folder)
        .args([
            "build",
            "--release",
            "--lib",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(&target);
    if let Some(version) = version {
        cargo.env(VERSION, version);
    }
    tool(&mut cargo, RUST_MISSING)?;
    let module = format!("{}.wasm", library(project)?);
    componentize(&target.join(TARGET).join("release").join(module))
}

/// The name of the library that the package builds.
fn library(project: &Project) -> Outcome<String> {
    let mut metadata = Command::new("cargo");
    metadata.current_dir(&project.folder).args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--offline",
    ]);
    let told = printed(&mut metadata).unwrap_or_default();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap_or_default();
    let manifest = project.folder.join("Cargo.toml");
    let packages = told["packages"].as_array().into_iter().flatten();
    let mut targets = packages
        .filter(|package| package["manifest_path"].as_str().map(Path::new) == Some(&manifest))
        .flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let is_cdylib = |target: &&serde_json::Value| {
        let types = target["crate_types"].as_array();
        types.is_some_and(|types| types.iter().any(|one| one == "cdylib"))
    };
    let target = targets
        .find(is_cdylib)
        .and_then(|target| target["name"].as_str());
    target.map(|name| name.replace('-', "_")).ok_or_else(|| {
        Failure::usage(format!("{} builds no library for Wasm", manifest.display()))
            .advise("write `crate-type = [\"cdylib\", \"rlib\"]` below [lib]")
    })
}

/// A cargo that can build for Wasm.
fn cargo() -> Outcome<Command> {
    if has_target("rustc") {
        return Ok(Command::new("cargo"));
    }
    debians().ok_or_else(|| {
        Failure::failed(format!("no Rust here can build for {TARGET}")).advise(RUST_MISSING)
    })
}

fn has_target(rustc: &str) -> bool {
    let mut asked = Command::new(rustc);
    asked.args(["--print", "sysroot"]);
    let library = format!("lib/rustlib/{TARGET}/lib");
    printed(&mut asked).is_some_and(|root| Path::new(&root).join(library).exists())
}

/// The system's own cargo, which builds the standard library from its sources.
fn debians() -> Option<Command> {
    let mut asked = Command::new("/usr/bin/rustc");
    asked.args(["--print", "sysroot"]);
    let root = PathBuf::from(printed(&mut asked)?);
    let sources = root.join("lib/rustlib/src/rust/library/std/Cargo.toml");
    let linker = on_path(versioned("wasm-ld").iter().map(String::as_str))?;
    if !sources.exists() {
        return None;
    }
    let mut command = Command::new("/usr/bin/cargo");
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(PathBuf::from("/usr/bin"));
    if let Ok(path) = std::env::join_paths(folders.chain(std::env::split_paths(&rest))) {
        command.env("PATH", path);
    }
    for flags in FLAGS {
        command.env_remove(flags);
    }
    command
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
            "-Clinker-flavor=wasm-ld",
        )
        .args(["-Z", "build-std=std,panic_abort"]);
    Some(command)
}

/// A program's name, and its names with LLVM's version behind, as Debian has them.
fn versioned(name: &str) -> Vec<String> {
    let versions = (15..=30).rev().map(|version| format!("{name}-{version}"));
    std::iter::once(name.to_owned()).chain(versions).collect()
}

/// Builds a plugin in C: one file, beside what the world's bindings and a small library of C are.
pub(super) fn c(project: &Project, version: Option<&str>) -> Outcome<Vec<u8>> {
    let folder = &project.folder;
    let clang = on_path(versioned("clang").iter().map(String::as_str))
        .ok_or_else(|| Failure::failed("there is no clang on the path").advise(C_MISSING))?;
    let linker = on_path(versioned("wasm-ld").iter().map(String::as_str))
        .ok_or_else(|| Failure::failed("there is no wasm-ld on the path").advise(C_MISSING))?;
    let world = project.world()?;
    let build = folder.join("build");
    std::fs::create_dir_all(&build)
        .map_err(|error| Failure::io(format_args!("cannot make {}", build.display()), &error))?;
    let mut objects = Vec::new();
    let sources = [
        "plugin.c".to_owned(),
        format!("weir/{world}.c"),
        "weir/libc.c".to_owned(),
    ];
    for source in &sources {
        let object = build.join(format!("{}.o", source.replace('/', "-")));
        let mut command = Command::new(&clang);
        command
            .current_dir(folder)
            .args([
                "--target=wasm32",
                "-O2",
                "-Wall",
                "-ffreestanding",
                "-fno-builtin",
            ])
            .args(["-isystem", "weir/include", "-I", "weir", "-c", source, "-o"])
            .arg(&object);
        if let Some(version) = version {
            command.arg(format!("-D{VERSION}=\"{version}\""));
        }
        tool(&mut command, C_MISSING)?;
        objects.push(object);
    }
    let module = build.join("plugin.wasm");
    let mut command = Command::new(linker);
    command
        .current_dir(folder)
        .args(["--no-entry", "--export-dynamic", "--strip-debug"])
        .args(&objects)
        .arg(format!("weir/{world}_component_type.o"))
        .arg("-o")
        .arg(&module);
    tool(&mut command, C_MISSING)?;
    componentize(&module)
}
