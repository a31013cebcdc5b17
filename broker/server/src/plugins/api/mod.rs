//! What people ask about plugins and views: from the wire to components, metadata and figures, and
//! back. What may be deployed, attached and removed is the metadata's to say; whether a component
//! runs and takes its parameters is tried here, before the metadata hears of it.

mod configs;
mod deploy;
mod describe;
mod look;
mod views;

pub(crate) use configs::attaches;
pub(crate) use deploy::{activate, deploy, remove};
pub(crate) use describe::describe;
pub(crate) use look::{check_chain, failures, get, logs};
pub(crate) use views::{create_view, describe_views};

use super::Plugins;
use crate::session::Shared;
use futures_util::future::{BoxFuture, FutureExt};
use std::sync::Arc;
use weir_node::authorizer::{Operation, Resource, authorize};
use weir_node::front::Context;
use weir_node::request::MetaError;
use weir_plugin::{Chain, Link};
use weir_types::{ErrorCode, Principal};
use weir_wire::{Request, Response, Text};

/// An error and its sentence.
pub(crate) type Refused = (ErrorCode, String);

/// The answer to a request about plugins or views, or to one that may attach a chain; any other
/// request is given back.
pub(crate) fn own(
    shared: &Arc<Shared>,
    context: &Context,
    version: i16,
    client_id: &Text,
    request: Request,
) -> Result<BoxFuture<'static, Response>, Box<Request>> {
    let who = context.principal.clone();
    let shared = Arc::clone(shared);
    Ok(match request {
        Request::DeployPlugin(body) => deploy(shared, who, body).boxed(),
        Request::ActivatePlugin(body) => activate(shared, who, body).boxed(),
        Request::RemovePlugin(body) => remove(shared, who, body).boxed(),
        Request::DescribePlugins(body) => describe(shared, who, body).boxed(),
        Request::GetPlugin(body) => get(shared, body).boxed(),
        Request::PluginLogs(body) => logs(shared, who, body).boxed(),
        Request::PluginFailures(body) => failures(shared, who, body).boxed(),
        Request::CheckChain(body) => check_chain(shared, who, body).boxed(),
        Request::CreateView(body) => create_view(shared, who, body).boxed(),
        Request::DescribeViews(body) => describe_views(shared, who, body).boxed(),
        request if attaches(&request) => {
            let (context, client_id) = (context.clone(), client_id.clone());
            configs::change(shared, context, version, client_id, request).boxed()
        }
        other => return Err(Box::new(other)),
    })
}

/// Whether somebody may do this to the cluster.
fn may(principal: &Principal, operation: Operation) -> Result<(), Refused> {
    if authorize(principal, operation, Resource::Cluster) {
        return Ok(());
    }
    let text = format!("'{}' may not do this", principal.name);
    Err((ErrorCode::ClusterAuthorizationFailed, text))
}

fn invalid(text: impl Into<String>) -> Refused {
    (ErrorCode::InvalidRequest, text.into())
}

fn agreed(error: &MetaError) -> Refused {
    (error.code(), error.to_string())
}

fn timeout(timeout_ms: i32) -> u64 {
    u64::try_from(timeout_ms).unwrap_or(0)
}

/// Does what takes its time: reading, compiling, running a plugin.
async fn aside<T: Send + 'static>(
    plugins: &Arc<Plugins>,
    work: impl FnOnce(&Arc<Plugins>) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let plugins = Arc::clone(plugins);
    let done = tokio::task::spawn_blocking(move || work(&plugins)).await;
    done.unwrap_or_else(|error| {
        let text = format!("the broker failed while it dealt with a plugin: {error}");
        Err((ErrorCode::UnknownServerError, text))
    })
}

/// Has the plugins of a chain take their parameters. What is no chain, or names a plugin that is
/// not there, is the metadata's to refuse.
pub(crate) async fn try_chain(shared: &Arc<Shared>, text: &str) -> Result<(), Refused> {
    let Ok(chain) = text.parse::<Chain>() else {
        return Ok(());
    };
    let image = shared.image.load_full();
    aside(&shared.plugins, move |plugins| {
        let known = |link: &Link| image.digest_of(&link.plugin).is_some();
        if !chain.links.iter().all(known) {
            return Ok(());
        }
        let tried = plugins.try_chain(&image, &chain);
        tried
            .map(|_| ())
            .map_err(|text| (ErrorCode::InvalidConfig, text))
    })
    .await
}

/// An error as responses have it.
fn split(refused: Option<Refused>) -> (ErrorCode, Option<Text>) {
    match refused {
        None => (ErrorCode::None, None),
        Some((code, text)) => (code, Some(Text::from(text))),
    }
}
