//! `weir`, the one binary: a broker, its command line client, and what belongs around them.
//!
//! This file picks the command and turns its outcome into one line and an exit code. It must never
//! print anything else about a failure.
#![deny(unsafe_code)]

mod allocator;
mod args;
mod base64;
mod bench;
mod certs;
mod checksum;
mod cluster;
mod connect;
mod consume;
mod cut;
mod failure;
mod format;
mod group;
mod human;
mod interrupt;
mod job;
mod lines;
mod names;
mod orders;
mod output;
mod plugin;
mod produce;
mod prompt;
mod quickstart;
mod range;
mod record_json;
mod report;
mod row;
mod serve;
mod span;
mod store;
mod table;
mod topic;
mod view;
mod waiting;

use args::{Cli, Command, Docs};
use clap::{CommandFactory, Parser};
use failure::{Exit, Failure, Outcome};
use interrupt::Interrupt;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::set_up();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let outcome = run(cli);
    let failure = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    let text = failure.to_string();
    if !text.is_empty() {
        // If standard error is closed too, there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "weir: {text}");
    }
    ExitCode::from(failure.exit as u8)
}

/// Help and version go to standard output; a wrong command line is told in our own voice.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe is a clean end here as everywhere.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = write!(std::io::stderr(), "{text}");
        return ExitCode::from(Exit::Usage as u8);
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let _ = write!(std::io::stderr(), "weir: {text}");
    ExitCode::from(Exit::Usage as u8)
}

fn run(cli: Cli) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("the system gives no threads", &error))?;
    let outcome = runtime.block_on(async {
        let interrupt = Interrupt::listen();
        dispatch(cli, interrupt).await
    });
    // Whatever still waits (a read from a terminal, say) has nothing more to add.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(cli: Cli, interrupt: Interrupt) -> Outcome {
    let verbose = cli.verbose;
    match cli.command {
        Command::Serve(args) => serve::run(args, verbose, interrupt).await,
        Command::Quickstart(args) => {
            serve::start_log(serve::LogForm::Text, quiet_level("warn", verbose))?;
            quickstart::run(args, interrupt).await
        }
        other => {
            if verbose > 0 {
                serve::start_log(serve::LogForm::Text, quiet_level("off", verbose))?;
            }
            match other {
                Command::Topic(args) => topic::run(args, &interrupt).await,
                Command::Produce(args) => produce::run(args, interrupt).await,
                Command::Consume(args) => consume::run(args, verbose, interrupt).await,
                Command::Group(args) => group::run(args, &interrupt).await,
                Command::Plugin(args) => plugin::run(args, &interrupt).await,
                Command::View(args) => view::run(args, &interrupt).await,
                Command::Job(args) => job::run(args, &interrupt).await,
                Command::Bench(args) => bench::run(args, interrupt).await,
                Command::Cluster(args) => cluster::run(args, &interrupt).await,
                Command::Store(args) => store::run(args),
                Command::Certs(args) => certs::run(args),
                Command::Completions(args) => completions(args.shell),
                Command::Docs(docs) => match docs.which {
                    Docs::Config => print(weir_server::config_doc().as_bytes()),
                },
                Command::Serve(_) | Command::Quickstart(_) => Ok(()),
            }
        }
    }
}

fn quiet_level(quiet: &'static str, verbose: u8) -> &'static str {
    match verbose {
        0 => quiet,
        1 => "info",
        _ => "debug",
    }
}

fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "weir", &mut script);
    print(&script)
}

fn print(bytes: &[u8]) -> Outcome {
    let mut out = output::Out::default();
    out.append(|gathered| gathered.extend_from_slice(bytes))?;
    out.flush()
}
