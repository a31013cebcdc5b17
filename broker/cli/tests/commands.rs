//! The commands end to end: a real broker, a real folder, what is printed and how it ends.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use support::Place;

/// Bytes of every kind: no text, empty, with a carriage return, without a newline at the end.
fn rough_lines() -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..5000_u32 {
        bytes.extend_from_slice(format!("key-{}:", number % 97).as_bytes());
        bytes.extend(
            (0..number % 61).map(|at| match (number + at).to_le_bytes()[0] {
                b'\n' => 0,
                byte => byte,
            }),
        );
        bytes.extend_from_slice(if number % 3 == 0 { b"\r\n" } else { b"\n" });
    }
    bytes.extend_from_slice(b"\n\nlast");
    bytes
}

#[test]
fn lines_come_out_as_they_went_in() {
    let place = Place::new();
    let broker = place.serve(&[]);
    broker
        .weir(&["topic", "create", "plain", "--partitions", "1"])
        .good();
    let mut lines = rough_lines();
    let file = place.write("lines", &lines);
    let done = broker
        .weir(&["produce", "plain", "--file", file.to_str().unwrap()])
        .good();
    assert!(done.err.contains("produced 5,003 records"), "{}", done.err);
    lines.push(b'\n');
    let read = ["consume", "plain", "--from-beginning", "--exit-at-end"];
    assert!(broker.weir(&read).good().out == lines);
    let tcp = [
        "consume",
        "plain",
        "--from-beginning",
        "--exit-at-end",
        "--transport",
        "tcp",
    ];
    assert!(broker.weir(&tcp).good().out == lines);
}

#[test]
fn keys_choose_partitions_and_keep_their_order() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let lines: String = (0..2000).map(|n| format!("k{}::v{n}\n", n % 13)).collect();
    let args = [
        "produce",
        "keyed",
        "--create",
        "--partitions",
        "3",
        "-K",
        "::",
        "-z",
        "zstd",
    ];
    broker.weir_with(&args, lines.as_bytes()).good();
    let format = "%p|%o|%k|%v";
    let read = [
        "consume",
        "keyed",
        "-e",
        "--from-beginning",
        "--format",
        format,
    ];
    let text = broker.weir(&read).good().text();
    let mut last = std::collections::HashMap::new();
    let mut home = std::collections::HashMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split('|').collect();
        let [partition, offset, key, value] = parts[..] else {
            panic!("{line}")
        };
        let number: u32 = value.strip_prefix('v').unwrap().parse().unwrap();
        assert_eq!(format!("k{}", number % 13), key);
        assert_eq!(
            *home.entry(key.to_owned()).or_insert(partition.to_owned()),
            partition
        );
        if let Some(before) = last.insert(key.to_owned(), number) {
            assert!(before < number, "{key} is out of order");
        }
        assert!(offset.parse::<u64>().is_ok());
    }
    assert_eq!(text.lines().count(), 2000);
    // The Java client's partition for these keys (murmur2, positive, modulo 3).
    let of = |key: &str| home[key].clone();
    assert_eq!([of("k0"), of("k1"), of("k2"), of("k3")], KEY_HOMES);
}

/// Computed by a separate program from the definition of murmur2.
const KEY_HOMES: [&str; 4] = ["2", "2", "0", "1"];

#[test]
fn json_is_a_round_trip() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let lines = [
        r#"{"key":"a","value":"one","headers":[["h","1"],["h","2"],["n",null]],"timestamp":1700000000123,"partition":1}"#,
        r#"{"key":null,"value":null,"partition":0}"#,
        r#"{"key":{"base64":"//79"},"value":{"base64":"AAECgP8="},"headers":[["",{"base64":"gA=="}]],"partition":2}"#,
        r#"{"key":"","value":"","partition":1}"#,
        r#"{"key":"\u0000\n\"\\é","value":"line\r\n","partition":1}"#,
    ];
    let input = lines.join("\n");
    let args = [
        "produce",
        "first",
        "--json",
        "--create",
        "--partitions",
        "3",
    ];
    broker.weir_with(&args, input.as_bytes()).good();
    let read = |topic: &str| {
        broker
            .weir(&["consume", topic, "--json", "--from-beginning", "-e"])
            .good()
            .text()
    };
    let first = read("first");
    let args = [
        "produce",
        "second",
        "--json",
        "--create",
        "--partitions",
        "3",
    ];
    broker.weir_with(&args, first.as_bytes()).good();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(
        sorted(&read("second")),
        sorted(&first.replace("\"first\"", "\"second\""))
    );
    for part in [
        r#""key":"a","value":"one","headers":[["h","1"],["h","2"],["n",null]]"#,
        r#""timestamp":1700000000123,"timestampType":"CreateTime""#,
        r#""key":null,"value":null,"headers":[]"#,
        r#""key":{"base64":"//79"},"value":{"base64":"AAECgP8="},"headers":[["",{"base64":"gA=="}]]"#,
        r#""key":"","value":"""#,
        r#""key":"\u0000\n\"\\é","value":"line\r\n""#,
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
}

#[test]
fn places_are_found_by_offset_by_end_and_by_time() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let lines: String = (0..10)
        .map(|n| {
            format!(
                "{{\"value\":\"v{n}\",\"timestamp\":{}}}\n",
                1_700_000_000_000_i64 + n * 1000
            )
        })
        .collect();
    broker
        .weir_with(&["produce", "t", "--json", "--create"], lines.as_bytes())
        .good();
    let read = |offset: &str| {
        let args = ["consume", "t", "-e", "--offset", offset, "--format", "%v "];
        let done = broker.weir(&args).good();
        done.text().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(read("7"), "v7 v8 v9");
    assert_eq!(read("-2"), "v8 v9");
    assert_eq!(read("2..5"), "v2 v3 v4");
    assert_eq!(read("..2"), "v0 v1");
    assert_eq!(read("-3..-1"), "v7 v8");
    assert_eq!(read("@1700000007500"), "v8 v9");
    assert_eq!(read("@2023-11-14T22:13:28Z..@2023-11-14T22:13:29Z"), "v8");
    assert_eq!(read("latest"), "");
    assert_eq!(read("earliest..3"), "v0 v1 v2");
    let max = ["consume", "t", "--from-beginning", "--max", "3"];
    assert_eq!(broker.weir(&max).good().text(), "v0\nv1\nv2\n");
    let beyond = broker.weir(&["consume", "t", "--offset", "11"]).failed(4);
    assert!(
        beyond.contains("partition 0 ends at offset 10, before 11"),
        "{beyond}"
    );
    let table = broker.weir(&["topic", "offsets", "t", "--at", "@1700000007500"]);
    assert_eq!(table.code, 2);
    let at = broker
        .weir(&["topic", "offsets", "t", "--at", "1700000007500", "--json"])
        .good();
    assert_eq!(at.json()[0]["offset"], 8);
}

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

#[test]
fn a_report_tells_where_each_line_went() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let args = [
        "produce",
        "t",
        "--create",
        "--partitions",
        "2",
        "-K",
        ":",
        "--report",
        "-",
    ];
    let done = broker.weir_with(&args, b"a:1\nb:2\na:3\n").good();
    let lines: Vec<serde_json::Value> = done
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["line"], index + 1);
        let (partition, offset) = (&line["partition"], &line["offset"]);
        let range = format!("{offset}..{}", offset.as_i64().unwrap() + 1);
        let read = [
            "consume",
            "t",
            "-p",
            &partition.to_string(),
            "-o",
            &range,
            "-f",
            "%v\\c",
        ];
        assert_eq!(broker.weir(&read).good().text(), (index + 1).to_string());
    }
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

#[test]
fn mistakes_are_one_line_that_says_what_to_do() {
    let place = Place::new();
    let broker = place.serve(&[]);
    broker
        .weir(&["topic", "create", "orders", "--partitions", "2"])
        .good();
    let line = |args: &[&str], code| broker.weir(args).failed(code);
    assert_eq!(
        line(&["consume", "order"], 4),
        "weir: there is no topic `order`; did you mean `orders`?"
    );
    assert_eq!(
        line(&["produce", "oders"], 4),
        "weir: there is no topic `oders`; did you mean `orders`? (--create makes a new one)"
    );
    let typo = line(
        &["topic", "alter", "orders", "--config", "retention.sm=1"],
        4,
    );
    assert!(typo.contains("did you mean 'retention.ms'?"), "{typo}");
    assert!(line(&["topic", "create", "orders"], 4).contains("orders"));
    assert_eq!(
        line(&["topic", "delete", "orders"], 2),
        "weir: this would delete topic `orders` (2 partitions, 0 records); add --yes to do it, \
         or --dry-run to only look"
    );
    assert!(
        line(&["consume", "orders", "-p", "5"], 2).contains("no partition 5; there are 0 to 1")
    );
    let json = broker.weir_with(&["produce", "orders", "--json"], b"{}\n{\"valeu\":1}\n");
    let json = json.failed(2);
    assert!(
        json.starts_with("weir: line 2: unknown field `valeu`"),
        "{json}"
    );
    let partition = broker
        .weir_with(&["produce", "orders", "-p", "9"], b"x\n")
        .failed(2);
    assert!(partition.contains("no partition 9"), "{partition}");
    let file = line(&["produce", "orders", "--file", "nowhere.txt"], 1);
    assert_eq!(
        file,
        "weir: cannot read nowhere.txt: no such file or directory"
    );
}

#[test]
fn a_wrong_command_line_says_so_and_starts_nothing() {
    let place = Place::new();
    let code = |args: &[&str]| place.weir(args).code;
    assert_eq!(code(&["consum", "t"]), 2);
    assert_eq!(code(&["consume", "t", "--format", "%q"]), 2);
    assert_eq!(code(&["consume", "t", "--offset", "yesterday"]), 2);
    assert_eq!(code(&["produce", "t", "-z", "brotli"]), 2);
    assert_eq!(code(&["serve", "--set", "num.partition=3"]), 2);
    let hint = place.weir(["serve", "--set", "num.partition=3"]).failed(2);
    assert!(hint.contains("did you mean `num.partitions`?"), "{hint}");
    let near = place.weir(["topic", "lst"]);
    assert!(
        near.err.starts_with("weir: ") && near.err.contains("list"),
        "{}",
        near.err
    );
    assert_eq!(
        place.weir(["--version"]).good().text(),
        format!("weir {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert!(!place.path().join("weir-data").exists());
}

#[test]
fn nobody_there_is_told_at_once() {
    let place = Place::new();
    // A port that was free a moment ago and that nobody else was given.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let line = place
        .weir(["topic", "list", "-b", &format!("127.0.0.1:{port}")])
        .failed(3);
    assert!(
        line.contains("nobody listens") && line.contains("weir serve"),
        "{line}"
    );
    let profile = place
        .weir(["topic", "list", "--profile", "nowhere.weir"])
        .failed(3);
    assert!(profile.contains("nowhere.weir"), "{profile}");
    let quic = place
        .weir(["topic", "list", "--transport", "quic"])
        .failed(2);
    assert!(quic.contains("--profile FILE"), "{quic}");
}

#[test]
fn a_second_broker_on_the_same_folder_or_port_is_told_what_to_do() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let folder = place
        .weir(["serve", "--listen", "127.0.0.1:0", "--set", "log.level=off"])
        .failed(1);
    assert!(folder.contains("weir-data"), "{folder}");
    let port = place.weir([
        "serve",
        "--data",
        "other",
        "--listen",
        &broker.address,
        "--set",
        "log.level=off",
    ]);
    let port = port.failed(1);
    assert!(
        port.contains(&broker.address) && port.contains("--listen"),
        "{port}"
    );
}

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
}

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
fn benchmarks_run_and_print_figures() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let short = ["--seconds", "0.2", "--json"];
    let run = |args: &[&str]| {
        broker
            .weir(&[&["bench"], args, &short].concat())
            .good()
            .json()
    };
    let produced = run(&["produce", "--warm-up", "0", "--partitions", "3"]);
    assert!(produced["records"].as_u64().unwrap() > 0, "{produced}");
    assert!(
        produced["latency_ms"]["p99"].as_f64().unwrap() > 0.0,
        "{produced}"
    );
    let consumed = run(&["consume"]);
    assert!(
        consumed["mb_per_second"].as_f64().unwrap() > 0.0,
        "{consumed}"
    );
    let latency = run(&[
        "latency",
        "--rate",
        "500",
        "--warm-up",
        "0",
        "--topic",
        "other",
    ]);
    assert!(
        latency["latency_ms"]["samples"].as_u64().unwrap() > 50,
        "{latency}"
    );
    assert!(
        latency["end_to_end_ms"]["samples"].as_u64().unwrap() > 50,
        "{latency}"
    );
    let counted = [
        "bench",
        "produce",
        "--records",
        "1000",
        "--transport",
        "tcp",
        "--clients",
        "2",
        "--json",
    ];
    assert_eq!(broker.weir(&counted).good().json()["records"], 1000);
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
