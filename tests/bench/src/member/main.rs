//! `weir-member`: our own client as members of consumer groups in the end-to-end runs, one or a
//! crowd in one process, and the few questions about groups that the scenarios ask.
//!
//! It must never retry or repair anything by itself: what the client library does with a group that
//! moves, or a broker that dies, is what is tested.
#![forbid(unsafe_code)]

mod ask;
mod commits;
mod log;
mod options;
mod run;

use anyhow::{Context, Result, bail};
use options::Options;

const USAGE: &str = "usage: weir-member run|settle|history|offsets|commits \
                     --bootstrap HOST:PORT --transport quic|tcp [--profile FILE] --group NAME ...";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let command = args.next().context(USAGE)?;
    let options = Options::new(args.collect())?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            match command.as_str() {
                "run" => run::run(&options).await,
                "settle" => ask::settle(&options).await,
                "history" => ask::history(&options).await,
                "offsets" => ask::offsets(&options).await,
                "commits" => commits::commits(&options).await,
                other => bail!("there is no command `{other}`; {USAGE}"),
            }
        })
}
