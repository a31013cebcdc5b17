//! A flood of commits: `--count` of them, one partition each, by `--groups` members at a time.
//! Each is acked, or the run fails.

use crate::options::Options;
use anyhow::{Context, Result};
use serde_json::json;
use std::{collections::VecDeque, time::Instant};
use tokio::task::JoinSet;
use weir_client::{CommitOffset, GroupConsumer, GroupError, Offset, OffsetReset, TopicPartition};

/// Commits of one member that are under way at a time.
const UNDER_WAY_MAX: u64 = 64;

/// Commits, and prints how many, in how many seconds.
pub(crate) async fn commits(options: &Options) -> Result<()> {
    let count: u64 = options.value("count", 1000)?;
    let groups: u64 = options.value("groups", 8)?;
    let partitions: u64 = options.value("partitions", 4)?;
    let topic = options.text("topics")?;
    let client = options.client("commits").await?;
    let began = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..groups {
        let group = format!("{}-{number}", options.text("group")?);
        let builder = client.group(&group).topics([topic]).manual_commit();
        let consumer = builder.offset_reset(OffsetReset::Earliest).build()?;
        let share = count / groups + u64::from(number < count % groups);
        running.spawn(flood(consumer, topic.to_owned(), partitions, share));
    }
    while let Some(ended) = running.join_next().await {
        ended.context("a member's task ended badly")??;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({ "commits": count, "seconds": seconds }));
    Ok(())
}

async fn flood(
    mut consumer: GroupConsumer,
    topic: String,
    partitions: u64,
    count: u64,
) -> Result<(), GroupError> {
    // A commit needs a member that is in its group; there is a record to wait for.
    consumer.next().await?;
    let mut under_way = VecDeque::new();
    for number in 0..count {
        let index = i32::try_from(number % partitions).unwrap_or(0);
        let partition = TopicPartition::new(topic.as_str(), index);
        let offset = Offset(i64::try_from(number / partitions + 1).unwrap_or(i64::MAX));
        let commit = CommitOffset::from(offset);
        under_way.push_back(consumer.commit_offsets([(partition, commit)]));
        if number >= UNDER_WAY_MAX
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await?;
        }
    }
    for commit in under_way {
        commit.await?;
    }
    consumer.close().await
}
