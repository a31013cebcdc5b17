//! Commands that run while things happen: following, typing, a reader that leaves, Ctrl-C. A real
//! broker, a real folder, what is printed and how it ends.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use support::Place;

#[test]
fn following_shows_each_record_as_it_comes_and_ends_with_ctrl_c() {
    let place = Place::new();
    let broker = place.serve(&[]);
    broker
        .weir_with(&["produce", "t", "--create"], b"before\n")
        .good();
    let mut command = broker.command(&["consume", "t", "--from-beginning"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "before\n");
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut waiting = String::new();
    err.read_line(&mut waiting).unwrap();
    assert_eq!(
        waiting,
        "weir: waiting for new records of `t` (Ctrl-C ends it)\n"
    );
    broker.weir_with(&["produce", "t"], b"after\n").good();
    line.clear();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "after\n");
    #[cfg(unix)]
    {
        support::signal("-INT", child.id());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let _ = child.kill();
}

#[test]
fn a_reader_that_has_seen_enough_is_a_clean_end() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let lines: String = (0..200_000).map(|n| format!("line number {n}\n")).collect();
    broker
        .weir_with(&["produce", "t", "--create"], lines.as_bytes())
        .good();
    let mut command = broker.command(&["consume", "t", "--from-beginning", "-e"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 14];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    drop(out);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(&first, b"line number 0\n");
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_while_nothing_comes_is_a_clean_end() {
    let place = Place::new();
    let broker = place.serve(&[]);
    broker
        .weir_with(&["produce", "t", "--create"], b"one\ntwo\n")
        .good();
    let mut command = broker.command(&["consume", "t", "--from-beginning"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(out);
    // Nothing is produced any more: only the closed pipe can end it.
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_typed_is_sent_at_once() {
    let place = Place::new();
    let broker = place.serve(&[]);
    broker
        .weir(&["topic", "create", "t", "--partitions", "1"])
        .good();
    let mut command = broker.command(&["produce", "t"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"typed\nhalf a li").unwrap();
    let read = ["consume", "t", "--from-beginning", "--max", "1"];
    assert_eq!(broker.weir(&read).good().text(), "typed\n");
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let read = ["consume", "t", "--from-beginning", "-e"];
    assert_eq!(broker.weir(&read).good().text(), "typed\nhalf a li\n");
}

#[cfg(unix)]
#[test]
fn ctrl_c_while_producing_keeps_what_was_read_and_says_so() {
    let place = Place::new();
    let broker = place.serve(&[]);
    broker
        .weir(&["topic", "create", "t", "--partitions", "1"])
        .good();
    let mut command = broker.command(&["produce", "t", "--report", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"kept\n").unwrap();
    let mut report = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    report.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"line\":1,\"partition\":0,\"offset\":0}\n");
    support::signal("-INT", child.id());
    let ended = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(ended.status.code(), Some(130));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.starts_with("weir: produced 1 record,"), "{said}");
    let read = ["consume", "t", "--from-beginning", "-e"];
    assert_eq!(broker.weir(&read).good().text(), "kept\n");
}
