//! GetPlugin, PluginLogs, PluginFailures and CheckChain.

use super::{Refused, aside, may, split};
use crate::limits::{PLUGIN_FAILURES_MAX, PLUGIN_LOG_LINES_MAX, PLUGIN_LOG_WAIT_MS_MAX};
use crate::session::Shared;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use weir_node::authorizer::Operation;
use weir_plugin::{Chain, World};
use weir_types::{ErrorCode, Principal};
use weir_wire::messages::{
    CheckChainRequest, CheckChainResponse, GetPluginRequest, GetPluginResponse,
    PluginFailuresRequest, PluginFailuresResponse, PluginLogsRequest, PluginLogsResponse,
};
use weir_wire::{Response, Text};

/// Hands a component to whoever runs it; any client may have it.
pub(crate) async fn get(shared: Arc<Shared>, request: GetPluginRequest) -> Response {
    let mut response = GetPluginResponse::default();
    let done = get_into(&shared, &request, &mut response).await;
    (response.error_code, response.error_message) = split(done.err());
    response.into()
}

async fn get_into(
    shared: &Arc<Shared>,
    request: &GetPluginRequest,
    response: &mut GetPluginResponse,
) -> Result<(), Refused> {
    let image = shared.image.load_full();
    let missing = |text: String| (ErrorCode::ResourceNotFound, text);
    let name = &request.name;
    let plugin = image
        .plugin(name)
        .ok_or_else(|| missing(format!("there is no plugin '{name}'")))?;
    let (version, known) = plugin.version(request.version.as_deref()).ok_or_else(|| {
        missing(match &request.version {
            Some(version) => format!("plugin '{name}' has no version {version}"),
            None => format!("plugin '{name}' has no active version"),
        })
    })?;
    response.version = Text::from(&**version);
    response.world = plugin.world.code();
    response.digest = Bytes::copy_from_slice(&known.digest);
    if request.known_digest.as_deref() == Some(&known.digest[..]) {
        return Ok(());
    }
    let digest = known.digest;
    let read = aside(&shared.plugins, move |plugins| {
        plugins
            .bytes(&digest)
            .map_err(|reason| (ErrorCode::KafkaStorageError, reason))
    });
    response.component = Some(read.await?.into());
    Ok(())
}

/// Tells what plugins logged, waiting for a line where there is none.
pub(crate) async fn logs(
    shared: Arc<Shared>,
    who: Principal,
    request: PluginLogsRequest,
) -> Response {
    let mut response = PluginLogsResponse::default();
    if let Err(refused) = may(&who, Operation::Alter) {
        (response.error_code, response.error_message) = split(Some(refused));
        return response.into();
    }
    let logs = &shared.plugins.logs;
    let most = usize::try_from(request.max_lines)
        .unwrap_or(0)
        .clamp(1, PLUGIN_LOG_LINES_MAX);
    let mut cursor = request
        .cursor
        .as_ref()
        .map(|cursor| cursor.as_str().to_owned());
    let wait = u64::try_from(request.max_wait_ms)
        .unwrap_or(0)
        .min(PLUGIN_LOG_WAIT_MS_MAX);
    let until = tokio::time::Instant::now() + Duration::from_millis(wait);
    let mut missed = 0i64;
    loop {
        let more = logs.more();
        tokio::pin!(more);
        // Whoever speaks between the look and the wait is heard.
        more.as_mut().enable();
        let page = logs.page(cursor.as_deref(), &request.names, request.min_level, most);
        missed = missed.saturating_add(page.missed);
        if page.lines.is_empty() && tokio::time::timeout_at(until, more).await.is_ok() {
            cursor = Some(page.next);
            continue;
        }
        response.lines = page.lines;
        response.missed = missed;
        response.next_cursor = Some(Text::from(page.next));
        return response.into();
    }
}

/// Tells what plugins failed on.
pub(crate) async fn failures(
    shared: Arc<Shared>,
    who: Principal,
    request: PluginFailuresRequest,
) -> Response {
    let mut response = PluginFailuresResponse::default();
    let most = usize::try_from(request.max_failures)
        .unwrap_or(0)
        .clamp(1, PLUGIN_FAILURES_MAX);
    let told = may(&who, Operation::Alter).and_then(|()| {
        let failures = &shared.plugins.failures;
        let page = failures.page(request.id, &request.names, most);
        if request.id >= 0 && page.is_empty() {
            let text = format!("there is no failure {}: the oldest ones go", request.id);
            return Err((ErrorCode::ResourceNotFound, text));
        }
        Ok(page)
    });
    match told {
        Ok(page) => response.failures = page,
        Err(refused) => (response.error_code, response.error_message) = split(Some(refused)),
    }
    response.into()
}

/// Tries a chain.
pub(crate) async fn check_chain(
    shared: Arc<Shared>,
    who: Principal,
    request: CheckChainRequest,
) -> Response {
    let mut response = CheckChainResponse::default();
    let done = check_into(&shared, &who, &request, &mut response).await;
    (response.error_code, response.error_message) = split(done.err());
    response.into()
}

async fn check_into(
    shared: &Arc<Shared>,
    who: &Principal,
    request: &CheckChainRequest,
    response: &mut CheckChainResponse,
) -> Result<(), Refused> {
    may(who, Operation::Alter)?;
    let config = |text: String| (ErrorCode::InvalidConfig, text);
    let chain: Chain = request
        .chain
        .parse()
        .map_err(|error: weir_plugin::ChainError| config(error.to_string()))?;
    let world = World::from_code(request.world)
        .ok_or_else(|| config(format!("there is no world {}", request.world)))?;
    response.chain = Text::from(chain.to_string());
    let image = shared.image.load_full();
    for link in &chain.links {
        let known = image.plugin(&link.plugin.name);
        if let Some(plugin) = known.filter(|plugin| plugin.world != world) {
            let (name, is, wanted) = (&plugin.name, plugin.world.name(), world.name());
            return Err(config(format!("plugin '{name}' is a {is}, not a {wanted}")));
        }
    }
    let tried = aside(&shared.plugins, move |plugins| {
        plugins
            .try_chain(&image, &chain)
            .map_err(|text| (ErrorCode::InvalidConfig, text))
    });
    response.versions = tried.await?.into_iter().map(Text::from).collect();
    Ok(())
}
