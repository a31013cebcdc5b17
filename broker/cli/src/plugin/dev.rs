//! `weir plugin dev`: watches a plugin's source; whenever it changes it is built, run on records,
//! what changed in its results is shown, and it is deployed to a local broker as a version of its
//! own. A build that fails is told, and the one before stays.

use super::project::{Lang, Project};
use super::sample;
use super::test::{Fate, How, Input, Ran, last, run_samples};
use super::{build, local, refusal};
use crate::connect::ConnectArgs;
use crate::failure::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::{human, output};
use clap::Args;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use weir_client::Client;
use weir_client::admin::DeployOptions;
use weir_plugin_host::{Component, Host};

/// How often the source is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// `weir plugin dev`.
#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    /// The plugin's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Run it on this file: each line is a value
    #[arg(long, value_name = "FILE", group = "input")]
    file: Option<PathBuf>,
    /// Run it on this file: each line is a record, as `weir consume --json` prints it
    #[arg(long, value_name = "FILE.jsonl", group = "input")]
    records: Option<PathBuf>,
    /// Run it on the last records of this topic
    #[arg(long, value_name = "TOPIC", group = "input")]
    topic: Option<String>,
    /// How many of each partition
    #[arg(long, value_name = "N", default_value_t = 10, requires = "topic")]
    last: u32,
    #[command(flatten)]
    how: How,
    /// Only build and run it here
    #[arg(long)]
    no_deploy: bool,
    /// End after the first build
    #[arg(long)]
    once: bool,
}

/// Runs the command.
pub(super) async fn run(args: DevArgs, connect: &ConnectArgs, interrupt: &Interrupt) -> Outcome {
    let project = Project::open(&args.folder)?;
    let client = if args.no_deploy && args.topic.is_none() {
        None
    } else {
        Some(connect.connect(interrupt).await?)
    };
    let mut dev = Dev {
        input: input(&args, client.as_ref(), interrupt).await?,
        host: local::host()?,
        before: None,
        project,
        client,
        args,
    };
    loop {
        let seen = dev.project.changed();
        let made = dev.round(interrupt).await;
        match made {
            Err(failure) if failure.exit == Exit::Interrupted => return Ok(()),
            Err(failure) if dev.args.once => return Err(failure),
            // It is for the person to mend; the next change tries again.
            Err(failure) => eprintln!("weir: {failure}"),
            Ok(()) => {}
        }
        if dev.args.once {
            return Ok(());
        }
        eprintln!("weir: waiting for changes (Ctrl-C ends it)");
        if !wait(&dev.project, seen, interrupt).await {
            return Ok(());
        }
    }
}

/// Waits for a change; false once somebody wants the end.
async fn wait(project: &Project, seen: SystemTime, interrupt: &Interrupt) -> bool {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            biased;
            () = interrupt.raised() => return false,
            _ = looks.tick() => {}
        }
        if project.changed() > seen {
            return true;
        }
    }
}

async fn input(
    args: &DevArgs,
    client: Option<&Client>,
    interrupt: &Interrupt,
) -> Outcome<Option<Input>> {
    let read = |file: &PathBuf| {
        std::fs::read(file)
            .map_err(|error| Failure::io(format_args!("cannot read {}", file.display()), &error))
    };
    let samples = match (&args.topic, client, &args.file, &args.records) {
        (Some(topic), Some(client), ..) => {
            return interrupt.or(last(client, topic, args.last)).await.map(Some);
        }
        (_, _, Some(file), _) => sample::of_lines(&read(file)?, false)?,
        (_, _, _, Some(file)) => sample::of_lines(&read(file)?, true)?,
        _ => return Ok(None),
    };
    Ok(Some(Input {
        topic: "test".to_owned(),
        samples,
        partitions: None,
    }))
}

/// A plugin that is being written.
struct Dev {
    args: DevArgs,
    project: Project,
    host: Host,
    client: Option<Client>,
    input: Option<Input>,
    /// What the build before made of the records.
    before: Option<Vec<Fate>>,
}

impl Dev {
    async fn round(&mut self, interrupt: &Interrupt) -> Outcome {
        let version = self.version();
        let bytes =
            tokio::task::block_in_place(|| build::build(&self.project, version.as_deref()))?;
        let component = local::compile(&self.host, &bytes)?;
        let description = component.description();
        output::line(format_args!(
            "built {}@{} ({}, {})",
            description.name,
            description.version,
            component.world().name(),
            human::bytes(bytes.len() as u64)
        ))?;
        self.run(&component)?;
        if self.args.no_deploy {
            return Ok(());
        }
        interrupt.or(self.deploy(bytes, &component)).await
    }

    /// A version that no build before had, in languages whose source can be told one.
    fn version(&self) -> Option<String> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()?;
        matches!(self.project.lang, Lang::Rust | Lang::C)
            .then(|| format!("0.0.0-dev.{}", now.as_secs()))
    }

    fn run(&mut self, component: &Component) -> Outcome {
        let Some(input) = &self.input else {
            return Ok(());
        };
        let how = &self.args.how;
        let ran = tokio::task::block_in_place(|| run_samples(component, input, how))?;
        tell(&ran, input, self.before.as_deref())?;
        self.before = Some(ran.rows);
        Ok(())
    }

    async fn deploy(&self, bytes: Vec<u8>, component: &Component) -> Outcome {
        let Some(client) = &self.client else {
            return Ok(());
        };
        let options = DeployOptions {
            activate: true,
            validate_only: false,
        };
        let deployed = client.admin().deploy_plugin(bytes.into(), options).await;
        let deployed = deployed.map_err(|error| {
            refusal::admin(&error).and_advise(
                "if this version is there with other bytes, write a higher one in the source",
            )
        })?;
        output::line(format_args!(
            "deployed {}@{}; what follows `{}` uses it",
            deployed.name,
            deployed.version.version,
            component.description().name
        ))
    }
}

/// The first time everything, then only what is no longer as it was.
fn tell(ran: &Ran, input: &Input, before: Option<&[Fate]>) -> Outcome {
    let Some(before) = before else {
        return super::test::show(ran, input, false, crate::args::JsonArg::default());
    };
    let rows = ran.rows.iter().zip(before).zip(&input.samples);
    let differing: Vec<_> = rows.filter(|((is, was), _)| is != was).collect();
    if differing.is_empty() {
        return output::line("its results are as before");
    }
    for ((is, was), sample) in &differing {
        output::line(format_args!("{}:{}", sample.partition, sample.offset))?;
        output::line(format_args!("  - {}", told(was)))?;
        output::line(format_args!("  + {}", told(is)))?;
    }
    let (differing, all) = (differing.len(), ran.rows.len());
    output::line(format_args!(
        "{differing} of {all} records have another result than before"
    ))
}

fn told(fate: &Fate) -> String {
    match fate {
        Fate::Stays(after, output) => {
            let to = output.map_or_else(String::new, |output| format!(" to topic {output}"));
            format!("stays{to}: {}", after.json(""))
        }
        Fate::Dropped => "dropped".to_owned(),
        Fate::Refused(reason) => format!("refused: {}", human::name(reason)),
        Fate::Failed(failure) => {
            let kind = local::kind_name(failure.kind);
            format!("{kind}: {}", human::name(&failure.message))
        }
        Fate::Placed(partition) => format!("to partition {partition}"),
        Fate::Read(Ok(json)) => human::name(json),
        Fate::Read(Err(reason)) => format!("cannot be read: {}", human::name(reason)),
    }
}
