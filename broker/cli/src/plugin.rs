//! `weir plugin`: a plugin's life, from its first line to its removal. Each command has its own
//! file; what a plugin is and may do is weir-plugin's, weir-plugin-host's and the broker's to say.

mod attach;
mod build;
mod check;
mod deploy;
mod dev;
mod list;
pub(crate) mod local;
mod logs;
mod new;
mod project;
pub(crate) mod refusal;
mod replay;
mod sample;
mod test;
pub(crate) mod words;

pub(crate) use attach::policy;

use crate::connect::ConnectArgs;
use crate::failure::Outcome;
use crate::interrupt::Interrupt;
use crate::waiting;
use clap::{Args, Subcommand};
use weir_client::Client;

const EXAMPLES: &str = "\
Examples:
  weir plugin new --world transform --lang rust only-books
  weir plugin build only-books
  weir plugin dev only-books --topic orders --set word=book
  weir plugin check mask-fields.wasm
  weir plugin test mask-fields.wasm --topic orders --last 20 --set fields=card
  weir plugin deploy mask-fields.wasm
  weir plugin attach mask-fields --topic orders --set fields=card --policy dead-letter:broken
  weir plugin describe mask-fields
  weir plugin logs mask-fields
  weir plugin replay mask-fields
  weir plugin detach mask-fields --topic orders --yes
  weir plugin remove mask-fields --yes";

/// `weir plugin`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PluginArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Subcommand, Debug)]
enum PluginCommand {
    /// Write a new plugin's project, with a test in it
    New(new::NewArgs),
    /// Build a plugin and make a component of it
    Build(build::BuildArgs),
    /// Show what a component is, imports, takes and may use
    Check(check::CheckArgs),
    /// Run a component here and show before and after; nothing is changed
    Test(test::TestArgs),
    /// Build, run and deploy a plugin again whenever its source changes
    Dev(dev::DevArgs),
    /// Upload a component, and make it the active version of its name
    Deploy(deploy::DeployArgs),
    /// Make a version that is there the active one
    Activate(deploy::ActivateArgs),
    /// Make the version active that was active before
    Rollback(deploy::RollbackArgs),
    /// Remove a plugin, or one of its versions
    Remove(deploy::RemoveArgs),
    /// Let a topic's records go through a plugin, or let it choose their partitions
    Attach(attach::AttachArgs),
    /// Take a plugin off a topic
    Detach(attach::DetachArgs),
    /// List plugins
    List(list::ListArgs),
    /// Show a plugin's versions, parameters, and what it does where it works
    Describe(list::DescribeArgs),
    /// Show what plugins log
    Logs(logs::LogsArgs),
    /// List what plugins failed on, and run it again here
    Replay(replay::ReplayArgs),
}

/// Runs the command.
pub(crate) async fn run(args: PluginArgs, interrupt: &Interrupt) -> Outcome {
    let connect = &args.connect;
    match args.command {
        PluginCommand::New(args) => new::run(&args),
        PluginCommand::Build(args) => tokio::task::block_in_place(|| build::run(&args)),
        PluginCommand::Check(args) => check::run(&args),
        PluginCommand::Test(args) => test::run(args, connect, interrupt).await,
        PluginCommand::Dev(args) => dev::run(args, connect, interrupt).await,
        command => {
            let client = connect.connect(interrupt).await?;
            let work = ask(&client, command);
            interrupt
                .or(waiting::saying("the broker's answer", work))
                .await
        }
    }
}

/// What is asked of a broker, and no more.
async fn ask(client: &Client, command: PluginCommand) -> Outcome {
    match command {
        PluginCommand::Deploy(args) => deploy::deploy(client, args).await,
        PluginCommand::Activate(args) => deploy::activate(client, args).await,
        PluginCommand::Rollback(args) => deploy::rollback(client, args).await,
        PluginCommand::Remove(args) => deploy::remove(client, args).await,
        PluginCommand::Attach(args) => attach::attach(client, args).await,
        PluginCommand::Detach(args) => attach::detach(client, args).await,
        PluginCommand::List(args) => list::list(client, &args).await,
        PluginCommand::Describe(args) => list::describe(client, &args).await,
        PluginCommand::Logs(args) => logs::run(client, args).await,
        PluginCommand::Replay(args) => replay::run(client, args).await,
        PluginCommand::New(_)
        | PluginCommand::Build(_)
        | PluginCommand::Check(_)
        | PluginCommand::Test(_)
        | PluginCommand::Dev(_) => Ok(()),
    }
}
