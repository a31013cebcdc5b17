//! CreateView and DescribeViews.

use super::{Refused, agreed, aside, may, split, timeout};
use crate::inside::command;
use crate::session::Shared;
use std::sync::Arc;
use weir_meta::{Command, Image, Topic};
use weir_node::authorizer::{Operation, Resource, authorize};
use weir_plugin::Chain;
use weir_types::{ErrorCode, Principal, TopicId};
use weir_wire::messages::{
    CreateViewRequest, CreateViewResponse, DescribeViewsRequest, DescribeViewsResponse,
    DescribedView,
};
use weir_wire::{Response, Text};

/// Makes a view.
pub(crate) async fn create_view(
    shared: Arc<Shared>,
    who: Principal,
    request: CreateViewRequest,
) -> Response {
    let mut response = CreateViewResponse::default();
    let done = create_into(&shared, &who, &request, &mut response).await;
    (response.error_code, response.error_message) = split(done.err());
    response.into()
}

async fn create_into(
    shared: &Arc<Shared>,
    who: &Principal,
    request: &CreateViewRequest,
    response: &mut CreateViewResponse,
) -> Result<(), Refused> {
    may(who, Operation::Create)?;
    let _turn = shared.plugins.changing.lock().await;
    let image = shared.image.load_full();
    let chain: Chain = request
        .chain
        .parse()
        .map_err(|error: weir_plugin::ChainError| (ErrorCode::InvalidConfig, error.to_string()))?;
    response.chain = Text::from(chain.to_string());
    let tried = aside(&shared.plugins, move |plugins| {
        plugins
            .try_chain(&image, &chain)
            .map_err(|text| (ErrorCode::InvalidConfig, text))
    });
    tried.await?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        let text = format!("the system gives no random numbers: {error}");
        (ErrorCode::UnknownServerError, text)
    })?;
    let id = TopicId(id);
    let owned = |text: &Text| text.as_str().to_owned();
    let create = Command::CreateView(Box::new(weir_meta::command::CreateView {
        id,
        name: owned(&request.name),
        source: owned(&request.source),
        chain: owned(&request.chain),
        policy: owned(&request.policy),
        readers: request.readers.as_ref().map(owned),
        validate_only: request.validate_only,
    }));
    let reply = command(shared, create, timeout(request.timeout_ms)).await;
    let reply = reply.map_err(|error| agreed(&error))?;
    if let weir_meta::Reply::ViewCreated { partitions, chain } = reply {
        response.chain = Text::from(chain);
        response.partition_count = i32::try_from(partitions).unwrap_or(i32::MAX);
        if !request.validate_only {
            response.topic_id = id;
        }
    }
    Ok(())
}

/// Tells views to those who may see them. A view's chain and source are for admins and for those
/// who may read its source: they say what the view hides.
pub(crate) async fn describe_views(
    shared: Arc<Shared>,
    who: Principal,
    request: DescribeViewsRequest,
) -> Response {
    let mut response = DescribeViewsResponse::default();
    let image = shared.image.load_full();
    let told = aside(&shared.plugins, move |plugins| {
        let all: Vec<&Arc<Topic>> = if request.names.is_empty() {
            let visible = |topic: &&Arc<Topic>| topic.view.is_some() && may_see(&who, topic);
            image.topics().filter(visible).collect()
        } else {
            Vec::new()
        };
        let mut views: Vec<DescribedView> = all
            .into_iter()
            .filter_map(|topic| tell(plugins, &image, &who, topic))
            .collect();
        for name in &request.names {
            let known = image.topic_named(name).filter(|topic| may_see(&who, topic));
            let told = known.and_then(|topic| tell(plugins, &image, &who, topic));
            views.push(told.unwrap_or_else(|| DescribedView {
                error_code: ErrorCode::UnknownTopicOrPartition,
                name: name.clone(),
                ..Default::default()
            }));
        }
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    });
    match told.await {
        Ok(views) => response.views = views,
        Err(refused) => (response.error_code, response.error_message) = split(Some(refused)),
    }
    response.into()
}

/// Whether somebody may know of a topic.
fn may_see(who: &Principal, topic: &Topic) -> bool {
    authorize(who, Operation::Describe, Resource::Topic(&topic.name))
        && (topic.lets_read(&who.name) || may(who, Operation::Alter).is_ok())
}

fn tell(
    plugins: &crate::plugins::Plugins,
    image: &Image,
    who: &Principal,
    topic: &Arc<Topic>,
) -> Option<DescribedView> {
    let view = topic.view.as_ref()?;
    let source = image.topic(view.source)?;
    let sees_source = may_see(who, source);
    let tried = plugins.try_chain(image, &view.chain);
    let (source, chain) = if sees_source {
        (
            Text::from(&*source.name),
            Text::from(view.chain.to_string()),
        )
    } else {
        (Text::EMPTY, Text::EMPTY)
    };
    Some(DescribedView {
        error_code: ErrorCode::None,
        name: Text::from(&*topic.name),
        topic_id: topic.id,
        source,
        partition_count: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        chain,
        policy: Text::from(view.policy.to_string()),
        created_at_ms: topic.created_at,
        failure: tried.err().map(Text::from),
    })
}
