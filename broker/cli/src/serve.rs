//! `weir serve`: lays the settings' layers over one another, starts a broker and waits for the end.
//! No rule of the broker is here.

use crate::args::JsonArg;
use crate::connect::CLIENT_VARIABLES;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output;
use crate::table::Table;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use weir_server::settings::{Origin, Settings, SettingsError};
use weir_server::{Broker, Config, ConfigError, StartError};

const EXAMPLES: &str = "\
Examples:
  weir serve
  weir serve --data /var/lib/weir --listen 127.0.0.1:9092 --listen tls://0.0.0.0:9093 \\
      --advertise 127.0.0.1:9092 --advertise broker.example.com:9093
  weir serve --set num.partitions=3 --set log.retention.ms=86400000
  weir serve --print-config

A setting is taken from its flag, else from the environment (WEIR_NUM_PARTITIONS for
num.partitions), else from the file of --config (TOML), else from its default.";

/// The flags of a broker; `quickstart` has them too.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct BrokerArgs {
    /// Folder of everything the broker keeps [default: ./weir-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where clients connect; may be given several times [default: 127.0.0.1:9092]
    #[arg(long, value_name = "[quic://|tls://|plain://]HOST:PORT")]
    pub(crate) listen: Vec<String>,
    /// The address that clients are told for each --listen, in the same order
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Vec<String>,
    /// A file of settings (TOML)
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Any setting by its name; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

/// `weir serve`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Print every setting with its value and where it came from, and start nothing
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    json: JsonArg,
}

impl BrokerArgs {
    /// The settings, all layers laid.
    pub(crate) fn settings(&self) -> Outcome<Settings> {
        let mut settings = Settings::default();
        if let Some(file) = &self.config {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::io(format_args!("cannot read {}", file.display()), &error)
            })?;
            settings.lay_file(&file.display().to_string(), &text)?;
        }
        let ignored: Vec<&str> = CLIENT_VARIABLES
            .into_iter()
            .chain(["WEIR_CONFIG"])
            .collect();
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        });
        settings.lay_environment(variables, &ignored)?;
        if let Some(data) = &self.data {
            let text = data.to_str().ok_or_else(|| {
                Failure::usage(format!("the path {} is not UTF-8", data.display()))
                    .advise("choose another folder")
            })?;
            settings.lay("data", text, Origin::Flag("--data".to_owned()))?;
        }
        for (name, values) in [("listen", &self.listen), ("advertise", &self.advertise)] {
            if !values.is_empty() {
                settings.lay(name, &values.join(","), Origin::Flag(format!("--{name}")))?;
            }
        }
        for pair in &self.set {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Failure::usage(format!("`--set {pair}` has no `=`"))
                    .advise("write --set NAME=VALUE")
            })?;
            settings.lay(name, value, Origin::Flag(format!("--set {pair}")))?;
        }
        Ok(settings)
    }
}

/// What a running broker tells those who start it from a script.
#[derive(Serialize)]
struct Ready {
    listeners: Vec<String>,
    data: PathBuf,
    profile: PathBuf,
    metrics: Option<String>,
    pid: u32,
}

/// Runs the command.
pub(crate) async fn run(args: ServeArgs, verbose: u8, interrupt: Interrupt) -> Outcome {
    let settings = args.broker.settings()?;
    if args.print_config {
        // What could not be served is refused here as well.
        Config::from_settings(settings.clone())?;
        return print_config(&settings, args.json.json);
    }
    let level = match verbose {
        0 => settings.text("log.level"),
        1 => "debug",
        _ => "trace",
    };
    let form = if settings.text("log.format") == "json" {
        LogForm::Json
    } else {
        LogForm::Text
    };
    start_log(form, level)?;
    let broker = start(settings, &interrupt).await?;
    let ready = describe(&broker);
    if args.json.json {
        output::json(&ready)?;
    } else {
        eprintln!("weir: serving {}", ready.listeners.join(", "));
        eprintln!(
            "weir: data in {}; admin's profile {}",
            ready.data.display(),
            ready.profile.display()
        );
        if let Some(metrics) = &ready.metrics {
            eprintln!("weir: metrics at http://{metrics}/metrics");
        }
        eprintln!("weir: ready (Ctrl-C stops it)");
    }
    interrupt.raised().await;
    eprintln!("weir: stopping: requests under way are finished, the log is closed");
    broker.shutdown().await;
    eprintln!("weir: stopped");
    Ok(())
}

/// Starts a broker, unless Ctrl-C comes first.
pub(crate) async fn start(settings: Settings, interrupt: &Interrupt) -> Outcome<Broker> {
    let config = Config::from_settings(settings)?;
    weir_server::abort_when_a_thread_is_lost();
    interrupt
        .or(async { Ok(Broker::start(config).await?) })
        .await
}

/// The absolute form of a path, for people to paste.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}

fn describe(broker: &Broker) -> Ready {
    Ready {
        listeners: broker.listeners().iter().map(listener_text).collect(),
        data: absolute(broker.data()),
        profile: absolute(broker.profile()),
        metrics: broker.metrics_address().map(|address| address.to_string()),
        pid: std::process::id(),
    }
}

fn listener_text(bound: &weir_net::Bound) -> String {
    format!("{}://{}", bound.transport, bound.local)
}

fn print_config(settings: &Settings, json: bool) -> Outcome {
    #[derive(Serialize)]
    struct Row<'a> {
        name: &'a str,
        value: &'a str,
        origin: String,
    }
    let rows = settings.iter().map(|(setting, value, origin)| Row {
        name: setting.name,
        value,
        origin: origin.to_string(),
    });
    if json {
        return output::json(&rows.collect::<Vec<_>>());
    }
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for row in rows {
        table.row([row.name.to_owned(), row.value.to_owned(), row.origin]);
    }
    output::table(&table)
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogForm {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Starts the log on standard error.
pub(crate) fn start_log(form: LogForm, level: &str) -> Outcome {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(level)
        .map_err(|error| {
            Failure::usage(format!("setting `log.level` cannot be `{level}`: {error}"))
        })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match form {
        LogForm::Json => log.json().try_init(),
        LogForm::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            log.with_ansi(colours).try_init()
        }
    };
    started.map_err(|error| Failure::failed(format!("the log cannot be started: {error}")))
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::failed(error.to_string())
    }
}
