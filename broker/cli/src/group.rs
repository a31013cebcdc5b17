//! `weir group`: what there is to do with consumer groups. Asks and tells; every rule about groups
//! is the coordinator's.

mod csv;
mod delete;
mod describe;
mod forget;
mod history;
mod lag;
mod lag_watch;
mod list;
mod live;
mod naming;
mod past;
mod period;
pub(crate) mod refusal;
mod remove;
mod reset;
mod scope;
mod skip;
mod watch;

use crate::connect::ConnectArgs;
use crate::failure::Outcome;
use crate::interrupt::Interrupt;
use crate::waiting;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  weir group list
  weir group describe billing
  weir group lag
  weir group history billing --last 1h
  weir group reset-offsets billing --topic orders --to-earliest --dry-run
  weir group reset-offsets billing --topic orders:0,2 --by-duration 2h --dry-run
  weir group reset-offsets billing --topic orders --to-datetime 2026-01-31T08:00:00.000 --dry-run
  weir group reset-offsets billing --all-topics --to-current --export > billing.csv
  weir group reset-offsets billing --from-file billing.csv --yes
  weir group skip billing --topic orders --partition 0 --dry-run
  weir group delete-offsets billing --topic orders:2 --yes
  weir group delete billing --yes

Offsets change only while nobody reads: stop the members first, or take out those that no longer
answer with `weir group remove-member`.";

/// `weir group`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Subcommand, Debug)]
enum GroupCommand {
    /// List groups
    List(list::ListArgs),
    /// Show a group's members, what each reads, and how far it is
    Describe(describe::DescribeArgs),
    /// Show how far groups are behind, in records and in time
    Lag(lag::LagArgs),
    /// Show every rebalance: when, why, who, and who stood still
    History(history::HistoryArgs),
    /// Show rebalances as they happen
    Watch(watch::WatchArgs),
    /// Move the offsets of a group that nobody reads in
    ResetOffsets(Box<reset::ResetArgs>),
    /// Pass one record that the group cannot get over
    Skip(skip::SkipArgs),
    /// Take members out of a group
    RemoveMember(remove::RemoveArgs),
    /// Let a group forget where it was on some topics
    DeleteOffsets(forget::ForgetArgs),
    /// Delete groups that nobody reads in, with their offsets
    Delete(delete::DeleteArgs),
}

/// Runs the command.
pub(crate) async fn run(args: GroupArgs, interrupt: &Interrupt) -> Outcome {
    let client = args.connect.connect(interrupt).await?;
    let command = match args.command {
        // These two wait for what happens, and say so themselves.
        GroupCommand::Watch(args) => return watch::run(&client, args, interrupt).await,
        GroupCommand::Lag(args) if args.is_watch() => {
            return lag_watch::run(&client, args, interrupt).await;
        }
        other => other,
    };
    let work = async {
        match command {
            GroupCommand::List(args) => list::run(&client, &args).await,
            GroupCommand::Describe(args) => describe::run(&client, args).await,
            GroupCommand::Lag(args) => lag::run(&client, args).await,
            GroupCommand::History(args) => history::run(&client, args).await,
            GroupCommand::Watch(_) => Ok(()),
            GroupCommand::ResetOffsets(args) => reset::run(&client, *args).await,
            GroupCommand::Skip(args) => skip::run(&client, args).await,
            GroupCommand::RemoveMember(args) => remove::run(&client, args).await,
            GroupCommand::DeleteOffsets(args) => forget::run(&client, args).await,
            GroupCommand::Delete(args) => delete::run(&client, args).await,
        }
    };
    interrupt
        .or(waiting::saying("the broker's answer", work))
        .await
}
