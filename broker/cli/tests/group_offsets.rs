//! Offsets of groups: forgotten, and moved in the forms that Kafka's own tool takes. A real broker, a
//! real folder, what is printed and how it ends.

mod support;

use serde_json::Value;
use support::members::{Member, QUICK, fill};
use support::{Broker, Place};

/// A group that is at the end of every partition of a topic.
fn give(broker: &Broker<'_>, topic: &str, group: &str) {
    let args = ["group", "reset-offsets", group, "--topic", topic];
    let more = ["--to-latest", "--create", "--yes"];
    broker.weir(&[&args[..], &more].concat()).good();
}

/// What the group keeps, as `topic-partition:offset`.
fn kept(broker: &Broker<'_>, group: &str) -> Vec<String> {
    let page = broker.weir(&["group", "describe", group, "--json"]).good();
    let page = page.json();
    let rows = page[0]["partitions"].as_array().unwrap().iter();
    let told = rows.filter(|row| !row["committed"].is_null()).map(|row| {
        let topic = row["topic"].as_str().unwrap();
        format!("{topic}-{}:{}", row["partition"], row["committed"])
    });
    told.collect()
}

#[test]
fn offsets_are_forgotten_after_they_were_shown() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "a", "1", 3);
    fill(&broker, "b", "3", 6);
    give(&broker, "a", "g");
    give(&broker, "b", "g");
    let all = kept(&broker, "g");
    assert_eq!(all.len(), 4, "{all:?}");
    let delete = |more: &[&str]| {
        let args = ["group", "delete-offsets", "g"];
        broker.weir(&[&args[..], more].concat())
    };
    let dry = delete(&["--topic", "a", "--dry-run"]).good();
    assert_eq!(
        dry.text(),
        "TOPIC  PARTITION  OFFSET\na              0       3\n"
    );
    assert!(
        dry.err.contains("would delete 1 offset of group `g`"),
        "{}",
        dry.err
    );
    let asks = delete(&["--topic", "a", "--json"]).failed(2);
    assert!(asks.contains("add --yes to do it"), "{asks}");
    assert_eq!(kept(&broker, "g"), all);
    let done = delete(&["--topic", "a", "--yes"]).good();
    assert_eq!(
        done.text(),
        "TOPIC  PARTITION  OFFSET\na              0       3\ndeleted 1 offset of group `g`\n"
    );
    let done = delete(&["--topic", "b:0,2", "--yes", "--json"])
        .good()
        .json();
    let gone: Vec<&Value> = done["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["partition"])
        .collect();
    assert_eq!(
        (gone, &done["changed"]),
        (vec![&0.into(), &2.into()], &true.into())
    );
    assert_eq!(kept(&broker, "g"), all[2..3]);
    // Without members and offsets nothing is left of a group.
    delete(&["--all-topics", "--yes"]).good();
    assert!(
        delete(&["--all-topics", "--yes"])
            .failed(4)
            .contains("there is no group `g`")
    );
}

#[test]
fn offsets_that_are_not_there_or_still_read_are_refused() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "a", "1", 3);
    fill(&broker, "orders", "2", 4);
    give(&broker, "orders", "g");
    give(&broker, "a", "g");
    let delete = |group: &str, more: &[&str], code| {
        let args = ["group", "delete-offsets", group, "--yes"];
        broker.weir(&[&args[..], more].concat()).failed(code)
    };
    assert_eq!(
        delete("g", &["--topic", "order"], 4),
        "weir: group `g` has no offset of topic `order`; did you mean `orders`?"
    );
    assert_eq!(
        delete("g", &["--topic", "orders:1-2"], 4),
        "weir: group `g` has no offset of orders-2; it has orders 0-1"
    );
    assert!(delete("gg", &["--topic", "a"], 4).contains("there is no group `gg`"));
    assert!(delete("g", &["--topic", "a:x"], 2).contains("write TOPIC:0"));
    assert_eq!(broker.weir(&["group", "delete-offsets", "g"]).code, 2);
    for protocol in ["consumer", "classic"] {
        let args = [
            "consume",
            "a",
            "-g",
            "g",
            "--group-protocol",
            protocol,
            "-v",
        ];
        let mut member = Member::start(&broker, &args);
        member.until("weir: got a 0");
        let live = delete("g", &["--topic", "a"], 4);
        assert!(
            live.starts_with("weir: group `g` still reads topic `a`: weir-cli at 127.0.0.1; stop"),
            "{live}"
        );
        // Nobody reads this one any more.
        broker
            .weir(&[
                "group",
                "delete-offsets",
                "g",
                "-t",
                "orders:0",
                "--dry-run",
            ])
            .good();
        #[cfg(unix)]
        assert_eq!(member.interrupt().0, 0);
    }
}

#[test]
fn kafkas_ways_to_name_a_time_are_taken() {
    let place = Place::new();
    let broker = place.serve(&QUICK);
    fill(&broker, "a", "1", 3);
    give(&broker, "a", "g");
    for (to, new) in [
        (&["--by-duration", "PT1H"][..], 0),
        (&["--to-datetime", "2100-01-01T00:00:00.000"], 3),
        (&["--by-duration", "P1DT2H"], 0),
        (&["--by-duration", "PT0S"], 3),
        (&["--to-datetime", "2020-01-01T00:00:00"], 0),
    ] {
        let args = ["group", "reset-offsets", "g", "--all-topics", "--yes"];
        broker.weir(&[&args[..], to].concat()).good();
        assert_eq!(kept(&broker, "g"), [format!("a-0:{new}")], "{to:?}");
    }
}
