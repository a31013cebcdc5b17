//! `weir group`: looked at, moved, passed over, deleted. A real broker, a real folder, what is
//! printed and how it ends.

mod support;

use serde_json::Value;
use support::members::{Member, QUICK, fill};
use support::{Broker, Place};

/// A group that has read so many records of a topic and left.
fn read(broker: &Broker<'_>, topic: &str, group: &str, count: &str) {
    let args = [
        "consume",
        topic,
        "-g",
        group,
        "--from-beginning",
        "-n",
        count,
    ];
    broker.weir(&args).good();
}

/// Where the group is on partition 0.
fn committed(broker: &Broker<'_>, group: &str) -> Value {
    let page = broker.weir(&["group", "describe", group, "--json"]).good();
    page.json()[0]["partitions"][0]["committed"].clone()
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    let none = broker.weir(&["group", "list"]).good();
    assert!(none.err.contains("there are no groups"), "{}", none.err);
    fill(&broker, "t", "1", 10);
    read(&broker, "t", "g", "4");
    let table = broker.weir(&["group", "list"]).good().text();
    let expected = "GROUP  STATE  PROTOCOL\ng      Empty  consumer\n";
    assert_eq!(table, expected);
    let args = ["consume", "t", "-g", "g", "-v", "--client-id", "till-7"];
    let mut member = Member::start(&broker, &args);
    member.until("weir: got t 0");
    let page = &broker
        .weir(&["group", "describe", "g", "--json"])
        .good()
        .json()[0];
    assert_eq!(
        (&page["state"], &page["protocol"]),
        (&"Stable".into(), &"consumer".into())
    );
    let one = &page["members"][0];
    assert_eq!(one["client"], "till-7");
    let id = one["member"].as_str().unwrap();
    let short = &id[..8];
    assert_eq!(one["assignment"][0]["topic"], "t");
    assert_eq!(page["partitions"][0]["owner"], one["member"]);
    let text = broker.weir(&["group", "describe", "g"]).good().text();
    assert!(
        text.starts_with("Group g: Stable, consumer protocol, assignor uniform, epoch ")
            && text.contains("CLIENT")
            && text.contains(&format!("  till-7 {short}\n"))
            && !text.contains(id),
        "{text}"
    );
    let busy = broker.weir(&["group", "delete", "g", "--yes"]).failed(4);
    assert!(
        busy.starts_with("weir: group `g` is live (Stable, 1 member): till-7 at 127.0.0.1;")
            && busy.contains("weir group remove-member g"),
        "{busy}"
    );
    drop(member);
    broker
        .weir(&["group", "remove-member", "g", "--all", "--yes"])
        .good();
    let dry = broker.weir(&["group", "delete", "g", "--dry-run"]).good();
    assert!(
        dry.err
            .contains("would delete group `g` (1 committed offset)"),
        "{}",
        dry.err
    );
    let gone = broker
        .weir(&["group", "delete", "g", "--yes"])
        .good()
        .text();
    assert_eq!(gone, "deleted group `g`\n");
    assert_eq!(
        broker.weir(&["group", "list", "--json"]).good().text(),
        "[]\n"
    );
}

#[test]
fn groups_are_listed_by_state() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 1);
    read(&broker, "t", "g", "1");
    let expected = "GROUP  STATE  PROTOCOL\ng      Empty  consumer\n";
    let bogus = broker.weir(&["group", "list", "--state", "bogus"]);
    assert_eq!(bogus.code, 2);
    assert!(
        bogus.err.contains("possible values: empty, "),
        "{}",
        bogus.err
    );
    for (state, found) in [
        ("EMPTY", expected),
        ("stable", ""),
        ("Stable,Empty", expected),
    ] {
        let listed = broker.weir(&["group", "list", "--state", state]).good();
        assert_eq!(listed.text(), found, "{state}");
    }
}

#[test]
fn a_dead_member_is_taken_out_by_hand() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 0);
    let mut member = Member::start(&broker, &["consume", "t", "-g", "g", "-v"]);
    member.until("weir: got t 0");
    let page = broker.weir(&["group", "describe", "g", "--json"]).good();
    let page = &page.json()[0];
    let one = &page["members"][0];
    drop(member);
    let id = one["member"].as_str().unwrap();
    let short = &id[..8];
    let stranger = broker.weir(&["group", "remove-member", "g", "-nobody", "--yes"]);
    assert_eq!(stranger.code, 2);
    let remove = [
        "group",
        "remove-member",
        "g",
        short,
        "--reason",
        "it is dead",
    ];
    let asks = broker.weir(&remove).failed(2);
    assert!(asks.contains("those that still run join again"), "{asks}");
    broker.weir(&[&remove[..], &["--yes"]].concat()).good();
    let history = broker
        .weir(&["group", "history", "g", "--json"])
        .good()
        .json();
    let last = history.as_array().unwrap().last().unwrap();
    assert_eq!(last["causes"][0]["kind"], "by-hand", "{last}");
    assert_eq!(
        (&last["membersBefore"], &last["membersAfter"]),
        (&1.into(), &0.into())
    );
    let text = last["causes"][0]["text"].as_str().unwrap();
    assert!(text.contains("it is dead"), "{text}");
    let table = broker.weir(&["group", "history", "g"]).good().text();
    assert!(
        table.contains(&format!("{short})\n")) && !table.contains(id),
        "{table}"
    );
}

#[test]
fn looking_at_a_group_whose_topic_is_gone_neither_waits_nor_makes_it() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "3", 3);
    let args = [
        "consume",
        "t",
        "-g",
        "g",
        "--group-protocol",
        "classic",
        "-v",
    ];
    let mut member = Member::start(&broker, &args);
    member.until("weir: got t 0-2");
    broker.weir(&["topic", "delete", "t", "--yes"]).good();
    broker.weir(&["group", "describe", "g"]).good();
    let topics = broker.weir(&["topic", "list"]).good().text();
    assert!(!topics.contains("t "), "{topics}");
    // Made again with less: partitions that are gone are left out.
    broker.weir(&["topic", "create", "t"]).good();
    let page = broker.weir(&["group", "describe", "g", "--json"]).good();
    assert_eq!(page.json()[0]["state"], "Stable");
}

#[test]
fn offsets_are_moved_to_every_kind_of_place() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    let lines: String = (0..10)
        .map(|n| {
            format!(
                "{{\"value\":\"{n}\",\"timestamp\":{}}}\n",
                1_700_000_000_000_i64 + n
            )
        })
        .collect();
    let make = ["produce", "t", "--json", "--create", "--partitions", "1"];
    broker.weir_with(&make, lines.as_bytes()).good();
    let before = ["topic", "delete-records", "t", "--before", "2", "--yes"];
    broker.weir(&before).good();
    read(&broker, "t", "g", "4");
    assert_eq!(committed(&broker, "g"), 6);
    let reset = |more: &[&str]| {
        let args = ["group", "reset-offsets", "g", "--json", "--yes"];
        broker.weir(&[&args[..], more].concat())
    };
    for (to, new, note) in [
        (&["--to-earliest"][..], 2, ""),
        (&["--to-latest"], 10, ""),
        (&["--to-offset", "7"], 7, ""),
        (&["--to-offset", "1"], 2, "1 is gone: the log begins at 2"),
        (
            &["--to-offset", "99"],
            10,
            "99 is not there yet: the log ends at 10",
        ),
        (&["--shift-by", "-3"], 7, ""),
        (&["--shift-by", "2"], 9, ""),
        (&["--to-datetime", "1700000000005"], 5, ""),
        (&["--to-datetime", "2023-11-14T22:13:20.008Z"], 8, ""),
        (
            &["--by-duration", "1h"],
            10,
            "no record is that late: behind the newest",
        ),
        (&["--to-datetime", "2023-11-14T22:13:20.007"], 7, ""),
        (&["--to-datetime", "2023-11-14T23:13:20.006+0100"], 6, ""),
        (&["--to-current"], 6, ""),
    ] {
        let done = reset(&[&["--topic", "t:0"], to].concat()).good().json();
        assert_eq!(done["partitions"][0]["new"], new, "{to:?}");
        assert_eq!(done["partitions"][0]["note"], note, "{to:?}");
        assert_eq!(done["changed"], true, "{to:?}");
        assert_eq!(committed(&broker, "g"), new, "{to:?}");
    }
}

#[test]
fn offsets_come_back_from_a_file() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 10);
    read(&broker, "t", "g", "10");
    let export = [
        "group",
        "reset-offsets",
        "g",
        "--all-topics",
        "--to-current",
        "--export",
    ];
    let csv = broker.weir(&export).good().text();
    assert_eq!(csv, "t,0,10\n");
    place.write("old.csv", "other,t,0,3\ng,t,0,4\n");
    let table = ["group", "reset-offsets", "g", "--from-file", "old.csv"];
    let dry = broker.weir(&[&table[..], &["--dry-run"]].concat()).good();
    assert_eq!(
        dry.text(),
        "TOPIC  PARTITION  OLD  NEW  CHANGE  NOTE\nt              0   10    4      -6\n"
    );
    assert!(
        dry.err.contains("would move group `g` on 1 partition"),
        "{}",
        dry.err
    );
    assert_eq!(committed(&broker, "g"), 10);
    broker.weir(&[&table[..], &["--yes"]].concat()).good();
    assert_eq!(committed(&broker, "g"), 4);
    let args = ["consume", "t", "-g", "g", "-e"];
    assert_eq!(broker.weir(&args).good().text(), "4\n5\n6\n7\n8\n9\n");
    let piped = ["group", "reset-offsets", "g", "--from-file", "-"];
    let asks = broker.weir_with(&piped, b"t,0,8\n").failed(2);
    assert!(asks.contains("add --yes to do it"), "{asks}");
    let piped = [&piped[..], &["--yes"]].concat();
    broker.weir_with(&piped, b"\"t\",0,8\r\n").good();
    assert_eq!(committed(&broker, "g"), 8);
    let empty = broker.weir_with(&piped, b"").failed(2);
    assert!(
        empty.starts_with("weir: standard input: the file has no offsets"),
        "{empty}"
    );
}

#[test]
fn what_cannot_be_moved_is_refused_with_what_to_do() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "2", 4);
    read(&broker, "t", "g", "4");
    let reset = |more: &[&str], code| {
        let args = ["group", "reset-offsets", "g", "--topic", "t"];
        broker.weir(&[&args[..], more].concat()).failed(code)
    };
    assert!(reset(&["--to-earliest"], 2).contains("add --yes to do it"));
    let file = |text: &str| {
        place.write("in.csv", text);
        let args = ["group", "reset-offsets", "g", "--from-file", "in.csv"];
        broker.weir(&args)
    };
    assert!(
        file("t,0\n")
            .failed(2)
            .contains("in.csv: line 1: there are not three")
    );
    assert!(file("t,7,1\n").failed(4).contains("no partition 7"));
    assert!(file("x,0,1\n").failed(4).contains("there is no topic `x`"));
    let args = [
        "group",
        "reset-offsets",
        "gg",
        "--topic",
        "t",
        "--to-latest",
    ];
    let unknown = broker.weir(&args).failed(4);
    assert!(
        unknown.contains("there is no group `gg`; ") && unknown.contains("--create"),
        "{unknown}"
    );
    let args = [&args[..], &["--create", "--yes"]].concat();
    broker.weir(&args).good();
    let lag = broker.weir(&["group", "lag", "gg", "--json"]).good().json();
    assert_eq!(lag["groups"][0]["lag"], 0, "{lag}");
    for (command, more) in [
        ("describe", &[][..]),
        ("delete", &["--yes"]),
        ("history", &[]),
    ] {
        let args = [&["group", command, "nowhere"][..], more].concat();
        let unknown = broker.weir(&args).failed(4);
        assert!(
            unknown.starts_with("weir: there is no group `nowhere`"),
            "{unknown}"
        );
    }
}

#[test]
fn a_wrong_reset_is_told_before_anything_is_done() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "2", 4);
    read(&broker, "t", "g", "4");
    for wrong in [
        &["--topic", "t:x", "--to-latest"][..],
        &["--topic", "t"],
        &["--to-latest"],
        &["--topic", "t", "--to-latest", "--to-earliest"],
        &["--topic", "t", "--to-offset", "-1"],
        &["--topic", "t", "--to-datetime", "noon"],
        &["--topic", "t", "--by-duration", "5"],
        &["--topic", "t", "--by-duration", "P1M"],
    ] {
        let args = [&["group", "reset-offsets", "g", "--yes"][..], wrong].concat();
        assert_eq!(broker.weir(&args).code, 2, "{wrong:?}");
    }
}

#[test]
fn offsets_of_a_live_group_stay() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "2", 4);
    read(&broker, "t", "g", "4");
    let mut member = Member::start(&broker, &["consume", "t", "-g", "g", "-v"]);
    member.until("weir: got t 0-1");
    let args = ["group", "reset-offsets", "g", "-t", "t", "--to-earliest"];
    let live = broker.weir(&[&args[..], &["--json", "--yes"]].concat());
    let live = live.failed(4);
    // No plan is printed that cannot be carried out; where they are can be written down all the same.
    let dry = broker.weir(&[&args[..], &["--dry-run"]].concat());
    assert_eq!((dry.code, dry.text().as_str()), (4, ""));
    let export = ["group", "reset-offsets", "g", "--all-topics"];
    let export = [&export[..], &["--to-current", "--export"]].concat();
    assert!(broker.weir(&export).good().text().starts_with("t,"));
    assert!(
        live.contains("is live (Stable, 1 member): weir-cli at 127.0.0.1")
            && live.contains("stop them, or take out"),
        "{live}"
    );
    let args = [
        "group",
        "skip",
        "g",
        "--topic",
        "t",
        "--partition",
        "0",
        "--yes",
    ];
    assert!(broker.weir(&args).failed(4).contains("is live"));
    let stranger = ["group", "remove-member", "g", "nobody", "--yes"];
    let stranger = broker.weir(&stranger).failed(4);
    assert!(stranger.contains("has no member `nobody`"), "{stranger}");
}

#[test]
fn one_record_is_passed_and_no_other() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 5);
    read(&broker, "t", "g", "2");
    let skip = |more: &[&str]| {
        let args = ["group", "skip", "g", "--topic", "t", "--partition", "0"];
        broker.weir(&[&args[..], more].concat())
    };
    let dry = skip(&["--dry-run"]).good();
    let text = dry.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("t-0 offset 2, 20"), "{text}");
    assert_eq!(lines[1..], ["key    null", "value  2"]);
    assert!(
        dry.err
            .contains("would let group `g` pass record 2 of t-0 and go on at 3"),
        "{}",
        dry.err
    );
    assert_eq!(committed(&broker, "g"), 2);
    let other = skip(&["--offset", "4", "--yes"]).failed(4);
    assert!(
        other.contains("is 2, not 4") && other.contains("reset-offsets"),
        "{other}"
    );
    let done = skip(&["--offset", "2", "--yes", "--json"]).good().json();
    assert_eq!(
        (&done["value"], &done["skipped"]),
        (&"2".into(), &true.into())
    );
    let rest = ["consume", "t", "-g", "g", "-e"];
    assert_eq!(broker.weir(&rest).good().text(), "3\n4\n");
    let none = skip(&["--yes"]).good();
    assert!(none.err.contains("nothing to skip"), "{}", none.err);
    let args = ["group", "skip", "new", "-t", "t", "-p", "0", "--yes"];
    assert!(
        broker
            .weir(&args)
            .failed(4)
            .contains("there is no group `new`")
    );
}

#[test]
fn the_record_after_a_truncated_start_is_the_one_that_is_passed() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 6);
    read(&broker, "t", "g", "1");
    let before = ["topic", "delete-records", "t", "--before", "4", "--yes"];
    broker.weir(&before).good();
    let args = [
        "group", "skip", "g", "-t", "t", "-p", "0", "--yes", "--json",
    ];
    let done = broker.weir(&args).good().json();
    assert_eq!((&done["offset"], &done["next"]), (&4.into(), &5.into()));
    assert_eq!(committed(&broker, "g"), 5);
}

#[test]
fn the_timeline_tells_who_came_and_went() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "4", 0);
    let mut watch = Member::start(&broker, &["group", "watch", "g", "--details"]);
    watch.until("there is no group `g` yet");
    watch.until("watching group `g`");
    let args = ["consume", "t", "-g", "g", "-v"];
    let mut first = Member::start(&broker, &args);
    first.until("weir: got t 0-3");
    let line = watch.line();
    assert!(
        line.contains(" g: a member joined (weir-cli ")
            && line.contains("members 0 -> 1, 4 partitions moved"),
        "{line}"
    );
    let moved = watch.line();
    assert!(
        moved.starts_with("    t 0-3 went from nobody to weir-cli "),
        "{moved}"
    );
    let mut second = Member::start(&broker, &args);
    second.until("(2 partitions now)");
    let mut line = watch.line();
    while line.starts_with("    ") {
        line = watch.line();
    }
    assert!(
        line.contains("members 1 -> 2, 2 partitions moved"),
        "{line}"
    );
    #[cfg(unix)]
    {
        assert_eq!(second.interrupt().0, 0);
        first.until("(4 partitions now)");
        assert_eq!(first.interrupt().0, 0);
        assert_eq!(watch.interrupt().0, 0);
    }
    let history = broker.weir(&["group", "history", "g"]).good().text();
    let mut lines = history.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(head[..5], ["TIME", "GROUP", "EPOCH", "MEMBERS", "MOVED"]);
    let members: Vec<&str> = lines
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .nth(3)
                .unwrap()
        })
        .collect();
    assert_eq!(
        members,
        ["0 -> 1", "1 -> 2", "2 -> 1", "1 -> 0"],
        "{history}"
    );
    let newest = ["group", "history", "g", "-n", "1", "--json"];
    let newest = broker.weir(&newest).good().json();
    assert_eq!(newest.as_array().unwrap().len(), 1);
    assert_eq!(newest[0]["membersAfter"], 0);
    let none = ["group", "history", "g", "--to", "1"];
    assert!(
        broker
            .weir(&none)
            .good()
            .err
            .contains("there was no rebalance")
    );
}

#[cfg(unix)]
#[test]
fn a_watch_says_when_the_broker_is_away_and_when_it_is_back() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 1);
    let profile = ["--profile", "weir-data/certs/admin.weir"];
    let mut watches: Vec<Member> = ["quic", "tcp"]
        .map(|transport| {
            let args = ["group", "watch", "--transport", transport];
            Member::start(&broker, &[&args[..], &profile].concat())
        })
        .into();
    for watch in &mut watches {
        watch.until("watching every group");
    }
    let address = broker.address.clone();
    broker.stop();
    for watch in &mut watches {
        watch.until("; watching goes on once it is back (Ctrl-C ends it)");
    }
    let broker = place.serve_at(&address, &QUICK);
    read(&broker, "t", "g", "1");
    for mut watch in watches {
        let next = watch.until("");
        assert_eq!(next, "weir: the broker is back\n");
        assert!(watch.line().contains(" g: a member joined"));
        assert_eq!(watch.interrupt().0, 0);
    }
}

#[test]
fn lag_is_told_for_all_groups_and_for_one() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 10);
    read(&broker, "t", "a", "4");
    read(&broker, "t", "b", "10");
    let all = broker.weir(&["group", "lag", "--json"]).good().json();
    let told: Vec<(&Value, &Value)> = all["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (&group["group"], &group["lag"]))
        .collect();
    assert_eq!(told, [(&"a".into(), &6.into()), (&"b".into(), &0.into())]);
    let one = broker.weir(&["group", "lag", "a", "--json"]).good().json();
    let row = &one["groups"][0]["partitions"][0];
    assert_eq!(
        (&row["committed"], &row["end"], &row["lag"]),
        (&4.into(), &10.into(), &6.into())
    );
    let text = broker.weir(&["group", "lag"]).good().text();
    assert!(
        text.starts_with("GROUP  STATE  MEMBERS  LAG  BEHIND\na      Empty"),
        "{text}"
    );
    assert!(
        broker
            .weir(&["group", "lag", "c"])
            .failed(4)
            .contains("no group `c`")
    );
    assert_eq!(broker.weir(&["group", "lag", "--last", "1h"]).code, 2);
}

#[test]
fn lag_is_told_of_what_is_named_only() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 10);
    fill(&broker, "tea", "1", 1);
    read(&broker, "t", "a", "4");
    read(&broker, "t", "b", "10");
    read(&broker, "tea", "b", "1");
    let topics = |args: &[&str]| {
        let args = [&["group", "lag", "--json"], args].concat();
        let told = broker.weir(&args).good().json();
        let rows = told["topics"].as_array().unwrap().iter();
        rows.map(|row| row["topic"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(topics(&["a"]), ["t"]);
    assert_eq!(topics(&["b"]), ["t", "tea"]);
    for more in [&[][..], &["--watch"], &["--history"]] {
        let args = [&["group", "lag", "a", "--topic", "te"], more].concat();
        assert_eq!(
            broker.weir(&args).failed(4),
            "weir: there is no topic `te`; did you mean `tea`?",
            "{more:?}"
        );
    }
    let none = broker.weir(&["group", "lag", "a", "--topic", "tea"]).good();
    assert!(
        none.err
            .contains("no group has an offset or a partition there"),
        "{}",
        none.err
    );
}

#[cfg(unix)]
#[test]
fn lag_is_watched_in_few_lines() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "t", "1", 10);
    read(&broker, "t", "a", "4");
    let mut watch = Member::start(&broker, &["group", "lag", "--watch", "a", "nosuch"]);
    watch.until("there is no group `nosuch` yet; its first member makes it");
    let line = watch.line();
    assert!(
        line.contains("Z a: Empty, 0 members, 6 records behind"),
        "{line}"
    );
    let mut member = Member::start(&broker, &["consume", "t", "-g", "a", "-v"]);
    member.until("weir: got t 0");
    let line = watch.line();
    assert!(
        line.contains(" a: ") && line.contains(", 1 member, "),
        "{line}"
    );
    let address = broker.address.clone();
    broker.stop();
    watch.until("; watching goes on once it is back (Ctrl-C ends it)");
    let _broker = place.serve_at(&address, &QUICK);
    watch.until("weir: the broker is back");
    assert_eq!(watch.interrupt().0, 0);
}
