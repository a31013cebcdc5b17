//! `weir consume --group`: shares, commits and take-over as people see them. A real broker, a real
//! folder, what is printed and how it ends.

mod support;

use std::collections::BTreeSet;
use support::Place;
use support::members::{Member, QUICK, fill};

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
fn who_gets_no_share_is_at_the_end() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 3);
    for protocol in ["consumer", "classic"] {
        let args = ["consume", "t", "-g", protocol, "--group-protocol", protocol];
        let follow = [&args[..], &["--from-beginning"]].concat();
        let mut member = Member::start(&broker, &follow);
        let all = [member.line(), member.line(), member.line()];
        assert_eq!(all, ["0", "1", "2"]);
        let rest = broker.weir(&[&follow[..], &["-e"]].concat()).good();
        assert_eq!(rest.text(), "", "{protocol}");
        let says = format!("weir: the other members of group `{protocol}` have all partitions\n");
        assert!(rest.err.contains(&says), "{}", rest.err);
        assert_eq!(member.interrupt(), (0, String::new()));
    }
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

#[cfg(unix)]
#[test]
fn a_member_that_was_away_for_too_long_says_so_and_comes_back() {
    let place = Place::new();
    let quick = [
        "--set",
        "group.consumer.heartbeat.interval.ms=100",
        "--set",
        "group.consumer.session.timeout.ms=1000",
    ];
    let broker = place.serve(&[&QUICK[..], &quick].concat());
    fill(&broker, "t", "1", 3);
    let args = ["consume", "t", "-g", "g", "--from-beginning", "-v"];
    let mut member = Member::start(&broker, &args);
    member.until("weir: got t 0");
    let first = [member.line(), member.line(), member.line()];
    assert_eq!(first, ["0", "1", "2"]);
    support::signal("-STOP", member.child.id());
    let state = || {
        let page = broker.weir(&["group", "describe", "g", "--json"]).good();
        page.json()[0]["state"].clone()
    };
    while state() != "Empty" {}
    support::signal("-CONT", member.child.id());
    member.until("weir: lost, as others may have them by now, t 0 (0 partitions now)");
    member.until("weir: got t 0");
    // What was not committed in time is read again; nothing is left out.
    broker.weir_with(&["produce", "t"], b"3\n").good();
    let mut line = member.line();
    while line != "3" {
        assert!(first.contains(&line), "{line}");
        line = member.line();
    }
    assert_eq!(member.interrupt(), (0, String::new()));
}

#[cfg(unix)]
#[test]
fn a_member_says_when_its_coordinator_goes_and_when_it_is_back() {
    let place = Place::new();
    let quick = ["--set", "group.consumer.heartbeat.interval.ms=100"];
    let settings = [&QUICK[..], &quick].concat();
    let broker = place.serve(&settings);
    fill(&broker, "t", "1", 1);
    let args = ["consume", "t", "-g", "g", "--from-beginning"];
    let mut member = Member::start(&broker, &args);
    assert_eq!(member.line(), "0");
    let address = broker.address.clone();
    broker.stop();
    let away = member.until("is away");
    assert!(
        away.starts_with("weir: the coordinator of group `g` is away (")
            && away.ends_with("); commits wait for it\n"),
        "{away}"
    );
    let broker = place.serve_at(&address, &settings);
    let back = member.until("coordinator");
    assert!(
        back.starts_with("weir: the coordinator of group `g` is back after "),
        "said once each: {back}"
    );
    broker.weir_with(&["produce", "t"], b"1\n").good();
    assert_eq!(member.line(), "1");
    assert_eq!(member.interrupt(), (0, String::new()));
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
    let huge = line(&["-g", "g", "--pattern", "((a{99}){99}){9}"], 2);
    assert!(huge.contains("smaller numbers"), "{huge}");
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

#[cfg(unix)]
#[test]
fn a_member_outlives_a_topic() {
    let place = Place::new();
    let quick = ["--set", "group.consumer.heartbeat.interval.ms=100"];
    let broker = place.serve(&[&QUICK[..], &quick].concat());
    for protocol in ["consumer", "classic"] {
        let rest = format!("rest-{protocol}");
        fill(&broker, "mini", "1", 0);
        fill(&broker, &rest, "1", 0);
        let args = ["consume", "mini", &rest, "-g", protocol, "--from-beginning"];
        // What is open when the topic goes is to be dropped, not to be committed before.
        let how = ["--group-protocol", protocol, "--commit-interval", "1m"];
        let mut member = Member::start(&broker, &[&args[..], &how].concat());
        broker.weir_with(&["produce", "mini"], b"0\n").good();
        assert_eq!(member.line(), "0");
        broker.weir(&["topic", "delete", "mini", "--yes"]).good();
        member.until("committed: ");
        broker.weir_with(&["produce", &rest], b"1\n").good();
        assert_eq!(member.line(), "1", "{protocol}");
        assert_eq!(member.interrupt(), (0, String::new()));
    }
}
