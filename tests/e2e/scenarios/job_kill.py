"""An intake topic feeds a partitioned one by a router job, while the broker is killed with -9 again
and again. Idempotent librdkafka producers write keyed records to the intake; in the end each of
them is in the other topic once, in its key's order, in the partition that every client would have
chosen for the key.
"""

import random
import subprocess
import sys
import time
from pathlib import Path

from clients import ConfluentClient
from harness import SEVERAL_SHARDS, Process, check, wait_until

ABOUT = "kill -9 while a router job places the records of an intake topic"
SECONDS_MAX = 180

INTAKE = "intake"
INTAKE_PARTITIONS = 3
PLACED = "placed"
PLACED_PARTITIONS = 5
PRODUCERS = 2
KEYS = 40
SEED = 7
LOAD_CLIENT = Path(__file__).resolve().parent.parent / "load_client.py"


def run(env):
    rounds = env.scale(8, 100)
    dice = random.Random(SEED)
    with env.broker(config=SEVERAL_SHARDS) as broker:
        client = ConfluentClient(broker.bootstrap)
        client.make_topics([INTAKE], INTAKE_PARTITIONS)
        client.make_topics([PLACED], PLACED_PARTITIONS)
        broker.cli("job", "create", "place", "--from", INTAKE, "--to", PLACED)
        loaders = [start_loader(env, broker, f"keyed{number}") for number in range(PRODUCERS)]
        logs = [log for _, log in loaders]
        wait_until("acks to every producer", lambda: all(count(log) > 100 for log in logs), 30)
        for number in range(rounds):
            time.sleep(dice.uniform(0.1, 1.0))
            broker.kill9()
            broker.start()
            before = [count(log) for log in logs]
            grown = lambda seen=before: all(count(l) > n for l, n in zip(logs, seen))
            wait_until(f"acks to every producer after kill {number + 1}", grown, 60)
        for process, _ in loaders:
            process.child.stdin.close()
        for process, _ in loaders:
            code = process.wait(180)
            check(code == 0, f"a producer ended with {code}: {process.output()[-1500:]}")
        total = sum(ends(client, INTAKE, INTAKE_PARTITIONS))
        placed = lambda: sum(ends(client, PLACED, PLACED_PARTITIONS)) >= total
        wait_until(f"{total} records in '{PLACED}'", placed, env.scale(60, 600), every=0.2)
        source = read(client, INTAKE, INTAKE_PARTITIONS, env.scale(60, 600))
        found = read(client, PLACED, PLACED_PARTITIONS, env.scale(60, 600))
        compare(logs, source, found)
        broker.stop()
        broker.check_store(env.scale(60, 900))
    return f"{rounds} kills, {total} records of {PRODUCERS * KEYS} keys placed once and in order"


def start_loader(env, broker, name):
    log = env.folder / f"acks-{name}.tsv"
    command = [sys.executable, LOAD_CLIENT, broker.bootstrap, INTAKE, f"keys={KEYS}", log, name]
    return Process(command, env.log(f"loader-{name}"), stdin=subprocess.PIPE), log


def count(path):
    """Lines in a log of acks."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def ends(client, topic, partitions):
    """Where the partitions end."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({**client.settings, "group.id": "not-used"})
    places = [TopicPartition(topic, index) for index in range(partitions)]
    found = [consumer.get_watermark_offsets(place, 10)[1] for place in places]
    consumer.close()
    return found


def read(client, topic, partitions, seconds):
    """Key and identity of each partition's records, in order."""
    from confluent_kafka import Consumer, TopicPartition

    settings = {"group.id": "not-used", "enable.auto.commit": False, "auto.offset.reset": "error"}
    due = ends(client, topic, partitions)
    consumer = Consumer({**client.settings, **settings})
    consumer.assign([TopicPartition(topic, index, 0) for index in range(partitions)])
    found = [[] for _ in range(partitions)]
    end = time.monotonic() + seconds
    while any(len(records) < due[index] for index, records in enumerate(found)):
        check(time.monotonic() < end, f"'{topic}' was not read within {seconds} s: ends {due}")
        for message in consumer.consume(2000, 0.2):
            check(message.error() is None, f"reading: {message.error()}")
            identity = message.value().split(b" ", 1)[0].decode()
            found[message.partition()].append((message.key(), identity))
    consumer.close()
    return found


def compare(logs, source, found):
    """What was acked is in the source, and what is in the source is in the other topic."""
    sent = sorted(record for records in source for record in records)
    there = sorted(record for records in found for record in records)
    known = {identity for _, identity in sent}
    check(len(known) == len(sent), f"{len(sent) - len(known)} records of the intake are doubled")
    for log in logs:
        for line in log.read_text(encoding="utf-8").splitlines():
            place, what, identity = line.split("\t")
            check(place != "error", f"{identity} was refused: {what}")
            check(identity in known, f"{identity} was acked and is not in the intake")
    if there != sent:
        extra = sorted(set(there) - set(sent))
        missing = sorted(set(sent) - set(there))
        check(False, f"{len(there)} records of {len(sent)}; missing {missing[:3]}, extra {extra[:3]}")
    last = {}
    for partition, records in enumerate(found):
        for key, identity in records:
            right = (murmur2(key) & 0x7FFFFFFF) % PLACED_PARTITIONS
            check(partition == right, f"{identity} of {key} is in {partition}, not in {right}")
            number = int(identity.rsplit("-", 1)[1])
            before = last.get(key, -1)
            check(number > before, f"{key}: {identity} comes after number {before}")
            last[key] = number


def murmur2(key):
    """Kafka's hash of a key."""
    mask, mix = 0xFFFFFFFF, 0x5BD1E995
    value = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * mix & mask
        word = (word ^ word >> 24) * mix & mask
        value = (value * mix & mask) ^ word
    if rest := key[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * mix & mask
    value = (value ^ value >> 13) * mix & mask
    return value ^ value >> 15
