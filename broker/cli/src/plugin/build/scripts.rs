//! Plugins in Python and JavaScript: their own tools make whole components, with the language's
//! runtime inside.

use super::{on_path, read, tool};
use crate::failure::{Failure, Outcome};
use crate::plugin::project::Project;
use std::path::PathBuf;
use std::process::Command;

const PYTHON_MISSING: &str = "install it: `pip install componentize-py`";
const JS_MISSING: &str =
    "install Node.js 20 or later, and run `npm install` in the plugin's folder";

/// Builds a plugin in Python.
pub(super) fn python(project: &Project) -> Outcome<Vec<u8>> {
    let world = project.world()?;
    let tool_path = on_path(["componentize-py"]).ok_or_else(|| {
        Failure::failed("there is no componentize-py on the path").advise(PYTHON_MISSING)
    })?;
    let out = out(project)?;
    let mut command = Command::new(tool_path);
    command
        .current_dir(&project.folder)
        .args([
            "-d",
            "weir/wit/weir-plugin",
            "-w",
            &world,
            "componentize",
            "app",
            "-o",
        ])
        .arg(&out);
    tool(&mut command, PYTHON_MISSING)?;
    read(&out)
}

/// Builds a plugin in JavaScript; the project's `build.mjs` calls componentize-js.
pub(super) fn js(project: &Project) -> Outcome<Vec<u8>> {
    let world = project.world()?;
    let node = on_path(["node"])
        .ok_or_else(|| Failure::failed("there is no node on the path").advise(JS_MISSING))?;
    let package = "node_modules/@bytecodealliance/componentize-js";
    if !project.folder.join(package).is_dir() {
        return Err(
            Failure::failed("componentize-js is not installed in the plugin's folder")
                .advise("run `npm install` there"),
        );
    }
    let out = out(project)?;
    let mut command = Command::new(node);
    command
        .current_dir(&project.folder)
        .args(["build.mjs", "plugin.js", "weir/wit/weir-plugin", &world])
        .arg(&out);
    tool(&mut command, JS_MISSING)?;
    read(&out)
}

fn out(project: &Project) -> Outcome<PathBuf> {
    let build = project.folder.join("build");
    std::fs::create_dir_all(&build)
        .map_err(|error| Failure::io(format_args!("cannot make {}", build.display()), &error))?;
    Ok(build.join("plugin.wasm"))
}
