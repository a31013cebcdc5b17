//! `weir group list`: which groups there are.

use super::refusal;
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::table::Table;
use crate::{human, output};
use clap::{Args, ValueEnum};
use serde_json::json;
use weir_client::{AdminError, Client, RequestError};

/// `weir group list`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only groups in this state; may be given several times
    #[arg(long, value_name = "STATE", value_delimiter = ',', ignore_case = true)]
    state: Vec<State>,
    #[command(flatten)]
    json: JsonArg,
}

/// The states of both protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Empty,
    Stable,
    #[value(help = "consumer protocol: shares are being worked out")]
    Assigning,
    #[value(help = "consumer protocol: members are giving up and taking over")]
    Reconciling,
    #[value(
        alias = "preparingrebalance",
        help = "classic protocol: members are awaited"
    )]
    PreparingRebalance,
    #[value(
        alias = "completingrebalance",
        help = "classic protocol: the leader shares out"
    )]
    CompletingRebalance,
    Dead,
}

impl State {
    /// As brokers write it.
    const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Stable => "Stable",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Dead => "Dead",
        }
    }
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: &ListArgs) -> Outcome {
    let mut groups = client
        .admin()
        .list_groups()
        .await
        .map_err(|error| match error {
            AdminError::Request(error @ RequestError::Unsupported { .. }) => {
                refusal::unsupported(&error)
            }
            other => other.into(),
        })?;
    let is_in = |state: &Option<String>| {
        let wanted = |state: &String| args.state.iter().any(|wanted| wanted.name() == state);
        args.state.is_empty() || state.as_ref().is_some_and(wanted)
    };
    groups.retain(|group| is_in(&group.state));
    if args.json.json {
        let rows = groups.iter().map(|group| {
            json!({
                "group": group.group,
                "state": group.state,
                "protocol": group.group_type,
                "protocolType": group.protocol_type,
            })
        });
        return output::json(&rows.collect::<Vec<_>>());
    }
    if groups.is_empty() {
        match args.state.is_empty() {
            true => eprintln!("weir: there are no groups; `weir consume --group` makes one"),
            false => eprintln!("weir: no group is in that state"),
        }
        return Ok(());
    }
    let mut table = Table::new(&["GROUP", "STATE", "PROTOCOL"]);
    let told = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for group in groups {
        table.row([
            human::name(&group.group),
            told(group.state),
            told(group.group_type),
        ]);
    }
    output::table(&table)
}
