//! The history of groups: what it keeps of those who left, and of a rebalance that a crash of the
//! coordinator cuts short.

mod common;

use common::{World, check};
use expect_test::expect;
use weir_group::{DecodeError, GroupConfig, GroupRecord, decode, encode};

#[test]
fn who_left_keeps_the_name_of_its_client() {
    check(expect![[r#"
        hb g a client=app
          a: epoch 1 t:0,1,2,3
        hb g b client=tool
          b: epoch 1 none
        at 2000
        hb g a epoch=1 own=t:0,1 client=app
          a: epoch 2 t:0,1
        hb g b epoch=1 client=tool
          b: epoch 2 t:2,3
        hb g b epoch=-1 client=tool
          b: epoch -1 same
        at 4000
        hb g a epoch=2 client=app
          a: epoch 3 t:0,1,2,3
        history g
          #1 at 0 for 0 ms, epoch 1: 0 Joined a of app
             [] -> [a]
             t-0: - -> a
             t-1: - -> a
             t-2: - -> a
             t-3: - -> a
          #2 at 0 for 2000 ms, epoch 2: 0 Joined b of tool
             [a] -> [a b]
             t-2: a -> b
             t-3: a -> b
             b stood still for 2000 ms
          #3 at 2000 for 2000 ms, epoch 3: 2000 Left b of tool
             [a b] -> [a]
             t-2: b -> a
             t-3: b -> a
        join c x client=old
        at 8000
          x: joined as x generation 1 range leader x [x]
        sync c x gen=1 give=x=u:0
          x: synced u:0
        leave c x
          x: left [x NONE]
        history c
          #1 at 4000 for 4000 ms, epoch 1: 4000 Joined x of old
             [] -> [x]
             u-0: - -> x
             x stood still for 4000 ms
          #2 at 8000 for 0 ms, epoch 2: 8000 Left x of old
             [x] -> []
             u-0: x -> -
    "#]]);
}

#[test]
fn a_rebalance_that_a_restart_cuts_short_keeps_its_causes() {
    check(expect![[r#"
        hb g a client=app
          a: epoch 1 t:0,1,2,3
        hb g b
          b: epoch 1 none
        hb g d client=gone
          d: epoch 1 none
        at 2000
        hb g a epoch=1 own=t:0,1 client=app
          a: epoch 2 t:0,1
        at 2500
        hb g b epoch=1
          b: epoch 2 t:3
        hb g d epoch=1 client=gone
          d: epoch 2 t:2
        hb g a epoch=2 client=app
          a: epoch 2 same
        at 4000
        hb g d epoch=-1 client=gone
          d: epoch -1 same
        hb g c client=late
          c: epoch 3 none
        at 4500
        snapshot
          snapshot in writes WriteId(10) to WriteId(10)
        restart
        hb g a epoch=2 own=t:0,1 client=app
          a: epoch 4 t:0,1
        at 5000
        restart
        at 7000
        hb g b epoch=2 own=none
          b: epoch 4 t:2
        hb g a epoch=4 client=app
          a: epoch 4 same
        hb g b epoch=4
          b: epoch 4 same
        hb g c epoch=3 client=late
          c: epoch 4 t:3
        hb g c epoch=4 client=late
          c: epoch 4 same
        history g
          #1 at 0 for 0 ms, epoch 1: 0 Joined a of app
             [] -> [a]
             t-0: - -> a
             t-1: - -> a
             t-2: - -> a
             t-3: - -> a
          #2 at 0 for 2500 ms, epoch 2: 0 Joined b, 0 Joined d of gone
             [a] -> [a b d]
             t-2: a -> d
             t-3: a -> b
             b stood still for 2500 ms
             d stood still for 2500 ms
          #3 at 4000 for 3000 ms, epoch 4: 4000 Left d of gone, 4000 Joined c of late, 4500 CoordinatorMoved, 5000 CoordinatorMoved
             [a b d] -> [a b c]
             t-2: - -> b
             t-3: b -> c
             c stood still for 2000 ms
    "#]]);
}

#[test]
fn a_rebalance_that_a_restart_cuts_short_begins_with_the_members_of_the_last_one() {
    check(expect![[r#"
        hb g a
          a: epoch 1 t:0,1,2,3
        at 2000
        hb g b
          b: epoch 2 none
        at 3000
        restart
        hb g a epoch=1 own=t:0,1,2,3
          a: epoch 1 t:0,1
        hb g a epoch=1 own=t:0,1
          a: epoch 2 t:0,1
        hb g b epoch=2
          b: epoch 2 t:2,3
        history g
          #1 at 0 for 0 ms, epoch 1: 0 Joined a
             [] -> [a]
             t-0: - -> a
             t-1: - -> a
             t-2: - -> a
             t-3: - -> a
          #2 at 2000 for 1000 ms, epoch 2: 2000 Joined b, 3000 CoordinatorMoved
             [a] -> [a b]
             t-2: a -> b
             t-3: a -> b
    "#]]);
}

#[test]
fn a_rebalance_written_before_names_of_clients_were_kept_can_be_read() {
    let mut world = World::new(GroupConfig::default());
    world.line("hb g a client=app");
    let is_event = |record: &&GroupRecord| matches!(record, GroupRecord::History { .. });
    let record = world.log.iter().find(is_event).expect("one rebalance");
    let GroupRecord::History { event, .. } = record else {
        unreachable!()
    };
    assert_eq!(event.client("a").map(|client| &**client), Some("app"));
    let (key, value) = encode(record).unwrap();
    let mut value = value.unwrap();
    let row = 4 + ("a".len() + 4) + ("app".len() + 4);
    value.truncate(value.len() - row);
    value[0] = 0;
    let mut nameless = event.clone();
    nameless.clients.clear();
    let group = record.group().unwrap().clone();
    let expected = GroupRecord::History {
        group,
        event: nameless,
    };
    assert_eq!(decode(&key, Some(&value)), Ok(expected));
    value[0] = 2;
    let unknown = DecodeError::Unknown {
        kind: 8,
        version: 2,
    };
    assert_eq!(decode(&key, Some(&value)), Err(unknown));
}
