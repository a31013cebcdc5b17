//! One seed from beginning to end: the world, panics caught, and what to tell people.

use crate::{
    checks::panics,
    mutants::Mutants,
    violation::Violation,
    world::{Figures, World, report},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Print every line of the trace.
    pub trace: bool,
    /// Bugs that are switched on.
    pub mutants: Mutants,
    /// The phase with faults lasts no longer, in simulated milliseconds.
    pub faults_ms_max: u64,
}

impl Options {
    /// A whole run without bugs of its own, in silence.
    pub const PLAIN: Self = Self {
        trace: false,
        mutants: Mutants::NONE,
        faults_ms_max: u64::MAX,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The hash over everything that happened, and over the disk at the end.
    pub trace: u64,
    /// Figures.
    pub figures: Figures,
    /// The promise that was broken, with the last things that happened.
    pub broken: Option<(Violation, String)>,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Outcome {
    let mut world = World::new(seed, options.mutants, options.trace, options.faults_ms_max);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()))
        .unwrap_or_else(|panic| Err(panics::caught(&*panic)));
    let broken = result.err().map(|violation| {
        let text = report(&world, &violation);
        (violation, text)
    });
    Outcome {
        seed,
        trace: world.trace().hash(),
        figures: world.figures(),
        broken,
    }
}

/// Silences the words that a caught panic would print; they are in the outcome.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
