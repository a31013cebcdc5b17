"""A member of a consumer group in a process of its own, by confluent-kafka or kafka-python, until
standard input closes. It logs what it is given, loses and reads, in the lines that every member of
the end-to-end runs writes: `seconds TAB member TAB event TAB epoch TAB details`.

A record is logged before its offset may be committed, so that a kill leaves none that is committed
and not logged. It repairs nothing: what the client does with a group that moves is what is tested.

    python member_client.py KIND BOOTSTRAP GROUP TOPIC LOG NAME SESSION_MS WORK_MS

KIND is confluent-range, confluent-cooperative, confluent-consumer, python-range or
python-cooperative; WORK_MS is what it takes over each record.
"""

import sys
import threading
import time

COMMIT_EVERY_MS = 200
POLL_SECONDS = 0.05


class Log:
    """The file that a member writes; a line is with the system before the call returns."""

    def __init__(self, path, name):
        self._file = open(path, "w", encoding="utf-8")
        self.name = name

    def line(self, event, epoch=None, details=""):
        shown = "-" if epoch is None else epoch
        text = str(details).replace("\n", " ")
        self._file.write(f"{time.time():.6f}\t{self.name}\t{event}\t{shown}\t{text}\n")
        self._file.flush()


def places(partitions):
    """`topic-partition`, separated by spaces."""
    return " ".join(f"{place.topic}-{place.partition}" for place in partitions)


def told(topic, partition, offset, value):
    """A record: its place and its id, the value's first word."""
    return f"{topic}-{partition} {offset} {value.split(b' ', 1)[0].decode()}"


def confluent(kind, bootstrap, group, topic, log, session_ms, work, stop):
    """librdkafka; it does not tell its generation or epoch."""
    from confluent_kafka import Consumer, KafkaException

    settings = {
        "bootstrap.servers": bootstrap,
        "client.id": log.name,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "auto.commit.interval.ms": COMMIT_EVERY_MS,
        # An offset counts as done once its record is logged, not when it is handed out.
        "enable.auto.offset.store": False,
        "fetch.wait.max.ms": 100,
        "topic.metadata.refresh.interval.ms": 1000,
        "log_level": 2,
    }
    if kind == "consumer":
        settings["group.protocol"] = "consumer"
    else:
        strategy = {"range": "range", "cooperative": "cooperative-sticky"}[kind]
        settings["partition.assignment.strategy"] = strategy
        settings["session.timeout.ms"] = session_ms
        settings["heartbeat.interval.ms"] = session_ms // 6
    consumer = Consumer(settings)
    consumer.subscribe(
        [topic],
        on_assign=lambda _, given: log.line("assigned", None, places(given)),
        on_revoke=lambda _, taken: log.line("revoked", None, places(taken)),
        on_lost=lambda _, taken: log.line("lost", None, places(taken)),
    )
    while not stop.is_set():
        message = consumer.poll(POLL_SECONDS)
        if message is None:
            continue
        if message.error():
            log.line("error", None, message.error())
            continue
        place = (message.topic(), message.partition(), message.offset())
        log.line("record", None, told(*place, message.value()))
        work()
        try:
            consumer.store_offsets(message=message)
        except KafkaException as error:
            # Its partition was taken away by the very poll that brought the record.
            log.line("error", None, f"not stored: {error}")
    consumer.close()


def kafka_python(kind, bootstrap, group, topic, log, session_ms, work, stop):
    """kafka-python; its records count as done with the poll behind them."""
    from kafka import ConsumerRebalanceListener, KafkaConsumer
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor

    class Scribe(ConsumerRebalanceListener):
        """Tells what comes and goes."""

        def on_partitions_assigned(self, assigned):
            log.line("assigned", None, places(assigned))

        def on_partitions_revoked(self, revoked):
            log.line("revoked", None, places(revoked))

        def on_partitions_lost(self, lost):
            log.line("lost", None, places(lost))

    assignors = {"range": RangePartitionAssignor, "cooperative": CooperativeStickyAssignor}
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=log.name,
        group_id=group,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=COMMIT_EVERY_MS,
        partition_assignment_strategy=[assignors[kind]],
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // 6,
        fetch_max_wait_ms=100,
        metadata_max_age_ms=1000,
    )
    consumer.subscribe([topic], listener=Scribe())
    while not stop.is_set():
        polled = consumer.poll(timeout_ms=int(POLL_SECONDS * 1000))
        epoch = consumer.group_metadata().generation_id
        epoch = epoch if epoch >= 0 else None
        for messages in polled.values():
            for one in messages:
                details = told(one.topic, one.partition, one.offset, one.value)
                log.line("record", epoch, details)
                work()
    consumer.close()


def main():
    """Reads until told to stop, then leaves the group."""
    kind, bootstrap, group, topic, path, name = sys.argv[1:7]
    session_ms, work_ms = map(int, sys.argv[7:])
    work = lambda: time.sleep(work_ms / 1000)
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), stop.set()), daemon=True).start()
    log = Log(path, name)
    log.line("started")
    library, way = kind.split("-")
    read = {"confluent": confluent, "python": kafka_python}[library]
    read(way, bootstrap, group, topic, log, session_ms, work, stop)
    log.line("closed")


if __name__ == "__main__":
    main()
