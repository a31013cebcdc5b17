//! Making views and jobs, doing something with jobs, and which topics they hold on to.

use super::{
    DecideError, Decision,
    plugins::{chain, list, policy, refuse, writable},
    topics::{Refusal, check_name},
};
use crate::{
    command::{CreateJob, CreateView, JobAction, Reply},
    config::check_value,
    image::{Image, Topic, job_record},
    limits::{JOB_TOPICS_MAX, JOBS_MAX, VIEWS_MAX},
    name,
    plugins::Job,
    record::MetaRecord,
};
use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};
use weir_plugin::{Policy, World};
use weir_types::{ErrorCode, Now, TopicId};

pub(super) fn create_view(
    image: &Image,
    now: Now,
    create: &CreateView,
) -> Result<Decision, DecideError> {
    check_name(image, &create.name)?;
    if image.topic(create.id).is_some() || create.id == TopicId::ZERO {
        let text = String::from("the view's random id is taken; try again");
        return refuse(ErrorCode::UnknownServerError, text);
    }
    if image.views.len() >= VIEWS_MAX {
        let text = format!("the cluster has {VIEWS_MAX} views already");
        return refuse(ErrorCode::PolicyViolation, text);
    }
    let source = writable(image, &create.source, "be the source of a view")?;
    let chain = chain(image, &create.chain, World::Transform)?;
    if chain.is_empty() {
        let text = String::from("a view needs a plugin that its records go through");
        return refuse(ErrorCode::InvalidConfig, text);
    }
    let policy = policy(image, &create.name, &create.policy)?;
    if matches!(policy, Policy::DeadLetter(_)) {
        let text =
            String::from("a view writes nothing, dead letters neither: its policy is stop or skip");
        return refuse(ErrorCode::InvalidConfig, text);
    }
    let reply = Reply::ViewCreated {
        partitions: source.partitions.len(),
        chain: chain.to_string(),
    };
    let mut records = Vec::new();
    let readers = readers(create)?;
    if !create.validate_only {
        records.push(MetaRecord::View {
            id: create.id,
            name: create.name.as_str().into(),
            source: source.id,
            chain,
            policy,
            created_at: now.wall,
        });
        records.extend(readers);
    }
    Ok(Decision { records, reply })
}

/// Who may read a view, where it is said.
fn readers(create: &CreateView) -> Result<Option<MetaRecord>, Refusal> {
    let Some(readers) = &create.readers else {
        return Ok(None);
    };
    let key = check_value("weir.readers", readers);
    let key = key.map_err(|text| (ErrorCode::InvalidConfig, text))?;
    Ok(Some(MetaRecord::TopicConfig {
        topic: create.id,
        name: key.name.into(),
        value: Some(readers.trim().to_string()),
    }))
}

pub(super) fn create_job(
    image: &Image,
    now: Now,
    create: &CreateJob,
) -> Result<Decision, DecideError> {
    name::check(&create.name)
        .map_err(|text| (ErrorCode::InvalidRequest, text.replace("topic", "job")))?;
    if image.job(&create.name).is_some() {
        let text = format!("job '{}' exists already", create.name);
        return refuse(ErrorCode::DuplicateResource, text);
    }
    if image.jobs().len() >= JOBS_MAX {
        let text = format!("the cluster has {JOBS_MAX} jobs already");
        return refuse(ErrorCode::PolicyViolation, text);
    }
    let from = topics(image, &create.from, "read", "be read by a job")?;
    let to = topics(image, &create.to, "write", "be written by a job")?;
    if let Some(both) = create.from.iter().find(|name| create.to.contains(name)) {
        let text = format!("a job that reads and writes topic '{both}' would never end");
        return refuse(ErrorCode::InvalidRequest, text);
    }
    let chain = chain(image, &create.chain, World::Transform)?;
    if chain.is_empty() && to.len() > 1 {
        let text = String::from("a job with several outputs needs a plugin that tells them apart");
        return refuse(ErrorCode::InvalidConfig, text);
    }
    let policy = policy(image, "", &create.policy)?;
    let job = Job {
        name: create.name.as_str().into(),
        from,
        to,
        chain,
        policy,
        paused: create.paused,
        generation: 1,
        created_at: now.wall,
    };
    let reply = Reply::Job {
        chain: job.chain.to_string(),
        generation: job.generation,
        paused: job.paused,
    };
    let records = if create.validate_only {
        Vec::new()
    } else {
        vec![job_record(&job)]
    };
    Ok(Decision { records, reply })
}

/// The ids of the topics that a job reads or writes.
fn topics(
    image: &Image,
    names: &[String],
    verb: &str,
    what: &str,
) -> Result<Vec<TopicId>, Refusal> {
    let invalid = |text| (ErrorCode::InvalidRequest, text);
    if names.is_empty() || names.len() > JOB_TOPICS_MAX {
        return Err(invalid(format!(
            "a job {verb}s from 1 to {JOB_TOPICS_MAX} topics, not {}",
            names.len()
        )));
    }
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let id = writable(image, name, what)?.id;
        if ids.contains(&id) {
            return Err(invalid(format!("topic '{name}' is named twice")));
        }
        ids.push(id);
    }
    Ok(ids)
}

pub(super) fn alter_job(
    image: &Image,
    name: &str,
    action: JobAction,
) -> Result<Decision, DecideError> {
    let Some(known) = image.job(name) else {
        let text = format!("there is no job '{name}'");
        return refuse(ErrorCode::ResourceNotFound, text);
    };
    let mut job = Job::clone(known);
    match action {
        JobAction::Pause => job.paused = true,
        JobAction::Resume => job.paused = false,
        JobAction::Restart => {
            job.paused = false;
            job.generation = job.generation.saturating_add(1);
        }
        JobAction::Delete => {}
    }
    let reply = Reply::Job {
        chain: job.chain.to_string(),
        generation: job.generation,
        paused: job.paused,
    };
    let records = if action == JobAction::Delete {
        vec![MetaRecord::JobDeleted {
            name: job.name.clone(),
        }]
    } else if job == **known {
        Vec::new()
    } else {
        vec![job_record(&job)]
    };
    Ok(Decision { records, reply })
}

/// Who holds on to topics, by topic: jobs and those whose dead letters go there. Views are told
/// apart, as they may go with their source.
pub(super) fn users(image: &Image) -> BTreeMap<TopicId, Vec<String>> {
    let mut users: BTreeMap<TopicId, Vec<String>> = BTreeMap::new();
    let mut dead_letters = |policy: &Policy, of: String| {
        if let Policy::DeadLetter(topic) = policy
            && let Some(topic) = image.topic_named(topic)
        {
            let user = format!("{of} (dead letters)");
            users.entry(topic.id).or_default().push(user);
        }
    };
    for topic in image.topics() {
        let policy = topic.overrides.get("weir.ingest.policy");
        if let Some(policy) = policy.and_then(|text| text.parse::<Policy>().ok()) {
            dead_letters(&policy, format!("topic '{}'", topic.name));
        }
    }
    for job in image.jobs() {
        dead_letters(&job.policy, format!("job '{}'", job.name));
    }
    for job in image.jobs() {
        for topic in job.from.iter().chain(&job.to) {
            let user = format!("job '{}'", job.name);
            users.entry(*topic).or_default().push(user);
        }
    }
    users
}

/// Why a topic cannot be deleted together with those in `gone`, if that is so.
pub(super) fn held<'a>(
    image: &Image,
    topic: &Topic,
    users: &BTreeMap<TopicId, Vec<String>>,
    gone: impl Fn(TopicId) -> bool + 'a,
) -> Option<String> {
    let views = image.views_of(topic.id).filter(|view| !gone(view.id));
    let mut holders: Vec<String> = views
        .map(|view: &Arc<Topic>| format!("view '{}'", view.name))
        .collect();
    holders.extend(users.get(&topic.id).into_iter().flatten().cloned());
    (!holders.is_empty()).then(|| {
        format!(
            "topic '{}' is in use by {}: delete or change that first",
            topic.name,
            list(&holders)
        )
    })
}
