//! `weir topic` and `weir cluster`: made, shown, changed and deleted. A real broker, a real
//! folder, what is printed and how it ends.

mod support;

use support::Place;

#[test]
fn topics_are_made_shown_changed_and_deleted() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let none = broker.weir(&["topic", "list"]).good();
    assert!(none.err.contains("there are no topics yet"), "{}", none.err);
    let args = [
        "topic",
        "create",
        "a",
        "b",
        "--partitions",
        "2",
        "--config",
        "retention.ms=60000",
    ];
    broker.weir(&args).good();
    broker
        .weir(&["topic", "create", "a", "--if-not-exists"])
        .good();
    broker.weir(&["topic", "create", "c", "--dry-run"]).good();
    let list = broker.weir(&["topic", "list", "--json"]).good().json();
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["topic"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let lines: String = (0..10).map(|n| format!("{n}\n")).collect();
    broker
        .weir_with(&["produce", "a", "-p", "1"], lines.as_bytes())
        .good();
    let page = &broker
        .weir(&["topic", "describe", "a", "--json"])
        .good()
        .json()[0];
    assert_eq!(page["partitions"][1]["end"], 10);
    assert_eq!(page["partitions"][1]["leader"], 1);
    assert_eq!(page["configs"][0]["name"], "retention.ms");
    assert_eq!(page["configs"][0]["value"], "60000");
    let text = broker.weir(&["topic", "describe", "a"]).good().text();
    assert!(
        text.starts_with("Topic a (id ") && text.contains("PARTITION  LEADER"),
        "{text}"
    );
    let args = [
        "topic",
        "alter",
        "a",
        "--partitions",
        "4",
        "--unset",
        "retention.ms",
    ];
    broker.weir(&args).good();
    let page = &broker
        .weir(&["topic", "describe", "a", "--json"])
        .good()
        .json()[0];
    assert_eq!(page["partitions"].as_array().unwrap().len(), 4);
    assert_eq!(page["configs"].as_array().unwrap().len(), 0);
}

#[test]
fn records_and_topics_are_deleted_with_consent() {
    let place = Place::new();
    let broker = place.serve(&[]);
    broker
        .weir(&["topic", "create", "a", "b", "--partitions", "2"])
        .good();
    let lines: String = (0..10).map(|n| format!("{n}\n")).collect();
    broker
        .weir_with(&["produce", "a", "-p", "1"], lines.as_bytes())
        .good();
    let before = ["topic", "delete-records", "a", "--before", "4", "-p", "1"];
    let dry = broker.weir(&[&before[..], &["--dry-run"]].concat()).good();
    assert!(
        dry.err
            .contains("would delete 4 records of topic `a`: partition 1 below 4"),
        "{}",
        dry.err
    );
    broker.weir(&[&before[..], &["--yes"]].concat()).good();
    let offsets = broker
        .weir(&["topic", "offsets", "a", "-p", "1", "--json"])
        .good()
        .json();
    assert_eq!(
        (offsets[0]["start"].as_i64(), offsets[0]["end"].as_i64()),
        (Some(4), Some(10))
    );
    let gone = broker
        .weir(&["consume", "a", "-p", "1", "--offset", "2"])
        .failed(4);
    assert!(gone.contains("begins at offset 4"), "{gone}");
    broker.weir(&["topic", "delete", "a", "b", "--yes"]).good();
    let list = broker.weir(&["topic", "list", "--json"]).good().json();
    assert_eq!(list.as_array().unwrap().len(), 0);
    let cluster = broker
        .weir(&["cluster", "describe", "--json"])
        .good()
        .json();
    assert_eq!(cluster["brokers"][0]["id"], 1);
    assert_eq!(cluster["controller"], 1);
    let folder = &cluster["brokers"][0]["logDirs"][0];
    let bytes = |name: &str| folder[name].as_i64().unwrap();
    assert!(
        bytes("usableBytes") > 0 && bytes("totalBytes") > bytes("usableBytes"),
        "{folder}"
    );
    let table = broker.weir(&["cluster", "describe"]).good().text();
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split("  ").map(str::trim);
        cells
            .filter(|cell| !cell.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let rows: Vec<Vec<String>> = table.lines().skip(1).map(cells).collect();
    assert_eq!(rows[0][5], "FREE");
    assert!(rows[1][5].ends_with('B'), "{table}");
}

#[test]
fn changes_are_checked_before_any_is_made_and_told_as_json() {
    let place = Place::new();
    let broker = place.serve(&[]);
    broker
        .weir(&["topic", "create", "a", "b", "--partitions", "2"])
        .good();
    let grow = ["topic", "alter", "a", "--partitions", "3", "--json"];
    let with = |config: &'static str| [&grow[..], &["--config", config]].concat();
    let partitions = || {
        let page = broker.weir(&["topic", "describe", "a", "--json"]).good();
        page.json()[0]["partitions"].as_array().unwrap().len()
    };
    broker.weir(&with("retention.ms=soon")).failed(4);
    assert_eq!(partitions(), 2);
    let dry = [&with("retention.ms=1000")[..], &["--dry-run"]].concat();
    assert_eq!(broker.weir(&dry).good().json()["changed"], false);
    assert_eq!(partitions(), 2);
    let done = broker.weir(&with("retention.ms=1000")).good().json();
    assert_eq!(
        (&done["partitionsBefore"], &done["partitions"]),
        (&2.into(), &3.into())
    );
    assert_eq!(done["configs"][0], "retention.ms");
    assert_eq!(partitions(), 3);
    let delete = ["topic", "delete", "a", "b", "--json"];
    let dry = broker.weir(&[&delete[..], &["--dry-run"]].concat()).good();
    assert_eq!(dry.json()["deleted"].as_array().unwrap().len(), 0);
    let done = broker.weir(&[&delete[..], &["--yes"]].concat()).good();
    assert_eq!(done.json()["deleted"].as_array().unwrap().len(), 2);
}
