//! Groups that move from one protocol to the other while members run (KIP-848), by script. The
//! invariants of groups are asserted after each line.

mod common;

use common::{check, check_with};
use expect_test::expect;
use weir_group::{GroupConfig, MigrationPolicy};

#[test]
fn a_classic_group_is_upgraded_while_members_run() {
    check(expect![[r#"
        join g a
        join g b
        at 6000
          a: joined as a generation 1 range leader a [a b]
          b: joined as b generation 1 range leader a []
        sync g a gen=1 give=a=t:0,1|b=t:2,3
          a: synced t:0,1
        sync g b gen=1
          b: synced t:2,3
        at 10000
        hb g c
          c: epoch 2 none
        show g
          Reconciling epoch 2 target 2
            a (classic) epoch 1 Stable has t:0,1 gives none wants t:0,1
            b (classic) epoch 1 Stable has t:2,3 gives none wants t:2
            c epoch 2 Unreleased has none gives none wants t:3
        beat g a gen=1
          a: alive REBALANCE_IN_PROGRESS
        join g a owned=t:0,1
          a: joined as a generation 2 range leader - []
        sync g a gen=2
          a: synced t:0,1
        beat g b gen=1
          b: alive REBALANCE_IN_PROGRESS
        join g b owned=t:2,3
          b: joined as b generation 1 range leader - []
        sync g b gen=1
          b: synced t:2
        join g b owned=t:2
          b: joined as b generation 2 range leader - []
        sync g b gen=2
          b: synced t:2
        hb g c epoch=2
          c: epoch 2 t:3
        beat g a gen=2
          a: alive NONE
        show g
          Stable epoch 2 target 2
            a (classic) epoch 2 Stable has t:0,1 gives none wants t:0,1
            b (classic) epoch 2 Stable has t:2 gives none wants t:2
            c epoch 2 Stable has t:3 gives none wants t:3
        commit g a gen=2 t-0=3
          a: t-0 NONE
        commit g a gen=1 t-0=3
          a: t-0 ILLEGAL_GENERATION
        history g
          #1 at 0 for 6000 ms, epoch 1: 0 Joined a, 0 Joined b
             [] -> [a b]
             t-0: - -> a
             t-1: - -> a
             t-2: - -> b
             t-3: - -> b
             a stood still for 6000 ms
             b stood still for 6000 ms
          #2 at 10000 for 0 ms, epoch 2: 10000 ProtocolChanged, 10000 Joined c
             [a b] -> [a b c]
             t-3: b -> c
    "#]]);
}

#[test]
fn a_consumer_group_is_downgraded_when_its_last_new_member_leaves() {
    check(expect![[r#"
        hb g c
          c: epoch 1 t:0,1,2,3
        at 2000
        join g b strict
          b: MEMBER_ID_REQUIRED id=b
        join g b strict
          b: joined as b generation 2 range leader - []
        sync g b gen=2
          b: synced none
        hb g c epoch=1 own=t:0,1
          c: epoch 2 t:0,1
        beat g b gen=2
          b: alive REBALANCE_IN_PROGRESS
        join g b
          b: joined as b generation 2 range leader - []
        sync g b gen=2
          b: synced t:2,3
        at 5000
        join g a
          a: joined as a generation 3 range leader - []
        hb g c epoch=2
          c: epoch 3 t:0,1
        hb g c epoch=3 own=t:0,1
          c: epoch 3 same
        join g b owned=t:2,3
          b: joined as b generation 2 range leader - []
        beat g a gen=3
          a: alive NONE
        leave g a
          a: left [a NONE]
        at 12000
        hb g c epoch=-1
          c: epoch -1 same
        show g
          classic generation 4 [b t:2]
        beat g b gen=4
          b: alive REBALANCE_IN_PROGRESS
        join g b
          b: joined as b generation 5 range leader b [b]
        sync g b gen=5 give=b=t:0,1,2,3
          b: synced t:0,1,2,3
        history g
          #1 at 0 for 0 ms, epoch 1: 0 Joined c
             [] -> [c]
             t-0: - -> c
             t-1: - -> c
             t-2: - -> c
             t-3: - -> c
          #2 at 2000 for 0 ms, epoch 2: 2000 Joined b
             [c] -> [b c]
             t-2: c -> b
             t-3: c -> b
          #3 at 5000 for 7000 ms, epoch 5: 5000 Joined a, 5000 Left a, 12000 Left c, 12000 ProtocolChanged
             [b c] -> [b]
             t-0: c -> b
             t-1: c -> b
    "#]]);
}

#[test]
fn a_settled_member_keeps_its_epoch_over_a_downgrade() {
    check(expect![[r#"
        hb g c
          c: epoch 1 t:0,1,2,3
        join g b
          b: joined as b generation 1 range leader - []
        sync g b gen=1
          b: synced none
        at 2000
        hb g c epoch=1 own=t:0,1
          c: epoch 2 t:0,1
        beat g b gen=1
          b: alive REBALANCE_IN_PROGRESS
        join g b
          b: joined as b generation 2 range leader - []
        sync g b gen=2
          b: synced t:2,3
        show g
          Stable epoch 2 target 2
            b (classic) epoch 2 Stable has t:2,3 gives none wants t:2,3
            c epoch 2 Stable has t:0,1 gives none wants t:0,1
        hb g c epoch=-1
          c: epoch -1 same
        beat g b gen=2
          b: alive REBALANCE_IN_PROGRESS
        commit g b gen=2 t-2=5
          b: t-2 NONE
        join g b owned=t:2,3
          b: joined as b generation 3 range leader b [b]
        sync g b gen=3 give=b=t:0,1,2,3
          b: synced t:0,1,2,3
    "#]]);
}

#[test]
fn protocols_do_not_mix_where_the_policy_forbids_it() {
    let config = GroupConfig {
        migration: MigrationPolicy::Disabled,
        ..GroupConfig::default()
    };
    check_with(
        config,
        expect![[r#"
            join g a
            at 3000
              a: joined as a generation 1 range leader a [a]
            sync g a gen=1 give=a=t:0
              a: synced t:0
            hb g b
              b: GROUP_ID_NOT_FOUND the group is a classic group and cannot be upgraded
            hb g b epoch=1
              b: UNKNOWN_MEMBER_ID there is no consumer group of that id
            hb h a
              a: epoch 1 t:0,1,2,3
            join h b type=connect
              b: INCONSISTENT_GROUP_PROTOCOL id=
            delete h
              h: Deleted([("h", NonEmptyGroup)])
            hb h a epoch=-1
              a: epoch -1 same
            join h b
            at 6000
              b: joined as b generation 3 range leader b [b]
            show h
              classic generation 2 []
            sync h b gen=2 give=b=t:0
              b: ILLEGAL_GENERATION
            show h
              classic generation 2 []
        "#]],
    );
}

#[test]
fn a_static_member_is_upgraded_in_its_place() {
    check(expect![[r#"
        join g a instance=i
        at 3000
          a: joined as a generation 1 range leader a [a]
        sync g a gen=1 give=a=t:0,1,2,3
          a: synced t:0,1,2,3
        hb g x instance=i
          x: epoch 2 t:0,1,2,3
        hb g x epoch=2
          x: epoch 2 same
        show g
          Stable epoch 2 target 2
            x epoch 2 Stable has t:0,1,2,3 gives none wants t:0,1,2,3
        hb g y instance=i
          y: UNRELEASED_INSTANCE_ID another member has this instance id and has not left
    "#]]);
}

#[test]
fn a_group_is_not_upgraded_for_one_that_is_refused() {
    let config = GroupConfig {
        members_max: 1,
        ..GroupConfig::default()
    };
    check_with(
        config,
        expect![[r#"
            join g a
            at 3000
              a: joined as a generation 1 range leader a [a]
            sync g a gen=1 give=a=t:0,1,2,3
              a: synced t:0,1,2,3
            hb g b
              b: GROUP_MAX_SIZE_REACHED the group is full
            show g
              classic generation 1 [a t:0,1,2,3]
            beat g a gen=1
              a: alive NONE
            join h x strict
              x: MEMBER_ID_REQUIRED id=x
            join h y strict
              y: GROUP_MAX_SIZE_REACHED id=
        "#]],
    );
}

#[test]
fn a_static_member_is_downgraded_in_its_place() {
    check(expect![[r#"
        hb g c instance=i
          c: epoch 1 t:0,1,2,3
        join g b
          b: joined as b generation 1 range leader - []
        sync g b gen=1
          b: synced none
        at 2000
        hb g c epoch=1 own=t:0,1
          c: epoch 2 t:0,1
        beat g b gen=1
          b: alive REBALANCE_IN_PROGRESS
        join g b
          b: joined as b generation 2 range leader - []
        sync g b gen=2
          b: synced t:2,3
        join g d instance=i
        show g
          classic generation 2 [b t:2,3, d t:0,1]
        beat g b gen=2
          b: alive REBALANCE_IN_PROGRESS
        commit g b gen=2 t-2=5
          b: t-2 NONE
        join g b owned=t:2,3
          b: joined as b generation 3 range leader b [b d]
          d: joined as d generation 3 range leader b []
        sync g d gen=3
        sync g b gen=3 give=d=t:0,1|b=t:2,3
          b: synced t:2,3
          d: synced t:0,1
        history g
          #1 at 0 for 0 ms, epoch 1: 0 Joined c
             [] -> [c]
             t-0: - -> c
             t-1: - -> c
             t-2: - -> c
             t-3: - -> c
          #2 at 0 for 2000 ms, epoch 2: 0 Joined b
             [c] -> [b c]
             t-2: c -> b
             t-3: c -> b
             b stood still for 2000 ms
          #3 at 2000 for 0 ms, epoch 3: 2000 Joined d, 2000 ProtocolChanged
             [b c] -> [b d]
             t-0: c -> d
             t-1: c -> d
    "#]]);
}
