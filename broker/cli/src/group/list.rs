//! `weir group list`: which groups there are.

use super::refusal;
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::table::Table;
use crate::{human, output};
use clap::Args;
use serde_json::json;
use weir_client::{AdminError, Client, RequestError};

/// `weir group list`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only groups in this state, such as stable or empty
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    #[command(flatten)]
    json: JsonArg,
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
    let is_in = |state: &Option<String>| match (&args.state, state) {
        (None, _) => true,
        (Some(wanted), Some(state)) => wanted.eq_ignore_ascii_case(state),
        (Some(_), None) => false,
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
        let which = args.state.as_ref().map_or("", |_| " in that state");
        eprintln!("weir: there are no groups{which}; `weir consume --group` makes one");
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
