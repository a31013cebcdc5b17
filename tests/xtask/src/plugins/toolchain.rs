//! Which Rust can build for Wasm here: rustup's, where its target is installed, else the one that
//! Debian packages with the sources of the standard library.

use crate::step::stdout;
use crate::workspace::cargo;
use anyhow::{Result, bail};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of all Rust guests: no WASI, nothing but what the WIT package grants.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

const MISSING: &str = "no Rust here can build for wasm32-unknown-unknown. Either\n  \
    rustup target add wasm32-unknown-unknown\nor, on Debian,\n  \
    apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld-19";

/// A Rust that can build for Wasm.
#[derive(Debug)]
pub(super) enum Toolchain {
    /// The one at hand has the target.
    AtHand,
    /// The system's own, which builds the standard library from its sources.
    System {
        /// The linker.
        linker: PathBuf,
    },
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtHand => f.write_str("the toolchain at hand"),
            Self::System { linker } => write!(
                f,
                "the system's rustc, its standard library from source, and {}",
                linker.display()
            ),
        }
    }
}

impl Toolchain {
    /// Looks for one.
    pub(super) fn find() -> Result<Self> {
        if has(&sysroot("rustc"), &format!("lib/rustlib/{TARGET}/lib")) {
            return Ok(Self::AtHand);
        }
        let sources = "lib/rustlib/src/rust/library/std/Cargo.toml";
        if has(&sysroot("/usr/bin/rustc"), sources)
            && let Some(linker) = program("wasm-ld")
        {
            return Ok(Self::System { linker });
        }
        bail!(MISSING)
    }

    /// A cargo that builds with it.
    pub(super) fn cargo(&self) -> Command {
        let Self::System { linker } = self else {
            return cargo();
        };
        let mut command = Command::new("/usr/bin/cargo");
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(PathBuf::from("/usr/bin"));
        if let Ok(path) = std::env::join_paths(folders.chain(std::env::split_paths(&rest))) {
            command.env("PATH", path);
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
        command
    }
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    let printed = stdout(Command::new(rustc).args(["--print", "sysroot"])).ok()?;
    Some(PathBuf::from(printed.trim()))
}

fn has(sysroot: &Option<PathBuf>, inside: &str) -> bool {
    sysroot
        .as_deref()
        .is_some_and(|root: &Path| root.join(inside).exists())
}

/// A program on the path, or the newest of those that have LLVM's version behind their name, as
/// Debian's do.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let versioned = (15..=30).rev().map(|version| format!("{name}-{version}"));
    let names: Vec<String> = std::iter::once(name.to_owned()).chain(versioned).collect();
    names.iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    })
}
