//! Compiled components on disk, so that a restart does not compile again.
//!
//! It must never hand out an artifact that is not, byte for byte, what was written for this
//! component by this engine: machine code is loaded from it.

use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What a component is called by.
pub(crate) type Digest = [u8; 32];

const MAGIC: &[u8; 8] = b"weircwa1";
const HEAD: usize = 8 + 32 + 32;

/// A folder of compiled components. Only the broker's own user may enter it.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    /// What engine and settings the artifacts are for.
    engine: Digest,
}

/// SHA-256 of bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// A digest in hexadecimal digits.
pub(crate) fn hex(digest: &Digest) -> String {
    use std::fmt::Write as _;
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing into a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl Cache {
    pub(crate) fn open(folder: &Path, engine: Digest) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        let cache = Self {
            folder: folder.to_owned(),
            engine,
        };
        cache.sweep()?;
        Ok(cache)
    }

    /// Removes what other engines have left; this one cannot load it.
    fn sweep(&self) -> io::Result<()> {
        let ours = self.suffix();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".cwasm") && !name.ends_with(&ours) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn suffix(&self) -> String {
        format!("-{}.cwasm", &hex(&self.engine)[..16])
    }

    fn path(&self, component: &Digest) -> PathBuf {
        self.folder.join(hex(component) + &self.suffix())
    }

    /// The artifact of a component; nothing if there is none, or if it is damaged.
    pub(crate) fn load(&self, component: &Digest) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.path(component)).ok()?;
        let head = bytes.get(..HEAD)?;
        let is_ours = &head[..8] == MAGIC && head[8..40] == self.engine;
        let sum = self.sum(component, bytes.get(HEAD..)?);
        if !is_ours || head[40..] != sum {
            return None;
        }
        bytes.drain(..HEAD);
        Some(bytes)
    }

    /// Keeps an artifact: written beside, synced, and put in place at once.
    pub(crate) fn keep(&self, component: &Digest, artifact: &[u8]) -> io::Result<()> {
        let path = self.path(component);
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let written = (|| {
            let mut file = File::create(&beside)?;
            file.write_all(MAGIC)?;
            file.write_all(&self.engine)?;
            file.write_all(&self.sum(component, artifact))?;
            file.write_all(artifact)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        })();
        if written.is_err() {
            // What is left of it is never read: its name is another.
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Forgets the artifact of a component that is gone.
    pub(crate) fn forget(&self, component: &Digest) -> io::Result<()> {
        match fs::remove_file(self.path(component)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Binds an artifact to its component and its engine.
    fn sum(&self, component: &Digest, artifact: &[u8]) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(self.engine);
        hasher.update(component);
        hasher.update(artifact);
        hasher.finalize().into()
    }
}
