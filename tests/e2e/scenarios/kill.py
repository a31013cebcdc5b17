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
from harness import Failure, Process, check, wait_until

ABOUT = "kill -9 under load of four producers; acks against what is read"
SECONDS_MAX = 180
ORACLE = True

TOPIC = "load"
PARTITIONS = 6
SEED = 4
FIRST_ANSWER_SECONDS_MAX = 1.0
LOAD_CLIENT = Path(__file__).resolve().parent.parent / "load_client.py"


def run(env):
    rounds = env.scale(12, 50)
    dice = random.Random(SEED)
    with env.broker() as broker:
        client = ConfluentClient(broker.bootstrap)
        client.make_topics([TOPIC], PARTITIONS, {"max.message.bytes": "2222222"})
        preload = fill(env, broker)
        loaders = start_loaders(env, broker)
        logs = [log for _, log in loaders]
        wait_until("acks to every producer", lambda: all(map(some_acks, logs)), 30)
        first_answers = []
        for number in range(rounds):
            time.sleep(dice.uniform(0.2, 1.5))
            broker.kill9()
            broker.start()
            first_answers.append(broker.first_answer_seconds)
            check_topic(client, number)
            before = [count_lines(log) for log in logs]
            grown = lambda seen=before: all(count_lines(l) > n for l, n in zip(logs, seen))
            wait_until(f"acks to every producer after kill {number + 1}", grown, 60)
        stop(loaders)
        found = client.read([TOPIC])[TOPIC]
        keep(env, found)
        figures = compare(logs, found)
    slowest = max(first_answers)
    if broker.is_weir:
        check(
            slowest <= FIRST_ANSWER_SECONDS_MAX,
            f"the first answer after a kill took {slowest:.2f} s",
        )
    return (
        f"{rounds} kills with {preload} of log before, {figures}; "
        f"first answer {min(first_answers):.2f} to {slowest:.2f} s after the start"
    )


def fill(env, broker):
    """Some log to recover from: 10 GB where all of it is asked for."""
    gigabytes = env.scale(0, 10)
    if not (gigabytes and broker.is_weir):
        return "nothing"
    broker.create_topic("history", 12)
    records = gigabytes * 1_000_000
    size = ["--record-size", 1000, "--records", records]
    broker.cli("bench", "produce", "--topic", "history", *size, seconds=1200)
    return f"{gigabytes} GB"


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


def keep(env, found):
    """Leaves what was read beside the clients' logs, for whoever looks into a failure."""
    with open(env.folder / "read.tsv", "w", encoding="utf-8") as file:
        for record in found:
            identity = record.value.split(b" ", 1)[0].decode()
            file.write(f"{record.partition}\t{record.offset}\t{identity}\n")


def compare(logs, found):
    """The clients' logs against the broker's."""
    there = {}
    places = {}
    last = {}
    swapped = None
    for record in sorted(found, key=lambda r: (r.partition, r.offset)):
        identity = record.value.split(b" ", 1)[0].decode()
        there[(record.partition, record.offset)] = identity
        places.setdefault(identity, []).append((record.partition, record.offset))
        name, number = identity.rsplit("-", 1)
        before = last.get((record.partition, name), -1)
        if int(number) <= before and not swapped:
            swapped = f"{identity} at {record.partition}/{record.offset} after {name}-{before}"
        last[(record.partition, name)] = int(number)
    doubled = [(identity, where) for identity, where in places.items() if len(where) > 1]
    check(not doubled, f"{len(doubled)} records are doubled: {doubled[:3]}")
    check(swapped is None, f"the order of a producer is broken: {swapped}")
    for partition in range(PARTITIONS):
        offsets = [offset for where, offset in there if where == partition]
        check(offsets == list(range(len(offsets))), f"partition {partition} has holes")
    acked = lost = 0
    example = None
    for log in logs:
        for line in log.read_text().splitlines():
            partition, offset, identity = line.split("\t")
            if partition == "error":
                raise Failure(f"{log.name}: {identity} was refused: {offset}")
            acked += 1
            if int(offset) < 0:
                # A retry of what was there already: the broker no longer knows the offset.
                here = [where for where, _ in places.get(identity, [])] == [int(partition)]
                lost += not here
                example = example or (None if here else f"{identity} is in no partition")
                continue
            if there.get((int(partition), int(offset))) != identity:
                lost += 1
                is_now = places.get(identity, "nowhere")
                example = example or f"{identity} acked at {partition}/{offset} is {is_now}"
    check(lost == 0, f"{lost} of {acked} acked records lost or moved: {example}")
    return f"{acked} acked records of {len(logs)} producers all there, {len(found)} read"
