//! The broker's own folder and settings: a stop and a start, `weir store`, certificates, layers. A
//! real broker, a real folder, what is printed and how it ends.

mod support;

use support::Place;

#[cfg(unix)]
#[test]
fn a_stopped_broker_is_there_again_and_its_folder_can_be_looked_into() {
    let place = Place::new();
    let broker = place.serve(&[]);
    broker
        .weir_with(&["produce", "t", "--create"], b"kept\n")
        .good();
    let busy = place.weir(["store", "check"]).failed(1);
    assert!(busy.contains("stop the broker first"), "{busy}");
    broker.stop();
    let checked = place.weir(["store", "check", "--json"]).good().json();
    assert_eq!(checked["problems"].as_array().unwrap().len(), 0);
    assert_eq!(checked["batches"], 1);
    let dumped = place.weir(["store", "dump", "--json"]).good().json();
    let topic = dumped["partitions"][0]["topicId"].as_str().unwrap();
    assert_eq!(dumped["partitions"][0]["end"], 1);
    let batches = place
        .weir(["store", "dump", "--topic", topic, "--json"])
        .good()
        .json();
    assert_eq!(batches["baseOffset"], 0);
    let dashing = "-AAAAAAAAAAAAAAAAAAAAA";
    let missing = place.weir(["store", "dump", "--topic", dashing]).failed(2);
    assert!(missing.contains("no partition 0 of a topic"), "{missing}");
    let broker = place.serve(&[]);
    let read = ["consume", "t", "--from-beginning", "-e"];
    assert_eq!(broker.weir(&read).good().text(), "kept\n");
}

#[test]
fn certificates_are_issued_shown_and_let_their_owner_in() {
    let place = Place::new();
    let missing = place.weir(["certs", "show"]).failed(1);
    assert!(missing.contains("start a broker there first"), "{missing}");
    let broker = place.serve(&[]);
    broker.weir(&["topic", "create", "t"]).good();
    place
        .weir(["certs", "issue", "--name", "alice", "--out", "alice.weir"])
        .good();
    let again = place
        .weir(["certs", "issue", "--name", "alice", "--out", "alice.weir"])
        .failed(2);
    assert!(again.contains("exists already"), "{again}");
    let shown = place
        .weir(["certs", "show", "alice.weir", "--json"])
        .good()
        .json();
    assert_eq!(
        (shown[0]["name"].as_str(), shown[0]["role"].as_str()),
        (Some("alice"), Some("client"))
    );
    let all = place.weir(["certs", "show"]).good().text();
    assert!(all.contains("ca.pem") && all.contains("admin"), "{all}");
    let pem = place
        .weir(["certs", "show", "weir-data/certs/ca.pem", "--json"])
        .good()
        .json();
    assert_eq!(pem[0]["ca"], true);
    let alice = ["--profile", "alice.weir", "--transport", "quic"];
    let produce = [&["produce", "t"][..], &alice].concat();
    broker.weir_with(&produce, b"by alice\n").good();
    let delete = [&["topic", "delete", "t", "--yes"][..], &alice].concat();
    let refused = broker.weir(&delete).failed(4);
    assert!(refused.contains("admin"), "{refused}");
    for (client, word) in [
        ("kcat", "-X ssl.ca.location="),
        ("java", "ssl.keystore.type=PEM"),
        ("librdkafka", "ssl.key.location="),
    ] {
        let args = [
            "certs",
            "show",
            "alice.weir",
            "--for",
            client,
            "--bootstrap",
            "h:9093",
        ];
        let text = place.weir(args).good().text();
        assert!(text.contains(word) && text.contains("h:9093"), "{text}");
    }
    let key = std::fs::read_to_string(place.path().join("alice-pem/key.pem")).unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let file = std::fs::metadata(place.path().join("alice-pem/keystore.pem")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn certificates_are_not_issued_for_other_places_or_longer_than_their_ca() {
    let place = Place::new();
    let broker = place.serve(&[]);
    for name in ["../evil", "a\\b", "", "..", "a\nb"] {
        place.weir(["certs", "issue", "--name", name]).failed(2);
    }
    assert!(!place.path().join("../evil.weir").exists());
    let zero = ["certs", "issue", "--name", "z", "--days", "0"];
    assert_eq!(place.weir(zero).code, 2);
    let long = ["certs", "issue", "--name", "z", "--days", "99999999"];
    let long = place.weir(long).good().text();
    assert!(
        long.contains("until ") && long.contains("when the CA ends") && !long.contains("99999999"),
        "{long}"
    );
    let pem = ["topic", "list", "--profile", "weir-data/certs/ca.pem"];
    let pem = broker.weir(&pem).failed(2);
    assert!(pem.contains("is PEM, not a profile"), "{pem}");
    let kcat = place.weir(["certs", "show", "--for", "kcat"]);
    let kcat = kcat.good().text();
    assert!(kcat.contains("-b HOST:PORT"), "{kcat}");
}

#[test]
fn settings_come_in_layers_and_say_where_they_are_from() {
    let place = Place::new();
    place.write("weir.toml", "num.partitions = 3\nstore.lanes = 4\n");
    let mut command = place.command([
        "serve",
        "--config",
        "weir.toml",
        "--set",
        "store.lanes=8",
        "--print-config",
        "--json",
    ]);
    command
        .env("WEIR_NUM_PARTITIONS", "5")
        .env("WEIR_BOOTSTRAP", "unused:1");
    let rows = support::finish(command, b"").good().json();
    let row = |name: &str| {
        let all = rows.as_array().unwrap();
        let row = all.iter().find(|row| row["name"] == name).unwrap();
        (
            row["value"].as_str().unwrap().to_owned(),
            row["origin"].as_str().unwrap().to_owned(),
        )
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(
        row("num.partitions"),
        pair("5", "environment WEIR_NUM_PARTITIONS")
    );
    assert_eq!(row("store.lanes"), pair("8", "flag --set store.lanes=8"));
    assert_eq!(row("shards"), pair("0", "default"));
}

#[test]
fn completions_are_printed_for_shells() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            place
                .weir(["completions", shell])
                .good()
                .text()
                .contains("weir")
        );
    }
}
