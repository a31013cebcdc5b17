//! Each seeded bug is seen within its number of seeds: what a check cannot see broken, it does not
//! check.

use weir_sim::{
    mutants::{Mutant, Mutants},
    run::{Options, quiet_panics, run},
};

fn caught(mutant: Mutant) {
    quiet_panics();
    let options = Options {
        mutants: Mutants::only(mutant),
        faults_ms_max: 6_000,
        ..Options::PLAIN
    };
    let most = mutant.seeds_max();
    let seen = (0..most).find_map(|seed| run(seed, options).broken);
    assert!(
        seen.is_some(),
        "'{}' is not seen in {most} seeds",
        mutant.name()
    );
}

#[test]
fn a_skipped_flush_is_seen() {
    caught(Mutant::SkipFlush);
}

#[test]
fn an_early_ack_is_seen() {
    caught(Mutant::AckEarly);
}

#[test]
fn a_forgotten_sequence_is_seen() {
    caught(Mutant::ForgetSequence);
}

#[test]
fn a_forgotten_start_is_seen() {
    caught(Mutant::ForgetStart);
}

#[test]
fn history_published_twice_is_seen() {
    caught(Mutant::PublishTwice);
}

#[test]
fn a_zombie_member_is_seen() {
    caught(Mutant::ZombieMember);
}

#[test]
fn a_lost_committed_offset_is_seen() {
    caught(Mutant::LostCommit);
    caught(Mutant::LostInSnapshot);
}

#[test]
fn a_doubled_replay_is_seen() {
    caught(Mutant::DoubledReplay);
}

#[test]
fn a_poll_skip_is_seen() {
    caught(Mutant::PollSkip);
}
