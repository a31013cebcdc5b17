//! The accumulator alone, by the clock of the test: batching, order, sequences, expiry.

use super::*;
use weir_codec::Compression;
use weir_types::{BatchHeader, LeaderEpoch};

const B1: BrokerId = BrokerId(1);
const B2: BrokerId = BrokerId(2);
const ID: TopicId = TopicId([1; 16]);

fn settings() -> Settings {
    Settings {
        batch_bytes: 400,
        request_bytes: 4000,
        buffer_bytes: 4000,
        linger_ms: 10,
        delivery_timeout_ms: 1000,
        backoff_ms: 20,
        backoff_max_ms: 100,
        in_flight_max: 5,
        lanes: 1,
        idempotent: true,
        seed: 7,
    }
}

struct Bench {
    accumulator: Accumulator,
    now: Tick,
}

impl Bench {
    fn new(settings: Settings, partitions: usize) -> Self {
        let mut accumulator = Accumulator::new(settings);
        accumulator.set_topic(&Arc::from("t"), ID, &vec![Some(B1); partitions]);
        accumulator.set_identity(ProducerId(9), ProducerEpoch(0));
        Self {
            accumulator,
            now: Tick(0),
        }
    }

    /// Hands a record of about `bytes` bytes in.
    fn append(&mut self, partition: i32, bytes: usize) -> Result<Appended, AppendError> {
        let value = vec![b'x'; bytes];
        let body = Body {
            key: None,
            value: Some(&value),
            headers: &[],
        };
        let now = self.now;
        self.accumulator
            .append("t", partition, TimestampMs(5), body, false, now)
    }

    /// Hands in records that fill `batches` batches of one record each.
    fn fill(&mut self, partition: i32, batches: usize) -> Vec<Arc<BatchCompletion>> {
        (0..batches)
            .map(|_| self.append(partition, 350).expect("taken").batch)
            .collect()
    }

    fn drain(&mut self, broker: BrokerId) -> Vec<Drained> {
        let lane = LaneId { broker, index: 0 };
        let mut out = Vec::new();
        self.accumulator.drain(lane, self.now, &mut out);
        out
    }

    /// Takes one batch after the other until nothing is ready.
    fn drain_all(&mut self, broker: BrokerId) -> Vec<Drained> {
        let mut all = Vec::new();
        loop {
            let drained = self.drain(broker);
            if drained.is_empty() {
                return all;
            }
            all.extend(drained);
        }
    }

    fn end(&mut self, drained: Drained, how: How) -> Told {
        let batch = match drained.data {
            BatchData::Built(batch) => batch.renumber(drained.stamp),
            BatchData::Raw(builder) => {
                FinishedBatch::build(builder, Compression::None, None, drained.stamp)
                    .expect("builds")
            }
        };
        let header = BatchHeader::read(&batch.bytes).expect("a batch");
        assert_eq!(header.base_sequence, drained.stamp.base_sequence);
        assert_eq!(header.producer_epoch, drained.stamp.producer_epoch);
        assert_eq!(header.leader_epoch, LeaderEpoch::NONE);
        let cause = Arc::from("because");
        let attempt = match how {
            How::Acked(offset) => Attempt::Acked {
                base_offset: Offset(offset),
                log_append_time: TimestampMs::NONE,
            },
            How::Retry => Attempt::Retry { batch, cause },
            How::Gap => Attempt::Gap { batch, cause },
            How::Fenced => Attempt::Fenced { batch, cause },
            How::Failed => Attempt::Failed {
                error: ProduceError::Closed,
                culprits: Arc::from([]),
            },
        };
        let mut told = Vec::new();
        let (slot, id) = (drained.slot, drained.id);
        self.accumulator
            .attempted(slot, id, attempt, self.now, &mut told);
        told
    }
}

enum How {
    Acked(i64),
    Retry,
    Gap,
    Fenced,
    Failed,
}

fn stamps(drained: &[Drained]) -> Vec<(i16, i32)> {
    drained
        .iter()
        .map(|d| (d.stamp.producer_epoch.0, d.stamp.base_sequence.0))
        .collect()
}

#[test]
fn a_batch_goes_when_it_is_full_or_has_lingered() {
    let mut bench = Bench::new(settings(), 1);
    let first = bench.append(0, 100).expect("taken");
    assert!(first.wake.is_some(), "a lane must learn of the timer");
    assert!(bench.append(0, 100).expect("taken").wake.is_none());
    let lane = LaneId {
        broker: B1,
        index: 0,
    };
    let (again, _) = bench.accumulator.drain(lane, bench.now, &mut Vec::new());
    assert_eq!(again, Some(Tick(10)));
    let third = bench.append(0, 200).expect("taken");
    assert!(third.wake.is_some(), "the first batch is full");
    assert_eq!(bench.drain_all(B1).len(), 1);
    bench.now = Tick(10);
    let lingered = bench.drain_all(B1);
    assert_eq!(stamps(&lingered), [(0, 2)]);
}

#[test]
fn at_most_one_batch_of_a_partition_goes_into_a_request() {
    let mut bench = Bench::new(settings(), 3);
    for partition in [0, 0, 1, 1, 2] {
        bench.append(partition, 350).expect("taken");
    }
    bench.now = Tick(10);
    let request = bench.drain(B1);
    let partitions: Vec<_> = request.iter().map(|d| d.partition.partition.0).collect();
    assert_eq!(partitions, [0, 1, 2]);
    assert_eq!(bench.drain(B1).len(), 2);
}

#[test]
fn a_request_stays_under_its_size_and_nobody_starves() {
    let small = Settings {
        request_bytes: 1000,
        buffer_bytes: 8000,
        ..settings()
    };
    let mut bench = Bench::new(small, 6);
    for partition in 0..6 {
        bench.append(partition, 350).expect("taken");
    }
    bench.now = Tick(10);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let request = bench.drain(B1);
        assert_eq!(request.len(), 2);
        seen.extend(request.iter().map(|d| d.partition.partition.0));
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn memory_is_bounded_and_comes_back() {
    let mut bench = Bench::new(settings(), 1);
    let mut taken = 0;
    while bench.append(0, 350).is_ok() {
        taken += 1;
    }
    assert!((8..=10).contains(&taken), "{taken}");
    assert!(matches!(bench.append(0, 350), Err(AppendError::Full)));
    assert!(matches!(
        bench.append(0, 5000),
        Err(AppendError::Refused(ProduceError::RecordTooLarge { .. }))
    ));
    // Without room even what has not lingered goes out.
    let under_way = bench.drain_all(B1);
    assert_eq!(under_way.len(), 5);
    for (offset, drained) in (0..).zip(under_way) {
        bench.end(drained, How::Acked(offset));
    }
    assert!(bench.append(0, 350).is_ok());
    for drained in bench.drain_all(B1) {
        bench.end(drained, How::Acked(9));
    }
    bench.now = Tick(100);
    for drained in bench.drain_all(B1) {
        bench.end(drained, How::Acked(9));
    }
    assert_eq!(bench.accumulator.used_bytes(), 0);
}

#[test]
fn after_a_failure_everything_goes_again_in_order_under_its_old_sequence() {
    let mut bench = Bench::new(settings(), 1);
    bench.fill(0, 4);
    bench.now = Tick(10);
    let mut sent = bench.drain_all(B1);
    assert_eq!(stamps(&sent), [(0, 0), (0, 1), (0, 2), (0, 3)]);
    // The first fails, so the broker finds gaps before the next two; the answer to the last one
    // is still to come.
    let last = sent.pop().expect("four");
    for (place, drained) in sent.into_iter().enumerate() {
        let how = if place == 0 { How::Retry } else { How::Gap };
        assert!(bench.end(drained, how).is_empty());
    }
    bench.now = Tick(500);
    assert!(bench.drain_all(B1).is_empty(), "one is still under way");
    bench.end(last, How::Gap);
    bench.now = Tick(900);
    let again = bench.drain_all(B1);
    assert_eq!(stamps(&again), [(0, 0), (0, 1), (0, 2), (0, 3)]);
    let mut told = Vec::new();
    for (offset, drained) in (100..).zip(again) {
        told.extend(bench.end(drained, How::Acked(offset)));
    }
    assert_eq!(told.len(), 4);
}

#[test]
fn retries_pause_longer_and_longer() {
    let mut bench = Bench::new(settings(), 1);
    bench.fill(0, 1);
    bench.now = Tick(10);
    for pause in [20, 40, 80, 100, 100] {
        let drained = bench.drain_all(B1).remove(0);
        bench.end(drained, How::Retry);
        bench.now = bench.now + (pause - 1);
        assert!(bench.drain_all(B1).is_empty());
        bench.now = bench.now + 1;
    }
    assert_eq!(bench.drain_all(B1).len(), 1);
}

#[test]
fn a_gap_before_the_first_in_line_begins_a_new_epoch_of_that_partition() {
    let mut bench = Bench::new(settings(), 2);
    bench.fill(0, 3);
    bench.fill(1, 1);
    bench.now = Tick(10);
    let mut sent = bench.drain_all(B1);
    sent.sort_by_key(|d| (d.partition.partition, d.stamp.base_sequence));
    let other = sent.pop().expect("four");
    let mut sent = sent.into_iter();
    bench.end(sent.next().expect("first"), How::Failed);
    // Nothing came before the second but the first, which the broker refused for good.
    bench.end(sent.next().expect("second"), How::Gap);
    bench.end(sent.next().expect("third"), How::Gap);
    bench.end(other, How::Acked(0));
    bench.fill(1, 1);
    bench.now = Tick(100);
    let mut again = bench.drain_all(B1);
    again.sort_by_key(|d| (d.partition.partition, d.stamp.base_sequence));
    assert_eq!(stamps(&again), [(1, 0), (1, 1), (0, 1)]);
}

#[test]
fn a_fenced_producer_waits_for_another_id() {
    let mut bench = Bench::new(settings(), 1);
    bench.fill(0, 1);
    bench.now = Tick(10);
    let drained = bench.drain_all(B1).remove(0);
    bench.end(drained, How::Fenced);
    assert!(bench.accumulator.wants_identity());
    bench.now = Tick(200);
    assert!(bench.drain_all(B1).is_empty());
    bench
        .accumulator
        .set_identity(ProducerId(10), ProducerEpoch(3));
    let drained = bench.drain_all(B1).remove(0);
    assert_eq!(drained.stamp.producer_id, ProducerId(10));
    assert_eq!(stamps(&[drained]), [(3, 0)]);
}

#[test]
fn used_up_epochs_ask_for_another_id() {
    let mut bench = Bench::new(settings(), 1);
    bench
        .accumulator
        .set_identity(ProducerId(9), ProducerEpoch(i16::MAX));
    bench.fill(0, 1);
    bench.now = Tick(10);
    let drained = bench.drain_all(B1).remove(0);
    bench.end(drained, How::Gap);
    bench.now = Tick(100);
    assert!(bench.drain_all(B1).is_empty());
    assert!(bench.accumulator.wants_identity());
    bench
        .accumulator
        .set_identity(ProducerId(11), ProducerEpoch(0));
    let again = bench.drain_all(B1);
    assert_eq!(again[0].stamp.producer_id, ProducerId(11));
    assert_eq!(stamps(&again), [(0, 0)]);
}

#[test]
fn a_moved_partition_is_sent_to_its_new_leader_once_the_old_one_has_answered() {
    let mut bench = Bench::new(settings(), 1);
    bench.fill(0, 2);
    bench.now = Tick(10);
    let mut sent = bench.drain_all(B1);
    bench.fill(0, 1);
    let woken = bench
        .accumulator
        .set_topic(&Arc::from("t"), ID, &[Some(B2)]);
    assert!(woken.is_empty(), "the old lane still lists it");
    bench.now = Tick(30);
    assert!(bench.drain(B1).is_empty());
    assert!(bench.drain(B2).is_empty(), "two are under way to the first");
    bench.end(sent.remove(0), How::Acked(0));
    bench.end(sent.remove(0), How::Retry);
    bench.now = Tick(100);
    assert_eq!(stamps(&bench.drain_all(B2)), [(0, 1), (0, 2)]);
}

#[test]
fn what_is_too_old_fails_with_its_last_cause() {
    let mut bench = Bench::new(settings(), 2);
    bench
        .accumulator
        .set_topic(&Arc::from("t"), ID, &[Some(B1), None]);
    bench.fill(0, 2);
    bench.fill(1, 1);
    bench.now = Tick(10);
    let mut sent = bench.drain_all(B1);
    assert_eq!(sent.len(), 2);
    bench.end(sent.remove(0), How::Retry);
    bench.now = Tick(1000);
    let mut told = Vec::new();
    bench.accumulator.expire(bench.now, &mut told);
    let causes: Vec<_> = told
        .iter()
        .map(|(_, outcome)| match outcome {
            BatchOutcome::Failed {
                error: ProduceError::DeliveryTimeout { cause, .. },
                ..
            } => cause.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(causes, ["because", "the partition has no leader"]);
    // The one under way fails with its answer.
    let told = bench.end(sent.remove(0), How::Retry);
    assert_eq!(told.len(), 1);
    assert_eq!(bench.accumulator.used_bytes(), 0);
    assert!(bench.accumulator.take_unreported().is_some());
    assert!(bench.accumulator.take_unreported().is_none());
}

#[test]
fn without_idempotence_batches_carry_no_numbers() {
    let plain = Settings {
        idempotent: false,
        ..settings()
    };
    let mut bench = Bench::new(plain, 1);
    bench.fill(0, 2);
    bench.now = Tick(10);
    let sent = bench.drain_all(B1);
    assert_eq!(stamps(&sent), [(-1, -1), (-1, -1)]);
}

#[test]
fn a_topic_made_anew_is_written_from_the_first_sequence() {
    let mut bench = Bench::new(settings(), 1);
    bench.fill(0, 1);
    bench.now = Tick(10);
    let drained = bench.drain_all(B1).remove(0);
    bench.end(drained, How::Acked(0));
    let other = TopicId([2; 16]);
    bench
        .accumulator
        .set_topic(&Arc::from("t"), other, &[Some(B1)]);
    bench.fill(0, 1);
    bench.now = Tick(50);
    assert_eq!(stamps(&bench.drain_all(B1)), [(1, 0)]);
}

#[test]
fn sealing_returns_everything_that_is_not_done() {
    let mut bench = Bench::new(settings(), 2);
    bench.fill(0, 2);
    bench.append(1, 10).expect("taken");
    let sent = bench.drain_all(B1);
    assert_eq!(sent.len(), 2, "both are full, the third lingers");
    let (pending, woken) = bench.accumulator.seal_all();
    assert_eq!(pending.len(), 3);
    assert!(!woken.is_empty());
    assert_eq!(bench.drain_all(B1).len(), 1, "nothing lingers any more");
}
