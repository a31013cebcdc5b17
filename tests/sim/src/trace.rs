//! What happened, line by line: a hash over all lines, the last of them kept for a failure, all of
//! them printed on request. Two runs of one seed must give one hash.

use std::{collections::VecDeque, fmt};
use weir_types::Now;

/// Lines kept for the report of a failure.
const LINES_KEPT: usize = 80;

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: u64,
    kept: VecDeque<String>,
    printing: bool,
    now: Now,
}

impl Trace {
    /// An empty trace; `printing` writes every line to standard output.
    #[must_use]
    pub fn new(printing: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: 0,
            kept: VecDeque::new(),
            printing,
            now: Now::default(),
        }
    }

    /// From now on lines carry this time.
    pub fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// Adds a line.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        let line = format!("{:>8} {text}", self.now.tick.0);
        self.hash = digest(self.hash, line.as_bytes());
        self.lines += 1;
        if self.printing {
            println!("{line}");
        }
        if self.kept.len() == LINES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(line);
    }

    /// The hash of all lines so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// The last lines, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(String::as_str)
    }
}

/// FNV-1a, eight bytes at a time where there are so many; continues from `hash`.
#[must_use]
pub fn digest(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("a chunk has eight bytes"));
        hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    }
    for byte in chunks.remainder() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
