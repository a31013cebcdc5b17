//! Records in and out: `weir produce` and `weir consume` keep bytes, keys, places and order. A
//! real broker, a real folder, what is printed and how it ends.

mod support;

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
