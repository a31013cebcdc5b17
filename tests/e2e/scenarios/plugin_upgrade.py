"""A topic's records go through a plugin as they come in, while its versions take turns, what is
attached comes and goes beside it, and the broker is killed with -9 in the middle of that. The
plugin adds one header to each record: in the end every record that was acked is there once and has
the header once.
"""

import random
import subprocess
import sys
import time
from pathlib import Path

from clients import ConfluentClient
from harness import SEVERAL_SHARDS, Process, check, wait_until

ABOUT = "versions of a plugin take turns under load, with kills"
SECONDS_MAX = 240

TOPIC = "load"
PARTITIONS = 4
PLUGIN = "json-enrich"
FIRST, SECOND = "1.0.0", "1.0.1"
HEADER = "via"
SEED = 11
E2E = Path(__file__).resolve().parent.parent
COMPONENT = E2E.parent.parent / "plugins/prebuilt" / f"{PLUGIN}.wasm"


def run(env):
    turns, kills = env.scale(12, 100), env.scale(4, 100)
    dice = random.Random(SEED)
    with env.broker(config=SEVERAL_SHARDS) as broker:
        client = ConfluentClient(broker.bootstrap)
        client.make_topics([TOPIC], PARTITIONS)
        deploy(env, broker)
        broker.cli("plugin", "attach", PLUGIN, "--topic", TOPIC, "--set", f"headers={HEADER}=1")
        loaders = [start_loader(env, broker, f"turn{number}") for number in range(2)]
        logs = [log for _, log in loaders]
        wait_until("acks to every producer", lambda: all(count(log) > 100 for log in logs), 60)
        for turn in range(turns):
            if turn % 2:
                broker.cli("plugin", "rollback", PLUGIN)
            else:
                broker.cli("plugin", "activate", f"{PLUGIN}@{SECOND}")
            more(logs, f"turn {turn + 1}")
        for kill in range(kills):
            change(broker, kill)
            time.sleep(dice.uniform(0.0, 0.3))
            broker.kill9()
            broker.start()
            more(logs, f"kill {kill + 1}")
        for process, _ in loaders:
            process.child.stdin.close()
        for process, _ in loaders:
            code = process.wait(180)
            check(code == 0, f"a producer ended with {code}: {process.output()[-1500:]}")
        records = compare(client, logs, env.scale(60, 900))
        broker.stop()
        broker.check_store(env.scale(60, 900))
    return f"{turns} turns and {kills} kills, {records} records all through the plugin once"


def deploy(env, broker):
    """Both versions; they differ by their version's name only."""
    component = COMPONENT.read_bytes()
    name = PLUGIN.encode()
    old, new = name + FIRST.encode(), name + SECOND.encode()
    check(component.count(old) == 1, f"{COMPONENT} does not say its version in one place")
    second = env.folder / "second.wasm"
    second.write_bytes(component.replace(old, new))
    broker.cli("plugin", "deploy", COMPONENT)
    broker.cli("plugin", "deploy", second, "--no-activate")


def change(broker, number):
    """Something that a kill then falls into."""
    if number % 3 == 0:
        broker.cli("plugin", "activate", f"{PLUGIN}@{SECOND}")
    elif number % 3 == 1:
        shadow = ["--shadow", "--set", "headers=beside=1"]
        broker.cli("plugin", "attach", f"{PLUGIN}@{FIRST}", "--topic", TOPIC, *shadow)
    else:
        broker.cli("plugin", "rollback", PLUGIN)


def more(logs, what):
    """Every producer is acked something that it sent later."""
    before = [count(log) for log in logs]
    # What was on its way is acked first.
    grown = lambda: all(count(log) > seen + 50 for log, seen in zip(logs, before))
    wait_until(f"acks to every producer after {what}", grown, 60)


def start_loader(env, broker, name):
    log = env.folder / f"acks-{name}.tsv"
    command = [sys.executable, E2E / "load_client.py", broker.bootstrap, TOPIC, PARTITIONS]
    return Process([*command, log, name], env.log(f"loader-{name}"), stdin=subprocess.PIPE), log


def count(path):
    """Lines in a log of acks."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def compare(client, logs, seconds):
    """Every record once, in its producer's order, each with the header once; nothing acked is
    missing."""
    from confluent_kafka import Consumer, TopicPartition

    settings = {"group.id": "not-used", "enable.auto.commit": False, "auto.offset.reset": "error"}
    consumer = Consumer({**client.settings, **settings})
    places = [TopicPartition(TOPIC, index, 0) for index in range(PARTITIONS)]
    ends = [consumer.get_watermark_offsets(place, 10)[1] for place in places]
    consumer.assign(places)
    seen, last = set(), {}
    read = [0] * PARTITIONS
    end = time.monotonic() + seconds
    while any(read[index] < ends[index] for index in range(PARTITIONS)):
        check(time.monotonic() < end, f"ends not reached within {seconds} s: {ends}, {read}")
        for message in consumer.consume(2000, 0.2):
            check(message.error() is None, f"reading: {message.error()}")
            read[message.partition()] = message.offset() + 1
            identity = message.value().split(b" ", 1)[0].decode()
            check(identity not in seen, f"{identity} is there twice")
            seen.add(identity)
            headers = [value for name, value in message.headers() or [] if name == HEADER]
            check(headers == [b"1"], f"{identity} has the header {headers}")
            name, number = identity.rsplit("-", 1)
            place = (message.partition(), name)
            check(last.get(place, -1) < int(number), f"{identity} comes after {last.get(place)}")
            last[place] = int(number)
    consumer.close()
    for log in logs:
        for line in log.read_text(encoding="utf-8").splitlines():
            where, what, identity = line.split("\t")
            check(where != "error", f"{identity} was refused: {what}")
            check(identity in seen, f"{identity} was acked and is not there")
    return len(seen)
