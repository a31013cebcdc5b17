//! Topics by the names that people type: whether there is such a topic, and which was meant where
//! there is not. It makes a topic only when it is told to.

use crate::failure::{Exit, Failure, Outcome};
use weir_client::admin::{NewTopic, TopicDescription};
use weir_client::{AdminError, Client, ErrorCode};
use weir_types::limits::TOPIC_PARTITIONS_MAX;
use weir_types::text::nearest;

/// The most partitions of one topic, as flags check it.
pub(crate) const PARTITIONS_MAX: i64 = TOPIC_PARTITIONS_MAX as i64;

/// What to do about a topic that does not exist.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Make {
    /// Make it.
    pub(crate) wanted: bool,
    /// With so many partitions; nothing leaves it to the broker.
    pub(crate) partitions: Option<i32>,
}

/// The topic as it is.
pub(crate) async fn topic(client: &Client, name: &str) -> Outcome<TopicDescription> {
    match client.admin().describe_topic(name).await {
        Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
            Err(unknown(client, name).await)
        }
        described => Ok(described?),
    }
}

/// The topic as it is, made before if need be.
pub(crate) async fn ensure_topic(
    client: &Client,
    name: &str,
    make: Make,
) -> Outcome<TopicDescription> {
    if !make.wanted {
        return topic(client, name).await.map_err(|failure| {
            if failure.exit == Exit::Refused {
                failure.and_advise("--create makes a new one")
            } else {
                failure
            }
        });
    }
    let mut new = NewTopic::with_defaults(name);
    new.partitions = make.partitions;
    match client.admin().create_topic(new).await {
        Ok(_) => eprintln!("weir: made topic `{name}`"),
        Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
        Err(error) => return Err(failure(&error, name)),
    }
    topic(client, name).await
}

/// An administrative error about this topic.
pub(crate) fn failure(error: &AdminError, topic: &str) -> Failure {
    match error {
        AdminError::Broker(broker) => {
            let failure = Failure::from(broker.clone());
            if broker
                .message
                .as_ref()
                .is_some_and(|message| message.contains(topic))
            {
                failure
            } else {
                failure.about(format_args!("topic `{topic}`"))
            }
        }
        other => Failure::from(other.clone()),
    }
}

/// That there is no such topic, with the one that was probably meant.
pub(crate) async fn unknown(client: &Client, name: &str) -> Failure {
    let failure = Failure::new(Exit::Refused, format!("there is no topic `{name}`"));
    // Only a hint: where the list cannot be had, the failure says enough without.
    let listed = client.admin().list_topics().await.unwrap_or_default();
    let near = nearest(name, listed.iter().map(|topic| topic.name.as_str()));
    match near {
        Some(near) => failure.advise(format!("did you mean `{near}`?")),
        None => failure.advise("`weir topic list` shows those there are"),
    }
}
