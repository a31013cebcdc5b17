//! `weir group watch`: rebalances as they happen. It only listens; a watcher that is too slow is
//! told what it missed.

use super::{history, live, refusal};
use crate::args::JsonArg;
use crate::failure::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::{human, output, waiting};
use clap::Args;
use futures_util::StreamExt;
use weir_client::Client;
use weir_client::admin::{GroupWatch, WatchLink, WatchQuery};

/// `weir group watch`.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// Which groups, which need not exist yet [default: all]
    #[arg(value_name = "GROUP")]
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

impl WatchArgs {
    /// The group to name where something fails.
    fn about(&self) -> &str {
        self.groups.first().map_or("", String::as_str)
    }
}

/// Runs the command until Ctrl-C.
pub(super) async fn run(client: &Client, args: WatchArgs, interrupt: &Interrupt) -> Outcome {
    let work = async {
        let watch = waiting::saying("the broker's answer", begin(client, &args)).await?;
        eprintln!("weir: watching {} (Ctrl-C ends it)", names(&args.groups));
        follow(&args, watch).await
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
    match names.len() {
        0 => "every group".to_owned(),
        1 => format!("group {}", names.concat()),
        _ => format!("groups {}", names.join(", ")),
    }
}

async fn begin(client: &Client, args: &WatchArgs) -> Outcome<GroupWatch> {
    let query = WatchQuery {
        groups: args.groups.clone(),
        cursor: None,
    };
    let watch = client.admin().watch_groups(&query).await;
    let watch = watch.map_err(|error| refusal::admin(&error, args.about()))?;
    for group in &args.groups {
        if live::find(client, group).await?.is_none() {
            let group = human::name(group);
            eprintln!("weir: there is no group `{group}` yet; its first member makes it");
        }
    }
    Ok(watch)
}

async fn follow(args: &WatchArgs, mut watch: GroupWatch) -> Outcome {
    let mut left = args.max.unwrap_or(u64::MAX);
    while left > 0
        && let Some(seen) = watch.next().await
    {
        let seen = seen.map_err(|error| refusal::admin(&error, args.about()))?;
        match seen.link {
            Some(WatchLink::Away { reason }) => {
                eprintln!("weir: {reason}; watching goes on once it is back (Ctrl-C ends it)");
            }
            Some(WatchLink::Back) => eprintln!("weir: the broker is back"),
            None => {}
        }
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
            let names = history::names(std::slice::from_ref(change));
            output::line(history::line(change, &names))?;
            if args.details {
                for detail in history::details(change, &names) {
                    output::line(format_args!("    {detail}"))?;
                }
            }
        }
    }
    Ok(())
}
