//! Views and router jobs (Weir's own APIs). A view is deleted as a topic is.
//!
//! Translation only; what a view or a job may be is the broker's to say.

use super::{Admin, check};
use crate::error::{AdminError, BrokerError};
use weir_plugin::{Chain, Policy};
use weir_types::{Offset, PartitionIndex, TimestampMs, TopicId};
use weir_wire::{
    Text,
    messages::{
        AlterJobRequest, CreateJobRequest, CreateViewRequest, DescribeJobsRequest,
        DescribeViewsRequest, DescribedJob, DescribedView,
    },
};

/// A view to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewView {
    /// Its name.
    pub name: String,
    /// The topic it reads.
    pub source: String,
    /// Its plugins.
    pub chain: Chain,
    /// What becomes of records that they fail on.
    pub policy: Policy,
    /// Who may read it: `*`, or principals with commas between; nothing: as with topics.
    pub readers: Option<String>,
}

/// A view that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedView {
    /// Its id as a topic; zero where it was only checked.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// Its chain as it is kept.
    pub chain: String,
}

/// A view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewDescription {
    /// Its name.
    pub name: String,
    /// Its id as a topic.
    pub id: TopicId,
    /// The topic it reads.
    pub source: String,
    /// How many partitions both have.
    pub partitions: i32,
    /// Its chain.
    pub chain: String,
    /// What becomes of records that its plugins fail on.
    pub policy: String,
    /// When it was made.
    pub created_at: TimestampMs,
    /// Why it cannot be read at the moment.
    pub failure: Option<String>,
}

/// A router job to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewJob {
    /// Its name.
    pub name: String,
    /// The topics it reads.
    pub from: Vec<String>,
    /// The topics it writes.
    pub to: Vec<String>,
    /// Its plugins.
    pub chain: Chain,
    /// What becomes of records that they fail on.
    pub policy: Policy,
    /// Whether it does not begin yet.
    pub paused: bool,
}

/// A router job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDescription {
    /// Its name.
    pub name: String,
    /// The topics it reads.
    pub from: Vec<String>,
    /// The topics it writes.
    pub to: Vec<String>,
    /// Its chain.
    pub chain: String,
    /// What becomes of records that its plugins fail on.
    pub policy: String,
    /// Whether it is paused.
    pub paused: bool,
    /// How often it was changed.
    pub generation: i64,
    /// When it was made.
    pub created_at: TimestampMs,
    /// The group that keeps its offsets.
    pub group: String,
    /// How far it is.
    pub partitions: Vec<JobProgress>,
}

/// How far a job is in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobProgress {
    /// The topic it reads.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// What it does.
    pub state: JobState,
    /// The next offset that it reads.
    pub offset: Offset,
    /// Where the partition ends.
    pub high_watermark: Offset,
    /// Records it wrote since the broker started.
    pub records_out: i64,
    /// Why it waits or stopped.
    pub failure: Option<String>,
}

impl JobProgress {
    /// Records that it has not read yet.
    #[must_use]
    pub const fn behind(&self) -> i64 {
        // A job that has read nothing yet is at -1.
        let offset = if self.offset.0 < 0 { 0 } else { self.offset.0 };
        let behind = self.high_watermark.0 - offset;
        if behind < 0 { 0 } else { behind }
    }
}

/// What a job does in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobState {
    /// Nothing.
    Paused,
    /// It works.
    Running,
    /// It finds out where it was.
    Recovering,
    /// It waits to try again.
    Waiting,
    /// It stopped at a record that it may not leave out.
    Stopped,
    /// Something that this client does not know.
    Other(i8),
}

impl JobState {
    const fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Paused,
            1 => Self::Running,
            2 => Self::Recovering,
            3 => Self::Waiting,
            4 => Self::Stopped,
            other => Self::Other(other),
        }
    }

    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Recovering => "recovering",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Other(_) => "unknown",
        }
    }
}

/// What to do with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAction {
    /// Let it stand still.
    Pause,
    /// Let it go on.
    Resume,
    /// Let it try again at once what it stopped at.
    Restart,
    /// Delete it with its progress; what it wrote stays.
    Delete,
}

impl JobAction {
    const fn code(self) -> i8 {
        match self {
            Self::Pause => 1,
            Self::Resume => 2,
            Self::Restart => 3,
            Self::Delete => 4,
        }
    }
}

impl Admin {
    /// Makes a view (CreateView).
    ///
    /// # Errors
    /// [`AdminError`]; a parameter that a plugin refuses comes with the plugin's own words.
    pub async fn create_view(
        &self,
        view: &NewView,
        validate_only: bool,
    ) -> Result<CreatedView, AdminError> {
        let request = CreateViewRequest {
            name: Text::from(&view.name),
            source: Text::from(&view.source),
            chain: Text::from(view.chain.to_string()),
            policy: Text::from(view.policy.to_string()),
            readers: view.readers.as_ref().map(Text::from),
            validate_only,
            ..CreateViewRequest::default()
        };
        let answer = self
            .ask_controller(&request, |answer| Some(answer.error_code))
            .await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        Ok(CreatedView {
            id: answer.topic_id,
            partitions: answer.partition_count,
            chain: answer.chain.to_string(),
        })
    }

    /// The views of these names, or all (DescribeViews); one that there is none of is an error in
    /// its place.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn describe_views(
        &self,
        names: &[String],
    ) -> Result<Vec<(String, Result<ViewDescription, AdminError>)>, AdminError> {
        let request = DescribeViewsRequest {
            names: names.iter().map(Text::from).collect(),
        };
        let answer = self.ask_any(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        let row = |row: DescribedView| {
            let failed = BrokerError::check(row.error_code, row.failure.as_ref());
            let name = row.name.to_string();
            (name, failed.map(|()| view(row)).map_err(AdminError::Broker))
        };
        Ok(answer.views.into_iter().map(row).collect())
    }

    /// Makes a router job (CreateJob); returns its chain as it is kept.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_job(
        &self,
        job: &NewJob,
        validate_only: bool,
    ) -> Result<String, AdminError> {
        let request = CreateJobRequest {
            name: Text::from(&job.name),
            from: job.from.iter().map(Text::from).collect(),
            to: job.to.iter().map(Text::from).collect(),
            chain: Text::from(job.chain.to_string()),
            policy: Text::from(job.policy.to_string()),
            paused: job.paused,
            validate_only,
            ..CreateJobRequest::default()
        };
        let answer = self
            .ask_controller(&request, |answer| Some(answer.error_code))
            .await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        Ok(answer.chain.to_string())
    }

    /// The jobs of these names, or all (DescribeJobs); one that there is none of is an error in
    /// its place.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn describe_jobs(
        &self,
        names: &[String],
    ) -> Result<Vec<(String, Result<JobDescription, AdminError>)>, AdminError> {
        let request = DescribeJobsRequest {
            names: names.iter().map(Text::from).collect(),
        };
        let answer = self.ask_any(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        let row = |row: DescribedJob| {
            let failed = BrokerError::check(row.error_code, None);
            let name = row.name.to_string();
            (name, failed.map(|()| job(row)).map_err(AdminError::Broker))
        };
        Ok(answer.jobs.into_iter().map(row).collect())
    }

    /// Pauses, resumes, restarts or deletes a job (AlterJob).
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn alter_job(
        &self,
        name: &str,
        action: JobAction,
        validate_only: bool,
    ) -> Result<(), AdminError> {
        let request = AlterJobRequest {
            name: Text::from(name),
            action: action.code(),
            validate_only,
            ..AlterJobRequest::default()
        };
        let answer = self
            .ask_controller(&request, |answer| Some(answer.error_code))
            .await?;
        check(answer.error_code, answer.error_message.as_ref())
    }
}

fn view(row: DescribedView) -> ViewDescription {
    ViewDescription {
        name: row.name.to_string(),
        id: row.topic_id,
        source: row.source.to_string(),
        partitions: row.partition_count,
        chain: row.chain.to_string(),
        policy: row.policy.to_string(),
        created_at: row.created_at_ms,
        failure: row.failure.map(|text| text.to_string()),
    }
}

fn job(row: DescribedJob) -> JobDescription {
    let partitions = row.partitions.into_iter().map(|part| JobProgress {
        topic: part.topic.to_string(),
        partition: part.partition,
        state: JobState::from_code(part.state),
        offset: part.offset,
        high_watermark: part.high_watermark,
        records_out: part.records_out,
        failure: part.failure.map(|text| text.to_string()),
    });
    JobDescription {
        name: row.name.to_string(),
        from: row.from.iter().map(ToString::to_string).collect(),
        to: row.to.iter().map(ToString::to_string).collect(),
        chain: row.chain.to_string(),
        policy: row.policy.to_string(),
        paused: row.paused,
        generation: row.generation,
        created_at: row.created_at_ms,
        group: row.group_id.to_string(),
        partitions: partitions.collect(),
    }
}
