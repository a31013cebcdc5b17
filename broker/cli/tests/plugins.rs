//! What `weir plugin` does without a broker: new projects, builds, checks and runs of components.

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Done, Place, finish_within};

/// The longest a build may take; the standard library may be built with it.
const BUILD_MAX: Duration = Duration::from_secs(900);

fn prebuilt(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file: PathBuf = root.join("plugins/prebuilt").join(format!("{name}.wasm"));
    file.canonicalize().unwrap().display().to_string()
}

#[test]
fn a_component_is_looked_at() {
    let place = Place::new();
    let mask = prebuilt("mask-fields");
    let text = place.weir(["plugin", "check", &mask]).good().text();
    assert!(text.contains("world      transform"), "{text}");
    assert!(
        text.contains("weir:plugin/host@1.0.0: what every plugin has"),
        "{text}"
    );
    assert!(text.contains("fields (required): "), "{text}");
    assert!(
        text.contains("fuel       10,000,000 a batch and 200,000 a record"),
        "{text}"
    );
    let told = place
        .weir(["plugin", "check", &mask, "--json"])
        .good()
        .json();
    assert_eq!(told["name"], "mask-fields");
    assert_eq!(told["parameters"][0]["name"], "fields");
    assert_eq!(told["sha256"].as_str().unwrap().len(), 64);
    let wrong = place
        .weir(["plugin", "check", &mask, "--set", "feilds=a"])
        .failed(2);
    assert!(wrong.contains("takes no parameter 'feilds'"), "{wrong}");
}

#[test]
fn what_is_no_component_is_named() {
    let place = Place::new();
    place.write("text.wasm", "hello");
    let error = place.weir(["plugin", "check", "text.wasm"]).failed(2);
    assert!(error.contains("not WebAssembly"), "{error}");
    std::fs::write(place.path().join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let error = place.weir(["plugin", "check", "core.wasm"]).failed(2);
    assert!(error.contains("weir plugin build"), "{error}");
    let error = place.weir(["plugin", "check", "none.wasm"]).failed(1);
    assert!(error.contains("no such file"), "{error}");
}

#[test]
fn before_and_after_are_shown() {
    let place = Place::new();
    let mask = prebuilt("mask-fields");
    place.write(
        "in.txt",
        "{\"card\":\"4111\",\"n\":1}\n{\"n\":2}\nno json\n",
    );
    let run = [
        "plugin",
        "test",
        &mask,
        "--file",
        "in.txt",
        "--set",
        "fields=card",
    ];
    let text = place.weir(run).good().text();
    assert!(
        text.contains("0:0 changed\n  - value {\"card\":\"4111\",\"n\":1}"),
        "{text}"
    );
    assert!(
        text.contains("  + value {\"card\":\"***\",\"n\":1}"),
        "{text}"
    );
    assert!(text.contains("0:1 as it was: {\"n\":2}"), "{text}");
    assert!(
        text.contains("0:2 refused (the value is not valid JSON"),
        "{text}"
    );
    assert!(
        text.contains("3 records: 1 as they were, 1 changed, 1 refused"),
        "{text}"
    );
    let told = place
        .weir([&run[..], &["--json", "--changed"]].concat())
        .good()
        .json();
    let fates: Vec<&Value> = told["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["fate"])
        .collect();
    assert_eq!(fates, ["changed", "refused"]);
    assert!(told["summary"]["fuel"].as_u64().unwrap() > 0);
    let missing = place
        .weir(["plugin", "test", &mask, "--file", "in.txt"])
        .failed(2);
    assert!(
        missing.contains("needs the parameter 'fields'"),
        "{missing}"
    );
    let nothing = place.weir(["plugin", "test", &mask]).failed(2);
    assert!(
        nothing.contains("--file, --records, --expect or --topic"),
        "{nothing}"
    );
}

#[test]
fn pairs_are_compared() {
    let place = Place::new();
    let mask = prebuilt("mask-fields");
    let good = r#"{"in":{"value":"{\"card\":1}"},"out":{"value":"{\"card\":\"***\"}"}}
{"in":{"value":"x"},"refused":"not valid JSON"}
"#;
    place.write("good.jsonl", good);
    let run = |file: &str| {
        place.weir([
            "plugin",
            "test",
            &mask,
            "--set",
            "fields=card",
            "--expect",
            file,
        ])
    };
    assert_eq!(
        run("good.jsonl").good().text(),
        "all 2 pairs are as expected\n"
    );
    place.write("bad.jsonl", good.replace("***", "**"));
    let bad = run("bad.jsonl");
    let (code, text) = (bad.code, bad.text());
    assert_eq!(code, 5);
    assert!(
        text.contains(r#"line 1: its value should be {"card":"**"}, but is"#),
        "{text}"
    );
    assert!(
        bad.err.contains("1 of 2 pairs are not as expected"),
        "{}",
        bad.err
    );
}

#[test]
fn a_router_and_a_partitioner_say_where_records_go() {
    let place = Place::new();
    let region = prebuilt("region-router");
    place.write("keys.jsonl", "{\"key\":\"eu:1\"}\n{\"key\":\"us:1\"}\n");
    let run = [
        "plugin",
        "test",
        &region,
        "--records",
        "keys.jsonl",
        "--partitions",
        "4",
        "--set",
        "regions=eu=0-1,us=2-3",
        "--json",
    ];
    let told = place.weir(run).good().json();
    let partition = |row: usize| told["records"][row]["partition"].as_u64().unwrap();
    assert!(partition(0) < 2 && (2..4).contains(&partition(1)), "{told}");
}

/// A project of every language has what it needs; the languages' own tools are only needed to
/// build it.
#[test]
fn new_projects_are_written_for_every_language() {
    let place = Place::new();
    for lang in ["rust", "c", "python", "js"] {
        for world in ["transform", "partitioner", "decoder"] {
            let name = format!("{lang}-{world}");
            let new = ["plugin", "new", "--lang", lang, "--world", world, &name];
            let text = place.weir(new).good().text();
            assert!(
                text.contains(&format!("next: weir plugin build {name}")),
                "{text}"
            );
            assert!(place.path().join(&name).join("pairs.jsonl").exists());
        }
    }
    let again = place.weir(["plugin", "new", "c-decoder"]).failed(2);
    assert!(again.contains("there already"), "{again}");
    let bad = place.weir(["plugin", "new", "Mask"]).failed(2);
    assert!(bad.contains("no plugin name"), "{bad}");
    let none = place.weir(["plugin", "build", "."]).failed(2);
    assert!(none.contains("holds no plugin"), "{none}");
}

/// Whether a build found no tools of its language here; any other failure is one of the test.
fn is_without_tools(done: &Done) -> bool {
    let missing = [
        "there is no clang",
        "there is no wasm-ld",
        "no Rust here can build",
    ];
    let is_missing = missing.iter().any(|start| done.err.contains(start));
    if done.code != 0 && is_missing {
        eprintln!("skipped, tools are missing: {}", done.err);
        return true;
    }
    assert_eq!(done.code, 0, "{}", done.err);
    false
}

/// Builds a new project with what is installed and runs it on its own pairs.
fn build_and_test(lang: &str, world: &str, set: &[&str]) {
    let place = Place::new();
    place
        .weir(["plugin", "new", "--lang", lang, "--world", world, "made"])
        .good();
    let build = place.command(["plugin", "build", "made", "--json"]);
    let built = finish_within(build, b"", BUILD_MAX);
    if is_without_tools(&built) {
        return;
    }
    let told = built.json();
    assert_eq!(
        (told["name"].as_str(), told["world"].as_str()),
        (Some("made"), Some(world))
    );
    let run = [
        "plugin",
        "test",
        "made/made.wasm",
        "--expect",
        "made/pairs.jsonl",
    ];
    let text = place.weir([&run[..], set].concat()).good().text();
    assert_eq!(text, "all 2 pairs are as expected\n");
}

/// It may build the standard library too, for minutes, so only `cargo xtask plugins --check` asks
/// for it.
#[test]
fn a_new_project_in_rust_builds_outside_this_repository() {
    if std::env::var_os("WEIR_PLUGINS_NEW").is_none() {
        eprintln!("skipped: `cargo xtask plugins --check` runs it");
        return;
    }
    build_and_test("rust", "transform", &["--set", "word=book"]);
}

#[test]
fn a_new_project_in_c_builds_outside_this_repository() {
    build_and_test("c", "transform", &[]);
}

#[test]
fn a_plugin_that_is_being_written_is_built_and_run_again() {
    let place = Place::new();
    place.weir(["plugin", "new", "--lang", "c", "made"]).good();
    place.write("in.txt", "a\n\nb\n");
    let dev = [
        "plugin",
        "dev",
        "made",
        "--once",
        "--no-deploy",
        "--file",
        "in.txt",
    ];
    let done = place.weir(dev);
    if is_without_tools(&done) {
        return;
    }
    let text = done.text();
    assert!(text.starts_with("built made@0.0.0-dev."), "{text}");
    assert!(text.contains("0:1 dropped"), "{text}");
    assert!(
        text.contains("3 records: 2 as they were, 1 dropped"),
        "{text}"
    );
}
