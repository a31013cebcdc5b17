//! Steps of a chore: each is named, timed and remembered for the summary at the end. A step that
//! fails never hides the ones after it.

use anyhow::{Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};

/// The steps that ran, in order.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    took: Duration,
    failure: Option<String>,
}

impl Steps {
    /// Runs one step, says how it went, and goes on.
    pub(crate) fn run(&mut self, name: &str, body: impl FnOnce() -> Result<()>) {
        println!("==> {name}");
        let started = Instant::now();
        let failure = body().err().map(|error| format!("{error:#}"));
        let took = started.elapsed();
        match &failure {
            None => println!("    {name}: ok, {:.1} s", took.as_secs_f64()),
            Some(why) => println!(
                "    {name}: FAILED after {:.1} s: {why}",
                took.as_secs_f64()
            ),
        }
        self.done.push(Step {
            name: name.to_owned(),
            took,
            failure,
        });
    }

    /// Prints the table and fails if any step did.
    pub(crate) fn summary(&self, chore: &str) -> Result<()> {
        println!("\n{chore}:");
        for step in &self.done {
            let word = if step.failure.is_none() {
                "ok"
            } else {
                "FAILED"
            };
            println!(
                "  {:<28} {:>8.1} s  {word}",
                step.name,
                step.took.as_secs_f64()
            );
        }
        let total: Duration = self.done.iter().map(|step| step.took).sum();
        println!("  {:<28} {:>8.1} s", "in all", total.as_secs_f64());
        let failed: Vec<&str> = self
            .done
            .iter()
            .filter(|step| step.failure.is_some())
            .map(|step| step.name.as_str())
            .collect();
        if !failed.is_empty() {
            bail!("{chore} failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

/// Runs a command with our own output and turns a bad exit into an error that names it.
pub(crate) fn sh(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`{shown}` ended with {status}"),
        Err(error) => bail!("cannot start `{shown}`: {error}"),
    }
}

/// Runs a command and gives back what it printed on standard output.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    match command.stderr(std::process::Stdio::inherit()).output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            print!("{}", String::from_utf8_lossy(&output.stdout));
            bail!("`{shown}` ended with {}", output.status)
        }
        Err(error) => bail!("cannot start `{shown}`: {error}"),
    }
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
