//! The guests that are not in Rust, each built with its own language's tool: clang for C,
//! componentize-py for Python, componentize-js (SpiderMonkey) and componentize-qjs (QuickJS) for
//! JavaScript. The tools are pinned and land below the target folder; bindings are made there
//! too and never kept.

use crate::step::sh;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use wit_bindgen_core::{Files, wit_parser::Resolve};

const WIT: &str = "wit/weir-plugin";
const WORLD: &str = "transform";
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const JCO: [&str; 2] = [
    "@bytecodealliance/jco@1.35.0",
    "@bytecodealliance/componentize-js@0.23.0",
];

/// Where wasi-libc may be: the headers, and the library.
const WASI_LIBC: [(&str, &str); 2] = [
    ("/usr/include/wasm32-wasi", "/usr/lib/wasm32-wasi"),
    (
        "/opt/wasi-sdk/share/wasi-sysroot/include/wasm32-wasip1",
        "/opt/wasi-sdk/share/wasi-sysroot/lib/wasm32-wasip1",
    ),
];

/// The guest in C. Only memory and strings come from wasi-libc, so nothing of WASI is imported.
pub(super) fn c(workspace: &Workspace, built: &Path) -> Result<()> {
    let missing = "apt-get install --no-install-recommends clang-19 lld-19 wasi-libc";
    let clang =
        super::toolchain::program("clang").with_context(|| missing_tool("clang", missing))?;
    let linker =
        super::toolchain::program("wasm-ld").with_context(|| missing_tool("wasm-ld", missing))?;
    let libc = WASI_LIBC
        .iter()
        .find(|(_, lib)| Path::new(lib).join("libc.a").exists());
    let (include, lib) = libc.with_context(|| missing_tool("wasi-libc", missing))?;
    let folder = workspace.scratch("c-guest")?;
    bindings(&workspace.root.join(WIT), &folder)?;
    let module = folder.join("plugin.wasm");
    let mut command = Command::new(clang);
    command
        .args([
            "--target=wasm32-wasi",
            "-Os",
            "-std=c17",
            "-Wall",
            "-Wextra",
            "-Werror",
        ])
        .args([
            "-Wno-unused-parameter",
            "-nostdlib",
            "-isystem",
            include,
            "-I",
        ])
        .arg(&folder)
        .arg(format!("-fuse-ld={}", linker.display()))
        .arg("-Wl,--no-entry,--gc-sections,--strip-debug")
        .arg(
            workspace
                .root
                .join("plugins/examples/c-mask-digits/plugin.c"),
        )
        .arg(folder.join(format!("{WORLD}.c")))
        .arg(folder.join(format!("{WORLD}_component_type.o")))
        .arg(format!("-L{lib}"))
        .args(["-lc", "-o"])
        .arg(&module);
    sh(&mut command)?;
    let component = super::component(&module)?;
    std::fs::write(built.join("c-mask-digits.wasm"), component)?;
    Ok(())
}

fn missing_tool(tool: &str, install: &str) -> String {
    format!("{tool} is missing; on Debian: {install}")
}

/// What wit-bindgen makes of the package for C: a header, a source and an object that says which
/// world it is.
fn bindings(wit: &Path, folder: &Path) -> Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)?;
    for (name, bytes) in files.iter() {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

/// The guest in Python. It imports WASI, of which the broker grants a fixed part, and so has the
/// budget of guests that bring a language runtime.
pub(super) fn python(workspace: &Workspace, built: &Path) -> Result<()> {
    let folder = workspace.scratch("py-guest")?;
    let tool = folder.join("venv/bin/componentize-py");
    let mark = folder.join("installed.txt");
    if !tool.exists() || std::fs::read_to_string(&mark).unwrap_or_default() != COMPONENTIZE_PY {
        sh(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder.join("venv")))
        .context("on Debian: apt-get install python3-venv (any Python from 3.10 on)")?;
        sh(Command::new(folder.join("venv/bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .arg(COMPONENTIZE_PY))?;
        std::fs::write(&mark, COMPONENTIZE_PY)?;
    }
    sh(Command::new(tool)
        .arg("-d")
        .arg(workspace.root.join(WIT))
        .args(["-w", WORLD, "componentize", "-p"])
        .arg(workspace.root.join("plugins/examples/py-mask-digits"))
        .args(["plugin", "-o"])
        .arg(built.join("py-mask-digits.wasm")))
}

/// The guest in JavaScript, twice: on SpiderMonkey and on QuickJS.
pub(super) fn javascript(workspace: &Workspace, built: &Path) -> Result<()> {
    let folder = workspace.scratch("js-guest")?;
    install_node_modules(&folder)?;
    let wit = workspace.root.join(WIT);
    let source = workspace.root.join("plugins/examples/js-mask-digits");
    // Node looks for packages from the place of the script on.
    let script = folder.join("build.mjs");
    std::fs::copy(source.join("build.mjs"), &script)?;
    sh(Command::new("node")
        .arg(&script)
        .arg(source.join("plugin.js"))
        .args([wit.as_os_str(), WORLD.as_ref()])
        .arg(built.join("js-mask-digits.wasm")))?;
    sh(Command::new(folder.join("node_modules/.bin/jco"))
        .arg("componentize")
        .arg(source.join("plugin.js"))
        .arg("--wit")
        .arg(&wit)
        .args(["--world-name", WORLD, "--backend", "quickjs"])
        .args(["--backend-qjs-disable-async", "--out"])
        .arg(built.join("js-mask-digits-quickjs.wasm")))
}

fn install_node_modules(folder: &Path) -> Result<()> {
    let mark: PathBuf = folder.join("installed.txt");
    if std::fs::read_to_string(&mark).unwrap_or_default() == JCO.join(" ") {
        return Ok(());
    }
    for tool in ["node", "npm"] {
        if super::toolchain::program(tool).is_none() {
            bail!("{tool} is missing: Node.js 20 or later is needed, with npm");
        }
    }
    sh(Command::new("npm")
        .current_dir(folder)
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--prefix",
            ".",
        ])
        .args(JCO))?;
    std::fs::write(&mark, JCO.join(" "))?;
    Ok(())
}
