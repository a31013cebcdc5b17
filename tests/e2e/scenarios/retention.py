"""Two hundred topics share the same lanes. One has `retention.bytes`, one `retention.ms`, one is
deleted, one gets DeleteRecords, all while unread and while being written. The disk space comes
back once the rewriter has passed; readers below a new start get OFFSET_OUT_OF_RANGE and the
documented reset; offsets and bytes of the other topics never change.
"""

import hashlib
import os
import time

from clients import ConfluentClient
from harness import Failure, Weir, check, folder_bytes, rewriter_passed, wait_until

ABOUT = "200 topics, four ways to shrink: disk space back, offsets of the others untouched"
SECONDS_MAX = 240
ORACLE = False
# All that is written, should nothing have come back by then, and what is being rewritten.
DISK_BYTES_FULL = 26_000_000_000

KEEPERS = 196
RECORD_BYTES = 1000
KEEP_RATIO_MAX = 1.5
FULL_LIVE_BYTES_MIN = 10_000_000_000
# What the design keeps apart from the ratio: a lane's active file each and the pool.
ACTIVE_FILES = 2 + 4


def run(env):
    # Per topic of the keepers, and as much again for each of the four that shrink.
    keeper_bytes = env.scale(1_000_000, 52_000_000)
    shrinker_bytes = env.scale(60_000_000, 3_000_000_000)
    # The broker's default, where there is enough data.
    lane_file = env.scale(8 << 20, 256 << 20)
    settings = {"store.lane.file.bytes": lane_file, "log.retention.check.interval.ms": 500}
    with Weir(env, config=settings, metrics=True) as broker:
        keepers = [f"keep-{number:03}" for number in range(KEEPERS)]
        client = ConfluentClient(broker.bootstrap)
        client.make_topics(keepers + ["deleted", "cut"], 1)
        client.make_topics(["by-bytes"], 1, {"retention.bytes": str(shrinker_bytes // 20)})
        client.make_topics(["by-ms"], 1, {"retention.ms": "4000"})
        writer = Writer(broker)
        writer.write(keepers, keeper_bytes // 2)
        shrinkers = ["by-bytes", "by-ms", "deleted", "cut"]
        writer.write(shrinkers, shrinker_bytes // 2)
        peak = folder_bytes(broker.data)
        # The other half arrives while the starts move.
        broker.cli("topic", "delete", "deleted", "--yes")
        cut = writer.count("cut") - 100
        broker.cli("topic", "delete-records", "cut", "--before", cut, "--yes")
        writer.write([topic for topic in shrinkers if topic != "deleted"], shrinker_bytes // 2)
        writer.write(keepers, keeper_bytes // 2)
        cut = writer.count("cut") - 100
        broker.cli("topic", "delete-records", "cut", "--before", cut, "--yes")
        began = time.monotonic()
        space_comes_back(env, broker, writer, shrinkers, lane_file)
        _, figures = rewriter_passed(broker, env.scale(90, 1200))
        seconds = time.monotonic() - began
        live, disk = live_bytes(broker, writer, shrinkers), folder_bytes(broker.data)
        apart = ratio_apart(broker, live, disk, figures)
        if env.full:
            check(live >= FULL_LIVE_BYTES_MIN, f"{live} live bytes are no full size")
            # Small lane files leave little pieces of each topic, which take up more than large.
            check(apart <= KEEP_RATIO_MAX, f"disk is {apart:.2f} times what is alive: {figures}")
        all_expired(broker, writer)
        starts = {t: watermarks(broker, t)[0] for t in ("by-bytes", "by-ms", "cut")}
        check(starts["cut"] == cut, f"DeleteRecords to {cut} left the start at {starts['cut']}")
        check(starts["by-bytes"] > 0, "retention.bytes moved no start")
        # First the one whose records have a few seconds to live.
        for topic in ("by-ms", "by-bytes", "cut"):
            below_the_start(broker, topic, starts[topic])
        untouched(broker, writer, keepers)
        broker.stop()
        broker.start()
        untouched(broker, writer, keepers[:20])
        for topic, start in starts.items():
            low = watermarks(broker, topic)[0]
            check(low >= start, f"after a restart {topic} starts at {low}, before at {start}")
    mb = lambda count: f"{count / 1e6:.0f} MB"
    return (
        f"{KEEPERS + 4} topics, {mb(peak)} half way, live {mb(live)} on {mb(disk)} of disk "
        f"(x{disk / live:.2f}; x{apart:.2f} apart from active files and pool) when the "
        f"rewriter had passed, {seconds:.0f} s after the last write; starts {starts}"
    )


class Writer:
    """Writes numbered records, remembers per topic how many and the hash of all values."""

    def __init__(self, broker):
        from confluent_kafka import Producer

        self.producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 20,
                "batch.size": 200_000,
                "queue.buffering.max.kbytes": 400_000,
            }
        )
        self.counts = {}
        self.hashes = {}
        self.errors = []
        # Incompressible filling, made once.
        self.filling = os.urandom(RECORD_BYTES * 64)

    def count(self, topic):
        return self.counts.get(topic, 0)

    def value(self, topic, number):
        head = f"{topic}/{number} ".encode()
        start = (number * 997) % (len(self.filling) - RECORD_BYTES)
        return head + self.filling[start : start + RECORD_BYTES - len(head)]

    def write(self, topics, size):
        """Writes that many bytes to each of the topics, in turns."""

        def acked(error, _message):
            if error is not None:
                self.errors.append(error)

        for _ in range(size // RECORD_BYTES):
            for topic in topics:
                number = self.counts.get(topic, 0)
                value = self.value(topic, number)
                while True:
                    try:
                        self.producer.produce(topic, value, partition=0, on_delivery=acked)
                        break
                    except BufferError:
                        self.producer.poll(0.05)
                self.counts[topic] = number + 1
                if topic.startswith("keep-"):
                    self.hashes.setdefault(topic, hashlib.sha256()).update(value)
            self.producer.poll(0)
        left = self.producer.flush(300)
        check(left == 0 and not self.errors, f"{left} records not acked, errors {self.errors[:2]}")


def watermarks(broker, topic):
    """Earliest and latest offset of partition 0."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "not-used"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
    finally:
        consumer.close()


def space_comes_back(env, broker, writer, shrinkers, lane_file):
    """Waits until the log takes at most so much more than what is alive."""
    allowed_apart = ACTIVE_FILES * lane_file
    seen = {}

    def small_enough():
        seen["live"] = live_bytes(broker, writer, shrinkers)
        seen["disk"] = folder_bytes(broker.data)
        return seen["disk"] <= seen["live"] * KEEP_RATIO_MAX + allowed_apart

    try:
        wait_until("the disk space to come back", small_enough, env.scale(60, 900), every=0.5)
    except Failure as failure:
        raise Failure(f"{failure}: {seen}, {allowed_apart} for active files and pool") from None


def live_bytes(broker, writer, shrinkers):
    """Bytes of values that can still be read."""
    live = sum(n for topic, n in writer.counts.items() if topic.startswith("keep-"))
    for topic in shrinkers:
        if topic != "deleted":
            low, high = watermarks(broker, topic)
            live += high - low
    return live * RECORD_BYTES


def ratio_apart(broker, live, disk, figures):
    """Disk against live bytes without the files that the lanes write now, and the pool's."""
    check(figures["rewriter_waiting_files"] == 0, f"the rewriter has not passed: {figures}")
    disk -= folder_bytes(broker.data, ("lane-", "pool-"))
    return disk / (live - figures["lane_live_bytes"])


def all_expired(broker, writer):
    """retention.ms takes even the last record; what comes then continues the offsets."""
    count = writer.count("by-ms")
    gone = lambda: watermarks(broker, "by-ms") == (count, count)
    wait_until("retention.ms to take everything", gone, 30, every=0.2)
    writer.write(["by-ms"], 100 * RECORD_BYTES)
    high = watermarks(broker, "by-ms")[1]
    check(high == count + 100, f"by-ms ends at {high}, not {count + 100}: offsets were used twice")


def below_the_start(broker, topic, start):
    """A reader below the start is told so; one with a reset begins at the start."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    if start == 0:
        return
    settings = {"bootstrap.servers": broker.bootstrap, "group.id": "not-used"}
    consumer = Consumer({**settings, "auto.offset.reset": "error", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    error = wait_until("an answer below the start", lambda: consumer.poll(0.2), 20).error()
    consumer.close()
    check(error is not None, f"{topic}: a reader below the start {start} got a record")
    # pylint: disable=protected-access
    codes = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)
    check(error.code() in codes, f"{topic}: below the start: {error}")
    consumer = Consumer({**settings, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    first = wait_until("the first record after the reset", lambda: consumer.poll(0.2), 20)
    consumer.close()
    check(first.error() is None, f"{topic}: after the reset: {first.error()}")
    check(first.offset() >= start, f"{topic}: after the reset {first.offset()} below {start}")


def untouched(broker, writer, keepers):
    """Offsets from 0 to the count, and every byte as it was written."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "not-used",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    hashes = {topic: hashlib.sha256() for topic in keepers}
    due = {topic: 0 for topic in keepers}
    consumer.assign([TopicPartition(topic, 0, 0) for topic in keepers])
    open_topics = set(keepers)
    # Ten megabytes a second would do.
    end = time.monotonic() + 120 + sum(map(writer.count, keepers)) * RECORD_BYTES / 10e6
    while open_topics:
        check(time.monotonic() < end, f"not read to the end: {sorted(open_topics)[:3]}")
        for message in consumer.consume(2000, 0.5):
            topic = message.topic()
            check(message.error() is None, f"{topic}: {message.error()}")
            check(message.offset() == due[topic], f"{topic}: {message.offset()}, due {due[topic]}")
            due[topic] += 1
            hashes[topic].update(message.value())
            if due[topic] == writer.count(topic):
                open_topics.discard(topic)
    consumer.close()
    for topic in keepers:
        same = hashes[topic].digest() == writer.hashes[topic].digest()
        check(same, f"{topic}: its bytes changed")
        check(watermarks(broker, topic) == (0, writer.count(topic)), f"{topic}: its offsets moved")
