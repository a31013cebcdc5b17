//! Fixed seeds keep every promise and do what they are for, and a seed is a run: twice the same.

use weir_sim::{
    run::{Options, run},
    world::Figures,
};

/// Short enough for a build without optimisation.
const OPTIONS: Options = Options {
    faults_ms_max: 2_000,
    ..Options::PLAIN
};

fn clean(seeds: std::ops::Range<u64>) {
    let mut sum = Figures::default();
    for seed in seeds {
        let outcome = run(seed, OPTIONS);
        if let Some((_, report)) = outcome.broken {
            panic!("seed {seed}: {report}");
        }
        sum.acked += outcome.figures.acked;
        sum.read += outcome.figures.read;
        sum.crashes += outcome.figures.crashes;
        sum.rewrites += outcome.figures.rewrites;
    }
    // A world in which nothing happens keeps every promise too.
    assert!(sum.acked > 1_000 && sum.read > sum.acked, "{sum:?}");
    assert!(sum.crashes > 10 && sum.rewrites > 10, "{sum:?}");
}

#[test]
fn ten_seeds_keep_every_promise() {
    clean(0..10);
}

#[test]
fn ten_more_seeds_keep_every_promise() {
    clean(10..20);
}

#[test]
fn a_seed_is_a_run() {
    let (first, second) = (run(8, OPTIONS), run(8, OPTIONS));
    assert_eq!(first.trace, second.trace, "one seed gave two runs");
    assert_ne!(first.trace, run(12, OPTIONS).trace);
}
