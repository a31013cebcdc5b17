//! Components on disk: `plugins/<sha-256>.wasm` in the data folder, next to a file that names the
//! folder's format.
//!
//! A file is whole and synced before the metadata knows of it, and goes only after the metadata has
//! forgotten it; so whatever the metadata knows is here, whenever the broker is killed. Nothing here
//! compiles or judges what a component is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// SHA-256 of a component.
pub(crate) type Digest = [u8; 32];

/// What the folder's `FORMAT` file says.
const FORMAT: &str = "weir plugins 1\n";

/// Why the folder of components cannot be used.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The system says no.
    #[error("the folder of plugins {} cannot be used: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A folder of another version.
    #[error(
        "the folder of plugins {} has the format '{found}', but this version of Weir knows '{}' only: start the version that wrote it",
        path.display(), FORMAT.trim()
    )]
    Format {
        /// Where.
        path: PathBuf,
        /// What it says.
        found: String,
    },
}

/// The folder of components.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Opens the folder, making it where there is none.
    pub(crate) fn open(data: &Path) -> Result<Self, FilesError> {
        let folder = data.join("plugins");
        let failed = |source| FilesError::Io {
            path: folder.clone(),
            source,
        };
        fs::create_dir_all(&folder).map_err(failed)?;
        let format = folder.join("FORMAT");
        match fs::read_to_string(&format) {
            Ok(found) if found == FORMAT => {}
            Ok(found) => {
                let found = found.trim().to_owned();
                return Err(FilesError::Format {
                    path: folder,
                    found,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write(&folder, "FORMAT", FORMAT.as_bytes()).map_err(failed)?;
                sync_folder(data).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(Self { folder })
    }

    /// Keeps a component; it is on disk when this returns.
    pub(crate) fn keep(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let name = name(digest);
        // What is there under this name is not looked at: it may be damaged, and this is not.
        write(&self.folder, &name, bytes)
    }

    /// Reads a component. Whether its bytes still give the digest is for the caller to see.
    pub(crate) fn read(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(name(digest)))
    }

    /// Forgets a component that no metadata names.
    pub(crate) fn forget(&self, digest: &Digest) -> io::Result<()> {
        match fs::remove_file(self.folder.join(name(digest))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Forgets every file that `known` does not hold: what was uploaded when the broker was killed,
    /// or removed just before.
    pub(crate) fn sweep(&self, known: &[Digest]) -> io::Result<usize> {
        let names: Vec<String> = known.iter().map(name).collect();
        let mut gone = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let file = entry.file_name();
            let Some(file) = file.to_str() else { continue };
            let ours = file.ends_with(".wasm") || file.ends_with(".new");
            if ours && !names.iter().any(|name| name == file) {
                fs::remove_file(entry.path())?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

fn name(digest: &Digest) -> String {
    format!("{}.wasm", hex(digest))
}

/// A digest in hexadecimal digits.
pub(crate) fn hex(digest: &Digest) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| DIGITS.get(usize::from(digit)))
        .map(|digit| char::from(*digit))
        .collect()
}

/// Writes a file beside, syncs it, puts it in its place and syncs the folder.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!("{name}.{}.new", std::process::id()));
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, folder.join(name))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_and_what_nobody_knows_goes() {
        let data = tempfile::tempdir().unwrap();
        let files = Files::open(data.path()).unwrap();
        files.keep(&[1; 32], b"one").unwrap();
        files.keep(&[2; 32], b"two").unwrap();
        fs::write(data.path().join("plugins/half.wasm.9.new"), b"ha").unwrap();
        let files = Files::open(data.path()).unwrap();
        assert_eq!(files.sweep(&[[1; 32]]).unwrap(), 2);
        assert_eq!(files.read(&[1; 32]).unwrap(), b"one");
        assert!(files.read(&[2; 32]).is_err());
        assert_eq!(&hex(&[0xa5; 32])[..4], "a5a5");
    }

    #[test]
    fn a_folder_of_another_format_is_refused() {
        let data = tempfile::tempdir().unwrap();
        drop(Files::open(data.path()).unwrap());
        fs::write(data.path().join("plugins/FORMAT"), "weir plugins 2\n").unwrap();
        let error = Files::open(data.path()).unwrap_err().to_string();
        assert!(error.contains("weir plugins 2"), "{error}");
    }
}
