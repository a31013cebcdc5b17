//! What a new person does first: the quickstart, again, and with its port taken.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use support::{Place, finish};

fn file(place: &Place) -> String {
    let path = place.path().join("lines.txt");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    for number in 0..20_000 {
        writeln!(
            out,
            "{{\"order\":{number},\"customer\":\"c{}\"}}",
            number % 977
        )
        .unwrap();
    }
    out.flush().unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_file_goes_in_and_comes_out_twice() {
    let place = Place::new();
    let file = file(&place);
    let args = ["quickstart", "--file", &file, "--listen", "127.0.0.1:0"];
    for topic in ["orders, 3 partitions", "orders-2, 3 partitions"] {
        let text = place.weir(args).good().text();
        assert!(text.contains(&format!("topic      {topic}")), "{text}");
        assert!(text.contains("checked    20,000 records"), "{text}");
        assert!(text.contains("weir-data"), "{text}");
        let view = format!("masked-{}", topic.split(',').next().unwrap());
        assert!(text.contains(&format!("view       {view}: ")), "{text}");
        assert!(text.contains("\"customer\":\"***\"}"), "{text}");
        assert!(
            text.contains(&format!("-t {view} -p 0 -C -o beginning")),
            "{text}"
        );
    }
}

#[test]
fn json_gives_the_figures_and_nothing_else() {
    let place = Place::new();
    let file = file(&place);
    let args = ["--file", &file, "--listen", "127.0.0.1:0", "--json"];
    let text = place.weir(["quickstart"].iter().chain(&args)).good().text();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["records"], 20_000, "{text}");
    assert_eq!(report["topic"], "orders", "{text}");
    assert!(report["consume_seconds"].as_f64().unwrap() > 0.0, "{text}");
    assert_eq!(report["masked_field"], "customer", "{text}");
    assert_eq!(
        report["masked_records"][0], "{\"order\":0,\"customer\":\"***\"}",
        "{text}"
    );
}

#[test]
fn a_taken_port_says_what_to_do() {
    let place = Place::new();
    let file = file(&place);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = place
        .weir(["quickstart", "--file", &file, "--listen", &address])
        .failed(1);
    assert!(
        line.contains(&address) && line.contains("--listen"),
        "{line}"
    );
}

#[cfg(unix)]
#[test]
fn the_lines_that_stay_prints_can_be_pasted_elsewhere() {
    let place = Place::new();
    let file = file(&place);
    let mut command = place.command([
        "quickstart",
        "--file",
        &file,
        "--listen",
        "127.0.0.1:0",
        "--stay",
        "--partitions",
        "2",
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("serving until Ctrl-C") {
        assert!(err.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut pasted = String::new();
    while !pasted.contains("-C -o beginning -c 5\n") {
        assert!(out.read_line(&mut pasted).unwrap() > 0, "{pasted}");
    }
    let elsewhere = Place::new();
    let line = pasted
        .lines()
        .find(|line| line.contains(" consume "))
        .unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(elsewhere.path());
    let shown = finish(shell, b"").good().text();
    assert_eq!(shown.lines().count(), 5, "{line}: {shown}");
    assert!(shown.starts_with("{\"order\":"), "{shown}");
    for (what, shows) in [
        (" --group billing ", "{\"order\":"),
        (
            " group describe ",
            "Group billing: Empty, consumer protocol",
        ),
    ] {
        let line = pasted.lines().find(|line| line.contains(what)).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(elsewhere.path());
        let shown = finish(shell, b"").good().text();
        assert!(shown.starts_with(shows), "{line}: {shown}");
    }
    support::signal("-INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_line_that_is_too_large_is_named() {
    let place = Place::new();
    let mut lines = b"fine\n".to_vec();
    lines.resize(3_000_000, b'x');
    place.write("lines.txt", &lines);
    let args = [
        "quickstart",
        "--file",
        "lines.txt",
        "--listen",
        "127.0.0.1:0",
    ];
    let line = place.weir(args).failed(4);
    assert!(
        line.starts_with("weir: line 2: ") && line.contains("max.message.bytes"),
        "{line}"
    );
}
