//! The examples of the guides are run: every block fenced as `console tour`, line by line, in one
//! folder, against a real broker. Other blocks need a terminal of their own or a foreign tool.

mod support;

use std::path::Path;
use std::process::Command;
use support::{Place, WEIR};

/// The commands of a guide's tours, in order.
fn tour(guide: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(guide);
    let text = std::fs::read_to_string(&path).expect("the guide is there");
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line.trim() == "```console tour";
        } else if inside {
            let command = line.strip_prefix("$ ").expect("a tour holds commands only");
            commands.push(command.to_owned());
        }
    }
    assert!(!commands.is_empty(), "{guide} has no tour");
    commands
}

fn run(guide: &str) {
    let place = Place::new();
    let broker = place.serve(&[]);
    let program = Path::new(WEIR)
        .parent()
        .expect("the program lies in a folder");
    let path = format!(
        "{}:{}",
        program.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    for command in tour(guide) {
        let done = Command::new("sh")
            .args(["-ec", &command])
            .current_dir(place.path())
            .env("PATH", &path)
            .env("WEIR_BOOTSTRAP", &broker.address)
            .output()
            .expect("a shell");
        let out = String::from_utf8_lossy(&done.stdout);
        let err = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{guide}: $ {command}\n{out}{err}");
    }
}

#[test]
fn the_readme_tells_the_truth() {
    run("README.md");
}

#[test]
fn the_operations_guide_tells_the_truth() {
    run("broker/OPERATIONS.md");
}
