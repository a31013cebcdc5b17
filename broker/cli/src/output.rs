//! Standard output in large pieces. A reader that goes away (`| head`) is a clean end, never a
//! panic; nothing is written anywhere else.

use crate::failure::Outcome;
use crate::table::Table;
use serde::Serialize;
use std::io::{self, Write};

/// How much is gathered before it is written, in bytes.
const GATHER_BYTES: usize = 128 * 1024;

/// Standard output, buffered until [`Out::flush`] or until enough is gathered.
#[derive(Debug, Default)]
pub(crate) struct Out {
    gathered: Vec<u8>,
}

impl Out {
    /// Lets `write` append to what is gathered, and passes it on once there is enough.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        write(&mut self.gathered);
        if self.gathered.len() >= GATHER_BYTES {
            self.pass_on()
        } else {
            Ok(())
        }
    }

    /// Writes everything out; a program that follows a topic does this whenever nothing more is
    /// there at the moment.
    pub(crate) fn flush(&mut self) -> Outcome {
        self.pass_on()?;
        Ok(io::stdout().flush()?)
    }

    /// Whether everything that was appended is written; what the system's side still holds is
    /// passed on.
    pub(crate) fn is_written(&mut self) -> Outcome<bool> {
        if self.gathered.is_empty() {
            io::stdout().flush()?;
        }
        Ok(self.gathered.is_empty())
    }

    fn pass_on(&mut self) -> Outcome {
        if !self.gathered.is_empty() {
            let written = io::stdout().write_all(&self.gathered);
            self.gathered.clear();
            written?;
        }
        Ok(())
    }
}

/// How often a command that waits looks whether anybody still reads its output.
#[cfg(unix)]
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

/// Waits until whoever read standard output is gone: a pipe whose other end is closed shows that
/// only to those who write or ask, and a command that waits for records does not write.
#[cfg(unix)]
pub(crate) async fn reader_gone() {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        if is_reader_gone() {
            return;
        }
    }
}

/// Where it cannot be asked, the next write tells.
#[cfg(not(unix))]
pub(crate) async fn reader_gone() {
    std::future::pending::<()>().await;
}

#[cfg(unix)]
fn is_reader_gone() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    // A look that fails says nothing about the reader; the next one may.
    let looked = poll(&mut fds, Some(&Timespec::default()));
    looked.is_ok_and(|_| {
        fds.iter()
            .any(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP))
    })
}

/// Prints a line.
pub(crate) fn line(text: impl std::fmt::Display) -> Outcome {
    writeln!(io::stdout(), "{text}")?;
    Ok(io::stdout().flush()?)
}

/// How many letters a line of the terminal has, and how many lines there are, if standard output is
/// one.
#[cfg(unix)]
pub(crate) fn terminal() -> Option<(usize, usize)> {
    use std::io::IsTerminal;
    let stdout = io::stdout();
    let size = stdout
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&stdout))?
        .ok()?;
    // A terminal that does not know its size says 0.
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some((columns, rows))
}

/// Where it cannot be asked, nothing is shortened.
#[cfg(not(unix))]
pub(crate) fn terminal() -> Option<(usize, usize)> {
    None
}

/// Prints a table; on a terminal it fits its width.
pub(crate) fn table(table: &Table) -> Outcome {
    let mut bytes = Vec::new();
    table.write(terminal().map(|(columns, _)| columns), &mut bytes)?;
    io::stdout().write_all(&bytes)?;
    Ok(io::stdout().flush()?)
}

/// Prints one JSON document, laid out for reading.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(io::Error::from)?;
    bytes.push(b'\n');
    io::stdout().write_all(&bytes)?;
    Ok(io::stdout().flush()?)
}
