//! `weir job`: router jobs, which read topics and write what their plugins make of them to others.
//! Asks and tells; every rule about jobs is the broker's.

use crate::args::JsonArg;
use crate::connect::ConnectArgs;
use crate::failure::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::plugin::{self, refusal, words};
use crate::prompt::Consent;
use crate::table::Table;
use crate::{human, names, output, waiting};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weir_client::admin::{JobAction, JobDescription, JobState, NewJob};
use weir_client::{AdminError, Client};
use weir_plugin::Policy;
use weir_types::text::nearest;

const EXAMPLES: &str = "\
Examples:
  weir job create by-region --from orders --to eu,us,other --policy skip \\
    --with 'route-by-field(field=\"region\",routes=\"eu=0,us=1,*=2\")'
  weir job create copy --from orders --to archive
  weir job list
  weir job describe by-region
  weir job pause by-region
  weir job resume by-region
  weir job restart by-region
  weir job delete by-region copy --yes

A job reads from the oldest record on, writes each record exactly once and keeps the order of a
partition. Its progress are the offsets of the group `weir-job.NAME`, which `weir group lag` shows.";

/// `weir job`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: JobCommand,
}

#[derive(Subcommand, Debug)]
enum JobCommand {
    /// Make a job and let it begin
    Create(CreateArgs),
    /// List jobs
    List(ListArgs),
    /// Show jobs and how far they are
    Describe(DescribeArgs),
    /// Let a job stand still
    Pause(AlterArgs),
    /// Let a paused job go on
    Resume(AlterArgs),
    /// Let a job that waits or stopped try again at once
    Restart(AlterArgs),
    /// Delete jobs with their progress; what they wrote stays
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// Its name
    #[arg(value_name = "JOB")]
    job: String,
    /// The topics it reads, with commas between
    #[arg(long, value_name = "TOPIC,..", value_delimiter = ',', required = true)]
    from: Vec<String>,
    /// The topics it writes, with commas between; the plugin chooses among them in this order
    #[arg(long, value_name = "TOPIC,..", value_delimiter = ',', required = true)]
    to: Vec<String>,
    /// The plugins that its records go through [default: none, records go on as they are]
    #[arg(
        long,
        value_name = "NAME[@VERSION][(..)]|..",
        default_value = "",
        hide_default_value = true
    )]
    with: String,
    /// A parameter of the plugin, where there is only one; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// What becomes of records that they fail on
    #[arg(
        long,
        value_name = "stop|skip|dead-letter:TOPIC",
        default_value = "stop"
    )]
    #[arg(value_parser = plugin::policy)]
    policy: Policy,
    /// Do not begin; `weir job resume` lets it
    #[arg(long)]
    paused: bool,
    /// Let the broker check it, and make nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Args, Debug)]
struct DescribeArgs {
    /// Their names
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Args, Debug)]
struct AlterArgs {
    /// The job
    #[arg(value_name = "JOB")]
    job: String,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Args, Debug)]
struct DeleteArgs {
    /// Their names
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(crate) async fn run(args: JobArgs, interrupt: &Interrupt) -> Outcome {
    let client = args.connect.connect(interrupt).await?;
    let work = async {
        match args.command {
            JobCommand::Create(args) => create(&client, args).await,
            JobCommand::List(args) => list(&client, &args).await,
            JobCommand::Describe(args) => describe(&client, &args).await,
            JobCommand::Pause(args) => alter(&client, args, JobAction::Pause).await,
            JobCommand::Resume(args) => alter(&client, args, JobAction::Resume).await,
            JobCommand::Restart(args) => alter(&client, args, JobAction::Restart).await,
            JobCommand::Delete(args) => delete(&client, args).await,
        }
    };
    interrupt
        .or(waiting::saying("the broker's answer", work))
        .await
}

async fn create(client: &Client, args: CreateArgs) -> Outcome {
    let chain = words::chain_with(&args.with, &args.set)?;
    for topic in args.from.iter().chain(&args.to) {
        names::topic(client, topic).await?;
    }
    let job = NewJob {
        name: args.job,
        from: args.from,
        to: args.to,
        chain,
        policy: args.policy,
        paused: args.paused,
    };
    let chain = client.admin().create_job(&job, args.dry_run).await;
    let chain = chain.map_err(|error| refusal::admin(&error))?;
    if args.json.json {
        return output::json(&json!({
            "job": job.name,
            "from": job.from,
            "to": job.to,
            "chain": chain,
            "policy": job.policy.to_string(),
            "paused": job.paused,
            "created": !args.dry_run,
        }));
    }
    let (verb, done) = match (args.dry_run, job.paused) {
        (true, _) => ("would make", " (nothing was done)"),
        (false, true) => ("made", "; it is paused"),
        (false, false) => ("made", ""),
    };
    let (from, to) = (job.from.join(", "), job.to.join(", "));
    let with = if chain.is_empty() {
        String::new()
    } else {
        format!(" with {chain}")
    };
    output::line(format_args!(
        "{verb} job `{}` from {from} to {to}{with}{done}",
        job.name
    ))
}

async fn list(client: &Client, args: &ListArgs) -> Outcome {
    let jobs = described(client, &[]).await?;
    if args.json.json {
        return output::json(&jobs.iter().map(job_json).collect::<Vec<_>>());
    }
    if jobs.is_empty() {
        eprintln!("weir: there are no jobs yet; `weir job create` makes one");
        return Ok(());
    }
    let mut table = Table::new(&["JOB", "STATE", "BEHIND", "FROM", "TO", "WITH"]);
    for job in &jobs {
        let behind: i64 = job.partitions.iter().map(|part| part.behind()).sum();
        table.row([
            job.name.clone(),
            state(job).to_owned(),
            behind.to_string(),
            job.from.join(","),
            job.to.join(","),
            job.chain.clone(),
        ]);
    }
    output::table(&table)
}

/// The worst that one of its partitions tells.
fn state(job: &JobDescription) -> &'static str {
    if job.paused {
        return JobState::Paused.name();
    }
    let worst = [JobState::Stopped, JobState::Waiting, JobState::Recovering];
    let has = |state: &&JobState| job.partitions.iter().any(|part| part.state == **state);
    worst.iter().find(has).unwrap_or(&JobState::Running).name()
}

async fn describe(client: &Client, args: &DescribeArgs) -> Outcome {
    let jobs = described(client, &args.jobs).await?;
    if args.json.json {
        return output::json(&jobs.iter().map(job_json).collect::<Vec<_>>());
    }
    for job in &jobs {
        output::line(format_args!("job     {} ({})", job.name, state(job)))?;
        output::line(format_args!("from    {}", job.from.join(", ")))?;
        output::line(format_args!("to      {}", job.to.join(", ")))?;
        output::line(format_args!("with    {}", job.chain))?;
        output::line(format_args!("policy  {}", job.policy))?;
        output::line(format_args!("made    {}", human::time(job.created_at.0)))?;
        output::line(format_args!("group   {}\n", job.group))?;
        print_partitions(job)?;
    }
    Ok(())
}

fn print_partitions(job: &JobDescription) -> Outcome {
    let mut table = Table::new(&[
        "TOPIC",
        "PARTITION",
        "STATE",
        "OFFSET",
        "END",
        "BEHIND",
        "WROTE",
    ]);
    for part in &job.partitions {
        table.row([
            part.topic.clone(),
            part.partition.to_string(),
            part.state.name().to_owned(),
            part.offset.0.to_string(),
            part.high_watermark.0.to_string(),
            part.behind().to_string(),
            part.records_out.to_string(),
        ]);
    }
    output::table(&table)?;
    for part in &job.partitions {
        if let Some(failure) = &part.failure {
            output::line(format_args!(
                "{}/{}: {}",
                part.topic,
                part.partition,
                human::name(failure)
            ))?;
        }
    }
    Ok(())
}

/// These jobs, or all; an error where one of them is none.
async fn described(client: &Client, names: &[String]) -> Outcome<Vec<JobDescription>> {
    let answers = client.admin().describe_jobs(names).await;
    let answers = answers.map_err(|error| refusal::admin(&error))?;
    let mut jobs = Vec::new();
    for (name, job) in answers {
        match job {
            Ok(job) => jobs.push(job),
            Err(AdminError::Broker(_)) => return Err(missing(client, &name).await),
            Err(error) => return Err(refusal::admin(&error)),
        }
    }
    let told = |name: &&String| jobs.iter().any(|job| job.name == **name);
    match names.iter().find(|name| !told(name)) {
        Some(name) => Err(missing(client, name).await),
        None => Ok(jobs),
    }
}

async fn missing(client: &Client, name: &str) -> Failure {
    // Only a hint: where the list cannot be had, the failure says enough without.
    let all = client.admin().describe_jobs(&[]).await.unwrap_or_default();
    let failure = Failure::new(Exit::Refused, format!("there is no job `{name}`"));
    match nearest(name, all.iter().map(|(name, _)| name.as_str())) {
        Some(near) if near != name => failure.advise(format!("did you mean `{near}`?")),
        _ => failure.advise("`weir job list` shows those there are"),
    }
}

async fn alter(client: &Client, args: AlterArgs, action: JobAction) -> Outcome {
    described(client, std::slice::from_ref(&args.job)).await?;
    let altered = client
        .admin()
        .alter_job(&args.job, action, args.dry_run)
        .await;
    altered.map_err(|error| refusal::admin(&error))?;
    let (verb, done) = match action {
        JobAction::Pause => ("pause", "paused"),
        JobAction::Resume => ("resume", "resumed"),
        JobAction::Restart => ("restart", "restarted"),
        JobAction::Delete => ("delete", "deleted"),
    };
    if args.json.json {
        return output::json(&json!({
            "job": args.job,
            "action": verb,
            "done": !args.dry_run,
        }));
    }
    if args.dry_run {
        return output::line(format_args!(
            "would {verb} job `{}` (nothing was done)",
            args.job
        ));
    }
    output::line(format_args!("{done} job `{}`", args.job))
}

async fn delete(client: &Client, args: DeleteArgs) -> Outcome {
    let jobs = described(client, &args.jobs).await?;
    let phrases = jobs.iter().map(|job| {
        let behind: i64 = job.partitions.iter().map(|part| part.behind()).sum();
        format!(
            "job `{}` and its progress ({} not read yet)",
            job.name,
            human::records(behind)
        )
    });
    let phrases: Vec<String> = phrases.collect();
    let mut gone = Vec::new();
    let mut failed = None;
    if args
        .consent
        .given(&format!("delete {}", phrases.join(" and ")))?
    {
        for job in &jobs {
            let deleted = client
                .admin()
                .alter_job(&job.name, JobAction::Delete, false)
                .await;
            if let Err(error) = deleted {
                failed = Some(refusal::admin(&error));
                break;
            }
            gone.push(&job.name);
            if !args.json.json {
                output::line(format_args!("deleted job `{}`", job.name))?;
            }
        }
    }
    if args.json.json {
        // What is gone is told even where the next one could not be deleted.
        output::json(&json!({ "deleted": gone }))?;
    }
    failed.map_or(Ok(()), Err)
}

fn job_json(job: &JobDescription) -> Value {
    let partitions = job.partitions.iter().map(|part| {
        json!({
            "topic": part.topic,
            "partition": part.partition.0,
            "state": part.state.name(),
            "offset": part.offset.0,
            "end": part.high_watermark.0,
            "behind": part.behind(),
            "recordsOut": part.records_out,
            "failure": part.failure,
        })
    });
    json!({
        "job": job.name,
        "state": state(job),
        "from": job.from,
        "to": job.to,
        "chain": job.chain,
        "policy": job.policy,
        "paused": job.paused,
        "generation": job.generation,
        "createdAt": job.created_at.0,
        "group": job.group,
        "partitions": partitions.collect::<Vec<_>>(),
    })
}
