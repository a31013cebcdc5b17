"""Reading one of 200 partitions from its beginning out of a cold log: from lane files where all
partitions lie mixed (the rewriter held), and again after the rewriter has sorted them. The page
cache is dropped before each reading.
"""

import os
import time

from harness import Process, Weir, check, folder_bytes, wait_until

ABOUT = "one partition of a cold log, before and after rewriting"
SECONDS_MAX = 180
ORACLE = False

TOPIC = "cold"
EMPTY = "empty"
RECORD_BYTES = 1000
FASTER_AT_LEAST = 5.0
READINGS = 3


def run(env):
    size = env.scale(400_000_000, 10_000_000_000)
    # With little data fewer, so that one is large enough to be timed.
    partitions = env.scale(20, 200)
    lane_file = env.scale(64 << 20, 512 << 20)
    broker = Weir(env, config={"store.rewriter": "hold", "store.lane.file.bytes": lane_file})
    with broker:
        broker.create_topic(TOPIC, partitions, retention_ms=-1)
        broker.create_topic(EMPTY, 1)
        broker.cli(
            "bench", "produce", "--topic", TOPIC, "--record-size", RECORD_BYTES,
            "--records", size // RECORD_BYTES, seconds=env.scale(120, 1800),
        )
        broker.stop()
        before = coldly(env, broker)
        broker.config["store.rewriter"] = "run"
        broker.start()
        seconds = rewritten(env, broker)
        broker.stop()
        after = coldly(env, broker)
    ratio = after / before
    figures = (
        f"{size / 1e9:.1f} GB in {partitions} partitions: {before:.0f} MB/s from lanes, "
        f"{after:.0f} MB/s sorted (x{ratio:.1f}), rewriting took {seconds:.0f} s"
    )
    # The ratio is for many partitions and much data.
    if env.full:
        check(ratio >= FASTER_AT_LEAST, f"not {FASTER_AT_LEAST:g} times faster: {figures}")
    return figures


def coldly(env, broker):
    """The best MB/s of some readings, each of another partition, each out of a cold cache."""
    rates = []
    for number in range(READINGS):
        broker.start()
        # What it takes to start the command and to connect is not reading.
        apart = min(consume(env, broker, EMPTY, 0)[1] for _ in range(3))
        drop_cache(broker.data)
        size, seconds = consume(env, broker, TOPIC, number * 7)
        check(size > 0, "nothing was read")
        rates.append(size / max(seconds - apart, 1e-3) / 1e6)
        broker.stop()
    return max(rates)


def consume(env, broker, topic, partition):
    """Bytes of one partition and the seconds it took to read them into a file."""
    command = broker.cli_command(
        "consume", topic, "--partition", partition, "--from-beginning", "--exit-at-end",
        "--format", "%v",
    )
    out = env.folder / "read.bin"
    with open(out, "wb") as file:
        began = time.monotonic()
        code = Process(command, env.log("consume"), stdout=file).wait(env.scale(60, 600))
        seconds = time.monotonic() - began
    check(code == 0, f"weir consume ended with {code}")
    return out.stat().st_size, seconds


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


def rewritten(env, broker):
    """Waits until the rewriter has nothing left to do: the files stay as they are for a while."""
    began = time.monotonic()
    quiet = {"since": time.monotonic(), "state": None}

    def still():
        state = (folder_bytes(broker.data), sorted(p.name for p in broker.data.rglob("*.redb")))
        busy = broker.process.cpu_seconds() - quiet.get("cpu", 0.0) > 0.2
        quiet["cpu"] = broker.process.cpu_seconds()
        if state != quiet["state"] or busy:
            quiet.update(state=state, since=time.monotonic())
        return time.monotonic() - quiet["since"] > 4.0

    wait_until("the rewriter to pass", still, env.scale(60, 1200), every=1.0)
    return time.monotonic() - began - 4.0
