//! Members of groups that run beside a test.

use super::Broker;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

/// Rebalances at once, so that no test waits for more members.
pub(crate) const QUICK: [&str; 4] = [
    "--set",
    "group.initial.rebalance.delay.ms=0",
    "--set",
    "group.consumer.assignment.interval.ms=0",
];

/// A topic of so many partitions with the lines 0 to `count - 1` in it.
pub(crate) fn fill(broker: &Broker<'_>, topic: &str, partitions: &str, count: usize) {
    broker
        .weir(&["topic", "create", topic, "--partitions", partitions])
        .good();
    let lines: String = (0..count).map(|n| format!("{n}\n")).collect();
    broker
        .weir_with(&["produce", topic], lines.as_bytes())
        .good();
}

/// A member that runs beside the test.
pub(crate) struct Member {
    pub(crate) child: Child,
    /// Nothing once its reader has left.
    pub(crate) out: Option<BufReader<ChildStdout>>,
    err: BufReader<ChildStderr>,
}

impl Member {
    /// Starts a command that goes on.
    pub(crate) fn start(broker: &Broker<'_>, args: &[&str]) -> Self {
        let mut child = broker
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            out: child.stdout.take().map(BufReader::new),
            err: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Reads what it says until a line holds this.
    pub(crate) fn until(&mut self, what: &str) -> String {
        let mut line = String::new();
        while self.err.read_line(&mut line).unwrap() > 0 {
            if line.contains(what) {
                return line;
            }
            line.clear();
        }
        panic!("it ended and never said `{what}`");
    }

    /// Ends it by Ctrl-C; its exit code and what it printed at last.
    #[cfg(unix)]
    pub(crate) fn interrupt(mut self) -> (i32, String) {
        super::signal("-INT", self.child.id());
        let mut rest = String::new();
        self.out.take().unwrap().read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), rest)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
