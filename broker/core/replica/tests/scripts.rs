//! One partition by script: lines of events in, lines of outcomes out; and properties of order
//! and duplicates on random schedules.

use bytes::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::fmt::Write;
use weir_replica::{AppendRules, Outcome, Replica, Sequences};
use weir_types::{
    Batch, BatchHeader, LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId, Sequence, Tick,
    TimestampMs,
    batch::{HEADER_BYTES, write_header},
    log::LogState,
};

const RULES: AppendRules = AppendRules {
    sequences: Sequences::Contiguous,
    log_append_time: false,
    min_insync_replicas: 1,
    forget_sequences: false,
};

fn batch(records: i32, timestamp: i64, producer: (i64, i16, i32), payload: usize) -> Batch {
    let mut bytes = vec![0; HEADER_BYTES + payload];
    let header = BatchHeader {
        base_offset: Offset(0),
        size_bytes: bytes.len(),
        leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: 0,
        last_offset_delta: records - 1,
        base_timestamp: TimestampMs(timestamp),
        max_timestamp: TimestampMs(timestamp),
        producer_id: ProducerId(producer.0),
        producer_epoch: ProducerEpoch(producer.1),
        base_sequence: Sequence(producer.2),
        record_count: records,
    };
    write_header(&mut bytes, &header);
    Batch::parse(&Bytes::from(bytes)).unwrap()
}

/// `lead EPOCH [insync]`, `resign EPOCH`, `append N [t=MS] [p=ID/EPOCH/SEQ] [size=N] [min=N]`,
/// `ascending`, `cut END` (a disk fails and leaves what is below), `restart`,
/// `now MS`, `log-append-time`, `flushed END`, `start N`, `failed END`, `delete TO|all`,
/// `epoch E`, `fetch FROM [epoch=E] [last=E]`, `expire OLDEST`, `show`.
fn check(script: &str, expected: Expect) {
    let mut world = World {
        replica: Replica::open(LogState::default()),
        rules: RULES,
        wall: 5000,
        metas: Vec::new(),
    };
    let mut out = String::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let said = world.line(line);
        world.replica.check();
        writeln!(
            out,
            "{}",
            format!("{line}: {said}").trim_end().trim_end_matches(':')
        )
        .unwrap();
    }
    expected.assert_eq(&out);
}

/// Reads `TIME@OFFSET`.
fn time_at(text: &str) -> (TimestampMs, Offset) {
    let (time, offset) = text.split_once('@').unwrap();
    let time = TimestampMs(time.parse().unwrap());
    (time, Offset(offset.parse().unwrap()))
}

/// What a script acts on.
struct World {
    replica: Replica,
    rules: AppendRules,
    wall: i64,
    /// Of what was appended.
    metas: Vec<weir_types::BatchMeta>,
}

impl World {
    /// What the log holds below `end`, as a scan of its headers finds it.
    fn left(&mut self, end: Offset) -> LogState {
        self.metas.retain(|meta| meta.base_offset < end);
        let mut state = LogState {
            end,
            ..LogState::default()
        };
        self.metas.iter().for_each(|m| state.producers.apply(m));
        state
    }

    fn line(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).map_or(-1, |w| w.parse::<i64>().unwrap());
        let option = |key: &str| {
            words
                .iter()
                .find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
        };
        let epoch = |text: &str| LeaderEpoch(text.parse().unwrap());
        match words[0] {
            "lead" => {
                let insync = usize::try_from(number(2)).unwrap_or(1);
                format!("{}", self.replica.lead(epoch(words[1]), insync))
            }
            "resign" => {
                self.replica.resign(epoch(words[1]));
                String::new()
            }
            "append" => self.append(number(1) as i32, &words),
            "flushed" => format!("{}", self.replica.flushed(Offset(number(1)))),
            "start" => {
                let max = option("max").map(time_at);
                self.replica.start_moved(Offset(number(1)), 7, max);
                String::new()
            }
            "failed" => {
                let state = LogState {
                    start: self.replica.log_start(),
                    end: Offset(number(1)),
                    ..LogState::default()
                };
                format!("{:?}", self.replica.reset(state))
            }
            "delete" => {
                let to = (words[1] != "all").then(|| Offset(number(1)));
                format!("{:?}", self.replica.delete_records(to))
            }
            "epoch" => format!("{:?}", self.replica.epoch_end(epoch(words[1]))),
            "fetch" => {
                let leader = self.replica.check_leader(option("epoch").map(epoch));
                let from = Offset(number(1));
                let diverges = option("last").map(|last| self.replica.diverges(epoch(last), from));
                format!(
                    "{leader:?} {:?} {diverges:?}",
                    self.replica.check_fetch(from)
                )
            }
            "expire" => {
                self.replica.expire_producers(TimestampMs(number(1)));
                format!("{} left", self.replica.producers().len())
            }
            "show" => format!(
                "start {} high {} flushed {} end {} epochs {:?} max {:?}",
                self.replica.log_start(),
                self.replica.high_watermark(),
                self.replica.flushed_end(),
                self.replica.log_end(),
                self.replica.epochs(),
                self.replica.max_timestamp(),
            ),
            _ => self.change(&words),
        }
    }

    /// Lines that change what is around the replica.
    fn change(&mut self, words: &[&str]) -> String {
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        match words[0] {
            "now" => {
                self.wall = number(1);
            }
            "ascending" => {
                self.rules.sequences = Sequences::Ascending;
            }
            "cut" => {
                let state = self.left(Offset(number(1)));
                self.replica.reset(state);
            }
            "restart" => {
                let state = self.left(self.replica.log_end());
                let epoch = LeaderEpoch(self.replica.epoch().0 + 1);
                self.replica = Replica::open(state);
                self.replica.lead(epoch, 1);
            }
            "log-append-time" => {
                self.rules.log_append_time = true;
            }
            other => panic!("no such line: {other}"),
        }
        String::new()
    }

    fn append(&mut self, records: i32, words: &[&str]) -> String {
        let option = |key: &str| {
            words
                .iter()
                .find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
        };
        let time = option("t").map_or(self.wall, |t| t.parse().unwrap());
        let producer = option("p").map_or((-1, -1, -1), |text| {
            let p: Vec<i64> = text.split('/').map(|n| n.parse().unwrap()).collect();
            (p[0], p[1] as i16, p[2] as i32)
        });
        let size = option("size").map_or(10, |n| n.parse().unwrap());
        self.rules.min_insync_replicas = option("min").map_or(1, |n| n.parse().unwrap());
        let batch = batch(records, time, producer, size);
        let now = Now {
            tick: Tick(0),
            wall: TimestampMs(self.wall),
        };
        let header = batch.header();
        match self.replica.append(now, batch, &header, &self.rules) {
            Ok(appended) => match appended.outcome {
                Outcome::New { batch, meta } => {
                    self.metas.push(meta);
                    format!(
                        "at {} epoch {} time {} max {}",
                        meta.base_offset,
                        batch.header().leader_epoch,
                        appended.log_append_time.0,
                        meta.max_timestamp.0,
                    )
                }
                Outcome::Duplicate => {
                    format!(
                        "duplicate of {}, ends {}",
                        appended.base_offset, appended.end
                    )
                }
            },
            Err(error) => format!("{} [{}]", error, error.code().name()),
        }
    }
}

#[test]
fn offsets_follow_and_the_high_watermark_follows_the_disk() {
    check(
        "append 1
         lead 3
         append 2
         append 3
         show
         flushed 2
         show
         flushed 5
         flushed 5
         show
         resign 4
         append 1
         fetch 0",
        expect![[r#"
            append 1: this broker does not lead the partition [NOT_LEADER_OR_FOLLOWER]
            lead 3: false
            append 2: at 0 epoch 3 time -1 max 5000
            append 3: at 2 epoch 3 time -1 max 5000
            show: start 0 high 0 flushed 0 end 5 epochs [(LeaderEpoch(3), Offset(0))] max Some((TimestampMs(5000), Offset(0)))
            flushed 2: true
            show: start 0 high 2 flushed 2 end 5 epochs [(LeaderEpoch(3), Offset(0))] max Some((TimestampMs(5000), Offset(0)))
            flushed 5: true
            flushed 5: false
            show: start 0 high 5 flushed 5 end 5 epochs [(LeaderEpoch(3), Offset(0))] max Some((TimestampMs(5000), Offset(0)))
            resign 4
            append 1: this broker does not lead the partition [NOT_LEADER_OR_FOLLOWER]
            fetch 0: Err(NotLeaderOrFollower) Ok(()) None
        "#]],
    );
}

#[test]
fn acks_of_all_need_replicas_in_sync() {
    check(
        "lead 0
         append 1 t=4000
         append 1 t=6000
         append 1 t=-1
         append 1 min=2
         show",
        expect![[r#"
            lead 0: false
            append 1 t=4000: at 0 epoch 0 time -1 max 4000
            append 1 t=6000: at 1 epoch 0 time -1 max 6000
            append 1 t=-1: at 2 epoch 0 time -1 max -1
            append 1 min=2: 1 replicas are in sync; min.insync.replicas asks for 2 [NOT_ENOUGH_REPLICAS]
            show: start 0 high 0 flushed 0 end 3 epochs [(LeaderEpoch(0), Offset(0))] max Some((TimestampMs(6000), Offset(1)))
        "#]],
    );
}

#[test]
fn the_brokers_time_is_written_where_it_counts() {
    check(
        "lead 0
         log-append-time
         now 7777
         append 2 t=1
         show",
        expect![[r#"
            lead 0: false
            log-append-time
            now 7777
            append 2 t=1: at 0 epoch 0 time 7777 max 7777
            show: start 0 high 0 flushed 0 end 2 epochs [(LeaderEpoch(0), Offset(0))] max Some((TimestampMs(7777), Offset(0)))
        "#]],
    );
}

#[test]
fn producers_keep_their_order() {
    check(
        "lead 0
         append 2 p=1/0/0
         append 3 p=1/0/2
         append 1 p=1/0/7
         append 3 p=1/0/2
         append 2 p=1/0/0
         append 1 p=1/0/5
         append 1 p=1/0/6
         append 1 p=1/0/7
         append 1 p=1/0/8
         append 2 p=1/0/0
         append 1 p=1/0/8
         append 1 p=2/0/40
         append 1 p=2/0/41
         append 1 p=2/0/43",
        expect![[r#"
            lead 0: false
            append 2 p=1/0/0: at 0 epoch 0 time -1 max 5000
            append 3 p=1/0/2: at 2 epoch 0 time -1 max 5000
            append 1 p=1/0/7: producer 1 sends sequence 7; 5 would follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 3 p=1/0/2: duplicate of 2, ends 5
            append 2 p=1/0/0: duplicate of 0, ends 2
            append 1 p=1/0/5: at 5 epoch 0 time -1 max 5000
            append 1 p=1/0/6: at 6 epoch 0 time -1 max 5000
            append 1 p=1/0/7: at 7 epoch 0 time -1 max 5000
            append 1 p=1/0/8: at 8 epoch 0 time -1 max 5000
            append 2 p=1/0/0: producer 1 sends sequence 0; 9 would follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 1 p=1/0/8: duplicate of 8, ends 9
            append 1 p=2/0/40: at 9 epoch 0 time -1 max 5000
            append 1 p=2/0/41: at 10 epoch 0 time -1 max 5000
            append 1 p=2/0/43: producer 2 sends sequence 43; 42 would follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
        "#]],
    );
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old() {
    check(
        "lead 0
         append 2 p=1/3/0
         append 2 p=1/4/2
         append 2 p=1/4/0
         append 2 p=1/3/2
         append 2 p=1/4/2",
        expect![[r#"
            lead 0: false
            append 2 p=1/3/0: at 0 epoch 0 time -1 max 5000
            append 2 p=1/4/2: producer 1 sends sequence 2; 0 would follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 2 p=1/4/0: at 2 epoch 0 time -1 max 5000
            append 2 p=1/3/2: producer 1 has epoch 3, but epoch 4 has written already [INVALID_PRODUCER_EPOCH]
            append 2 p=1/4/2: at 4 epoch 0 time -1 max 5000
        "#]],
    );
}

#[test]
fn sequences_wrap() {
    check(
        "lead 0
         append 2 p=1/0/2147483646
         append 1 p=1/0/0
         append 3 p=2/0/2147483646
         append 1 p=2/0/1
         append 3 p=2/0/2147483646",
        expect![[r#"
            lead 0: false
            append 2 p=1/0/2147483646: at 0 epoch 0 time -1 max 5000
            append 1 p=1/0/0: at 2 epoch 0 time -1 max 5000
            append 3 p=2/0/2147483646: at 3 epoch 0 time -1 max 5000
            append 1 p=2/0/1: at 6 epoch 0 time -1 max 5000
            append 3 p=2/0/2147483646: duplicate of 3, ends 6
        "#]],
    );
}

#[test]
fn a_producer_of_whom_nothing_is_left_begins_with_what_was_lost() {
    check(
        "lead 0
         append 2 p=1/0/7
         append 1 p=1/0/9
         failed 0
         append 1 p=1/0/9
         append 2 p=1/0/7
         append 1 p=1/0/9
         append 1 p=2/0/5",
        expect![[r#"
            lead 0: false
            append 2 p=1/0/7: at 0 epoch 0 time -1 max 5000
            append 1 p=1/0/9: at 2 epoch 0 time -1 max 5000
            failed 0: Damage { from: Offset(0), below_high_watermark: false }
            append 1 p=1/0/9: producer 1 sends sequence 9; 7 would follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 2 p=1/0/7: at 0 epoch 0 time -1 max 5000
            append 1 p=1/0/9: at 2 epoch 0 time -1 max 5000
            append 1 p=2/0/5: at 3 epoch 0 time -1 max 5000
        "#]],
    );
}

/// What goes to one of several partitions leaves gaps: a batch ends at the sequence of its last
/// record, and what ends where another one ended, or before, was taken before.
#[test]
fn sequences_that_only_ascend_leave_gaps() {
    check(
        "lead 1
        ascending
        append 2 p=7/0/5
        append 1 p=7/0/9
        append 1 p=7/0/9
        append 2 p=7/0/5
        append 1 p=7/0/6
        append 1 p=7/0/3
        append 3 p=7/0/8
        append 1 p=7/1/2
        append 1 p=7/0/20
        append 1 p=7/1/4
        append 1 p=7/1/5
        append 1 p=7/1/6
        append 1 p=7/1/7
        append 1 p=7/1/8
        append 1 p=7/1/2
        restart
        append 1 p=7/1/1
        append 1 p=7/1/8
        append 2 p=7/1/8
        append 2 p=7/1/30",
        expect![[r#"
            lead 1: false
            ascending
            append 2 p=7/0/5: at 0 epoch 1 time -1 max 5000
            append 1 p=7/0/9: at 2 epoch 1 time -1 max 5000
            append 1 p=7/0/9: duplicate of 2, ends 3
            append 2 p=7/0/5: duplicate of 0, ends 2
            append 1 p=7/0/6: duplicate of -1, ends 2
            append 1 p=7/0/3: duplicate of -1, ends 2
            append 3 p=7/0/8: producer 7 sends sequences 8 to 10; 10 is the least that may follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 1 p=7/1/2: at 3 epoch 1 time -1 max 5000
            append 1 p=7/0/20: producer 7 has epoch 0, but epoch 1 has written already [INVALID_PRODUCER_EPOCH]
            append 1 p=7/1/4: at 4 epoch 1 time -1 max 5000
            append 1 p=7/1/5: at 5 epoch 1 time -1 max 5000
            append 1 p=7/1/6: at 6 epoch 1 time -1 max 5000
            append 1 p=7/1/7: at 7 epoch 1 time -1 max 5000
            append 1 p=7/1/8: at 8 epoch 1 time -1 max 5000
            append 1 p=7/1/2: duplicate of -1, ends 5
            restart
            append 1 p=7/1/1: duplicate of -1, ends 5
            append 1 p=7/1/8: duplicate of 8, ends 9
            append 2 p=7/1/8: producer 7 sends sequences 8 to 9; 9 is the least that may follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 2 p=7/1/30: at 9 epoch 2 time -1 max 5000
        "#]],
    );
}

#[test]
fn ascending_sequences_wrap() {
    check(
        "lead 1
        ascending
        append 2 p=7/0/2147483640
        append 3 p=7/0/2147483646
        append 1 p=7/0/2147483646
        append 1 p=7/0/0
        append 2 p=7/0/0
        append 1 p=7/0/1
        append 1 p=7/0/2147483641",
        expect![[r#"
            lead 1: false
            ascending
            append 2 p=7/0/2147483640: at 0 epoch 1 time -1 max 5000
            append 3 p=7/0/2147483646: at 2 epoch 1 time -1 max 5000
            append 1 p=7/0/2147483646: duplicate of -1, ends 5
            append 1 p=7/0/0: duplicate of -1, ends 5
            append 2 p=7/0/0: producer 7 sends sequences 0 to 1; 1 is the least that may follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 1 p=7/0/1: at 5 epoch 1 time -1 max 5000
            append 1 p=7/0/2147483641: duplicate of -1, ends 2
        "#]],
    );
}

/// A gap that a failed disk left is not taken for one of those that are meant.
#[test]
fn ascending_producers_send_again_what_a_disk_lost() {
    check(
        "lead 1
        ascending
        append 2 p=7/0/5
        append 2 p=7/0/11
        append 2 p=7/0/21
        append 1 p=8/0/3
        cut 2
        append 1 p=7/0/31
        append 2 p=7/0/21
        append 2 p=7/0/5
        append 2 p=8/0/9
        append 1 p=8/0/2
        append 2 p=7/0/11
        append 2 p=7/0/21
        append 1 p=7/0/31",
        expect![[r#"
            lead 1: false
            ascending
            append 2 p=7/0/5: at 0 epoch 1 time -1 max 5000
            append 2 p=7/0/11: at 2 epoch 1 time -1 max 5000
            append 2 p=7/0/21: at 4 epoch 1 time -1 max 5000
            append 1 p=8/0/3: at 6 epoch 1 time -1 max 5000
            cut 2
            append 1 p=7/0/31: producer 7 sends sequences 31 to 31; 11 is the least that may follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 2 p=7/0/21: producer 7 sends sequences 21 to 22; 11 is the least that may follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 2 p=7/0/5: duplicate of 0, ends 2
            append 2 p=8/0/9: producer 8 sends sequences 9 to 10; 3 is the least that may follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
            append 1 p=8/0/2: at 2 epoch 1 time -1 max 5000
            append 2 p=7/0/11: at 3 epoch 1 time -1 max 5000
            append 2 p=7/0/21: at 5 epoch 1 time -1 max 5000
            append 1 p=7/0/31: at 7 epoch 1 time -1 max 5000
        "#]],
    );
}

#[test]
fn a_failed_disk_takes_back_what_was_not_flushed() {
    check(
        "lead 0
         append 2 p=1/0/0
         flushed 2
         append 3 p=1/0/2
         failed 2
         show
         append 3 p=1/0/2
         failed 0
         show",
        expect![[r#"
            lead 0: false
            append 2 p=1/0/0: at 0 epoch 0 time -1 max 5000
            flushed 2: true
            append 3 p=1/0/2: at 2 epoch 0 time -1 max 5000
            failed 2: Damage { from: Offset(2), below_high_watermark: false }
            show: start 0 high 2 flushed 2 end 2 epochs [(LeaderEpoch(0), Offset(2))] max None
            append 3 p=1/0/2: at 2 epoch 0 time -1 max 5000
            failed 0: Damage { from: Offset(0), below_high_watermark: true }
            show: start 0 high 0 flushed 0 end 0 epochs [(LeaderEpoch(0), Offset(0))] max None
        "#]],
    );
}

#[test]
fn starts_move_only_below_the_high_watermark() {
    check(
        "lead 0
         append 5
         delete 1
         flushed 5
         append 1
         delete 6
         delete -2
         delete 3
         delete all
         start 3
         delete 1
         fetch 2
         fetch 3
         fetch 6
         fetch 7
         show",
        expect![[r#"
            lead 0: false
            append 5: at 0 epoch 0 time -1 max 5000
            delete 1: Err(OffsetOutOfRange)
            flushed 5: true
            append 1: at 5 epoch 0 time -1 max 5000
            delete 6: Err(OffsetOutOfRange)
            delete -2: Err(OffsetOutOfRange)
            delete 3: Ok(Offset(3))
            delete all: Ok(Offset(5))
            start 3
            delete 1: Ok(Offset(3))
            fetch 2: Ok(()) Err(OffsetOutOfRange) None
            fetch 3: Ok(()) Ok(()) None
            fetch 6: Ok(()) Ok(()) None
            fetch 7: Ok(()) Err(OffsetOutOfRange) None
            show: start 3 high 5 flushed 5 end 6 epochs [(LeaderEpoch(0), Offset(3))] max Some((TimestampMs(5000), Offset(5)))
        "#]],
    );
}

#[test]
fn the_largest_timestamp_is_what_the_log_tells_and_what_is_on_its_way() {
    check(
        "lead 0
         append 1 t=5900
         append 1 t=5100
         append 1 t=5000
         flushed 3
         show
         start 1 max=5100@1
         show
         append 1 t=5050
         append 1 t=5010
         start 2 max=5000@2
         show
         flushed 4
         start 4
         show
         flushed 5
         start 5
         show",
        expect![[r#"
            lead 0: false
            append 1 t=5900: at 0 epoch 0 time -1 max 5900
            append 1 t=5100: at 1 epoch 0 time -1 max 5100
            append 1 t=5000: at 2 epoch 0 time -1 max 5000
            flushed 3: true
            show: start 0 high 3 flushed 3 end 3 epochs [(LeaderEpoch(0), Offset(0))] max Some((TimestampMs(5900), Offset(0)))
            start 1 max=5100@1
            show: start 1 high 3 flushed 3 end 3 epochs [(LeaderEpoch(0), Offset(1))] max Some((TimestampMs(5100), Offset(1)))
            append 1 t=5050: at 3 epoch 0 time -1 max 5050
            append 1 t=5010: at 4 epoch 0 time -1 max 5010
            start 2 max=5000@2
            show: start 2 high 3 flushed 3 end 5 epochs [(LeaderEpoch(0), Offset(2))] max Some((TimestampMs(5050), Offset(3)))
            flushed 4: true
            start 4
            show: start 4 high 4 flushed 4 end 5 epochs [(LeaderEpoch(0), Offset(4))] max Some((TimestampMs(5010), Offset(4)))
            flushed 5: true
            start 5
            show: start 5 high 5 flushed 5 end 5 epochs [(LeaderEpoch(0), Offset(5))] max None
        "#]],
    );
}

#[test]
fn epochs_tell_where_logs_part() {
    check(
        "lead 1
         append 4
         lead 3
         lead 5
         append 2
         flushed 6
         show
         epoch 0
         epoch 1
         epoch 2
         epoch 4
         epoch 5
         epoch 6
         fetch 4 epoch=5 last=1
         fetch 5 epoch=5 last=1
         fetch 4 epoch=5 last=2
         fetch 4 epoch=4
         fetch 4 epoch=6
         fetch 4 epoch=5 last=9
         start 5
         epoch 1
         show",
        expect![[r#"
            lead 1: false
            append 4: at 0 epoch 1 time -1 max 5000
            lead 3: false
            lead 5: false
            append 2: at 4 epoch 5 time -1 max 5000
            flushed 6: true
            show: start 0 high 6 flushed 6 end 6 epochs [(LeaderEpoch(1), Offset(0)), (LeaderEpoch(5), Offset(4))] max Some((TimestampMs(5000), Offset(0)))
            epoch 0: Some(EpochEnd { epoch: LeaderEpoch(0), end: Offset(0) })
            epoch 1: Some(EpochEnd { epoch: LeaderEpoch(1), end: Offset(4) })
            epoch 2: Some(EpochEnd { epoch: LeaderEpoch(1), end: Offset(4) })
            epoch 4: Some(EpochEnd { epoch: LeaderEpoch(1), end: Offset(4) })
            epoch 5: Some(EpochEnd { epoch: LeaderEpoch(5), end: Offset(6) })
            epoch 6: None
            fetch 4 epoch=5 last=1: Ok(()) Ok(()) Some(Ok(None))
            fetch 5 epoch=5 last=1: Ok(()) Ok(()) Some(Ok(Some(EpochEnd { epoch: LeaderEpoch(1), end: Offset(4) })))
            fetch 4 epoch=5 last=2: Ok(()) Ok(()) Some(Ok(Some(EpochEnd { epoch: LeaderEpoch(1), end: Offset(4) })))
            fetch 4 epoch=4: Err(FencedLeaderEpoch) Ok(()) None
            fetch 4 epoch=6: Err(UnknownLeaderEpoch) Ok(()) None
            fetch 4 epoch=5 last=9: Ok(()) Ok(()) Some(Err(OffsetOutOfRange))
            start 5
            epoch 1: Some(EpochEnd { epoch: LeaderEpoch(1), end: Offset(5) })
            show: start 5 high 6 flushed 6 end 6 epochs [(LeaderEpoch(5), Offset(5))] max None
        "#]],
    );
}

#[test]
fn idle_producers_are_forgotten() {
    check(
        "lead 0
         append 1 p=1/0/0
         now 5500
         append 1 p=2/0/0
         expire 5001
         append 1 p=1/0/9
         append 1 p=2/0/9",
        expect![[r#"
            lead 0: false
            append 1 p=1/0/0: at 0 epoch 0 time -1 max 5000
            now 5500
            append 1 p=2/0/0: at 1 epoch 0 time -1 max 5500
            expire 5001: 1 left
            append 1 p=1/0/9: at 2 epoch 0 time -1 max 5500
            append 1 p=2/0/9: producer 2 sends sequence 9; 1 would follow [OUT_OF_ORDER_SEQUENCE_NUMBER]
        "#]],
    );
}

/// What one producer does with a batch: sends it, sends it again, loses the answer.
#[derive(Clone, Debug)]
enum Move {
    Send { producer: i64, records: i32 },
    Again { producer: i64, back: usize },
    Skip { producer: i64 },
    Flush { part: u8 },
    Fail,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        5 => (0..3i64, 1..4i32).prop_map(|(producer, records)| Move::Send { producer, records }),
        2 => (0..3i64, 0..7usize).prop_map(|(producer, back)| Move::Again { producer, back }),
        1 => (0..3i64).prop_map(|producer| Move::Skip { producer }),
        2 => any::<u8>().prop_map(|part| Move::Flush { part }),
        1 => Just(Move::Fail),
    ];
    prop::collection::vec(one, 0..60)
}

proptest! {
    /// Whatever producers repeat, skip or lose: each sequence is in the log at most once, in
    /// order, and a duplicate is answered with the offset it had.
    #[test]
    fn no_gaps_no_doubles(moves in moves()) {
        let mut replica = Replica::open(LogState::default());
        replica.lead(LeaderEpoch(0), 1);
        // The log: (producer, sequence, records, offset); those below `flushed` survive.
        let mut log: Vec<(i64, i32, i32, i64)> = Vec::new();
        let mut flushed = 0;
        let mut metas = Vec::new();
        for one in moves {
            match one {
                Move::Send { producer, records } => {
                    // The most a client may have in flight (KIP-98).
                    let open = log.iter().filter(|b| b.0 == producer && b.3 >= flushed).count();
                    if open >= 5 {
                        continue;
                    }
                    let sequence = next(&log, producer);
                    send(&mut replica, &mut log, &mut metas, (producer, sequence, records))?;
                }
                Move::Skip { producer } => {
                    let sequence = next(&log, producer) + 1;
                    let known = log.iter().any(|b| b.0 == producer);
                    let batch = batch(1, 5000, (producer, 0, sequence), 0);
                    if known {
                        let taken = replica.append(now(), batch.clone(), &batch.header(), &RULES);
                        prop_assert!(taken.is_err(), "a gap was taken");
                    }
                }
                Move::Again { producer, back } => {
                    let mine: Vec<_> = log.iter().filter(|b| b.0 == producer).copied().collect();
                    let Some(old) = mine.iter().rev().nth(back) else { continue };
                    let batch = batch(old.2, 5000, (producer, 0, old.1), 0);
                    let taken = replica.append(now(), batch.clone(), &batch.header(), &RULES);
                    if back < 5 {
                        let taken = taken.unwrap();
                        prop_assert_eq!(taken.outcome, Outcome::Duplicate);
                        prop_assert_eq!(taken.base_offset, Offset(old.3));
                    } else {
                        prop_assert!(taken.is_err(), "an old batch was taken again");
                    }
                }
                Move::Flush { part } => {
                    let end = replica.log_end().0;
                    flushed += (end - flushed) * i64::from(part) / 255;
                    flushed = metas_end(&metas, flushed);
                    replica.flushed(Offset(flushed));
                    prop_assert_eq!(replica.high_watermark(), Offset(flushed));
                }
                Move::Fail => {
                    log.retain(|b| b.3 < flushed);
                    metas.retain(|m: &weir_types::BatchMeta| m.base_offset.0 < flushed);
                    let mut state = LogState { end: Offset(flushed), ..LogState::default() };
                    metas.iter().for_each(|meta| state.producers.apply(meta));
                    replica.reset(state);
                }
            }
            replica.check();
        }
    }
}

fn now() -> Now {
    Now {
        tick: Tick(0),
        wall: TimestampMs(5000),
    }
}

fn next(log: &[(i64, i32, i32, i64)], producer: i64) -> i32 {
    let last = log.iter().rfind(|b| b.0 == producer);
    last.map_or(0, |b| b.1 + b.2)
}

/// The end of the last whole batch below `offset`.
fn metas_end(metas: &[weir_types::BatchMeta], offset: i64) -> i64 {
    let ends = metas.iter().map(|meta| meta.next_offset().0);
    ends.filter(|end| *end <= offset).max().unwrap_or(0)
}

fn send(
    replica: &mut Replica,
    log: &mut Vec<(i64, i32, i32, i64)>,
    metas: &mut Vec<weir_types::BatchMeta>,
    (producer, sequence, records): (i64, i32, i32),
) -> Result<(), TestCaseError> {
    let end = replica.log_end();
    let batch = batch(records, 5000, (producer, 0, sequence), 0);
    let header = batch.header();
    let taken = replica.append(now(), batch, &header, &RULES).unwrap();
    prop_assert_eq!(taken.base_offset, end, "offsets have no gaps");
    let Outcome::New { meta, .. } = taken.outcome else {
        return Err(TestCaseError::fail("a new batch was taken for an old one"));
    };
    log.push((producer, sequence, records, end.0));
    metas.push(meta);
    Ok(())
}
