//! Requests that may attach a chain to a topic: every plugin takes its parameters before the
//! metadata hears of the change. What a plugin refuses is answered in its own words, and the rest
//! of the request goes on.

use super::aside;
use crate::inflate::Inflater;
use crate::plugins::Plugins;
use crate::session::{Asked, Reply, Shared, ask, plan};
use std::sync::Arc;
use weir_meta::Image;
use weir_net::Close;
use weir_node::authorizer::{Operation, Resource, authorize};
use weir_node::front::{Context, Front, Plan};
use weir_plugin::{Chain, World};
use weir_types::ErrorCode;
use weir_wire::messages::{
    AlterConfigsResourceResponse, AlterConfigsResponse, CreatableTopicResult, CreateTopicsResponse,
    IncrementalAlterConfigsResponse,
};
use weir_wire::{Request, Response, Text};

/// Kafka's number of a topic among the kinds of resources.
const TOPIC: i8 = 2;
/// Settings that attach a chain, and the world of its plugins.
const ATTACHING: [(&str, World); 3] = [
    ("weir.ingest", World::Transform),
    ("weir.ingest.shadow", World::Transform),
    ("weir.partitioner", World::Partitioner),
];

/// Something that is to be attached: the topic, the setting, the plugins' world and the value.
type Wanted = (Text, &'static str, World, Text);

/// Whether a request may attach a chain to a topic.
pub(crate) fn attaches(request: &Request) -> bool {
    !wanted(request).is_empty()
}

fn wanted(request: &Request) -> Vec<Wanted> {
    let mut all = Vec::new();
    let mut add = |topic: &Text, name: &Text, value: Option<&Text>| {
        let attaching = ATTACHING
            .iter()
            .find(|(setting, _)| *setting == name.as_str());
        let value = value.filter(|value| !value.is_empty());
        if let (Some((setting, world)), Some(value)) = (attaching, value) {
            all.push((topic.clone(), *setting, *world, value.clone()));
        }
    };
    match request {
        Request::CreateTopics(body) => {
            for topic in &body.topics {
                for config in &topic.configs {
                    add(&topic.name, &config.name, config.value.as_ref());
                }
            }
        }
        Request::AlterConfigs(body) => {
            for resource in body.resources.iter().filter(|r| r.resource_type == TOPIC) {
                for config in &resource.configs {
                    add(&resource.resource_name, &config.name, config.value.as_ref());
                }
            }
        }
        Request::IncrementalAlterConfigs(body) => {
            for resource in body.resources.iter().filter(|r| r.resource_type == TOPIC) {
                for config in resource.configs.iter().filter(|c| c.config_operation == 0) {
                    add(&resource.resource_name, &config.name, config.value.as_ref());
                }
            }
        }
        _ => {}
    }
    all
}

/// Tries what is to be attached, passes on what can be, and answers for both.
pub(super) async fn change(
    shared: Arc<Shared>,
    context: Context,
    version: i16,
    client_id: Text,
    mut request: Request,
) -> Response {
    let _turn = shared.plugins.changing.lock().await;
    // Whoever may not change a topic is told so by the front, and runs nothing here.
    let may = |topic: &Text| {
        let on = Resource::Topic(topic);
        authorize(&context.principal, Operation::AlterConfigs, on)
    };
    let mut wanted = wanted(&request);
    wanted.retain(|(topic, ..)| may(topic));
    let image = shared.image.load_full();
    let tried = aside(&shared.plugins, move |plugins| {
        let refused = wanted
            .into_iter()
            .filter_map(|(topic, setting, world, value)| {
                let text = refusal(plugins, &image, world, &value)?;
                Some((topic, format!("{setting}: {text}")))
            });
        Ok(refused.collect::<Vec<_>>())
    });
    let mut refused = match tried.await {
        Ok(refused) => refused,
        Err((_, text)) => names(&request)
            .into_iter()
            .map(|name| (name, text.clone()))
            .collect(),
    };
    leave_out(&mut request, &refused);
    let (left, mut response) = (names(&request), empty_response(&request));
    match pass_on(&shared, &context, version, &client_id, request).await {
        Ok(Some(answer)) => response = answer,
        Ok(None) => refused.extend(all_failed(left, "there was no answer")),
        Err(close) => refused.extend(all_failed(left, &close.reason)),
    }
    add_refused(&mut response, refused);
    response
}

fn all_failed(names: Vec<Text>, reason: &str) -> Vec<(Text, String)> {
    let failed = |name| (name, format!("the change came to nothing: {reason}"));
    names.into_iter().map(failed).collect()
}

/// Why a chain cannot be attached, if a plugin says so. What is no chain, or names a plugin that is
/// not there, is the metadata's to refuse.
fn refusal(plugins: &Plugins, image: &Image, world: World, text: &str) -> Option<String> {
    let chain: Chain = text.parse().ok()?;
    let fits = chain.links.iter().all(|link| {
        let plugin = image.plugin(&link.plugin.name);
        plugin.is_some_and(|plugin| {
            plugin.world == world && plugin.version(link.plugin.version.as_deref()).is_some()
        })
    });
    if !fits {
        return None;
    }
    plugins.try_chain(image, &chain).err()
}

/// The topics of a request.
fn names(request: &Request) -> Vec<Text> {
    match request {
        Request::CreateTopics(body) => body.topics.iter().map(|t| t.name.clone()).collect(),
        Request::AlterConfigs(body) => {
            let resources = body.resources.iter();
            resources.map(|r| r.resource_name.clone()).collect()
        }
        Request::IncrementalAlterConfigs(body) => {
            let resources = body.resources.iter();
            resources.map(|r| r.resource_name.clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// Takes the refused topics out of a request.
fn leave_out(request: &mut Request, refused: &[(Text, String)]) {
    let stays = |name: &Text| refused.iter().all(|(refused, _)| refused != name);
    match request {
        Request::CreateTopics(body) => body.topics.retain(|topic| stays(&topic.name)),
        Request::AlterConfigs(body) => {
            body.resources
                .retain(|r| r.resource_type != TOPIC || stays(&r.resource_name));
        }
        Request::IncrementalAlterConfigs(body) => {
            body.resources
                .retain(|r| r.resource_type != TOPIC || stays(&r.resource_name));
        }
        _ => {}
    }
}

/// The front does with a request what it does with any.
async fn pass_on(
    shared: &Arc<Shared>,
    context: &Context,
    version: i16,
    client_id: &str,
    request: Request,
) -> Result<Option<Response>, Close> {
    // What these requests do needs nothing that a session remembers.
    let mut front = Front::new(Arc::clone(&shared.front));
    let mut inflater = Inflater::default();
    let planned = plan(
        shared,
        &mut front,
        &mut inflater,
        context,
        version,
        client_id,
        request,
    );
    let reply = Reply::now(None, 0, version);
    let asked = match planned? {
        Plan::Answer(response) => return Ok(Some(response)),
        Plan::Parts { parts, join } => Asked::Waits(ask(shared, reply, parts, join, None)),
        Plan::Silent | Plan::Place(_) => return Ok(None),
        Plan::Close { reason } => return Err(Close::new(reason)),
    };
    let (_, response) = asked.response().await?;
    Ok(response)
}

fn empty_response(request: &Request) -> Response {
    match request {
        Request::CreateTopics(_) => CreateTopicsResponse::default().into(),
        Request::AlterConfigs(_) => AlterConfigsResponse::default().into(),
        _ => IncrementalAlterConfigsResponse::default().into(),
    }
}

/// Adds the results of the topics that were refused here.
fn add_refused(response: &mut Response, refused: Vec<(Text, String)>) {
    let error_code = ErrorCode::InvalidConfig;
    for (name, text) in refused {
        let error_message = Some(Text::from(text));
        let altered = AlterConfigsResourceResponse {
            error_code,
            error_message: error_message.clone(),
            resource_type: TOPIC,
            resource_name: name.clone(),
        };
        match response {
            Response::CreateTopics(body) => body.topics.push(CreatableTopicResult {
                name,
                error_code,
                error_message,
                ..Default::default()
            }),
            Response::AlterConfigs(body) => body.responses.push(altered),
            Response::IncrementalAlterConfigs(body) => body.responses.push(altered),
            _ => {}
        }
    }
}
