//! Views and router jobs: making them, telling them, and what else becomes of them. A view is
//! deleted as a topic is, with DeleteTopics. Weir's own; Kafka has nothing like them.

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{ErrorCode, Offset, PartitionIndex, TimestampMs, TopicId};

messages! {
    /// Makes a view: a topic that is read through plugins, with its source's partitions and offsets.
    message CreateViewRequest(key = 10020, versions = 0..=0, flexible = 0) {
        /// The view's name, which no topic has.
        name: Text;
        /// The topic it reads.
        source: Text;
        /// The chain of plugins.
        chain: Text;
        /// What becomes of records that they fail on, as in `weir.ingest.policy`.
        policy: Text;
        /// Who may read it, as in `weir.readers`; null: as topics may be read by default.
        readers: Option<Text>, null(0..);
        /// Whether to check only.
        validate_only: bool;
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 = 30_000;
    }

    /// What became of it.
    message CreateViewResponse(key = 10020, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The view's id as a topic; zero where nothing was made.
        topic_id: TopicId;
        /// How many partitions it has.
        partition_count: i32;
        /// The chain in the form in which it is kept.
        chain: Text;
    }

    /// Asks for views.
    message DescribeViewsRequest(key = 10021, versions = 0..=0, flexible = 0) {
        /// Which, by name; none means all.
        names: Vec<Text>;
    }

    /// The views.
    message DescribeViewsResponse(key = 10021, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The views, by name.
        views: Vec<DescribedView>;
    }

    /// One view.
    part DescribedView {
        /// What failed for this one: `UNKNOWN_TOPIC_OR_PARTITION` where there is none.
        error_code: ErrorCode;
        /// Its name.
        name: Text;
        /// Its id as a topic.
        topic_id: TopicId;
        /// The topic it reads.
        source: Text;
        /// How many partitions both have.
        partition_count: i32;
        /// The chain of plugins.
        chain: Text;
        /// What becomes of records that they fail on.
        policy: Text;
        /// When it was made.
        created_at_ms: TimestampMs;
        /// Why it cannot be read at the moment; null: it can.
        failure: Option<Text>, null(0..);
    }

    /// Makes a router job: it reads topics, and writes what its plugins make of them to others,
    /// exactly once and in order.
    message CreateJobRequest(key = 10022, versions = 0..=0, flexible = 0) {
        /// The job's name.
        name: Text;
        /// The topics it reads.
        from: Vec<Text>;
        /// The topics it writes; a plugin chooses among them by their place here, from 0.
        to: Vec<Text>;
        /// The chain of plugins; empty: records go on as they are.
        chain: Text;
        /// What becomes of records that they fail on, as in `weir.ingest.policy`.
        policy: Text;
        /// Whether it is made, but does not begin.
        paused: bool;
        /// Whether to check only.
        validate_only: bool;
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 = 30_000;
    }

    /// What became of it.
    message CreateJobResponse(key = 10022, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The chain in the form in which it is kept.
        chain: Text;
    }

    /// Asks for jobs.
    message DescribeJobsRequest(key = 10023, versions = 0..=0, flexible = 0) {
        /// Which, by name; none means all.
        names: Vec<Text>;
    }

    /// The jobs.
    message DescribeJobsResponse(key = 10023, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The jobs, by name.
        jobs: Vec<DescribedJob>;
    }

    /// One job.
    part DescribedJob {
        /// What failed for this one: `RESOURCE_NOT_FOUND` where there is none.
        error_code: ErrorCode;
        /// Its name.
        name: Text;
        /// The topics it reads.
        from: Vec<Text>;
        /// The topics it writes.
        to: Vec<Text>;
        /// The chain of plugins.
        chain: Text;
        /// What becomes of records that they fail on.
        policy: Text;
        /// Whether it is paused.
        paused: bool;
        /// How often it was changed.
        generation: i64;
        /// When it was made.
        created_at_ms: TimestampMs;
        /// The group that keeps its offsets.
        group_id: Text;
        /// How far it is, by topic and partition that it reads.
        partitions: Vec<JobPartition>;
    }

    /// How far a job is in one partition.
    part JobPartition {
        /// The topic it reads.
        topic: Text;
        /// The partition.
        partition: PartitionIndex;
        /// What it does: 0 nothing as it is paused, 1 works, 2 is finding out where it was, 3 waits to try
        /// again, 4 stopped at a record that its policy does not let it leave out; others may come.
        state: i8;
        /// The next offset that it reads; all before it is written.
        offset: Offset;
        /// Where the partition ends for readers.
        high_watermark: Offset;
        /// Records it wrote since the broker started.
        records_out: i64;
        /// Why it waits or stopped; null: it does not.
        failure: Option<Text>, null(0..);
    }

    /// Pauses, resumes, restarts or deletes a job.
    message AlterJobRequest(key = 10024, versions = 0..=0, flexible = 0) {
        /// The job.
        name: Text;
        /// What to do: 1 pause, 2 resume, 3 restart (try again at once what it stopped at), 4 delete.
        action: i8;
        /// Whether to say what would happen only.
        validate_only: bool;
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 = 30_000;
    }

    /// What became of it.
    message AlterJobResponse(key = 10024, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
    }
}
