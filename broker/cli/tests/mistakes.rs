//! What a person may get wrong: one line that says what to do, and the documented exit code. A
//! real broker, a real folder, what is printed and how it ends.

mod support;

use support::Place;

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
        line(&["consume", "orders", "-p", "5"], 4).contains("no partition 5; there are 0 to 1")
    );
    let json = broker.weir_with(&["produce", "orders", "--json"], b"{}\n{\"valeu\":1}\n");
    let json = json.failed(2);
    assert!(
        json.starts_with("weir: line 2: unknown field `valeu`"),
        "{json}"
    );
    let partition = broker
        .weir_with(&["produce", "orders", "-p", "9"], b"x\n")
        .failed(4);
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
    for (args, hint) in [
        (&["consume"][..], "<TOPIC|--pattern <REGEX>>"),
        (
            &["group", "remove-member", "g"],
            "<MEMBER|--instance-id <NAME>|--all>",
        ),
    ] {
        let said = place.weir(args);
        assert!(said.code == 2 && said.err.contains(hint), "{}", said.err);
    }
    assert_eq!(code(&["consume", "t", "--format", "%q"]), 2);
    assert_eq!(code(&["consume", "t", "--offset", "yesterday"]), 2);
    assert_eq!(code(&["produce", "t", "-z", "brotli"]), 2);
    assert_eq!(code(&["serve", "--set", "num.partition=3"]), 2);
    assert_eq!(code(&["consume", "t", "-o", "@-5"]), 2);
    assert_eq!(code(&["consume", "t", "-p", "-1"]), 2);
    assert_eq!(code(&["topic", "create", "t", "-p", "-1"]), 2);
    assert_eq!(code(&["quickstart", "--partitions", "10001"]), 2);
    let certs = ["certs", "show", "--for", "kcat", "--json"];
    assert_eq!(code(&certs), 2);
    // What could not be served is refused by --print-config alike.
    for setting in [
        "log.level=inof",
        "metrics.listen=foo",
        "listen=plain://0.0.0.0:1",
    ] {
        for more in [&["--print-config"][..], &[]] {
            let line = place.weir([&["serve", "--set", setting], more].concat());
            let line = line.failed(2);
            assert!(!line.is_empty(), "{setting}");
        }
    }
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
        .failed(2);
    assert!(
        profile.contains("nowhere.weir: no such file") && profile.contains("--profile FILE"),
        "{profile}"
    );
    let quic = place
        .weir(["topic", "list", "--transport", "quic"])
        .failed(2);
    assert!(quic.contains("--profile FILE"), "{quic}");
}

#[test]
fn a_port_that_speaks_tls_is_told_from_one_that_does_not() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let listen = format!("tls://{address}");
    let _broker = place.serve(&["--listen", &listen]);
    let args = ["topic", "list", "--transport", "tcp", "-b", &address];
    let line = place.weir(args).failed(3);
    assert!(
        line.contains("speaks TLS") && line.contains("--profile FILE"),
        "{line}"
    );
}

#[test]
fn a_second_broker_on_the_same_folder_or_port_is_told_what_to_do() {
    let place = Place::new();
    let broker = place.serve(&[]);
    let folder = place
        .weir(["serve", "--listen", "127.0.0.1:0", "--set", "log.level=off"])
        .failed(1);
    let pid = broker.ready["pid"].to_string();
    assert!(
        folder.contains("weir-data") && folder.contains(&format!("in use by process {pid}")),
        "{folder}"
    );
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
    assert!(!place.path().join("other").exists());
    let args = [
        "serve",
        "--data",
        "other",
        "--listen",
        "tls://no.such.name.invalid:1",
    ];
    let name = place.weir(args).failed(1);
    assert!(name.contains("cannot be resolved"), "{name}");
    assert!(!place.path().join("other").exists());
    let args = ["quickstart", "--data", "other", "--file", "nowhere.txt"];
    let file = place.weir(args).failed(1);
    assert!(file.contains("cannot read nowhere.txt"), "{file}");
    assert!(!place.path().join("other").exists());
}
