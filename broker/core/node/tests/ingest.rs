//! Scripts of batches that go through plugins on their way into a topic: order, duplicates,
//! answers, failures and what is given up.

mod common;

use common::check;
use expect_test::expect;

/// I-NODE-18: of a partition one batch at a time goes through the plugins, the others wait in
/// order; other partitions do not wait for it.
#[test]
fn batches_keep_their_order() {
    check(
        "ready orders 2
        attach orders
        produce orders/0:2 acks=1
        produce orders/0:1 acks=1
        produce orders/1:1 acks=all
        produce orders/0:3 acks=0
        transformed 2
        transformed 0
        flushed orders/0 2
        transformed 1
        transformed 3
        flushed orders/0 6
        flushed orders/1 1",
        expect![[r#"
            ready orders 2
            attach orders
            produce orders/0:2 acks=1
                transform 0 1/0: 2
            produce orders/0:1 acks=1
            produce orders/1:1 acks=all
                transform 2 1/1: 1
            produce orders/0:3 acks=0
            transformed 2
                append 101 0..=0 epoch 0
            transformed 0
                append 100 0..=1 epoch 0
                transform 1 1/0: 1
            flushed orders/0 2
                answer 0: at 0
            transformed 1
                append 100 2..=2 epoch 0
                transform 3 1/0: 3
            transformed 3
                append 100 3..=5 epoch 0
            flushed orders/0 6
                answer 1: at 2
                answer 3: at 3
            flushed orders/1 1
                answer 2: at 0
        "#]],
    );
}

/// A request's answer waits for all of its parts, whether they go through plugins or not.
#[test]
fn an_answer_waits_for_all_its_parts() {
    check(
        "ready plain 1
        ready orders 2
        attach orders
        produce plain/0:1 orders/0:2 orders/1:1 acks=1
        flushed plain/0 1
        transformed 1 refused
        transformed 0 empty
        flushed orders/0 2
        fetch orders/0@0",
        expect![[r#"
            ready plain 1
            ready orders 2
            attach orders
            produce plain/0:1 orders/0:2 orders/1:1 acks=1
                append 100 0..=0 epoch 0
                transform 0 2/0: 2
                transform 1 2/1: 1
            flushed plain/0 1
            transformed 1 refused
            transformed 0 empty
                append 200 0..=1 epoch 0
            flushed orders/0 2
                answer 0: at 0, at 0, INVALID_RECORD (it tastes of soap)
            fetch orders/0@0
                read #0 200 from 0 below 2 up to 1048576
        "#]],
    );
}

/// What was taken before, and what may not be taken, is answered without the plugins.
#[test]
fn sequences_are_judged_when_the_turn_comes() {
    check(
        "ready orders 1
        attach orders
        produce orders/0:2 acks=1 p=7/0/0
        produce orders/0:2 acks=1 p=7/0/0
        produce orders/0:1 acks=1 p=7/0/5
        produce orders/0:1 acks=1 p=7/0/2
        transformed 0
        flushed orders/0 2
        transformed 3
        flushed orders/0 3
        produce orders/0:1 acks=1 p=7/0/2",
        expect![[r#"
            ready orders 1
            attach orders
            produce orders/0:2 acks=1 p=7/0/0
                transform 0 1/0: 2
            produce orders/0:2 acks=1 p=7/0/0
            produce orders/0:1 acks=1 p=7/0/5
            produce orders/0:1 acks=1 p=7/0/2
            transformed 0
                append 100 0..=1 epoch 0
                answer 2: OUT_OF_ORDER_SEQUENCE_NUMBER (producer 7 sends sequence 5; 2 would follow)
                transform 3 1/0: 1
            flushed orders/0 2
                answer 0: at 0
                answer 1: at 0
            transformed 3
                append 100 2..=2 epoch 0
            flushed orders/0 3
                answer 3: at 2
            produce orders/0:1 acks=1 p=7/0/2
                answer 4: at 2
        "#]],
    );
}

#[test]
fn a_refused_batch_lets_the_next_one_go_on() {
    check(
        "ready orders 1
        attach orders
        produce orders/0:2 acks=1 p=7/0/0
        produce orders/0:1 acks=1 p=7/0/2
        transformed 0 refused
        produce orders/0:1 acks=1
        transformed 1
        transformed 2 size=2000000",
        expect![[r#"
            ready orders 1
            attach orders
            produce orders/0:2 acks=1 p=7/0/0
                transform 0 1/0: 2
            produce orders/0:1 acks=1 p=7/0/2
            transformed 0 refused
                answer 0: INVALID_RECORD (it tastes of soap)
                transform 1 1/0: 1
            produce orders/0:1 acks=1
            transformed 1
                append 100 0..=0 epoch 0
                transform 2 1/0: 1
            transformed 2 size=2000000
                answer 2: MESSAGE_TOO_LARGE (the plugins made 2000000 bytes of the batch; max.message.bytes allows 1048588)
        "#]],
    );
}

#[test]
fn what_waits_is_given_up_with_its_partition() {
    check(
        "ready orders 1
        attach orders
        produce orders/0:1 acks=1
        produce orders/0:1 acks=1
        delete orders
        transformed 0",
        expect![[r#"
            ready orders 1
            attach orders
            produce orders/0:1 acks=1
                transform 0 1/0: 1
            produce orders/0:1 acks=1
            delete orders
                answer 0: UNKNOWN_TOPIC_OR_PARTITION (this broker has no such topic or partition)
                answer 1: UNKNOWN_TOPIC_OR_PARTITION (this broker has no such topic or partition)
                Delete { partitions: [StorePartition(100)] }
            transformed 0
        "#]],
    );
}

/// A disk that fails loses what was not flushed; what goes through plugins is judged afterwards.
#[test]
fn a_disk_that_fails_loses_only_what_was_appended() {
    check(
        "ready orders 1
        attach orders
        produce orders/0:1 acks=1 p=7/0/0
        produce orders/0:1 acks=1 p=7/0/1
        transformed 0
        failed orders/0 0
        transformed 1
        produce orders/0:1 acks=1 p=7/0/0
        transformed 2",
        expect![[r#"
            ready orders 1
            attach orders
            produce orders/0:1 acks=1 p=7/0/0
                transform 0 1/0: 1
            produce orders/0:1 acks=1 p=7/0/1
            transformed 0
                append 100 0..=0 epoch 0
                transform 1 1/0: 1
            failed orders/0 0
                answer 0: KAFKA_STORAGE_ERROR
                DiskFailed { partition: PartitionKey { topic: TopicId([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), index: PartitionIndex(0) }, from: Offset(0), lost_acknowledged: false, reason: "the disk is full" }
            transformed 1
                answer 1: OUT_OF_ORDER_SEQUENCE_NUMBER (producer 7 sends sequence 1; 0 would follow)
            produce orders/0:1 acks=1 p=7/0/0
                transform 2 1/0: 1
            transformed 2
                append 100 0..=0 epoch 0
        "#]],
    );
}

#[test]
fn time_is_up_for_answers_and_not_for_batches() {
    check(
        "ready orders 1
        attach orders
        produce orders/0:1 acks=1 timeout=100
        wake 100
        transformed 0
        flushed orders/0 1",
        expect![[r#"
            ready orders 1
            attach orders
            produce orders/0:1 acks=1 timeout=100
                transform 0 1/0: 1
            wake 100
                answer 0: REQUEST_TIMED_OUT
            transformed 0
                append 100 0..=0 epoch 0
            flushed orders/0 1
        "#]],
    );
}

/// Batches keep their order also when plugins come and go.
#[test]
fn what_is_detached_waits_for_its_turn_all_the_same() {
    check(
        "ready orders 1
        produce orders/0:1 acks=1
        attach orders
        produce orders/0:1 acks=1
        detach orders
        produce orders/0:1 acks=1
        transformed 0
        produce orders/0:1 acks=1
        flushed orders/0 4",
        expect![[r#"
            ready orders 1
            produce orders/0:1 acks=1
                append 100 0..=0 epoch 0
            attach orders
            produce orders/0:1 acks=1
                transform 0 1/0: 1
            detach orders
            produce orders/0:1 acks=1
            transformed 0
                append 100 1..=1 epoch 0
                append 100 2..=2 epoch 0
            produce orders/0:1 acks=1
                append 100 3..=3 epoch 0
            flushed orders/0 4
                answer 0: at 0
                answer 1: at 1
                answer 2: at 2
                answer 3: at 3
        "#]],
    );
}

#[test]
fn what_waits_is_bounded() {
    check(
        "ready orders 1
        attach orders
        produce orders/0:1 acks=1 size=67108864
        produce orders/0:1 acks=1",
        expect![[r#"
            ready orders 1
            attach orders
            produce orders/0:1 acks=1 size=67108864
                transform 0 1/0: 1
            produce orders/0:1 acks=1
                answer 1: REQUEST_TIMED_OUT (67108867 bytes wait for plugins already; try again)
        "#]],
    );
}
