"""Reading one of 200 partitions from its beginning out of a cold log: from lane files where all
partitions lie mixed (the rewriter held), and again after the rewriter has sorted them. The page
cache is dropped before each reading.
"""

import os
import subprocess
import time

from harness import Process, Weir, check, rewriter_passed

ABOUT = "one partition of a cold log, before and after rewriting"
SECONDS_MAX = 180
ORACLE = False
# The log twice while files are rewritten, and some room.
DISK_BYTES_FULL = 24_000_000_000

TOPIC = "cold"
EMPTY = "empty"
RECORD_BYTES = 1000
FASTER_AT_LEAST = 5.0
READINGS = 5
# Less cannot be told from the scatter of starting a process.
CLOCK_SECONDS = 0.005
# Kafka's default `batch.size`; each record goes to the next partition, so all lie mixed.
BATCH_BYTES = 16_384


def run(env):
    size = env.scale(400_000_000, 10_000_000_000)
    # With little data fewer, so that one is large enough to be timed.
    partitions = env.scale(20, 200)
    # The broker's default, where there is enough data.
    lane_file = env.scale(32 << 20, 256 << 20)
    settings = {"store.rewriter": "hold", "store.lane.file.bytes": lane_file}
    with Weir(env, config=settings, metrics=True) as broker:
        broker.create_topic(TOPIC, partitions, retention_ms=-1)
        broker.create_topic(EMPTY, 1)
        broker.cli(
            "bench", "produce", "--topic", TOPIC, "--record-size", RECORD_BYTES,
            "--records", size // RECORD_BYTES, "--batch-bytes", BATCH_BYTES, "--round-robin",
            seconds=env.scale(120, 1800),
        )
        store = broker.store_figures()
        check(store["history_files"] == 0, f"the rewriter was not held: {store}")
        broker.stop()
        before = coldly(env, broker)
        broker.config["store.rewriter"] = "run"
        broker.start()
        seconds, store = rewriter_passed(broker, env.scale(90, 1800))
        sorted_share = store["history_bytes"] / (store["history_bytes"] + store["lane_bytes"])
        check(sorted_share > 0.8, f"the rewriter has sorted only {sorted_share:.0%}: {store}")
        broker.stop()
        after = coldly(env, broker)
    ratio = after / before
    figures = (
        f"{size / 1e9:.1f} GB in {partitions} partitions: {before:.0f} MB/s from lanes, "
        f"{after:.0f} MB/s after rewriting (x{ratio:.1f}; {sorted_share:.0%} of the log sorted "
        f"in {seconds:.0f} s)"
    )
    # The ratio is for many partitions and much data.
    if env.full:
        check(ratio >= FASTER_AT_LEAST, f"not {FASTER_AT_LEAST:g} times faster: {figures}")
    return figures


def coldly(env, broker):
    """The best MB/s of some readings, each of another partition, each out of a cold cache."""
    rates = []
    for number in range(READINGS):
        partition = number * 3
        broker.start()
        rows = broker.cli_json("topic", "offsets", TOPIC, "--partition", partition)
        size = rows[0]["records"] * RECORD_BYTES
        # What it takes to start the command and to connect is not reading.
        apart = min(consume(env, broker, EMPTY, 0) for _ in range(READINGS))
        drop_cache(broker.data)
        seconds = consume(env, broker, TOPIC, partition)
        rates.append(size / max(seconds - apart, CLOCK_SECONDS) / 1e6)
        broker.stop()
    # The clock says nothing about what was read; this does.
    broker.start()
    out = env.folder / "read.bin"
    with open(out, "wb") as file:
        consume(env, broker, TOPIC, partition, file)
    read = out.stat().st_size - rows[0]["records"]  # A newline each.
    check(read == size, f"{read} bytes were read, not {size}")
    broker.stop()
    return max(rates)


def consume(env, broker, topic, partition, out=subprocess.DEVNULL):
    """The seconds it took to read one partition; writing it down would take time too."""
    command = broker.cli_command(
        "consume", topic, "--partition", partition, "--from-beginning", "--exit-at-end",
        "--format", "%v",
    )
    began = time.monotonic()
    code = Process(command, env.log("consume"), stdout=out).wait(env.scale(60, 600))
    seconds = time.monotonic() - began
    check(code == 0, f"weir consume ended with {code}")
    return seconds


def drop_cache(folder):
    """Asks the kernel to forget the pages of the log; clean pages need no root for that."""
    os.sync()
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                descriptor = os.open(os.path.join(parent, name), os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
