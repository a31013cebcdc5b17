//! Where the quickstart's records come from: the lines of a file, or generated orders. Each record
//! comes with its partition, so that what was sent can be summed up partition by partition.

use crate::failure::{Failure, Outcome};
use crate::lines::{self, Block};
use crate::orders::{ORDERS, Orders};
use std::fs::File;
use std::path::Path;
use tokio::sync::mpsc::Receiver;
use weir_client::producer::partition_for_key;

/// Lines without a key go to one partition for so many bytes, then to the next.
const TURN_BYTES: usize = 256 * 1024;

/// A partition, a key and a value.
pub(crate) type Parts<'a> = (i32, Option<&'a [u8]>, &'a [u8]);

/// The records, one after another.
pub(crate) enum Source {
    /// Generated.
    Orders {
        orders: Orders,
        left: u64,
        partitions: u32,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    /// A file's lines.
    Lines {
        input: Receiver<Result<Block, Failure>>,
        total_bytes: u64,
        block: Option<Block>,
        line: usize,
        turn: Turn,
    },
}

/// Whose turn it is among the partitions.
#[derive(Debug)]
pub(crate) struct Turn {
    partitions: i32,
    current: i32,
    bytes: usize,
}

impl Turn {
    fn take(&mut self, bytes: usize) {
        if self.bytes >= TURN_BYTES {
            self.bytes = 0;
            self.current = (self.current + 1) % self.partitions.max(1);
        }
        self.bytes += bytes;
    }
}

impl Source {
    /// The lines of `file`, or orders where there is none.
    pub(crate) fn open(file: Option<&Path>, partitions: i32) -> Outcome<Self> {
        let Some(path) = file else {
            return Ok(Self::Orders {
                orders: Orders::new(),
                left: ORDERS,
                partitions: u32::try_from(partitions).unwrap_or(1),
                key: Vec::new(),
                value: Vec::new(),
            });
        };
        let name = path.display().to_string();
        let failed = |error| Failure::io(format_args!("cannot read {name}"), &error);
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(
                Failure::usage(format!("{name} is a folder")).advise("name a file of lines")
            );
        }
        Ok(Self::Lines {
            input: lines::read(file, name),
            total_bytes: metadata.len(),
            block: None,
            line: 0,
            turn: Turn {
                partitions,
                current: 0,
                bytes: 0,
            },
        })
    }

    /// How many bytes there will be, where that is known.
    pub(crate) const fn total_bytes(&self) -> Option<u64> {
        match self {
            Self::Orders { .. } => None,
            Self::Lines { total_bytes, .. } => Some(*total_bytes),
        }
    }

    /// Moves to the next record; false at the end.
    pub(crate) async fn next(&mut self) -> Outcome<bool> {
        match self {
            Self::Orders {
                orders,
                left,
                key,
                value,
                ..
            } => {
                if *left == 0 {
                    return Ok(false);
                }
                *left -= 1;
                orders.next(key, value);
                Ok(true)
            }
            Self::Lines {
                input,
                block,
                line,
                turn,
                ..
            } => {
                *line += 1;
                while block.as_ref().is_none_or(|block| *line >= block.len()) {
                    match input.recv().await {
                        None => return Ok(false),
                        Some(next) => *block = Some(next?),
                    }
                    *line = 0;
                }
                turn.take(
                    block
                        .as_ref()
                        .and_then(|block| block.line(*line))
                        .map_or(0, <[u8]>::len),
                );
                Ok(true)
            }
        }
    }

    /// The number of the line that [`Self::next`] moved to, where there are lines.
    pub(crate) fn line_number(&self) -> Option<u64> {
        match self {
            Self::Lines {
                block: Some(block),
                line,
                ..
            } => Some(block.first_line + *line as u64),
            _ => None,
        }
    }

    /// The record that [`Self::next`] moved to.
    pub(crate) fn record(&self) -> Option<Parts<'_>> {
        match self {
            Self::Orders {
                partitions,
                key,
                value,
                ..
            } => Some((partition_for_key(key, *partitions), Some(key), value)),
            Self::Lines {
                block, line, turn, ..
            } => {
                let value = block.as_ref()?.line(*line)?;
                Some((turn.current, None, value))
            }
        }
    }
}
