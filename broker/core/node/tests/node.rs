//! One shard by script: lines of events in, lines of effects out.

mod common;

use common::check;
use expect_test::expect;

#[test]
fn an_image_opens_partitions_and_a_deleted_topic_closes_them() {
    check(
        "broker
         topic t 2
         opened t 0
         agree topic u 1
         delete t
         opened t 1
         opened u 0",
        expect![[r#"
            broker
            topic t 2
                open 1/0 1/1
            opened t 0
            agree topic u 1
                open 2/0
            delete t
                Delete { partitions: [StorePartition(100)] }
            opened t 1
                Delete { partitions: [StorePartition(101)] }
            opened u 0
        "#]],
    );
}

#[test]
fn answers_wait_for_the_disk() {
    check(
        "ready t 2
         produce t/0:2 acks=all
         produce t/0:1 t/1:1 acks=1
         produce t/1:5 acks=0
         flushed t/0 2
         flushed t/1 1
         flushed t/0 3
         flushed t/1 6
         produce nope/0:1",
        expect![[r#"
            ready t 2
            produce t/0:2 acks=all
                append 100 0..=1 epoch 0
            produce t/0:1 t/1:1 acks=1
                append 100 2..=2 epoch 0
                append 101 0..=0 epoch 0
            produce t/1:5 acks=0
                append 101 1..=5 epoch 0
            flushed t/0 2
                answer 0: at 0
            flushed t/1 1
            flushed t/0 3
                answer 1: at 2, at 0
            flushed t/1 6
                answer 2: at 1
            produce nope/0:1
                answer 3: UNKNOWN_TOPIC_OR_PARTITION
        "#]],
    );
}

#[test]
fn duplicates_wait_for_the_first() {
    check(
        "ready t 1
         produce t/0:2 p=7/0/0
         produce t/0:2 p=7/0/0
         flushed t/0 2
         produce t/0:2 p=7/0/0
         produce t/0:1 p=7/0/5",
        expect![[r#"
            ready t 1
            produce t/0:2 p=7/0/0
                append 100 0..=1 epoch 0
            produce t/0:2 p=7/0/0
            flushed t/0 2
                answer 0: at 0
                answer 1: at 0
            produce t/0:2 p=7/0/0
                answer 2: at 0
            produce t/0:1 p=7/0/5
                answer 3: OUT_OF_ORDER_SEQUENCE_NUMBER (producer 7 sends sequence 5; 2 would follow)
        "#]],
    );
}

#[test]
fn what_takes_too_long_times_out() {
    check(
        "ready t 2
         produce t/0:1 t/1:1 timeout=100
         flushed t/1 1
         wake 99
         wake 100
         flushed t/0 1",
        expect![[r#"
            ready t 2
            produce t/0:1 t/1:1 timeout=100
                append 100 0..=0 epoch 0
                append 101 0..=0 epoch 0
            flushed t/1 1
            wake 99
            wake 100
                answer 0: REQUEST_TIMED_OUT, at 0
            flushed t/0 1
        "#]],
    );
}

#[test]
fn a_failed_disk_answers_with_errors() {
    check(
        "ready t 1
         produce t/0:1
         produce t/0:2
         flushed t/0 1
         produce t/0:1
         failed t/0 1
         produce t/0:1
         flushed t/0 2",
        expect![[r#"
            ready t 1
            produce t/0:1
                append 100 0..=0 epoch 0
            produce t/0:2
                append 100 1..=2 epoch 0
            flushed t/0 1
                answer 0: at 0
            produce t/0:1
                append 100 3..=3 epoch 0
            failed t/0 1
                answer 1: KAFKA_STORAGE_ERROR
                answer 2: KAFKA_STORAGE_ERROR
                DiskFailed { partition: PartitionKey { topic: TopicId([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), index: PartitionIndex(0) }, from: Offset(1), lost_acknowledged: false, reason: "the disk is full" }
            produce t/0:1
                append 100 1..=1 epoch 0
            flushed t/0 2
                answer 3: at 1
        "#]],
    );
}

#[test]
fn fetches_wait_for_records() {
    check(
        "ready t 2
         fetch t/0@0 t/1@0 wait=500
         produce t/1:1
         flushed t/1 1
         read 0 t/1 1
         fetch t/0@0 wait=500
         wake 500
         fetch t/0@0 wait=0",
        expect![[r#"
            ready t 2
            fetch t/0@0 t/1@0 wait=500
            produce t/1:1
                append 101 0..=0 epoch 0
            flushed t/1 1
                answer 1: at 0
                read #0 101 from 0 below 1 up to 1048576
            read 0 t/1 1
                answer 0: [] high 0, [0..=0] high 1
            fetch t/0@0 wait=500
            wake 500
                answer 2: [] high 0
            fetch t/0@0 wait=0
                answer 3: [] high 0
        "#]],
    );
}

#[test]
fn fetches_read_in_waves_up_to_their_limits() {
    check(
        "ready t 3
         produce t/0:1 size=500
         produce t/0:1 size=500
         produce t/1:1 size=500
         produce t/2:1 size=500
         flushed t/0 2
         flushed t/1 1
         flushed t/2 1
         fetch t/0@0 t/1@0 t/2@0 wait=500 min=1 max=1200 part=600
         read 0 t/0 1
         read 1 t/1 1
         fetch t/0@0 t/1@0 wait=500 min=1 max=10 part=10
         read 2 t/0 1",
        expect![[r#"
            ready t 3
            produce t/0:1 size=500
                append 100 0..=0 epoch 0
            produce t/0:1 size=500
                append 100 1..=1 epoch 0
            produce t/1:1 size=500
                append 101 0..=0 epoch 0
            produce t/2:1 size=500
                append 102 0..=0 epoch 0
            flushed t/0 2
                answer 0: at 0
                answer 1: at 1
            flushed t/1 1
                answer 2: at 0
            flushed t/2 1
                answer 3: at 0
            fetch t/0@0 t/1@0 t/2@0 wait=500 min=1 max=1200 part=600
                read #0 100 from 0 below 2 up to 600
                read #1 101 from 0 below 1 up to 600
            read 0 t/0 1
            read 1 t/1 1
                read #2 102 from 0 below 1 up to 202
            fetch t/0@0 t/1@0 wait=500 min=1 max=10 part=10
                read #3 100 from 0 below 2 up to 10
            read 2 t/0 1
                answer 4: [1..=1] high 2, [0..=0] high 1, [] high 1
        "#]],
    );
}

#[test]
fn min_bytes_are_collected_over_several_reads() {
    check(
        "ready t 1
         produce t/0:1 size=100
         flushed t/0 1
         fetch t/0@0 wait=500 min=300 max=10000 part=10000
         read 0 t/0 1
         produce t/0:1 size=100
         flushed t/0 2
         read 1 t/0 1
         fetch t/0@2 wait=500 min=300
         hurry 3",
        expect![[r#"
            ready t 1
            produce t/0:1 size=100
                append 100 0..=0 epoch 0
            flushed t/0 1
                answer 0: at 0
            fetch t/0@0 wait=500 min=300 max=10000 part=10000
                read #0 100 from 0 below 1 up to 10000
            read 0 t/0 1
            produce t/0:1 size=100
                append 100 1..=1 epoch 0
            flushed t/0 2
                answer 2: at 1
                read #1 100 from 1 below 2 up to 9903
            read 1 t/0 1
            fetch t/0@2 wait=500 min=300
            hurry 3
                answer 3: [] high 2
        "#]],
    );
}

#[test]
fn fetches_meet_errors() {
    check(
        "ready t 1
         fetch t/0@1 wait=500
         fetch t/0@0 epoch=9 wait=500
         fetch nope/0@0 wait=500
         fetch t/0@0 wait=500
         delete t
         ready u 1
         produce u/0:1
         flushed u/0 1
         fetch u/0@0
         read-fails 0",
        expect![[r#"
            ready t 1
            fetch t/0@1 wait=500
                answer 0: OFFSET_OUT_OF_RANGE high 0
            fetch t/0@0 epoch=9 wait=500
                answer 1: UNKNOWN_LEADER_EPOCH high 0
            fetch nope/0@0 wait=500
                answer 2: UNKNOWN_TOPIC_OR_PARTITION high -1
            fetch t/0@0 wait=500
            delete t
                answer 3: UNKNOWN_TOPIC_OR_PARTITION high -1
                Delete { partitions: [StorePartition(100)] }
            ready u 1
            produce u/0:1
                append 200 0..=0 epoch 0
            flushed u/0 1
                answer 4: at 0
            fetch u/0@0
                read #0 200 from 0 below 1 up to 1048576
            read-fails 0
                answer 5: KAFKA_STORAGE_ERROR high 1
        "#]],
    );
}

#[test]
fn offsets_by_position_and_time() {
    check(
        "ready t 1
         produce t/0:3
         offsets t/0 earliest
         offsets t/0 latest
         flushed t/0 3
         offsets t/0 latest
         offsets t/0 1001
         found 0 t/0 3
         offsets t/0 max
         read 1 t/0 3
         offsets t/0 9999
         found-nothing 2
         epoch-end t/0 1
         epoch-end t/0 7",
        expect![[r#"
            ready t 1
            produce t/0:3
                append 100 0..=2 epoch 0
            offsets t/0 earliest
                answer 1: 0 epoch 0
            offsets t/0 latest
                answer 2: 0 epoch 0
            flushed t/0 3
                answer 0: at 0
            offsets t/0 latest
                answer 3: 3 epoch 0
            offsets t/0 1001
                find #0 100 time 1 below 3
            found 0 t/0 3
                answer 4: 1 time 1 epoch 0
            offsets t/0 max
                read #1 100 from 0 below 3 up to 1
            read 1 t/0 3
                answer 5: 2 time 2 epoch 0
            offsets t/0 9999
                find #2 100 time 8999 below 3
            found-nothing 2
                answer 6: nothing
            epoch-end t/0 1
                answer 7: EpochEnds([EpochEndResult { error: None, epoch: LeaderEpoch(-1), end: Offset(-1) }])
            epoch-end t/0 7
                answer 8: EpochEnds([EpochEndResult { error: None, epoch: LeaderEpoch(-1), end: Offset(-1) }])
        "#]],
    );
}

#[test]
fn times_are_looked_for_behind_the_start_of_the_log() {
    // The batch 0..=4 straddles the start: its records below 3 are gone.
    check(
        "ready t 1
         produce t/0:5
         flushed t/0 5
         delete-records t/0 3
         started t/0 3
         offsets t/0 1001
         found 0 t/0 5
         offsets t/0 1004
         found 1 t/0 5
         offsets t/0 1001
         started t/0 5
         found 2 t/0 5",
        expect![[r#"
            ready t 1
            produce t/0:5
                append 100 0..=4 epoch 0
            flushed t/0 5
                answer 0: at 0
            delete-records t/0 3
                MoveStart { partition: StorePartition(100), to: Offset(3) }
            started t/0 3
                answer 1: DeleteRecords([(None, Offset(3))])
            offsets t/0 1001
                find #0 100 time 1 below 5
            found 0 t/0 5
                answer 2: 3 time 3 epoch 0
            offsets t/0 1004
                find #1 100 time 4 below 5
            found 1 t/0 5
                answer 3: 4 time 4 epoch 0
            offsets t/0 1001
                find #2 100 time 1 below 5
            started t/0 5
            found 2 t/0 5
                answer 4: 5 epoch 0
        "#]],
    );
}

#[test]
fn records_are_deleted_when_the_log_says_so() {
    check(
        "ready t 1
         produce t/0:5
         flushed t/0 5
         delete-records t/0 3
         delete-records t/0 2
         delete-records t/0 9
         started t/0 3
         delete-records t/0 1
         delete-records t/0 all timeout=50
         wake 50
         fetch t/0@2 wait=100",
        expect![[r#"
            ready t 1
            produce t/0:5
                append 100 0..=4 epoch 0
            flushed t/0 5
                answer 0: at 0
            delete-records t/0 3
                MoveStart { partition: StorePartition(100), to: Offset(3) }
            delete-records t/0 2
            delete-records t/0 9
                answer 3: DeleteRecords([(OffsetOutOfRange, Offset(-1))])
            started t/0 3
                answer 1: DeleteRecords([(None, Offset(3))])
                answer 2: DeleteRecords([(None, Offset(3))])
            delete-records t/0 1
                answer 4: DeleteRecords([(None, Offset(3))])
            delete-records t/0 all timeout=50
                MoveStart { partition: StorePartition(100), to: Offset(5) }
            wake 50
                answer 5: DeleteRecords([(RequestTimedOut, Offset(-1))])
            fetch t/0@2 wait=100
                answer 6: OFFSET_OUT_OF_RANGE high 5
        "#]],
    );
}

#[test]
fn questions_wait_while_partitions_open() {
    check(
        "broker
         topic t 2
         opened t 0
         produce t/0:1 t/1:1
         produce t/0:1
         fetch t/1@0 wait=0
         opened t 1
         flushed t/0 2
         produce t/0:1 seen=99
         topic u 1
         produce u/0:1
         wake 30000",
        expect![[r#"
            broker
            topic t 2
                open 1/0 1/1
            opened t 0
            produce t/0:1 t/1:1
            produce t/0:1
            fetch t/1@0 wait=0
            opened t 1
                append 100 0..=0 epoch 0
                append 101 0..=0 epoch 0
                append 100 1..=1 epoch 0
                answer 2: [] high 0
            flushed t/0 2
                answer 1: at 1
            produce t/0:1 seen=99
            topic u 1
                open 2/0
            produce u/0:1
            wake 30000
                answer 0: at 0, REQUEST_TIMED_OUT
                append 100 2..=2 epoch 0
                answer 4: LEADER_NOT_AVAILABLE
        "#]],
    );
}

#[test]
fn commands_are_agreed_one_after_the_other() {
    check(
        "broker
         command create a 1
         command create a 1
         command create b 1
         command create c 1
         agreed
         agreed
         refused
         command ids",
        expect![[r#"
            broker
            command create a 1
                propose 2 records
            command create a 1
            command create b 1
            command create c 1
            agreed
                open 1/0
                answer 0: NONE
                answer 1: TOPIC_ALREADY_EXISTS
                propose 2 records
            agreed
                open 2/0
                answer 2: NONE
                propose 2 records
            refused
                answer 3: Meta(Err(NotAgreed))
            command ids
                propose 1 records
        "#]],
    );
}

#[test]
fn producer_ids_come_in_blocks() {
    check(
        "broker
         producer-id
         producer-id
         agreed
         producer-id",
        expect![[r#"
            broker
            producer-id
                propose 1 records
            producer-id
            agreed
                answer 0: ProducerId(Ok(ProducerId(0)))
                answer 1: ProducerId(Ok(ProducerId(1)))
            producer-id
                answer 2: ProducerId(Ok(ProducerId(2)))
        "#]],
    );
}

#[test]
fn retention_and_expiry_run_by_the_clock() {
    check(
        "broker
         topic t 1 retention.ms=1000 retention.bytes=50
         opened t 0
         produce t/0:1 p=1/0/0
         flushed t/0 1
         wake 300000
         started t/0 1
         wake 86400001
         sizes",
        expect![[r#"
            broker
            topic t 1 retention.ms=1000 retention.bytes=50
                open 1/0
            opened t 0
            produce t/0:1 p=1/0/0
                append 100 0..=0 epoch 0
            flushed t/0 1
                answer 0: at 0
            wake 300000
                retain 100 older than Some(299000) above Some(50) below 1
            started t/0 1
            wake 86400001
                ExpireProducers { partition: StorePartition(100), oldest: TimestampMs(1000001) }
            sizes
                answer 1: [9]
        "#]],
    );
}

#[test]
fn a_broken_partition_answers_with_errors() {
    check(
        "ready t 1
         produce t/0:1
         fetch t/0@0 wait=100
         offline t/0
         produce t/0:1
         broker
         topic u 1
         produce u/0:1
         open-failed u 0
         delete u t",
        expect![[r#"
            ready t 1
            produce t/0:1
                append 100 0..=0 epoch 0
            fetch t/0@0 wait=100
            offline t/0
                Offline { partition: PartitionKey { topic: TopicId([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), index: PartitionIndex(0) }, reason: "it is damaged" }
                answer 0: KAFKA_STORAGE_ERROR
                answer 1: KAFKA_STORAGE_ERROR high -1
            produce t/0:1
                answer 2: KAFKA_STORAGE_ERROR
            broker
            topic u 1
                open 2/0
            produce u/0:1
            open-failed u 0
                Offline { partition: PartitionKey { topic: TopicId([2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]), index: PartitionIndex(0) }, reason: "it is damaged" }
                answer 3: KAFKA_STORAGE_ERROR
            delete u t
                Delete { partitions: [StorePartition(100)] }
        "#]],
    );
}
