#!/usr/bin/env python3
"""The benchmark: start-up and idle memory, throughput and latency over a matrix, and an
alternating run of the official Java producer against Weir and against Apache Kafka.

`cargo xtask bench` calls it. It measures and prints, with the commands it used; it judges only
where the issue names a number. Every server listens on loopback and is ended here. Needs nothing
but Python's own library.
"""

import argparse
import difflib
import json
import os
import platform
import re
import shutil
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness import Env, Failure, Process, Weir, check, run  # noqa: E402
from kafka_server import Kafka  # noqa: E402

PARTS = {
    "start": "start-up time and idle memory",
    "matrix": "produce, consume and latency by record size, transport and partitions",
    "kafka": "the official Java producer against Weir and Apache Kafka, alternating",
}
SIZES = [100, 1_000, 10_000]
# TCP without TLS, as the run against Kafka has it.
TRANSPORTS = ["quic", "plain"]
PARTITIONS = [1, 12, 200]
RECORD_BYTES = 1_000
PEER_PARTITIONS = 12


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="PART")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true", help="smaller and less exact")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--weir", help="the weir binary")
    parser.add_argument("--kafka-class-path", help="Apache Kafka's jars")
    parser.add_argument("--work", help="a folder for data and logs")
    parsed = parser.parse_args()
    for name in parsed.only:
        if name not in PARTS:
            near = difflib.get_close_matches(name, list(PARTS), 1)
            parser.error(f"no part '{name}'" + (f" (did you mean '{near[0]}'?)" if near else ""))
    return parsed


class Bench:
    """Options, a folder for each part, and the figures that came out."""

    def __init__(self, given):
        self.given = given
        self.figures = {"machine": machine()}
        self.commands = []

    def env(self, name):
        """A scenario's environment, as the end-to-end runs have it."""
        table = SimpleNamespace(
            weir=self.given.weir, weir_load=None, java_class_path=None, kcat=None, full=True,
            against_kafka=None, work=self.given.work,
        )
        return Env(table, name)

    def scale(self, quick, full):
        return quick if self.given.quick else full

    def note(self, command):
        """Remembers a command in the form in which a person can repeat it."""
        text = " ".join(str(word) for word in command)
        text = text.replace(str(self.given.weir), "weir").replace(str(self.given.work), "WORK")
        text = text.replace(str(self.given.kafka_class_path), "KAFKA/*")
        self.commands.append(text)


def machine():
    """What it ran on."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cores": os.cpu_count(),
        "processor": model.group(1) if model else platform.machine(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "kernel": platform.release(),
    }


def table(title, heads, rows):
    """Prints rows in columns."""
    cells = [heads, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    print(f"\n{title}")
    for row in cells:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths)))
    sys.stdout.flush()


# ---- start ---------------------------------------------------------------------------------


def start(bench):
    """From the start of the process to its first answer on TCP; memory once it is idle."""
    times = []
    memory = 0
    broker = Weir(bench.env("start"))
    for number in range(bench.scale(3, 7)):
        broker.start()
        if number:  # The first start makes the certificates and the folder.
            times.append(broker.first_answer_seconds * 1e3)
        else:
            first = broker.first_answer_seconds * 1e3
        if number == 1:
            time.sleep(2)
            memory = broker.process.memory_bytes() / 1e6
        broker.stop()
    bench.figures["start"] = {"first_ms": first, "start_ms": times, "idle_mb": memory}
    table(
        "start-up",
        ["first ever ms", "median ms", "worst ms", "idle MB"],
        [[f"{first:.0f}", f"{statistics.median(times):.0f}", f"{max(times):.0f}", f"{memory:.0f}"]],
    )


# ---- matrix --------------------------------------------------------------------------------


def matrix(bench):
    """Each cell has a topic of its own and is measured by `weir bench`."""
    rows = []
    seconds = bench.scale(3, 10)
    for size in SIZES:
        for transport in TRANSPORTS:
            for partitions in PARTITIONS:
                rows.append(cell(bench, size, transport, partitions, seconds))
    bench.figures["matrix"] = rows
    heads = ["record B", "transport", "partitions", "produce MB/s", "records/s", "p50 ms",
             "p99 ms", "CPU s/GB", "consume MB/s", "at a rate: p50 ms", "p99 ms"]
    table(
        "produce (durable, acks=all), consume, and latency at 1,000 records/s in an open loop",
        heads,
        [
            [
                row["size"], row["transport"], row["partitions"],
                f"{row['produce_mb_s']:.0f}", f"{row['records_s']:.0f}",
                f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", f"{row['cpu_s_gb']:.2f}",
                f"{row['consume_mb_s']:.0f}",
                f"{row['rate_p50_ms']:.2f}", f"{row['rate_p99_ms']:.2f}",
            ]
            for row in rows
        ],
    )


def cell(bench, size, transport, partitions, seconds):
    """One cell, on a broker of its own so that no cell pays for another's data."""
    with Weir(bench.env("matrix")) as broker:
        topic = f"b{size}-{transport}-{partitions}"
        broker.create_topic(topic, partitions)

        def weir_bench(kind, *args):
            command = ["bench", kind, "--topic", topic, *args, "--json"]
            shown = broker.cli_command(*command, transport=transport)
            bench.note(shown)
            done = run(shown, seconds=seconds * 20 + 120)
            return json.loads(done.stdout.decode().strip().splitlines()[-1])

        size_args = ["--record-size", size]
        before = broker.process.cpu_seconds()
        produced = weir_bench("produce", *size_args, "--seconds", seconds, "--warm-up", 2)
        cpu = broker.process.cpu_seconds() - before
        consumed = weir_bench("consume", "--seconds", seconds)
        rate = weir_bench("latency", *size_args, "--rate", 1000, "--seconds", seconds)
        gigabytes = produced["all_bytes"] / 1e9
    shutil.rmtree(broker.data, ignore_errors=True)
    return {
        "size": size,
        "transport": transport,
        "partitions": partitions,
        "produce_mb_s": produced["mb_per_second"],
        "records_s": produced["records_per_second"],
        "p50_ms": produced["latency_ms"]["p50"],
        "p99_ms": produced["latency_ms"]["p99"],
        "cpu_s_gb": cpu / gigabytes,
        "consume_mb_s": consumed["mb_per_second"],
        "rate_p50_ms": rate["latency_ms"]["p50"],
        "rate_p99_ms": rate["latency_ms"]["p99"],
    }


# ---- against Kafka -------------------------------------------------------------------------


def against_kafka(bench):
    """A B A B with the same producer and settings; both brokers stay up all the time."""
    records = bench.scale(300_000, 3_000_000)
    rounds = bench.scale(2, 5)
    kafka = Kafka(bench.given.kafka_class_path, bench.env("kafka").folder, heap="1G")
    brokers = {"weir": Weir(bench.env("weir")), "kafka": kafka}
    if bench.given.weir is None:
        del brokers["weir"]  # Only to try this script before there is a Weir.
    results = {name: [] for name in brokers}
    try:
        for broker in brokers.values():
            broker.start()
        for name, broker in brokers.items():  # Warm-up: the JVM's and ours.
            for number in range(2):
                perf(bench, broker, f"warm-{number}", records // 2)
        for number in range(rounds):
            for name, broker in brokers.items():
                results[name].append(perf(bench, broker, f"round-{number}", records))
    finally:
        for broker in brokers.values():
            broker.process.stop()
    bench.figures["kafka"] = results
    rows = [
        [name, number + 1, f"{r['records_s']:.0f}", f"{r['mb_s']:.0f}", f"{r['p50_ms']:.0f}",
         f"{r['p99_ms']:.0f}", f"{r['cpu_s_gb']:.2f}", f"{r['memory_mb']:.0f}"]
        for number in range(rounds)
        for name, r in ((name, results[name][number]) for name in brokers)
    ]
    heads = ["broker", "round", "records/s", "MB/s", "p50 ms", "p99 ms", "CPU s/GB", "memory MB"]
    table(
        f"the official Java producer, {records} records of {RECORD_BYTES} B a round, "
        f"{PEER_PARTITIONS} partitions, acks=all, its defaults; Weir over TCP and flushed, "
        "Kafka with its defaults and not flushed; alternating",
        heads,
        rows,
    )
    if len(brokers) == 2:
        ratio("records a second, Weir / Kafka", results, "records_s", at_least=1.0)
        ratio("broker CPU s per GB, Weir / Kafka", results, "cpu_s_gb", at_most=0.5)


def perf(bench, broker, topic, records):
    """One run of ProducerPerformance against a topic made for it; what the broker used for it."""
    if broker.is_weir:
        broker.create_topic(topic, PEER_PARTITIONS)
    else:
        tool = [*broker.java, "org.apache.kafka.tools.TopicCommand"]
        where = ["--bootstrap-server", broker.bootstrap]
        run([*tool, *where, "--create", "--topic", topic, "--partitions", PEER_PARTITIONS])
    command = ["java", "-Xmx512M", "-cp", bench.given.kafka_class_path]
    command += ["org.apache.kafka.tools.ProducerPerformance", "--topic", topic]
    command += ["--num-records", records, "--record-size", RECORD_BYTES, "--throughput", -1]
    command += ["--bootstrap-server", broker.bootstrap, "--command-property", "acks=all"]
    bench.note(command)
    before = broker.process.cpu_seconds()
    said = run(command, seconds=600).stdout.decode()
    cpu = broker.process.cpu_seconds() - before
    pattern = (
        r"(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), [\d.]+ ms avg latency, "
        r"[\d.]+ ms max latency, (\d+) ms 50th, \d+ ms 95th, (\d+) ms 99th"
    )
    found = re.findall(pattern, said)
    check(found and int(found[-1][0]) == records, f"ProducerPerformance said:\n{said[-1500:]}")
    _, per_second, _, p50, p99 = found[-1]
    # Where disk space goes must not depend on how many rounds there were.
    delete_topic(broker, topic)
    return {
        "records_s": float(per_second),
        "mb_s": float(per_second) * RECORD_BYTES / 1e6,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "cpu_s_gb": cpu / (records * RECORD_BYTES / 1e9),
        "memory_mb": broker.process.memory_bytes() / 1e6,
    }


def delete_topic(broker, topic):
    """Deletes a topic by the broker's own tool."""
    if broker.is_weir:
        broker.cli("topic", "delete", topic, "--yes")
        return
    tool = [*broker.java, "org.apache.kafka.tools.TopicCommand"]
    run([*tool, "--bootstrap-server", broker.bootstrap, "--delete", "--topic", topic])


def ratio(title, results, field, at_least=None, at_most=None):
    """The median of the rounds' ratios, held against what the issue asks."""
    pairs = zip(results["weir"], results["kafka"])
    ratios = [weir[field] / kafka[field] for weir, kafka in pairs]
    middle = statistics.median(ratios)
    good = (at_least is None or middle >= at_least) and (at_most is None or middle <= at_most)
    wanted = f"at least {at_least}" if at_least is not None else f"at most {at_most}"
    each = ", ".join(f"{value:.2f}" for value in ratios)
    print(f"  {title}: {middle:.2f} ({each}), wanted {wanted}: {'met' if good else 'MISSED'}")


def main():
    """Runs the parts and prints what can be repeated."""
    given = options()
    if given.list:
        for name, about in PARTS.items():
            print(f"{name:<8} {about}")
        return 0
    bench = Bench(given)
    print(f"machine: {bench.figures['machine']}")
    bodies = {"start": start, "matrix": matrix, "kafka": against_kafka}
    failed = []
    for name in given.only or PARTS:
        began = time.monotonic()
        try:
            bodies[name](bench)
        except Failure as failure:
            failed.append(name)
            print(f"FAILED {name}: {failure}")
        finally:
            Process.end_all()
        print(f"  ({name} took {time.monotonic() - began:.0f} s)", flush=True)
    print("\ncommands:")
    for command in dict.fromkeys(bench.commands):
        print(f"  {command}")
    if given.json:
        Path(given.json).write_text(json.dumps(bench.figures, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
