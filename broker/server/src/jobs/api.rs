//! CreateJob, DescribeJobs and AlterJob: from the wire to the metadata, and the routers' statuses
//! to the wire.

use super::runner::Status;
use crate::inside::{Inside, command};
use crate::plugins::api::try_chain;
use crate::session::Shared;
use std::sync::Arc;
use weir_job::State;
use weir_meta::command::{CreateJob, JobAction};
use weir_meta::{Command, Image, Job};
use weir_node::authorizer::{Operation, Resource, authorize};
use weir_node::jobs::group_of;
use weir_node::request::MetaError;
use weir_types::{ErrorCode, Offset, PartitionIndex, Principal, TimestampMs};
use weir_wire::messages::{
    AlterJobRequest, AlterJobResponse, CreateJobRequest, CreateJobResponse, DescribeJobsRequest,
    DescribeJobsResponse, DescribedJob, JobPartition, ListOffsetsPartition, ListOffsetsRequest,
    ListOffsetsTopic,
};
use weir_wire::{Response, Text};

/// What AlterJob does, by its numbers.
const fn action(number: i8) -> Option<JobAction> {
    match number {
        1 => Some(JobAction::Pause),
        2 => Some(JobAction::Resume),
        3 => Some(JobAction::Restart),
        4 => Some(JobAction::Delete),
        _ => None,
    }
}

fn failed(error: &MetaError) -> (ErrorCode, Option<Text>) {
    (error.code(), Some(Text::from(error.to_string())))
}

fn may(principal: &Principal, operation: Operation) -> Result<(), (ErrorCode, Option<Text>)> {
    if authorize(principal, operation, Resource::Cluster) {
        return Ok(());
    }
    let text = format!("'{}' may not do this", principal.name);
    Err((
        ErrorCode::ClusterAuthorizationFailed,
        Some(Text::from(text)),
    ))
}

fn timeout(timeout_ms: i32) -> u64 {
    u64::try_from(timeout_ms).unwrap_or(0)
}

/// Makes a job.
pub(crate) async fn create(
    shared: Arc<Shared>,
    principal: Principal,
    request: CreateJobRequest,
) -> Response {
    let names = |names: &[Text]| names.iter().map(|name| name.as_str().to_owned()).collect();
    let made = async {
        may(&principal, Operation::Create)?;
        let tried = try_chain(&shared, &request.chain).await;
        tried.map_err(|(code, text)| (code, Some(Text::from(text))))?;
        let create = CreateJob {
            name: request.name.as_str().to_owned(),
            from: names(&request.from),
            to: names(&request.to),
            chain: request.chain.as_str().to_owned(),
            policy: request.policy.as_str().to_owned(),
            paused: request.paused,
            validate_only: request.validate_only,
        };
        let timeout = timeout(request.timeout_ms);
        let made = command(&shared, Command::CreateJob(Box::new(create)), timeout).await;
        made.map_err(|error| failed(&error))
    };
    let (error_code, error_message) = made.await.err().unwrap_or_default();
    let image = shared.image.load();
    let job = image
        .job(&request.name)
        .filter(|_| error_code == ErrorCode::None);
    let chain = job.map_or_else(|| request.chain.clone(), |job| job.chain.to_string().into());
    CreateJobResponse {
        error_code,
        error_message,
        chain,
    }
    .into()
}

/// Pauses, resumes, restarts or deletes a job.
pub(crate) async fn alter(
    shared: Arc<Shared>,
    principal: Principal,
    request: AlterJobRequest,
) -> Response {
    let altered = async {
        may(&principal, Operation::Alter)?;
        let Some(action) = action(request.action) else {
            let text = format!("there is no action {}", request.action);
            return Err((ErrorCode::InvalidRequest, Some(Text::from(text))));
        };
        if request.validate_only {
            if shared.image.load().job(&request.name).is_some() {
                return Ok(());
            }
            let text = format!("there is no job '{}'", request.name);
            return Err((ErrorCode::ResourceNotFound, Some(Text::from(text))));
        }
        let alter = Command::AlterJob {
            name: request.name.as_str().to_owned(),
            action,
        };
        let altered = command(&shared, alter, timeout(request.timeout_ms)).await;
        altered.map(|_| ()).map_err(|error| failed(&error))
    };
    let (error_code, error_message) = altered.await.err().unwrap_or_default();
    AlterJobResponse {
        error_code,
        error_message,
    }
    .into()
}

/// Tells about jobs.
pub(crate) async fn describe(
    shared: Arc<Shared>,
    principal: Principal,
    request: DescribeJobsRequest,
) -> Response {
    if let Err((error_code, error_message)) = may(&principal, Operation::Describe) {
        return DescribeJobsResponse {
            error_code,
            error_message,
            ..DescribeJobsResponse::default()
        }
        .into();
    }
    let image = shared.image.load_full();
    let mut jobs = Vec::new();
    if request.names.is_empty() {
        for job in image.jobs() {
            jobs.push(tell(&shared, &image, job).await);
        }
    }
    for name in request.names {
        jobs.push(match image.job(&name) {
            Some(job) => tell(&shared, &image, job).await,
            None => DescribedJob {
                error_code: ErrorCode::ResourceNotFound,
                name,
                ..DescribedJob::default()
            },
        });
    }
    DescribeJobsResponse {
        jobs,
        ..DescribeJobsResponse::default()
    }
    .into()
}

async fn tell(shared: &Arc<Shared>, image: &Image, job: &Job) -> DescribedJob {
    let name = |topic: &weir_types::TopicId| match image.topic(*topic) {
        Some(topic) => Text::from(&*topic.name),
        None => Text::from(topic.to_string()),
    };
    let mut partitions = Vec::new();
    for topic in job.from.iter().filter_map(|topic| image.topic(*topic)) {
        let ends = ends(shared, &topic.name, topic.partitions.len()).await;
        for index in (0..topic.partitions.len()).filter_map(|index| i32::try_from(index).ok()) {
            let partition = PartitionIndex(index);
            let status = shared.jobs.status(job, topic.id, partition);
            let end = ends.iter().find(|(known, _)| *known == partition);
            partitions.push(JobPartition {
                topic: Text::from(&*topic.name),
                partition,
                high_watermark: end.map_or(Offset(-1), |(_, end)| *end),
                ..told(job, status)
            });
        }
    }
    DescribedJob {
        error_code: ErrorCode::None,
        name: Text::from(&*job.name),
        from: job.from.iter().map(name).collect(),
        to: job.to.iter().map(name).collect(),
        chain: job.chain.to_string().into(),
        policy: job.policy.to_string().into(),
        paused: job.paused,
        generation: i64::from(job.generation),
        created_at_ms: job.created_at,
        group_id: group_of(&job.name).into(),
        partitions,
    }
}

/// What the wire says of a router's status.
fn told(job: &Job, status: Option<Status>) -> JobPartition {
    let Some(status) = status else {
        return JobPartition {
            state: if job.paused { 0 } else { 2 },
            offset: Offset(-1),
            ..JobPartition::default()
        };
    };
    let (state, failure) = match status.state {
        State::Paused => (0, None),
        State::Running if status.position.is_none() => (2, None),
        State::Running => (1, None),
        State::Retrying { reason } => (3, Some(reason)),
        State::Stopped { reason } => (4, Some(reason)),
    };
    JobPartition {
        state,
        offset: status.position.unwrap_or(Offset(-1)),
        records_out: i64::try_from(status.counts.rows).unwrap_or(i64::MAX),
        failure: failure.map(Text::from),
        ..JobPartition::default()
    }
}

/// Where the partitions of a topic end for readers.
async fn ends(shared: &Arc<Shared>, topic: &str, count: usize) -> Vec<(PartitionIndex, Offset)> {
    let partition = |index| ListOffsetsPartition {
        partition_index: PartitionIndex(index),
        timestamp: TimestampMs(-1),
        ..ListOffsetsPartition::default()
    };
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let body = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: Text::from(topic),
            partitions: (0..count).map(partition).collect(),
        }],
        ..ListOffsetsRequest::default()
    };
    match Inside::new(shared, "weir-jobs").ask(body).await {
        Ok(Response::ListOffsets(response)) => response
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|part| (part.partition_index, part.offset))
            .collect(),
        _ => Vec::new(),
    }
}
