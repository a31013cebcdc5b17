//! What a member tells of itself, in the lines that every client of the end-to-end runs writes:
//! `seconds since 1970 TAB member TAB event TAB epoch TAB details`.
//!
//! A line is in the file before the call returns, so that a kill loses none; nothing is judged here.

use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use weir_client::TopicPartition;

/// The file of one process; its members share it.
#[derive(Clone)]
pub(crate) struct Log {
    file: Arc<Mutex<File>>,
}

impl Log {
    pub(crate) fn create(path: &str) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {path}"))?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
        })
    }

    /// One line; a log that cannot be written ends the process, because nothing could be proved.
    pub(crate) fn line(&self, member: &str, event: &str, epoch: Option<i32>, details: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs_f64();
        let epoch = epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
        let line = format!("{seconds:.6}\t{member}\t{event}\t{epoch}\t{details}\n");
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(line.as_bytes()) {
            eprintln!("cannot write the log of {member}: {error}");
            std::process::exit(3);
        }
    }
}

/// `topic-partition`, separated by spaces.
pub(crate) fn places<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> String {
    let names: Vec<_> = partitions.into_iter().map(ToString::to_string).collect();
    names.join(" ")
}

/// What a member owned in an epoch when it was last told.
pub(crate) type Owned = (Option<i32>, BTreeSet<TopicPartition>);
