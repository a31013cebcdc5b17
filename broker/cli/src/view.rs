//! `weir view`: topics that are read through plugins. Asks and tells; every rule about views is the
//! broker's.

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
use weir_client::admin::{NewView, ViewDescription};
use weir_client::{AdminError, Client};
use weir_plugin::Policy;
use weir_types::text::nearest;

const EXAMPLES: &str = "\
Examples:
  weir view create masked-orders --from orders --with 'mask-fields(fields=\"card,email\")'
  weir view create open-orders --from orders --with mask-fields --set fields=card --readers '*'
  weir view list
  weir view describe masked-orders
  weir consume masked-orders --offset 0..5
  weir view delete masked-orders open-orders --yes";

/// `weir view`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ViewArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: ViewCommand,
}

#[derive(Subcommand, Debug)]
enum ViewCommand {
    /// Make a view of a topic; any client reads it by its name, with the topic's offsets
    Create(CreateArgs),
    /// List views
    List(ListArgs),
    /// Show views and whether they can be read
    Describe(DescribeArgs),
    /// Delete views; the topics they read stay
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// Its name
    #[arg(value_name = "VIEW")]
    view: String,
    /// The topic it reads
    #[arg(long, value_name = "TOPIC")]
    from: String,
    /// The plugins that its records go through
    #[arg(long, value_name = "NAME[@VERSION][(..)]|..")]
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
    /// Who may read it besides admins: `*` for all, or names with commas between
    #[arg(long, value_name = "*|NAME,..")]
    readers: Option<String>,
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
    #[arg(required = true, value_name = "VIEW")]
    views: Vec<String>,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Args, Debug)]
struct DeleteArgs {
    /// Their names
    #[arg(required = true, value_name = "VIEW")]
    views: Vec<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(crate) async fn run(args: ViewArgs, interrupt: &Interrupt) -> Outcome {
    let client = args.connect.connect(interrupt).await?;
    let work = async {
        match args.command {
            ViewCommand::Create(args) => create(&client, args).await,
            ViewCommand::List(args) => list(&client, &args).await,
            ViewCommand::Describe(args) => describe(&client, &args).await,
            ViewCommand::Delete(args) => delete(&client, args).await,
        }
    };
    interrupt
        .or(waiting::saying("the broker's answer", work))
        .await
}

async fn create(client: &Client, args: CreateArgs) -> Outcome {
    let chain = words::chain_with(&args.with, &args.set)?;
    if chain.is_empty() {
        return Err(
            Failure::usage("a view without plugins would be the topic itself")
                .advise("name one with --with NAME"),
        );
    }
    names::topic(client, &args.from).await?;
    let view = NewView {
        name: args.view,
        source: args.from,
        chain,
        policy: args.policy,
        readers: args.readers,
    };
    let made = client.admin().create_view(&view, args.dry_run).await;
    let made = made.map_err(|error| refusal::admin(&error))?;
    if args.json.json {
        return output::json(&json!({
            "view": view.name,
            "id": made.id.to_string(),
            "from": view.source,
            "partitions": made.partitions,
            "chain": made.chain,
            "created": !args.dry_run,
        }));
    }
    let (verb, done) = if args.dry_run {
        ("would make", " (nothing was done)")
    } else {
        ("made", "")
    };
    output::line(format_args!(
        "{verb} view `{}` of topic `{}` with {}{done}",
        view.name, view.source, made.chain
    ))
}

async fn list(client: &Client, args: &ListArgs) -> Outcome {
    let views = described(client, &[]).await?;
    if args.json.json {
        return output::json(&views.iter().map(view_json).collect::<Vec<_>>());
    }
    if views.is_empty() {
        eprintln!("weir: there are no views yet; `weir view create` makes one");
        return Ok(());
    }
    let mut table = Table::new(&["VIEW", "FROM", "PARTITIONS", "STATE", "WITH"]);
    for view in &views {
        table.row([
            view.name.clone(),
            view.source.clone(),
            view.partitions.to_string(),
            if view.failure.is_some() {
                "broken"
            } else {
                "good"
            }
            .to_owned(),
            view.chain.clone(),
        ]);
    }
    output::table(&table)
}

async fn describe(client: &Client, args: &DescribeArgs) -> Outcome {
    let views = described(client, &args.views).await?;
    if args.json.json {
        return output::json(&views.iter().map(view_json).collect::<Vec<_>>());
    }
    for view in &views {
        output::line(format_args!("view       {}", view.name))?;
        output::line(format_args!("from       {}", view.source))?;
        output::line(format_args!("partitions {}", view.partitions))?;
        output::line(format_args!("with       {}", view.chain))?;
        output::line(format_args!("policy     {}", view.policy))?;
        output::line(format_args!(
            "made       {}",
            human::time(view.created_at.0)
        ))?;
        match &view.failure {
            Some(failure) => {
                output::line(format_args!("state      broken: {}", human::name(failure)))?;
            }
            None => output::line("state      good")?,
        }
    }
    Ok(())
}

/// These views, or all; an error where one of them is none.
async fn described(client: &Client, names: &[String]) -> Outcome<Vec<ViewDescription>> {
    let answers = client.admin().describe_views(names).await;
    let answers = answers.map_err(|error| refusal::admin(&error))?;
    let mut views = Vec::new();
    for (name, view) in answers {
        match view {
            Ok(view) => views.push(view),
            Err(error) => return Err(missing(client, &name, &error).await),
        }
    }
    let told = |name: &&String| views.iter().any(|view| view.name == **name);
    match names.iter().find(|name| !told(name)) {
        Some(name) => {
            let error = AdminError::NotThere {
                what: format!("view `{name}`"),
            };
            Err(missing(client, name, &error).await)
        }
        None => Ok(views),
    }
}

async fn missing(client: &Client, name: &str, error: &AdminError) -> Failure {
    // Only a hint: where the list cannot be had, the failure says enough without.
    let all = client.admin().describe_views(&[]).await.unwrap_or_default();
    let near = nearest(name, all.iter().map(|(name, _)| name.as_str()));
    let failure = match error {
        AdminError::Broker(_) | AdminError::NotThere { .. } => {
            Failure::new(Exit::Refused, format!("there is no view `{name}`"))
        }
        error => return refusal::admin(error),
    };
    match near {
        Some(near) if near != name => failure.advise(format!("did you mean `{near}`?")),
        _ => failure.advise("`weir view list` shows those there are"),
    }
}

async fn delete(client: &Client, args: DeleteArgs) -> Outcome {
    let views = described(client, &args.views).await?;
    let phrases = views.iter().map(|view| {
        format!(
            "view `{}` (topic `{}` stays; who reads the view cannot go on)",
            view.name, view.source
        )
    });
    let phrases: Vec<String> = phrases.collect();
    let mut gone = Vec::new();
    let mut failed = None;
    if args
        .consent
        .given(&format!("delete {}", phrases.join(" and ")))?
    {
        for view in &views {
            if let Err(error) = client.admin().delete_topic(view.name.as_str()).await {
                failed = Some(refusal::admin(&error));
                break;
            }
            gone.push(&view.name);
            if !args.json.json {
                output::line(format_args!("deleted view `{}`", view.name))?;
            }
        }
    }
    if args.json.json {
        // What is gone is told even where the next one could not be deleted.
        output::json(&json!({ "deleted": gone }))?;
    }
    failed.map_or(Ok(()), Err)
}

fn view_json(view: &ViewDescription) -> Value {
    json!({
        "view": view.name,
        "id": view.id.to_string(),
        "from": view.source,
        "partitions": view.partitions,
        "chain": view.chain,
        "policy": view.policy,
        "createdAt": view.created_at.0,
        "failure": view.failure,
    })
}
