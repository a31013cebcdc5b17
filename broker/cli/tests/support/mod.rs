//! What every end-to-end test stands on: a folder of its own, brokers on ports that the system
//! chooses, commands with a limit on their time. It starts only what it ends.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is a crate of its own and uses a part of it"
)]

pub(crate) mod members;

use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

/// The program under test.
pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// The longest a command may take.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// A folder that is gone when the test ends.
pub(crate) struct Place {
    folder: TempDir,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Done {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.out)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.out)))
    }

    /// The same, after it ended well.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(
            self.code,
            0,
            "{}{}",
            String::from_utf8_lossy(&self.out),
            self.err
        );
        self
    }

    /// The one line on standard error, after it ended with this code.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(
            self.code,
            code,
            "{}{}",
            String::from_utf8_lossy(&self.out),
            self.err
        );
        let line = self.err.trim_end();
        assert!(!line.contains('\n'), "more than one line:\n{line}");
        line.to_owned()
    }
}

impl Place {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A `weir` command in this folder, untouched by the environment.
    pub(crate) fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(WEIR);
        command.args(args).current_dir(self.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WEIR_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs a `weir` command to its end.
    pub(crate) fn weir(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Done {
        finish(self.command(args), b"")
    }

    /// Starts a broker on ports of the system's choice.
    pub(crate) fn serve(&self, more: &[&str]) -> Broker<'_> {
        self.serve_at("127.0.0.1:0", more)
    }

    /// Starts a broker that listens there, such as one that was there before.
    pub(crate) fn serve_at(&self, listen: &str, more: &[&str]) -> Broker<'_> {
        let args = [
            "serve",
            "--json",
            "--listen",
            listen,
            "--set",
            "log.level=warn",
        ];
        let mut command = self.command(args);
        command
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.ends_with("}\n") {
            if out.read_line(&mut text).unwrap() == 0 {
                let mut said = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut said)
                    .unwrap();
                let _ = child.wait();
                panic!("the broker ended at its start: {said}");
            }
        }
        // Nobody reads what it says later; a full pipe must not stop it.
        let mut said = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let ready: Value = serde_json::from_str(&text).unwrap();
        let listener = ready["listeners"][0].as_str().unwrap();
        let address = listener.split("://").last().unwrap().to_owned();
        Broker {
            place: self,
            child,
            address,
            ready,
        }
    }
}

/// A running broker; killed when the test ends.
pub(crate) struct Broker<'a> {
    place: &'a Place,
    child: Child,
    /// `HOST:PORT`, the same for QUIC and TCP.
    pub(crate) address: String,
    /// What it said when it was ready.
    pub(crate) ready: Value,
}

impl Broker<'_> {
    /// Runs a `weir` command against this broker to its end.
    pub(crate) fn weir(&self, args: &[&str]) -> Done {
        self.weir_with(args, b"")
    }

    /// The same, with this on standard input.
    pub(crate) fn weir_with(&self, args: &[&str], input: &[u8]) -> Done {
        finish(self.command(args), input)
    }

    /// A command against this broker.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(args);
        command.env("WEIR_BOOTSTRAP", &self.address);
        command
    }

    /// Asks it to end and waits until it has.
    #[cfg(unix)]
    pub(crate) fn stop(mut self) {
        signal("-TERM", self.child.id());
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Broker<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process that the test started.
#[cfg(unix)]
pub(crate) fn signal(name: &str, id: u32) {
    let sent = Command::new("kill")
        .args([name, &id.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Runs a command to its end, or kills it when its time is up.
pub(crate) fn finish(command: Command, input: &[u8]) -> Done {
    finish_within(command, input, COMMAND_MAX)
}

/// The same for a command that may take longer.
pub(crate) fn finish_within(mut command: Command, input: &[u8], most: Duration) -> Done {
    let what = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that stops reading early ends this with a broken pipe, which is its right.
    std::thread::spawn(move || stdin.write_all(&input));
    let id = child.id();
    let (sender, receiver) = mpsc::channel::<Output>();
    std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    let Ok(output) = receiver.recv_timeout(most) else {
        let _ = Command::new("kill")
            .args(["-KILL", &id.to_string()])
            .status();
        let output = receiver.recv().unwrap();
        panic!(
            "{what} took too long; it said {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    };
    Done {
        code: output.status.code().unwrap_or(-1),
        out: output.stdout,
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
