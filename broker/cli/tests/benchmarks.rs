//! `weir bench`: it runs, and its figures say what was measured. A real broker, a real folder,
//! what is printed and how it ends.

mod support;

use support::Place;

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
    // The profile in this folder and a broker that answers UDP: auto takes QUIC.
    assert_eq!(
        (&produced["transport"], &produced["transport_asked"]),
        (&"quic".into(), &"auto".into())
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
    assert_eq!(
        latency["end_to_end_ms"]["samples"], latency["records"],
        "{latency}"
    );
    assert_eq!(latency["missing_records"], 0);
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
    let counted = broker.weir(&counted).good().json();
    assert_eq!(
        (&counted["records"], &counted["transport"]),
        (&1000.into(), &"plain".into())
    );
    let text = ["bench", "produce", "--records", "10"];
    let text = broker.weir(&text).good().text();
    assert!(text.contains("(transport quic, chosen by auto)"), "{text}");
}
