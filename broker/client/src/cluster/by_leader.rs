//! Questions that only a partition's leader can answer: split by leader, asked side by side, and
//! asked again where a leader has moved.

use super::{
    broker::{Broker, Purpose},
    shared::{Attempts, Shared, TopicError},
};
use crate::{
    error::{AdminError, BrokerError, RequestError},
    limits::TOPIC_WAIT_MS,
    record::TopicPartition,
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use weir_types::{ErrorCode, LeaderEpoch, PartitionIndex};
use weir_wire::{RequestBody, Text};

/// One partition's part of a question.
pub(crate) struct Asked<I> {
    pub(crate) partition: TopicPartition,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) item: I,
}

/// One partition's part of an answer.
pub(crate) struct Answered<A> {
    pub(crate) topic: String,
    pub(crate) partition: PartitionIndex,
    pub(crate) answer: Result<A, BrokerError>,
}

/// A question for leaders.
pub(crate) trait LeaderQuestion: Sync {
    type Item: Clone + Send + Sync;
    type Answer: Send;
    type Request: RequestBody<Response: Send> + Send + Sync;

    /// The oldest version in which the question means what is meant.
    fn oldest_version(&self) -> i16 {
        0
    }

    /// The request for the partitions of one leader, which come in order of their topics.
    fn request(&self, asked: &[Asked<Self::Item>]) -> Self::Request;

    /// The answers, in any order.
    fn answers(
        &self,
        response: <Self::Request as RequestBody>::Response,
    ) -> Vec<Answered<Self::Answer>>;
}

type Results<A> = BTreeMap<TopicPartition, Result<A, AdminError>>;

/// Asks until every partition has an answer, a refusal for good, or the deadline has passed.
pub(crate) async fn ask_leaders<Q: LeaderQuestion>(
    shared: &Arc<Shared>,
    question: &Q,
    items: Vec<(TopicPartition, Q::Item)>,
    deadline: Instant,
) -> Results<Q::Answer> {
    let mut results = BTreeMap::new();
    let mut open: BTreeMap<TopicPartition, Q::Item> = items.into_iter().collect();
    let mut attempts = Attempts::until(deadline);
    // A partition that was just made may not have reached the broker that is asked.
    let patience = Instant::now() + Duration::from_millis(TOPIC_WAIT_MS);
    while !open.is_empty() {
        let mut failed = learn_topics(shared, &mut open, &mut results, deadline).await;
        let groups = group(shared, &open, &mut failed);
        let asking = groups
            .into_iter()
            .map(|(broker, asked)| ask_one(shared, question, broker, asked));
        for (partition, answer) in join_all(asking).await.into_iter().flatten() {
            match answer {
                Err(error) if error.can_retry() => {
                    failed.insert(partition, error);
                }
                done => {
                    open.remove(&partition);
                    results.insert(partition, done);
                }
            }
        }
        if Instant::now() >= patience {
            failed.retain(|partition, error| {
                let is_gone = error.code() == Some(ErrorCode::UnknownTopicOrPartition);
                if is_gone && open.remove(partition).is_some() {
                    results.insert(partition.clone(), Err(error.clone()));
                }
                !is_gone
            });
        }
        if open.is_empty() {
            break;
        }
        let topics: BTreeSet<_> = open.keys().map(|p| Arc::clone(&p.topic)).collect();
        let is_time_left = attempts.again().await;
        if !is_time_left {
            for partition in std::mem::take(&mut open).into_keys() {
                let error = failed
                    .remove(&partition)
                    .unwrap_or_else(|| AdminError::Broker(ErrorCode::RequestTimedOut.into()));
                results.insert(partition, Err(error));
            }
            break;
        }
        if let Err(error) = shared.refresh(Some(topics.into_iter().collect())).await {
            tracing::debug!(%error, "metadata could not be refreshed");
        }
    }
    results
}

type Failed = BTreeMap<TopicPartition, AdminError>;

/// Makes sure that the topics are known; those that nobody knows are done.
async fn learn_topics<I, A>(
    shared: &Arc<Shared>,
    open: &mut BTreeMap<TopicPartition, I>,
    results: &mut Results<A>,
    deadline: Instant,
) -> Failed {
    let mut failed = Failed::new();
    let topics: BTreeSet<_> = open.keys().map(|p| Arc::clone(&p.topic)).collect();
    for topic in topics {
        let Err(error) = shared.topic(&topic, deadline).await else {
            continue;
        };
        let error = match error {
            TopicError::Request(error) => AdminError::Request(error),
            TopicError::Broker(error) => AdminError::Broker(error),
        };
        let partitions: Vec<_> = open.keys().filter(|p| p.topic == topic).cloned().collect();
        for partition in partitions {
            open.remove(&partition);
            results.insert(partition.clone(), Err(error.clone()));
            failed.insert(partition, error.clone());
        }
    }
    failed
}

type Groups<I> = Vec<(Arc<Broker>, Vec<Asked<I>>)>;

/// Splits partitions by leader; those without one have failed for now.
fn group<I: Clone>(
    shared: &Arc<Shared>,
    open: &BTreeMap<TopicPartition, I>,
    failed: &mut Failed,
) -> Groups<I> {
    let metadata = shared.metadata();
    let mut groups: BTreeMap<_, Vec<Asked<I>>> = BTreeMap::new();
    for (partition, item) in open {
        match metadata.leader(&partition.topic, partition.partition) {
            Some((leader, leader_epoch)) => groups.entry(leader).or_default().push(Asked {
                partition: partition.clone(),
                leader_epoch,
                item: item.clone(),
            }),
            None => {
                let code = match metadata.partition(&partition.topic, partition.partition) {
                    Some(_) => ErrorCode::LeaderNotAvailable,
                    None => ErrorCode::UnknownTopicOrPartition,
                };
                failed.insert(partition.clone(), AdminError::Broker(code.into()));
            }
        }
    }
    let mut reachable = Vec::new();
    for (leader, asked) in groups {
        match shared.broker(leader) {
            Ok(broker) => reachable.push((broker, asked)),
            Err(error) => {
                for asked in asked {
                    failed.insert(asked.partition, AdminError::Request(error.clone()));
                }
            }
        }
    }
    reachable
}

async fn ask_one<Q: LeaderQuestion>(
    shared: &Arc<Shared>,
    question: &Q,
    broker: Arc<Broker>,
    asked: Vec<Asked<Q::Item>>,
) -> Vec<(TopicPartition, Result<Q::Answer, AdminError>)> {
    let request = question.request(&asked);
    let response = async {
        let session = broker.session(Purpose::Control).await?;
        let version = session.version::<Q::Request>(i16::MAX)?;
        if version < question.oldest_version() {
            return Err(RequestError::Unsupported {
                address: Arc::from(broker.address().to_string()),
                api: <Q::Request as RequestBody>::API.name(),
            });
        }
        shared.ask_on(&session, i16::MAX, &request).await
    };
    let mut answers = match response.await {
        Ok(response) => question.answers(response),
        Err(error) => {
            let all = asked.into_iter();
            return all
                .map(|asked| (asked.partition, Err(AdminError::Request(error.clone()))))
                .collect();
        }
    };
    let pair = |asked: Asked<Q::Item>| {
        let place = answers.iter().position(|answered| {
            answered.partition == asked.partition.partition
                && *answered.topic == *asked.partition.topic
        });
        let answer = match place {
            Some(place) => answers
                .swap_remove(place)
                .answer
                .map_err(AdminError::Broker),
            None => Err(AdminError::Missing {
                what: asked.partition.to_string(),
            }),
        };
        (asked.partition, answer)
    };
    asked.into_iter().map(pair).collect()
}

/// Groups what a request names by topic, keeping the order.
pub(crate) fn by_topic<I, P, T>(
    asked: &[Asked<I>],
    part: impl Fn(&Asked<I>) -> P,
    topic: impl Fn(Text, Vec<P>) -> T,
) -> Vec<T> {
    let mut topics: Vec<(Text, Vec<P>)> = Vec::new();
    for asked in asked {
        match topics.last_mut() {
            Some((name, parts)) if *name == *asked.partition.topic => parts.push(part(asked)),
            _ => topics.push((Text::from(&*asked.partition.topic), vec![part(asked)])),
        }
    }
    let topics = topics.into_iter();
    topics.map(|(name, parts)| topic(name, parts)).collect()
}

/// Takes an answer apart that is grouped by topic.
pub(crate) fn answers_of<T, P, A>(
    topics: Vec<T>,
    partitions: impl Fn(T) -> (Text, Vec<P>),
    answer: impl Fn(P) -> (PartitionIndex, Result<A, BrokerError>),
) -> Vec<Answered<A>> {
    let mut answers = Vec::new();
    for (topic, partitions) in topics.into_iter().map(partitions) {
        answers.extend(partitions.into_iter().map(|told| {
            let (partition, answer) = answer(told);
            Answered {
                topic: topic.to_string(),
                partition,
                answer,
            }
        }));
    }
    answers
}
