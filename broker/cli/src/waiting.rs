//! What a command is waiting for, said on standard error after a moment, so that silence is never
//! a riddle. It never touches standard output.

use indicatif::{ProgressBar, ProgressStyle};
use std::future::Future;
use std::io::IsTerminal;
use std::time::Duration;

/// How long a command may be silent.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Does `work`; says "waiting for …" once if it takes longer than a moment.
pub(crate) async fn saying<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        () = tokio::time::sleep(PATIENCE) => {
            eprintln!("weir: waiting for {what} (Ctrl-C ends it)");
            work.await
        }
    }
}

/// A progress line on a terminal, nothing elsewhere. With a known total it is a bar.
pub(crate) fn progress(total_bytes: Option<u64>, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total_bytes {
        Some(total) => (
            ProgressBar::new(total),
            "{prefix} {bar:30} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {msg}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{prefix} {decimal_bytes} {decimal_bytes_per_sec} {msg}",
        ),
    };
    // A template that cannot be read leaves the library's own style.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}
