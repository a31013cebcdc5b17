//! How a command fails: one line of plain English that says what was wrong and what to do, and an
//! exit code that scripts can rely on. It never prints a backtrace or a `Debug` form.

use std::fmt;
use std::io;

/// The exit codes; `OPERATIONS.md` and `weir --help` list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or whoever read the output has seen enough.
    Done = 0,
    /// It did not work, for a reason none of the others names.
    Failed = 1,
    /// The command line, a setting or an input line cannot be used; nothing was tried.
    Usage = 2,
    /// No broker could be reached, or it and this side do not trust one another.
    Unreachable = 3,
    /// The broker answered and said no.
    Refused = 4,
    /// A check found that something is not as it should be.
    Damaged = 5,
    /// Ctrl-C came before the work was done.
    Interrupted = 130,
}

/// Why a command ends without having done what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The process's exit code.
    pub(crate) exit: Exit,
    /// What was wrong; empty where nothing should be said.
    message: String,
    /// What to do about it, if anything is known.
    advice: Option<String>,
}

/// What every command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with this exit code and message.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            advice: None,
        }
    }

    /// Something did not work.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command line or an input line cannot be used.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A check found damage.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(Exit::Damaged, message)
    }

    /// Ctrl-C; says nothing, for the person knows.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "")
    }

    /// The reader of standard output has closed it (`| head`): a clean end.
    pub(crate) fn output_closed() -> Self {
        Self::new(Exit::Done, "")
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds a further sentence behind the advice that is there.
    #[must_use]
    pub(crate) fn and_advise(mut self, advice: &str) -> Self {
        self.advice = Some(match self.advice {
            Some(first) if first.ends_with('?') => format!("{first} ({advice})"),
            Some(first) => format!("{first}; {advice}"),
            None => advice.to_owned(),
        });
        self
    }

    /// Names the thing that it is about.
    #[must_use]
    pub(crate) fn about(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Names the line of the input that it is about.
    #[must_use]
    pub(crate) fn on_line(self, line: u64) -> Self {
        self.about(format_args!("line {line}"))
    }

    /// An error of the operating system on this thing.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::failed(format!("{what}: {}", plain(error)))
    }
}

/// An I/O error without Rust's `(os error 2)`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim_end_matches('.'))?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    /// For standard output; everything else names its file with [`Failure::io`].
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::output_closed()
        } else {
            Self::io("cannot write to standard output", &error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_was_wrong_and_what_to_do() {
        let failure = Failure::usage("there is no topic `order`").advise("did you mean `orders`?");
        assert_eq!(
            failure.to_string(),
            "there is no topic `order`; did you mean `orders`?"
        );
    }

    #[test]
    fn a_closed_pipe_is_a_clean_end() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit, Exit::Done);
        assert_eq!(failure.to_string(), "");
    }

    #[test]
    fn system_errors_read_as_words() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&error), "no such file or directory");
    }
}
