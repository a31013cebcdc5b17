//! What the command line asks for, and what is printed. Each run ends with a line
//! `trace HASH`, by which two runs of one seed are compared.

use std::{
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use weir_sim::{
    mutants::{Mutant, Mutants},
    run::{Options, Outcome, run},
};

const USAGE: &str = "\
usage: weir-sim --seed N [--trace] [--verbose]   run one seed
       weir-sim --seeds A..B [--verbose]         run the seeds from A up to B
       weir-sim --mutants                        see each seeded bug caught
       weir-sim --determinism [--seed N]         run a seed twice and compare";

/// Seeds that run at once.
const THREADS: usize = 2;

/// The seed that is run twice unless another is named.
const TWICE: u64 = 7;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// One seed.
    Seed { seed: u64, trace: bool },
    /// Many.
    Seeds { from: u64, to: u64, verbose: bool },
    /// Every seeded bug.
    Mutants,
    /// One seed twice.
    Determinism { seed: u64 },
}

impl Task {
    /// Reads the arguments.
    ///
    /// # Errors
    /// How it is used, where they make no sense.
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let (mut seed, mut seeds) = (None, None);
        let (mut trace, mut verbose, mut mutants, mut determinism) = (false, false, false, false);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seed" => seed = Some(number(args.next())?),
                "--seeds" => seeds = Some(range(args.next())?),
                "--trace" => trace = true,
                "--verbose" => verbose = true,
                "--mutants" => mutants = true,
                "--determinism" => determinism = true,
                other => return Err(format!("there is no argument {other}\n{USAGE}")),
            }
        }
        match (seed, seeds, mutants, determinism) {
            (seed, None, false, true) => Ok(Self::Determinism {
                seed: seed.unwrap_or(TWICE),
            }),
            (None, None, true, false) => Ok(Self::Mutants),
            (Some(seed), None, false, false) => Ok(Self::Seed { seed, trace }),
            (None, Some((from, to)), false, false) => Ok(Self::Seeds { from, to, verbose }),
            _ => Err(USAGE.to_owned()),
        }
    }

    /// Does it; whether all went well.
    pub(crate) fn run(&self) -> bool {
        match self {
            Self::Seed { seed, trace } => one(*seed, *trace),
            Self::Seeds { from, to, verbose } => many(*from, *to, *verbose),
            Self::Mutants => mutants(),
            Self::Determinism { seed } => twice(*seed),
        }
    }
}

fn number(text: Option<&String>) -> Result<u64, String> {
    let text = text.ok_or_else(|| USAGE.to_owned())?;
    text.parse()
        .map_err(|_| format!("{text} is no seed\n{USAGE}"))
}

fn range(text: Option<&String>) -> Result<(u64, u64), String> {
    let text = text.ok_or_else(|| USAGE.to_owned())?;
    let ends = text.split_once("..").and_then(|(from, to)| {
        let from = if from.is_empty() {
            0
        } else {
            from.parse().ok()?
        };
        Some((from, to.parse().ok()?))
    });
    ends.filter(|(from, to)| from < to)
        .ok_or_else(|| format!("{text} is no range of seeds\n{USAGE}"))
}

fn one(seed: u64, trace: bool) -> bool {
    let options = Options {
        trace,
        ..Options::default()
    };
    let outcome = run(seed, options);
    println!("{:?}", outcome.figures);
    let clean = tell(&outcome);
    println!("trace {:016x}", outcome.trace);
    clean
}

/// Prints what was broken, if anything was; whether all was well.
fn tell(outcome: &Outcome) -> bool {
    let Some((_, report)) = &outcome.broken else {
        return true;
    };
    let seed = outcome.seed;
    println!("seed {seed}: {report}");
    println!(
        "replay: cargo xtask sim --seed {seed}    (commit {})",
        commit()
    );
    false
}

/// The commit that is checked out, with a mark where something was changed.
fn commit() -> String {
    let words = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    match words {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

fn many(from: u64, to: u64, verbose: bool) -> bool {
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    let outcome = run(seed, Options::default());
                    let mut all = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                    let clean = tell(&outcome);
                    if verbose {
                        println!(
                            "seed {seed}: trace {:016x} {:?}",
                            outcome.trace, outcome.figures
                        );
                    } else if clean && (all.len() + 1) % 25 == 0 {
                        eprintln!("{} of {} seeds", all.len() + 1, to - from);
                    }
                    all.push(outcome);
                }
            });
        }
    });
    let mut all = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    all.sort_by_key(|outcome| outcome.seed);
    summary(&all, begun)
}

fn summary(all: &[Outcome], begun: Instant) -> bool {
    let sum = |figure: fn(&Outcome) -> u64| all.iter().map(figure).sum::<u64>();
    let broken: Vec<u64> = all
        .iter()
        .filter(|outcome| outcome.broken.is_some())
        .map(|outcome| outcome.seed)
        .collect();
    println!(
        "{} seeds, {} broken: {} events, {} crashes, {} records acked, {} read, {} syncs, {} \
         files of history published, {} commits of groups acked and {} refused, {} rebalances, \
         {} simulated seconds, {:.1} s",
        all.len(),
        broken.len(),
        sum(|o| o.figures.events),
        sum(|o| o.figures.crashes),
        sum(|o| o.figures.acked),
        sum(|o| o.figures.read),
        sum(|o| o.figures.syncs),
        sum(|o| o.figures.rewrites),
        sum(|o| o.figures.commits),
        sum(|o| o.figures.refused),
        sum(|o| o.figures.rebalances),
        sum(|o| o.figures.simulated_ms) / 1000,
        begun.elapsed().as_secs_f64()
    );
    let mut hash = 0;
    for outcome in all {
        hash = weir_sim::trace::digest(hash, &outcome.trace.to_be_bytes());
    }
    println!("trace {hash:016x}");
    if !broken.is_empty() {
        println!("broken seeds: {broken:?}");
    }
    broken.is_empty()
}

fn mutants() -> bool {
    let mut all_caught = true;
    for mutant in Mutant::ALL {
        let options = Options {
            mutants: Mutants::only(mutant),
            ..Options::default()
        };
        let most = mutant.seeds_max();
        let caught = (0..most).find_map(|seed| Some((seed, run(seed, options).broken?.0)));
        match caught {
            Some((seed, violation)) => println!(
                "{}: caught by seed {seed}, {} of at most {most} seeds: {} ({})",
                mutant.name(),
                seed + 1,
                violation.promise.id,
                violation.promise.text
            ),
            None => {
                println!("{}: NOT caught by {most} seeds", mutant.name());
                all_caught = false;
            }
        }
    }
    all_caught
}

fn twice(seed: u64) -> bool {
    let (first, second) = (run(seed, Options::default()), run(seed, Options::default()));
    println!(
        "seed {seed}: trace {:016x} and {:016x}",
        first.trace, second.trace
    );
    let same = first.trace == second.trace;
    if !same {
        println!("seed {seed} gave two runs (commit {})", commit());
    }
    same
}
