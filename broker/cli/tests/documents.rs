//! What the documents and the help say is run: every `console tour` block of README.md and
//! OPERATIONS.md, and every example of `weir COMMAND --help`, against a real broker.

mod support;

use std::path::Path;
use std::process::Command;
use support::{Broker, Place, finish};

/// A command line of a document and what it says is printed.
struct Step {
    line: String,
    printed: Vec<String>,
}

/// The steps of every fenced block whose info string is `console tour`.
fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        if line.starts_with("```") {
            inside = line == "```console tour";
        } else if inside {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    steps.push(Step {
                        line: command.to_owned(),
                        printed: Vec::new(),
                    });
                }
                (None, Some(step)) => step.printed.push(line.to_owned()),
                (None, None) => panic!("output without a command: {line}"),
            }
        }
    }
    steps
}

/// A shell in the folder of this broker, where `weir` is the program under test.
fn shell(place: &Place, broker: Option<&Broker<'_>>, line: &str) -> Command {
    let bin = place.path().join("bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(support::WEIR, bin.join("weir")).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(bin).chain(std::env::split_paths(&path));
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(place.path());
    command.env("PATH", std::env::join_paths(paths).unwrap());
    if let Some(broker) = broker {
        command.env("WEIR_BOOTSTRAP", &broker.address);
    }
    command
}

/// Whether a line was printed as the document says; `…` stands for anything.
fn fits(expected: &str, printed: &str) -> bool {
    let mut parts = expected.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

fn run_document(path: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let steps = steps(&std::fs::read_to_string(&file).unwrap());
    assert!(steps.len() > 5, "{path} has only {} steps", steps.len());
    let place = Place::new();
    let broker = place.serve(&[]);
    for step in steps {
        let done = finish(shell(&place, Some(&broker), &step.line), b"");
        assert_eq!(done.code, 0, "{path}: {}\n{}", step.line, done.err);
        let text = format!("{}{}", String::from_utf8_lossy(&done.out), done.err);
        let lines: Vec<&str> = text.lines().collect();
        for (index, expected) in step.printed.iter().enumerate() {
            let printed = lines.get(index).copied().unwrap_or("(nothing)");
            assert!(
                fits(expected, printed),
                "{path}: {}\n{expected}\n{text}",
                step.line
            );
        }
        assert!(
            step.printed.is_empty() || step.printed.len() == lines.len(),
            "{path}: {} prints\n{text}",
            step.line
        );
    }
}

#[cfg(unix)]
#[test]
fn the_readme_is_true() {
    run_document("../../README.md");
}

#[cfg(unix)]
#[test]
fn the_operations_guide_is_true() {
    run_document("../OPERATIONS.md");
}

/// The examples of a command's help: the indented lines behind "Example", continued by `\`.
fn examples(help: &str) -> Vec<String> {
    let mut examples = Vec::new();
    let mut inside = false;
    let mut open = String::new();
    for line in help.lines() {
        if let Some(rest) = line.strip_prefix("Example") {
            inside = true;
            let one = rest.trim_start_matches(['s', ':']).trim();
            if !one.is_empty() {
                examples.push(one.to_owned());
            }
        } else if inside && line.starts_with("  ") {
            open.push_str(line.trim().trim_end_matches('\\'));
            if !line.ends_with('\\') {
                examples.push(std::mem::take(&mut open));
            }
        } else {
            inside = false;
        }
    }
    examples
}

/// Examples that never end or take long are only read, by adding `--help`.
fn is_only_read(example: &str) -> bool {
    let read = [
        "weir serve",
        "weir quickstart",
        "weir bench",
        "weir store",
        // They need a language's own tools.
        "weir plugin build",
        "weir plugin dev",
    ];
    read.iter()
        .any(|start| example.starts_with(start) && !example.contains("--print-config"))
}

/// What the examples of plugins, views and jobs stand on.
fn set_up_plugins(place: &Place, broker: &Broker<'_>, is_deployed: bool) {
    let topics = ["topic", "create", "broken", "archive", "eu", "us", "other"];
    broker.weir(&topics).good();
    for name in ["mask-fields.wasm", "route-by-field.wasm"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/prebuilt");
        let bytes = std::fs::read(root.join(name)).unwrap();
        let file = place.write(name, bytes).display().to_string();
        if is_deployed {
            broker.weir(&["plugin", "deploy", &file]).good();
        }
    }
}

/// The commands whose help ends with examples.
#[cfg(unix)]
const PAGES: [&str; 14] = [
    "topic",
    "produce",
    "consume",
    "group",
    "cluster",
    "certs",
    "completions",
    "serve",
    "quickstart",
    "bench",
    "store",
    "plugin",
    "view",
    "job",
];

#[cfg(unix)]
#[test]
fn the_examples_of_the_help_work() {
    for page in PAGES {
        let place = Place::new();
        let broker = place.serve(&[]);
        let has_plugins = ["plugin", "view", "job"].contains(&page);
        let order = |n: u32| {
            if has_plugins {
                format!("{{\"card\":\"4111\",\"region\":\"eu\",\"order\":{n}}}")
            } else {
                format!("order {n}")
            }
        };
        let orders: String = (0..9000)
            .map(|n| format!("customer-{}:{}\n", n % 50, order(n)))
            .collect();
        place.write("orders.txt", &orders);
        std::fs::create_dir_all(
            place
                .path()
                .join(".local/share/bash-completion/completions"),
        )
        .unwrap();
        if page != "topic" {
            broker
                .weir(&["topic", "create", "orders", "--partitions", "3"])
                .good();
            for partition in ["0", "1", "2"] {
                let args = ["produce", "orders", "-p", partition, "-K", ":"];
                broker.weir_with(&args, orders.as_bytes()).good();
            }
        }
        if page == "group" {
            let args = [
                "consume",
                "orders",
                "-g",
                "billing",
                "--from-beginning",
                "-e",
            ];
            broker.weir(&args).good();
        }
        if has_plugins {
            set_up_plugins(&place, &broker, page != "plugin");
        }
        let help = place.weir([page, "--help"]).good().text();
        let examples = examples(&help);
        assert!(!examples.is_empty(), "`weir {page}` shows no example");
        for example in examples {
            let line = if is_only_read(&example) {
                format!("{example} --help")
            } else {
                example
            };
            let mut command = shell(&place, Some(&broker), &line);
            command.env("HOME", place.path());
            let done = finish(command, b"");
            assert_eq!(done.code, 0, "{line}\n{}", done.err);
        }
    }
}

/// Commands in the running text of the documents, between backticks.
fn commands(document: &str) -> impl Iterator<Item = &str> {
    document
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|span| span.starts_with("weir ") && !span.contains(['|', '…', '[', '=']))
}

/// A flag that does not exist is refused before `--help` is heeded.
#[cfg(unix)]
#[test]
fn every_command_that_a_document_names_is_understood() {
    let place = Place::new();
    let mut count = 0;
    for path in ["../CONFIG.md", "../OPERATIONS.md", "../../README.md"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let document = std::fs::read_to_string(file).unwrap();
        // A placeholder's brackets are no matter here.
        let document = document.replace("NAME=VALUE", "NAME:VALUE");
        for line in commands(&document) {
            let line = format!("{} --help", line.replace("NAME:VALUE", "NAME=VALUE"));
            let done = finish(shell(&place, None, &line), b"");
            assert_eq!(done.code, 0, "{path}: {line}\n{}", done.err);
            count += 1;
        }
    }
    assert!(count > 5, "only {count} commands found");
}

/// Every command there is.
const COMMANDS: &[&str] = &[
    "serve",
    "quickstart",
    "topic",
    "topic create",
    "topic list",
    "topic describe",
    "topic alter",
    "topic delete",
    "topic offsets",
    "topic delete-records",
    "produce",
    "consume",
    "group",
    "group list",
    "group describe",
    "group lag",
    "group history",
    "group watch",
    "group reset-offsets",
    "group skip",
    "group remove-member",
    "group delete-offsets",
    "group delete",
    "plugin",
    "plugin new",
    "plugin build",
    "plugin check",
    "plugin test",
    "plugin dev",
    "plugin deploy",
    "plugin activate",
    "plugin rollback",
    "plugin remove",
    "plugin attach",
    "plugin detach",
    "plugin list",
    "plugin describe",
    "plugin logs",
    "plugin replay",
    "view",
    "view create",
    "view list",
    "view describe",
    "view delete",
    "job",
    "job create",
    "job list",
    "job describe",
    "job pause",
    "job resume",
    "job restart",
    "job delete",
    "bench",
    "bench produce",
    "bench consume",
    "bench latency",
    "cluster",
    "cluster describe",
    "store",
    "store check",
    "store dump",
    "certs",
    "certs issue",
    "certs show",
    "completions",
];

#[test]
fn every_subcommand_explains_itself() {
    let place = Place::new();
    for command in COMMANDS {
        let words = command.split(' ').chain(["--help"]);
        let text = place.weir(words).good().text();
        assert!(text.contains("Usage: weir"), "{command}: {text}");
    }
}

#[test]
fn the_settings_guide_is_generated() {
    let place = Place::new();
    let printed = place.weir(["docs", "config"]).good().text();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../CONFIG.md");
    let kept = std::fs::read_to_string(file).unwrap();
    assert!(
        printed == kept,
        "broker/CONFIG.md is not what `weir docs config` prints"
    );
}
