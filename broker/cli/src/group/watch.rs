//! `weir group watch`: rebalances as they happen. It only listens; a watcher that is too slow is
//! told what it missed.

use super::{history, live, refusal};
use crate::args::JsonArg;
use crate::failure::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::{human, output, waiting};
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use weir_client::admin::WatchedChanges;
use weir_client::{AdminError, Client};

/// How long one question waits for a change; the broker and the client may shorten it.
const WAIT: Duration = Duration::from_secs(15);

/// `weir group watch`.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// Which groups; they need not exist yet
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Also every cause, every move of partitions and everybody who stood still
    #[arg(long)]
    details: bool,
    /// End after so many changes
    #[arg(long, short = 'n', value_name = "N")]
    max: Option<u64>,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command until Ctrl-C.
pub(super) async fn run(client: &Client, args: WatchArgs, interrupt: &Interrupt) -> Outcome {
    let work = async {
        let begun = waiting::saying("the broker's answer", begin(client, &args)).await?;
        eprintln!("weir: watching {} (Ctrl-C ends it)", names(&args.groups));
        follow(client, &args, begun).await
    };
    tokio::select! {
        biased;
        () = output::reader_gone() => Err(Failure::output_closed()),
        done = interrupt.or(work) => match done {
            // Watching has no end of its own: Ctrl-C is how it is meant to end.
            Err(failure) if failure.exit == Exit::Interrupted && args.max.is_none() => Ok(()),
            done => done,
        },
    }
}

fn names(groups: &[String]) -> String {
    let names: Vec<String> = groups
        .iter()
        .map(|group| format!("`{}`", human::name(group)))
        .collect();
    format!("group {}", names.join(", "))
}

/// What each group's watch goes on after.
async fn begin(client: &Client, args: &WatchArgs) -> Outcome<Vec<i64>> {
    let mut begun = Vec::new();
    for group in &args.groups {
        let first = client
            .admin()
            .watch_group(group, None, Duration::ZERO)
            .await;
        let first = first.map_err(|error| refusal::admin(&error, group))?;
        begun.push(first.last_sequence);
        if live::find(client, group).await?.is_none() {
            let group = human::name(group);
            eprintln!("weir: there is no group `{group}` yet; its first member makes it");
        }
    }
    Ok(begun)
}

async fn follow(client: &Client, args: &WatchArgs, begun: Vec<i64>) -> Outcome {
    let mut left = args.max.unwrap_or(u64::MAX);
    let mut watches: FuturesUnordered<_> = args
        .groups
        .iter()
        .zip(begun)
        .map(|(group, after)| next(client, group, after))
        .collect();
    while left > 0
        && let Some((group, seen)) = watches.next().await
    {
        let seen = seen.map_err(|error| refusal::admin(&error, group))?;
        if seen.missed > 0 {
            let missed = human::count(seen.missed);
            eprintln!("weir: {missed} changes passed too quickly to be told");
        }
        for change in &seen.changes {
            if left == 0 {
                break;
            }
            left -= 1;
            if args.json.json {
                output::line(history::to_json(change))?;
                continue;
            }
            output::line(history::line(change))?;
            for detail in args
                .details
                .then(|| history::details(change))
                .into_iter()
                .flatten()
            {
                output::line(format_args!("    {detail}"))?;
            }
        }
        watches.push(next(client, group, seen.last_sequence));
    }
    Ok(())
}

async fn next<'a>(
    client: &Client,
    group: &'a str,
    after: i64,
) -> (&'a str, Result<WatchedChanges, AdminError>) {
    let seen = client.admin().watch_group(group, Some(after), WAIT).await;
    (group, seen)
}
