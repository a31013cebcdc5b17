//! The consumer protocol (KIP-848) by script. Invariants I-GRP-1 to I-GRP-6, I-GRP-12 and
//! I-GRP-13 are asserted after each line; I-GRP-17 stands in the scripts.

mod common;

use common::check;
use expect_test::expect;

#[test]
fn two_share_and_who_keeps_does_not_stop() {
    check(expect![[r#"
            hb g a
              a: epoch 1 t:0,1,2,3
            at 2000
            hb g b
              b: epoch 2 none
            hb g a epoch=1 own=t:0,1,2,3
              a: epoch 1 t:0,1
            hb g b epoch=2 own=none
              b: epoch 2 same
            at 2500
            hb g a epoch=1 own=t:0,1
              a: epoch 2 t:0,1
            hb g b epoch=2
              b: epoch 2 t:2,3
            hb g b epoch=2 own=t:2,3
              b: epoch 2 same
            commit g b gen=2 t-2=4
              b: t-2 NONE
            commit g b gen=1 t-2=5
              b: t-2 STALE_MEMBER_EPOCH
            fetch g b epoch=2
              b: fetched [t-2=4 ""]
            fetch g b epoch=1
              b: STALE_MEMBER_EPOCH
            at 5000
            hb g b epoch=-1
              b: epoch -1 same
            hb g a epoch=2
              a: epoch 3 t:0,1,2,3
            show g
              Stable epoch 3 target 3
                a epoch 3 Stable has t:0,1,2,3 gives none wants t:0,1,2,3
            history g
              #1 at 0 for 0 ms, epoch 1: 0 Joined a
                 [] -> [a]
                 t-0: - -> a
                 t-1: - -> a
                 t-2: - -> a
                 t-3: - -> a
              #2 at 2000 for 500 ms, epoch 2: 2000 Joined b
                 [a] -> [a b]
                 t-2: a -> b
                 t-3: a -> b
                 b stood still for 500 ms
              #3 at 5000 for 0 ms, epoch 3: 5000 Left b
                 [a b] -> [a]
                 t-2: b -> a
                 t-3: b -> a
            hb g a epoch=-1
              a: epoch -1 same
            describe-consumer g
              g: ConsumersDescribed([ConsumerDescription { error: None, group: "g", state: "Empty", epoch: 4, assignment_epoch: 4, assignor: "uniform", members: [] }])
        "#]]);
}

#[test]
fn epochs_fence() {
    check(expect![[r#"
            hb g a
              a: epoch 1 t:0,1,2,3
            hb g a epoch=2
              a: FENCED_MEMBER_EPOCH the member's epoch is not the one the coordinator knows; it must give up its partitions and join again
            hb g a epoch=5
              a: FENCED_MEMBER_EPOCH the member's epoch is not the one the coordinator knows; it must give up its partitions and join again
            hb g b epoch=1
              b: UNKNOWN_MEMBER_ID the group has no such member
            hb none b epoch=1
              b: UNKNOWN_MEMBER_ID there is no consumer group of that id
            at 2000
            hb g b
              b: epoch 2 none
            hb g a epoch=1 own=t:0,1
              a: epoch 2 t:0,1
            hb g a epoch=1 own=t:0,1
              a: epoch 2 t:0,1
            hb g a epoch=1 own=t:0,1,2
              a: FENCED_MEMBER_EPOCH the member's epoch is not the one the coordinator knows; it must give up its partitions and join again
            hb g a
              a: epoch 2 t:0,1
            hb g a epoch=-3
              a: INVALID_REQUEST the member epoch is none
            hb g a epoch=2 assignor=best
              a: UNSUPPORTED_ASSIGNOR the assignors are uniform and range
            hb g a epoch=0 own=t:0
              a: INVALID_REQUEST a member that joins must own nothing and say so
            hb g a epoch=-2
              a: INVALID_REQUEST only a member with an instance id can leave to come back
        "#]]);
}

#[test]
fn silence_and_slow_revocation_cost_the_membership() {
    check(expect![[r#"
            hb g a rebalance=5000
              a: epoch 1 t:0,1,2,3
            at 2000
            hb g b
              b: epoch 2 none
            hb g a epoch=1
              a: epoch 1 t:0,1
            at 4000
            hb g a epoch=1
              a: epoch 1 same
            at 7001
            hb g a epoch=1
              a: UNKNOWN_MEMBER_ID the group has no such member
            hb g b epoch=2
              b: epoch 3 t:0,1,2,3
            at 52002
            hb g b epoch=3
              b: UNKNOWN_MEMBER_ID the group has no such member
            show g
              Empty epoch 4 target 4
            history g
              #1 at 0 for 0 ms, epoch 1: 0 Joined a
                 [] -> [a]
                 t-0: - -> a
                 t-1: - -> a
                 t-2: - -> a
                 t-3: - -> a
              #2 at 2000 for 5001 ms, epoch 3: 2000 Joined b, 7000 TimedOut a
                 [a] -> [b]
                 t-0: a -> b
                 t-1: a -> b
                 t-2: a -> b
                 t-3: a -> b
                 b stood still for 5001 ms
              #3 at 52001 for 0 ms, epoch 4: 52001 TimedOut b
                 [b] -> []
                 t-0: b -> -
                 t-1: b -> -
                 t-2: b -> -
                 t-3: b -> -
        "#]]);
}

#[test]
fn static_members_come_back_to_what_they_had() {
    check(expect![[r#"
            hb g a instance=i
              a: epoch 1 t:0,1,2,3
            hb g x instance=i
              x: UNRELEASED_INSTANCE_ID another member has this instance id and has not left
            hb g a instance=i epoch=-2
              a: epoch -2 same
            at 3000
            hb g x instance=i
              x: epoch 1 t:0,1,2,3
            hb g a instance=i epoch=1
              a: FENCED_INSTANCE_ID another member took over this instance id
            hb g x epoch=1
              x: epoch 1 same
            hb g x instance=i epoch=-2
              x: epoch -2 same
            at 60000
            show g
              Empty epoch 2 target 2
            history g
              #1 at 0 for 0 ms, epoch 1: 0 Joined a
                 [] -> [a]
                 t-0: - -> a
                 t-1: - -> a
                 t-2: - -> a
                 t-3: - -> a
              #2 at 3000 for 0 ms, epoch 1: 3000 Joined x
                 [a] -> [x]
                 t-0: a -> x
                 t-1: a -> x
                 t-2: a -> x
                 t-3: a -> x
              #3 at 48000 for 0 ms, epoch 2: 48000 TimedOut x
                 [x] -> []
                 t-0: x -> -
                 t-1: x -> -
                 t-2: x -> -
                 t-3: x -> -
        "#]]);
}

#[test]
fn patterns_and_new_partitions_change_the_target() {
    check(expect![[r#"
        hb g a pattern=t
          a: epoch 1 none
        topics t=4 t2=1 u=2
        at 1000
        hb g a epoch=1
          a: epoch 3 t:0,1,2,3;t2:0
        at 3000
        topics t=6 t2=1 u=2
        hb g a epoch=3
          a: epoch 4 t:0,1,2,3,4,5;t2:0
        at 5000
        hb g a epoch=4 pattern= topics=u
          a: epoch 4 none
        hb g a epoch=4 own=none
          a: epoch 5 u:0,1
        topics t=6 u=2
        at 7000
        hb g a epoch=5 pattern=t topics=
          a: epoch 5 same
        at 8000
        hb g a epoch=5
          a: epoch 5 none
        restart
        history g
          #1 at 0 for 1000 ms, epoch 3: 0 Joined a (t), 0 PartitionsAdded
             [] -> [a]
             t-0: - -> a
             t-1: - -> a
             t-2: - -> a
             t-3: - -> a
             t2-0: - -> a
             a stood still for 1000 ms
          #2 at 3000 for 0 ms, epoch 4: 3000 PartitionsAdded
             [a] -> [a]
             t-4: - -> a
             t-5: - -> a
          #3 at 5000 for 0 ms, epoch 5: 5000 Subscription a
             [a] -> [a]
             t-0: a -> -
             t-1: a -> -
             t-2: a -> -
             t-3: a -> -
             t-4: a -> -
             t-5: a -> -
             t2-0: a -> -
             u-0: - -> a
             u-1: - -> a
        show g
          Reconciling epoch 6 target 6
            a epoch 5 Unrevoked has none gives u:0,1 wants t:0,1,2,3,4,5
    "#]]);
}

#[test]
fn range_is_chosen_by_most() {
    check(expect![[r#"
            hb g a topics=t,u assignor=range
              a: epoch 1 t:0,1,2,3;u:0,1
            at 2000
            hb g b topics=t,u assignor=range
              b: epoch 2 none
            hb g a epoch=1 own=t:0,1;u:0
              a: epoch 2 t:0,1;u:0
            hb g b epoch=2
              b: epoch 2 t:2,3;u:1
            show g
              Stable epoch 2 target 2
                a epoch 2 Stable has t:0,1;u:0 gives none wants t:0,1;u:0
                b epoch 2 Stable has t:2,3;u:1 gives none wants t:2,3;u:1
        "#]]);
}

#[test]
fn a_snapshot_says_everything_again() {
    check(expect![[r#"
            hb g a
              a: epoch 1 t:0,1,2,3
            commit g a gen=1 t-0=3
              a: t-0 NONE
            join c x
            at 3000
              x: joined as x generation 1 range leader x [x]
            sync c x gen=1 give=x=u:0
              x: synced u:0
            snapshot
              snapshot in writes WriteId(4) to WriteId(4)
            at 4000
            restart
            show g
              Stable epoch 1 target 1
                a epoch 1 Stable has t:0,1,2,3 gives none wants t:0,1,2,3
            show c
              classic generation 1 [x u:0]
            history g
              #1 at 0 for 0 ms, epoch 1: 0 Joined a
                 [] -> [a]
                 t-0: - -> a
                 t-1: - -> a
                 t-2: - -> a
                 t-3: - -> a
              #2 at 4000 for 0 ms, epoch 1: 4000 CoordinatorMoved
                 [a] -> [a]
        "#]]);
}

#[test]
fn who_died_together_costs_one_epoch() {
    check(expect![[r#"
        hb g c
          c: epoch 1 t:0,1,2,3
        hb g a
          a: epoch 1 none
        hb g b
          b: epoch 1 none
        at 2000
        hb g c epoch=1 own=t:0
          c: epoch 2 t:0,1
        hb g a epoch=1
          a: epoch 2 t:3
        at 5000
        hb g b epoch=1
          b: epoch 2 t:2
        hb g c epoch=2
          c: epoch 2 same
        hb g a epoch=2
          a: epoch 2 same
        at 6000
        hb g b epoch=2
          b: epoch 2 same
        at 46000
        hb g c epoch=2
          c: epoch 2 same
        at 50500
        show g
          Assigning epoch 3 target 2
            b epoch 2 Stable has t:2 gives none wants t:2
            c epoch 2 Stable has t:0,1 gives none wants t:0,1
        at 51500
        hb g c epoch=2
          c: epoch 3 t:0,1,2,3
        show g
          Stable epoch 3 target 3
            c epoch 3 Stable has t:0,1,2,3 gives none wants t:0,1,2,3
    "#]]);
}

#[test]
fn a_late_join_frees_nothing_that_its_member_may_still_read() {
    check(expect![[r#"
        hb g a
          a: epoch 1 t:0,1,2,3
        at 2000
        hb g b
          b: epoch 2 none
        hb g a epoch=1
          a: epoch 1 t:0,1
        hb g a
          a: epoch 2 t:0,1
        hb g b epoch=2
          b: epoch 2 same
        show g
          Reconciling epoch 2 target 2
            a epoch 2 Unrevoked has t:0,1 gives t:2,3 wants t:0,1
            b epoch 2 Unreleased has none gives none wants t:2,3
        hb g a epoch=1
          a: FENCED_MEMBER_EPOCH the member's epoch is not the one the coordinator knows; it must give up its partitions and join again
        hb g a
          a: epoch 2 t:0,1
        hb g b epoch=2
          b: epoch 2 same
        hb g a epoch=2
          a: epoch 2 same
        hb g b epoch=2
          b: epoch 2 t:2,3
    "#]]);
}

#[test]
fn who_joins_late_but_has_given_up_loses_nothing() {
    check(expect![[r#"
        hb g a
          a: epoch 1 t:0,1,2,3
        at 2000
        hb g b
          b: epoch 2 none
        hb g a
          a: epoch 2 t:0,1
        hb g b epoch=2
          b: epoch 2 same
        hb g a epoch=1 own=t:0,1
          a: epoch 2 t:0,1
        hb g b epoch=2
          b: epoch 2 t:2,3
        hb g a epoch=2
          a: epoch 2 same
    "#]]);
}

#[test]
fn each_step_of_giving_up_has_its_own_time() {
    check(expect![[r#"
        topics t=6
        hb g a rebalance=5000
          a: epoch 1 t:0,1,2,3,4,5
        at 2000
        hb g b
          b: epoch 2 none
        hb g a epoch=1
          a: epoch 1 t:0,1,2
        at 4000
        hb g c
          c: epoch 3 none
        hb g a epoch=1
          a: epoch 1 same
        at 6000
        hb g a epoch=1 own=t:0,1,2
          a: epoch 2 t:0,1
        at 8000
        hb g a epoch=2
          a: epoch 2 same
        show g
          Reconciling epoch 3 target 3
            a epoch 2 Unrevoked has t:0,1 gives t:2 wants t:0,1
            b epoch 2 Unreleased has none gives none wants t:3,4
            c epoch 3 Unreleased has none gives none wants t:2,5
        at 10999
        hb g a epoch=2
          a: epoch 2 same
        at 11001
        hb g a epoch=2
          a: UNKNOWN_MEMBER_ID the group has no such member
    "#]]);
}
