//! What the metadata says of a job, as its routers understand it.

use weir_job::{Generation, Output, Policy as JobPolicy, Recipe, Settings, Start};
use weir_meta::{Image, Job, Topic};
use weir_plugin::{Chain, Policy};
use weir_types::TopicId;

/// The setting that names a topic's partitioner.
const PARTITIONER: &str = "weir.partitioner";

/// What a job's routers are told.
pub(super) fn settings(image: &Image, job: &Job) -> Settings {
    let mut recipe = recipe(image, job);
    let mut policy = JobPolicy::Stop;
    match &job.policy {
        Policy::Stop => {}
        Policy::Skip => policy = JobPolicy::Skip,
        Policy::DeadLetter(topic) => {
            let place = recipe.and_then(|recipe| dead_letters(image, recipe, topic));
            recipe = place.map(|(recipe, place)| {
                policy = JobPolicy::DeadLetter(place);
                recipe
            });
        }
    }
    Settings {
        generation: Generation {
            created_at: job.created_at.0,
            restarts: 0,
        },
        start: Start::Earliest,
        recipe,
        policy,
        paused: job.paused,
    }
}

fn recipe(image: &Image, job: &Job) -> Result<Recipe, String> {
    let outputs = job.to.iter().map(|topic| output(image, *topic));
    Ok(Recipe {
        versions: versions(image, &job.chain)?,
        outputs: outputs.collect::<Result<_, _>>()?,
    })
}

/// Each plugin of a chain with the version that counts.
fn versions(image: &Image, chain: &Chain) -> Result<Vec<String>, String> {
    let version = |link: &weir_plugin::Link| {
        let wanted = &link.plugin;
        let known = image.plugin(&wanted.name);
        let version = known.and_then(|plugin| plugin.version(wanted.version.as_deref()));
        match version {
            Some((version, _)) => Ok(format!("{}@{version}", wanted.name)),
            None => Err(format!("plugin '{wanted}' is not there")),
        }
    };
    chain.links.iter().map(version).collect()
}

fn output(image: &Image, topic: TopicId) -> Result<Output, String> {
    let found = image.topic(topic);
    let found = found.ok_or_else(|| format!("the topic of id {topic} is gone"))?;
    output_of(image, found)
}

fn output_of(image: &Image, topic: &Topic) -> Result<Output, String> {
    let partitioner = match topic.chain(PARTITIONER) {
        Some(chain) => versions(image, &chain)?.pop(),
        None => None,
    };
    Ok(Output {
        topic: topic.id,
        partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
        partitioner,
    })
}

/// The recipe with the topic of dead letters, and the place that it has.
fn dead_letters(image: &Image, mut recipe: Recipe, name: &str) -> Result<(Recipe, u32), String> {
    let topic = image.topic_named(name);
    let topic = topic.ok_or_else(|| format!("the topic '{name}' for dead letters is gone"))?;
    let known = recipe
        .outputs
        .iter()
        .position(|output| output.topic == topic.id);
    let place = match known {
        Some(place) => place,
        None => {
            recipe.outputs.push(output_of(image, topic)?);
            recipe.outputs.len().saturating_sub(1)
        }
    };
    Ok((recipe, u32::try_from(place).unwrap_or(u32::MAX)))
}
