//! Plugins at work in a real broker, by the commands that people type: deployed, attached, read
//! through views, routed by jobs, rolled back and removed.

mod support;

use std::path::Path;
use support::{Broker, Place};

fn prebuilt(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/prebuilt");
    std::fs::read(root.join(format!("{name}.wasm"))).unwrap()
}

/// Writes a prebuilt component and deploys it.
fn deploy(place: &Place, broker: &Broker<'_>, name: &str) -> String {
    let file = place.write(&format!("{name}.wasm"), prebuilt(name));
    let file = file.display().to_string();
    broker.weir(&["plugin", "deploy", &file]).good();
    file
}

/// The same component under a version of its own: only the text that it tells is another.
fn as_version(component: &[u8], version: &str) -> Vec<u8> {
    let (old, new) = (b"1.0.0", version.as_bytes());
    let mut bytes = component.to_vec();
    let mut changed = 0;
    for at in 1..bytes.len() - old.len() {
        if bytes[at..].starts_with(old) && bytes[at - 1] != b'@' {
            bytes[at..at + old.len()].copy_from_slice(new);
            changed += 1;
        }
    }
    assert!(changed > 0, "the component tells no version 1.0.0");
    bytes
}

fn produce(broker: &Broker<'_>, topic: &str, lines: &str) {
    broker
        .weir_with(&["produce", topic], lines.as_bytes())
        .good();
}

fn read(broker: &Broker<'_>, topic: &str) -> String {
    broker
        .weir(&["consume", topic, "--from-beginning", "-e"])
        .good()
        .text()
}

const ORDERS: &str = "{\"card\":\"4111\",\"n\":1}\n{\"card\":\"4222\",\"n\":2}\n";
const MASKED: &str = "{\"card\":\"***\",\"n\":1}\n{\"card\":\"***\",\"n\":2}\n";

#[test]
fn a_plugin_lives_from_deployment_to_removal() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let file = deploy(&place, &broker, "mask-fields");
    let again = broker.weir(&["plugin", "deploy", &file]).good().text();
    assert!(again.contains("was deployed already"), "{again}");
    let list = broker.weir(&["plugin", "list", "--json"]).good().json();
    assert_eq!(
        (&list[0]["name"], &list[0]["active"]),
        (&"mask-fields".into(), &"1.0.0".into())
    );
    broker.weir(&["topic", "create", "orders"]).good();
    let attach = ["plugin", "attach", "mask-fields", "--topic", "orders"];
    let missing = broker.weir(&attach).failed(4);
    assert!(
        missing.contains("needs the parameter 'fields'"),
        "{missing}"
    );
    let attach = [&attach[..], &["--set", "fields=card"]].concat();
    let dry = broker
        .weir(&[&attach[..], &["--dry-run"]].concat())
        .good()
        .text();
    assert!(
        dry.contains("would set weir.ingest of topic `orders` to mask-fields"),
        "{dry}"
    );
    produce(&broker, "orders", "{\"card\":\"0\"}\n");
    broker.weir(&attach).good();
    produce(&broker, "orders", ORDERS);
    assert_eq!(
        read(&broker, "orders"),
        format!("{{\"card\":\"0\"}}\n{MASKED}")
    );
    let told = broker
        .weir(&["plugin", "describe", "mask-fields", "--json"])
        .good()
        .json();
    let at = &told["attachments"][0];
    assert_eq!(at["place"]["name"], "orders");
    assert_eq!(
        (&at["metrics"]["recordsIn"], &at["metrics"]["recordsOut"]),
        (&2.into(), &2.into())
    );
    let used = broker
        .weir(&["plugin", "remove", "mask-fields", "--yes"])
        .failed(4);
    assert!(
        used.contains("is used by ingest of topic `orders`"),
        "{used}"
    );
    let detach = ["plugin", "detach", "mask-fields", "--topic", "orders"];
    let asked = broker.weir(&detach).failed(2);
    assert!(
        asked.contains("are not changed by it") && asked.contains("--yes"),
        "{asked}"
    );
    broker.weir(&[&detach[..], &["--yes"]].concat()).good();
    let gone = broker.weir(&[&detach[..], &["--yes"]].concat()).failed(4);
    assert!(gone.contains("is not attached to topic `orders`"), "{gone}");
    broker
        .weir(&["plugin", "remove", "mask-fields", "--yes"])
        .good();
    let unknown = broker
        .weir(&["plugin", "describe", "mask-fields"])
        .failed(4);
    assert!(
        unknown.contains("there is no plugin 'mask-fields'"),
        "{unknown}"
    );
}

#[test]
fn versions_are_activated_and_rolled_back() {
    let place = Place::new();
    let broker = place.serve(&[]);
    deploy(&place, &broker, "mask-fields");
    let second = place.write("second.wasm", as_version(&prebuilt("mask-fields"), "1.1.0"));
    let second = second.display().to_string();
    let kept = broker
        .weir(&["plugin", "deploy", &second, "--no-activate"])
        .good()
        .text();
    assert!(kept.contains("the active version is still 1.0.0"), "{kept}");
    let dry = ["plugin", "activate", "mask-fields@1.1.0", "--dry-run"];
    broker.weir(&dry).good();
    let made = broker
        .weir(&["plugin", "activate", "mask-fields@1.1.0"])
        .good()
        .text();
    assert!(
        made.contains("made mask-fields@1.1.0 the active version (before: 1.0.0)"),
        "{made}"
    );
    let back = broker
        .weir(&["plugin", "rollback", "mask-fields", "--json"])
        .good()
        .json();
    assert_eq!(
        (&back["active"], &back["previous"]),
        (&"1.0.0".into(), &"1.1.0".into())
    );
    let none = broker
        .weir(&["plugin", "activate", "mask-fields@9.0.0"])
        .failed(4);
    assert!(none.contains("9.0.0"), "{none}");
    broker
        .weir(&["plugin", "remove", "mask-fields@1.1.0", "--yes"])
        .good();
    let misspelt = broker.weir(&["plugin", "rollback", "mask-field"]).failed(4);
    assert!(
        misspelt.contains("did you mean `mask-fields`?"),
        "{misspelt}"
    );
}

#[test]
fn a_view_is_read_by_its_name_and_deleted_alone() {
    let place = Place::new();
    let broker = place.serve(&[]);
    deploy(&place, &broker, "mask-fields");
    broker
        .weir(&["topic", "create", "orders", "-p", "2"])
        .good();
    produce(&broker, "orders", ORDERS);
    let create = [
        "view",
        "create",
        "masked",
        "--from",
        "orders",
        "--with",
        "mask-fields(fields=card)",
    ];
    let dry = broker
        .weir(&[&create[..], &["--dry-run"]].concat())
        .good()
        .text();
    assert!(dry.contains("nothing was done"), "{dry}");
    broker.weir(&create).good();
    let mut lines: Vec<String> = read(&broker, "masked").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, MASKED.lines().collect::<Vec<_>>());
    let views = broker.weir(&["view", "list", "--json"]).good().json();
    assert_eq!(
        (&views[0]["view"], &views[0]["from"]),
        (&"masked".into(), &"orders".into())
    );
    assert_eq!(views[0]["partitions"], 2);
    let written = broker.weir_with(&["produce", "masked"], b"x\n");
    assert_ne!(written.code, 0, "a view was written");
    let source = broker
        .weir(&["topic", "delete", "orders", "--yes"])
        .failed(4);
    assert!(source.contains("masked"), "{source}");
    let unknown = broker.weir(&["view", "describe", "maskd"]).failed(4);
    assert!(unknown.contains("did you mean `masked`?"), "{unknown}");
    let asked = broker.weir(&["view", "delete", "masked"]).failed(2);
    assert!(asked.contains("topic `orders` stays"), "{asked}");
    broker.weir(&["view", "delete", "masked", "--yes"]).good();
    assert_eq!(read(&broker, "orders").lines().count(), 2);
}

#[test]
fn a_job_routes_records_and_can_be_paused() {
    let place = Place::new();
    let broker = place.serve(&[]);
    deploy(&place, &broker, "route-by-field");
    broker
        .weir(&["topic", "create", "in", "one", "other"])
        .good();
    let with = "route-by-field(field=\"kind\",routes=\"one=0,*=1\")";
    let create = [
        "job",
        "create",
        "route",
        "--from",
        "in",
        "--to",
        "one,other",
        "--with",
        with,
        "--paused",
    ];
    broker.weir(&create).good();
    produce(&broker, "in", "{\"kind\":\"one\"}\n{\"kind\":\"two\"}\n");
    let told = broker
        .weir(&["job", "describe", "route", "--json"])
        .good()
        .json();
    assert_eq!(
        (&told[0]["state"], &told[0]["paused"]),
        (&"paused".into(), &true.into())
    );
    assert_eq!(told[0]["partitions"][0]["behind"], 2);
    assert_eq!(read(&broker, "one"), "");
    broker.weir(&["job", "resume", "route"]).good();
    let routed = broker
        .weir(&["consume", "one", "--from-beginning", "-n", "1"])
        .good()
        .text();
    assert_eq!(routed, "{\"kind\":\"one\"}\n");
    let rest = broker
        .weir(&["consume", "other", "--from-beginning", "-n", "1"])
        .good()
        .text();
    assert_eq!(rest, "{\"kind\":\"two\"}\n");
    let unknown = broker.weir(&["job", "pause", "rout"]).failed(4);
    assert!(unknown.contains("did you mean `route`?"), "{unknown}");
    broker.weir(&["job", "delete", "route", "--yes"]).good();
    let none = broker.weir(&["job", "list"]).good();
    assert!(none.err.contains("there are no jobs yet"), "{}", none.err);
}

#[test]
fn our_client_runs_the_partitioner_of_a_topic() {
    let place = Place::new();
    let broker = place.serve(&[]);
    deploy(&place, &broker, "region-router");
    broker
        .weir(&["topic", "create", "orders", "-p", "4"])
        .good();
    let regions = "regions=eu=0-1,us=2-3";
    let attach = [
        "plugin",
        "attach",
        "region-router",
        "--topic",
        "orders",
        "--set",
        regions,
    ];
    broker.weir(&attach).good();
    let reject = [
        "topic",
        "alter",
        "orders",
        "-c",
        "weir.partitioner.enforce=reject",
    ];
    broker.weir(&reject).good();
    let lines: String = (0..40)
        .map(|n| format!("{}:{n}=v\n", ["eu", "us"][n % 2]))
        .collect();
    broker
        .weir_with(&["produce", "orders", "-K", "="], lines.as_bytes())
        .good();
    let read = ["consume", "orders", "--from-beginning", "-e", "-f", "%p %k"];
    for line in broker.weir(&read).good().text().lines() {
        let (partition, key) = line.split_once(' ').unwrap();
        let partition: u32 = partition.parse().unwrap();
        assert_eq!(partition < 2, key.starts_with("eu"), "{line}");
    }
}

#[test]
fn what_is_read_can_be_filtered_and_decoded() {
    let place = Place::new();
    let broker = place.serve(&[]);
    deploy(&place, &broker, "avro-decoder");
    broker.weir(&["topic", "create", "words"]).good();
    produce(&broker, "words", ORDERS);
    let filtered = [
        "consume",
        "words",
        "--from-beginning",
        "-e",
        "--filter",
        "value.n > 1",
    ];
    assert_eq!(
        broker.weir(&filtered).good().text(),
        ORDERS.lines().last().unwrap().to_owned() + "\n"
    );
    let wrong = broker
        .weir(&["consume", "words", "--filter", "value.n >"])
        .failed(2);
    assert!(wrong.contains("--filter, at byte 9"), "{wrong}");
    // A string of Avro: its length in a zigzag varint, then its bytes.
    broker.weir(&["topic", "create", "avro"]).good();
    broker
        .weir_with(
            &["produce", "avro", "--json"],
            b"{\"value\":{\"base64\":\"BGhp\"}}\n",
        )
        .good();
    let decoded = [
        "consume",
        "avro",
        "--from-beginning",
        "-e",
        "--decode",
        "avro-decoder(value-schema=\"\\\"string\\\"\",framing=none)",
    ];
    assert_eq!(broker.weir(&decoded).good().text(), "\"hi\"\n");
}

#[test]
fn records_of_a_topic_are_tried_without_touching_it() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let file = place
        .write("mask.wasm", prebuilt("mask-fields"))
        .display()
        .to_string();
    broker.weir(&["topic", "create", "orders"]).good();
    produce(&broker, "orders", ORDERS);
    let test = [
        "plugin",
        "test",
        &file,
        "--topic",
        "orders",
        "--last",
        "1",
        "--set",
        "fields=card",
    ];
    let text = broker.weir(&test).good().text();
    assert!(text.starts_with("0:1 changed\n"), "{text}");
    assert!(text.contains("1 record: 1 changed"), "{text}");
    assert_eq!(read(&broker, "orders"), ORDERS);
}
