//! Seeded workloads against a model: the running store, clean restarts, and power lost at every
//! sync. A failing seed replays exactly.

mod support;

use support::{model::World, small};
use weir_store::{Crash, Mutants, RewriteStep, StoreConfig};

fn run(world: &mut World, steps: usize) {
    for _ in 0..steps {
        if world.disk.is_off() {
            return;
        }
        world.step();
    }
}

/// I-STO-1 I-STO-2 I-STO-3 I-STO-4 I-STO-5 I-STO-11 I-STO-13: reads, searches, sizes and marks
/// agree with the model while files roll, are rewritten, published and unlinked.
#[test]
fn the_running_store_agrees_with_the_model() {
    for seed in 0..12 {
        let mut world = World::new(seed, small());
        world.open_partitions(4).unwrap();
        for _ in 0..8 {
            run(&mut world, 100);
            world.check_reads();
        }
        assert!(world.published > 0, "seed {seed} published nothing");
        while world.driver.store.step_rewrite() != RewriteStep::Idle {}
        world.check_reads();
        let stats = world.driver.store.stats();
        let live: u64 = world.sizes().values().sum();
        assert_eq!(
            stats.lane.live_bytes + stats.history.live_bytes,
            live,
            "seed {seed}"
        );
    }
}

/// I-STO-5: a clean restart finds everything without repair.
#[test]
fn clean_restarts_agree_with_the_model() {
    for seed in 100..108 {
        let mut world = World::new(seed, small());
        world.open_partitions(4).unwrap();
        for _ in 0..6 {
            run(&mut world, 120);
            world.drain();
            let empty = support::Driver::open(&weir_store::MemDisk::new(), small());
            let store = std::mem::replace(&mut world.driver, empty).store;
            store.close().unwrap();
            world.reopen().unwrap();
            assert_eq!(world.driver.report.repaired, 0, "seed {seed}");
            assert_eq!(world.driver.report.warnings, Vec::<String>::new());
        }
    }
}

/// Few by default, since each opens the store hundreds of times; `WEIR_STORE_SEEDS=50` runs more.
fn seeds() -> std::ops::Range<u64> {
    let more = std::env::var("WEIR_STORE_SEEDS").ok();
    0..more.and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// How many syncs a workload makes.
fn syncs_of(seed: u64, steps: usize) -> u64 {
    let mut world = World::new(seed, small());
    let before = world.disk.counts().syncs;
    world.open_partitions(3).unwrap();
    run(&mut world, steps);
    world.disk.counts().syncs - before
}

/// I-STO-1 to I-STO-5, I-STO-9: power lost just before every single sync of a workload, with
/// nothing, everything or torn pieces of the unsynced writes left; then more work and another
/// crash.
#[test]
fn power_lost_at_every_sync() {
    const STEPS: usize = 260;
    for seed in seeds() {
        let syncs = syncs_of(seed, STEPS);
        assert!(syncs > 60, "seed {seed} makes only {syncs} syncs");
        for k in 1..=syncs {
            let crash = match k % 3 {
                0 => Crash::Forget,
                1 => Crash::Torn(seed ^ k),
                _ => Crash::Keep,
            };
            let mut world = World::new(seed, small());
            world.disk.power_off_at_sync(k);
            let opened = world.open_partitions(3);
            if opened.is_ok() {
                run(&mut world, STEPS);
            }
            let after = world.crash(crash);
            after.unwrap_or_else(|why| panic!("seed {seed}, sync {k}, {crash:?}: {why}"));
            run(&mut world, 40);
            let after = world.crash(Crash::Forget);
            after.unwrap_or_else(|why| panic!("seed {seed}, sync {k}, second crash: {why}"));
        }
    }
}

/// The seeded bugs are real bugs: the comparison with the model finds each.
#[test]
fn seeded_bugs_are_found() {
    let mutants = [
        Mutants {
            skip_flush_every: Some(3),
            ..Mutants::default()
        },
        Mutants {
            forget_start: true,
            ..Mutants::default()
        },
        Mutants {
            publish_twice: true,
            ..Mutants::default()
        },
    ];
    for mutants in mutants {
        let found = (0..20).any(|seed| {
            let mut world = World::new(seed, StoreConfig { mutants, ..small() });
            world.open_partitions(3).unwrap();
            for _ in 0..300 {
                world.step();
            }
            world.crash(Crash::Forget).is_err()
        });
        assert!(found, "{mutants:?}");
    }
}
