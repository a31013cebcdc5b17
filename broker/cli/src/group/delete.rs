//! `weir group delete`: groups that nobody reads in, with their offsets.

use super::{live, refusal};
use crate::args::JsonArg;
use crate::failure::Outcome;
use crate::prompt::Consent;
use crate::{human, output};
use clap::Args;
use serde_json::json;
use weir_client::Client;

/// `weir group delete`.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// Their ids
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: DeleteArgs) -> Outcome {
    let mut phrases = Vec::new();
    for group in &args.groups {
        let found = live::described(client, group).await?;
        live::refuse_live(&found, "deleting it")?;
        let kept = live::offsets(client, group).await?.len();
        phrases.push(format!(
            "group `{}` ({})",
            human::name(group),
            human::counted(kept, "committed offset")
        ));
    }
    let mut gone = Vec::new();
    let mut failed = None;
    if args
        .consent
        .given(&format!("delete {}", phrases.join(" and ")))?
    {
        for (group, deleted) in client.admin().delete_groups(&args.groups).await {
            if let Err(error) = deleted {
                failed.get_or_insert(refusal::admin(&error, &group));
                continue;
            }
            if !args.json.json {
                output::line(format_args!("deleted group `{}`", human::name(&group)))?;
            }
            gone.push(group);
        }
    }
    if args.json.json {
        // What is gone is told even where another could not be deleted.
        output::json(&json!({ "deleted": gone }))?;
    }
    failed.map_or(Ok(()), Err)
}
