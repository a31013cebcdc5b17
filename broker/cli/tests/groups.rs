//! `weir consume --group`: shares, commits and take-over as people see them. A real broker, a real
//! folder, what is printed and how it ends.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use support::{Broker, Place};

/// Rebalances at once, so that no test waits for more members.
const QUICK: [&str; 4] = [
    "--set",
    "group.initial.rebalance.delay.ms=0",
    "--set",
    "group.consumer.assignment.interval.ms=0",
];

/// A topic of so many partitions with the lines 0 to `count - 1` in it.
fn fill(broker: &Broker<'_>, topic: &str, partitions: &str, count: usize) {
    broker
        .weir(&["topic", "create", topic, "--partitions", partitions])
        .good();
    let lines: String = (0..count).map(|n| format!("{n}\n")).collect();
    broker
        .weir_with(&["produce", topic], lines.as_bytes())
        .good();
}

/// A member that runs beside the test.
struct Member {
    child: Child,
    /// Nothing once its reader has left.
    out: Option<BufReader<ChildStdout>>,
    err: BufReader<ChildStderr>,
}

impl Member {
    fn start(broker: &Broker<'_>, args: &[&str]) -> Self {
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

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Reads what it says until a line holds this.
    fn until(&mut self, what: &str) -> String {
        let mut line = String::new();
        while self.err.read_line(&mut line).unwrap() > 0 {
            if line.contains(what) {
                return line;
            }
            line.clear();
        }
        panic!("it ended and never said `{what}`");
    }

    #[cfg(unix)]
    fn interrupt(mut self) -> (i32, String) {
        support::signal("-INT", self.child.id());
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

#[test]
fn a_group_goes_on_behind_what_was_printed() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 10);
    for (group, more) in [
        (
            "modern",
            &[
                "--transport",
                "quic",
                "--profile",
                "weir-data/certs/admin.weir",
            ][..],
        ),
        (
            "classic",
            &["--group-protocol", "classic", "--transport", "tcp"][..],
        ),
    ] {
        let read = |end: &[&str]| {
            let args = ["consume", "t", "--group", group, "--from-beginning"];
            let done = broker.weir(&[&args[..], more, end].concat()).good();
            assert_eq!(done.err, "");
            done.text().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(read(&["-n", "4"]), "0 1 2 3");
        assert_eq!(read(&["-n", "3", "--no-commit"]), "4 5 6");
        assert_eq!(read(&["-n", "3", "--commit-interval", "1ms"]), "4 5 6");
        assert_eq!(read(&["-e"]), "7 8 9");
        assert_eq!(read(&["-e"]), "");
    }
    // A group that begins without --from-beginning waits for what comes from then on.
    let args = ["consume", "t", "--group", "late", "-e"];
    assert_eq!(broker.weir(&args).good().text(), "");
}

#[cfg(unix)]
#[test]
fn ctrl_c_commits_and_leaves() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "2", 6);
    for protocol in ["consumer", "classic"] {
        let args = ["consume", "t", "-g", protocol, "--group-protocol", protocol];
        let follow = [&args[..], &["--from-beginning"]].concat();
        let mut member = Member::start(&broker, &follow);
        let first: BTreeSet<String> = (0..6).map(|_| member.line()).collect();
        assert_eq!(first.len(), 6);
        member.until("waiting for new records as a member of group");
        assert_eq!(member.interrupt(), (0, String::new()));
        // Were it still in the group, this would wait for its session to end.
        let rest = broker.weir(&[&follow[..], &["-e"]].concat()).good();
        assert_eq!(rest.text(), "", "{protocol}");
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_ends_the_membership() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 3);
    let args = ["consume", "t", "--group", "g", "--from-beginning"];
    let mut member = Member::start(&broker, &args);
    assert_eq!(member.line(), "0");
    member.out = None;
    assert_eq!(member.child.wait().unwrap().code(), Some(0));
    // Were it still in the group, this would wait for its session to end.
    let rest = broker.weir(&["consume", "t", "-g", "g", "-e"]).good();
    assert_eq!(rest.text(), "");
}

#[cfg(unix)]
#[test]
fn members_share_and_take_over() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "4", 0);
    let args = [
        "consume",
        "t",
        "-g",
        "g",
        "--from-beginning",
        "-v",
        "-f",
        "%v",
    ];
    let mut first = Member::start(&broker, &args);
    let got = first.until("weir: got");
    assert_eq!(got, "weir: got t 0-3 (4 partitions now)\n");
    let mut second = Member::start(&broker, &args);
    let gave = first.until("weir: gave up");
    assert!(gave.ends_with("(2 partitions now)\n"), "{gave}");
    second.until("(2 partitions now)");
    for (index, partition) in ["0", "1", "2", "3"].into_iter().enumerate() {
        let line = format!("{index}\n");
        broker
            .weir_with(&["produce", "t", "-p", partition], line.as_bytes())
            .good();
    }
    let read = |member: &mut Member| BTreeSet::from([member.line(), member.line()]);
    let (mut one, other) = (read(&mut first), read(&mut second));
    one.extend(other);
    let all: Vec<&str> = one.iter().map(String::as_str).collect();
    assert_eq!(all, ["0", "1", "2", "3"], "each record reached one member");
    assert_eq!(second.interrupt(), (0, String::new()));
    first.until("(4 partitions now)");
    broker
        .weir_with(&["produce", "t", "-p", "0"], b"4\n")
        .good();
    broker
        .weir_with(&["produce", "t", "-p", "3"], b"5\n")
        .good();
    let rest = read(&mut first);
    assert_eq!(rest, BTreeSet::from(["4".to_owned(), "5".to_owned()]));
    assert_eq!(first.interrupt(), (0, String::new()));
}

#[test]
fn what_a_member_may_get_wrong_is_one_line() {
    let place = Place::new();
    let broker = place.serve(&["--set", "offset.metadata.max.bytes=8"]);
    fill(&broker, "orders", "2", 2);
    let line = |args: &[&str], code| {
        let all = [&["consume", "--from-beginning", "-n", "1"], args].concat();
        broker.weir(&all).failed(code)
    };
    assert_eq!(
        line(&["order", "-g", "g"], 4),
        "weir: there is no topic `order`; did you mean `orders`?"
    );
    assert_eq!(
        line(&["orders", "refunds"], 2),
        "weir: only a group reads several topics at once; add --group GROUP, or name one topic"
    );
    let broken = line(&["-g", "g", "--pattern", "or(ders"], 2);
    assert!(broken.contains("unclosed group"), "{broken}");
    let huge = line(&["-g", "g", "--pattern", "((a{99}){99}){9}"], 4);
    assert!(
        huge.contains("INVALID_REGULAR_EXPRESSION") && huge.contains("smaller numbers"),
        "{huge}"
    );
    let assignor = ["orders", "-g", "g", "--assignor", "cooperative-sticky"];
    assert!(line(&assignor, 2).contains("--group-protocol classic"));
    let metadata = ["orders", "-g", "g", "--commit-metadata", "far too long"];
    let metadata = line(&metadata, 4);
    assert!(
        metadata.contains("OFFSET_METADATA_TOO_LARGE") && metadata.contains("--commit-metadata"),
        "{metadata}"
    );
    let long = "g".repeat(5000);
    let id = line(&["orders", "-g", &long], 4);
    assert!(id.contains("INVALID_GROUP_ID"), "{id}");
    for more in [&["-g", ""][..], &["-g", "g", "-p0"], &["--no-commit"]] {
        assert_eq!(
            broker.weir(&[&["consume", "orders"], more].concat()).code,
            2
        );
    }
    for odd in ["größe/1 \"x\"", "a\nb", "../..", "%s", "\u{1b}[2J"] {
        let args = ["consume", "orders", "-g", odd, "--from-beginning", "-e"];
        assert_eq!(broker.weir(&args).good().text().lines().count(), 2);
        assert_eq!(broker.weir(&args).good().text(), "");
    }
}
