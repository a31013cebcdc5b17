//! What cargo and git say about this tree: packages, their dependencies, the files that count.
//! It reads only manifests and the list of files, and never the network.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tree, as loaded once at the start of a command.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The workspace's own crates.
    pub(crate) packages: Vec<Package>,
    /// Every file that is under version control or would be added to it, relative to the root.
    pub(crate) files: Vec<String>,
    /// Whether the tree is a git work tree (an unpacked archive is not).
    pub(crate) in_git: bool,
}

/// One crate of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One line of a manifest's dependencies.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The folder, for a crate of this workspace.
    pub(crate) path: Option<PathBuf>,
}

/// One thing that a crate builds.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Asks cargo and git.
    pub(crate) fn load() -> Result<Self> {
        let output = cargo()
            .args([
                "metadata",
                "--no-deps",
                "--offline",
                "--format-version",
                "1",
            ])
            .args([
                "--manifest-path",
                &format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR")),
            ])
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)
            .context("cargo metadata printed something unexpected")?;
        let root = metadata.workspace_root;
        let in_git = root.join(".git").exists();
        let files = if in_git {
            listed_by_git(&root)?
        } else {
            listed_by_walking(&root)?
        };
        let target = metadata.target_directory;
        Ok(Self {
            root,
            target,
            packages: metadata.packages,
            files,
            in_git,
        })
    }

    /// The text of a file of the tree.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        let path = self.root.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))
    }

    /// Whether a file or folder of that name is in the tree.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files
            .iter()
            .any(|file| file == path || file.starts_with(&folder))
    }

    /// A crate of the workspace by its name.
    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// A path of the tree as the files are listed: relative to the root.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .to_string_lossy()
            .replace('\\', "/")
    }

    /// A folder for what chores make (virtual environments, jars, results).
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join("xtask").join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(folder)
    }
}

impl Package {
    /// Whether other code may depend on it and nobody runs it.
    pub(crate) fn is_library_only(&self) -> bool {
        let is = |kind: &str| {
            self.targets
                .iter()
                .any(|t| t.kind.iter().any(|k| k == kind))
        };
        is("lib") && !is("bin")
    }
}

/// The cargo that runs this, or the one on the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn listed_by_git(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .current_dir(root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    // A file that was removed but is still in the index is no file of the tree.
    let there = |file: &&str| !file.is_empty() && root.join(file).exists();
    let mut files: Vec<String> = text.split('\0').filter(there).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn listed_by_walking(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !matches!(
                    name.as_str(),
                    "target" | ".git" | "weir-data" | "__pycache__"
                ) {
                    folders.push(entry.path());
                }
            } else if let Ok(path) = entry.path().strip_prefix(root) {
                files.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    files.sort();
    Ok(files)
}
