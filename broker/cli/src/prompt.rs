//! The question before something is destroyed. On a terminal it is asked; elsewhere `--yes` has to
//! be there, so that no script deletes anything by accident.

use crate::failure::{Failure, Outcome};
use clap::Args;
use std::io::{self, BufRead, IsTerminal, Write};

/// What a destructive command may be told.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Consent {
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask; needed where standard input is not a terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl Consent {
    /// Whether to go on with `deed`, a phrase such as "delete topic `orders` (3 partitions)".
    /// After `--dry-run` the deed was printed and the answer is no.
    pub(crate) fn given(self, deed: &str) -> Outcome<bool> {
        if self.dry_run {
            eprintln!("weir: would {deed} (nothing was done)");
            return Ok(false);
        }
        if self.yes {
            return Ok(true);
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::usage(format!("this would {deed}"))
                .advise("add --yes to do it, or --dry-run to only look"));
        }
        eprint!("weir: {deed}? This cannot be undone. [y/N] ");
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|error| Failure::io("cannot read the answer", &error))?;
        if is_yes(&answer) {
            Ok(true)
        } else {
            eprintln!("weir: nothing was done");
            Ok(false)
        }
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in [
            ("y\n", true),
            ("YES\n", true),
            ("\n", false),
            ("yep\n", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
