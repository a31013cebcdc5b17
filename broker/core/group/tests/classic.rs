//! The classic protocol by script: the life of a group, static members, and every refusal.
//! Invariants I-GRP-7, I-GRP-8, I-GRP-9, I-GRP-10 and I-GRP-11 are asserted after each line; I-GRP-17
//! and I-GRP-18 stand in the scripts.

mod common;

use common::{check, check_with};
use expect_test::expect;
use weir_group::GroupConfig;

#[test]
fn a_group_lives_from_the_first_join_to_the_last_leave() {
    check(expect![[r#"
            join g a strict
              a: MEMBER_ID_REQUIRED id=a
            join g a strict
            join g b strict
              b: MEMBER_ID_REQUIRED id=b
            join g b strict
            at 6000
              a: joined as a generation 1 range leader a [a b]
              b: joined as b generation 1 range leader a []
            sync g b gen=1
            sync g a gen=1 give=a=t:0,1|b=t:2,3
              a: synced t:0,1
              b: synced t:2,3
            beat g a gen=1
              a: alive NONE
            commit g a gen=1 t-0=7/note
              a: t-0 NONE
            fetch g
              g: fetched [t-0=7 "note"]
            at 7000
            join g c
            beat g a gen=1
              a: alive REBALANCE_IN_PROGRESS
            at 8000
            join g a
            join g b
              a: joined as a generation 2 range leader a [a b c]
              b: joined as b generation 2 range leader a []
              c: joined as c generation 2 range leader a []
            sync g c gen=2
            commit g b gen=2 t-2=1
              b: t-2 REBALANCE_IN_PROGRESS
            sync g a gen=2 give=a=t:0|b=t:1,2|c=t:3
              a: synced t:0
              c: synced t:3
            sync g b gen=2
              b: synced t:1,2
            at 9000
            leave g c
              c: left [c NONE]
            beat g b gen=2
              b: alive REBALANCE_IN_PROGRESS
            join g b
            join g a
              a: joined as a generation 3 range leader a [a b]
              b: joined as b generation 3 range leader a []
            sync g a gen=3 give=a=t:0,1|b=t:2,3
              a: synced t:0,1
            sync g b gen=3
              b: synced t:2,3
            leave g a b
              a: left [a NONE, b NONE]
            show g
              classic generation 4 []
            fetch g
              g: fetched [t-0=7 "note"]
        "#]]);
}

#[test]
fn who_falls_silent_or_does_not_come_back_is_out() {
    check(expect![[r#"
            join g a session=10000 rebalance=20000
            join g b session=10000 rebalance=20000
            at 3000
            at 6000
              a: joined as a generation 1 range leader a [a b]
              b: joined as b generation 1 range leader a []
            sync g a gen=1 give=a=t:0,1|b=t:2,3
              a: synced t:0,1
            sync g b gen=1
              b: synced t:2,3
            at 12000
            beat g a gen=1
              a: alive NONE
            at 16001
            beat g a gen=1
              a: alive REBALANCE_IN_PROGRESS
            join g a rebalance=20000
              a: joined as a generation 2 range leader a [a]
            sync g a gen=2 give=a=t:0,1,2,3
              a: synced t:0,1,2,3
            join g c rebalance=20000
            beat g b gen=2
              b: UNKNOWN_MEMBER_ID
            at 26000
            beat g a gen=2
              a: alive REBALANCE_IN_PROGRESS
            at 35000
            beat g a gen=2
              a: alive REBALANCE_IN_PROGRESS
            at 36002
              c: joined as c generation 3 range leader c [c]
            sync g c gen=3
              c: synced none
            history g
              #1 at 0 for 6000 ms, epoch 1: 0 Joined a, 0 Joined b
                 [] -> [a b]
                 t-0: - -> a
                 t-1: - -> a
                 t-2: - -> b
                 t-3: - -> b
                 a stood still for 6000 ms
                 b stood still for 6000 ms
              #2 at 16000 for 1 ms, epoch 2: 16000 TimedOut b
                 [a b] -> [a]
                 t-2: b -> a
                 t-3: b -> a
              #3 at 16001 for 20001 ms, epoch 3: 16001 Joined c, 36001 TimedOut a
                 [a] -> [c]
                 t-0: a -> -
                 t-1: a -> -
                 t-2: a -> -
                 t-3: a -> -
        "#]]);
}

#[test]
fn who_does_not_ask_for_its_share_in_time_is_out() {
    check(expect![[r#"
            join g a rebalance=8000 session=30000
            join g b rebalance=8000 session=30000
            at 8000
              a: joined as a generation 1 range leader a [a b]
              b: joined as b generation 1 range leader a []
            sync g a gen=1
              a: synced none
            at 16001
            sync g a gen=1
              a: REBALANCE_IN_PROGRESS
            history g
              #1 at 0 for 8000 ms, epoch 1: 0 Joined a, 0 Joined b
                 [] -> [a b]
                 b stood still for 8000 ms
        "#]]);
}

#[test]
fn cooperative_members_do_not_stand_still() {
    check(expect![[r#"
            join g a
            at 3000
              a: joined as a generation 1 range leader a [a]
            sync g a gen=1 give=a=t:0,1,2,3
              a: synced t:0,1,2,3
            at 10000
            join g b
            beat g a gen=1
              a: alive REBALANCE_IN_PROGRESS
            at 11000
            join g a owned=t:0,1,2,3
              a: joined as a generation 2 range leader a [a b]
              b: joined as b generation 2 range leader a []
            sync g b gen=2
            sync g a gen=2 give=a=t:0,1|b=none
              a: synced t:0,1
              b: synced none
            at 11500
            join g a owned=t:0,1
            beat g b gen=2
              b: alive REBALANCE_IN_PROGRESS
            join g b
              a: joined as a generation 3 range leader a [a b]
              b: joined as b generation 3 range leader a []
            sync g a gen=3 give=a=t:0,1|b=t:2,3
              a: synced t:0,1
            sync g b gen=3
              b: synced t:2,3
            history g
              #1 at 0 for 3000 ms, epoch 1: 0 Joined a
                 [] -> [a]
                 t-0: - -> a
                 t-1: - -> a
                 t-2: - -> a
                 t-3: - -> a
                 a stood still for 3000 ms
              #2 at 10000 for 1000 ms, epoch 2: 10000 Joined b
                 [a] -> [a b]
                 t-2: a -> -
                 t-3: a -> -
              #3 at 11500 for 0 ms, epoch 3: 11500 Joined a
                 [a b] -> [a b]
                 t-2: - -> b
                 t-3: - -> b
        "#]]);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    check(expect![[r#"
            join g a1 instance=a
            join g b1 instance=b
            at 6000
              a1: joined as a1 generation 1 range leader a1 [a1 b1]
              b1: joined as b1 generation 1 range leader a1 []
            sync g a1 gen=1 give=a1=t:0,1|b1=t:2,3
              a1: synced t:0,1
            sync g b1 gen=1
              b1: synced t:2,3
            join g b2 instance=b
              b2: joined as b2 generation 1 range leader a1 []
            sync g b2 gen=1
              b2: synced t:2,3
            beat g b1 instance=b gen=1
              b1: FENCED_INSTANCE_ID
            beat g b2 instance=b gen=1
              b2: alive NONE
            join g a2 instance=a
              a2: joined as a2 generation 1 range leader a2 skip [a2 b2]
            sync g a2 gen=1
              a2: synced t:0,1
            join g a3 instance=a old
              a3: joined as a3 generation 1 range leader a2 []
            commit g a2 gen=1 instance=a t-0=1
              a2: t-0 FENCED_INSTANCE_ID
            leave g /b
              /b: left [/b NONE]
            beat g a3 gen=1 instance=a
              a3: alive REBALANCE_IN_PROGRESS
            leave g x/a /nobody
              x/a: left [x/a FENCED_INSTANCE_ID, /nobody UNKNOWN_MEMBER_ID]
            show g
              classic generation 1 [a3 t:0,1, b2 t:2,3]
            history g
              #1 at 0 for 6000 ms, epoch 1: 0 Joined a1, 0 Joined b1
                 [] -> [a1 b1]
                 t-0: - -> a1
                 t-1: - -> a1
                 t-2: - -> b1
                 t-3: - -> b1
                 a1 stood still for 6000 ms
                 b1 stood still for 6000 ms
              #2 at 6000 for 0 ms, epoch 1: 6000 Joined b2
                 [a1 b1] -> [a1 b2]
                 t-2: b1 -> b2
                 t-3: b1 -> b2
              #3 at 6000 for 0 ms, epoch 1: 6000 Joined a2
                 [a1 b2] -> [a2 b2]
                 t-0: a1 -> a2
                 t-1: a1 -> a2
              #4 at 6000 for 0 ms, epoch 1: 6000 Joined a3
                 [a2 b2] -> [a3 b2]
                 t-0: a2 -> a3
                 t-1: a2 -> a3
        "#]]);
}

#[test]
fn refusals_are_the_protocols_own() {
    check(expect![[r#"
            join g a session=5
              a: INVALID_SESSION_TIMEOUT id=
            join '' a
              a: INVALID_GROUP_ID id=
            join g a type=consumer protocols=range
            at 3000
              a: joined as a generation 1 range leader a [a]
            join g b type=connect
              b: INCONSISTENT_GROUP_PROTOCOL id=
            join g b protocols=sticky
              b: INCONSISTENT_GROUP_PROTOCOL id=
            join g ghost as=ghost
            sync g a gen=7
              a: ILLEGAL_GENERATION
            beat g nobody gen=1
              nobody: UNKNOWN_MEMBER_ID
            beat none a gen=1
              a: UNKNOWN_MEMBER_ID
            sync none a gen=1
              a: UNKNOWN_MEMBER_ID
            leave g nobody
              nobody: left [nobody UNKNOWN_MEMBER_ID]
            leave none a
              a: left [a UNKNOWN_MEMBER_ID]
            sync g a gen=1 give=a=t:0
              a: REBALANCE_IN_PROGRESS
            commit g a gen=0 t-0=1
              a: t-0 ILLEGAL_GENERATION
            commit g nobody gen=1 t-0=1
              nobody: t-0 UNKNOWN_MEMBER_ID
            commit g - t-0=1
              -: t-0 UNKNOWN_MEMBER_ID
            commit none a gen=4 t-0=1
              a: t-0 ILLEGAL_GENERATION
            commit g a gen=1 t-0=-5 t-1=-1
              a: t-0 INVALID_COMMIT_OFFSET_SIZE, t-1 NONE
            delete g
              g: Deleted([("g", NonEmptyGroup)])
            delete-offset g t-0
              t-0: t-0 GROUP_SUBSCRIBED_TO_TOPIC
            delete-offset none t-0
              t-0: GROUP_ID_NOT_FOUND
            delete none
              none: Deleted([("none", GroupIdNotFound)])
        "#]]);
}

#[test]
fn nothing_is_told_before_it_is_replicated() {
    check(expect![[r#"
            commit s - t-0=5
              -: t-0 NONE
            hold
            commit s - t-0=9
            fetch s
            fetch other
              other: fetched []
            release
              -: t-0 NONE
              s: fetched [t-0=9 ""]
            list
              -: Groups([ListedGroup { group: "s", protocol_type: "", state: "Empty", group_type: "classic" }])
        "#]]);
}

#[test]
fn offsets_expire_when_nobody_has_needed_them_for_long() {
    check(expect![[r#"
            commit s - t-0=5
              -: t-0 NONE
            join g a
            at 3000
              a: joined as a generation 1 range leader a [a]
            sync g a gen=1 give=a=t:0
              a: synced t:0
            commit g a gen=1 t-0=5 u-0=6
              a: t-0 NONE, u-0 NONE
            leave g a
              a: left [a NONE]
            at 604000000
            commit s - t-1=5
              -: t-1 NONE
            at 605400000
            fetch s
              s: fetched [t-1=5 ""]
            fetch g
              g: fetched []
            at 1300000000
            list
              -: Groups([])
        "#]]);
}

#[test]
fn a_restart_keeps_the_generation_and_the_offsets() {
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
            commit g a gen=1 t-0=5/x
              a: t-0 NONE
            restart
            beat g a gen=1
              a: alive NONE
            beat g b gen=1
              b: alive NONE
            fetch g
              g: fetched [t-0=5 "x"]
            topics u=2
            fetch g
              g: fetched []
            at 20000
            history g
              #1 at 0 for 6000 ms, epoch 1: 0 Joined a, 0 Joined b
                 [] -> [a b]
                 t-0: - -> a
                 t-1: - -> a
                 t-2: - -> b
                 t-3: - -> b
                 a stood still for 6000 ms
                 b stood still for 6000 ms
              #2 at 6000 for 0 ms, epoch 1: 6000 CoordinatorMoved
                 [a b] -> [a b]
              #3 at 16000 for 0 ms, epoch 2: 16000 TimedOut a, 16000 TimedOut b
                 [a b] -> []
            list
              -: Groups([ListedGroup { group: "g", protocol_type: "consumer", state: "Empty", group_type: "classic" }])
        "#]]);
}

#[test]
fn offsets_do_not_expire_while_members_join() {
    let config = GroupConfig {
        offsets_retention_ms: 10_000,
        offsets_check_interval_ms: 1000,
        ..GroupConfig::default()
    };
    check_with(
        config,
        expect![[r#"
            join g a session=60000
            at 3000
              a: joined as a generation 1 range leader a [a]
            sync g a gen=1 give=a=t:0,1,2,3
              a: synced t:0,1,2,3
            commit g a gen=1 t-0=5
              a: t-0 NONE
            at 20000
            join g b topics=u session=60000
            join g c strict session=60000
              c: MEMBER_ID_REQUIRED id=c
            leave g a
              a: left [a NONE]
            at 24000
            fetch g
              g: fetched [t-0=5 ""]
            join g c strict session=60000
              b: joined as b generation 2 range leader b [b c]
              c: joined as c generation 2 range leader b []
            at 25000
            sync g b gen=2
              b: synced none
            fetch g
              g: fetched [t-0=5 ""]
            at 30000
            fetch g
              g: fetched [t-0=5 ""]
        "#]],
    );
}
