"""Very many commits: `__consumer_offsets` stays small, a restart after them is quick, and what was
acked last is what the groups have then.
"""

import json
import time

import groups
from harness import check, folder_bytes, run as run_command, wait_until

ABOUT = "a flood of commits: size of __consumer_offsets, time of a restart"
SECONDS_MAX = 120
ORACLE = False

TOPIC = "floor"
PARTITIONS = 4
GROUPS = 64
OFFSETS_TOPIC = "__consumer_offsets"
# What is kept of the log: the snapshot, and what was written since.
KEPT_RECORDS_MAX = 250_000
RESTART_SECONDS_MAX = 2.0


def run(env):
    count = env.scale(50_000, 1_000_000)
    with env.broker(config={"offsets.topic.num.partitions": 4}) as broker:
        broker.create_topic(TOPIC, PARTITIONS)
        lines = "".join(f"{number}\n" for number in range(400)).encode()
        broker.cli("produce", TOPIC, stdin=lines)
        flood = groups.own_client(env, broker, "weir-quic", "commits", "flood")
        flood += ["--topics", TOPIC, "--partitions", PARTITIONS]
        flood += ["--count", count, "--groups", GROUPS]
        cpu = broker.process.cpu_seconds()
        told = json.loads(run_command(flood, seconds=env.scale(90, 1500)).stdout)
        cpu = broker.process.cpu_seconds() - cpu
        memory = broker.process.memory_bytes()
        kept = wait_until("a snapshot to pass", lambda: kept_records(broker), 30, every=0.5)
        check(kept <= KEPT_RECORDS_MAX, f"{OFFSETS_TOPIC} keeps {kept} records")
        (described,) = broker.cli_json("topic", "describe", OFFSETS_TOPIC)
        size = sum(row["bytes"] for row in described["partitions"])
        broker.kill9()
        broker.start()
        seconds = read_again(env, broker, count)
        check(seconds <= RESTART_SECONDS_MAX, f"the groups answered {seconds:.2f} s after a start")
        broker.stop()
        broker.check_store(120)
        folder = folder_bytes(broker.data)
    return (
        f"{count} commits in {told['seconds']:.1f} s ({count / told['seconds']:.0f} a second, "
        f"{cpu:.1f} CPU s, memory {memory / 1e6:.0f} MB) leave {kept} records, "
        f"{size / 1e6:.1f} MB, in {OFFSETS_TOPIC}, the data folder with files that are to be used "
        f"again has {folder / 1e6:.0f} MB; after kill -9 the first answer "
        f"after {broker.first_answer_seconds:.2f} s, all offsets after {seconds:.2f} s"
    )


def kept_records(broker):
    """How many records the topic of offsets holds."""
    return sum(row["records"] for row in broker.cli_json("topic", "offsets", OFFSETS_TOPIC))


def read_again(env, broker, count):
    """Asks for all offsets, which must be what was acked last; gives back how long after the start
    they were there."""
    began = time.monotonic() - broker.first_answer_seconds
    names = [f"flood-{number}" for number in range(GROUPS)]
    ask = groups.own_client(env, broker, "weir-quic", "offsets", "-")
    printed = run_command([*ask, "--groups", ",".join(names), "--every-ms", 1]).stdout.decode()
    seconds = time.monotonic() - began
    found = {}
    for line in printed.splitlines():
        group, place, offset = line.split("\t")
        found[group, place] = int(offset)
    wanted = {}
    for number, name in enumerate(names):
        share = count // GROUPS + (number < count % GROUPS)
        for index in range(PARTITIONS):
            wanted[name, f"{TOPIC}-{index}"] = (share - 1 - index) // PARTITIONS + 1
    check(found == wanted, f"after the restart the groups have {found}, not {wanted}")
    return seconds
