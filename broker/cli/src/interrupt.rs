//! Ctrl-C and the system's request to end. The first is passed on to the command, which ends in
//! good order; the second ends the process at once.

use crate::failure::{Exit, Failure, Outcome};
use std::future::Future;
use std::io::IsTerminal;
use tokio::sync::watch;

/// Tells whether somebody wants the command to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    raised: watch::Receiver<bool>,
}

impl Interrupt {
    /// Starts to listen; called once, on the runtime.
    pub(crate) fn listen() -> Self {
        let (sender, raised) = watch::channel(false);
        tokio::spawn(async move {
            while signal().await.is_ok() {
                if *sender.borrow() {
                    std::process::exit(Exit::Interrupted as i32);
                }
                if std::io::stderr().is_terminal() {
                    // The terminal has printed `^C` and left the cursor behind it.
                    eprintln!();
                }
                sender.send_replace(true);
            }
        });
        Self { raised }
    }

    /// Waits until somebody wants the end.
    pub(crate) async fn raised(&self) {
        let mut raised = self.raised.clone();
        if raised.wait_for(|raised| *raised).await.is_err() {
            // The listener is gone, so no signal can come any more.
            std::future::pending::<()>().await;
        }
    }

    /// Whether somebody wanted the end already.
    pub(crate) fn is_raised(&self) -> bool {
        *self.raised.borrow()
    }

    /// Does `work` unless an interrupt comes first.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        tokio::select! {
            biased;
            () = self.raised() => Err(Failure::interrupted()),
            done = work => done,
        }
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
