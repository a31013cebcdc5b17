//! What brokers refuse about plugins, views and jobs, in words that say what to do. Only words;
//! nothing is asked of a broker but which plugins there are.

use crate::failure::{Exit, Failure};
use weir_client::admin::is_unsupported;
use weir_client::{AdminError, Client, ErrorCode};
use weir_types::text::nearest;

/// An administrative error about plugins, views or jobs.
pub(crate) fn admin(error: &AdminError) -> Failure {
    let failure = Failure::from(error.clone());
    if is_unsupported(error) {
        return failure
            .advise("plugins are Weir's own; Kafka's brokers and older ones of Weir have none");
    }
    match error {
        AdminError::NotThere { .. } => Failure::new(Exit::Refused, error.to_string()),
        AdminError::Broker(error) => match error.code {
            ErrorCode::ResourceNotFound => {
                failure.advise("`weir plugin list` shows the plugins there are")
            }
            ErrorCode::UnknownTopicOrPartition => {
                failure.advise("`weir topic list` shows the topics there are")
            }
            _ => failure,
        },
        _ => failure,
    }
}

/// An error about this plugin, with the one that was probably meant where there is none.
pub(crate) async fn plugin(client: &Client, name: &str, error: &AdminError) -> Failure {
    let is_missing = matches!(error, AdminError::NotThere { .. })
        || error.code() == Some(ErrorCode::ResourceNotFound);
    if !is_missing {
        return admin(error);
    }
    // Only a hint: where the list cannot be had, the failure says enough without.
    let report = client
        .admin()
        .describe_plugins(&[])
        .await
        .unwrap_or_default();
    let failure = Failure::new(Exit::Refused, error.to_string());
    match nearest(
        name,
        report.plugins.iter().map(|plugin| plugin.name.as_str()),
    ) {
        Some(near) if near != name => failure.advise(format!("did you mean `{near}`?")),
        _ => failure.advise("`weir plugin list` shows the plugins and versions there are"),
    }
}
