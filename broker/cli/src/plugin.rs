//! `weir plugin`: a plugin's life, from its first line to its removal. Each command has its own
//! file; what a plugin is and may do is weir-plugin's, weir-plugin-host's and the broker's to say.

mod attach;
mod deploy;
mod list;
mod logs;
pub(crate) mod refusal;
pub(crate) mod words;

pub(crate) use attach::policy;

use crate::connect::ConnectArgs;
use crate::failure::Outcome;
use crate::interrupt::Interrupt;
use crate::waiting;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  weir plugin new --world transform --lang rust mask-cards
  weir plugin build mask-cards
  weir plugin check mask-cards/mask-cards.wasm
  weir plugin test mask-cards/mask-cards.wasm --topic orders --last 20 --set fields=card
  weir plugin deploy mask-cards/mask-cards.wasm
  weir plugin attach mask-cards --topic orders --set fields=card --policy dead-letter:broken
  weir plugin describe mask-cards
  weir plugin rollback mask-cards
  weir view create masked-orders --from orders --with 'mask-cards(fields=\"card\")'";

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
}

/// Runs the command.
pub(crate) async fn run(args: PluginArgs, interrupt: &Interrupt) -> Outcome {
    let client = args.connect.connect(interrupt).await?;
    let work = async {
        match args.command {
            PluginCommand::Deploy(args) => deploy::deploy(&client, args).await,
            PluginCommand::Activate(args) => deploy::activate(&client, args).await,
            PluginCommand::Rollback(args) => deploy::rollback(&client, args).await,
            PluginCommand::Remove(args) => deploy::remove(&client, args).await,
            PluginCommand::Attach(args) => attach::attach(&client, args).await,
            PluginCommand::Detach(args) => attach::detach(&client, args).await,
            PluginCommand::List(args) => list::list(&client, &args).await,
            PluginCommand::Describe(args) => list::describe(&client, &args).await,
            PluginCommand::Logs(args) => logs::run(&client, args).await,
        }
    };
    interrupt
        .or(waiting::saying("the broker's answer", work))
        .await
}
