"""The broker is killed with -9 at random moments, again and again, while four idempotent
producers write with acks=all. The clients' own logs of acks are then held against what is read
back: nothing acked is lost, nothing is doubled, each producer's records keep their order, offsets
count without a hole, and topics with their configs are there after every start.
"""

import random
import subprocess
import sys
import time
from pathlib import Path

from clients import ConfluentClient
from harness import SEVERAL_SHARDS, Failure, Process, check, wait_until

ABOUT = "kill -9 under load of four producers; acks against what is read"
SECONDS_MAX = 180
ORACLE = True
# The log from before, some of it twice while files are rewritten, and what producers add.
DISK_BYTES_FULL = 18_000_000_000

TOPIC = "load"
HISTORY = "history"
HISTORY_RECORD_BYTES = 1000
HISTORY_PARTITIONS = 12
PARTITIONS = 6
SEED = 4
FIRST_ANSWER_SECONDS_MAX = 1.0
LOAD_CLIENT = Path(__file__).resolve().parent.parent / "load_client.py"


def run(env):
    rounds = env.scale(12, 50)
    dice = random.Random(SEED)
    with env.broker(config=SEVERAL_SHARDS) as broker:
        client = ConfluentClient(broker.bootstrap)
        client.make_topics([TOPIC], PARTITIONS, {"max.message.bytes": "2222222"})
        before_records = fill(env, broker)
        loaders = start_loaders(env, broker)
        logs = [log for _, log in loaders]
        wait_until("acks to every producer", lambda: all(map(some_acks, logs)), 30)
        first_answers = []
        first_acks = []
        for number in range(rounds):
            time.sleep(dice.uniform(0.2, 1.5))
            broker.kill9()
            started = time.monotonic()
            broker.start()
            first_answers.append(broker.first_answer_seconds)
            check_topic(client, number)
            before = [count_lines(log) for log in logs]
            grown = lambda seen=before: all(count_lines(l) > n for l, n in zip(logs, seen))
            wait_until(f"acks to every producer after kill {number + 1}", grown, 60)
            first_acks.append(time.monotonic() - started)
        stop(loaders)
        check_history(broker, before_records)
        found = read_identities(client, env.scale(60, 900))
        keep(env, found)
        figures = compare(logs, found)
        if broker.is_weir:
            broker.stop()
            broker.check_store(env.scale(60, 900))
    slowest = max(first_answers)
    if broker.is_weir:
        check(
            slowest <= FIRST_ANSWER_SECONDS_MAX,
            f"the first answer after a kill took {slowest:.2f} s; of all, in order: "
            f"{[round(seconds, 2) for seconds in sorted(first_answers)]}; {figures}",
        )
    return (
        f"{rounds} kills with {before_records * HISTORY_RECORD_BYTES / 1e9:.1f} GB of log before, "
        f"{figures}; first answer {min(first_answers):.2f} to {slowest:.2f} s after the start, "
        f"acks to all producers {min(first_acks):.1f} to {max(first_acks):.1f} s"
    )


def fill(env, broker):
    """Some log to recover from, 10 GB where all of it is asked for; gives back how many records.
    The kills begin at once, while most of it waits for the rewriter or is being rewritten."""
    records = env.scale(20_000, 10_000_000)
    if not broker.is_weir:
        return 0
    broker.create_topic(HISTORY, HISTORY_PARTITIONS, retention_ms=-1)
    size = ["--record-size", HISTORY_RECORD_BYTES, "--records", records]
    broker.cli("bench", "produce", "--topic", HISTORY, *size, seconds=env.scale(60, 1800))
    return records


def check_history(broker, records):
    """Not a record of the log from before is missing."""
    if records:
        rows = broker.cli_json("topic", "offsets", HISTORY)
        found = sum(row["records"] for row in rows)
        check(found == records, f"{found} of {records} records from before the kills are there")


def start_loaders(env, broker):
    """Two librdkafka, one Java, and our own over QUIC (over TCP to a broker that has none)."""
    loaders = []

    def start(name, command, own_log):
        process = Process(command, env.log(f"loader-{name}"), stdin=subprocess.PIPE)
        loaders.append((process, own_log))

    def librdkafka(name):
        log = env.folder / f"acks-{name}.tsv"
        command = [sys.executable, LOAD_CLIENT, broker.bootstrap, TOPIC, PARTITIONS, log, name]
        start(name, command, log)

    librdkafka("rdkafka1")
    librdkafka("rdkafka2")
    log = env.folder / "acks-java.tsv"
    config = env.java_config(broker.bootstrap)
    start("java", env.java_command("load", config, TOPIC, PARTITIONS, log, "java"), log)
    log = env.folder / "acks-weir.tsv"
    own = [env.weir_load, "--bootstrap", broker.bootstrap, "--topic", TOPIC]
    own += ["--partitions", PARTITIONS, "--log", log, "--name", "weir"]
    if broker.is_weir:
        own += ["--transport", "quic", "--profile", broker.profile()]
    else:
        own += ["--transport", "tcp"]
    start("weir", own, log)
    return loaders


def stop(loaders):
    """Lets every producer finish what it has sent."""
    for process, _ in loaders:
        process.child.stdin.close()
    for process, _ in loaders:
        code = process.wait(180)
        check(code == 0, f"a producer ended with {code}: {process.output()[-1500:]}")


def count_lines(path):
    """Lines in a log of acks."""
    try:
        with open(path, "rb") as file:
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def some_acks(path):
    return count_lines(path) > 100


def check_topic(client, number):
    """The topic and its config are there after a start."""
    from confluent_kafka.admin import AdminClient, ConfigResource

    admin = AdminClient(client.settings)
    described = admin.list_topics(TOPIC, timeout=20).topics[TOPIC]
    count = len(described.partitions)
    check(count == PARTITIONS, f"after kill {number + 1} the topic has {count} partitions")
    resource = ConfigResource(ConfigResource.Type.TOPIC, TOPIC)
    (answer,) = admin.describe_configs([resource]).values()
    value = answer.result(20)["max.message.bytes"].value
    check(value == "2222222", f"after kill {number + 1} max.message.bytes is {value}")


def read_identities(client, seconds):
    """The identities of each partition's records in the order of their offsets, which must count
    from 0 without a hole."""
    from confluent_kafka import Consumer, TopicPartition

    settings = {"group.id": "not-used", "enable.auto.commit": False, "auto.offset.reset": "error"}
    consumer = Consumer({**client.settings, **settings})
    found = [[] for _ in range(PARTITIONS)]
    places = [TopicPartition(TOPIC, index, 0) for index in range(PARTITIONS)]
    ends = [consumer.get_watermark_offsets(place, 10)[1] for place in places]
    consumer.assign(places)
    end = time.monotonic() + seconds
    while any(len(records) < ends[index] for index, records in enumerate(found)):
        check(time.monotonic() < end, f"ends not reached within {seconds} s: {ends}")
        for message in consumer.consume(2000, 0.2):
            check(message.error() is None, f"reading: {message.error()}")
            partition, offset = message.partition(), message.offset()
            due = len(found[partition])
            check(offset == due, f"partition {partition}: offset {offset} where {due} is due")
            found[partition].append(message.value().split(b" ", 1)[0].decode())
    consumer.close()
    return found


def keep(env, found):
    """Leaves what was read beside the clients' logs, for whoever looks into a failure."""
    with open(env.folder / "read.tsv", "w", encoding="utf-8") as file:
        for partition, identities in enumerate(found):
            for offset, identity in enumerate(identities):
                file.write(f"{partition}\t{offset}\t{identity}\n")


def compare(logs, found):
    """The clients' logs against the broker's."""
    places = {}
    doubled = []
    swapped = None
    for partition, identities in enumerate(found):
        last = {}
        for offset, identity in enumerate(identities):
            if identity in places:
                doubled.append((identity, places[identity], (partition, offset)))
            places[identity] = (partition, offset)
            name, number = identity.rsplit("-", 1)
            before = last.get(name, -1)
            if int(number) <= before and not swapped:
                swapped = f"{identity} at {partition}/{offset} after {name}-{before}"
            last[name] = int(number)
    check(not doubled, f"{len(doubled)} records are doubled: {doubled[:3]}")
    check(swapped is None, f"the order of a producer is broken: {swapped}")
    acked = lost = 0
    example = None
    for log in logs:
        with open(log, encoding="utf-8") as lines:
            for line in lines:
                partition, offset, identity = line.rstrip("\n").split("\t")
                if partition == "error":
                    raise Failure(f"{log.name}: {identity} was refused: {offset}")
                acked += 1
                there = places.get(identity)
                # A retry of what was there already gets no offset: the broker no longer knows it.
                right = (int(partition), int(offset)) if int(offset) >= 0 else there
                if there is None or there != right or there[0] != int(partition):
                    lost += 1
                    example = example or f"{identity} acked at {partition}/{offset} is at {there}"
    check(lost == 0, f"{lost} of {acked} acked records lost or moved: {example}")
    read = sum(map(len, found))
    return f"{acked} acked records of {len(logs)} producers all there, {read} read"
