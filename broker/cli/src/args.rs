//! The command line as a tree: what there is to say, not what it does. Each command's own flags
//! stand in its own file.

use crate::connect::ConnectArgs;
use crate::{
    bench, certs, cluster, consume, group, job, plugin, produce, quickstart, serve, store, topic,
    view,
};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong command line or input, 3 no broker could be reached,
4 the broker said no, 5 a check found damage, 130 ended by Ctrl-C before it was done.

Environment: WEIR_BOOTSTRAP, WEIR_PROFILE and WEIR_TRANSPORT stand for the flags of these names;
`weir serve` reads every setting from WEIR_NAME_OF_THE_SETTING.

To begin: `weir quickstart`, or `weir serve` here and `weir topic list` in another terminal.";

/// Weir: a Kafka-class message broker over QUIC.
#[derive(Parser, Debug)]
#[command(name = "weir", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Cli {
    /// Say on standard error what happens behind the scenes (-vv: more)
    #[arg(long, short, action = clap::ArgAction::Count, global = true, display_order = 1000)]
    pub(crate) verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Everything `weir` can do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a broker until Ctrl-C
    Serve(serve::ServeArgs),
    /// Start a broker, send a file through it and show what came out
    Quickstart(quickstart::QuickstartArgs),
    /// Make, list, describe, change and delete topics
    Topic(topic::TopicArgs),
    /// Send records: a line each from standard input or a file
    Produce(produce::ProduceArgs),
    /// Read records and print them
    Consume(consume::ConsumeArgs),
    /// Look at consumer groups, move their offsets, delete them
    Group(group::GroupArgs),
    /// Make, test and deploy plugins, and attach them to topics
    Plugin(plugin::PluginArgs),
    /// Make, list and delete views: topics that are read through plugins
    View(view::ViewArgs),
    /// Make and steer jobs that route records from topics to topics
    Job(job::JobArgs),
    /// Measure a broker, this or any other that speaks Kafka's protocol
    Bench(bench::BenchArgs),
    /// Look at the cluster
    Cluster(cluster::ClusterArgs),
    /// Look into a data folder whose broker is stopped
    Store(store::StoreArgs),
    /// Issue and show certificates and profiles
    Certs(certs::CertsArgs),
    /// Print a shell's completion script
    #[command(
        after_help = "Example: weir completions bash > ~/.local/share/bash-completion/completions/weir"
    )]
    Completions(CompletionsArgs),
    /// Print generated documents
    #[command(hide = true)]
    Docs(DocsArgs),
}

/// `weir completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: Shell,
}

/// `weir docs`.
#[derive(Args, Debug)]
pub(crate) struct DocsArgs {
    /// Which document
    #[command(subcommand)]
    pub(crate) which: Docs,
}

/// The documents that are generated from the code.
#[derive(Subcommand, Debug)]
pub(crate) enum Docs {
    /// CONFIG.md
    Config,
}

/// `--json`, as most commands have it.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct JsonArg {
    /// Print JSON
    #[arg(long, help_heading = None::<&'static str>)]
    pub(crate) json: bool,
}

/// A broker and `--json`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConnectJson {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_stands_at_the_same_place_everywhere() {
        fn look(command: &clap::Command, count: &mut usize) {
            for arg in command.get_arguments().filter(|arg| arg.get_id() == "json") {
                assert_eq!(arg.get_help_heading(), None, "{}", command.get_name());
                *count += 1;
            }
            command
                .get_subcommands()
                .for_each(|command| look(command, count));
        }
        let mut command = Cli::command();
        command.build();
        let mut count = 0;
        look(&command, &mut count);
        assert!(count > 20, "only {count} commands print JSON");
    }
}
